/* Sums of a row in double precision and one fixed order: sixteen lanes side by side, then the lanes
 * one after another. */
#ifndef GRAFT_WORKER_ENGINE_OPS_SUMS_H
#define GRAFT_WORKER_ENGINE_OPS_SUMS_H

#include <stddef.h>

double sums_row(const float *x, size_t n);                     /* Σ x */
double sums_product(const float *x, const float *y, size_t n); /* Σ x·y */
double sums_deviation(const float *x, double mean, size_t n);  /* Σ (x - mean)² */

/* to += from */
void sums_add(float *to, const float *from, size_t n);

#endif
