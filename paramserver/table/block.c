#include "paramserver/table/block.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/base/shared.h"

static bool allocate_values(struct block *block, size_t states)
{
    bool all = true;
    if (block->kind == BLOCK_PARAMETER) {
        for (int i = 0; i < 2; i++)
            all &= (block->weights[i] = shared_alloc(block->elements, sizeof(float))) != NULL;
        for (size_t i = 0; i < states; i++)
            all &= (block->states[i] = memory_alloc(block->elements, sizeof(float))) != NULL;
        if (block->pretrained)
            all &= (block->anchor = memory_alloc(block->elements, sizeof(float))) != NULL;
    }
    if (block->kind == BLOCK_STATISTIC)
        all &= (block->finished = memory_alloc(block->elements * block->domains, sizeof(double))) !=
               NULL;
    if (block->kind == BLOCK_METRIC)
        all &= (block->totals = memory_alloc(block->elements * block->domains, sizeof(double))) !=
               NULL;
    return all;
}

enum status block_init(struct block *block, const struct load_block *load, size_t domains,
                       uint32_t shards, size_t states, struct error *err)
{
    CHECK(domains >= 1 && domains <= JOB_DOMAINS_MAX);
    memset(block, 0, sizeof *block);
    block->id = load->block;
    block->kind = (enum block_kind)load->kind;
    block->elements = (size_t)load->elements;
    block->pretrained = load->pretrained != 0;
    block->running = load->running != 0;
    block->domains = domains;
    if (!allocate_values(block, states)) {
        block_deinit(block);
        return error_set(err, ERR_MEMORY, "no memory for block %u of %zu values", load->block,
                         (size_t)load->elements);
    }
    enum reduction_type type = block->kind == BLOCK_PARAMETER ? REDUCTION_F32 : REDUCTION_F64;
    enum status status = OK;
    for (size_t d = 0; d < domains && status == OK; d++)
        status = reduction_create(type, shards, block->elements, &block->sums[d], err);
    if (status != OK)
        block_deinit(block);
    return status;
}

void block_deinit(struct block *block)
{
    for (int i = 0; i < 2; i++)
        shared_drop(block->weights[i]);
    for (size_t i = 0; i < OPTIMIZER_STATES_MAX; i++)
        memory_free(block->states[i]);
    memory_free(block->anchor);
    block_keep_seen(block, NULL, 0);
    memory_free(block->seen);
    memory_free(block->clocks);
    memory_free(block->totals);
    memory_free(block->finished);
    for (size_t d = 0; d < JOB_DOMAINS_MAX; d++)
        reduction_destroy(&block->sums[d]);
    memset(block, 0, sizeof *block);
}

float *block_writable(struct block *block, uint64_t version)
{
    float **at = &block->weights[version % 2];
    if (!shared_alone(*at)) {
        float *fresh = shared_alloc(block->elements, sizeof *fresh);
        if (fresh == NULL)
            return NULL;
        shared_drop(*at);
        *at = fresh;
    }
    return *at;
}

size_t block_value_bytes(const struct block *block)
{
    return block->kind == BLOCK_PARAMETER ? sizeof(float) : sizeof(double);
}

enum reduction_result block_add(struct block *block, uint32_t domain, uint32_t first, uint32_t log2,
                                uint64_t count, const void *sum)
{
    CHECK(domain < block->domains);
    enum reduction_result result = reduction_add(block->sums[domain], first, log2, count, sum);
    if (result != REDUCTION_COMPLETE)
        return result;
    block->domains_complete++;
    return block->domains_complete == block->domains ? REDUCTION_COMPLETE : REDUCTION_ADDED;
}

void block_reset(struct block *block)
{
    for (size_t d = 0; d < block->domains; d++)
        reduction_reset(block->sums[d]);
    block->domains_complete = 0;
}

/* ---- clocks ---- */

enum status block_set_clocks(struct block *block, uint32_t shards, uint32_t clock,
                             struct error *err)
{
    block->clocks = memory_alloc(shards, sizeof *block->clocks);
    if (block->clocks == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the clocks of block %u", block->id);
    for (uint32_t s = 0; s < shards; s++)
        block->clocks[s] = clock;
    block->shards = shards;
    block->slowest = clock;
    block->updates = (uint64_t)shards * clock;
    return OK;
}

void block_tick(struct block *block, uint32_t shard)
{
    CHECK(shard < block->shards);
    block->updates++;
    block->clocks[shard]++;
    uint32_t slowest = UINT32_MAX;
    for (uint32_t s = 0; s < block->shards; s++)
        slowest = block->clocks[s] < slowest ? block->clocks[s] : slowest;
    block->slowest = slowest;
}

static struct seen_weights *find_seen(const struct block *block, uint64_t peer)
{
    for (size_t i = 0; i < block->seen_count; i++)
        if (block->seen[i].peer == peer)
            return &block->seen[i];
    return NULL;
}

static struct seen_weights *add_seen(struct block *block, uint64_t peer, struct error *err)
{
    if (block->seen_count == block->seen_room) {
        size_t room = block->seen_room > 0 ? 2 * block->seen_room : 4;
        struct seen_weights *seen = memory_alloc(room, sizeof *seen);
        if (seen == NULL) {
            (void)error_set(err, ERR_MEMORY, "no memory for the weights of %zu peers", room);
            return NULL;
        }
        if (block->seen_count > 0)
            memcpy(seen, block->seen, block->seen_count * sizeof *seen);
        memory_free(block->seen);
        block->seen = seen;
        block->seen_room = room;
    }
    struct seen_weights *seen = &block->seen[block->seen_count++];
    *seen = (struct seen_weights){.peer = peer};
    return seen;
}

enum status block_show(struct block *block, uint64_t peer, struct error *err)
{
    struct seen_weights *seen = find_seen(block, peer);
    if (seen == NULL && (seen = add_seen(block, peer, err)) == NULL)
        return ERR_MEMORY;
    float *newest = block->weights[block->updates % 2];
    shared_keep(newest);
    shared_drop(seen->weights);
    seen->weights = newest;
    seen->updates = block->updates;
    return OK;
}

const float *block_seen(const struct block *block, uint64_t peer, uint64_t updates)
{
    const struct seen_weights *seen = find_seen(block, peer);
    return seen != NULL && seen->updates == updates ? seen->weights : NULL;
}

void block_keep_seen(struct block *block, const uint64_t *peers, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < block->seen_count; i++) {
        bool stays = false;
        for (size_t k = 0; k < count; k++)
            stays |= peers[k] == block->seen[i].peer;
        if (stays)
            block->seen[kept++] = block->seen[i];
        else
            shared_drop(block->seen[i].weights);
    }
    block->seen_count = kept;
}
