/* Buffers that are alive for an interval of steps, laid out in one piece of memory: buffers whose
 * intervals do not meet may share bytes. Greedy by size (Pisarchyk & Lee, "Efficient Memory
 * Management for Deep Neural Net Inference", 2020, "greedy by size for offset calculation"). */
#ifndef GRAFT_WORKER_ENGINE_ARENA_H
#define GRAFT_WORKER_ENGINE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

struct arena_buffer {
    size_t bytes;
    size_t first, last; /* steps; last ≥ first */
    size_t offset;      /* filled by arena_plan: a multiple of MEMORY_ALIGN */
};

/* Fills the offsets; *total: bytes of the whole. Errors: ERR_MEMORY. */
enum status arena_plan(struct arena_buffer *buffers, size_t count, size_t *total,
                       struct error *err) MUST_CHECK;

#endif
