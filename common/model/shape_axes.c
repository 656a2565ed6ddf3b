#include "common/model/shape_axes.h"

#include <string.h>

double shape_axes_product(const struct shape *shape)
{
    double product = 1;
    for (size_t i = 0; i < shape->rank; i++)
        product *= shape->dims[i] < 0 ? 1 : (double)shape->dims[i];
    return product;
}

bool shape_axes_batched(const struct shape *shape)
{
    return shape->rank > 0 && shape->dims[0] == -1;
}

enum status shape_axes_refuse_batch(struct error *err)
{
    return error_set(err, ERR_SUPPORT, "it moves, merges or reduces the batch axis");
}

enum status shape_axes_wrap(int64_t axis, size_t rank, size_t *out, struct error *err)
{
    int64_t wrapped = axis < 0 && axis >= -(int64_t)rank ? axis + (int64_t)rank : axis;
    if (wrapped < 0 || wrapped >= (int64_t)rank)
        return error_set(err, ERR_INPUT, "axis %lld does not exist in rank %zu", (long long)axis,
                         rank);
    *out = (size_t)wrapped;
    return OK;
}

enum status shape_axes_own(struct node *node, const struct shape *x, size_t *out, struct error *err)
{
    enum status status = shape_axes_wrap(node->attributes.axis, x->rank, out, err);
    if (status != OK)
        return status;
    if (*out == 0 && shape_axes_batched(x))
        return shape_axes_refuse_batch(err);
    node->attributes.axis = (int64_t)*out;
    return OK;
}

enum status shape_axes_mark(const struct attributes *a, size_t rank, bool marks[TENSOR_RANK_MAX],
                            struct error *err)
{
    memset(marks, 0, TENSOR_RANK_MAX * sizeof *marks);
    for (size_t i = 0; i < a->axes_count; i++) {
        size_t axis = 0;
        enum status status = shape_axes_wrap(a->axes[i], rank, &axis, err);
        if (status != OK)
            return status;
        if (marks[axis])
            return error_set(err, ERR_INPUT, "axis %zu is named twice", axis);
        marks[axis] = true;
    }
    return OK;
}

static bool broadcast_dim(int64_t a, int64_t b, int64_t *out)
{
    *out = a == 1 ? b : a;
    return a == b || a == 1 || b == 1;
}

enum status shape_axes_broadcast(const struct shape *a, const struct shape *b, struct shape *out,
                                 struct error *err)
{
    size_t rank = a->rank > b->rank ? a->rank : b->rank;
    struct shape result = {.rank = rank};
    for (size_t i = 0; i < rank; i++) {
        int64_t left = i + a->rank < rank ? 1 : a->dims[i + a->rank - rank];
        int64_t right = i + b->rank < rank ? 1 : b->dims[i + b->rank - rank];
        if (!broadcast_dim(left, right, &result.dims[i]) || (i > 0 && result.dims[i] < 0)) {
            char text_a[96], text_b[96];
            shape_text(a, text_a, sizeof text_a);
            shape_text(b, text_b, sizeof text_b);
            return error_set(err, ERR_INPUT, "shapes %s and %s do not broadcast", text_a, text_b);
        }
    }
    *out = result;
    return OK;
}

enum status shape_axes_fits(double extent, struct error *err)
{
    return extent <= (double)TENSOR_ELEMENTS_MAX
               ? OK
               : error_set(err, ERR_INPUT, "the result is too large");
}
