/* The plain way through a graph, for tests: every node by its own kernel, in order, nothing fused,
 * every value kept. */
#ifndef GRAFT_TESTS_CONFORMANCE_EXECUTOR_H
#define GRAFT_TESTS_CONFORMANCE_EXECUTOR_H

#include "common/base/error.h"
#include "common/model/graph.h"

/* `inputs`: per input of the graph its elements for `batch` samples. *output: the graph's output,
 * *elements many; the caller frees it (free). Errors: ERR_INPUT for an index outside its axis or a
 * constant that float32 does not hold; ERR_MEMORY. */
enum status executor_run(const struct graph *graph, const float *const *inputs, size_t batch,
                         float **output, size_t *elements, struct error *err) MUST_CHECK;

/* Dense data of a type as float32. */
enum status executor_floats(enum dtype dtype, const void *data, size_t count, float *out,
                            struct error *err) MUST_CHECK;

#endif
