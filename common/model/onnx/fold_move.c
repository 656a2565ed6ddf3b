#include "common/model/onnx/fold_rules.h"

/* Where in `out` (row-major) the walk is. */
struct place {
    int64_t at[TENSOR_RANK_MAX];
};

static int64_t extent(const struct shape *shape, size_t axis)
{
    return shape->dims[axis] == -1 ? 1 : shape->dims[axis];
}

static void next(struct place *place, const struct shape *shape)
{
    for (size_t i = shape->rank; i-- > 0;) {
        if (++place->at[i] < extent(shape, i))
            return;
        place->at[i] = 0;
    }
}

/* An input's element for a place of the output, aligned at the end, axes of size 1 repeated. */
static size_t broadcast(const struct folded *in, const struct folded *out,
                        const struct place *place)
{
    size_t strides[TENSOR_RANK_MAX], index = 0, lead = out->shape.rank - in->shape.rank;
    onnx_folded_strides(&in->shape, strides);
    for (size_t i = 0; i < in->shape.rank; i++)
        index += strides[i] * (size_t)place->at[i + lead];
    return index;
}

enum status onnx_fold_copy(const struct fold *fold)
{
    for (size_t i = 0; i < fold->out->count; i++)
        fold->out->numbers[i] = fold->in[0]->numbers[i];
    return OK;
}

enum status onnx_fold_expand(const struct fold *fold)
{
    struct place place = {0};
    for (size_t i = 0; i < fold->out->count; i++, next(&place, &fold->out->shape))
        fold->out->numbers[i] = fold->in[0]->numbers[broadcast(fold->in[0], fold->out, &place)];
    return OK;
}

enum status onnx_fold_where(const struct fold *fold)
{
    struct place place = {0};
    for (size_t i = 0; i < fold->out->count; i++, next(&place, &fold->out->shape)) {
        struct folded_number condition =
            fold->in[0]->numbers[broadcast(fold->in[0], fold->out, &place)];
        const struct folded *from = fold->in[condition.whole != 0 ? 1 : 2];
        fold->out->numbers[i] = from->numbers[broadcast(from, fold->out, &place)];
        fold->out->numbers[i].unknown |= condition.unknown;
    }
    return OK;
}

/* The output's axis i moves along the input's axis by so much: all of transpose, slice and tile. */
struct view {
    size_t axes[TENSOR_RANK_MAX];
    int64_t starts[TENSOR_RANK_MAX], steps[TENSOR_RANK_MAX];
};

static enum status look(const struct fold *fold, const struct view *view)
{
    const struct folded *in = fold->in[0];
    struct folded *out = fold->out;
    struct place place = {0};
    size_t strides[TENSOR_RANK_MAX];
    onnx_folded_strides(&in->shape, strides);
    for (size_t i = 0; i < out->count; i++, next(&place, &out->shape)) {
        size_t index = 0;
        for (size_t k = 0; k < out->shape.rank; k++) {
            int64_t along = view->starts[k] + place.at[k] * view->steps[k];
            index += strides[view->axes[k]] * (size_t)(along % extent(&in->shape, view->axes[k]));
        }
        out->numbers[i] = in->numbers[index];
    }
    return OK;
}

enum status onnx_fold_slice(const struct fold *fold)
{
    struct view view = {0};
    for (size_t i = 0; i < fold->out->shape.rank; i++) {
        view.axes[i] = i;
        view.starts[i] = fold->node->attributes.starts[i];
        view.steps[i] = fold->node->attributes.steps[i];
    }
    return look(fold, &view);
}

enum status onnx_fold_tile(const struct fold *fold)
{
    struct view view = {0};
    for (size_t i = 0; i < fold->out->shape.rank; i++) {
        view.axes[i] = i;
        view.steps[i] = 1;
    }
    return look(fold, &view);
}

enum status onnx_fold_transpose(const struct fold *fold)
{
    struct view view = {0};
    for (size_t i = 0; i < fold->out->shape.rank; i++) {
        view.axes[i] = (size_t)fold->node->attributes.axes[i];
        view.steps[i] = 1;
    }
    return look(fold, &view);
}

/* Rows of `inner` elements; each input gives its share of every row. */
enum status onnx_fold_concat(const struct fold *fold)
{
    size_t axis = (size_t)fold->node->attributes.axis, at = 0, outer = 1;
    for (size_t i = 0; i < axis; i++)
        outer *= (size_t)extent(&fold->out->shape, i);
    for (size_t row = 0; row < outer; row++)
        for (size_t k = 0; k < fold->node->input_count; k++) {
            size_t inner = fold->in[k]->count / outer;
            for (size_t i = 0; i < inner; i++)
                fold->out->numbers[at++] = fold->in[k]->numbers[row * inner + i];
        }
    return OK;
}

enum status onnx_fold_gather(const struct fold *fold)
{
    const struct folded *data = fold->in[0], *indices = fold->in[1];
    size_t axis = (size_t)fold->node->attributes.axis, inner = 1, at = 0;
    int64_t size = extent(&data->shape, axis);
    for (size_t i = axis + 1; i < data->shape.rank; i++)
        inner *= (size_t)data->shape.dims[i];
    size_t outer = data->count == 0 ? 0 : data->count / inner / (size_t)size;
    for (size_t row = 0; row < outer; row++)
        for (size_t k = 0; k < indices->count; k++) {
            int64_t index = indices->numbers[k].whole;
            index += index < 0 ? size : 0;
            if (!onnx_folded_plain(indices->numbers[k]) || index < 0 || index >= size)
                return error_set(fold->err, ERR_INPUT, "index %lld lies outside %lld elements",
                                 (long long)indices->numbers[k].whole, (long long)size);
            for (size_t i = 0; i < inner; i++)
                fold->out->numbers[at++] =
                    data->numbers[(row * (size_t)size + (size_t)index) * inner + i];
        }
    return OK;
}
