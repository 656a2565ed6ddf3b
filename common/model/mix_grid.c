#include "common/model/mix_grid.h"

#include "common/model/graph.h"

static enum status check_numbers(const struct plan *plan, struct error *err)
{
    for (size_t i = 0; i < plan->split->boundary_count; i++) {
        const struct value *value = &plan->model->graph->values[plan->split->boundary[i]];
        if (value->dtype != DTYPE_F32 && value->dtype != DTYPE_F64)
            return error_set(err, ERR_INPUT,
                             "mixup and cutmix would mix '%.80s' at the freeze boundary, which "
                             "holds no real numbers; freeze what reads it",
                             value->name);
    }
    return OK;
}

enum status mix_grid_of(const struct plan *plan, const struct stage_config *stage,
                        struct mix_grid *out, struct error *err)
{
    const struct value *value = &plan->model->graph->values[plan->split->boundary[0]];
    const struct shape *shape = &value->shape;
    enum status status = stage->mixup > 0 || stage->cutmix > 0 ? check_numbers(plan, err) : OK;
    if (status != OK)
        return status;
    *out = (struct mix_grid){0};
    if (stage->cutmix <= 0)
        return OK;
    if (plan->split->boundary_count != 1 || shape->rank != 4 || shape->dims[2] < 2 ||
        shape->dims[3] < 2)
        return error_set(err, ERR_INPUT,
                         "cutmix cuts boxes at the freeze boundary, which is '%.80s', %s; move it "
                         "with last_blocks or live, or use mixup",
                         value->name,
                         plan->split->boundary_count != 1 ? "one of several tensors"
                                                          : "without height and width");
    *out = (struct mix_grid){(size_t)shape->dims[2], (size_t)shape->dims[3]};
    return OK;
}
