/* Values out to the servers (LOAD) and back from them (SNAPSHOT). Knows blocks and messages, not
 * when they are sent. */
#ifndef GRAFT_COORDINATOR_JOB_LOADING_H
#define GRAFT_COORDINATOR_JOB_LOADING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/model/layout.h"
#include "common/wire/outbox.h"
#include "coordinator/job/values.h"

/* What does not change while a stage is loaded. */
struct loading {
    const struct values *values;
    const float *anchor; /* [live_elements]: w⁰ of the pretrained tensors */
    const struct layout *layout;
    const uint32_t *owners; /* partition of each block, [layout->block_count] */
    uint32_t shards, domains, steps_per_epoch;
    uint64_t version, stage_version;
};

/* Bytes that each block moves in a step, for placement; bytes[layout->block_count]. */
void loading_block_bytes(const struct plan *plan, const struct layout *layout, size_t domains,
                         size_t *bytes);

/* Sends the blocks of a partition, in as many messages as it takes, from part `first` on. */
void loading_send(const struct loading *loading, uint32_t partition, uint32_t first, uint64_t peer,
                  struct outbox outbox);

/* Snapshots of all servers, put together. */
struct gathering {
    struct values *values; /* written */
    double *metrics;       /* [domains, layout->metric_elements], written */
    const struct layout *layout;
    size_t domains;
    uint64_t version;
    bool *has; /* per block; owned by the caller, [layout->block_count] */
    size_t missing;
};

void gathering_begin(struct gathering *gathering, uint64_t version);

/* Takes a part; false when it does not fit (nothing is changed beyond the blocks that did). A part
 * that comes twice, or of another version, changes nothing. */
bool gathering_take(struct gathering *gathering, const struct message_snapshot *snapshot,
                    const struct frame *payloads, size_t count);

#endif
