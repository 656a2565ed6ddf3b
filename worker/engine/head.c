/* Micro-batches always run as batch_max samples, the missing ones repeating the last: samples do not
 * influence each other (see shape_rules.h), the zero rows of dlogits and dhidden make their gradients
 * vanish (those of a made-up sample might not: 0·∞), and adding zeros changes no sum. So there is one
 * set of primitives, made at creation, and one order of summation. */
#include "worker/engine/head.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/model/graph.h"
#include "common/model/op_table.h"
#include "worker/engine/constants.h"
#include "worker/engine/sites.h"

struct head {
    const struct plan *plan;
    const struct graph *graph;
    struct program *program;
    struct onednn dnn;
    struct constants constants;
    struct sites sites;
    size_t batch;
    float *live;
    bool *needs;           /* per value: its gradient is needed */
    size_t *activation_at; /* per value: offset in a tape's memory; SIZE_MAX: not there */
    size_t activation_elements;
    float **gradients; /* per value: where its gradient goes, or NULL; shared by all tapes */
    float **current;   /* per value, during one backward: gradients[], or where it lies instead */
    bool *written;     /* per value, during one backward: current[] holds something */
    float *gradient_memory;
    float *spare; /* gradients of a node's inputs that must be added to what is there */
    float *scratch;
};

struct tape {
    const struct head *head;
    const float **x; /* per value: its data */
    float *memory;
    size_t count; /* samples of the last forward */
};

static size_t batch_elements(const struct head *head, uint32_t value)
{
    struct shape shape = sites_shape(head->graph, value, head->batch);
    return op_elements(&shape);
}

static enum status allocate(struct head *head, struct error *err)
{
    size_t values = head->graph->value_count;
    head->live = memory_alloc(head->plan->live_elements, sizeof *head->live);
    head->needs = memory_alloc(values, sizeof *head->needs);
    head->current = memory_alloc(values, sizeof *head->current);
    head->written = memory_alloc(values, sizeof *head->written);
    head->activation_at = memory_alloc(values, sizeof *head->activation_at);
    head->gradients = memory_alloc(values, sizeof *head->gradients);
    if (head->live == NULL || head->needs == NULL || head->written == NULL ||
        head->activation_at == NULL || head->gradients == NULL || head->current == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the head");
    return OK;
}

static void mark_needs(struct head *head)
{
    const struct program *program = head->program;
    for (size_t i = 0; i < head->graph->value_count; i++)
        head->needs[i] = head->plan->split->tensor_of[i] != GRAPH_NONE;
    for (size_t i = 0; i < program->node_count; i++)
        for (size_t k = 0; k < program->nodes[i].input_count; k++)
            if (program->nodes[i].inputs[k] != GRAPH_NONE &&
                op_table_differentiable(&program->nodes[i], k))
                head->needs[program->nodes[i].output] |= head->needs[program->nodes[i].inputs[k]];
}

/* Would a gradient of the results arrive at every live parameter? One that only feeds a comparison or
 * an index would never learn. Borrows `written` for the values that one arrives at. */
static enum status check_reach(const struct head *head, struct error *err)
{
    const struct program *program = head->program;
    bool *reached = head->written;
    reached[head->graph->output] = reached[head->graph->features] = true;
    for (size_t i = program->node_count; i-- > 0;)
        for (size_t k = 0; k < program->nodes[i].input_count; k++)
            if (reached[program->nodes[i].output] && program->nodes[i].inputs[k] != GRAPH_NONE)
                reached[program->nodes[i].inputs[k]] |=
                    op_table_differentiable(&program->nodes[i], k);
    for (size_t i = 0; i < head->plan->tensor_count; i++)
        if (!reached[head->plan->split->live[i]])
            return error_set(err, ERR_SUPPORT,
                             "the live parameter %s cannot learn: no gradient reaches it",
                             head->plan->tensors[i].name);
    return OK;
}

static bool is_constant(const struct head *head, uint32_t value)
{
    return head->constants.data[value] != NULL;
}

/* Cache lines apart, so that no two values share one. */
static size_t take(size_t *used, size_t elements)
{
    size_t at = *used, line = MEMORY_ALIGN / sizeof(float);
    *used += (elements + line - 1) / line * line;
    return at;
}

static void lay_out_activations(struct head *head)
{
    const struct plan_graph *split = head->plan->split;
    for (size_t i = 0; i < head->graph->value_count; i++)
        head->activation_at[i] = SIZE_MAX;
    for (size_t i = 0; i < split->boundary_count; i++)
        head->activation_at[split->boundary[i]] =
            take(&head->activation_elements, batch_elements(head, split->boundary[i]));
    for (size_t i = 0; i < head->program->node_count; i++) {
        uint32_t output = head->program->nodes[i].output;
        if (!is_constant(head, output))
            head->activation_at[output] =
                take(&head->activation_elements, batch_elements(head, output));
    }
}

static enum status lay_out_gradients(struct head *head, struct error *err)
{
    size_t used = 0, spare = 0;
    for (size_t i = 0; i < head->graph->value_count; i++)
        if (head->needs[i])
            take(&used, batch_elements(head, (uint32_t)i));
    for (size_t i = 0; i < head->program->node_count; i++) {
        const struct node *node = &head->program->nodes[i];
        size_t wanted = 0;
        for (size_t k = 0; k < node->input_count; k++)
            if (head->sites.at[i].wanted[k])
                take(&wanted, batch_elements(head, node->inputs[k]));
        spare = wanted > spare ? wanted : spare;
    }
    head->gradient_memory = memory_alloc(used, sizeof(float));
    head->spare = memory_alloc(spare, sizeof(float));
    head->scratch = memory_alloc(head->sites.scratch_elements, sizeof(float));
    if (head->gradient_memory == NULL || head->spare == NULL || head->scratch == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the head's gradients (%zu floats)",
                         used + spare);
    used = 0;
    for (size_t i = 0; i < head->graph->value_count; i++)
        if (head->needs[i])
            head->gradients[i] =
                head->gradient_memory + take(&used, batch_elements(head, (uint32_t)i));
    return OK;
}

enum status head_create(const struct plan *plan, size_t batch_max, struct head **out,
                        struct error *err)
{
    CHECK(batch_max > 0);
    struct head *head = memory_alloc(1, sizeof *head);
    if (head == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the head");
    head->plan = plan;
    head->graph = plan->model->graph;
    head->batch = batch_max;
    enum status status = onednn_init(&head->dnn, err);
    if (status == OK)
        status = program_create(plan, PROGRAM_HEAD, &head->program, err);
    if (status == OK)
        status = allocate(head, err);
    if (status == OK)
        status = check_reach(head, err);
    if (status == OK)
        status = constants_init(&head->constants, head->program, &head->dnn, err);
    if (status == OK) {
        mark_needs(head);
        lay_out_activations(head);
        status = sites_init(&head->sites, head->program->nodes, head->program->node_count,
                            head->graph, head->needs, batch_max, &head->dnn, err);
    }
    if (status == OK)
        status = lay_out_gradients(head, err);
    if (status == OK)
        *out = head;
    else
        head_destroy(&head);
    return status;
}

void head_destroy(struct head **head)
{
    struct head *h = *head;
    if (h == NULL)
        return;
    sites_deinit(&h->sites);
    constants_deinit(&h->constants);
    program_destroy(&h->program);
    onednn_deinit(&h->dnn);
    memory_free(h->live);
    memory_free(h->needs);
    memory_free(h->current);
    memory_free(h->written);
    memory_free(h->activation_at);
    memory_free(h->gradients);
    memory_free(h->gradient_memory);
    memory_free(h->spare);
    memory_free(h->scratch);
    memory_free(h);
    *head = NULL;
}

void head_set_weights(struct head *head, const float *live)
{
    memcpy(head->live, live, head->plan->live_elements * sizeof *live);
}

/* ---- tapes ---- */

enum status tape_create(const struct head *head, struct tape **out, struct error *err)
{
    struct tape *tape = memory_alloc(1, sizeof *tape);
    if (tape != NULL) {
        tape->head = head;
        tape->x = memory_alloc(head->graph->value_count, sizeof *tape->x);
        tape->memory = memory_alloc(head->activation_elements, sizeof *tape->memory);
    }
    if (tape == NULL || tape->x == NULL || tape->memory == NULL) {
        tape_destroy(&tape);
        return error_set(err, ERR_MEMORY, "no memory for a tape of %zu floats",
                         head->activation_elements);
    }
    for (size_t i = 0; i < head->graph->value_count; i++) {
        uint32_t live = head->plan->split->tensor_of[i];
        if (head->activation_at[i] != SIZE_MAX)
            tape->x[i] = tape->memory + head->activation_at[i];
        else if (live != GRAPH_NONE)
            tape->x[i] = head->live + head->plan->tensors[live].offset;
        else
            tape->x[i] = head->constants.data[i];
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
static void stage_value(const struct head *head, float *to, const float *features, size_t column,
                        size_t width, size_t count)
{
    for (size_t i = 0; i < head->batch; i++) {
        size_t sample = i < count ? i : count - 1;
        memcpy(to + i * width, features + sample * head->plan->boundary_elements + column,
               width * sizeof *to);
    }
}

static void stage_features(const struct head *head, struct tape *tape, const float *features,
                           size_t count)
{
    const struct plan_graph *split = head->plan->split;
    size_t column = 0;
    if (split->boundary_count == 1 && count == head->batch) {
        tape->x[split->boundary[0]] = features;
        return;
    }
    for (size_t i = 0; i < split->boundary_count; i++) {
        uint32_t value = split->boundary[i];
        size_t width = value_elements(&head->graph->values[value]);
        float *to = tape->memory + head->activation_at[value];
        stage_value(head, to, features, column, width, count);
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

enum status head_forward(struct head *head, struct tape *tape, const float *features, size_t count,
                         struct error *err)
{
    const float *x[GRAPH_PORTS_MAX];
    CHECK(tape->head == head && count > 0 && count <= head->batch);
    tape->count = count;
    stage_features(head, tape, features, count);
    for (size_t i = 0; i < head->program->node_count; i++) {
        const struct node *node = &head->program->nodes[i];
        if (is_constant(head, node->output))
            continue;
        if (op_kernel(node->op) == &op_copy) { /* the same data under another shape */
            tape->x[node->output] = tape->x[node->inputs[0]];
            continue;
        }
        gather(node, tape->x, x);
        op_kernel(node->op)->forward(
            &head->sites.at[i], x, tape->memory + head->activation_at[node->output], head->scratch);
    }
    return sites_check(&head->sites, err);
}

/* ---- backward ---- */

static void seed_gradient(struct head *head, const struct tape *tape, uint32_t value,
                          const float *given)
{
    size_t given_elements = tape->count * value_elements(&head->graph->values[value]);
    if (given == NULL || !head->needs[value])
        return;
    memcpy(head->gradients[value], given, given_elements * sizeof *given);
    memset(head->gradients[value] + given_elements, 0,
           (batch_elements(head, value) - given_elements) * sizeof *given);
    head->written[value] = true;
}

OP_CLONES static void add(float *restrict to, const float *restrict from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += from[i];
}

/* Nodes whose one wanted gradient is the output's own, unchanged: dx need not be a copy of dy. */
static bool passes_through(const struct head *head, const struct op_site *site, uint32_t *input)
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
    return batch_elements(head, *input) == batch_elements(head, node->output);
}

/* Where the kernel may write dx[k]: straight into the value's gradient if it is the first to, else
 * beside it. */
static void choose_targets(struct head *head, const struct op_site *site,
                           float *dx[GRAPH_PORTS_MAX], bool beside[GRAPH_PORTS_MAX])
{
    const struct node *node = site->node;
    size_t used = 0;
    for (size_t k = 0; k < node->input_count; k++) {
        uint32_t value = node->inputs[k];
        dx[k] = NULL;
        beside[k] = false;
        if (!site->wanted[k])
            continue;
        beside[k] = head->written[value];
        dx[k] = beside[k] ? head->spare + take(&used, batch_elements(head, value))
                          : head->current[value];
        head->written[value] = true;
    }
}

static void backward_node(struct head *head, const struct tape *tape, size_t index)
{
    const struct op_site *site = &head->sites.at[index];
    const struct node *node = site->node;
    const float *x[GRAPH_PORTS_MAX];
    float *dx[GRAPH_PORTS_MAX];
    bool beside[GRAPH_PORTS_MAX];
    uint32_t input = GRAPH_NONE;
    if (passes_through(head, site, &input) && !head->written[input]) {
        head->current[input] = head->current[node->output];
        head->written[input] = true;
        return;
    }
    gather(node, tape->x, x);
    choose_targets(head, site, dx, beside);
    op_kernel(node->op)->backward(site, x, tape->x[node->output], head->current[node->output], dx,
                                  head->scratch);
    for (size_t k = 0; k < node->input_count; k++)
        if (beside[k])
            add(head->current[node->inputs[k]], dx[k], batch_elements(head, node->inputs[k]));
}

void head_backward(struct head *head, struct tape *tape, const float *dhidden, const float *dlogits,
                   float *gradient)
{
    const struct plan *plan = head->plan;
    CHECK(tape->head == head && tape->count > 0);
    memset(head->written, 0, head->graph->value_count * sizeof *head->written);
    memcpy(head->current, head->gradients, head->graph->value_count * sizeof *head->current);
    seed_gradient(head, tape, head->graph->output, dlogits);
    seed_gradient(head, tape, head->graph->features, dhidden);
    for (size_t i = head->program->node_count; i-- > 0;)
        if (head->written[head->program->nodes[i].output])
            backward_node(head, tape, i);
    for (size_t i = 0; i < plan->tensor_count; i++)
        if (head->written[plan->split->live[i]])
            add(gradient + plan->tensors[i].offset, head->current[plan->split->live[i]],
                plan->tensors[i].elements);
}
