#include <math.h>
#include <string.h>

#include "common/model/onnx/fold_rules.h"
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

static const char *const arithmetic_types[] = {
    [FOLD_ADD] = "Add",
    [FOLD_SUB] = "Sub",
    [FOLD_MUL] = "Mul",
    [FOLD_DIV] = "Div",
    [FOLD_MOD] = "Mod",
    [FOLD_POW] = "Pow",
    [FOLD_MIN] = "Min",
    [FOLD_MAX] = "Max",
    [FOLD_EQUAL] = "Equal",
    [FOLD_GREATER] = "Greater",
    [FOLD_LESS] = "Less",
    [FOLD_GREATER_EQUAL] = "GreaterOrEqual",
    [FOLD_LESS_EQUAL] = "LessOrEqual",
    [FOLD_AND] = "And",
    [FOLD_OR] = "Or",
};

/* Mod takes the sign of the divisor, or with fmod that of the dividend. */
static enum result real_of(enum fold_arithmetic what, bool fmod_sign, double a, double b,
                           struct folded_number *out)
{
    switch ((int)what) {
    case FOLD_ADD:
        out->real = a + b;
        return FINE;
    case FOLD_SUB:
        out->real = a - b;
        return FINE;
    case FOLD_MUL:
        out->real = a * b;
        return FINE;
    case FOLD_DIV:
        out->real = a / b;
        return FINE;
    case FOLD_MOD:
        out->real = fmod(a, b);
        return fmod_sign ? FINE : UNKNOWN;
    case FOLD_POW:
        out->real = pow(a, b);
        return FINE;
    case FOLD_MIN:
        out->real = fmin(a, b);
        return FINE;
    case FOLD_MAX:
        out->real = fmax(a, b);
        return FINE;
    }
    return UNKNOWN;
}

/* Division truncates. */
static enum result divide(enum fold_arithmetic what, bool fmod_sign, int64_t a, int64_t b,
                          int64_t *out)
{
    if (b == 0)
        return BY_ZERO;
    if (b == -1)
        return what == FOLD_MOD ? FINE : __builtin_sub_overflow(0, a, out) ? OVERFLOWS : FINE;
    *out = what == FOLD_MOD ? a % b : a / b;
    if (what == FOLD_MOD && !fmod_sign && *out != 0 && (*out < 0) != (b < 0))
        *out += b;
    return FINE;
}

static enum result whole_of(enum fold_arithmetic what, bool fmod_sign, int64_t a, int64_t b,
                            struct folded_number *out)
{
    switch ((int)what) {
    case FOLD_ADD:
        return __builtin_add_overflow(a, b, &out->whole) ? OVERFLOWS : FINE;
    case FOLD_SUB:
        return __builtin_sub_overflow(a, b, &out->whole) ? OVERFLOWS : FINE;
    case FOLD_MUL:
        return __builtin_mul_overflow(a, b, &out->whole) ? OVERFLOWS : FINE;
    case FOLD_DIV:
    case FOLD_MOD:
        return divide(what, fmod_sign, a, b, &out->whole);
    case FOLD_MIN:
        out->whole = a < b ? a : b;
        return FINE;
    case FOLD_MAX:
        out->whole = a > b ? a : b;
        return FINE;
    case FOLD_AND:
        out->whole = a != 0 && b != 0;
        return FINE;
    case FOLD_OR:
        out->whole = a != 0 || b != 0;
        return FINE;
    }
    return UNKNOWN;
}

int64_t onnx_fold_answer(enum fold_arithmetic what, int order)
{
    switch ((int)what) {
    case FOLD_EQUAL:
        return order == 0;
    case FOLD_GREATER:
        return order > 0;
    case FOLD_GREATER_EQUAL:
        return order >= 0;
    case FOLD_LESS:
        return order < 0;
    }
    return order <= 0;
}

static enum result binary(enum fold_arithmetic what, bool fmod_sign, const struct folded *in,
                          struct folded_number a, struct folded_number b, struct folded_number *out)
{
    bool real = onnx_folded_real(in->dtype);
    if (!onnx_folded_plain(a) || !onnx_folded_plain(b)) {
        onnx_fold_with_batch(what, real, a, b, out);
        return FINE;
    }
    *out = (struct folded_number){0};
    if (what >= FOLD_EQUAL && what <= FOLD_LESS_EQUAL) {
        if (real && (isnan(a.real) || isnan(b.real)))
            return UNKNOWN;
        int order = real ? (a.real > b.real) - (a.real < b.real)
                         : (a.whole > b.whole) - (a.whole < b.whole);
        out->whole = onnx_fold_answer(what, order);
        return FINE;
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
    enum fold_arithmetic what = FOLD_ADD;
    enum result result = FINE;
    bool fmod_sign = fmod_of(fold->proto);
    while (what < FOLD_COUNT && strcmp(arithmetic_types[what], fold->proto->op_type) != 0)
        what++;
    if (what == FOLD_COUNT)
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
    enum fold_arithmetic what;
    int64_t whole; /* what a reduction of nothing would give */
    double real;
} reductions[] = {
    {"ReduceSum", FOLD_ADD, 0, 0},
    {"ReduceMean", FOLD_ADD, 0, 0},
    {"ReduceProd", FOLD_MUL, 1, 1},
    {"ReduceMax", FOLD_MAX, INT64_MIN, -INFINITY},
    {"ReduceMin", FOLD_MIN, INT64_MAX, INFINITY},
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
    struct folded_number nothing = {.whole = reductions[row].whole};
    if (real)
        nothing.real = reductions[row].real;
    for (size_t i = 0; i < fold->out->count; i++)
        fold->out->numbers[i] = nothing;
    for (size_t i = 0; i < in->count && result == FINE; i++) {
        struct folded_number *out = &fold->out->numbers[reduced_index(i, &in->shape, reduced)];
        result = binary(reductions[row].what, false, in, *out, in->numbers[i], out);
    }
    if (result == FINE && strcmp(fold->proto->op_type, "ReduceMean") == 0)
        result = average(fold);
    return check(result, fold->err);
}
