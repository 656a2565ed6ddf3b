/* The trunk as an inference program: constants folded, batch norm and scalar affines folded into
 * convolutions, activations and sums fused, oneDNN's blocked layouts, one planned arena. Built once
 * for a fixed batch. Of model.trunk_dtype bfloat16 are weights and activations (16 bits, half the
 * bytes and up to twice the speed), while products are summed, biases added and features handed over
 * in float32; kernels of our own and operators for which oneDNN has none of bfloat16 compute in
 * float32 in between. Owned and run by one thread (oneDNN may use more inside). Deterministic: a
 * sample's features depend neither on its neighbours' nor on its place in the batch (tested), which is
 * what caching needs. */
#ifndef GRAFT_WORKER_ENGINE_TRUNK_H
#define GRAFT_WORKER_ENGINE_TRUNK_H

#include <stddef.h>

#include "common/base/error.h"
#include "common/model/plan.h"

/* Raised whenever other kernels or another order of sums give features other bits: cached ones of an
 * older engine are then not taken. */
#define TRUNK_REVISION 2

struct trunk;

/* Can numbers of the type be multiplied on a processor with this instruction set (trunk_isa)? Else
 * ERR_SUPPORT. trunk_create asks it too. */
enum status trunk_supports(enum trunk_dtype dtype, unsigned isa, struct error *err) MUST_CHECK;
/* oneDNN's number for what it uses here (dnnl_cpu_isa_t: one bit an extension). */
unsigned trunk_isa(void);

enum status trunk_create(const struct plan *plan, size_t batch, struct trunk **out,
                         struct error *err) MUST_CHECK;
void trunk_destroy(struct trunk **trunk);

/* What it takes for itself. */
struct trunk_bytes {
    size_t work;    /* activations and scratch of the samples in work */
    size_t weights; /* copies, as the kernels like them */
};
struct trunk_bytes trunk_bytes(const struct trunk *trunk);

/* inputs [batch, input…] → features [batch, boundary_elements], overwritten. No heap call. Errors:
 * ERR_INPUT for an index outside its axis (a token that the network does not know). */
enum status trunk_run(struct trunk *trunk, const float *inputs, float *features,
                      struct error *err) MUST_CHECK;

#endif
