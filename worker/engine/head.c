/* Micro-batches always run as batch_max samples, the missing ones repeating the last: samples do not
 * influence each other (see shape_rules.h; batch statistics leave the missing ones out), the zero rows of dlogits and dhidden make their gradients
 * vanish (those of a made-up sample might not: 0·∞), and adding zeros changes no sum. So there is one
 * set of primitives, made at creation, and one order of summation. */
#include "worker/engine/head.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/model/graph.h"
#include "common/model/op_table.h"
#include "worker/engine/head_state.h"

static enum status allocate(struct head *head, struct error *err)
{
    size_t values = head->graph->value_count;
    head->live = memory_alloc(head->plan->live_elements, sizeof *head->live);
    head->needs = memory_alloc(values, sizeof *head->needs);
    head->written = memory_alloc(values, sizeof *head->written);
    if (head->live == NULL || head->needs == NULL || head->written == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the head");
    return OK;
}

static bool receives(const struct node *node, size_t input)
{
    return op_table_differentiable(node, input) || op_table_running(node, input);
}

static void mark_needs(struct head *head)
{
    const struct program *program = head->program;
    for (size_t i = 0; i < head->graph->value_count; i++)
        head->needs[i] = head->plan->split->tensor_of[i] != GRAPH_NONE;
    for (size_t i = 0; i < program->node_count; i++)
        for (size_t k = 0; k < program->nodes[i].input_count; k++)
            if (program->nodes[i].inputs[k] != GRAPH_NONE && receives(&program->nodes[i], k))
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
                reached[program->nodes[i].inputs[k]] |= receives(&program->nodes[i], k);
    for (size_t i = 0; i < head->plan->tensor_count; i++)
        if (!reached[head->plan->split->live[i]])
            return error_set(err, ERR_SUPPORT,
                             "the live parameter %s cannot learn: no gradient reaches it",
                             head->plan->tensors[i].name);
    return OK;
}

/* ---- memory ---- */

/* Of the whole, all tapes together. */
static size_t arena_bytes(const struct tape_plan *course, size_t tapes)
{
    return course->work_bytes + tapes * course->kept_bytes;
}

struct search {
    const struct head_room *room;
    struct tape_plan best;
    bool fits;
};

/* The least computing that fits; while nothing fits, the least memory. */
static bool is_better(const struct search *search, const struct tape_plan *other)
{
    size_t bytes = arena_bytes(other, search->room->tapes);
    if (search->best.steps == NULL)
        return true;
    bool fits = bytes <= search->room->bytes_max;
    if (fits != search->fits)
        return fits;
    return fits ? other->forward_count < search->best.forward_count
                : bytes < arena_bytes(&search->best, search->room->tapes);
}

static enum status try(struct search *search, const struct tape_plan_input *input,
                       struct tape_plan_policy policy, struct error *err)
{
    struct tape_plan course = {0};
    enum status status = tape_plan_init(&course, input, policy, err);
    if (status == OK && is_better(search, &course)) {
        search->fits = arena_bytes(&course, search->room->tapes) <= search->room->bytes_max;
        struct tape_plan old = search->best;
        search->best = course;
        course = old;
    }
    tape_plan_deinit(&course);
    return status;
}

/* Segments by halves of their kept values, two sizes to each (Chen et al. 2016 search around a budget
 * likewise). */
#define SEGMENT_SIZES 24

static enum status try_all(struct search *search, const struct tape_plan_input *input,
                           struct error *err)
{
    size_t bytes;
    enum status status = tape_plan_value_bytes(input, &bytes, err);
    for (int again = 0; again <= (search->room->overlap ? 1 : 0); again++)
        for (int i = 0; i < SEGMENT_SIZES && status == OK; i++) {
            size_t segment = i % 2 == 0 ? bytes >> (i / 2) : (bytes >> (i / 2)) / 10 * 7;
            struct tape_plan_policy policy = {search->room->overlap, again == 1,
                                              i == 0 ? 0 : segment};
            if (i == 0 || segment > 0)
                status = try(search, input, policy, err);
        }
    return status;
}

static enum status make_plan(struct head *head, const struct head_room *room, struct error *err)
{
    const struct tape_plan_input input = {head->program, &head->sites, &head->constants,
                                          head->needs, head->batch};
    struct search search = {.room = room};
    enum status status =
        try(&search, &input, (struct tape_plan_policy){.overlap = room->overlap}, err);
    if (status == OK && !search.fits)
        status = try_all(&search, &input, err);
    head->course = search.best;
    return status;
}

struct head_bytes head_bytes(const struct head *head)
{
    const struct tape_plan *course = &head->course;
    struct head_bytes bytes = {.work = course->work_bytes,
                               .tape = course->kept_bytes,
                               .weights = head->plan->live_elements * sizeof(float),
                               .forwards = course->forward_count};
    for (size_t i = 0; i < head->program->node_count; i++)
        bytes.operators += head->constants.data[head->program->nodes[i].output] == NULL &&
                           op_kernel(head->program->nodes[i].op) != &op_copy;
    return bytes;
}

struct head_work head_work(const struct head *head)
{
    return head->done;
}

/* ---- making ---- */

enum status head_create(const struct plan *plan, size_t batch_max, const struct head_room *room,
                        struct head **out, struct error *err)
{
    static const struct head_room ample = {.overlap = true, .tapes = 1, .bytes_max = SIZE_MAX};
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
        status = sites_init(&head->sites, head->program->nodes, head->program->node_count,
                            head->graph, head->needs, batch_max, &head->dnn, err);
    }
    if (status == OK)
        status = make_plan(head, room == NULL ? &ample : room, err);
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
    tape_plan_deinit(&h->course);
    sites_deinit(&h->sites);
    constants_deinit(&h->constants);
    program_destroy(&h->program);
    onednn_deinit(&h->dnn);
    memory_free(h->live);
    memory_free(h->needs);
    memory_free(h->written);
    memory_free(h->work);
    memory_free(h);
    *head = NULL;
}

void head_rest(struct head *head)
{
    memory_free(head->work);
    head->work = NULL;
}

void head_set_weights(struct head *head, const float *live)
{
    memcpy(head->live, live, head->plan->live_elements * sizeof *live);
}
