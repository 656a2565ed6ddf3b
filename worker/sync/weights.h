/* The worker's copy of the live weights, as the servers publish them. Two versions are kept,
 * because servers finish a step at different moments: while one has version v+1 already, all blocks
 * of v are still needed. One thread. */
#ifndef GRAFT_WORKER_SYNC_WEIGHTS_H
#define GRAFT_WORKER_SYNC_WEIGHTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/model/plan.h"

struct weights;

enum status weights_create(const struct plan *plan, struct weights **out,
                           struct error *err) MUST_CHECK;
void weights_destroy(struct weights **weights);

/* Takes a block of a version. False (nothing changed) when it is not a block or has another size;
 * older versions than those held are ignored. */
bool weights_take(struct weights *weights, uint64_t version, uint32_t block, const void *data,
                  size_t bytes);

/* The newest version of which all blocks are here; 0 (no version) when there is none. */
uint64_t weights_latest(const struct weights *weights);

/* The live vector of a complete version (CHECKed); valid until a block of version + 2 is taken. */
const float *weights_live(const struct weights *weights, uint64_t version);

#endif
