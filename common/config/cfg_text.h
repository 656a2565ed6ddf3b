/* Configuration text made safe for libconfig 1.5, which silently wraps integers beyond 32 bits that
 * lack the suffix "L", refuses arrays such as [0.5, 0] that mix whole and other numbers, and reads
 * other files on "@include". Keeps line numbers. */
#ifndef GRAFT_COMMON_CONFIG_CFG_TEXT_H
#define GRAFT_COMMON_CONFIG_CFG_TEXT_H

#include <stddef.h>

#include "common/base/error.h"

/* Checked copy of text[bytes] in *out (owned, memory_free): suffixes added, arrays made lists;
 * zero-terminated. `where` names the text in errors. Errors: ERR_INPUT for a zero byte, "@include",
 * a number beyond 18 digits, more than JOB_CONFIG_BYTES_MAX. */
enum status cfg_text_prepare(const char *where, const char *text, size_t bytes, char **out,
                             struct error *err) MUST_CHECK;

/* The same for a file's content. Errors: also ERR_IO. */
enum status cfg_text_read(const char *path, char **out, struct error *err) MUST_CHECK;

#endif
