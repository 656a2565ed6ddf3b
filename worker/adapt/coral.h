/* Deep CORAL (Sun & Saenko 2016) with moments over the whole step, exact whatever the number of
 * workers.
 *
 * Phase 1, per domain: n, S = Σh, Q = Σhhᵀ, summed over all shards by the servers.
 *   m = S/n,  C = (Q − SSᵀ/n)/(n−1),  Δ = C_s − C_t,  L = ‖Δ‖²_F/(4d²)
 * Phase 2, per sample: ∂L/∂h_i = ±Δ(h_i − m)/(d²(n−1)), + for the source, − for the target. */
#ifndef GRAFT_WORKER_ADAPT_CORAL_H
#define GRAFT_WORKER_ADAPT_CORAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "worker/adapt/cross_entropy.h"

struct coral;

/* Room for d features and micro-batches of at most batch_max. */
enum status coral_create(size_t features, size_t batch_max, struct coral **out,
                         struct error *err) MUST_CHECK;
void coral_destroy(struct coral **coral);

/* hidden [count, d] → sums [d + d(d+1)/2] as the layout says, overwritten, in double. */
void coral_moments(struct coral *coral, const float *hidden, size_t count, double *sums);

/* From the finished sums of source and target, once a step. Fewer than two samples in a domain: the
 * loss is off. */
void coral_begin(struct coral *coral, const double *source, uint64_t source_count,
                 const double *target, uint64_t target_count);

/* L of the step. */
double coral_loss(const struct coral *coral);

/* Adds weight · n · ∂L/∂h_i to dhidden [count, d]; n is the domain's count over the step: the
 * server divides the summed gradient by it. The returned gradient_square is that of ∂L/∂h
 * (unweighted, without n); loss stays 0. */
struct loss_sum coral_gradient(struct coral *coral, bool source, const float *hidden, size_t count,
                               double weight, float *dhidden);

#endif
