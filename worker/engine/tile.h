/* The trunk's program for one tile of samples: steps on buffers in one arena. Layouts stay as the
 * primitives like them from step to step; reorders stand only where two disagree, at the input and
 * at the boundary. Built by tile_build.c; run here. One owner thread. */
#ifndef GRAFT_WORKER_ENGINE_TILE_H
#define GRAFT_WORKER_ENGINE_TILE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/model/plan.h"
#include "worker/engine/arena.h"
#include "worker/engine/onednn.h"
#include "worker/engine/sites.h"

#define TILE_NONE UINT32_MAX
#define TILE_INPUT (UINT32_MAX - 1)  /* in place of a buffer: the caller's input */
#define TILE_OUTPUT (UINT32_MAX - 2) /* …: the caller's features */

enum tile_kind { TILE_CALL, TILE_SCALE, TILE_NODE };

struct tile_operand {
    int arg; /* DNNL_ARG_…, or the input of a kernel */
    uint32_t buffer;
};

/* x [samples, blocks, spatial, width] · g [samples, blocks, width] */
struct tile_scale {
    size_t samples, blocks, spatial, width;
    bool narrow; /* x and y are bfloat16, g is float32 */
};

struct tile_step {
    enum tile_kind kind;
    struct tile_operand operands[ONEDNN_ARGS_MAX]; /* scale: x, g, y */
    size_t operand_count;
    size_t input_column; /* TILE_INPUT: where in a sample's input */
    size_t column;       /* TILE_OUTPUT: where in a sample's features */
    struct onednn_call call;
    struct tile_scale scale;
    struct sites site;   /* node: one site … */
    const float **x;     /* … and its inputs */
    uint32_t *x_buffers; /* TILE_NONE: a constant, already in x */
    float *y;
    uint32_t y_buffer;
};

struct tile {
    struct onednn dnn;
    dnnl_data_type_t type; /* of the numbers between steps that can take it */
    size_t samples, input_elements, boundary_elements;
    bool mixes_rows; /* bits may depend on a sample's place in the tile */
    struct tile_step *steps;
    size_t step_count, step_room;
    struct arena_buffer *buffers;
    size_t buffer_count, buffer_room;
    float *arena, *scratch;
    size_t arena_bytes;
    void **owned; /* reordered weights */
    size_t owned_count, owned_room, owned_bytes;
    size_t scratch_bytes;
    void *program, *constants, *fusion; /* kept for the nodes and constants that steps point to */
};

enum status tile_create(const struct plan *plan, size_t samples, struct tile **out,
                        struct error *err) MUST_CHECK;
void tile_destroy(struct tile **tile);

/* inputs [samples, input_elements] → features [samples, boundary_elements]; no heap call of ours.
 */
void tile_run(struct tile *tile, const float *inputs, float *features);

#endif
