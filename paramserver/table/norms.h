/* The global norm of a step's gradient, put together of the squares of all parameter blocks' norms,
 * whichever servers hold them: their sum in block order, in double, so that it does not depend on
 * who holds what. Servers are at most one step apart, so one step at a time is enough. One thread. */
#ifndef GRAFT_PARAMSERVER_TABLE_NORMS_H
#define GRAFT_PARAMSERVER_TABLE_NORMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

struct norms {
    uint64_t version; /* of the step that is being put together */
    size_t blocks, missing;
    double *squares; /* per block */
    bool *has;
};

/* Forgets all; blocks: parameter blocks of the stage. Errors: ERR_PEER above WIRE_BLOCKS_MAX;
 * ERR_MEMORY. */
enum status norms_reset(struct norms *norms, size_t blocks, struct error *err) MUST_CHECK;
void norms_deinit(struct norms *norms);

/* Takes one block's ‖g‖². A newer step begins anew, an older one changes nothing. False: no such
 * block, or no square of a finite number. */
bool norms_take(struct norms *norms, uint64_t version, uint32_t block, double square);

bool norms_complete(const struct norms *norms, uint64_t version);

/* min(1, most / ‖g‖) of the complete step (Pascanu, Mikolov & Bengio 2013, algorithm 1). Errors:
 * ERR_INPUT when the sum is not finite. */
enum status norms_scale(const struct norms *norms, double most, float *out,
                        struct error *err) MUST_CHECK;

#endif
