/* libFuzzer target: bytes → ONNX reader → shape inference → costs. Whatever the bytes, the answer
 * is OK or one sentence. Seeds: tests/fuzz/corpus/onnx (tests/fuzz/onnx_corpus.py makes them);
 * every crash input joins them. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/model/graph.h"
#include "common/model/onnx_reader.h"
#include "common/model/shape_infer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As model_open does: only the batch stays open. */
static void bind_input(struct graph *graph)
{
    struct shape *shape = &graph->values[graph->input].shape;
    for (size_t i = 0; i < shape->rank; i++)
        if (i == 0 || shape->dims[i] < 0)
            shape->dims[i] = i == 0 ? -1 : 8;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct graph *graph = NULL;
    struct error err = {0};
    enum status status = onnx_reader_parse(data, size, NULL, "", &graph, &err);
    if (status == OK) {
        bind_input(graph);
        status = shape_infer(graph, &err);
        for (size_t i = 0; i < graph->node_count && status == OK; i++)
            CHECK(shape_infer_flops(graph, &graph->nodes[i]) >= 0);
    }
    CHECK((status == OK) == (err.text[0] == '\0'));
    graph_destroy(&graph);
    return 0;
}
