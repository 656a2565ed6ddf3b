#include "coordinator/job/truth.h"

#include <string.h>

#include "common/base/memory.h"

enum status truth_create(enum data_task task, const struct manifest *manifest, size_t domain,
                         enum split split, struct truth **out, struct error *err)
{
    size_t count = manifest->part_count[domain][split], width = manifest->target_count;
    const uint32_t *ids = manifest->part[domain][split];
    struct truth *truth = memory_alloc(1, sizeof *truth);
    bool all = truth != NULL;
    if (all) {
        *truth = (struct truth){.task = task, .count = count};
        all = (truth->labels = memory_alloc(count, sizeof *truth->labels)) != NULL;
        if (width > 0)
            all &= (truth->targets = memory_alloc(count, width * sizeof(float))) != NULL;
    }
    if (!all) {
        truth_destroy(&truth);
        return error_set(err, ERR_MEMORY, "no memory for %zu labels", count);
    }
    for (size_t i = 0; i < count; i++) {
        truth->labels[i] = manifest->samples[ids[i]].label;
        if (width > 0)
            memcpy(truth->targets + i * width, manifest_targets(manifest, ids[i]),
                   width * sizeof(float));
    }
    *out = truth;
    return OK;
}

void truth_destroy(struct truth **truth)
{
    if (*truth == NULL)
        return;
    memory_free((*truth)->labels);
    memory_free((*truth)->targets);
    memory_free(*truth);
    *truth = NULL;
}
