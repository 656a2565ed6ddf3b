#include "worker/engine/gelu.h"

#include "worker/engine/pattern.h"

#define ROOT_TWO 1.41421356237
#define TANH_SCALE 0.797884560803 /* √(2/π) */
#define TANH_CUBIC 0.044715

/* ---- products of several factors ---- */

/* The three factors of Mul(a, Mul(b, c)), the inner product on side `side`. */
static bool three_factors(const struct program *program, const struct node *node, size_t side,
                          uint32_t factors[3])
{
    if (node->op != OP_MUL)
        return false;
    const struct node *inner = pattern_maker(program, node->inputs[side], OP_MUL);
    if (inner == NULL)
        return false;
    factors[0] = node->inputs[1 - side];
    factors[1] = inner->inputs[0];
    factors[2] = inner->inputs[1];
    return true;
}

/* Is `value` x·x·x, as Pow or as products? */
static bool is_cube(const struct program *program, uint32_t value, uint32_t x)
{
    const struct node *power = pattern_maker(program, value, OP_POW);
    const struct node *mul = pattern_maker(program, value, OP_MUL);
    uint32_t factors[3];
    if (power != NULL)
        return power->inputs[0] == x && pattern_is(program, power->inputs[1], 3);
    for (size_t side = 0; side < 2 && mul != NULL; side++)
        if (three_factors(program, mul, side, factors) && factors[0] == x && factors[1] == x &&
            factors[2] == x)
            return true;
    return false;
}

/* Is `value` 0.044715·x·x, in any order? */
static bool is_scaled_square(const struct program *program, uint32_t value, uint32_t x)
{
    const struct node *mul = pattern_maker(program, value, OP_MUL);
    uint32_t factors[3];
    for (size_t side = 0; side < 2 && mul != NULL; side++) {
        if (!three_factors(program, mul, side, factors))
            continue;
        for (size_t i = 0; i < 3; i++)
            if (pattern_is(program, factors[i], TANH_CUBIC) && factors[(i + 1) % 3] == x &&
                factors[(i + 2) % 3] == x)
                return true;
    }
    return false;
}

/* ---- 1 + f(x) ---- */

/* value = Add(1, op(argument)) → argument */
static uint32_t one_plus(const struct program *program, uint32_t value, enum op op)
{
    const struct node *add = pattern_maker(program, value, OP_ADD);
    uint32_t curve = add == NULL ? GRAPH_NONE : pattern_beside(program, add, 1, true);
    const struct node *node = pattern_maker(program, curve, op);
    return node == NULL ? GRAPH_NONE : node->inputs[0];
}

static bool is_exact_gate(const struct program *program, uint32_t value, uint32_t x)
{
    return x != GRAPH_NONE &&
           pattern_divided(program, one_plus(program, value, OP_ERF), ROOT_TWO) == x;
}

/* √(2/π)·(x + 0.044715·x³) */
static bool is_cubic_argument(const struct program *program, uint32_t value, uint32_t x)
{
    uint32_t sum = pattern_divided(program, value, 1 / TANH_SCALE);
    const struct node *add = pattern_maker(program, sum, OP_ADD);
    for (size_t side = 0; side < 2 && add != NULL; side++) {
        const struct node *mul = pattern_maker(program, add->inputs[1 - side], OP_MUL);
        if (add->inputs[side] == x && mul != NULL &&
            is_cube(program, pattern_beside(program, mul, TANH_CUBIC, true), x))
            return true;
    }
    return false;
}

/* √(2/π)·x·(1 + 0.044715·x²) */
static bool is_factored_argument(const struct program *program, uint32_t value, uint32_t x)
{
    const struct node *mul = pattern_maker(program, value, OP_MUL);
    for (size_t side = 0; side < 2 && mul != NULL; side++) {
        const struct node *add = pattern_maker(program, mul->inputs[side], OP_ADD);
        if (add != NULL && pattern_divided(program, mul->inputs[1 - side], 1 / TANH_SCALE) == x &&
            is_scaled_square(program, pattern_beside(program, add, 1, true), x))
            return true;
    }
    return false;
}

static bool is_tanh_gate(const struct program *program, uint32_t value, uint32_t x)
{
    uint32_t argument = one_plus(program, value, OP_TANH);
    return x != GRAPH_NONE &&
           (is_cubic_argument(program, argument, x) || is_factored_argument(program, argument, x));
}

/* ---- the whole ---- */

/* The factors are ½, x and a gate of x, in any order → x. */
static uint32_t match(const struct program *program, const uint32_t factors[3],
                      bool (*is_gate)(const struct program *, uint32_t, uint32_t))
{
    for (size_t i = 0; i < 3; i++) {
        uint32_t a = factors[(i + 1) % 3], b = factors[(i + 2) % 3];
        if (!pattern_is(program, factors[i], 0.5))
            continue;
        if (is_gate(program, a, b))
            return b;
        if (is_gate(program, b, a))
            return a;
    }
    return GRAPH_NONE;
}

static void fold(struct program *program, struct node *node, size_t side)
{
    uint32_t factors[3];
    struct attributes attributes = {.approximate = false};
    if (!three_factors(program, node, side, factors))
        return;
    uint32_t x = match(program, factors, is_exact_gate);
    if (x == GRAPH_NONE) {
        x = match(program, factors, is_tanh_gate);
        attributes.approximate = true;
    }
    if (x != GRAPH_NONE)
        pattern_rewrite(program, node, OP_GELU, &attributes, &x, 1);
}

void gelu_fold(struct program *program)
{
    for (size_t i = 0; i < program->node_count; i++)
        for (size_t side = 0; side < 2; side++)
            fold(program, &program->nodes[i], side);
}
