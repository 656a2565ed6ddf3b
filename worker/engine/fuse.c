#include "worker/engine/fuse.h"

#include <math.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "worker/engine/affine.h"

struct fuser {
    const struct program *program;
    const struct graph *graph;
    const struct constants *constants;
    struct fusion *fusion;
    uint32_t *owner; /* per value: the fused step that makes it, or GRAPH_NONE */
};

static const struct shape *shape_of(const struct fuser *fuser, uint32_t value)
{
    return &fuser->graph->values[value].shape;
}

static struct fused *append(struct fuser *fuser, enum fused_kind kind, const struct node *node,
                            uint32_t input)
{
    struct fused *fused = &fuser->fusion->at[fuser->fusion->count++];
    *fused = (struct fused){
        .kind = kind, .node = node, .input = input, .other = GRAPH_NONE, .output = node->output};
    fuser->owner[node->output] = (uint32_t)(fuser->fusion->count - 1);
    return fused;
}

static bool is_weighted(const struct fused *fused)
{
    return fused->kind == FUSED_CONV || fused->kind == FUSED_DENSE;
}

/* The step that makes `value`, if a fusion may swallow it and the step can take more. */
static struct fused *open_step(const struct fuser *fuser, uint32_t value)
{
    if (!program_private(fuser->program, value) || fuser->owner[value] == GRAPH_NONE)
        return NULL;
    struct fused *fused = &fuser->fusion->at[fuser->owner[value]];
    bool takes = is_weighted(fused) || fused->kind == FUSED_MATMUL || fused->kind == FUSED_CHAIN;
    return takes && fused->post_count < FUSED_POSTS_MAX - 1 ? fused : NULL;
}

static void extend(struct fuser *fuser, struct fused *fused, const struct node *node)
{
    fused->output = node->output;
    fuser->owner[node->output] = (uint32_t)(fused - fuser->fusion->at);
}

static void push(struct fused *fused, enum post_kind kind, float alpha, float beta)
{
    CHECK(fused->post_count < FUSED_POSTS_MAX);
    fused->posts[fused->post_count++] = (struct post){kind, alpha, beta, GRAPH_NONE};
}

/* ---- weighted layers ---- */

static enum status take_weights(struct fused *fused, size_t channels, size_t taps,
                                struct error *err)
{
    fused->channels = channels;
    fused->taps = taps;
    fused->weight = memory_alloc(channels, taps * sizeof *fused->weight);
    fused->bias = memory_alloc(channels, sizeof *fused->bias);
    if (fused->weight == NULL || fused->bias == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the weights of %s", fused->node->name);
    return OK;
}

static const float *constant(const struct fuser *fuser, const struct node *node, size_t input)
{
    if (input >= node->input_count || node->inputs[input] == GRAPH_NONE)
        return NULL;
    return fuser->constants->data[node->inputs[input]];
}

static bool has_input(const struct node *node, size_t input)
{
    return input < node->input_count && node->inputs[input] != GRAPH_NONE;
}

static bool is_pointwise(const struct fuser *fuser, const struct node *node)
{
    const struct shape *x = shape_of(fuser, node->inputs[0]), *y = shape_of(fuser, node->output);
    return node->attributes.groups == 1 && node->attributes.kernel[0] == 1 &&
           node->attributes.kernel[1] == 1 && x->dims[2] * x->dims[3] == 1 &&
           y->dims[2] * y->dims[3] == 1;
}

static enum status fuse_conv(struct fuser *fuser, const struct node *node, struct error *err)
{
    const float *weight = constant(fuser, node, 1), *bias = constant(fuser, node, 2);
    if (weight == NULL || (has_input(node, 2) && bias == NULL) ||
        shape_of(fuser, node->inputs[0])->rank != 4) {
        append(fuser, FUSED_NODE, node, node->inputs[0]);
        return OK;
    }
    const struct shape *w = shape_of(fuser, node->inputs[1]);
    struct fused *fused =
        append(fuser, is_pointwise(fuser, node) ? FUSED_DENSE : FUSED_CONV, node, node->inputs[0]);
    enum status status = take_weights(fused, (size_t)w->dims[0],
                                      (size_t)(w->dims[1] * w->dims[2] * w->dims[3]), err);
    if (status != OK)
        return status;
    memcpy(fused->weight, weight, fused->channels * fused->taps * sizeof *weight);
    if (bias != NULL)
        memcpy(fused->bias, bias, fused->channels * sizeof *bias);
    return OK;
}

/* weight [M, K] from [K, M] (or already [M, K]), times alpha. */
static void copy_matrix(struct fused *fused, const float *from, bool transposed, float alpha)
{
    for (size_t m = 0; m < fused->channels; m++)
        for (size_t k = 0; k < fused->taps; k++)
            fused->weight[m * fused->taps + k] =
                alpha * from[transposed ? m * fused->taps + k : k * fused->channels + m];
}

/* Two computed stacks of matrices, one for one. */
static void fuse_matmul(struct fuser *fuser, const struct node *node)
{
    const struct shape *a = shape_of(fuser, node->inputs[0]), *b = shape_of(fuser, node->inputs[1]);
    bool fits = node->op == OP_MATMUL && a->rank == b->rank && a->rank > 2 &&
                constant(fuser, node, 0) == NULL && constant(fuser, node, 1) == NULL;
    for (size_t i = 0; i + 2 < a->rank && fits; i++)
        fits = a->dims[i] == b->dims[i];
    struct fused *fused = append(fuser, fits ? FUSED_MATMUL : FUSED_NODE, node, node->inputs[0]);
    fused->other = fits ? node->inputs[1] : GRAPH_NONE;
}

static enum status fuse_product(struct fuser *fuser, const struct node *node, struct error *err)
{
    const struct attributes *at = &node->attributes;
    const float *matrix = constant(fuser, node, 1), *row = constant(fuser, node, 2);
    bool gemm = node->op == OP_GEMM;
    if (matrix == NULL || (has_input(node, 2) && row == NULL) ||
        shape_of(fuser, node->inputs[0])->rank < 2 || shape_of(fuser, node->inputs[1])->rank != 2 ||
        (gemm && at->trans_a)) {
        fuse_matmul(fuser, node);
        return OK;
    }
    const struct shape *w = shape_of(fuser, node->inputs[1]);
    bool transposed = gemm && at->trans_b;
    struct fused *fused = append(fuser, FUSED_DENSE, node, node->inputs[0]);
    enum status status = take_weights(fused, (size_t)w->dims[transposed ? 0 : 1],
                                      (size_t)w->dims[transposed ? 1 : 0], err);
    if (status != OK)
        return status;
    copy_matrix(fused, matrix, transposed, gemm ? at->alpha : 1);
    size_t row_elements = row == NULL ? 0 : value_elements(&fuser->graph->values[node->inputs[2]]);
    for (size_t m = 0; m < fused->channels && row != NULL; m++)
        fused->bias[m] = at->beta * row[row_elements == 1 ? 0 : m];
    return OK;
}

/* ---- affines ---- */

static void absorb(struct fused *fused, const struct affine *affine)
{
    for (size_t m = 0; m < fused->channels; m++) {
        float scale = affine_scale(affine, m);
        for (size_t k = 0; k < fused->taps; k++)
            fused->weight[m * fused->taps + k] *= scale;
        fused->bias[m] = fused->bias[m] * scale + affine_shift(affine, m);
    }
}

/* v → scale·v + shift on top of what the step does already. */
static void push_linear(struct fused *fused, float scale, float shift)
{
    struct post *last = fused->post_count > 0 ? &fused->posts[fused->post_count - 1] : NULL;
    if (last == NULL || last->kind != POST_LINEAR) {
        push(fused, POST_LINEAR, scale, shift);
        return;
    }
    last->alpha *= scale;
    last->beta = last->beta * scale + shift;
}

/* Which axis the channels of a weighted step's output are. */
static size_t channel_axis(const struct fuser *fuser, const struct fused *fused)
{
    return fused->node->op == OP_MATMUL ? shape_of(fuser, fused->output)->rank - 1 : 1;
}

/* One number for all elements may go into the weights of the step whose output the value is a view
 * of; what is left of the node is a view. */
static bool fuse_scalar_early(struct fuser *fuser, const struct node *node,
                              const struct affine *affine)
{
    uint32_t at = affine->input;
    while (program_private(fuser->program, at) && fuser->owner[at] != GRAPH_NONE &&
           fuser->fusion->at[fuser->owner[at]].kind == FUSED_VIEW)
        at = fuser->fusion->at[fuser->owner[at]].input;
    struct fused *fused = at == affine->input ? NULL : open_step(fuser, at);
    if (affine->per_channel || fused == NULL || !is_weighted(fused) || fused->post_count > 0)
        return false;
    absorb(fused, affine);
    append(fuser, FUSED_VIEW, node, affine->input);
    return true;
}

static bool fuse_affine(struct fuser *fuser, const struct node *node)
{
    struct affine affine;
    if (!affine_match(fuser->graph, fuser->constants, node, &affine))
        return false;
    if (fuse_scalar_early(fuser, node, &affine))
        return true;
    struct fused *fused = open_step(fuser, affine.input);
    bool weighted = fused != NULL && is_weighted(fused) && fused->post_count == 0;
    if (affine.per_channel && !(weighted && affine.axis == channel_axis(fuser, fused)))
        return false;
    if (fused == NULL)
        fused = append(fuser, FUSED_CHAIN, node, affine.input);
    if (weighted)
        absorb(fused, &affine);
    else
        push_linear(fused, affine_scale(&affine, 0), affine_shift(&affine, 0));
    extend(fuser, fused, node);
    return true;
}

/* ---- activations ---- */

static void push_activation(struct fused *fused, const struct node *node)
{
    const struct attributes *at = &node->attributes;
    if (node->op == OP_RELU)
        push(fused, POST_RELU, 0, 0);
    else if (node->op == OP_LEAKY_RELU)
        push(fused, POST_RELU, at->alpha, 0);
    else if (node->op == OP_CLIP)
        push(fused, POST_CLIP, fmaxf(at->low, -3.4e38f), fminf(at->high, 3.4e38f));
    else if (node->op == OP_HARD_SWISH)
        push(fused, POST_HARD_SWISH, 0, 0);
    else if (node->op == OP_SIGMOID)
        push(fused, POST_SIGMOID, 0, 0);
    else if (node->op == OP_TANH)
        push(fused, POST_TANH, 0, 0);
    else if (node->op == OP_GELU)
        push(fused, at->approximate ? POST_GELU_TANH : POST_GELU, 0, 0);
    else {
        CHECK(node->op == OP_HARD_SIGMOID);
        push_linear(fused, at->alpha, at->beta);
        push(fused, POST_CLIP, 0, 1);
    }
}

static void fuse_activation(struct fuser *fuser, const struct node *node)
{
    struct fused *fused = open_step(fuser, node->inputs[0]);
    if (fused == NULL)
        fused = append(fuser, FUSED_CHAIN, node, node->inputs[0]);
    push_activation(fused, node);
    extend(fuser, fused, node);
}

/* ---- two computed operands ---- */

/* Residual sum: onto the later of the two producers, when that is an open weighted step; the other
 * is there by then. */
static bool fuse_sum(struct fuser *fuser, const struct node *node)
{
    uint32_t a = node->inputs[0], b = node->inputs[1];
    if (a == b || !shape_equal(shape_of(fuser, a), shape_of(fuser, b)))
        return false;
    uint32_t owner_a = fuser->owner[a], owner_b = fuser->owner[b];
    bool a_later = owner_b == GRAPH_NONE || (owner_a != GRAPH_NONE && owner_a > owner_b);
    struct fused *fused = open_step(fuser, a_later ? a : b);
    if (fused == NULL || !is_weighted(fused))
        return false;
    for (size_t i = 0; i < fused->post_count; i++)
        if (fused->posts[i].kind == POST_ADD)
            return false;
    push(fused, POST_ADD, 0, 0);
    fused->posts[fused->post_count - 1].other = a_later ? b : a;
    extend(fuser, fused, node);
    return true;
}

static bool fuse_scale(struct fuser *fuser, const struct node *node)
{
    for (size_t side = 0; side < 2; side++) {
        const struct shape *x = shape_of(fuser, node->inputs[side]),
                           *g = shape_of(fuser, node->inputs[1 - side]);
        if (x->rank != 4 || g->rank != 4 || x->dims[0] != -1 || g->dims[0] != -1 ||
            x->dims[1] != g->dims[1] || g->dims[2] != 1 || g->dims[3] != 1)
            continue;
        struct fused *fused = append(fuser, FUSED_SCALE, node, node->inputs[side]);
        fused->other = node->inputs[1 - side];
        return true;
    }
    return false;
}

static bool is_pool(const struct fuser *fuser, const struct node *node)
{
    const struct attributes *at = &node->attributes;
    if (shape_of(fuser, node->inputs[0])->rank != 4)
        return false;
    if (node->op == OP_GLOBAL_AVERAGE_POOL)
        return true;
    return (node->op == OP_AVERAGE_POOL || node->op == OP_MAX_POOL) && !at->ceil_mode &&
           at->dilations[0] == 1 && at->dilations[1] == 1;
}

static bool is_activation(enum op op)
{
    return op == OP_RELU || op == OP_LEAKY_RELU || op == OP_CLIP || op == OP_HARD_SWISH ||
           op == OP_HARD_SIGMOID || op == OP_SIGMOID || op == OP_TANH || op == OP_GELU;
}

static bool is_view(enum op op)
{
    return op == OP_RESHAPE || op == OP_FLATTEN || op == OP_SQUEEZE || op == OP_UNSQUEEZE ||
           op == OP_TRANSPOSE;
}

static enum status fuse_node(struct fuser *fuser, const struct node *node, struct error *err)
{
    if (node->op == OP_CONV)
        return fuse_conv(fuser, node, err);
    if (node->op == OP_GEMM || node->op == OP_MATMUL)
        return fuse_product(fuser, node, err);
    if (is_activation(node->op))
        fuse_activation(fuser, node);
    else if (is_pool(fuser, node))
        append(fuser, FUSED_POOL, node, node->inputs[0]);
    else if (is_view(node->op))
        append(fuser, FUSED_VIEW, node, node->inputs[0]);
    else if (!fuse_affine(fuser, node) && !(node->op == OP_ADD && fuse_sum(fuser, node)) &&
             !(node->op == OP_MUL && fuse_scale(fuser, node)))
        append(fuser, FUSED_NODE, node, node->inputs[0]);
    return OK;
}

enum status fuse_init(struct fusion *fusion, const struct program *program,
                      const struct constants *constants, struct error *err)
{
    struct fuser fuser = {program, program->graph, constants, fusion,
                          memory_alloc(program->graph->value_count, sizeof *fuser.owner)};
    *fusion = (struct fusion){.at = memory_alloc(program->node_count, sizeof *fusion->at)};
    enum status status = OK;
    if (fusion->at == NULL || fuser.owner == NULL)
        status = error_set(err, ERR_MEMORY, "no memory to fuse %zu nodes", program->node_count);
    for (size_t i = 0; i < program->graph->value_count && status == OK; i++)
        fuser.owner[i] = GRAPH_NONE;
    for (size_t i = 0; i < program->node_count && status == OK; i++)
        if (constants->data[program->nodes[i].output] == NULL)
            status = fuse_node(&fuser, &program->nodes[i], err);
    memory_free(fuser.owner);
    return status;
}

void fuse_deinit(struct fusion *fusion)
{
    for (size_t i = 0; i < fusion->count; i++) {
        memory_free(fusion->at[i].weight);
        memory_free(fusion->at[i].bias);
    }
    memory_free(fusion->at);
    *fusion = (struct fusion){0};
}
