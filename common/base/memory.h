/* Checked memory. Sizes from outside multiply through size_mul() and size_add(); allocation never
 * aborts: it returns NULL and the caller answers ERR_MEMORY. Memory is zeroed and 64-byte aligned
 * (a cache line, an AVX-512 register). Everything from memory_alloc goes back through memory_free,
 * never free(). */
#ifndef GRAFT_COMMON_BASE_MEMORY_H
#define GRAFT_COMMON_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#define MEMORY_ALIGN 64

/* *out = a * b (or a + b); false and *out untouched when that does not fit a size_t. */
bool size_mul(size_t a, size_t b, size_t *out);
bool size_add(size_t a, size_t b, size_t *out);

/* count * bytes zeroed bytes; NULL on overflow or when memory is refused. A zero size gives a valid
 * pointer. */
void *memory_alloc(size_t count, size_t bytes);
void memory_free(void *memory);

/* Calls of memory_alloc so far, of all threads. */
size_t memory_calls(void);

/* Call first in main: large pieces go back to the system as soon as they are freed, and do not stay with
 * the process for later. memory_trim: what small ones have left goes back, too (takes milliseconds). */
void memory_prepare(void);
void memory_trim(void);

/* Copy of at most `limit` characters of `text`, owned by the caller; NULL when memory is refused.
 */
char *memory_dup_text(const char *text, size_t limit);

#endif
