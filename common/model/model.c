#include "common/model/model.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/model/graph.h"
#include "common/model/lora.h"
#include "common/model/onnx/reader.h"
#include "common/model/shape_infer.h"

/* Names that graft adds to the graph; in a file that uses them itself (graft wrote it) the new ones
 * get a number. */
#define NAME_INPUT "input"
#define NAME_POOLED "graft.pooled"
#define NAME_FEATURES "graft.features"
#define NAME_LOGITS "logits"
#define NAME_BYTES 32

static const struct attributes plain = {
    .strides = {1, 1}, .dilations = {1, 1}, .groups = 1, .alpha = 1, .beta = 1, .axis = 1};

/* ---- the sample's shape ---- */

struct binding {
    struct model *model;
    const struct preprocess_config *sample;
};

static enum status misfit(const struct value *value, const struct shape *bound, struct error *err)
{
    char wants[96], gets[96];
    shape_text(&value->shape, wants, sizeof wants);
    shape_text(bound, gets, sizeof gets);
    return error_set(err, ERR_INPUT, "the model's input %.100s is %s, data.preprocess gives %s",
                     value->name, wants, gets);
}

/* One input, as the file expects it: [C, H, W], [C·H, W] for networks on rows, or [C·H·W] for
 * networks on vectors. */
static enum status bind_one(const struct binding *binding, struct value *value, struct error *err)
{
    const struct preprocess_config *sample = binding->sample;
    struct model *model = binding->model;
    struct shape bound = {.rank = 4, .dims = {-1, sample->channels, sample->height, sample->width}};
    if (value->shape.rank == 3)
        bound = (struct shape){
            .rank = 3, .dims = {-1, (int64_t)sample->channels * sample->height, sample->width}};
    if (value->shape.rank == 2)
        bound = (struct shape){.rank = 2, .dims = {-1, (int64_t)model->input_elements}};
    bool fits = value->shape.rank == 0 || value->shape.rank == bound.rank;
    for (size_t i = 1; i < bound.rank && fits && value->shape.rank > 0; i++)
        fits = value->shape.dims[i] == -1 || value->shape.dims[i] == bound.dims[i];
    if (!fits)
        return misfit(value, &bound, err);
    value->shape = bound;
    model->input = (struct shape){.rank = bound.rank - 1};
    memcpy(model->input.dims, bound.dims + 1, model->input.rank * sizeof *bound.dims);
    return OK;
}

/* Elements of one sample of an input whose length is known, else 0. */
static size_t known_elements(const struct value *value)
{
    struct shape one = value->shape;
    size_t elements;
    if (one.rank > 0)
        one.dims[0] = 1;
    return one.rank > 0 && shape_elements(&one, &elements) ? elements : 0;
}

/* Several inputs lie side by side in a sample. Those of open length, [N, length], share evenly what
 * the others leave: ids, mask and types of the same tokens. */
static enum status bind_several(const struct binding *binding, struct graph *graph,
                                struct error *err)
{
    size_t left = binding->model->input_elements, open = 0;
    for (size_t i = 0; i < graph->input_count; i++) {
        const struct value *value = &graph->values[graph->inputs[i]];
        size_t elements = known_elements(value);
        if (elements == 0 && value->shape.rank != 2)
            return error_set(err, ERR_SUPPORT,
                             "of several inputs %.100s is neither [N, length] nor of a known size",
                             value->name);
        open += elements == 0;
        left = elements > left ? SIZE_MAX : left - elements;
    }
    if (left == SIZE_MAX || (open == 0 ? left != 0 : left == 0 || left % open != 0))
        return error_set(err, ERR_INPUT,
                         "samples of %zu numbers do not fill the model's %zu inputs",
                         binding->model->input_elements, graph->input_count);
    for (size_t i = 0; i < graph->input_count; i++)
        if (known_elements(&graph->values[graph->inputs[i]]) == 0)
            graph->values[graph->inputs[i]].shape.dims[1] = (int64_t)(left / open);
    binding->model->input =
        (struct shape){.rank = 1, .dims = {(int64_t)binding->model->input_elements}};
    return OK;
}

static bool text_input_of(const char *name, enum text_input *out)
{
    static const struct {
        const char *part;
        enum text_input input;
    } parts[] = {
        {"mask", TEXT_MASK}, {"type", TEXT_TYPES}, {"segment", TEXT_TYPES}, {"ids", TEXT_IDS}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        *out = parts[i].input;
        if (strstr(name, parts[i].part) != NULL && strstr(name, "position") == NULL)
            return true;
    }
    return false;
}

/* One of a text's rows: [N, length], by the input's name. */
static enum status bind_text(const struct binding *binding, struct value *value, struct error *err)
{
    struct model *model = binding->model;
    struct shape bound = {.rank = 2, .dims = {-1, binding->sample->text.length}};
    const struct shape *wants = &value->shape;
    enum text_input kind = TEXT_IDS;
    if (!text_input_of(value->name, &kind))
        return error_set(err, ERR_SUPPORT,
                         "the model's input %.100s: of texts graft makes inputs whose names hold "
                         "ids, mask or type",
                         value->name);
    if (wants->rank != 0 &&
        (wants->rank != 2 || (wants->dims[1] != -1 && wants->dims[1] != bound.dims[1])))
        return misfit(value, &bound, err);
    for (size_t i = 0; i < model->text_input_count; i++)
        if (model->text_inputs[i] == kind)
            return error_set(err, ERR_SUPPORT, "the model's input %.100s: a second one of its kind",
                             value->name);
    value->shape = bound;
    model->text_inputs[model->text_input_count++] = kind;
    model->input_elements += binding->sample->text.length;
    return OK;
}

static enum status bind_texts(const struct binding *binding, struct graph *graph, struct error *err)
{
    enum status status = OK;
    binding->model->input_elements = 0;
    for (size_t i = 0; i < graph->input_count && status == OK; i++)
        status = bind_text(binding, &graph->values[graph->inputs[i]], err);
    binding->model->input =
        (struct shape){.rank = 1, .dims = {(int64_t)binding->model->input_elements}};
    return status;
}

static enum status bind_inputs(void *context, struct graph *graph, struct error *err)
{
    const struct binding *binding = context;
    if (job_is_text(binding->sample))
        return bind_texts(binding, graph, err);
    return graph->input_count == 1 ? bind_one(binding, &graph->values[graph->input], err)
                                   : bind_several(binding, graph, err);
}

/* ---- the graph ---- */

/* No network: the samples are the features. */
static enum status empty_graph(struct model *model, struct error *err)
{
    struct shape shape = {.rank = 2, .dims = {-1, (int64_t)model->input_elements}};
    uint32_t input = GRAPH_NONE;
    enum status status = graph_create(&model->graph, err);
    if (status == OK)
        status = graph_add_input(model->graph, NAME_INPUT, DTYPE_F32, &shape, &input, err);
    if (status != OK)
        return status;
    model->graph->output = input;
    model->graph->opset = 13;
    model->graph->digest = digest_of("no network", 10);
    model->input = (struct shape){.rank = 1, .dims = {(int64_t)model->input_elements}};
    return OK;
}

static enum status load_graph(struct model *model, const struct model_config *config,
                              const struct preprocess_config *input, struct error *err)
{
    char path[PATH_BYTES];
    enum status status = job_path(config->file, path, err);
    struct binding binding = {model, input};
    const struct onnx_reading reading = {
        .cut = config->cut, .bind = bind_inputs, .context = &binding};
    return status == OK ? onnx_reader_open(path, &reading, &model->graph, err) : status;
}

static void free_name(const struct graph *graph, const char *wanted, char out[NAME_BYTES])
{
    snprintf(out, NAME_BYTES, "%s", wanted);
    for (unsigned number = 2; graph_find(graph, out) != GRAPH_NONE; number++)
        snprintf(out, NAME_BYTES, "%s.%u", wanted, number);
}

static enum status append(struct graph *graph, enum op op, uint32_t input, const char *output,
                          const struct attributes *attributes, uint32_t *out, struct error *err)
{
    char name[NAME_BYTES];
    free_name(graph, output, name);
    enum status status = graph_add_node(graph, op, name, &input, 1, name, attributes, out, err);
    return status == OK ? shape_infer_node(graph, &graph->nodes[graph->node_count - 1], err)
                        : status;
}

/* Mean over the axes from 2 on (ONNX: GlobalAveragePool for pictures, ReduceMean else), then [N,
 * d]. */
static enum status append_features(struct model *model, enum model_pool pool, struct error *err)
{
    struct graph *graph = model->graph;
    uint32_t at = graph->output;
    size_t rank = graph->values[at].shape.rank;
    enum status status = OK;
    if (!value_batched(&graph->values[at]) || rank < 2)
        return error_set(err, ERR_INPUT,
                         "the cut tensor %.100s is not one vector or more per sample",
                         graph->values[at].name);
    if (graph->values[at].dtype != DTYPE_F32)
        return error_set(err, ERR_SUPPORT, "the cut tensor %.100s is %s; features are float32",
                         graph->values[at].name, dtype_name(graph->values[at].dtype));
    if (pool == POOL_MEAN && rank == 4)
        status = append(graph, OP_GLOBAL_AVERAGE_POOL, at, NAME_POOLED, &plain, &at, err);
    if (pool == POOL_MEAN && rank > 2 && rank != 4) {
        struct attributes mean = plain;
        for (size_t i = 2; i < rank; i++)
            mean.axes[mean.axes_count++] = (int64_t)i;
        status = append(graph, OP_REDUCE_MEAN, at, NAME_POOLED, &mean, &at, err);
    }
    bool flat = rank == 2 || (pool == POOL_MEAN && rank != 4);
    if (status == OK && !flat)
        status = append(graph, OP_FLATTEN, at, NAME_FEATURES, &plain, &at, err);
    graph->features = at;
    return status;
}

static enum status append_parameter(struct graph *graph, const char *name,
                                    const struct shape *shape, uint32_t *out, struct error *err)
{
    size_t elements;
    char free[NAME_BYTES];
    if (!shape_elements(shape, &elements))
        return error_set(err, ERR_INPUT, "%s would be too large", name);
    free_name(graph, name, free);
    float *zeros = graph_alloc(graph, elements, sizeof *zeros);
    if (zeros == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %s", name);
    return graph_add_value(graph, free, DTYPE_F32, shape, zeros, true, out, err);
}

/* logits = features · weightᵀ + bias */
static enum status append_head(struct model *model, size_t classes, struct error *err)
{
    struct graph *graph = model->graph;
    uint32_t inputs[3] = {graph->features, GRAPH_NONE, GRAPH_NONE};
    model->feature_count = value_elements(&graph->values[graph->features]);
    model->class_count = classes;
    struct shape weight = {.rank = 2, .dims = {(int64_t)classes, (int64_t)model->feature_count}};
    struct shape bias = {.rank = 1, .dims = {(int64_t)classes}};
    struct attributes gemm = plain;
    gemm.trans_b = true;
    char logits[NAME_BYTES];
    free_name(graph, NAME_LOGITS, logits);
    enum status status = append_parameter(graph, "head.weight", &weight, &inputs[1], err);
    if (status == OK)
        status = append_parameter(graph, "head.bias", &bias, &inputs[2], err);
    if (status == OK)
        status =
            graph_add_node(graph, OP_GEMM, "head", inputs, 3, logits, &gemm, &graph->output, err);
    return status;
}

static enum status build(struct model *model, const struct model_config *config,
                         const struct preprocess_config *input, size_t classes, struct error *err)
{
    enum status status =
        config->file[0] == '\0' ? empty_graph(model, err) : load_graph(model, config, input, err);
    if (status == OK && config->lora.rank > 0)
        status = lora_add(model, &config->lora, err);
    if (status == OK)
        status = append_features(model, config->pool, err);
    model->trunk_dtype = config->trunk_dtype;
    if (status == OK)
        status = append_head(model, classes, err);
    if (status == OK)
        status = shape_infer(model->graph, err);
    if (status == OK)
        model->digest = model->graph->digest;
    return status;
}

enum status model_open(const struct model_config *config, const struct preprocess_config *input,
                       size_t classes, struct model **out, struct error *err)
{
    struct shape sample = {.rank = 3, .dims = {input->channels, input->height, input->width}};
    size_t elements;
    if (job_is_text(input))
        sample = (struct shape){.rank = 1, .dims = {input->text.length}};
    if (!shape_elements(&sample, &elements) || elements == 0 || classes == 0)
        return error_set(err, ERR_INPUT, "samples of %u x %u x %u or %zu classes make no model",
                         input->channels, input->height, input->width, classes);
    struct model *model = memory_alloc(1, sizeof *model);
    if (model == NULL)
        return error_set(err, ERR_MEMORY, "no memory for a model");
    model->input_elements = elements;
    enum status status = build(model, config, input, classes, err);
    if (status == OK)
        *out = model;
    else
        model_destroy(&model);
    return status;
}

void model_destroy(struct model **model)
{
    if (*model == NULL)
        return;
    graph_destroy(&(*model)->graph);
    memory_free(*model);
    *model = NULL;
}
