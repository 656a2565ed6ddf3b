/* Gradients with fewer bytes: what a PUSH carries of a parameter block when the stage compresses.
 * Only single shards are coded (what a worker's other shards add would depend on the placement), each
 * block by itself; the server decodes and sums as ever.
 *
 *   bfloat16, float16   2 bytes a value, rounded to nearest even; float16 saturates at ±65504
 *   int8                1 byte a value and a float32 scale (largest magnitude / 127) for each 256
 *   int8_stochastic     the same, rounded up with the probability of the remainder: unbiased
 *                       (QSGD, Alistarh et al. 2017, §3.1), by random numbers that depend on the key
 *                       alone
 *   top_k               the ⌈share · n⌉ values of largest magnitude as they are, the others as 0
 *                       (ties: the first), 8 bytes each (Aji & Heafield 2017)
 *
 * All but int8_stochastic are biased: whoever codes keeps the error and adds it to the next gradient
 * (worker/sync/compressor.h). Little-endian, like the processors that graft runs on. */
#ifndef GRAFT_COMMON_WIRE_CODING_H
#define GRAFT_COMMON_WIRE_CODING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/random.h"
#include "common/config/job.h"

/* Bytes that n values become. n below 2^32. */
size_t coding_bytes(const struct compression_config *config, size_t n);

/* Writes coding_bytes to out (aligned to 4). A value that is not finite stays such, or makes its group such, so
 * that the server refuses the step. `key` of a draw for each value: int8_stochastic only. */
void coding_encode(const struct compression_config *config, struct random_key key,
                   const float *values, size_t n, void *out);

/* Of coding_bytes, which may lie anywhere; false when they are not what coding_encode writes (positions of top_k outside or
 * out of order). */
bool coding_decode(const struct compression_config *config, const void *bytes, size_t n,
                   float *values);

#endif
