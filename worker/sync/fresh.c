#include "worker/sync/fresh.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"

struct fresh {
    const struct plan *plan;
    float *live;
    bool *has;         /* per block */
    uint64_t *updates; /* per block */
    uint64_t *seen;    /* per block */
    size_t missing;
};

enum status fresh_create(const struct plan *plan, struct fresh **out, struct error *err)
{
    struct fresh *fresh = memory_alloc(1, sizeof *fresh);
    bool all = fresh != NULL;
    if (all) {
        fresh->plan = plan;
        fresh->missing = plan->block_count;
        fresh->live = memory_alloc(plan->live_elements, sizeof *fresh->live);
        fresh->has = memory_alloc(plan->block_count, sizeof *fresh->has);
        fresh->updates = memory_alloc(plan->block_count, sizeof *fresh->updates);
        fresh->seen = memory_alloc(plan->block_count, sizeof *fresh->seen);
        all = fresh->live && fresh->has && fresh->updates && fresh->seen;
    }
    if (!all) {
        fresh_destroy(&fresh);
        return error_set(err, ERR_MEMORY, "no memory for %zu live weights", plan->live_elements);
    }
    *out = fresh;
    return OK;
}

void fresh_destroy(struct fresh **fresh)
{
    if (*fresh == NULL)
        return;
    memory_free((*fresh)->live);
    memory_free((*fresh)->has);
    memory_free((*fresh)->updates);
    memory_free((*fresh)->seen);
    memory_free(*fresh);
    *fresh = NULL;
}

bool fresh_take(struct fresh *fresh, uint64_t updates, uint32_t block, const void *data,
                size_t bytes)
{
    const struct plan *plan = fresh->plan;
    if (block >= plan->block_count || bytes != plan->blocks[block].elements * sizeof(float))
        return false;
    if (fresh->has[block] && updates <= fresh->updates[block])
        return true;
    memcpy(fresh->live + plan->blocks[block].offset, data, bytes);
    fresh->missing -= !fresh->has[block];
    fresh->has[block] = true;
    fresh->updates[block] = updates;
    return true;
}

bool fresh_complete(const struct fresh *fresh)
{
    return fresh->missing == 0;
}

bool fresh_is_at(const struct fresh *fresh, uint64_t updates)
{
    for (size_t i = 0; i < fresh->plan->block_count; i++)
        if (!fresh->has[i] || fresh->updates[i] != updates)
            return false;
    return true;
}

const float *fresh_use(struct fresh *fresh)
{
    CHECK(fresh_complete(fresh));
    memcpy(fresh->seen, fresh->updates, fresh->plan->block_count * sizeof *fresh->seen);
    return fresh->live;
}

const uint64_t *fresh_seen(const struct fresh *fresh)
{
    return fresh->seen;
}
