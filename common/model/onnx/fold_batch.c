#include "common/model/onnx/fold_rules.h"

/* Sums, differences and multiples of what depends on the batch; false: there is no such number. */
static bool combine(enum fold_arithmetic what, struct folded_number a, struct folded_number b,
                    struct folded_number *out)
{
    bool bad = false;
    int64_t sign = what == FOLD_SUB ? -1 : 1, factor = onnx_folded_plain(b) ? b.whole : a.whole;
    struct folded_number of = onnx_folded_plain(b) ? a : b;
    *out = (struct folded_number){0};
    switch ((int)what) {
    case FOLD_ADD:
    case FOLD_SUB:
        bad |= __builtin_mul_overflow(b.whole, sign, &b.whole);
        bad |= __builtin_add_overflow(a.whole, b.whole, &out->whole);
        bad |= __builtin_mul_overflow(b.batch, sign, &b.batch);
        bad |= __builtin_add_overflow(a.batch, b.batch, &out->batch);
        bad |= __builtin_mul_overflow(b.sample, sign, &b.sample);
        bad |= __builtin_add_overflow(a.sample, b.sample, &out->sample);
        return !bad;
    case FOLD_MUL:
        bad |= !onnx_folded_plain(a) && !onnx_folded_plain(b);
        bad |= __builtin_mul_overflow(of.whole, factor, &out->whole);
        bad |= __builtin_mul_overflow(of.batch, factor, &out->batch);
        bad |= __builtin_mul_overflow(of.sample, factor, &out->sample);
        return !bad;
    case FOLD_DIV:
        bad |= !onnx_folded_plain(b) || b.whole <= 0;
        if (bad || a.whole % b.whole != 0 || a.batch % b.whole != 0 || a.sample % b.whole != 0)
            return false;
        *out = (struct folded_number){
            .whole = a.whole / b.whole, .batch = a.batch / b.whole, .sample = a.sample / b.whole};
        return true;
    }
    return false;
}

/* The least that whole + batch · N + sample · i can be, with N at least 1; false: no least. */
static bool least(struct folded_number a, int64_t *out)
{
    return a.batch >= 0 && a.sample >= 0 && !__builtin_add_overflow(a.whole, a.batch, out);
}

/* -1, 0 or 1 whichever the batch is, or 2. */
static int order_of(struct folded_number a, struct folded_number b)
{
    struct folded_number above = {0}, below = {0};
    int64_t up = 0, down = 0;
    if (!combine(FOLD_SUB, a, b, &above) || !combine(FOLD_SUB, b, a, &below))
        return 2;
    if (onnx_folded_plain(above))
        return (above.whole > 0) - (above.whole < 0);
    if (least(above, &up) && up > 0)
        return 1;
    return least(below, &down) && down > 0 ? -1 : 2;
}

/* As order_of, where "at least" or "at most" is asked for. */
static bool at_least(struct folded_number a, struct folded_number b)
{
    struct folded_number above = {0};
    int64_t up = 0;
    return combine(FOLD_SUB, a, b, &above) && least(above, &up) && up >= 0;
}

static bool compare(enum fold_arithmetic what, struct folded_number a, struct folded_number b,
                    int64_t *out)
{
    int order = order_of(a, b);
    if (order == 2 && (what == FOLD_GREATER_EQUAL || what == FOLD_LESS) && at_least(a, b)) {
        *out = what == FOLD_GREATER_EQUAL;
        return true;
    }
    if (order == 2 && (what == FOLD_LESS_EQUAL || what == FOLD_GREATER) && at_least(b, a)) {
        *out = what == FOLD_LESS_EQUAL;
        return true;
    }
    if (order != 2)
        *out = onnx_fold_answer(what, order);
    return order != 2;
}

void onnx_fold_with_batch(enum fold_arithmetic what, bool real, struct folded_number a,
                          struct folded_number b, struct folded_number *out)
{
    bool known = !real && !a.unknown && !b.unknown;
    *out = (struct folded_number){0};
    if (known && what >= FOLD_EQUAL && what <= FOLD_LESS_EQUAL)
        known = compare(what, a, b, &out->whole);
    else if (known && (what == FOLD_MIN || what == FOLD_MAX) && (at_least(a, b) || at_least(b, a)))
        *out = at_least(a, b) == (what == FOLD_MAX) ? a : b;
    else if (known)
        known = combine(what, a, b, out);
    if (!known)
        *out = (struct folded_number){.unknown = true};
}
