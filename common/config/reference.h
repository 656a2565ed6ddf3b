/* The reference manual of the job file, printed from the key table. */
#ifndef GRAFT_COMMON_CONFIG_REFERENCE_H
#define GRAFT_COMMON_CONFIG_REFERENCE_H

#include "common/base/error.h"

/* Markdown to `fd`. Errors: ERR_IO, ERR_MEMORY. */
enum status reference_print(int fd, struct error *err) MUST_CHECK;

#endif
