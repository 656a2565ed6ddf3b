#include "worker/sync/weights.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"

struct slot {
    float *live;
    uint64_t version; /* that is being collected here */
    bool *has;        /* per block */
    size_t missing;
};

struct weights {
    const struct plan *plan;
    struct slot slots[2]; /* version v in slots[v % 2] */
};

enum status weights_create(const struct plan *plan, struct weights **out, struct error *err)
{
    struct weights *weights = memory_alloc(1, sizeof *weights);
    bool all = weights != NULL;
    for (int i = 0; all && i < 2; i++) {
        struct slot *slot = &weights->slots[i];
        slot->live = memory_alloc(plan->live_elements, sizeof *slot->live);
        slot->has = memory_alloc(plan->block_count, sizeof *slot->has);
        slot->missing = plan->block_count;
        all = slot->live != NULL && slot->has != NULL;
    }
    if (!all) {
        weights_destroy(&weights);
        return error_set(err, ERR_MEMORY, "no memory for %zu live weights", plan->live_elements);
    }
    weights->plan = plan;
    *out = weights;
    return OK;
}

void weights_destroy(struct weights **weights)
{
    if (*weights == NULL)
        return;
    for (int i = 0; i < 2; i++) {
        memory_free((*weights)->slots[i].live);
        memory_free((*weights)->slots[i].has);
    }
    memory_free(*weights);
    *weights = NULL;
}

bool weights_take(struct weights *weights, uint64_t version, uint32_t block, const void *data,
                  size_t bytes)
{
    const struct plan *plan = weights->plan;
    if (block >= plan->block_count || bytes != plan->blocks[block].elements * sizeof(float))
        return false;
    struct slot *slot = &weights->slots[version % 2];
    if (version < slot->version)
        return true;
    if (version > slot->version) {
        memset(slot->has, 0, plan->block_count * sizeof *slot->has);
        slot->missing = plan->block_count;
        slot->version = version;
    }
    memcpy(slot->live + plan->blocks[block].offset, data, bytes);
    slot->missing -= !slot->has[block];
    slot->has[block] = true;
    return true;
}

uint64_t weights_latest(const struct weights *weights)
{
    uint64_t latest = 0;
    for (int i = 0; i < 2; i++)
        if (weights->slots[i].missing == 0 && weights->slots[i].version > latest)
            latest = weights->slots[i].version;
    return latest;
}

const float *weights_live(const struct weights *weights, uint64_t version)
{
    const struct slot *slot = &weights->slots[version % 2];
    CHECK(slot->version == version && slot->missing == 0);
    return slot->live;
}
