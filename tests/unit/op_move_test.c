/* Operators that move elements. */
#include "tests/unit/op_bench.h"

static void moving_data_moves_gradients_back(void **state)
{
    (void)state;
    struct attributes turn = net_attributes(OP_TRANSPOSE), join = net_attributes(OP_CONCAT);
    const int64_t order[] = {0, 3, 1, 2};
    memcpy(turn.axes, order, sizeof order);
    turn.axes_count = 4;
    CHECK_OP(OP_TRANSPOSE, &turn, S(4, -1, 3, 4, 5));
    CHECK_OP(OP_CONCAT, &join, S(3, -1, 2, 4), S(3, -1, 3, 4), S(3, -1, 1, 4));
    join.axis = -1;
    CHECK_OP(OP_CONCAT, &join, S(3, -1, 2, 4), S(3, -1, 2, 3));
    CHECK_OP(OP_FLATTEN, NULL, S(4, -1, 3, 2, 2));
}

static struct attributes target(enum op op, size_t count, const int64_t *axes)
{
    struct attributes a = net_attributes(op);
    a.axes_count = count;
    memcpy(a.axes, axes, count * sizeof *axes);
    return a;
}
#define TARGET(op, ...)                                                                            \
    target(op, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (int64_t[]){__VA_ARGS__})

static void repeating_adds_gradients_up(void **state)
{
    (void)state;
    struct attributes token = TARGET(OP_EXPAND, -1, 2, 4), wide = TARGET(OP_EXPAND, 2, 3, 1);
    struct attributes inside = TARGET(OP_EXPAND, -1, 3, 4), same = TARGET(OP_EXPAND, 1, 1);
    struct attributes tile = TARGET(OP_TILE, 1, 2, 3), once = TARGET(OP_TILE, 1, 1);
    CHECK_OP(OP_EXPAND, &token, S(3, 1, 1, 4));
    CHECK_OP(OP_EXPAND, &token, S(1, 4));
    CHECK_OP(OP_EXPAND, &token, S(2, 2, 1));
    CHECK_OP(OP_EXPAND, &wide, S(2, 3, 5));
    CHECK_OP(OP_EXPAND, &wide, S(0));
    CHECK_OP(OP_EXPAND, &inside, S(3, -1, 1, 4));
    CHECK_OP(OP_EXPAND, &same, S(2, -1, 5));
    CHECK_OP(OP_TILE, &tile, S(3, -1, 4, 5));
    CHECK_OP(OP_TILE, &once, S(2, -1, 5));
    tile.axes[2] = 1;
    CHECK_OP(OP_TILE, &tile, S(3, -1, 4, 5));
}

static struct attributes range(enum op op, int64_t axis, int64_t start, int64_t end, int64_t step)
{
    struct attributes a = net_attributes(op);
    a.axes_count = a.starts_count = 1;
    a.axes[0] = axis;
    a.starts[0] = start;
    a.ends[0] = end;
    a.steps[0] = step;
    return a;
}

static void slices_give_gradients_to_what_they_took(void **state)
{
    (void)state;
    const struct attributes cases[] = {
        range(OP_SLICE, 1, 1, 3, 1),          range(OP_SLICE, -1, 4, INT64_MIN, -2),
        range(OP_SLICE, 2, -2, INT64_MAX, 1), range(OP_SLICE, 1, 0, INT64_MAX, 1),
        range(OP_SLICE, 2, 0, 5, 3),          range(OP_SLICE, 1, -1, -100, -1)};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_OP(OP_SLICE, &cases[i], S(3, -1, 4, 5));
    struct attributes two = range(OP_SLICE, 1, 1, 3, 1);
    two.axes_count = two.starts_count = 2;
    two.axes[1] = 0;
    two.starts[1] = -1;
    two.ends[1] = 0;
    two.steps[1] = -1;
    CHECK_OP(OP_SLICE, &two, S(3, 3, 4, 5));
}

static void pads_of_every_mode(void **state)
{
    (void)state;
    for (int mode = 0; mode < 4; mode++) {
        struct attributes last = range(OP_PAD, -1, 2, 3, 1), first = range(OP_PAD, 1, 1, 2, 1);
        struct attributes crop = range(OP_PAD, 1, -1, 2, 1), far = range(OP_PAD, 2, 9, 12, 1);
        struct attributes *all[] = {&last, &first, &crop, &far};
        for (size_t i = 0; i < 4; i++) {
            all[i]->pad_mode = (enum pad_mode)mode;
            all[i]->fill = 0.75f;
            CHECK_OP(OP_PAD, all[i], S(3, -1, 3, 4));
            CHECK_OP(OP_PAD, all[i], S(4, -1, 3, 4, 2));
        }
        far.axes[0] = 1;
        CHECK_OP(OP_PAD, &far, S(2, -1, 1));
    }
    struct attributes reflect = range(OP_PAD, 0, 2, 3, 1);
    reflect.pad_mode = PAD_REFLECT;
    struct bench *bench = BENCH(OP_PAD, &reflect, S(1, 4));
    bench_set(bench, 0, VALUES(0, 1, 2, 3));
    bench_forward(bench);
    expect_values(bench->y, VALUES(2, 1, 0, 1, 2, 3, 2, 1, 0), 9);
    bench_close(bench);
}

static void gathering_scatters_back(void **state)
{
    (void)state;
    struct attributes first = net_attributes(OP_GATHER), second = first, last = first;
    first.axis = 0;
    second.axis = 1;
    last.axis = -1;
    CHECK_OP(OP_GATHER, &first, S(2, 6, 4), S(2, -1, 5));
    CHECK_OP(OP_GATHER, &first, S(1, 6), S(1, 4));
    CHECK_OP(OP_GATHER, &second, S(3, -1, 4, 5), S(0));
    CHECK_OP(OP_GATHER, &second, S(3, -1, 4, 5), S(2, 2, 3));
    CHECK_OP(OP_GATHER, &last, S(3, -1, 4, 5), S(1, 7));
    CHECK_OP(OP_GATHER_ELEMENTS, &second, S(3, -1, 4, 5), S(3, -1, 7, 5));
    CHECK_OP(OP_GATHER_ELEMENTS, &second, S(3, -1, 4, 5), S(3, -1, 2, 3));
    CHECK_OP(OP_GATHER_ELEMENTS, &last, S(3, -1, 4, 5), S(3, -1, 3, 9));
    CHECK_OP(OP_GATHER_ELEMENTS, &first, S(2, 4, 5), S(2, 6, 2));
}

static void an_index_outside_is_a_fault_of_the_run(void **state)
{
    (void)state;
    const float bad[] = {3, -4, 0.5f, NAN, INFINITY, 1e30f};
    struct attributes a = net_attributes(OP_GATHER);
    a.axis = 0;
    for (size_t i = 0; i < 12; i++) {
        struct bench *bench = BENCH(i < 6 ? OP_GATHER : OP_GATHER_ELEMENTS, &a, S(1, 3), S(1, 2));
        struct error err;
        bench_set(bench, 1, VALUES(2, -3));
        bench_forward(bench);
        assert_int_equal(sites_check(&bench->sites, &err), OK);
        bench_set(bench, 1, (const float[]){bad[i % 6], 9});
        bench_forward(bench);
        assert_int_equal(sites_check(&bench->sites, &err), ERR_INPUT);
        assert_non_null(strstr(err.text, "node node: index"));
        assert_true(bench->y[0] == bench->x[0][0]);
        assert_int_equal(sites_check(&bench->sites, &err), OK); /* said once */
        bench_close(bench);
    }
}

/* ---- resize ---- */

static struct attributes resize(enum resize_mode mode, enum resize_origin origin, float h, float w)
{
    struct attributes a = net_attributes(OP_RESIZE);
    a.resize_mode = mode;
    a.resize_origin = origin;
    a.alpha = -0.75f;
    a.scales_count = 4;
    a.scales[0] = a.scales[1] = 1;
    a.scales[2] = h;
    a.scales[3] = w;
    return a;
}

static void resizing_weighs_neighbours(void **state)
{
    (void)state;
    const float scales[][2] = {{2, 2}, {1, 3}, {0.5f, 1.5f}, {2.6f, 0.4f}, {1, 1}};
    for (int mode = RESIZE_LINEAR; mode <= RESIZE_CUBIC; mode++)
        for (int origin = 0; origin < 4; origin++)
            for (size_t i = 0; i < 10; i++) {
                struct attributes a = resize((enum resize_mode)mode, (enum resize_origin)origin,
                                             scales[i % 5][0], scales[i % 5][1]);
                a.exclude_outside = i >= 5;
                CHECK_OP(OP_RESIZE, &a, S(4, -1, 2, 4, 5));
            }
    struct attributes size = TARGET(OP_RESIZE, 0, 3, 7, 2);
    size.resize_mode = RESIZE_LINEAR;
    CHECK_OP(OP_RESIZE, &size, S(4, -1, 2, 4, 5)); /* channels too */
}

/* Elements of [0, 1, … n-1] after resizing to `out`. */
static void expect_nearest(enum resize_origin origin, enum resize_round round, int n, int out,
                           const float *expected)
{
    struct attributes a = TARGET(OP_RESIZE, out);
    a.resize_origin = origin;
    a.resize_round = round;
    struct bench *bench = BENCH(OP_RESIZE, &a, S(1, n));
    for (size_t i = 0; i < bench->elements[0]; i++)
        bench->x[0][i] = (float)i;
    bench_forward(bench);
    expect_values(bench->y, expected, bench->outputs);
    bench_backward(bench);
    for (size_t i = 0; i < bench->elements[0]; i++) {
        float sum = 0;
        for (size_t k = 0; k < bench->outputs; k++)
            sum += expected[k] == (float)i ? bench->dy[k] : 0;
        assert_true(fabsf(sum - bench->dx[0][i]) < 1e-6f);
    }
    bench_close(bench);
}

static void nearest_rounds_as_told(void **state)
{
    (void)state;
    expect_nearest(ORIGIN_HALF_PIXEL, ROUND_PREFER_FLOOR, 2, 4, VALUES(0, 0, 1, 1));
    expect_nearest(ORIGIN_ASYMMETRIC, ROUND_FLOOR, 3, 6, VALUES(0, 0, 1, 1, 2, 2));
    expect_nearest(ORIGIN_ASYMMETRIC, ROUND_CEIL, 3, 6, VALUES(0, 1, 1, 2, 2, 2));
    expect_nearest(ORIGIN_ASYMMETRIC, ROUND_PREFER_FLOOR, 3, 6, VALUES(0, 0, 1, 1, 2, 2));
    expect_nearest(ORIGIN_ASYMMETRIC, ROUND_PREFER_CEIL, 3, 6, VALUES(0, 1, 1, 2, 2, 2));
    expect_nearest(ORIGIN_ALIGN_CORNERS, ROUND_FLOOR, 4, 7, VALUES(0, 0, 1, 1, 2, 2, 3));
    expect_nearest(ORIGIN_PYTORCH_HALF_PIXEL, ROUND_PREFER_FLOOR, 5, 1, VALUES(0));
    expect_nearest(ORIGIN_HALF_PIXEL, ROUND_PREFER_FLOOR, 5, 1, VALUES(2));
    expect_nearest(ORIGIN_ASYMMETRIC, ROUND_FLOOR, 6, 3, VALUES(0, 2, 4));
    expect_nearest(ORIGIN_ASYMMETRIC, ROUND_FLOOR, 5, 5, VALUES(0, 1, 2, 3, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moving_data_moves_gradients_back),
        cmocka_unit_test(repeating_adds_gradients_up),
        cmocka_unit_test(slices_give_gradients_to_what_they_took),
        cmocka_unit_test(pads_of_every_mode),
        cmocka_unit_test(gathering_scatters_back),
        cmocka_unit_test(an_index_outside_is_a_fault_of_the_run),
        cmocka_unit_test(resizing_weighs_neighbours),
        cmocka_unit_test(nearest_rounds_as_told),
    };
    return cmocka_run_group_tests_name("operators that move elements", tests, NULL, NULL);
}
