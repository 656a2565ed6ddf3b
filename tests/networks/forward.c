/* One network's forward through the plain executor, for tests/networks/compare.py.
 *     forward MODEL BATCH INPUTS OUTPUT [WRITTEN]
 * INPUTS: the float32 elements of each input for the whole batch, one input after the other; sizes
 * are the file's. OUTPUT takes the result, WRITTEN the model as graft writes it. Prints what the
 * graph is made of. */
#include <stdio.h>
#include <stdlib.h>

#include "common/model/onnx/reader.h"
#include "common/model/onnx/writer.h"
#include "tests/conformance/executor.h"
#include "tests/networks/program.h"

int main(int argc, char **argv)
{
    if (argc < 5)
        return fprintf(stderr, "usage: forward MODEL BATCH INPUTS OUTPUT [WRITTEN]\n"), 2;
    const struct onnx_reading reading = {.cut = ""};
    struct graph *graph = NULL;
    size_t batch = strtoul(argv[2], NULL, 10), total = 0, elements = 0;
    must(onnx_reader_open(argv[1], &reading, &graph, &err));
    for (size_t i = 0; i < graph->input_count; i++)
        total += batch * value_elements(&graph->values[graph->inputs[i]]);
    float *data = calloc(total, sizeof *data), *output = NULL;
    transfer(argv[3], "rb", data, total * sizeof *data);
    const float *inputs[GRAPH_INPUTS_MAX];
    for (size_t i = 0, at = 0; i < graph->input_count; i++) {
        inputs[i] = data + at;
        at += batch * value_elements(&graph->values[graph->inputs[i]]);
    }
    must(executor_run(graph, inputs, batch, &output, &elements, &err));
    transfer(argv[4], "wb", output, elements * sizeof *output);
    if (argc > 5)
        must(onnx_writer_save(graph, NULL, NULL, argv[5], &err));
    printf("%zu nodes, %zu inputs\n", graph->node_count, graph->input_count);
    free(output);
    free(data);
    graph_destroy(&graph);
    return 0;
}
