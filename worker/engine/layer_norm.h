/* Recognises layer normalisation in the form exporters decompose it into (PyTorch below opset 17):
 *     d = x - ReduceMean(x);  d / Sqrt(ReduceMean(d²) + ε) · scale + bias
 * over the last axes, d computed once or twice, d² as Pow or Mul, and replaces the last node by
 * LayerNormalization(x, scale, bias). */
#ifndef GRAFT_WORKER_ENGINE_LAYER_NORM_H
#define GRAFT_WORKER_ENGINE_LAYER_NORM_H

struct program;

void layer_norm_fold(struct program *program);

#endif
