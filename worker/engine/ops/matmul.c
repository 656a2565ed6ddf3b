/* MatMul: matrices of the last two axes, one product for each index of the axes before them, which
 * broadcast (ONNX operator definition "MatMul", numpy's matmul). */
#include <string.h>

#include "worker/engine/ops/op.h"
#include "worker/engine/ops/op_walk.h"
#include "worker/engine/ops/product.h"

struct stack {
    struct product each;
    struct op_walk walk; /* over the axes before the matrices */
    bool repeats[2];     /* several products read the same matrix of this side */
};

/* The axes before the matrix. */
static struct shape lead_of(const struct shape *shape, size_t matrix_axes)
{
    struct shape lead = *shape;
    lead.rank = shape->rank > matrix_axes ? shape->rank - matrix_axes : 0;
    return lead;
}

static size_t rows_of(const struct shape *a)
{
    return a->rank > 1 ? (size_t)a->dims[a->rank - 2] : 1;
}

/* With one matrix on the right, all rows of the left side are one matrix. */
static struct stack single(const struct op_site *site, size_t inner)
{
    const struct shape one = {.rank = 0};
    return (struct stack){.each = {.rows = op_elements(&site->x_shape[0]) / inner,
                                   .inner = inner,
                                   .columns = op_elements(&site->x_shape[1]) / inner,
                                   .alpha = 1},
                          .walk = op_walk_broadcast(&one, &one, &one)};
}

static struct stack stack_of(const struct op_site *site)
{
    const struct shape *a = &site->x_shape[0], *b = &site->x_shape[1];
    size_t inner = (size_t)a->dims[a->rank - 1];
    if (b->rank <= 2)
        return single(site, inner);
    struct shape lead_a = lead_of(a, 2), lead_b = lead_of(b, 2);
    struct shape lead = lead_of(&site->y_shape, a->rank > 1 ? 2 : 1);
    struct stack stack = {.each = {.rows = rows_of(a),
                                   .inner = inner,
                                   .columns = (size_t)b->dims[b->rank - 1],
                                   .alpha = 1},
                          .walk = op_walk_broadcast(&lead, &lead_a, &lead_b)};
    stack.repeats[0] = op_elements(&lead_a) != op_elements(&lead);
    stack.repeats[1] = op_elements(&lead_b) != op_elements(&lead);
    return stack;
}

/* Runs `body` for every product, with the offsets a, b and y of its matrices. */
#define EACH_PRODUCT(stack, body)                                                                  \
    for (size_t row_ = 0, to = 0; row_ < (stack).walk.rows; row_++) {                              \
        size_t a_, b_;                                                                             \
        op_walk_row(&(stack).walk, row_, &a_, &b_);                                                \
        for (size_t i_ = 0; i_ < op_walk_length(&(stack).walk); i_++) {                            \
            const size_t a = (a_ + i_ * op_walk_step_a(&(stack).walk)) * (stack).each.rows *       \
                             (stack).each.inner;                                                   \
            const size_t b = (b_ + i_ * op_walk_step_b(&(stack).walk)) * (stack).each.inner *      \
                             (stack).each.columns;                                                 \
            body to += (stack).each.rows * (stack).each.columns;                                   \
        }                                                                                          \
    }

OP_FORWARD(matmul_forward)
{
    const struct stack stack = stack_of(site);
    (void)scratch;
    EACH_PRODUCT(stack, { product_forward(&stack.each, x[0] + a, x[1] + b, 0, y + to); })
}

OP_BACKWARD(matmul_backward)
{
    const struct stack stack = stack_of(site);
    float keep[2];
    (void)y, (void)scratch;
    for (size_t side = 0; side < 2; side++) {
        keep[side] = stack.repeats[side] ? 1 : 0;
        if (site->wanted[side] && stack.repeats[side])
            memset(dx[side], 0, op_elements(&site->x_shape[side]) * sizeof **dx);
    }
    EACH_PRODUCT(stack, {
        if (site->wanted[0])
            product_toward_a(&stack.each, x[1] + b, dy + to, keep[0], dx[0] + a);
        if (site->wanted[1])
            product_toward_b(&stack.each, x[0] + a, dy + to, keep[1], dx[1] + b);
    })
}

const struct op_kernel op_matmul = {.forward = matmul_forward, .backward = matmul_backward};
