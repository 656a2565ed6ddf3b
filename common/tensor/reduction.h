/* Sum of one vector per shard, always in the same order: a binary tree over shard numbers.
 *
 *            [0,8)          A node is an aligned power-of-two range of shards; its sum is left +
 *        [0,4)   [4,8)      right. With S shards, a range that lies wholly beyond S is absent, and
 *      [0,2) [2,4) …        its parent equals the other child. The result depends on S alone, not on
 *     0   1  2   3 …        who added what: a worker adds the leaves it owns and sends the nodes it
 *                           holds then; a server adds those nodes and goes on with the same tree.
 *
 * Adding a node that is already covered changes nothing; adding one that covers nodes held replaces
 * them (they are bitwise parts of the same sum). Each node carries a count of samples that is
 * summed along. Not thread safe. Buffers are kept for reuse: a steady step makes no heap call. They are shared memory
 * (common/base/shared.h): whoever keeps one keeps its values; the tree goes on in another.
 */
#ifndef GRAFT_COMMON_TENSOR_REDUCTION_H
#define GRAFT_COMMON_TENSOR_REDUCTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

#define REDUCTION_SHARDS_MAX 1024

struct reduction;

/* APART: elements are bytes that cannot be added; leaves stay leaves and it is never complete. */
enum reduction_type { REDUCTION_F32, REDUCTION_F64, REDUCTION_APART };

enum reduction_result {
    REDUCTION_ADDED,
    REDUCTION_DUPLICATE, /* already covered: nothing changed */
    REDUCTION_COMPLETE,  /* this node made the root */
    REDUCTION_REFUSED,   /* not a node of this tree, or no memory */
};

struct reduction_node {
    uint32_t first, log2;
    uint64_t count;
    void *sum; /* shared memory; borrowed until the next add or reset; not to be changed */
};

enum status reduction_create(enum reduction_type type, uint32_t shards, size_t elements,
                             struct reduction **out, struct error *err) MUST_CHECK;
void reduction_destroy(struct reduction **reduction);
void reduction_reset(struct reduction *reduction);

/* Adds the node [first, first + 2^log2) with `count` samples. `sum` (elements of the type) is
 * copied. */
enum reduction_result reduction_add(struct reduction *reduction, uint32_t first, uint32_t log2,
                                    uint64_t count, const void *sum);

bool reduction_complete(const struct reduction *reduction);
/* The root; only when complete. */
struct reduction_node reduction_root(const struct reduction *reduction);

/* Walks the nodes held, in ascending order of shards: *at starts at 0. False at the end. */
bool reduction_next(const struct reduction *reduction, uint32_t *at, struct reduction_node *out);

/* True when shard `shard` is covered by a node held. */
bool reduction_covers(const struct reduction *reduction, uint32_t shard);

#endif
