/* GlobalMaxPool over all but sample and channel: the first largest element of a plane (NaN counts as
 * largest, so that it is not hidden) takes the gradient, as in MaxPool. */
#include <math.h>
#include <string.h>

#include "worker/engine/ops/op.h"

static size_t first_largest(const float *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best] || (isnan(x[i]) && !isnan(x[best])))
            best = i;
    return best;
}

OP_FORWARD(global_max_forward)
{
    size_t planes = op_elements(&site->y_shape), n = op_elements(&site->x_shape[0]) / planes;
    (void)scratch;
    for (size_t i = 0; i < planes; i++)
        y[i] = x[0][i * n + first_largest(x[0] + i * n, n)];
}

OP_BACKWARD(global_max_backward)
{
    size_t planes = op_elements(&site->y_shape), n = op_elements(&site->x_shape[0]) / planes;
    (void)y, (void)scratch;
    memset(dx[0], 0, planes * n * sizeof **dx);
    for (size_t i = 0; i < planes; i++)
        dx[0][i * n + first_largest(x[0] + i * n, n)] = dy[i];
}

const struct op_kernel op_global_max_pool = {.forward = global_max_forward,
                                             .backward = global_max_backward};
