#include "common/base/memory.h"
#include "common/model/graph.h"
#include "common/model/lora.h"
#include "common/model/model.h"
#include "common/model/onnx/writer.h"
#include "common/model/plan.h"

enum status model_export(const struct model *model, const struct plan *plan, const float *live,
                         const struct onnx_saving *saving, const char *path, struct error *err)
{
    const float **replaced = memory_alloc(model->graph->value_count, sizeof *replaced);
    struct graph *arena = NULL, merged;
    enum status status = graph_create(&arena, err);
    if (status == OK && replaced == NULL)
        status = error_set(err, ERR_MEMORY, "no memory to export the model");
    for (size_t i = 0; i < plan->tensor_count && status == OK; i++)
        replaced[plan->split->live[i]] = live + plan->tensors[i].offset;
    if (status == OK)
        status = lora_merge(model, replaced, arena, &merged, err);
    if (status == OK)
        status = onnx_writer_save(&merged, replaced, saving, path, err);
    graph_destroy(&arena);
    memory_free(replaced);
    return status;
}
