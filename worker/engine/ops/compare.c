/* Equal, Greater, Less and their kin, And, Or: 1 where true, 0 where not. They are constant between
 * jumps, so no gradient passes (as in PyTorch). */
#include "worker/engine/ops/pair.h"

#define COMPARISON(name, holds)                                                                    \
    PAIR_VALUE(name##_value, (holds) ? 1.0f : 0.0f)                                                \
    PAIR_FORWARD(name)                                                                             \
    const struct op_kernel op_##name = {.forward = name##_forward};

COMPARISON(equal, p == q)
COMPARISON(greater, p > q)
COMPARISON(greater_or_equal, p >= q)
COMPARISON(less, p < q)
COMPARISON(less_or_equal, p <= q)
COMPARISON(and, p != 0 && q != 0)
COMPARISON(or, p != 0 || q != 0)
