#include "common/data/division.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "common/base/random.h"

#define SEED 0x67726166742d7631u /* "graft-v1" */
#define SLACK 1e-9               /* so that 0.8 + 0.2 of n is n */

struct drawn {
    uint64_t key;
    size_t position;
};

static int compare_drawn(const void *a, const void *b)
{
    const struct drawn *left = a, *right = b;
    if (left->key != right->key)
        return left->key < right->key ? -1 : 1;
    return left->position < right->position ? -1 : left->position > right->position;
}

static void assign(struct sample *samples, const struct drawn *drawn, size_t count,
                   const double shares[SPLIT_COUNT])
{
    double n = (double)count, both = shares[SPLIT_TRAIN] + shares[SPLIT_VALIDATION];
    size_t train = (size_t)floor(shares[SPLIT_TRAIN] * n + SLACK);
    size_t seen = (size_t)floor(both * n + SLACK);
    enum split last = SPLIT_TRAIN;
    for (enum split split = SPLIT_TRAIN; split < SPLIT_DIVIDE; split++)
        last = shares[split] > SLACK ? split : last;
    for (size_t i = 0; i < count; i++) {
        enum split split = i < train ? SPLIT_TRAIN : i < seen ? SPLIT_VALIDATION : last;
        samples[drawn[i].position].split = (uint8_t)split;
    }
}

enum status division_assign(struct sample *samples, size_t count, uint32_t domain,
                            const double shares[SPLIT_COUNT], struct error *err)
{
    size_t used = 0;
    struct drawn *drawn = memory_alloc(count, sizeof *drawn);
    if (drawn == NULL)
        return error_set(err, ERR_MEMORY, "no memory to divide %zu samples", count);
    for (size_t i = 0; i < count; i++) {
        if (samples[i].split != SPLIT_DIVIDE)
            continue;
        struct random_key key = {SEED, RANDOM_SPLIT, 0, (uint64_t)domain << 32 | i};
        drawn[used++] = (struct drawn){random_bits(key, 0), i};
    }
    qsort(drawn, used, sizeof *drawn, compare_drawn);
    assign(samples, drawn, used, shares);
    memory_free(drawn);
    return OK;
}
