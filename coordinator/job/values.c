#include "coordinator/job/values.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"

enum status values_create(const struct plan *plan, uint32_t stage, struct values_sizes sizes,
                          struct values **out, struct error *err)
{
    struct values *values = memory_alloc(1, sizeof *values);
    CHECK(sizes.states <= VALUES_STATES_MAX);
    bool all = values != NULL;
    if (all) {
        *values = (struct values){.plan = plan,
                                  .stage = stage,
                                  .state_count = sizes.states,
                                  .metric_count = sizes.metrics,
                                  .label_count = sizes.labels};
        all = (values->live = memory_alloc(plan->live_elements, sizeof(float))) != NULL;
        all &= (values->metrics = memory_alloc(sizes.metrics, sizeof(double))) != NULL;
        all &= (values->labels = memory_alloc(sizes.labels, sizeof(int32_t))) != NULL;
        for (size_t i = 0; i < sizes.states; i++)
            all &= (values->states[i] = memory_alloc(plan->live_elements, sizeof(float))) != NULL;
    }
    if (!all) {
        values_destroy(&values);
        return error_set(err, ERR_MEMORY, "no memory for %zu live values", plan->live_elements);
    }
    *out = values;
    return OK;
}

void values_destroy(struct values **values)
{
    if (*values == NULL)
        return;
    memory_free((*values)->live);
    memory_free((*values)->metrics);
    memory_free((*values)->labels);
    for (size_t i = 0; i < VALUES_STATES_MAX; i++)
        memory_free((*values)->states[i]);
    memory_free(*values);
    *values = NULL;
}

void values_copy(struct values *to, const struct values *from)
{
    CHECK(to->plan == from->plan && to->state_count == from->state_count);
    CHECK(to->metric_count == from->metric_count && to->label_count == from->label_count);
    size_t bytes = to->plan->live_elements * sizeof(float);
    to->stage = from->stage;
    to->epoch = from->epoch;
    to->epoch_step = from->epoch_step;
    to->stage_step = from->stage_step;
    to->label_share = from->label_share;
    memcpy(to->metrics, from->metrics, to->metric_count * sizeof *to->metrics);
    memcpy(to->labels, from->labels, to->label_count * sizeof *to->labels);
    memcpy(to->live, from->live, bytes);
    for (size_t i = 0; i < to->state_count; i++)
        memcpy(to->states[i], from->states[i], bytes);
}

enum status values_keep(struct values **slot, const struct values *values, struct error *err)
{
    if (*slot != NULL && (*slot)->plan != values->plan)
        values_destroy(slot);
    if (*slot == NULL) {
        struct values_sizes sizes = {values->state_count, values->metric_count,
                                     values->label_count};
        enum status status = values_create(values->plan, values->stage, sizes, slot, err);
        if (status != OK)
            return status;
    }
    values_copy(*slot, values);
    return OK;
}

static const struct live_tensor *find_tensor(const struct plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->tensor_count; i++)
        if (strcmp(plan->tensors[i].name, name) == 0)
            return &plan->tensors[i];
    return NULL;
}

void values_start(struct values *values, uint64_t seed, const struct values *before)
{
    const struct plan *plan = values->plan;
    plan_initial(plan, seed, values->live);
    for (size_t i = 0; before != NULL && i < plan->tensor_count; i++) {
        const struct live_tensor *to = &plan->tensors[i];
        const struct live_tensor *from = find_tensor(before->plan, to->name);
        if (from != NULL)
            memcpy(values->live + to->offset, before->live + from->offset,
                   to->elements * sizeof(float));
    }
    for (size_t i = 0; i < values->state_count; i++)
        memset(values->states[i], 0, plan->live_elements * sizeof(float));
    values->epoch = values->epoch_step = 0;
    values->stage_step = 0;
}
