/* What onnx_fuzz does with one input; also for the test that goes through its corpus. */
#ifndef GRAFT_TESTS_FUZZ_ONNX_INPUT_H
#define GRAFT_TESTS_FUZZ_ONNX_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/check.h"
#include "common/model/graph.h"
#include "common/model/onnx/reader.h"
#include "common/model/shape_infer.h"

/* As model_open does: only the batch stays open. */
static enum status bind_inputs(void *context, struct graph *graph, struct error *err)
{
    (void)context, (void)err;
    for (size_t k = 0; k < graph->input_count; k++) {
        struct shape *shape = &graph->values[graph->inputs[k]].shape;
        for (size_t i = 1; i < shape->rank; i++)
            shape->dims[i] = shape->dims[i] < 0 ? 8 : shape->dims[i];
    }
    return OK;
}

static void read_once(const uint8_t *data, size_t size, bool whole)
{
    struct graph *graph = NULL;
    struct error err = {0};
    const struct onnx_reading reading = {.cut = "", .whole = whole, .bind = bind_inputs};
    enum status status = onnx_reader_parse(data, size, NULL, &reading, &graph, &err);
    if (status == OK) {
        status = shape_infer(graph, &err); /* again: nothing may have changed */
        CHECK(status == OK);
        for (size_t i = 0; i < graph->node_count; i++)
            CHECK(shape_infer_flops(graph, &graph->nodes[i]) >= 0);
    }
    CHECK((status == OK) == (err.text[0] == '\0'));
    graph_destroy(&graph);
}

static void onnx_input(const uint8_t *data, size_t size)
{
    read_once(data, size, false);
    read_once(data, size, true);
}

#endif
