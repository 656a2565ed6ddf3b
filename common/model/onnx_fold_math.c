#include <math.h>
#include <string.h>

#include "common/model/onnx_fold_rules.h"
#include "common/model/shape_axes.h"

enum result { FINE, OVERFLOWS, BY_ZERO, UNKNOWN };

static enum status check(enum result result, struct error *err)
{
    switch (result) {
    case FINE:
        return OK;
    case OVERFLOWS:
        return error_set(err, ERR_INPUT, "the result does not fit its type");
    case BY_ZERO:
        return error_set(err, ERR_INPUT, "it divides by zero");
    case UNKNOWN:
        break;
    }
    return error_set(err, ERR_SUPPORT, "it is not supported between constants of this type");
}

/* ---- one number ---- */

enum status onnx_fold_cast(const struct fold *fold)
{
    for (size_t i = 0; i < fold->out->count; i++)
        if (!onnx_folded_fit(fold->in[0]->numbers[i], fold->in[0]->dtype, fold->out->dtype,
                             &fold->out->numbers[i]))
            return check(OVERFLOWS, fold->err);
    return OK;
}

static const struct {
    const char *type;
    double (*real)(double);
} real_functions[] = {{"Abs", fabs},  {"Ceil", ceil}, {"Floor", floor}, {"Round", nearbyint},
                      {"Sqrt", sqrt}, {"Exp", exp},   {"Log", log}};

static enum result unary_real(const char *type, double x, double *out)
{
    *out = -x;
    if (strcmp(type, "Neg") == 0)
        return FINE;
    for (size_t i = 0; i < sizeof real_functions / sizeof *real_functions; i++)
        if (strcmp(type, real_functions[i].type) == 0) {
            *out = real_functions[i].real(x);
            return FINE;
        }
    return UNKNOWN;
}

static enum result unary_whole(const char *type, int64_t x, int64_t *out)
{
    *out = x == 0;
    if (strcmp(type, "Not") == 0)
        return FINE;
    bool negate = strcmp(type, "Neg") == 0 || (x < 0 && strcmp(type, "Abs") == 0);
    if (!negate && strcmp(type, "Abs") != 0)
        return UNKNOWN;
    *out = x;
    return negate && __builtin_sub_overflow(0, x, out) ? OVERFLOWS : FINE;
}

static enum result unary(const char *type, enum dtype dtype, struct folded_number x,
                         struct folded_number *out)
{
    if (!onnx_folded_plain(x)) {
        *out = (struct folded_number){.unknown = true};
        return FINE;
    }
    enum result result = onnx_folded_real(dtype) ? unary_real(type, x.real, &out->real)
                                                 : unary_whole(type, x.whole, &out->whole);
    if (result == FINE && !onnx_folded_fit(*out, dtype, dtype, out))
        return OVERFLOWS;
    return result;
}

enum status onnx_fold_unary(const struct fold *fold)
{
    enum result result = FINE;
    for (size_t i = 0; i < fold->out->count && result == FINE; i++)
        result = unary(fold->proto->op_type, fold->in[0]->dtype, fold->in[0]->numbers[i],
                       &fold->out->numbers[i]);
    return check(result, fold->err);
}

/* ---- two numbers ---- */

enum arithmetic {
    ADD,
    SUB,
    MUL,
    DIV,
    MOD,
    POW,
    MIN,
    MAX,
    EQUAL,
    GREATER,
    GREATER_EQUAL,
    LESS,
    LESS_EQUAL,
    AND,
    OR,
    ARITHMETIC_COUNT
};

static const char *const arithmetic_types[] = {
    [ADD] = "Add",
    [SUB] = "Sub",
    [MUL] = "Mul",
    [DIV] = "Div",
    [MOD] = "Mod",
    [POW] = "Pow",
    [MIN] = "Min",
    [MAX] = "Max",
    [EQUAL] = "Equal",
    [GREATER] = "Greater",
    [LESS] = "Less",
    [GREATER_EQUAL] = "GreaterOrEqual",
    [LESS_EQUAL] = "LessOrEqual",
    [AND] = "And",
    [OR] = "Or",
};

/* Mod takes the sign of the divisor, or with fmod that of the dividend. */
static enum result real_of(enum arithmetic what, bool fmod_sign, double a, double b,
                           struct folded_number *out)
{
    switch ((int)what) {
    case ADD:
        out->real = a + b;
        return FINE;
    case SUB:
        out->real = a - b;
        return FINE;
    case MUL:
        out->real = a * b;
        return FINE;
    case DIV:
        out->real = a / b;
        return FINE;
    case MOD:
        out->real = fmod(a, b);
        return fmod_sign ? FINE : UNKNOWN;
    case POW:
        out->real = pow(a, b);
        return FINE;
    case MIN:
        out->real = fmin(a, b);
        return FINE;
    case MAX:
        out->real = fmax(a, b);
        return FINE;
    }
    return UNKNOWN;
}

/* Division truncates. */
static enum result divide(enum arithmetic what, bool fmod_sign, int64_t a, int64_t b, int64_t *out)
{
    if (b == 0)
        return BY_ZERO;
    if (b == -1)
        return what == MOD ? FINE : __builtin_sub_overflow(0, a, out) ? OVERFLOWS : FINE;
    *out = what == MOD ? a % b : a / b;
    if (what == MOD && !fmod_sign && *out != 0 && (*out < 0) != (b < 0))
        *out += b;
    return FINE;
}

static enum result whole_of(enum arithmetic what, bool fmod_sign, int64_t a, int64_t b,
                            struct folded_number *out)
{
    switch ((int)what) {
    case ADD:
        return __builtin_add_overflow(a, b, &out->whole) ? OVERFLOWS : FINE;
    case SUB:
        return __builtin_sub_overflow(a, b, &out->whole) ? OVERFLOWS : FINE;
    case MUL:
        return __builtin_mul_overflow(a, b, &out->whole) ? OVERFLOWS : FINE;
    case DIV:
    case MOD:
        return divide(what, fmod_sign, a, b, &out->whole);
    case MIN:
        out->whole = a < b ? a : b;
        return FINE;
    case MAX:
        out->whole = a > b ? a : b;
        return FINE;
    case AND:
        out->whole = a != 0 && b != 0;
        return FINE;
    case OR:
        out->whole = a != 0 || b != 0;
        return FINE;
    }
    return UNKNOWN;
}

/* -1, 0, 1: a is less, equal, greater. */
static enum result answer(enum arithmetic what, int order, int64_t *out)
{
    *out = what == EQUAL           ? order == 0
           : what == GREATER       ? order > 0
           : what == GREATER_EQUAL ? order >= 0
           : what == LESS          ? order < 0
                                   : order <= 0;
    return FINE;
}

/* Sums, differences and multiples of what depends on the batch; false: there is no such number. */
static bool combine(enum arithmetic what, struct folded_number a, struct folded_number b,
                    struct folded_number *out)
{
    bool bad = false;
    int64_t sign = what == SUB ? -1 : 1, factor = onnx_folded_plain(b) ? b.whole : a.whole;
    struct folded_number of = onnx_folded_plain(b) ? a : b;
    *out = (struct folded_number){0};
    switch ((int)what) {
    case ADD:
    case SUB:
        bad |= __builtin_mul_overflow(b.whole, sign, &b.whole);
        bad |= __builtin_add_overflow(a.whole, b.whole, &out->whole);
        bad |= __builtin_mul_overflow(b.batch, sign, &b.batch);
        bad |= __builtin_add_overflow(a.batch, b.batch, &out->batch);
        bad |= __builtin_mul_overflow(b.sample, sign, &b.sample);
        bad |= __builtin_add_overflow(a.sample, b.sample, &out->sample);
        return !bad;
    case MUL:
        bad |= !onnx_folded_plain(a) && !onnx_folded_plain(b);
        bad |= __builtin_mul_overflow(of.whole, factor, &out->whole);
        bad |= __builtin_mul_overflow(of.batch, factor, &out->batch);
        bad |= __builtin_mul_overflow(of.sample, factor, &out->sample);
        return !bad;
    case DIV:
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
    if (!combine(SUB, a, b, &above) || !combine(SUB, b, a, &below))
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
    return combine(SUB, a, b, &above) && least(above, &up) && up >= 0;
}

static bool compare(enum arithmetic what, struct folded_number a, struct folded_number b,
                    int64_t *out)
{
    int order = order_of(a, b);
    if (order == 2 && (what == GREATER_EQUAL || what == LESS) && at_least(a, b)) {
        *out = what == GREATER_EQUAL;
        return true;
    }
    if (order == 2 && (what == LESS_EQUAL || what == GREATER) && at_least(b, a)) {
        *out = what == LESS_EQUAL;
        return true;
    }
    return order != 2 && answer(what, order, out) == FINE;
}

/* What depends on the batch: what cannot be known is unknown, and refused only where it is used. */
static void batch_of(enum arithmetic what, bool real, struct folded_number a,
                     struct folded_number b, struct folded_number *out)
{
    bool known = !real && !a.unknown && !b.unknown;
    *out = (struct folded_number){0};
    if (known && what >= EQUAL && what <= LESS_EQUAL)
        known = compare(what, a, b, &out->whole);
    else if (known && (what == MIN || what == MAX) && (at_least(a, b) || at_least(b, a)))
        *out = at_least(a, b) == (what == MAX) ? a : b;
    else if (known)
        known = combine(what, a, b, out);
    if (!known)
        *out = (struct folded_number){.unknown = true};
}

static enum result binary(enum arithmetic what, bool fmod_sign, const struct folded *in,
                          struct folded_number a, struct folded_number b, struct folded_number *out)
{
    bool real = onnx_folded_real(in->dtype);
    if (!onnx_folded_plain(a) || !onnx_folded_plain(b)) {
        batch_of(what, real, a, b, out);
        return FINE;
    }
    *out = (struct folded_number){0};
    if (what >= EQUAL && what <= LESS_EQUAL) {
        if (real && (isnan(a.real) || isnan(b.real)))
            return UNKNOWN;
        return answer(what,
                      real ? (a.real > b.real) - (a.real < b.real)
                           : (a.whole > b.whole) - (a.whole < b.whole),
                      &out->whole);
    }
    enum result result = real ? real_of(what, fmod_sign, a.real, b.real, out)
                              : whole_of(what, fmod_sign, a.whole, b.whole, out);
    if (result == FINE && !onnx_folded_fit(*out, in->dtype, in->dtype, out))
        return OVERFLOWS;
    return result;
}

static bool fmod_of(const Onnx__NodeProto *proto)
{
    for (size_t i = 0; i < proto->n_attribute; i++)
        if (proto->attribute[i]->name != NULL && strcmp(proto->attribute[i]->name, "fmod") == 0)
            return proto->attribute[i]->i != 0;
    return false;
}

/* Index of a row-major element of `out` in an input that broadcasts to it. */
static size_t broadcast_index(size_t at, const struct shape *out, const struct shape *in)
{
    size_t strides[TENSOR_RANK_MAX], index = 0, lead = out->rank - in->rank;
    onnx_folded_strides(in, strides);
    for (size_t i = out->rank; i-- > lead;) {
        size_t extent = out->dims[i] == -1 ? 1 : (size_t)out->dims[i];
        index += at % extent * strides[i - lead];
        at /= extent;
    }
    return index;
}

/* Min and Max take any number of inputs: from the left. */
enum status onnx_fold_binary(const struct fold *fold)
{
    enum arithmetic what = ADD;
    enum result result = FINE;
    bool fmod_sign = fmod_of(fold->proto);
    while (what < ARITHMETIC_COUNT && strcmp(arithmetic_types[what], fold->proto->op_type) != 0)
        what++;
    if (what == ARITHMETIC_COUNT)
        return check(UNKNOWN, fold->err);
    for (size_t i = 0; i < fold->out->count && result == FINE; i++) {
        struct folded_number *out = &fold->out->numbers[i];
        *out = fold->in[0]->numbers[broadcast_index(i, &fold->out->shape, &fold->in[0]->shape)];
        for (size_t k = 1; k < fold->node->input_count && result == FINE; k++) {
            size_t index = broadcast_index(i, &fold->out->shape, &fold->in[k]->shape);
            struct folded_number left = *out;
            result = binary(what, fmod_sign, fold->in[0], left, fold->in[k]->numbers[index], out);
        }
    }
    return check(result, fold->err);
}

/* ---- many numbers ---- */

static const struct {
    const char *type;
    enum arithmetic what;
    int64_t whole; /* what a reduction of nothing would give */
    double real;
} reductions[] = {
    {"ReduceSum", ADD, 0, 0},
    {"ReduceMean", ADD, 0, 0},
    {"ReduceProd", MUL, 1, 1},
    {"ReduceMax", MAX, INT64_MIN, -INFINITY},
    {"ReduceMin", MIN, INT64_MAX, INFINITY},
};

/* Where the input's element `at` is summed. */
static size_t reduced_index(size_t at, const struct shape *in, const bool reduced[])
{
    size_t index = 0, distance = 1;
    for (size_t i = in->rank; i-- > 0;) {
        size_t extent = in->dims[i] == -1 ? 1 : (size_t)in->dims[i];
        if (!reduced[i]) {
            index += at % extent * distance;
            distance *= extent;
        }
        at /= extent;
    }
    return index;
}

static enum result average(const struct fold *fold)
{
    if (!onnx_folded_real(fold->out->dtype))
        return UNKNOWN;
    for (size_t i = 0; i < fold->out->count; i++)
        fold->out->numbers[i].real /= (double)fold->in[0]->count / (double)fold->out->count;
    return FINE;
}

enum status onnx_fold_reduce(const struct fold *fold)
{
    const struct folded *in = fold->in[0];
    bool reduced[TENSOR_RANK_MAX], real = onnx_folded_real(in->dtype);
    size_t row = 0;
    enum result result = FINE;
    enum status status =
        shape_axes_mark(&fold->node->attributes, in->shape.rank, reduced, fold->err);
    if (status != OK)
        return status;
    while (strcmp(reductions[row].type, fold->proto->op_type) != 0)
        row++;
    for (size_t i = 0; i < fold->out->count; i++)
        fold->out->numbers[i] = real ? (struct folded_number){.real = reductions[row].real}
                                     : (struct folded_number){.whole = reductions[row].whole};
    for (size_t i = 0; i < in->count && result == FINE; i++) {
        struct folded_number *out = &fold->out->numbers[reduced_index(i, &in->shape, reduced)];
        result = binary(reductions[row].what, false, in, *out, in->numbers[i], out);
    }
    if (result == FINE && strcmp(fold->proto->op_type, "ReduceMean") == 0)
        result = average(fold);
    return check(result, fold->err);
}
