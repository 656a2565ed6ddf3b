#include "common/base/memory.h"
#include "common/model/graph.h"
#include "common/model/model.h"
#include "common/model/onnx_writer.h"
#include "common/model/plan.h"

enum status model_export(const struct model *model, const struct plan *plan, const float *live,
                         const char *description, const char *path, struct error *err)
{
    const float **replaced = memory_alloc(model->graph->value_count, sizeof *replaced);
    if (replaced == NULL)
        return error_set(err, ERR_MEMORY, "no memory to export the model");
    for (size_t i = 0; i < plan->tensor_count; i++)
        replaced[plan->split->live[i]] = live + plan->tensors[i].offset;
    enum status status = onnx_writer_save(model->graph, replaced, description, path, err);
    memory_free(replaced);
    return status;
}
