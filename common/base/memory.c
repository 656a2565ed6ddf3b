#include "common/base/memory.h"

#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <string.h>

bool size_mul(size_t a, size_t b, size_t *out)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

bool size_add(size_t a, size_t b, size_t *out)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

static _Atomic size_t calls;

size_t memory_calls(void)
{
    return calls;
}

void *memory_alloc(size_t count, size_t bytes)
{
    size_t total;
    calls++;
    if (!size_mul(count, bytes, &total) || !size_add(total, MEMORY_ALIGN - 1, &total))
        return NULL;
    total &= ~(size_t)(MEMORY_ALIGN - 1);
    if (total == 0)
        total = MEMORY_ALIGN;
    void *memory = aligned_alloc(MEMORY_ALIGN, total);
    if (memory != NULL)
        memset(memory, 0, total);
    return memory;
}

void memory_free(void *memory)
{
    free(memory);
}

/* Above the blocks of a step's messages (1 MiB), which come and go all the time. */
#define PIECE_OF_ITS_OWN (4 << 20)

void memory_prepare(void)
{
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, PIECE_OF_ITS_OWN);
#endif
}

void memory_trim(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

char *memory_dup_text(const char *text, size_t limit)
{
    size_t length = strnlen(text, limit);
    char *copy = memory_alloc(length + 1, 1);
    if (copy != NULL)
        memcpy(copy, text, length);
    return copy;
}
