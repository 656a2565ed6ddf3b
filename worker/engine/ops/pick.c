/* Expand, Tile, Slice, Pad: each index of an axis of the output reads one fixed index of the same
 * axis of the input, or the fill. The site keeps a table per axis; the kernel adds them up. */
#include <string.h>

#include "common/base/memory.h"
#include "worker/engine/ops/op.h"

#define FILL INT64_MIN

struct pick {
    size_t axes; /* that are looked up: all but whole ones at the end */
    size_t extent[TENSOR_RANK_MAX];
    int64_t *from[TENSOR_RANK_MAX]; /* element offset of the index, or FILL */
    size_t rows, run;               /* of all axes but the last looked up; elements behind it */
    float fill;
};

static int64_t wrapped(int64_t index, int64_t period)
{
    return (index % period + period) % period;
}

/* Index of a padded axis of `extent`, counted from its first element. */
static int64_t padded(enum pad_mode mode, int64_t index, int64_t extent)
{
    int64_t turn = extent > 1 ? 2 * (extent - 1) : 1, along;
    switch (mode) {
    case PAD_CONSTANT:
        return index < 0 || index >= extent ? FILL : index;
    case PAD_EDGE:
        return index < 0 ? 0 : index >= extent ? extent - 1 : index;
    case PAD_WRAP:
        return wrapped(index, extent);
    case PAD_REFLECT:
        along = wrapped(index, turn);
        return along < extent ? along : turn - along;
    }
    return FILL;
}

/* Index of the input's axis (of `extent`) that index `at` of the output's reads. */
static int64_t source(const struct node *node, size_t axis, int64_t extent, int64_t at)
{
    const struct attributes *a = &node->attributes;
    if (node->op == OP_EXPAND)
        return extent == 1 ? 0 : at;
    if (node->op == OP_TILE)
        return at % extent;
    if (node->op == OP_SLICE)
        return a->starts[axis] + at * a->steps[axis];
    return padded(a->pad_mode, at - a->starts[axis], extent);
}

static bool is_whole(const struct op_site *site, size_t axis, int64_t extent)
{
    bool whole = extent == site->y_shape.dims[axis];
    for (int64_t i = 0; i < extent && whole; i++)
        whole = source(site->node, axis, extent, i) == i;
    return whole;
}

/* Extent of the input along an axis of the output; an axis that it lacks has one index. */
static int64_t extent_of(const struct op_site *site, size_t axis)
{
    size_t lead = site->y_shape.rank - site->x_shape[0].rank;
    return axis < lead ? 1 : site->x_shape[0].dims[axis - lead];
}

static bool fill_tables(const struct op_site *site, struct pick *pick)
{
    size_t stride = pick->run;
    for (size_t axis = pick->axes; axis-- > 0;) {
        int64_t extent = extent_of(site, axis);
        pick->extent[axis] = (size_t)site->y_shape.dims[axis];
        pick->from[axis] = memory_alloc(pick->extent[axis], sizeof **pick->from);
        if (pick->from[axis] == NULL)
            return false;
        for (size_t i = 0; i < pick->extent[axis]; i++) {
            int64_t index = source(site->node, axis, extent, (int64_t)i);
            pick->from[axis][i] = index == FILL ? FILL : index * (int64_t)stride;
        }
        stride *= (size_t)extent;
    }
    return true;
}

static void pick_destroy(struct op_site *site)
{
    struct pick *pick = site->state;
    for (size_t i = 0; pick != NULL && i < TENSOR_RANK_MAX; i++)
        memory_free(pick->from[i]);
    memory_free(pick);
    site->state = NULL;
}

static enum status pick_create(struct op_site *site, struct error *err)
{
    struct pick *pick = site->state = memory_alloc(1, sizeof *pick);
    if (pick != NULL) {
        *pick = (struct pick){.axes = site->y_shape.rank, .rows = 1, .run = 1};
        pick->fill = site->node->attributes.fill;
        while (pick->axes > 0 && is_whole(site, pick->axes - 1, extent_of(site, pick->axes - 1)))
            pick->run *= (size_t)site->y_shape.dims[--pick->axes];
        for (size_t i = 0; i + 1 < pick->axes; i++)
            pick->rows *= (size_t)site->y_shape.dims[i];
    }
    if (pick == NULL || !fill_tables(site, pick)) {
        pick_destroy(site);
        return error_set(err, ERR_MEMORY, "no memory for node %s", site->node->name);
    }
    return OK;
}

/* Where row `row` begins in the input; FILL when all of it is fill. */
static int64_t row_source(const struct pick *pick, size_t row)
{
    int64_t offset = 0;
    for (size_t axis = pick->axes - 1; axis-- > 0;) {
        int64_t from = pick->from[axis][row % pick->extent[axis]];
        row /= pick->extent[axis];
        if (from == FILL)
            return FILL;
        offset += from;
    }
    return offset;
}

/* Runs `body` for every run of the output, which begins at `to` (offset) and reads from `from`
 * (offset, or FILL). */
#define EACH_RUN(pick, body)                                                                       \
    for (size_t row_ = 0, to = 0; row_ < (pick)->rows; row_++) {                                   \
        const size_t last_ = (pick)->axes - 1;                                                     \
        const int64_t base_ = row_source(pick, row_);                                              \
        for (size_t i_ = 0; i_ < (pick)->extent[last_]; i_++, to += (pick)->run) {                 \
            const int64_t step_ = (pick)->from[last_][i_];                                         \
            const int64_t from = base_ == FILL || step_ == FILL ? FILL : base_ + step_;            \
            body                                                                                   \
        }                                                                                          \
    }

OP_FORWARD(pick_forward)
{
    const struct pick *pick = site->state;
    (void)scratch;
    if (pick->axes == 0) {
        memcpy(y, x[0], pick->run * sizeof *y);
        return;
    }
    EACH_RUN(pick, {
        if (from == FILL)
            for (size_t i = 0; i < pick->run; i++)
                y[to + i] = pick->fill;
        else if (pick->run == 1)
            y[to] = x[0][from];
        else
            memcpy(y + to, x[0] + from, pick->run * sizeof *y);
    })
}

OP_BACKWARD(pick_backward)
{
    const struct pick *pick = site->state;
    (void)x, (void)y, (void)scratch;
    if (pick->axes == 0) {
        memcpy(dx[0], dy, pick->run * sizeof *dy);
        return;
    }
    memset(dx[0], 0, op_elements(&site->x_shape[0]) * sizeof **dx);
    EACH_RUN(pick, {
        for (size_t i = 0; i < pick->run && from != FILL; i++)
            dx[0][(size_t)from + i] += dy[to + i];
    })
}

#define PICK                                                                                       \
    {                                                                                              \
        .create = pick_create, .destroy = pick_destroy, .forward = pick_forward,                   \
        .backward = pick_backward                                                                  \
    }

const struct op_kernel op_expand = PICK;
const struct op_kernel op_tile = PICK;
const struct op_kernel op_slice = PICK;
const struct op_kernel op_pad = PICK;
