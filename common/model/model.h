/* The pretrained model ready for a job: the ONNX graph cut at the configured tensor, pooled to
 * `feature_count` features per sample, and a new linear head (tensors "head.weight" [classes,
 * features], "head.bias" [classes]) appended as ordinary nodes, so that inspection, differentiation
 * and export see one graph. Immutable after model_open; may be read from several threads. */
#ifndef GRAFT_COMMON_MODEL_MODEL_H
#define GRAFT_COMMON_MODEL_MODEL_H

#include <stddef.h>

#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/config/job.h"
#include "common/tensor/tensor.h"

struct graph;

/* What an input of a network on texts gets; by its name. */
enum text_input { TEXT_IDS, TEXT_MASK, TEXT_TYPES };
#define MODEL_TEXT_INPUTS 3

struct model {
    struct graph *graph; /* input → … → features → logits; all shapes inferred with batch -1 */
    struct shape input; /* of one sample, without the batch axis, e.g. [3, 48, 48] */
    size_t input_elements;
    enum text_input text_inputs[MODEL_TEXT_INPUTS]; /* [length] each, side by side in a sample */
    size_t text_input_count;                        /* 0: samples are no texts */
    size_t feature_count;                           /* d */
    size_t class_count;                             /* K */
    size_t adapter_nodes;                           /* at the front of the graph (lora.h) */
    enum trunk_dtype trunk_dtype;
    struct digest digest; /* of the model file(s) */
};

/* Reads and checks everything (operators, shapes, sizes, cycles, missing initialisers): after OK
 * nothing about the model can fail later but memory. Errors name the node. */
enum status model_open(const struct model_config *config, const struct preprocess_config *input,
                       size_t classes, struct model **out, struct error *err) MUST_CHECK;
void model_destroy(struct model **model);

/* Writes the graph with `live` values (one entry per live tensor of the plan, flat in plan order)
 * in place of the loaded ones: adapted.onnx, inference mode, dynamic batch, as `saving` says
 * (onnx/writer.h; may be NULL); atomic. */
struct plan;
struct onnx_saving;
enum status model_export(const struct model *model, const struct plan *plan, const float *live,
                         const struct onnx_saving *saving, const char *path,
                         struct error *err) MUST_CHECK;

/* Prints layers, shapes, parameters, FLOPs, activation sizes and the possible freeze boundaries to
 * `fd`. */
enum status model_inspect(const struct model *model, int fd, struct error *err) MUST_CHECK;

#endif
