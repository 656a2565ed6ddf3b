#include "worker/engine/trunk.h"

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/model/graph.h"
#include "worker/engine/tile.h"

/* Samples that run through all layers together: few enough that the activations of neighbouring
 * layers stay in the core's second-level cache (commonly 1 MiB or more), enough to amortise the
 * calls. Measured: pictures of 224² a fifth faster one by one than eight together; those of the demo
 * from 1 to 16 alike. */
#define TRUNK_TILE_SAMPLES ((size_t)8)
#define TRUNK_TILE_ELEMENTS ((size_t)1 << 17)

struct trunk {
    struct tile *tile;
    size_t batch;
};

unsigned trunk_isa(void)
{
    return (unsigned)dnnl_get_effective_cpu_isa();
}

enum status trunk_supports(enum trunk_dtype dtype, unsigned isa, struct error *err)
{
    const unsigned needed = dnnl_cpu_isa_avx512_core_bf16;
    if (dtype == TRUNK_FLOAT32 || (isa & needed) == needed)
        return OK;
    return error_set(err, ERR_SUPPORT,
                     "model.trunk_dtype = \"bfloat16\" needs a processor with AVX512-BF16 or AMX, "
                     "which this one has not (or ONEDNN_MAX_CPU_ISA forbids); choose \"float32\"");
}

static size_t tile_samples(const struct plan *plan, size_t batch)
{
    const struct graph *graph = plan->model->graph;
    size_t largest = 1;
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct value *value = &graph->values[graph->nodes[i].output];
        if (plan->split->trunk[i] && value_batched(value) && value_elements(value) > largest)
            largest = value_elements(value);
    }
    size_t fit = TRUNK_TILE_ELEMENTS / largest;
    fit = fit < TRUNK_TILE_SAMPLES ? fit : TRUNK_TILE_SAMPLES;
    fit = fit < batch ? fit : batch;
    return fit > 0 ? fit : 1;
}

enum status trunk_create(const struct plan *plan, size_t batch, struct trunk **out,
                         struct error *err)
{
    CHECK(batch > 0);
    struct trunk *trunk = memory_alloc(1, sizeof *trunk);
    if (trunk == NULL)
        return error_set(err, ERR_MEMORY, "no memory for a trunk");
    trunk->batch = batch;
    enum status status = trunk_supports(plan->model->trunk_dtype, trunk_isa(), err);
    if (status == OK)
        status = tile_create(plan, tile_samples(plan, batch), &trunk->tile, err);
    if (status == OK && trunk->tile->mixes_rows && trunk->tile->samples > 1) {
        tile_destroy(&trunk->tile);
        status = tile_create(plan, 1, &trunk->tile, err);
    }
    if (status == OK)
        *out = trunk;
    else
        trunk_destroy(&trunk);
    return status;
}

void trunk_destroy(struct trunk **trunk)
{
    if (*trunk == NULL)
        return;
    tile_destroy(&(*trunk)->tile);
    memory_free(*trunk);
    *trunk = NULL;
}

struct trunk_bytes trunk_bytes(const struct trunk *trunk)
{
    const struct tile *tile = trunk->tile;
    return (struct trunk_bytes){tile->arena_bytes + tile->scratch_bytes, tile->owned_bytes};
}

static enum status check(const struct tile *tile, struct error *err)
{
    enum status status = OK;
    for (size_t i = 0; i < tile->step_count && status == OK; i++)
        if (tile->steps[i].kind == TILE_NODE)
            status = sites_check(&tile->steps[i].site, err);
    return status;
}

/* When the batch is no multiple, the last tile begins earlier and repeats some samples: cheaper
 * than a second program, and each sample's values do not depend on its place. */
enum status trunk_run(struct trunk *trunk, const float *inputs, float *features, struct error *err)
{
    struct tile *tile = trunk->tile;
    enum status status = OK;
    for (size_t at = 0; at < trunk->batch && status == OK; at += tile->samples) {
        size_t begin = trunk->batch - at < tile->samples ? trunk->batch - tile->samples : at;
        tile_run(tile, inputs + begin * tile->input_elements,
                 features + begin * tile->boundary_elements);
        status = check(tile, err);
    }
    return status;
}
