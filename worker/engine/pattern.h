/* What the recognisers of decomposed operators share: looking upwards from a node of a program. A fold
 * rewrites only the last node of its pattern; the others lose their reader and are swept, or stay
 * where somebody else reads them. */
#ifndef GRAFT_WORKER_ENGINE_PATTERN_H
#define GRAFT_WORKER_ENGINE_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/engine/program.h"

/* The node that makes `value` if it is `op`; NULL else. */
const struct node *pattern_maker(const struct program *program, uint32_t value, enum op op);

/* Is the value one frozen constant number, this one (within 1e-5)? */
bool pattern_is(const struct program *program, uint32_t value, double wanted);

/* For a node of two inputs, one of which is the number `wanted`: the other input, else GRAPH_NONE. Of
 * a node that does not commute the number is the second. */
uint32_t pattern_beside(const struct program *program, const struct node *node, double wanted,
                        bool commutes);

/* value = v / divisor or v·(1/divisor) → v, else GRAPH_NONE */
uint32_t pattern_divided(const struct program *program, uint32_t value, double divisor);

/* node becomes op(inputs…) under `attributes`; at most PROGRAM_REWRITE_PORTS inputs. */
void pattern_rewrite(struct program *program, struct node *node, enum op op,
                     const struct attributes *attributes, const uint32_t *inputs, size_t count);

#endif
