#include "worker/engine/tile.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/tensor/bfloat16.h"

#define WIDE ((size_t)16)

static float *at_buffer(const struct tile *tile, uint32_t buffer)
{
    return (float *)((char *)tile->arena + tile->buffers[buffer].offset);
}

static void scale_wide(const float *restrict x, const float *restrict g, float *restrict y,
                       size_t spatial)
{
    for (size_t i = 0; i < spatial; i++)
        for (size_t lane = 0; lane < WIDE; lane++)
            y[i * WIDE + lane] = x[i * WIDE + lane] * g[lane];
}

static void scale_narrow(const float *restrict x, const float *restrict g, float *restrict y,
                         size_t spatial, size_t width)
{
    for (size_t i = 0; i < spatial; i++)
        for (size_t lane = 0; lane < width; lane++)
            y[i * width + lane] = x[i * width + lane] * g[lane];
}

OP_CLONES static void scale_halves(const uint16_t *restrict x, const float *restrict g,
                                   uint16_t *restrict y, size_t spatial, size_t width)
{
    for (size_t i = 0; i < spatial; i++)
        for (size_t lane = 0; lane < width; lane++)
            y[i * width + lane] = bfloat16_narrow(bfloat16_widen(x[i * width + lane]) * g[lane]);
}

static void run_scale(const struct tile *tile, const struct tile_step *step)
{
    const struct tile_scale *s = &step->scale;
    const float *x = at_buffer(tile, step->operands[0].buffer),
                *g = at_buffer(tile, step->operands[1].buffer);
    float *y = at_buffer(tile, step->operands[2].buffer);
    size_t stretch = s->spatial * s->width;
    for (size_t i = 0; i < s->samples * s->blocks; i++) {
        if (s->narrow)
            scale_halves((const uint16_t *)x + i * stretch, g + i * s->width,
                         (uint16_t *)y + i * stretch, s->spatial, s->width);
        else if (s->width == WIDE)
            scale_wide(x + i * stretch, g + i * s->width, y + i * stretch, s->spatial);
        else
            scale_narrow(x + i * stretch, g + i * s->width, y + i * stretch, s->spatial, s->width);
    }
}

static void run_call(const struct tile *tile, const struct tile_step *step, const float *inputs,
                     float *features)
{
    struct onednn_call call = step->call;
    for (size_t i = 0; i < step->operand_count; i++) {
        if (step->operands[i].buffer == TILE_INPUT)
            onednn_call_set(&call, step->operands[i].arg, inputs + step->input_column);
        if (step->operands[i].buffer == TILE_OUTPUT)
            onednn_call_set(&call, step->operands[i].arg, features + step->column);
    }
    onednn_call_run(&call, &tile->dnn);
}

static void run_node(const struct tile *tile, const struct tile_step *step, const float *inputs)
{
    for (size_t k = 0; k < step->site.at[0].input_count; k++)
        if (step->x_buffers[k] == TILE_INPUT)
            step->x[k] = inputs;
    op_kernel(step->site.at[0].node->op)
        ->forward(&step->site.at[0], step->x, step->y, tile->scratch);
}

void tile_run(struct tile *tile, const float *inputs, float *features)
{
    for (size_t i = 0; i < tile->step_count; i++) {
        const struct tile_step *step = &tile->steps[i];
        if (step->kind == TILE_CALL)
            run_call(tile, step, inputs, features);
        else if (step->kind == TILE_SCALE)
            run_scale(tile, step);
        else
            run_node(tile, step, inputs);
    }
}
