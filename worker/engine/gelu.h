/* Recognises Gelu in the forms exporters decompose it into:
 *     x·½·(1 + erf(x/√2))                       PyTorch
 *     x·½·(1 + tanh(√(2/π)·(x + 0.044715·x³)))  its approximation, also as √(2/π)·x·(1 + 0.044715·x²)
 * with the three factors in any order, and replaces the last node by Gelu(x). */
#ifndef GRAFT_WORKER_ENGINE_GELU_H
#define GRAFT_WORKER_ENGINE_GELU_H

struct program;

void gelu_fold(struct program *program);

#endif
