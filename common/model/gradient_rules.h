/* Toward which inputs of an operator a gradient passes. None passes where none exists, or where it is
 * zero wherever it does, as in PyTorch: comparisons, rounding, positions. */
#ifndef GRAFT_COMMON_MODEL_GRADIENT_RULES_H
#define GRAFT_COMMON_MODEL_GRADIENT_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/model/graph.h"

bool gradient_all(const struct node *node, size_t input);
bool gradient_none(const struct node *node, size_t input);
bool gradient_cast(const struct node *node, size_t input);       /* from floating point only */
bool gradient_norm(const struct node *node, size_t input);       /* not to running statistics */
bool gradient_of_data(const struct node *node, size_t input);    /* not to indices, input 1 */
bool gradient_of_choices(const struct node *node, size_t input); /* not to the condition, input 0 */

#endif
