/* Recognises hard swish, x·clip(x+3, 0, 6)/6, in the forms exporters decompose it into:
 *     Div(Mul(x, Clip(Add(x, 3), 0, 6)), 6)   Mul(Mul(…), 1/6)   Mul(x, Div(Clip(…), 6))   Mul(x,
 * HardSigmoid(x; 1/6, 1/2)) and replaces the last node by HardSwish(x); the others lose their
 * reader and are swept by the caller. */
#ifndef GRAFT_WORKER_ENGINE_HARD_SWISH_H
#define GRAFT_WORKER_ENGINE_HARD_SWISH_H

struct program;

void hard_swish_fold(struct program *program);

#endif
