#include "worker/engine/tile_build.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"

static bool room(void **array, size_t count, size_t *have, size_t bytes)
{
    if (count < *have)
        return true;
    size_t wanted = *have == 0 ? 64 : 2 * *have;
    void *larger = memory_alloc(wanted, bytes);
    if (larger == NULL)
        return false;
    if (count > 0)
        memcpy(larger, *array, count * bytes);
    memory_free(*array);
    *array = larger;
    *have = wanted;
    return true;
}

static enum status no_memory(const struct tile_builder *builder)
{
    return error_set(builder->err, ERR_MEMORY, "no memory to build the trunk");
}

/* ---- buffers, versions ---- */

struct shape tile_build_shape(const struct tile_builder *builder, uint32_t value)
{
    return sites_shape(builder->program->graph, value, builder->tile->samples);
}

const struct onednn_layout *tile_build_plain(const struct tile_builder *builder, uint32_t value)
{
    struct shape shape = tile_build_shape(builder, value);
    return onednn_plain(&builder->tile->dnn, &shape);
}

const struct onednn_layout *tile_build_plain_of(const struct tile_builder *builder, uint32_t value,
                                                dnnl_data_type_t type)
{
    return onednn_cast(&builder->tile->dnn, tile_build_plain(builder, value), type);
}

enum status tile_build_adopt(struct tile_builder *builder, uint32_t value,
                             const struct onednn_layout *layout, uint32_t buffer)
{
    if (layout == NULL)
        return error_set(builder->err, ERR_SUPPORT, "tensor %s: oneDNN does not take its shape",
                         builder->program->graph->values[value].name);
    if (!room((void **)&builder->versions, builder->version_count, &builder->version_room,
              sizeof *builder->versions))
        return no_memory(builder);
    builder->versions[builder->version_count++] =
        (struct tile_version){.value = value, .buffer = buffer, .layout = layout};
    return OK;
}

static enum status add_buffer(struct tile_builder *builder, size_t bytes, uint32_t *out)
{
    struct tile *tile = builder->tile;
    if (!room((void **)&tile->buffers, tile->buffer_count, &tile->buffer_room,
              sizeof *tile->buffers))
        return no_memory(builder);
    tile->buffers[tile->buffer_count] =
        (struct arena_buffer){.bytes = bytes, .first = tile->step_count, .last = tile->step_count};
    *out = (uint32_t)tile->buffer_count++;
    return OK;
}

enum status tile_build_define(struct tile_builder *builder, uint32_t value,
                              const struct onednn_layout *layout, uint32_t *out)
{
    uint32_t buffer = TILE_NONE;
    enum status status = add_buffer(builder, onednn_bytes(layout), &buffer);
    if (status == OK)
        status = tile_build_adopt(builder, value, layout, buffer);
    if (status == OK)
        *out = buffer;
    return status;
}

const struct tile_version *tile_build_first(const struct tile_builder *builder, uint32_t value)
{
    for (size_t i = 0; i < builder->version_count; i++)
        if (builder->versions[i].value == value)
            return &builder->versions[i];
    return NULL;
}

enum status tile_build_source(struct tile_builder *builder, uint32_t value,
                              struct tile_version *out)
{
    struct tile_version source = *tile_build_first(builder, value);
    enum status status = OK;
    if (source.turned) {
        dnnl_data_type_t type = onednn_type(source.layout);
        source = (struct tile_version){.value = value,
                                       .layout = tile_build_plain_of(builder, value, type)};
        status = tile_build_require(builder, value, source.layout, &source.buffer);
    }
    if (status == OK)
        *out = source;
    return status;
}

static bool reads(const struct fused *fused, uint32_t value, bool with_sum)
{
    bool found = fused->input == value || fused->other == value;
    for (size_t k = 0; k < fused->node->input_count && fused->kind == FUSED_NODE; k++)
        found |= fused->node->inputs[k] == value;
    for (size_t k = 0; k < fused->post_count && with_sum; k++)
        found |= fused->posts[k].kind == POST_ADD && fused->posts[k].other == value;
    return found;
}

bool tile_build_last_read(const struct tile_builder *builder, uint32_t buffer)
{
    bool last = buffer != TILE_INPUT;
    for (size_t v = 0; v < builder->version_count && last; v++) {
        uint32_t value = builder->versions[v].value;
        if (builder->versions[v].buffer != buffer)
            continue;
        last = !builder->program->leaves[value];
        for (size_t i = builder->position; i < builder->fusion->count && last; i++)
            last = !reads(&builder->fusion->at[i], value, i > builder->position);
    }
    return last;
}

dnnl_data_type_t tile_build_type(const struct tile_builder *builder, uint32_t value)
{
    bool wide = builder->program->leaves[value];
    for (size_t i = builder->position + 1; i < builder->fusion->count && !wide; i++) {
        const struct fused *fused = &builder->fusion->at[i];
        wide = fused->kind == FUSED_NODE && reads(fused, value, false);
        if (fused->kind == FUSED_VIEW && fused->input == value) { /* the same memory goes on */
            value = fused->output;
            wide = builder->program->leaves[value];
        }
    }
    return wide ? dnnl_f32 : builder->tile->type;
}

enum status tile_build_copy(struct tile_builder *builder, const struct tile_version *from,
                            const struct onednn_layout *layout, uint32_t to)
{
    dnnl_primitive_desc_t reorder = NULL;
    struct tile_step *step;
    enum status status =
        onednn_describe_reorder(&builder->tile->dnn, from->layout, layout, &reorder, builder->err);
    if (status == OK)
        status = tile_build_call(builder, reorder, &step);
    if (status == OK)
        status = tile_build_bind(builder, DNNL_ARG_FROM, from->buffer);
    return status == OK ? tile_build_bind(builder, DNNL_ARG_TO, to) : status;
}

enum status tile_build_require(struct tile_builder *builder, uint32_t value,
                               const struct onednn_layout *layout, uint32_t *out)
{
    for (size_t i = 0; i < builder->version_count; i++)
        if (builder->versions[i].value == value &&
            onednn_same(builder->versions[i].layout, layout)) {
            *out = builder->versions[i].buffer;
            return OK;
        }
    const struct tile_version *first = tile_build_first(builder, value);
    CHECK(first != NULL);
    struct tile_version from = *first;
    uint32_t to = TILE_NONE;
    enum status status = tile_build_define(builder, value, layout, &to);
    if (status == OK)
        status = tile_build_copy(builder, &from, layout, to);
    if (status == OK)
        *out = to;
    return status;
}

enum status tile_build_require_plain(struct tile_builder *builder, uint32_t value, uint32_t *out)
{
    return tile_build_require(builder, value, tile_build_plain(builder, value), out);
}

/* ---- steps ---- */

enum status tile_build_step(struct tile_builder *builder, enum tile_kind kind,
                            struct tile_step **out)
{
    struct tile *tile = builder->tile;
    if (!room((void **)&tile->steps, tile->step_count, &tile->step_room, sizeof *tile->steps))
        return no_memory(builder);
    *out = &tile->steps[tile->step_count++];
    **out = (struct tile_step){.kind = kind};
    return OK;
}

static struct tile_step *last_step(const struct tile_builder *builder)
{
    CHECK(builder->tile->step_count > 0);
    return &builder->tile->steps[builder->tile->step_count - 1];
}

void tile_build_touch(struct tile_builder *builder, uint32_t buffer)
{
    if (buffer != TILE_INPUT && buffer != TILE_OUTPUT)
        builder->tile->buffers[buffer].last = builder->tile->step_count - 1;
}

enum status tile_build_bind(struct tile_builder *builder, int arg, uint32_t buffer)
{
    struct tile_step *step = last_step(builder);
    enum status status =
        onednn_call_bind(&step->call, &builder->tile->dnn, arg, NULL, builder->err);
    if (status != OK)
        return status;
    CHECK(step->operand_count < ONEDNN_ARGS_MAX);
    step->operands[step->operand_count++] = (struct tile_operand){arg, buffer};
    tile_build_touch(builder, buffer);
    return OK;
}

enum status tile_build_fix(struct tile_builder *builder, int arg, void *memory)
{
    return onednn_call_bind(&last_step(builder)->call, &builder->tile->dnn, arg, memory,
                            builder->err);
}

enum status tile_build_call(struct tile_builder *builder, dnnl_primitive_desc_t desc,
                            struct tile_step **out)
{
    size_t scratch =
        dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0));
    uint32_t buffer = TILE_NONE;
    enum status status = tile_build_step(builder, TILE_CALL, out);
    if (status != OK) {
        dnnl_primitive_desc_destroy(desc);
        return status;
    }
    status = onednn_call_init(&(*out)->call, desc, builder->err);
    if (status != OK || scratch == 0)
        return status;
    status = add_buffer(builder, scratch, &buffer);
    if (status != OK)
        return status;
    builder->tile->buffers[buffer].first = builder->tile->step_count - 1;
    return tile_build_bind(builder, DNNL_ARG_SCRATCHPAD, buffer);
}

enum status tile_build_weights(struct tile_builder *builder, const struct onednn_layout *from,
                               const float *data, const struct onednn_layout *to, void **out)
{
    struct tile *tile = builder->tile;
    struct onednn_call reorder = {0};
    void *memory = memory_alloc(onednn_bytes(to), 1);
    if (memory == NULL ||
        !room((void **)&tile->owned, tile->owned_count, &tile->owned_room, sizeof *tile->owned)) {
        memory_free(memory);
        return no_memory(builder);
    }
    tile->owned[tile->owned_count++] = memory;
    tile->owned_bytes += onednn_bytes(to);
    enum status status = onednn_call_reorder(&reorder, &tile->dnn, from, to, builder->err);
    if (status == OK) {
        onednn_call_set(&reorder, DNNL_ARG_FROM, data);
        onednn_call_set(&reorder, DNNL_ARG_TO, memory);
        onednn_call_run(&reorder, &tile->dnn);
        *out = memory;
    }
    onednn_call_deinit(&reorder);
    return status;
}

/* ---- the whole ---- */

/* A value as it lies among others: rows of `stride` elements, one a sample. */
static const struct onednn_layout *column_layout(const struct tile_builder *builder, uint32_t value,
                                                 size_t stride)
{
    struct shape shape = tile_build_shape(builder, value);
    dnnl_dims_t strides;
    onednn_strides(&shape, strides);
    strides[0] = (int64_t)stride;
    return onednn_strided(&builder->tile->dnn, &shape, strides);
}

/* One of several inputs, out of the caller's inputs [samples, input_elements]. */
static enum status add_input(struct tile_builder *builder, uint32_t value, size_t column)
{
    const struct tile_version from = {
        .value = value,
        .buffer = TILE_INPUT,
        .layout = column_layout(builder, value, builder->tile->input_elements)};
    const struct onednn_layout *plain = tile_build_plain(builder, value);
    uint32_t to = TILE_NONE;
    enum status status = tile_build_define(builder, value, plain, &to);
    if (status == OK)
        status = tile_build_copy(builder, &from, plain, to);
    if (status == OK)
        last_step(builder)->input_column = column;
    return status;
}

/* A single input is the caller's memory itself. */
static enum status add_inputs(struct tile_builder *builder)
{
    const struct graph *graph = builder->program->graph;
    enum status status = OK;
    size_t column = 0;
    if (graph->input_count == 1)
        return tile_build_adopt(builder, graph->input, tile_build_plain(builder, graph->input),
                                TILE_INPUT);
    for (size_t i = 0; i < graph->input_count && status == OK; i++) {
        if (builder->program->uses[graph->inputs[i]] > 0)
            status = add_input(builder, graph->inputs[i], column);
        column += value_elements(&graph->values[graph->inputs[i]]);
    }
    return status;
}

/* From wherever the value is into the caller's features [samples, boundary_elements]. */
static enum status add_output(struct tile_builder *builder, uint32_t value, size_t column)
{
    const struct tile_version from = *tile_build_first(builder, value);
    enum status status = tile_build_copy(
        builder, &from, column_layout(builder, value, builder->tile->boundary_elements),
        TILE_OUTPUT);
    if (status == OK)
        last_step(builder)->column = column;
    return status;
}

static enum status add_outputs(struct tile_builder *builder)
{
    const struct plan_graph *split = builder->plan->split;
    enum status status = OK;
    size_t column = 0;
    for (size_t i = 0; i < split->boundary_count && status == OK; i++) {
        status = add_output(builder, split->boundary[i], column);
        column += value_elements(&builder->program->graph->values[split->boundary[i]]);
    }
    return status;
}

static enum status add_steps(struct tile_builder *builder, const struct fusion *fusion)
{
    enum status status = add_inputs(builder);
    builder->fusion = fusion;
    for (size_t i = 0; i < fusion->count && status == OK; i++) {
        builder->position = i;
        status = tile_steps_add(builder, &fusion->at[i]);
    }
    return status == OK ? add_outputs(builder) : status;
}

static void set_step(struct tile *tile, struct tile_step *step)
{
    for (size_t i = 0; i < step->operand_count && step->kind == TILE_CALL; i++)
        if (step->operands[i].buffer < TILE_OUTPUT)
            onednn_call_set(&step->call, step->operands[i].arg,
                            (char *)tile->arena + tile->buffers[step->operands[i].buffer].offset);
    if (step->kind != TILE_NODE)
        return;
    for (size_t k = 0; k < step->site.at[0].input_count; k++)
        if (step->x_buffers[k] < TILE_OUTPUT)
            step->x[k] = (float *)((char *)tile->arena + tile->buffers[step->x_buffers[k]].offset);
    step->y = (float *)((char *)tile->arena + tile->buffers[step->y_buffer].offset);
}

static enum status settle(struct tile *tile, struct error *err)
{
    size_t scratch = 0;
    enum status status = arena_plan(tile->buffers, tile->buffer_count, &tile->arena_bytes, err);
    if (status != OK)
        return status;
    for (size_t i = 0; i < tile->step_count; i++)
        if (tile->steps[i].site.scratch_elements > scratch)
            scratch = tile->steps[i].site.scratch_elements;
    tile->scratch_bytes = scratch * sizeof *tile->scratch;
    tile->arena = memory_alloc(tile->arena_bytes, 1);
    tile->scratch = memory_alloc(scratch, sizeof *tile->scratch);
    if (tile->arena == NULL || tile->scratch == NULL)
        return error_set(err, ERR_MEMORY, "no memory for activations (%zu bytes)",
                         tile->arena_bytes);
    for (size_t i = 0; i < tile->step_count; i++)
        set_step(tile, &tile->steps[i]);
    return OK;
}

static enum status build(struct tile *tile, const struct plan *plan, struct error *err)
{
    struct program *program = NULL;
    struct constants *constants = tile->constants = memory_alloc(1, sizeof *constants);
    struct fusion *fusion = tile->fusion = memory_alloc(1, sizeof *fusion);
    if (constants == NULL || fusion == NULL)
        return error_set(err, ERR_MEMORY, "no memory to build the trunk");
    enum status status = onednn_init(&tile->dnn, err);
    if (status == OK)
        status = program_create(plan, PROGRAM_TRUNK, &program, err);
    tile->program = program;
    if (status == OK)
        status = constants_init(constants, program, &tile->dnn, err);
    if (status == OK)
        status = fuse_init(fusion, program, constants, err);
    struct tile_builder builder = {
        .tile = tile, .plan = plan, .program = program, .constants = constants, .err = err};
    if (status == OK)
        status = add_steps(&builder, fusion);
    memory_free(builder.versions);
    return status == OK ? settle(tile, err) : status;
}

enum status tile_create(const struct plan *plan, size_t samples, struct tile **out,
                        struct error *err)
{
    struct tile *tile = memory_alloc(1, sizeof *tile);
    if (tile == NULL)
        return error_set(err, ERR_MEMORY, "no memory to build the trunk");
    tile->samples = samples;
    tile->type = plan->model->trunk_dtype == TRUNK_BFLOAT16 ? dnnl_bf16 : dnnl_f32;
    tile->input_elements = plan->model->input_elements;
    tile->boundary_elements = plan->boundary_elements;
    enum status status = build(tile, plan, err);
    if (status == OK)
        *out = tile;
    else
        tile_destroy(&tile);
    return status;
}

static void destroy_step(struct tile_step *step)
{
    onednn_call_deinit(&step->call);
    sites_deinit(&step->site);
    memory_free(step->x);
    memory_free(step->x_buffers);
}

void tile_destroy(struct tile **tile)
{
    struct tile *t = *tile;
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->step_count; i++)
        destroy_step(&t->steps[i]);
    for (size_t i = 0; i < t->owned_count; i++)
        memory_free(t->owned[i]);
    if (t->fusion != NULL)
        fuse_deinit(t->fusion);
    if (t->constants != NULL)
        constants_deinit(t->constants);
    struct program *program = t->program;
    program_destroy(&program);
    onednn_deinit(&t->dnn);
    memory_free(t->fusion);
    memory_free(t->constants);
    memory_free(t->steps);
    memory_free(t->buffers);
    memory_free(t->owned);
    memory_free(t->arena);
    memory_free(t->scratch);
    memory_free(t);
    *tile = NULL;
}
