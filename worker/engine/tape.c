/* Running a head: the steps of its plan before the turn are forward, those after it backward. */
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "worker/engine/head_state.h"

struct tape {
    struct head *head;
    const float **x; /* per value: its data */
    char *memory;    /* [course.kept_bytes] */
    const float *features;
    size_t count; /* samples of the last forward */
};

static size_t batch_elements(const struct head *head, uint32_t value)
{
    struct shape shape = sites_shape(head->graph, value, head->batch);
    return op_elements(&shape);
}

static float *place(const struct head *head, const struct tape *tape, uint32_t buffer)
{
    const struct tape_plan *course = &head->course;
    if (buffer == TAPE_NONE)
        return NULL;
    char *base = course->kept[buffer] ? tape->memory : head->work;
    return (float *)(base + course->buffers[buffer].offset);
}

enum status tape_create(struct head *head, struct tape **out, struct error *err)
{
    struct tape *tape = memory_alloc(1, sizeof *tape);
    if (head->work == NULL)
        head->work = memory_alloc(head->course.work_bytes, 1);
    if (tape != NULL) {
        tape->head = head;
        tape->x = memory_alloc(head->graph->value_count, sizeof *tape->x);
        tape->memory = memory_alloc(head->course.kept_bytes, 1);
    }
    if (head->work == NULL || tape == NULL || tape->x == NULL || tape->memory == NULL) {
        tape_destroy(&tape);
        return error_set(err, ERR_MEMORY, "no memory for activations (%zu bytes)",
                         head->course.work_bytes + head->course.kept_bytes);
    }
    for (size_t i = 0; i < head->graph->value_count; i++) {
        uint32_t live = head->plan->split->tensor_of[i];
        tape->x[i] = live != GRAPH_NONE ? head->live + head->plan->tensors[live].offset
                                        : head->constants.data[i];
    }
    *out = tape;
    return OK;
}

void tape_destroy(struct tape **tape)
{
    if (*tape == NULL)
        return;
    memory_free((*tape)->x);
    memory_free((*tape)->memory);
    memory_free(*tape);
    *tape = NULL;
}

const float *tape_hidden(const struct tape *tape)
{
    return tape->x[tape->head->graph->features];
}

const float *tape_logits(const struct tape *tape)
{
    return tape->x[tape->head->graph->output];
}

/* ---- forward ---- */

/* Takes one boundary value's columns out of the features [count, boundary_elements]; missing samples
 * repeat the last. */
static void stage_value(const struct tape *tape, float *to, size_t column, size_t width)
{
    const struct head *head = tape->head;
    for (size_t i = 0; i < head->batch; i++) {
        size_t sample = i < tape->count ? i : tape->count - 1;
        memcpy(to + i * width, tape->features + sample * head->plan->boundary_elements + column,
               width * sizeof *to);
    }
}

/* A single boundary value of a full batch is the caller's memory itself. */
static void stage(struct tape *tape, const struct tape_plan_step *step)
{
    const struct head *head = tape->head;
    const struct plan_graph *split = head->plan->split;
    size_t column = 0;
    if (split->boundary_count == 1 && tape->count == head->batch) {
        tape->x[split->boundary[0]] = tape->features;
        return;
    }
    for (size_t i = 0; i < split->boundary_count; i++) {
        uint32_t value = split->boundary[i];
        size_t width = value_elements(&head->graph->values[value]);
        float *to = place(head, tape, step->output + (uint32_t)i);
        stage_value(tape, to, column, width);
        tape->x[value] = to;
        column += width;
    }
}

static void gather(const struct node *node, const float *const *from,
                   const float *to[GRAPH_PORTS_MAX])
{
    for (size_t k = 0; k < node->input_count; k++)
        to[k] = node->inputs[k] == GRAPH_NONE ? NULL : from[node->inputs[k]];
}

static void forward_node(struct tape *tape, const struct tape_plan_step *step)
{
    struct head *head = tape->head;
    const struct node *node = &head->program->nodes[step->node];
    const float *x[GRAPH_PORTS_MAX];
    if (op_kernel(node->op) == &op_copy) { /* the same data under another shape */
        tape->x[node->output] = tape->x[node->inputs[0]];
        return;
    }
    float *y = place(head, tape, step->output);
    gather(node, tape->x, x);
    op_kernel(node->op)->forward(&head->sites.at[step->node], x, y,
                                 place(head, tape, step->scratch));
    tape->x[node->output] = y;
    head->done.forwards++;
}

static enum status run(struct head *head, struct tape *tape, const float *features, size_t count,
                       bool learns, struct error *err)
{
    const struct tape_plan *course = &head->course;
    CHECK(tape->head == head && count > 0 && count <= head->batch);
    tape->count = count;
    tape->features = features;
    *head->sites.run = (struct op_run){learns, count};
    for (size_t i = 0; i < course->turn; i++) {
        if (course->steps[i].kind == TAPE_STAGE)
            stage(tape, &course->steps[i]);
        else
            forward_node(tape, &course->steps[i]);
    }
    return sites_check(&head->sites, err);
}

enum status head_forward(struct head *head, struct tape *tape, const float *features, size_t count,
                         struct error *err)
{
    return run(head, tape, features, count, true, err);
}

enum status head_predict(struct head *head, struct tape *tape, const float *features, size_t count,
                         struct error *err)
{
    return run(head, tape, features, count, false, err);
}

/* ---- backward ---- */

static float *gradient_of(const struct tape *tape, uint32_t value)
{
    return place(tape->head, tape, tape->head->course.gradient[value]);
}

static void seed_gradient(struct tape *tape, uint32_t value, const float *given)
{
    struct head *head = tape->head;
    size_t given_elements = tape->count * value_elements(&head->graph->values[value]);
    if (given == NULL || !head->needs[value])
        return;
    float *gradient = gradient_of(tape, value);
    memcpy(gradient, given, given_elements * sizeof *given);
    memset(gradient + given_elements, 0,
           (batch_elements(head, value) - given_elements) * sizeof *given);
    head->written[value] = true;
}

OP_CLONES static void add(float *restrict to, const float *restrict from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += from[i];
}

/* Where the kernel may write dx[k]: straight into the value's gradient if it is the first to, else
 * beside it. */
static void choose_targets(struct tape *tape, const struct op_site *site, float *spare,
                           float *dx[GRAPH_PORTS_MAX], bool beside[GRAPH_PORTS_MAX])
{
    struct head *head = tape->head;
    const struct node *node = site->node;
    size_t line = MEMORY_ALIGN / sizeof(float);
    for (size_t k = 0; k < node->input_count; k++) {
        uint32_t value = node->inputs[k];
        dx[k] = NULL;
        beside[k] = false;
        if (!site->wanted[k])
            continue;
        beside[k] = head->written[value];
        dx[k] = beside[k] ? spare : gradient_of(tape, value);
        spare += beside[k] ? (batch_elements(head, value) + line - 1) / line * line : 0;
        head->written[value] = true;
        head->done.gradients++;
    }
}

static void backward_node(struct tape *tape, const struct tape_plan_step *step)
{
    struct head *head = tape->head;
    const struct op_site *site = &head->sites.at[step->node];
    const struct node *node = site->node;
    const float *x[GRAPH_PORTS_MAX];
    float *dx[GRAPH_PORTS_MAX];
    bool beside[GRAPH_PORTS_MAX];
    uint32_t input = GRAPH_NONE;
    if (head->course.passes[step->node]) {
        bool one = tape_plan_passes(site, head->graph, head->batch, &input);
        CHECK(one && !head->written[input]);
        head->written[input] = true;
        return;
    }
    gather(node, tape->x, x);
    choose_targets(tape, site, place(head, tape, step->spare), dx, beside);
    op_kernel(node->op)->backward(site, x, tape->x[node->output], gradient_of(tape, node->output),
                                  dx, place(head, tape, step->scratch));
    for (size_t k = 0; k < node->input_count; k++)
        if (beside[k])
            add(gradient_of(tape, node->inputs[k]), dx[k], batch_elements(head, node->inputs[k]));
    head->done.backwards++;
}

/* Adds the gradients of the live parameters that are complete after the node. */
static void harvest(const struct tape *tape, uint32_t index, float *gradient)
{
    const struct head *head = tape->head;
    const struct node *node = &head->program->nodes[index];
    for (size_t k = 0; k < node->input_count; k++) {
        uint32_t value = node->inputs[k];
        if (value == GRAPH_NONE || head->course.harvest[value] != index || !head->written[value])
            continue;
        const struct live_tensor *tensor =
            &head->plan->tensors[head->plan->split->tensor_of[value]];
        add(gradient + tensor->offset, gradient_of(tape, value), tensor->elements);
        head->written[value] = false; /* may be the input of two ports */
    }
}

void head_backward(struct head *head, struct tape *tape, const float *dhidden, const float *dlogits,
                   float *gradient)
{
    const struct tape_plan *course = &head->course;
    CHECK(tape->head == head && tape->count > 0);
    memset(head->written, 0, head->graph->value_count * sizeof *head->written);
    *head->sites.run = (struct op_run){true, tape->count};
    seed_gradient(tape, head->graph->output, dlogits);
    seed_gradient(tape, head->graph->features, dhidden);
    for (size_t i = course->turn + 1; i < course->step_count; i++) {
        const struct tape_plan_step *step = &course->steps[i];
        if (step->kind == TAPE_STAGE)
            stage(tape, step);
        else if (step->kind == TAPE_FORWARD)
            forward_node(tape, step);
        else {
            if (head->written[head->program->nodes[step->node].output])
                backward_node(tape, step);
            harvest(tape, step->node, gradient);
        }
    }
}
