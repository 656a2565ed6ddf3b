#include "common/tensor/reduction.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/base/shared.h"

/* Heap order: node 1 is the root, 2i and 2i+1 are the children of i; leaves are `leaves` …
 * 2*leaves-1. */
struct reduction {
    enum reduction_type type;
    uint32_t shards;
    uint32_t leaves; /* smallest power of two >= shards */
    uint32_t leaves_log2;
    size_t elements;
    size_t bytes;
    void **held;      /* [2*leaves] */
    void **spare;     /* [2*leaves] */
    uint64_t *counts; /* [2*leaves] */
    size_t spare_count;
    uint64_t arrays[]; /* of these three */
};
_Static_assert(sizeof(void *) == sizeof(uint64_t), "pointers and counts share an array");

enum status reduction_create(enum reduction_type type, uint32_t shards, size_t elements,
                             struct reduction **out, struct error *err)
{
    CHECK(shards >= 1 && shards <= REDUCTION_SHARDS_MAX);
    uint32_t leaves_log2 = 0;
    while ((1u << leaves_log2) < shards)
        leaves_log2++;
    size_t nodes = (size_t)2 << leaves_log2;
    struct reduction *reduction =
        memory_alloc(sizeof *reduction + 3 * nodes * sizeof *reduction->arrays, 1);
    if (reduction == NULL)
        return error_set(err, ERR_MEMORY, "no memory for a sum over shards");
    reduction->type = type;
    reduction->shards = shards;
    reduction->leaves = 1u << leaves_log2;
    reduction->leaves_log2 = leaves_log2;
    reduction->held = (void **)reduction->arrays;
    reduction->spare = reduction->held + nodes;
    reduction->counts = reduction->arrays + 2 * nodes;
    reduction->elements = elements;
    static const size_t bytes[] = {sizeof(float), sizeof(double), 1};
    reduction->bytes = elements * bytes[type];
    *out = reduction;
    return OK;
}

void reduction_destroy(struct reduction **reduction)
{
    if (*reduction == NULL)
        return;
    reduction_reset(*reduction);
    while ((*reduction)->spare_count > 0)
        shared_drop((*reduction)->spare[--(*reduction)->spare_count]);
    memory_free(*reduction);
    *reduction = NULL;
}

static void drop_node(struct reduction *reduction, uint32_t node)
{
    if (reduction->held[node] != NULL)
        reduction->spare[reduction->spare_count++] = reduction->held[node];
    reduction->held[node] = NULL;
    reduction->counts[node] = 0;
}

void reduction_reset(struct reduction *reduction)
{
    for (uint32_t node = 1; node < 2 * reduction->leaves; node++)
        drop_node(reduction, node);
}

/* A spare one that is not being sent any more. When all are, one is left to its messages, so that a
 * peer that takes nothing makes no more spares than there are nodes. */
static void *take_buffer(struct reduction *reduction)
{
    for (size_t i = reduction->spare_count; i > 0; i--) {
        void *buffer = reduction->spare[i - 1];
        if (!shared_alone(buffer))
            continue;
        reduction->spare[i - 1] = reduction->spare[--reduction->spare_count];
        return buffer;
    }
    if (reduction->spare_count > 0)
        shared_drop(reduction->spare[--reduction->spare_count]);
    return shared_alloc(reduction->bytes, 1);
}

/* The node's values, to be changed: copied first if they are still being sent. NULL: no memory. */
static void *writable(struct reduction *reduction, uint32_t node)
{
    void *old = reduction->held[node];
    if (shared_alone(old))
        return old;
    void *copy = take_buffer(reduction);
    if (copy == NULL)
        return NULL;
    memcpy(copy, old, reduction->bytes);
    shared_drop(old);
    reduction->held[node] = copy;
    return copy;
}

static void add_into(const struct reduction *reduction, void *left, const void *right)
{
    if (reduction->type == REDUCTION_F32) {
        float *to = left;
        const float *from = right;
        for (size_t i = 0; i < reduction->elements; i++)
            to[i] += from[i];
    } else {
        double *to = left;
        const double *from = right;
        for (size_t i = 0; i < reduction->elements; i++)
            to[i] += from[i];
    }
}

static uint32_t node_of(const struct reduction *reduction, uint32_t first, uint32_t log2)
{
    return (reduction->leaves + first) >> log2;
}

static uint32_t first_shard(const struct reduction *reduction, uint32_t node)
{
    while (node < reduction->leaves)
        node *= 2;
    return node - reduction->leaves;
}

static uint32_t node_log2(const struct reduction *reduction, uint32_t node)
{
    uint32_t log2 = 0;
    while (node < reduction->leaves) {
        node *= 2;
        log2++;
    }
    return log2;
}

static bool covered(const struct reduction *reduction, uint32_t node)
{
    for (; node >= 1; node /= 2)
        if (reduction->held[node] != NULL)
            return true;
    return false;
}

/* All nodes below `node`, level by level. */
static void drop_below(struct reduction *reduction, uint32_t node)
{
    uint32_t low = 2 * node, high = 2 * node + 1;
    for (; low < 2 * reduction->leaves; low = 2 * low, high = 2 * high + 1)
        for (uint32_t at = low; at <= high; at++)
            drop_node(reduction, at);
}

static void merge_up(struct reduction *reduction, uint32_t node)
{
    while (node > 1 && reduction->type != REDUCTION_APART) {
        uint32_t parent = node / 2, left = 2 * parent, right = left + 1;
        bool absent = first_shard(reduction, right) >= reduction->shards;
        if (!absent && (reduction->held[left] == NULL || reduction->held[right] == NULL))
            return;
        /* Without memory the two stay what they are: nodes of the same sum. */
        if (!absent && writable(reduction, left) == NULL)
            return;
        reduction->held[parent] = reduction->held[left];
        reduction->counts[parent] = reduction->counts[left] + reduction->counts[right];
        reduction->held[left] = NULL;
        if (!absent) {
            add_into(reduction, reduction->held[parent], reduction->held[right]);
            drop_node(reduction, right);
        }
        reduction->counts[left] = 0;
        node = parent;
    }
}

static bool hold(struct reduction *reduction, uint32_t node, uint64_t count, const void *sum)
{
    void *buffer = take_buffer(reduction);
    if (buffer == NULL)
        return false;
    memcpy(buffer, sum, reduction->bytes);
    reduction->held[node] = buffer;
    reduction->counts[node] = count;
    merge_up(reduction, node);
    return true;
}

/* Where the other half is here, the sum is added from where it lies: right + left has the bits of
 * left + right. */
static bool add_to_sibling(struct reduction *reduction, uint32_t node, uint64_t count,
                           const void *sum)
{
    uint32_t sibling = node ^ 1, parent = node / 2;
    if (node == 1 || reduction->type == REDUCTION_APART || reduction->held[sibling] == NULL ||
        writable(reduction, sibling) == NULL)
        return false;
    add_into(reduction, reduction->held[sibling], sum);
    reduction->held[parent] = reduction->held[sibling];
    reduction->counts[parent] = reduction->counts[sibling] + count;
    reduction->held[sibling] = NULL;
    reduction->counts[sibling] = 0;
    merge_up(reduction, parent);
    return true;
}

enum reduction_result reduction_add(struct reduction *reduction, uint32_t first, uint32_t log2,
                                    uint64_t count, const void *sum)
{
    if (first >= reduction->shards || log2 > reduction->leaves_log2 ||
        (first & ((1u << log2) - 1)) != 0)
        return REDUCTION_REFUSED;
    uint32_t node = node_of(reduction, first, log2);
    if (covered(reduction, node))
        return REDUCTION_DUPLICATE;
    drop_below(reduction, node);
    if (!add_to_sibling(reduction, node, count, sum) && !hold(reduction, node, count, sum))
        return REDUCTION_REFUSED;
    return reduction->held[1] != NULL ? REDUCTION_COMPLETE : REDUCTION_ADDED;
}

bool reduction_complete(const struct reduction *reduction)
{
    return reduction->held[1] != NULL;
}

static struct reduction_node describe(const struct reduction *reduction, uint32_t node)
{
    return (struct reduction_node){
        .first = first_shard(reduction, node),
        .log2 = node_log2(reduction, node),
        .count = reduction->counts[node],
        .sum = reduction->held[node],
    };
}

struct reduction_node reduction_root(const struct reduction *reduction)
{
    CHECK(reduction->held[1] != NULL);
    return describe(reduction, 1);
}

bool reduction_next(const struct reduction *reduction, uint32_t *at, struct reduction_node *out)
{
    /* *at is a shard number: the next node held is the one that covers the first covered shard from
     * there. */
    for (; *at < reduction->shards; (*at)++) {
        for (uint32_t node = reduction->leaves + *at; node >= 1; node /= 2) {
            if (reduction->held[node] == NULL)
                continue;
            *out = describe(reduction, node);
            *at = out->first + (1u << out->log2);
            return true;
        }
    }
    return false;
}

bool reduction_covers(const struct reduction *reduction, uint32_t shard)
{
    CHECK(shard < reduction->shards);
    return covered(reduction, reduction->leaves + shard);
}
