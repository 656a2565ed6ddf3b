#include "worker/engine/arena.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"

static bool meet(const struct arena_buffer *a, const struct arena_buffer *b)
{
    return a->first <= b->last && b->first <= a->last;
}

static size_t padded(size_t bytes)
{
    return (bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
}

static int by_size(const void *a, const void *b)
{
    const struct arena_buffer *left = *(const struct arena_buffer *const *)a;
    const struct arena_buffer *right = *(const struct arena_buffer *const *)b;
    if (left->bytes != right->bytes)
        return left->bytes > right->bytes ? -1 : 1;
    return left < right ? -1 : left > right; /* one order on every machine */
}

/* Keeps `placed` sorted by offset. */
static void insert(struct arena_buffer **placed, size_t count, struct arena_buffer *buffer)
{
    size_t at = count;
    while (at > 0 && placed[at - 1]->offset > buffer->offset)
        at--;
    memmove(placed + at + 1, placed + at, (count - at) * sizeof *placed);
    placed[at] = buffer;
}

/* The lowest gap that is wide enough among the placed buffers (by offset) that live at the same
 * time. */
static void place(struct arena_buffer *buffer, struct arena_buffer *const *placed, size_t count)
{
    size_t end = 0;
    for (size_t i = 0; i < count; i++) {
        if (!meet(buffer, placed[i]))
            continue;
        if (placed[i]->offset >= end && placed[i]->offset - end >= padded(buffer->bytes))
            break;
        size_t after = placed[i]->offset + padded(placed[i]->bytes);
        end = after > end ? after : end;
    }
    buffer->offset = end;
}

enum status arena_plan(struct arena_buffer *buffers, size_t count, size_t *total, struct error *err)
{
    struct arena_buffer **order = memory_alloc(count, sizeof *order);
    struct arena_buffer **placed = memory_alloc(count, sizeof *placed);
    enum status status = OK;
    if (order == NULL || placed == NULL)
        status = error_set(err, ERR_MEMORY, "no memory to plan %zu buffers", count);
    for (size_t i = 0; i < count && status == OK; i++)
        order[i] = &buffers[i];
    if (status == OK)
        qsort(order, count, sizeof *order, by_size);
    size_t end = 0;
    for (size_t i = 0; i < count && status == OK; i++) {
        place(order[i], placed, i);
        insert(placed, i, order[i]);
        size_t after = order[i]->offset + padded(order[i]->bytes);
        end = after > end ? after : end;
    }
    memory_free(order);
    memory_free(placed);
    if (status == OK)
        *total = end;
    return status;
}
