#include "common/model/plan.h"

#include <math.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/model/graph.h"
#include "common/model/live_set.h"
#include "common/model/op_table.h"

static enum status allocate(struct plan *plan, const struct graph *graph, struct error *err)
{
    struct plan_graph *split = plan->split = memory_alloc(1, sizeof *split);
    if (split != NULL) {
        split->head = memory_alloc(graph->node_count, sizeof *split->head);
        split->trunk = memory_alloc(graph->node_count, sizeof *split->trunk);
        split->boundary = memory_alloc(graph->value_count, sizeof *split->boundary);
        split->live = memory_alloc(graph->value_count, sizeof *split->live);
        split->tensor_of = memory_alloc(graph->value_count, sizeof *split->tensor_of);
    }
    plan->tensors = memory_alloc(graph->value_count, sizeof *plan->tensors);
    if (split == NULL || split->head == NULL || split->trunk == NULL || split->boundary == NULL ||
        split->live == NULL || split->tensor_of == NULL || plan->tensors == NULL)
        return error_set(err, ERR_MEMORY, "no memory for a plan of %zu nodes", graph->node_count);
    for (size_t i = 0; i < graph->value_count; i++)
        split->tensor_of[i] = GRAPH_NONE;
    return OK;
}

/* Plan order: the order in which the graph's nodes use the parameters. */
static enum status lay_out_live(struct plan *plan, const struct graph *graph, const bool *live,
                                struct error *err)
{
    const struct node *head = &graph->nodes[graph->node_count - 1];
    for (size_t i = 0; i < graph->node_count; i++)
        for (size_t k = 0; k < graph->nodes[i].input_count; k++) {
            uint32_t input = graph->nodes[i].inputs[k];
            if (input == GRAPH_NONE || !live[input] || plan->split->tensor_of[input] != GRAPH_NONE)
                continue;
            struct live_tensor *tensor = &plan->tensors[plan->tensor_count];
            *tensor = (struct live_tensor){.name = graph->values[input].name,
                                           .shape = graph->values[input].shape,
                                           .offset = plan->live_elements,
                                           .elements = value_elements(&graph->values[input]),
                                           .pretrained = &graph->nodes[i] != head,
                                           .running = op_table_running(&graph->nodes[i], k)};
            if (!size_add(plan->live_elements, tensor->elements, &plan->live_elements))
                return error_set(err, ERR_INPUT, "the live parameters are too many");
            plan->split->live[plan->tensor_count] = input;
            plan->split->tensor_of[input] = (uint32_t)plan->tensor_count++;
        }
    return OK;
}

static enum status lay_out_blocks(struct plan *plan, struct error *err)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->tensor_count; i++)
        count += (plan->tensors[i].elements + PLAN_BLOCK_ELEMENTS - 1) / PLAN_BLOCK_ELEMENTS;
    plan->blocks = memory_alloc(count, sizeof *plan->blocks);
    if (plan->blocks == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %zu blocks", count);
    for (size_t i = 0; i < plan->tensor_count; i++)
        for (size_t at = 0; at < plan->tensors[i].elements; at += PLAN_BLOCK_ELEMENTS) {
            size_t left = plan->tensors[i].elements - at;
            plan->blocks[plan->block_count++] = (struct plan_block){
                .tensor = (uint32_t)i,
                .offset = plan->tensors[i].offset + at,
                .elements = left < PLAN_BLOCK_ELEMENTS ? left : PLAN_BLOCK_ELEMENTS};
        }
    CHECK(plan->block_count == count);
    return OK;
}

static bool computed(const struct graph *graph, uint32_t value)
{
    return value != GRAPH_NONE && graph->values[value].data == NULL;
}

/* Forwards: what a live parameter feeds. Backwards: nodes without the batch (arithmetic on weights)
 * that feed the head belong to it too, because the cache keeps only what differs between samples.
 */
static void mark_head(struct plan *plan, const struct graph *graph)
{
    bool *head = plan->split->head;
    for (size_t i = 0; i < graph->node_count; i++)
        for (size_t k = 0; k < graph->nodes[i].input_count; k++) {
            uint32_t input = graph->nodes[i].inputs[k];
            if (input == GRAPH_NONE)
                continue;
            uint32_t producer = graph->values[input].producer;
            head[i] |= plan->split->tensor_of[input] != GRAPH_NONE ||
                       (producer != GRAPH_NONE && head[producer]);
        }
    for (size_t i = graph->node_count; i-- > 0;)
        for (size_t k = 0; k < graph->nodes[i].input_count && head[i]; k++) {
            uint32_t input = graph->nodes[i].inputs[k];
            if (computed(graph, input) && !value_batched(&graph->values[input]))
                head[graph->values[input].producer] = true;
        }
}

static enum status mark_boundary(struct plan *plan, const struct graph *graph, struct error *err)
{
    struct plan_graph *split = plan->split;
    bool *crosses = memory_alloc(graph->value_count, sizeof *crosses);
    if (crosses == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %zu marks", graph->value_count);
    for (size_t i = 0; i < graph->node_count; i++)
        for (size_t k = 0; k < graph->nodes[i].input_count && split->head[i]; k++) {
            uint32_t input = graph->nodes[i].inputs[k];
            if (!computed(graph, input))
                continue;
            uint32_t producer = graph->values[input].producer;
            crosses[input] = producer == GRAPH_NONE || !split->head[producer];
        }
    for (size_t i = 0; i < graph->value_count; i++)
        if (crosses[i]) {
            split->boundary[split->boundary_count++] = (uint32_t)i;
            plan->boundary_elements += value_elements(&graph->values[i]);
        }
    memory_free(crosses);
    CHECK(split->boundary_count > 0);
    return OK;
}

static void mark_trunk(struct plan *plan, const struct graph *graph)
{
    bool *trunk = plan->split->trunk;
    for (size_t i = 0; i < plan->split->boundary_count; i++) {
        uint32_t producer = graph->values[plan->split->boundary[i]].producer;
        if (producer != GRAPH_NONE)
            trunk[producer] = true;
    }
    for (size_t i = graph->node_count; i-- > 0;)
        for (size_t k = 0; k < graph->nodes[i].input_count && trunk[i]; k++)
            if (computed(graph, graph->nodes[i].inputs[k]) &&
                graph->values[graph->nodes[i].inputs[k]].producer != GRAPH_NONE)
                trunk[graph->values[graph->nodes[i].inputs[k]].producer] = true;
}

static void digest_floats(struct digest_stream *stream, const float *values, size_t count)
{
    digest_add(stream, values, count * sizeof *values);
}

static void digest_ints(struct digest_stream *stream, const int64_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        digest_add_u64(stream, (uint64_t)values[i]);
}

/* Field by field: a struct's padding has no defined content. */
static void digest_attributes(struct digest_stream *stream, const struct attributes *a)
{
    digest_ints(stream, a->kernel, 2);
    digest_ints(stream, a->strides, 2);
    digest_ints(stream, a->dilations, 2);
    digest_ints(stream, a->pads, 4);
    digest_ints(stream, &a->groups, 1);
    digest_ints(stream, &a->axis, 1);
    digest_ints(stream, a->axes, a->axes_count);
    digest_ints(stream, a->output_pads, 2);
    digest_ints(stream, a->starts, a->starts_count);
    digest_ints(stream, a->ends, a->starts_count);
    digest_ints(stream, a->steps, a->starts_count);
    digest_floats(stream, a->scales, a->scales_count);
    digest_floats(stream, (const float[]){a->alpha, a->beta, a->epsilon, a->low, a->high, a->fill},
                  6);
    const uint64_t choices[] = {
        a->ceil_mode,   a->count_include_pad, a->trans_a,         a->trans_b,
        a->keep_dims,   a->reduce_none,       a->allow_zero,      a->softmax_flat,
        a->approximate, a->last_index,        a->exclude_outside, a->to,
        a->pad_mode,    a->resize_mode,       a->resize_origin,   a->resize_round};
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
        digest_add_u64(stream, choices[i]);
}

static void digest_value(struct digest_stream *stream, const struct graph *graph, uint32_t index)
{
    digest_add_u64(stream, index);
    if (index == GRAPH_NONE)
        return;
    const struct value *value = &graph->values[index];
    digest_add_u64(stream, value->shape.rank);
    digest_ints(stream, value->shape.dims, value->shape.rank);
    if (value->data != NULL)
        digest_add(stream, value->data, value_elements(value) * dtype_bytes(value->dtype));
}

static struct digest digest_trunk(const struct plan *plan, const struct graph *graph)
{
    struct digest_stream stream;
    digest_init(&stream);
    for (size_t i = 0; i < graph->input_count; i++)
        digest_value(&stream, graph, graph->inputs[i]);
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct node *node = &graph->nodes[i];
        if (!plan->split->trunk[i])
            continue;
        digest_add_text(&stream, op_table_row(node->op)->type);
        digest_attributes(&stream, &node->attributes);
        for (size_t k = 0; k < node->input_count; k++)
            digest_value(&stream, graph, node->inputs[k]);
        digest_value(&stream, graph, node->output);
    }
    for (size_t i = 0; i < plan->split->boundary_count; i++)
        digest_add_u64(&stream, plan->split->boundary[i]);
    return digest_end(&stream);
}

static enum status split_graph(struct plan *plan, const struct graph *graph, const bool *live,
                               struct error *err)
{
    enum status status = lay_out_live(plan, graph, live, err);
    if (status == OK)
        status = lay_out_blocks(plan, err);
    if (status != OK)
        return status;
    mark_head(plan, graph);
    status = mark_boundary(plan, graph, err);
    if (status != OK)
        return status;
    mark_trunk(plan, graph);
    plan->trunk = digest_trunk(plan, graph);
    return OK;
}

enum status plan_create(const struct model *model, const struct live_config *config,
                        struct plan **out, struct error *err)
{
    const struct graph *graph = model->graph;
    struct plan *plan = memory_alloc(1, sizeof *plan);
    bool *live = memory_alloc(graph->value_count, sizeof *live);
    enum status status = OK;
    if (plan == NULL || live == NULL)
        status = error_set(err, ERR_MEMORY, "no memory for a plan");
    if (status == OK) {
        plan->model = model;
        status = allocate(plan, graph, err);
    }
    if (status == OK)
        status = live_set_mark(model, config, live, err);
    if (status == OK)
        status = split_graph(plan, graph, live, err);
    memory_free(live);
    if (status == OK)
        *out = plan;
    else
        plan_destroy(&plan);
    return status;
}

enum status plan_check_order(const struct plan *plan, const struct plan *before, struct error *err)
{
    for (size_t i = 0; i < before->tensor_count; i++)
        if (plan->split->tensor_of[before->split->live[i]] == GRAPH_NONE)
            return error_set(err, ERR_INPUT,
                             "it freezes %.100s, which the stage before it trains: that training "
                             "would be lost; name it in live too",
                             before->tensors[i].name);
    return OK;
}

void plan_destroy(struct plan **plan)
{
    if (*plan == NULL)
        return;
    struct plan_graph *split = (*plan)->split;
    if (split != NULL) {
        memory_free(split->head);
        memory_free(split->trunk);
        memory_free(split->boundary);
        memory_free(split->live);
        memory_free(split->tensor_of);
        memory_free(split);
    }
    memory_free((*plan)->tensors);
    memory_free((*plan)->blocks);
    memory_free(*plan);
    *plan = NULL;
}

/* The new head: weight [K, d] from N(0, 1/d) (LeCun 1998, "Efficient BackProp", eq. 16), bias zero.
 */
static void initial_head(const struct live_tensor *tensor, uint64_t seed, uint64_t index,
                         float *out)
{
    if (tensor->shape.rank < 2) {
        memset(out, 0, tensor->elements * sizeof *out);
        return;
    }
    struct random_key key = {.seed = seed, .purpose = RANDOM_INIT, .epoch = 0, .index = index};
    double scale = 1 / sqrt((double)tensor->shape.dims[1]);
    for (size_t i = 0; i < tensor->elements; i++)
        out[i] = (float)(scale * random_normal(key, (uint32_t)i));
}

/* New tensors are counted from 0 whatever else is live, so that each stage of a job starts the head
 * alike. */
void plan_initial(const struct plan *plan, uint64_t seed, float *live)
{
    uint64_t fresh = 0;
    for (size_t i = 0; i < plan->tensor_count; i++) {
        const struct live_tensor *tensor = &plan->tensors[i];
        const struct value *value = &plan->model->graph->values[plan->split->live[i]];
        if (tensor->pretrained)
            memcpy(live + tensor->offset, value->data, tensor->elements * sizeof *live);
        else
            initial_head(tensor, seed, fresh++, live + tensor->offset);
    }
}
