/* Batches of decoded samples, decoded ahead by one thread while the caller computes. First in,
 * first out.
 *
 *     loader_submit(loader, ids, count)      up to LOADER_QUEUE batches ahead
 *     loader_take(loader, &batch, &err)      the oldest; waits for it
 *
 * A sample that fails to decode doesn't fail its batch: its row is zeros, valid[i] is 0, and it is
 * listed with the reason; the caller skips, counts and reports it. All functions are for one
 * thread; the decoder belongs to the loader's own thread from create to destroy. Memory is taken at
 * creation. */
#ifndef GRAFT_WORKER_DATA_LOADER_H
#define GRAFT_WORKER_DATA_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "worker/data/decoder.h"

#define LOADER_QUEUE 2

struct loader;

struct loader_failure {
    uint32_t id;
    struct error error;
};

/* Borrowed from the loader until the next loader_take or loader_destroy. */
struct loader_batch {
    const float *inputs;  /* [count, decoder_elements] */
    const uint8_t *valid; /* [count] */
    const uint32_t *ids;  /* [count] */
    size_t count;
    const struct loader_failure *failures;
    size_t failure_count;
};

/* `decoder` is borrowed until loader_destroy. Errors: ERR_MEMORY. */
enum status loader_create(struct decoder *decoder, size_t batch_max, struct loader **out,
                          struct error *err) MUST_CHECK;
/* Stops after the sample being decoded; what was submitted and not taken is dropped. */
void loader_destroy(struct loader **loader);

/* Copies ids[count], count ≤ batch_max; all are decoded as `variant` (augment.h). False when LOADER_QUEUE batches are waiting already.
 * Doesn't block. */
bool loader_submit(struct loader *loader, const uint32_t *ids, size_t count,
                   uint32_t variant) MUST_CHECK;

/* The oldest batch submitted; there must be one. Waits for the disk. Errors: ERR_STATE (the data
 * changed since the manifest was made), ERR_MEMORY; the batch is then gone. */
enum status loader_take(struct loader *loader, struct loader_batch *out,
                        struct error *err) MUST_CHECK;

/* Submit and take in one, when nothing is waiting. */
enum status loader_load(struct loader *loader, const uint32_t *ids, size_t count,
                        struct loader_batch *out, struct error *err) MUST_CHECK;

#endif
