/* The newest live weights that came, block by block (ssp, asp), and how many updates each block had
 * taken then. One thread. */
#ifndef GRAFT_WORKER_SYNC_FRESH_H
#define GRAFT_WORKER_SYNC_FRESH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/model/plan.h"

struct fresh;

enum status fresh_create(const struct plan *plan, struct fresh **out, struct error *err) MUST_CHECK;
void fresh_destroy(struct fresh **fresh);

/* Takes a block unless a newer one is here. False (nothing changed) when it is not a block or has
 * another size. */
bool fresh_take(struct fresh *fresh, uint64_t updates, uint32_t block, const void *data,
                size_t bytes);

/* All blocks have come. */
bool fresh_complete(const struct fresh *fresh);
/* … and have taken exactly so many updates. */
bool fresh_is_at(const struct fresh *fresh, uint64_t updates);

/* The live vector of complete weights, and from now on fresh_seen tells their updates per block. Both
 * borrowed; the vector changes with the next block taken. */
const float *fresh_use(struct fresh *fresh);
const uint64_t *fresh_seen(const struct fresh *fresh);

#endif
