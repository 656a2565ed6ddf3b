/* The constant values of a program: those of the graph and, computed once, those that only depend
 * on constants (values without the batch axis). */
#ifndef GRAFT_WORKER_ENGINE_CONSTANTS_H
#define GRAFT_WORKER_ENGINE_CONSTANTS_H

#include "common/base/error.h"
#include "worker/engine/onednn.h"
#include "worker/engine/program.h"

struct constants {
    const float **data; /* per value: dense floats, or NULL when it depends on the input */
    float **owned;      /* per value: memory to free, or NULL */
    size_t count;
};

/* On failure deinit is allowed, as on a zeroed struct. */
enum status constants_init(struct constants *constants, const struct program *program,
                           const struct onednn *dnn, struct error *err) MUST_CHECK;
void constants_deinit(struct constants *constants);

#endif
