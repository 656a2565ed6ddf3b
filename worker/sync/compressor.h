/* Codes the gradients of single shards (common/wire/coding.h) with error feedback: what coding left
 * out of a shard's gradient is added to that shard's next one (Seide et al. 2014; Karimireddy et al. 2019,
 * algorithm 1, but on the gradient, before the server's learning rate). So nothing is lost, only late.
 *
 * The error belongs to the shard and to the epoch: it begins at zero, and nobody but the worker that
 * has the shard knows it. When a shard changes hands, the coordinator takes the cluster back to the
 * start of the epoch (job_feeds_back_errors), so that the result is the same whoever computes it.
 * Running statistics are sent as they are. One thread. */
#ifndef GRAFT_WORKER_SYNC_COMPRESSOR_H
#define GRAFT_WORKER_SYNC_COMPRESSOR_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/config/job.h"
#include "common/model/plan.h"

struct compressor;

/* `job` and `plan` are borrowed. */
enum status compressor_create(const struct job *job, const struct plan *plan, size_t stage,
                              struct compressor **out, struct error *err) MUST_CHECK;
void compressor_destroy(struct compressor **compressor);

/* An epoch begins: no errors yet. */
void compressor_begin(struct compressor *compressor);

/* Of a coded gradient, and of block number `block` in it. */
size_t compressor_bytes(const struct compressor *compressor);
size_t compressor_block_offset(const struct compressor *compressor, size_t block);
size_t compressor_block_bytes(const struct compressor *compressor, size_t block);

/* gradient[live_elements] of a shard's step (once each) in a slot of the stage's domains → *coded,
 * compressor_bytes of them, which are borrowed until the next call. `gradient` is changed. Errors: ERR_MEMORY. */
enum status compressor_code(struct compressor *compressor, uint32_t shard, size_t slot,
                            uint32_t step, float *gradient, const void **coded,
                            struct error *err) MUST_CHECK;

#endif
