/* Unicode code points as BERT's tokeniser classes them (Devlin 2019, tokenization.py; Hugging Face
 * tokenizers, BertNormalizer and BertPreTokenizer). Which code points exist is utf8proc's version of
 * Unicode. Pure; any thread. */
#ifndef GRAFT_WORKER_DATA_RUNE_H
#define GRAFT_WORKER_DATA_RUNE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUNE_PARTS_MAX 4 /* of a canonical decomposition */
#define RUNE_BYTES_MAX 4 /* of a code point in UTF-8 */

/* The code point at the front of text[bytes], bytes > 0: its length. What is no UTF-8 is one byte
 * and U+FFFD. */
size_t rune_read(const char *text, size_t bytes, int32_t *out);
/* Its UTF-8 in out[RUNE_BYTES_MAX]: the length. */
size_t rune_write(int32_t rune, char *out);

bool rune_is_blank(int32_t rune);       /* White_Space */
bool rune_is_dropped(int32_t rune);     /* controls, formats, private use, zero, U+FFFD */
bool rune_is_ideograph(int32_t rune);   /* a word of its own */
bool rune_is_punctuation(int32_t rune); /* likewise; category P, and of ASCII all symbols */
bool rune_is_accent(int32_t rune);      /* category Mn */

/* Canonical combining class. */
unsigned rune_class(int32_t rune);
int32_t rune_lower(int32_t rune);
/* The canonical decomposition (NFD) into out[RUNE_PARTS_MAX]: the count. */
size_t rune_decompose(int32_t rune, int32_t *out);

#endif
