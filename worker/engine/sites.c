#include "worker/engine/sites.h"

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/model/op_table.h"

struct shape sites_shape(const struct graph *graph, uint32_t value, size_t batch)
{
    struct shape shape = graph->values[value].shape;
    if (value_batched(&graph->values[value]))
        shape.dims[0] = (int64_t)batch;
    return shape;
}

static enum status site_init(struct op_site *site, const struct graph *graph,
                             const bool *needs_gradient, size_t batch, struct shape *shapes,
                             bool *wanted, struct error *err)
{
    const struct op_kernel *kernel = op_kernel(site->node->op);
    for (size_t k = 0; k < site->input_count; k++) {
        uint32_t input = site->node->inputs[k];
        if (input == GRAPH_NONE)
            continue;
        shapes[k] = sites_shape(graph, input, batch);
        wanted[k] = needs_gradient != NULL && needs_gradient[input] &&
                    (op_table_differentiable(site->node, k) || op_table_running(site->node, k));
    }
    site->x_shape = shapes;
    site->wanted = wanted;
    site->y_shape = sites_shape(graph, site->node->output, batch);
    return kernel->create == NULL ? OK : kernel->create(site, err);
}

enum status sites_init(struct sites *sites, const struct node *nodes, size_t node_count,
                       const struct graph *graph, const bool *needs_gradient, size_t batch,
                       const struct onednn *dnn, struct error *err)
{
    size_t ports = 0;
    for (size_t i = 0; i < node_count; i++)
        ports += nodes[i].input_count;
    *sites = (struct sites){.at = memory_alloc(node_count, sizeof *sites->at),
                            .shapes = memory_alloc(ports, sizeof *sites->shapes),
                            .wanted = memory_alloc(ports, sizeof *sites->wanted),
                            .fault = memory_alloc(1, sizeof *sites->fault),
                            .run = memory_alloc(1, sizeof *sites->run)};
    if (sites->at == NULL || sites->shapes == NULL || sites->wanted == NULL ||
        sites->fault == NULL || sites->run == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %zu operators", node_count);
    enum status status = OK;
    ports = 0;
    for (size_t i = 0; i < node_count && status == OK; i++) {
        struct op_site *site = &sites->at[sites->count++];
        *site = (struct op_site){.node = &nodes[i],
                                 .input_count = nodes[i].input_count,
                                 .dnn = dnn,
                                 .fault = sites->fault,
                                 .run = sites->run};
        status = site_init(site, graph, needs_gradient, batch, sites->shapes + ports,
                           sites->wanted + ports, err);
        ports += nodes[i].input_count;
        if (status == OK && op_kernel(nodes[i].op)->scratch != NULL) {
            size_t scratch = op_kernel(nodes[i].op)->scratch(site);
            sites->scratch_elements =
                scratch > sites->scratch_elements ? scratch : sites->scratch_elements;
        }
    }
    return status;
}

enum status sites_check(const struct sites *sites, struct error *err)
{
    struct op_fault fault = *sites->fault;
    *sites->fault = (struct op_fault){0};
    return fault.node == NULL ? OK
                              : error_set(err, ERR_INPUT, "node %s: index %g lies outside 0 to %zu",
                                          fault.node->name, (double)fault.index, fault.extent - 1);
}

void sites_deinit(struct sites *sites)
{
    for (size_t i = 0; i < sites->count; i++)
        if (op_kernel(sites->at[i].node->op)->destroy != NULL)
            op_kernel(sites->at[i].node->op)->destroy(&sites->at[i]);
    memory_free(sites->at);
    memory_free(sites->shapes);
    memory_free(sites->wanted);
    memory_free(sites->fault);
    memory_free(sites->run);
    *sites = (struct sites){0};
}
