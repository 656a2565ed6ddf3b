#include "common/model/onnx/layout.h"

#include <string.h>

#include "common/base/check.h"
#include "common/model/onnx/attributes.h"
#include "common/model/onnx/build.h"
#include "common/model/shape_axes.h"

static const struct shape *shape_of(const struct onnx_build *build, const struct layout *layout)
{
    return &build->graph->values[layout->value].shape;
}

struct layout onnx_layout_plain(const struct onnx_build *build, uint32_t value)
{
    struct layout layout = {.value = value};
    layout.rank = layout.count = build->graph->values[value].shape.rank;
    for (size_t i = 0; i < layout.rank; i++) {
        layout.sizes[i] = 1;
        layout.axes[i] = i;
    }
    return layout;
}

size_t onnx_layout_begin(const struct layout *layout, size_t axis)
{
    size_t begin = 0;
    for (size_t i = 0; i < axis; i++)
        begin += layout->sizes[i];
    return begin;
}

bool onnx_layout_settled(const struct layout *layout)
{
    return layout->rank > 0 && layout->sizes[0] == 1 && layout->axes[0] == 0;
}

enum status onnx_layout_axis(const struct layout *layout, int64_t axis, size_t *out,
                             struct error *err)
{
    size_t wrapped = 0;
    enum status status = shape_axes_wrap(axis, layout->rank, &wrapped, err);
    if (status != OK)
        return status;
    *out = layout->sizes[wrapped] == 1 ? layout->axes[onnx_layout_begin(layout, wrapped)] : 0;
    if (*out == 0)
        return error_set(err, ERR_SUPPORT,
                         "it works along axis %zu, which is the batch or merged of several axes",
                         wrapped);
    return OK;
}

struct folded_number onnx_layout_size(const struct onnx_build *build, const struct layout *layout,
                                      size_t axis)
{
    struct folded_number size = {.whole = 1};
    size_t begin = onnx_layout_begin(layout, axis);
    bool batch = false;
    for (size_t i = begin; i < begin + layout->sizes[axis]; i++) {
        int64_t extent = shape_of(build, layout)->dims[layout->axes[i]];
        batch |= extent == -1;
        size.whole *= extent == -1 ? 1 : extent;
    }
    if (batch)
        size = (struct folded_number){.batch = size.whole};
    return size;
}

/* ---- settling ---- */

static bool in_order(const struct layout *layout)
{
    for (size_t i = 0; i < layout->count; i++)
        if (layout->axes[i] != i)
            return false;
    return true;
}

static bool one_each(const struct layout *layout)
{
    for (size_t i = 0; i < layout->rank; i++)
        if (layout->sizes[i] != 1)
            return false;
    return true;
}

static enum status turn(struct onnx_build *build, const size_t *axes, size_t count,
                        const char *name, const char *output, uint32_t *value, struct error *err)
{
    struct attributes a;
    uint32_t input = *value;
    onnx_attributes_default(OP_TRANSPOSE, build->graph->opset, &a);
    a.axes_count = count;
    for (size_t i = 0; i < count; i++)
        a.axes[i] = (int64_t)axes[i];
    return onnx_build_node(build, OP_TRANSPOSE, name, &input, 1, output, &a, value, err);
}

static enum status no_memory(const char *output, struct error *err)
{
    return error_set(err, ERR_MEMORY, "no memory for tensor %.100s", output);
}

enum status onnx_layout_finish(struct onnx_build *build, const struct layout *layout,
                               const char *name, const char *output, struct error *err)
{
    struct attributes a;
    uint32_t value = layout->value;
    bool turned = !in_order(layout), joined = !one_each(layout);
    if (!onnx_layout_settled(layout))
        return onnx_build_lay_out(build, output, layout, err);
    onnx_attributes_default(OP_RESHAPE, build->graph->opset, &a);
    a.axes_count = layout->rank;
    for (size_t i = 1; i < layout->rank; i++)
        a.axes[i] = onnx_layout_size(build, layout, i).whole;
    const char *between = joined ? onnx_build_name(build, output, "turned") : output;
    if (between == NULL)
        return no_memory(output, err);
    enum status status = OK;
    if (turned)
        status =
            turn(build, layout->axes, layout->count, joined ? between : name, between, &value, err);
    if (status == OK && (joined || !turned)) {
        uint32_t input = value;
        status = onnx_build_node(build, joined ? OP_RESHAPE : OP_IDENTITY, name, &input, 1, output,
                                 &a, &value, err);
    }
    return status;
}

enum status onnx_layout_emit(struct onnx_build *build, enum op op, const struct attributes *a,
                             const uint32_t *inputs, size_t count, struct layout *layout,
                             const char *name, const char *output, struct error *err)
{
    bool last = onnx_layout_settled(layout) && in_order(layout) && one_each(layout);
    const char *made = last ? output : onnx_build_name(build, output, "apart");
    if (made == NULL)
        return no_memory(output, err);
    enum status status =
        onnx_build_node(build, op, last ? name : made, inputs, count, made, a, &layout->value, err);
    return status == OK && !last ? onnx_layout_finish(build, layout, name, output, err) : status;
}

static enum status order_axes(struct onnx_build *build, struct layout *layout, const char *output,
                              const char *what, struct error *err)
{
    size_t order[TENSOR_RANK_MAX] = {0}, place[TENSOR_RANK_MAX], count = 1;
    for (size_t i = 0; i < layout->count; i++)
        if (layout->axes[i] != 0)
            order[count++] = layout->axes[i];
    CHECK(count == layout->count);
    bool turned = false;
    for (size_t i = 0; i < count; i++) {
        place[order[i]] = i;
        turned |= order[i] != i;
    }
    const char *name = onnx_build_name(build, output, what);
    if (name == NULL)
        return no_memory(output, err);
    for (size_t i = 0; i < count; i++)
        layout->axes[i] = place[layout->axes[i]];
    return turned ? turn(build, order, count, name, name, &layout->value, err) : OK;
}

/* ---- reshaping ---- */

/* A part of one of the value's axes; the parts in the file's order. */
struct part {
    size_t axis;
    int64_t extent; /* the batch: what the file calls it, or 1 */
    bool batch;
    bool joined; /* to the part before: they stay one axis of the value */
};

#define PARTS_MAX (2 * TENSOR_RANK_MAX)

struct cutting {
    struct part rest[TENSOR_RANK_MAX]; /* what is still to be given away, in the file's order */
    size_t at, end;
    struct part parts[PARTS_MAX];
    size_t count;
    size_t sizes[TENSOR_RANK_MAX];
    size_t rank;         /* of the target */
    int64_t fixed_batch; /* 0: the batch is symbolic */
};

static bool give(struct cutting *c, size_t axis, struct part part)
{
    if (c->count == PARTS_MAX)
        return false;
    c->parts[c->count++] = part;
    c->sizes[axis]++;
    return true;
}

/* A batch of 1 could belong to this axis or to the next. Not to the last one, if there is more in
 * it: along that, products go. */
static bool keeps_batch(const struct cutting *c, size_t axis)
{
    bool more = false;
    for (size_t i = c->at + 1; i < c->end; i++)
        more |= c->rest[i].extent > 1;
    return c->fixed_batch == 1 && c->rest[c->at].batch && axis + 2 == c->rank && more;
}

/* Takes the parts that make an axis of `need`; with `batched` the symbolic batch is among them. */
static bool take(struct cutting *c, size_t axis, int64_t need, bool batched)
{
    bool first = true;
    while (c->at < c->end) {
        struct part *next = &c->rest[c->at];
        bool own = next->batch && (c->fixed_batch == 0 ? batched : need % next->extent == 0);
        bool done = need == 1 && !batched;
        if (done && !first && keeps_batch(c, axis))
            return give(c, axis, c->rest[c->at++]);
        if (done && !(first && next->extent == 1 && (!next->batch || own)))
            return true;
        if (next->batch && !own)
            return false;
        first = false;
        if (next->batch || need % next->extent == 0) {
            need /= next->extent;
            batched &= !next->batch;
            if (!give(c, axis, *next))
                return false;
            c->at++;
            if (done)
                return true;
        } else if (!batched && next->extent % need == 0) {
            struct part piece = *next;
            piece.extent = need;
            next->extent /= need;
            return give(c, axis, piece);
        } else {
            return false;
        }
    }
    return need == 1 && !batched;
}

/* The open size: what the others leave; false: there is no such number. */
static bool close_target(const struct cutting *c, struct folded_number *sizes, size_t rank)
{
    int64_t left = 1, known = 1;
    size_t open = rank;
    bool batched = c->fixed_batch == 0;
    for (size_t i = 0; i < c->end; i++)
        left *= c->rest[i].extent;
    for (size_t i = 0; i < rank; i++) {
        struct folded_number size = sizes[i];
        if (size.unknown || size.sample != 0 || (size.batch != 0 && size.whole != 0) ||
            (size.batch != 0 && !batched))
            return false;
        batched &= size.batch == 0;
        if (size.batch == 0 && size.whole == -1 && open == rank)
            open = i;
        else if ((size.batch == 0 && size.whole < 1) || size.batch < 0 ||
                 __builtin_mul_overflow(known, size.batch + size.whole, &known))
            return false;
    }
    if (open == rank)
        return known == left && !batched;
    if (left % known != 0)
        return false;
    sizes[open] = (struct folded_number){0};
    if (batched)
        sizes[open].batch = left / known;
    else
        sizes[open].whole = left / known;
    return true;
}

/* Parts that follow one another in the file and in the value stay, or become again, one axis. */
static void join(struct cutting *c)
{
    size_t at = 0;
    for (size_t i = 0; i < TENSOR_RANK_MAX; at += c->sizes[i++])
        for (size_t k = at + 1; k < at + c->sizes[i]; k++) {
            const struct part *before = &c->parts[k - 1];
            bool last = true; /* of its axis, and this the first of the next */
            for (size_t p = 0; p < c->count; p++)
                last &= !(p > k - 1 && c->parts[p].axis == before->axis) &&
                        !(p < k && c->parts[p].axis == c->parts[k].axis && p != k - 1);
            bool same = c->parts[k].axis == before->axis;
            c->parts[k].joined = !before->batch && !c->parts[k].batch &&
                                 (same || (last && c->parts[k].axis == before->axis + 1));
        }
}

/* The value's new axes, in its order: parts of axis 0, of axis 1, … `target` is their reshape. */
static bool number_axes(struct cutting *c, size_t value_rank, struct layout *out, int64_t *target)
{
    size_t place[PARTS_MAX] = {0}, axes = 0;
    for (size_t axis = 0; axis < value_rank; axis++)
        for (size_t p = 0; p < c->count; p++) {
            if (c->parts[p].axis != axis)
                continue;
            if (c->parts[p].joined) {
                place[p] = axes - 1;
                target[place[p]] *= c->parts[p].extent;
                continue;
            }
            if (axes == TENSOR_RANK_MAX)
                return false;
            place[p] = axes;
            target[axes++] = c->parts[p].batch ? 0 : c->parts[p].extent;
        }
    out->count = 0;
    for (size_t p = 0; p < c->count; p++) {
        if (!c->parts[p].joined)
            out->axes[out->count++] = place[p];
    }
    CHECK(out->count == axes);
    return true;
}

static void count_axes(const struct cutting *c, size_t rank, struct layout *out)
{
    size_t p = 0;
    out->rank = rank;
    for (size_t i = 0; i < rank; i++) {
        out->sizes[i] = 0;
        for (size_t k = 0; k < c->sizes[i]; k++)
            out->sizes[i] += !c->parts[p++].joined;
    }
}

static bool cut(const struct onnx_build *build, const struct layout *layout,
                const struct folded_number *target, size_t rank, struct cutting *c)
{
    struct folded_number sizes[TENSOR_RANK_MAX];
    memcpy(sizes, target, rank * sizeof *sizes);
    c->fixed_batch = build->fixed_batch;
    c->rank = rank;
    for (size_t i = 0; i < rank; i++)
        if (sizes[i].batch != 0)
            c->fixed_batch = 0; /* the file does know of it */
    for (size_t i = 0; i < layout->count; i++) {
        int64_t extent = shape_of(build, layout)->dims[layout->axes[i]];
        c->rest[c->end++] = (struct part){.axis = layout->axes[i],
                                          .extent = extent != -1          ? extent
                                                    : c->fixed_batch != 0 ? c->fixed_batch
                                                                          : 1,
                                          .batch = extent == -1};
    }
    if (!close_target(c, sizes, rank))
        return false;
    for (size_t i = 0; i < rank; i++) {
        bool batched = sizes[i].batch != 0;
        if (!take(c, i, batched ? sizes[i].batch : sizes[i].whole, batched))
            return false;
    }
    for (; c->at < c->end && rank > 0;
         c->at++) /* sizes of 1 that no axis of the target asked for */
        if (c->rest[c->at].batch || !give(c, rank - 1, c->rest[c->at]))
            return false;
    return c->at == c->end;
}

/* The value's reshape (a.axes) that gives `from` the target's axes, and the layout then; false:
 * they cannot be told apart. */
static bool plan(const struct onnx_build *build, const struct layout *from,
                 const struct folded_number *target, size_t rank, struct attributes *a,
                 struct layout *to)
{
    struct cutting c = {0};
    onnx_attributes_default(OP_RESHAPE, build->graph->opset, a);
    *to = (struct layout){.value = from->value};
    if (!cut(build, from, target, rank, &c))
        return false;
    join(&c);
    count_axes(&c, rank, to);
    bool good = number_axes(&c, from->count, to, a->axes);
    a->axes_count = to->count;
    return good;
}

static bool changes(const struct shape *shape, const struct attributes *a)
{
    bool same = a->axes_count == shape->rank;
    for (size_t i = 1; i < shape->rank && same; i++)
        same = a->axes[i] == shape->dims[i];
    return !same;
}

enum status onnx_layout_reshape(struct onnx_build *build, const struct layout *from,
                                const struct folded_number *target, size_t rank, const char *name,
                                const char *output, bool *done, struct error *err)
{
    struct attributes a;
    struct layout to;
    uint32_t input = from->value;
    *done = plan(build, from, target, rank, &a, &to);
    if (!*done)
        return OK;
    return changes(shape_of(build, from), &a)
               ? onnx_layout_emit(build, OP_RESHAPE, &a, &input, 1, &to, name, output, err)
               : onnx_layout_finish(build, &to, name, output, err);
}

enum status onnx_layout_order(struct onnx_build *build, struct layout *layout, const char *output,
                              const char *what, struct error *err)
{
    struct folded_number sizes[TENSOR_RANK_MAX];
    struct attributes a;
    struct layout to;
    enum status status = order_axes(build, layout, output, what, err);
    for (size_t i = 0; i < layout->rank && status == OK; i++)
        sizes[i] = onnx_layout_size(build, layout, i);
    if (status != OK || !plan(build, layout, sizes, layout->rank, &a, &to) ||
        !changes(shape_of(build, layout), &a))
        return status;
    const char *name = onnx_build_name(build, output, what);
    const char *joined = name == NULL ? NULL : onnx_build_name(build, name, "joined");
    if (joined == NULL)
        return no_memory(output, err);
    status =
        onnx_build_node(build, OP_RESHAPE, joined, &layout->value, 1, joined, &a, &to.value, err);
    if (status == OK)
        *layout = to;
    return status;
}
