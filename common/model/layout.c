#include "common/model/layout.h"

#include "common/base/check.h"

struct layout layout_of(const struct plan *plan, const struct stage_config *stage)
{
    size_t d = plan->model->feature_count;
    struct layout layout = {.parameter_count = plan->block_count};
    if (stage->losses.coral > 0)
        layout.coral_elements = d + d * (d + 1) / 2;
    layout.statistic_elements =
        layout.coral_elements + (stage->losses.information > 0 ? plan->model->class_count : 0);
    if (layout.statistic_elements > 0) {
        layout.statistic_count =
            (layout.statistic_elements + LAYOUT_STATISTIC_ELEMENTS - 1) / LAYOUT_STATISTIC_ELEMENTS;
    }
    layout.metric_block = (uint32_t)(layout.parameter_count + layout.statistic_count);
    layout.metric_elements = (size_t)TERM_COUNT * METRIC_COUNT;
    layout.block_count = layout.metric_block + 1u;
    return layout;
}

size_t layout_statistic_offset(size_t i)
{
    return i * LAYOUT_STATISTIC_ELEMENTS;
}

size_t layout_statistic_size(const struct layout *layout, size_t i)
{
    CHECK(i < layout->statistic_count);
    size_t left = layout->statistic_elements - layout_statistic_offset(i);
    return left < LAYOUT_STATISTIC_ELEMENTS ? left : LAYOUT_STATISTIC_ELEMENTS;
}
