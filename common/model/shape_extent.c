#include <math.h>

#include "common/model/shape_axes.h"
#include "common/model/shape_rules.h"

/* Ranges without axes are those of the first axes. */
static enum status match_axes(struct attributes *a, size_t rank, struct error *err)
{
    bool marks[TENSOR_RANK_MAX];
    if (a->axes_count == 0)
        for (; a->axes_count < a->starts_count; a->axes_count++)
            a->axes[a->axes_count] = (int64_t)a->axes_count;
    if (a->axes_count != a->starts_count)
        return error_set(err, ERR_INPUT, "%zu axes but %zu ranges", a->axes_count, a->starts_count);
    return shape_axes_mark(a, rank, marks, err);
}

/* starts, ends and steps of the named axes, spread over all axes; the others get what is given. */
static enum status spread(struct attributes *a, size_t rank, int64_t start, int64_t end,
                          struct error *err)
{
    enum status status = match_axes(a, rank, err);
    struct attributes all = *a;
    for (size_t i = 0; i < rank && status == OK; i++) {
        all.axes[i] = (int64_t)i;
        all.starts[i] = start;
        all.ends[i] = end;
        all.steps[i] = 1;
    }
    for (size_t i = 0; i < a->axes_count && status == OK; i++) {
        size_t axis = 0;
        status = shape_axes_wrap(a->axes[i], rank, &axis, err);
        all.starts[axis] = a->starts[i];
        all.ends[axis] = a->ends[i];
        all.steps[axis] = a->steps[i];
    }
    all.axes_count = all.starts_count = rank;
    if (status == OK)
        *a = all;
    return status;
}

static int64_t between(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* A bound counts from the end when negative; then it is moved into [low, high]. */
static int64_t bound(int64_t value, int64_t extent, int64_t low, int64_t high)
{
    value = value < 0 && value >= -extent ? value + extent : value;
    return between(value, low, high);
}

/* Backwards, the end before the first element is written -extent - 1: as in the file, where -1
 * would be the last. */
static int64_t cut(struct attributes *a, size_t axis, int64_t extent)
{
    int64_t step = a->steps[axis], start = a->starts[axis], end = a->ends[axis];
    bool forward = step > 0;
    start = forward ? bound(start, extent, 0, extent) : bound(start, extent, 0, extent - 1);
    end = forward ? bound(end, extent, 0, extent) : bound(end, extent, -1, extent - 1);
    a->starts[axis] = start;
    a->ends[axis] = end < 0 ? -extent - 1 : end;
    int64_t distance = forward ? end - start : start - end;
    int64_t pace = forward ? step : -step;
    return distance <= 0 ? 0 : (distance - 1) / pace + 1;
}

SHAPE_RULE(shape_rule_slice)
{
    struct attributes *a = &node->attributes;
    enum status status = spread(a, in[0]->rank, 0, INT64_MAX, err);
    if (status != OK)
        return status;
    *out = *in[0];
    for (size_t i = 0; i < out->rank; i++) {
        if (a->steps[i] == 0 || a->steps[i] == INT64_MIN)
            return error_set(err, ERR_INPUT, "the step of axis %zu is %lld", i,
                             (long long)a->steps[i]);
        if (i > 0 || !shape_axes_batched(in[0]))
            out->dims[i] = cut(a, i, in[0]->dims[i]);
        else if (a->starts[0] != 0 || a->ends[0] < INT32_MAX || a->steps[0] != 1)
            return shape_axes_refuse_batch(err);
    }
    return OK;
}

/* Reflected and wrapped elements come from the axis itself, however wide the pad. */
SHAPE_RULE(shape_rule_pad)
{
    struct attributes *a = &node->attributes;
    const int64_t most = (int64_t)TENSOR_ELEMENTS_MAX;
    enum status status = spread(a, in[0]->rank, 0, 0, err);
    *out = *in[0];
    for (size_t i = 0; i < out->rank && status == OK; i++) {
        if (between(a->starts[i], -most, most) != a->starts[i] ||
            between(a->ends[i], -most, most) != a->ends[i])
            return error_set(err, ERR_INPUT, "the pads of axis %zu are too large", i);
        if (a->starts[i] == 0 && a->ends[i] == 0)
            continue;
        if (out->dims[i] < 0)
            return shape_axes_refuse_batch(err);
        out->dims[i] += a->starts[i] + a->ends[i];
        if (out->dims[i] < 1)
            return error_set(err, ERR_INPUT, "nothing of axis %zu is left", i);
        status = shape_axes_fits((double)out->dims[i], err);
    }
    return status;
}

/* Of one axis: by the target size, or by its scale. */
static enum status stretch(struct attributes *a, size_t axis, int64_t extent, int64_t *out,
                           struct error *err)
{
    if (a->axes_count == 0 && !(a->scales[axis] > 0 && isfinite(a->scales[axis])))
        return error_set(err, ERR_INPUT, "the scale of axis %zu is %g", axis,
                         (double)a->scales[axis]);
    double to = a->axes_count > 0 ? (double)a->axes[axis]
                                  : floor((double)((float)extent * a->scales[axis]));
    if (to < 1)
        return error_set(err, ERR_INPUT, "nothing of axis %zu is left", axis);
    enum status status = shape_axes_fits(to, err);
    if (status != OK)
        return status;
    *out = (int64_t)to;
    if (a->axes_count > 0)
        a->scales[axis] = (float)(to / (double)extent);
    return OK;
}

SHAPE_RULE(shape_rule_resize)
{
    struct attributes *a = &node->attributes;
    size_t rank = in[0]->rank, given = a->axes_count > 0 ? a->axes_count : a->scales_count;
    enum status status = OK;
    if (given != rank)
        return error_set(err, ERR_INPUT, "%zu sizes or scales for rank %zu", given, rank);
    *out = *in[0];
    for (size_t i = 0; i < rank && status == OK; i++) {
        if (i > 0 || !shape_axes_batched(in[0])) {
            status = stretch(a, i, in[0]->dims[i], &out->dims[i], err);
        } else {
            bool kept = a->axes_count > 0 ? a->axes[0] <= 1 : a->scales[0] == 1;
            status = kept ? OK : shape_axes_refuse_batch(err);
            a->scales[0] = 1;
        }
    }
    a->scales_count = rank;
    return status;
}
