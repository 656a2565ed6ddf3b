/* A WordPiece vocabulary as text: a token a line, its id the line's number from 0 (BERT's
 * vocab.txt). */
#ifndef GRAFT_COMMON_MODEL_VOCABULARY_H
#define GRAFT_COMMON_MODEL_VOCABULARY_H

#include "common/base/error.h"

/* The text of `path`: a vocab.txt, or NAME.onnx, a model that graft wrote for texts (its metadata
 * hold the vocabulary). Zero-terminated UTF-8; owned by the caller (memory_free). Errors: ERR_IO,
 * ERR_INPUT (no UTF-8, longer than an entry of the metadata may be, a model without one),
 * ERR_MEMORY. */
enum status vocabulary_read(const char *path, char **out, struct error *err) MUST_CHECK;

#endif
