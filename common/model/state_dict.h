/* A graph's weights under the names that PyTorch's state dict has for them.
 *
 * Exporters keep those names, but not for all: what they fold gets a number (onnx::MatMul_91, val_22).
 * Recovered are: the weight of a linear layer, folded to the right side of MatMul, by its bias (fc.bias
 * added to the product: fc.weight) or by the node (/blocks.0/fc/MatMul), and turned back to [out, in];
 * weight and bias of a convolution that took in its batch normalisation, by the node (/stem/stem.0/Conv:
 * stem.0.weight); and copies that the exporter merged because they were equal (Identity). What stays
 * nameless keeps its ONNX name. Not there: constants of the code (/Constant_output_0, scalars, whole
 * numbers), and a batch normalisation that was folded away. */
#ifndef GRAFT_COMMON_MODEL_STATE_DICT_H
#define GRAFT_COMMON_MODEL_STATE_DICT_H

#include <stddef.h>

#include "common/base/error.h"
#include "common/model/graph.h"

/* Writes a safetensors file. *nameless: how many kept an ONNX name. Errors: those of
 * safetensors_write. */
enum status state_dict_write(const struct graph *graph, const char *path, size_t *nameless,
                             struct error *err) MUST_CHECK;

#endif
