/* L2-SP (Li, Grandvalet & Davoine 2018, equation 2): pretrained weights are pulled toward where
 * they started, the new head toward zero: g += α(w − w⁰), g += β·w. */
#ifndef GRAFT_PARAMSERVER_OPTIM_ANCHOR_H
#define GRAFT_PARAMSERVER_OPTIM_ANCHOR_H

#include <stddef.h>

/* start: w⁰, or NULL for zero. gradient[elements] is added to. */
void anchor_pull(double strength, const float *weights, const float *start, float *gradient,
                 size_t elements);

#endif
