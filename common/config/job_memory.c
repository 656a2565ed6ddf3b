#include "common/config/job_memory.h"

#include <string.h>

#include "common/base/memory.h"

/* One cache line, so that what follows keeps memory_alloc's alignment. */
struct piece {
    _Alignas(MEMORY_ALIGN) struct piece *next;
};

void *job_memory_alloc(struct job *job, size_t count, size_t bytes)
{
    size_t total;
    if (!size_mul(count, bytes, &total) || !size_add(total, sizeof(struct piece), &total))
        return NULL;
    struct piece *piece = memory_alloc(1, total);
    if (piece == NULL)
        return NULL;
    piece->next = job->owned;
    job->owned = piece;
    return piece + 1;
}

char *job_memory_dup_text(struct job *job, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = job_memory_alloc(job, bytes, 1);
    if (copy != NULL)
        memcpy(copy, text, bytes);
    return copy;
}

void job_memory_free_all(struct job *job)
{
    struct piece *piece = job->owned;
    while (piece != NULL) {
        struct piece *next = piece->next;
        memory_free(piece);
        piece = next;
    }
    job->owned = NULL;
}
