/* The constant values of a program as float32 (graph.h): those of the graph and, computed once, those
 * that depend on nothing else and do not have the batch axis. A live parameter is no constant. Of a
 * file's other types, truth becomes 0 or 1; float64 is rounded, beyond float32's range to its end; a
 * whole number that float32 does not hold exactly is refused. */
#ifndef GRAFT_WORKER_ENGINE_CONSTANTS_H
#define GRAFT_WORKER_ENGINE_CONSTANTS_H

#include "common/base/error.h"
#include "worker/engine/onednn.h"
#include "worker/engine/program.h"

struct constants {
    const float **data; /* per value: dense floats, or NULL when it is not constant */
    float **owned;      /* per value: memory to free, or NULL */
    size_t count;
};

/* Errors: ERR_MEMORY; ERR_INPUT for a whole number too large, or an index outside its axis. On failure
 * deinit is allowed, as on a zeroed struct. */
enum status constants_init(struct constants *constants, const struct program *program,
                           const struct onednn *dnn, struct error *err) MUST_CHECK;
void constants_deinit(struct constants *constants);

#endif
