/* Texts to token ids as BERT does it (Devlin 2019): cleaned, split into words at blanks, around
 * punctuation and Chinese characters, in lower case without accents (NFD) if wanted, each word
 * greedily cut into the longest pieces of the vocabulary ("##" before those that go on a word), a
 * word that can't be, or is longer than 100 characters, is [UNK]. [CLS], [SEP], [PAD], [UNK] and
 * [MASK] written out in a text are those tokens. Agrees with Hugging Face's tokenizers (tests).
 * Immutable; any thread. */
#ifndef GRAFT_WORKER_DATA_WORDPIECE_H
#define GRAFT_WORKER_DATA_WORDPIECE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

#define WORDPIECE_TOKENS_MAX ((size_t)1 << 24) /* ids are exact as float32 */

struct wordpiece;

/* `vocabulary`: a token a line (vocabulary.h); not kept. Errors: ERR_INPUT (a token that must be
 * there is not, or too many), ERR_MEMORY. */
enum status wordpiece_create(const char *vocabulary, bool lower_case, struct wordpiece **out,
                             struct error *err) MUST_CHECK;
void wordpiece_destroy(struct wordpiece **wordpiece);

/* Fills ids[length], length ≥ 2: [CLS], the text's first length - 2 tokens, [SEP], then [PAD].
 * Returns the number of tokens before the padding. Bytes that are no UTF-8 are left out. */
size_t wordpiece_encode(const struct wordpiece *wordpiece, const char *text, size_t bytes,
                        uint32_t *ids, size_t length);

#endif
