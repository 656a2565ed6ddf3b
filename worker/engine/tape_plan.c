#include "worker/engine/tape_plan.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"

#define NONE TAPE_NONE

/* While a plan is made. A value that is only another's under a new shape (op_copy) has no memory
 * of its own: `root` is whose it is. */
struct maker {
    struct tape_plan *out;
    const struct tape_plan_input *in;
    const struct graph *graph;
    const struct plan_graph *split;
    uint32_t *root;     /* per value */
    uint32_t *buffer;   /* per root: where it lies now, or NONE */
    uint32_t *producer; /* per value: its node, or NONE */
    uint32_t *last_use; /* per root: the last node that reads it in forward */
    bool *kept;         /* per root: backward reads it */
    bool *written;      /* per value: its gradient holds something */
    bool *backward;     /* per node: a gradient arrives and one is wanted */
    bool *wanted;       /* per root: must be computed again */
    uint32_t *segment;  /* per node */
    size_t segment_count, buffer_room;
};

static const struct op_site *site_of(const struct maker *maker, size_t node)
{
    return &maker->in->sites->at[node];
}

static size_t bytes_of(const struct maker *maker, uint32_t value)
{
    struct shape shape = sites_shape(maker->graph, value, maker->in->batch);
    return op_elements(&shape) * sizeof(float);
}

static bool computed(const struct maker *maker, size_t node)
{
    return maker->in->constants->data[maker->in->program->nodes[node].output] == NULL;
}

static bool renames(const struct maker *maker, size_t node)
{
    return op_kernel(maker->in->program->nodes[node].op) == &op_copy;
}

/* ---- what the program says ---- */

static enum status allocate(struct maker *maker, struct error *err)
{
    struct tape_plan *out = maker->out;
    size_t values = maker->graph->value_count, nodes = maker->in->program->node_count + 1;
    size_t boundary = maker->split->boundary_count;
    /* Staged and computed at most three times; a gradient a value; scratch and spare of each step. */
    maker->buffer_room = 2 * boundary + 10 * nodes + values;
    maker->root = memory_alloc(values, sizeof *maker->root);
    maker->buffer = memory_alloc(values, sizeof *maker->buffer);
    maker->producer = memory_alloc(values, sizeof *maker->producer);
    maker->last_use = memory_alloc(values, sizeof *maker->last_use);
    maker->kept = memory_alloc(values, sizeof *maker->kept);
    maker->written = memory_alloc(values, sizeof *maker->written);
    maker->wanted = memory_alloc(values, sizeof *maker->wanted);
    maker->backward = memory_alloc(nodes, sizeof *maker->backward);
    maker->segment = memory_alloc(nodes, sizeof *maker->segment);
    out->steps = memory_alloc(4 * nodes + 3, sizeof *out->steps);
    out->buffers = memory_alloc(maker->buffer_room, sizeof *out->buffers);
    out->kept = memory_alloc(maker->buffer_room, sizeof *out->kept);
    out->gradient = memory_alloc(values, sizeof *out->gradient);
    out->harvest = memory_alloc(values, sizeof *out->harvest);
    out->passes = memory_alloc(nodes, sizeof *out->passes);
    bool all = maker->root && maker->buffer && maker->producer && maker->last_use && maker->kept &&
               maker->written && maker->wanted && maker->backward && maker->segment && out->steps &&
               out->buffers && out->kept && out->gradient && out->harvest && out->passes;
    return all ? OK : error_set(err, ERR_MEMORY, "no memory to plan %zu operators", nodes - 1);
}

static void release(struct maker *maker)
{
    void *const all[] = {maker->root,     maker->buffer,   maker->producer,
                         maker->last_use, maker->kept,     maker->written,
                         maker->wanted,   maker->backward, maker->segment};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        memory_free(all[i]);
}

static void find_roots(struct maker *maker)
{
    const struct program *program = maker->in->program;
    for (uint32_t v = 0; v < maker->graph->value_count; v++) {
        maker->root[v] = v;
        maker->buffer[v] = maker->producer[v] = maker->out->gradient[v] = maker->out->harvest[v] =
            NONE;
    }
    for (size_t i = 0; i < program->node_count; i++) {
        const struct node *node = &program->nodes[i];
        if (!computed(maker, i))
            continue;
        maker->producer[node->output] = (uint32_t)i;
        if (renames(maker, i))
            maker->root[node->output] = maker->root[node->inputs[0]];
        for (size_t k = 0; k < node->input_count; k++)
            if (node->inputs[k] != GRAPH_NONE)
                maker->last_use[maker->root[node->inputs[k]]] = (uint32_t)i;
    }
}

/* Which nodes pass gradients on, if losses give one to both results, and which values they read. */
static void find_backward(struct maker *maker)
{
    const struct program *program = maker->in->program;
    bool *arrives = maker->written;
    arrives[maker->graph->output] = arrives[maker->graph->features] = true;
    for (size_t i = program->node_count; i-- > 0;) {
        const struct node *node = &program->nodes[i];
        const struct op_site *site = site_of(maker, i);
        for (size_t k = 0; k < node->input_count && arrives[node->output]; k++)
            if (site->wanted[k])
                maker->backward[i] = arrives[node->inputs[k]] = true;
        for (size_t k = 0; k < node->input_count && maker->backward[i]; k++)
            if (node->inputs[k] != GRAPH_NONE && op_reads(site, k))
                maker->kept[maker->root[node->inputs[k]]] = true;
        if (maker->backward[i] && op_reads(site, OP_OUTPUT))
            maker->kept[maker->root[node->output]] = true;
    }
    memset(arrives, 0, maker->graph->value_count * sizeof *arrives);
}

/* Bytes that the node's forward leaves for backward. */
static size_t kept_bytes(const struct maker *maker, size_t node)
{
    uint32_t output = maker->in->program->nodes[node].output;
    bool own = computed(maker, node) && maker->root[output] == output;
    return own && maker->kept[output] ? bytes_of(maker, output) : 0;
}

/* ---- segments ---- */

/* Bytes of values that are made before node `at` and read from there on. */
static size_t crossing_bytes(const struct maker *maker, size_t first, size_t at)
{
    size_t bytes = 0;
    for (size_t i = first; i < at; i++) {
        uint32_t output = maker->in->program->nodes[i].output;
        if (computed(maker, i) && maker->root[output] == output && maker->last_use[output] >= at)
            bytes += bytes_of(maker, output);
    }
    return bytes;
}

/* Where to cut nodes [first, end): in the second half of what they keep, where least crosses. */
static size_t best_cut(const struct maker *maker, size_t first, size_t end, size_t bytes)
{
    size_t best = end, least = SIZE_MAX, sum = 0;
    for (size_t at = first + 1; at <= end; at++) {
        sum += kept_bytes(maker, at - 1);
        size_t crossing = 2 * sum < bytes ? SIZE_MAX : crossing_bytes(maker, first, at);
        if (crossing < least) {
            best = at;
            least = crossing;
        }
    }
    return best;
}

static void cut(struct maker *maker, size_t segment_bytes)
{
    size_t count = maker->in->program->node_count, first = 0, sum = 0;
    for (size_t i = 0; i < count && segment_bytes > 0; i++) {
        sum += kept_bytes(maker, i);
        if (sum <= segment_bytes)
            continue;
        size_t end = best_cut(maker, first, i + 1, sum);
        for (; first < end; first++)
            maker->segment[first] = (uint32_t)maker->segment_count;
        maker->segment_count++;
        i = end - 1;
        sum = 0;
    }
    for (; first < count; first++)
        maker->segment[first] = (uint32_t)maker->segment_count;
    maker->segment_count++;
}

/* Does a later segment read the value in forward? Then it stays from its first forward on. */
static bool crosses(const struct maker *maker, uint32_t root)
{
    uint32_t made = maker->producer[root];
    return made != NONE && maker->segment[maker->last_use[root]] > maker->segment[made];
}

/* ---- steps and buffers ---- */

static struct tape_plan_step *add_step(struct maker *maker, enum tape_plan_kind kind, size_t node)
{
    struct tape_plan_step *step = &maker->out->steps[maker->out->step_count++];
    *step = (struct tape_plan_step){kind, (uint32_t)node, NONE, NONE, NONE};
    return step;
}

static size_t now(const struct maker *maker)
{
    return maker->out->step_count - 1;
}

/* A buffer that begins with the step in work. */
static uint32_t add_buffer(struct maker *maker, size_t bytes)
{
    if (bytes == 0)
        return NONE;
    CHECK(maker->out->buffer_count < maker->buffer_room);
    maker->out->buffers[maker->out->buffer_count] =
        (struct arena_buffer){.bytes = bytes, .first = now(maker), .last = now(maker)};
    return (uint32_t)maker->out->buffer_count++;
}

static void touch(struct maker *maker, uint32_t buffer)
{
    if (buffer != NONE)
        maker->out->buffers[buffer].last = now(maker);
}

static uint32_t add_scratch(struct maker *maker, size_t node)
{
    const struct op_site *site = site_of(maker, node);
    const struct op_kernel *kernel = op_kernel(site->node->op);
    return kernel->scratch == NULL ? NONE
                                   : add_buffer(maker, kernel->scratch(site) * sizeof(float));
}

static void stage(struct maker *maker)
{
    struct tape_plan_step *step = add_step(maker, TAPE_STAGE, 0);
    for (size_t i = 0; i < maker->split->boundary_count; i++) {
        uint32_t value = maker->split->boundary[i];
        maker->buffer[value] = add_buffer(maker, bytes_of(maker, value));
        if (i == 0)
            step->output = maker->buffer[value];
    }
}

static void forward(struct maker *maker, size_t i)
{
    const struct node *node = &maker->in->program->nodes[i];
    struct tape_plan_step *step = add_step(maker, TAPE_FORWARD, i);
    for (size_t k = 0; k < node->input_count; k++)
        if (node->inputs[k] != GRAPH_NONE)
            touch(maker, maker->buffer[maker->root[node->inputs[k]]]);
    if (renames(maker, i))
        return;
    step->scratch = add_scratch(maker, i);
    step->output = maker->buffer[node->output] = add_buffer(maker, bytes_of(maker, node->output));
    maker->out->forward_count++;
}

/* The nodes of a segment, or all, whose values its backward reads and that are not there any more. */
static void forward_again(struct maker *maker, size_t first, size_t end, bool all)
{
    const struct program *program = maker->in->program;
    bool *wanted = maker->wanted;
    memset(wanted, 0, maker->graph->value_count * sizeof *wanted);
    for (size_t i = end; i-- > first;) {
        const struct node *node = &program->nodes[i];
        uint32_t root = maker->root[node->output];
        const struct op_site *site = site_of(maker, i);
        bool there = !all && crosses(maker, root);
        for (size_t k = 0; k < node->input_count && maker->backward[i]; k++)
            if (node->inputs[k] != GRAPH_NONE && op_reads(site, k))
                wanted[maker->root[node->inputs[k]]] = true;
        if (maker->backward[i] && op_reads(site, OP_OUTPUT))
            wanted[root] = true;
        for (size_t k = 0; k < node->input_count && wanted[root] && !there; k++)
            if (node->inputs[k] != GRAPH_NONE)
                wanted[maker->root[node->inputs[k]]] = true;
    }
    for (size_t i = first; i < end; i++) {
        uint32_t root = maker->root[program->nodes[i].output];
        if (computed(maker, i) && wanted[root] && (all || !crosses(maker, root)))
            forward(maker, i);
    }
}

/* ---- backward ---- */

bool tape_plan_passes(const struct op_site *site, const struct graph *graph, size_t batch,
                      uint32_t *input)
{
    const struct node *node = site->node;
    size_t wanted = 0, which = 0;
    bool first_only = op_kernel(node->op) == &op_copy || node->op == OP_SUB;
    for (size_t k = 0; k < node->input_count; k++)
        if (site->wanted[k]) {
            wanted++;
            which = k;
        }
    if ((!first_only && node->op != OP_ADD) || wanted != 1 || (first_only && which != 0))
        return false;
    *input = node->inputs[which];
    struct shape from = sites_shape(graph, *input, batch),
                 to = sites_shape(graph, node->output, batch);
    return op_elements(&from) == op_elements(&to);
}

static void seed(struct maker *maker, uint32_t value)
{
    if (!maker->in->needs[value] || maker->written[value])
        return;
    maker->out->gradient[value] = add_buffer(maker, bytes_of(maker, value));
    maker->written[value] = true;
}

static void turn(struct maker *maker)
{
    add_step(maker, TAPE_TURN, 0);
    maker->out->turn = now(maker);
    touch(maker, maker->buffer[maker->root[maker->graph->output]]);
    touch(maker, maker->buffer[maker->root[maker->graph->features]]);
    seed(maker, maker->graph->output);
    seed(maker, maker->graph->features);
}

static size_t padded(size_t bytes)
{
    return (bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
}

/* Room for the node's contributions: a first one is the gradient itself, others come beside it. */
static size_t contribute(struct maker *maker, const struct op_site *site)
{
    uint32_t *gradient = maker->out->gradient;
    size_t spare = 0;
    for (size_t k = 0; k < site->input_count; k++) {
        uint32_t value = site->node->inputs[k];
        if (!site->wanted[k])
            continue;
        if (maker->written[value])
            spare += padded(bytes_of(maker, value));
        else
            gradient[value] = add_buffer(maker, bytes_of(maker, value));
        maker->written[value] = true;
        touch(maker, gradient[value]);
        if (maker->split->tensor_of[value] != GRAPH_NONE)
            maker->out->harvest[value] = (uint32_t)(site - maker->in->sites->at);
    }
    return spare;
}

static void backward(struct maker *maker, size_t i)
{
    const struct op_site *site = site_of(maker, i);
    const struct node *node = site->node;
    uint32_t *gradient = maker->out->gradient, input = NONE;
    struct tape_plan_step *step = add_step(maker, TAPE_BACKWARD, i);
    touch(maker, gradient[node->output]);
    if (tape_plan_passes(site, maker->graph, maker->in->batch, &input) && !maker->written[input]) {
        maker->out->passes[i] = maker->written[input] = true;
        gradient[input] = gradient[node->output];
        if (maker->split->tensor_of[input] != GRAPH_NONE)
            maker->out->harvest[input] = (uint32_t)i;
        return;
    }
    for (size_t k = 0; k < node->input_count; k++)
        if (node->inputs[k] != GRAPH_NONE && op_reads(site, k))
            touch(maker, maker->buffer[maker->root[node->inputs[k]]]);
    if (op_reads(site, OP_OUTPUT))
        touch(maker, maker->buffer[maker->root[node->output]]);
    step->scratch = add_scratch(maker, i);
    step->spare = add_buffer(maker, contribute(maker, site));
}

static void backward_all(struct maker *maker)
{
    size_t end = maker->in->program->node_count;
    for (size_t s = maker->segment_count; s-- > 0;) {
        size_t first = end;
        while (first > 0 && maker->segment[first - 1] == s)
            first--;
        if (s + 1 < maker->segment_count)
            forward_again(maker, first, end, false);
        for (size_t i = end; i-- > first;)
            if (maker->backward[i])
                backward(maker, i);
        end = first;
    }
}

/* ---- the whole ---- */

/* Two arenas: what lives over the turn while other micro-batches run, and the rest. */
static enum status lay_out(struct tape_plan *out, bool overlap, struct error *err)
{
    struct arena_buffer *part = memory_alloc(out->buffer_count, sizeof *part);
    enum status status =
        part == NULL ? error_set(err, ERR_MEMORY, "no memory to plan the head") : OK;
    for (size_t i = 0; i < out->buffer_count; i++)
        out->kept[i] =
            overlap && out->buffers[i].first < out->turn && out->buffers[i].last >= out->turn;
    for (int side = 0; side < 2 && status == OK; side++) {
        size_t count = 0;
        for (size_t i = 0; i < out->buffer_count; i++)
            if (out->kept[i] == (side == 1))
                part[count++] = out->buffers[i];
        status = arena_plan(part, count, side == 1 ? &out->kept_bytes : &out->work_bytes, err);
        count = 0;
        for (size_t i = 0; i < out->buffer_count && status == OK; i++)
            if (out->kept[i] == (side == 1))
                out->buffers[i] = part[count++];
    }
    memory_free(part);
    return status;
}

static void fill(struct maker *maker, struct tape_plan_policy policy)
{
    size_t count = maker->in->program->node_count;
    cut(maker, policy.segment_bytes);
    stage(maker);
    for (size_t i = 0; i < count; i++)
        if (computed(maker, i))
            forward(maker, i);
    turn(maker);
    if (policy.again) {
        stage(maker);
        forward_again(maker, 0, count, true);
    }
    backward_all(maker);
}

static enum status begin(struct maker *maker, struct tape_plan *out,
                         const struct tape_plan_input *input, struct error *err)
{
    *maker = (struct maker){.out = out,
                            .in = input,
                            .graph = input->program->graph,
                            .split = input->program->plan->split};
    enum status status = allocate(maker, err);
    if (status == OK) {
        find_roots(maker);
        find_backward(maker);
    }
    return status;
}

enum status tape_plan_init(struct tape_plan *plan, const struct tape_plan_input *input,
                           struct tape_plan_policy policy, struct error *err)
{
    struct maker maker;
    CHECK(!policy.again || policy.overlap);
    *plan = (struct tape_plan){0};
    enum status status = begin(&maker, plan, input, err);
    if (status == OK) {
        fill(&maker, policy);
        status = lay_out(plan, policy.overlap, err);
    }
    release(&maker);
    return status;
}

void tape_plan_deinit(struct tape_plan *plan)
{
    memory_free(plan->steps);
    memory_free(plan->buffers);
    memory_free(plan->kept);
    memory_free(plan->gradient);
    memory_free(plan->passes);
    memory_free(plan->harvest);
    *plan = (struct tape_plan){0};
}

enum status tape_plan_value_bytes(const struct tape_plan_input *input, size_t *out,
                                  struct error *err)
{
    struct tape_plan plan = {0};
    struct maker maker;
    enum status status = begin(&maker, &plan, input, err);
    size_t sum = 0;
    for (size_t i = 0; i < input->program->node_count && status == OK; i++)
        sum += kept_bytes(&maker, i);
    if (status == OK)
        *out = sum;
    release(&maker);
    tape_plan_deinit(&plan);
    return status;
}
