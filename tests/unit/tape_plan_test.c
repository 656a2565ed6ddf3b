/* The head's memory: whatever is dropped and computed again, the bits are the same; below the lowest live
 * parameter nothing is computed and nothing kept. Counts and bytes, no times. */
#include "tests/unit/head_bench.h"
#include "tests/unit/transformer_net.h"

#define SIDE 8
#define CHANNELS 4
#define BLOCKS 4
#define LONG 27                                              /* blocks, 81 operators */
#define MAP (BATCH * CHANNELS * SIDE * SIDE * sizeof(float)) /* one value between two layers */

/* `blocks` times convolution (with bias), batch norm, Relu: "b0.w", "b0.b", "b0.g", "b0.s" … */
static struct model *chain_of(int blocks)
{
    struct net net = net_create(net_shape(4, -1, CHANNELS, SIDE, SIDE));
    struct attributes a = net_attributes(OP_CONV);
    uint32_t at = net.graph->input;
    char name[8][24];
    a.groups = 1;
    for (size_t i = 0; i < 2; i++) {
        a.kernel[i] = 3;
        a.pads[i] = a.pads[i + 2] = 1;
    }
    for (int i = 0; i < blocks; i++) {
        for (int k = 0; k < 8; k++)
            snprintf(name[k], sizeof name[k], "b%d.%c", i, "wbgsmvcn"[k]);
        const struct shape vector = net_shape(1, CHANNELS);
        at = net_node(&net, OP_CONV, name[6], &a, 3, at,
                      net_constant(&net, name[0], net_shape(4, CHANNELS, CHANNELS, 3, 3), 0, 0.2),
                      net_constant(&net, name[1], vector, 0, 0.1));
        at = net_node(&net, OP_BATCH_NORM, name[7], NULL, 5, at,
                      net_constant(&net, name[2], vector, 1, 0.2),
                      net_constant(&net, name[3], vector, 0, 0.2),
                      net_constant(&net, name[4], vector, 0, 0.2),
                      net_constant(&net, name[5], vector, 2, 0.1));
        snprintf(name[0], sizeof name[0], "b%d", i);
        at = net_node(&net, OP_RELU, name[0], NULL, 1, at);
    }
    return net_model(&net, at, CLASSES);
}

static struct model *chain(void)
{
    return chain_of(BLOCKS);
}

/* ---- counts ---- */

struct counts {
    struct head_work work;
    struct head_bytes bytes;
    size_t live; /* tensors */
};

/* One forward and one backward with what `pattern` names live. */
static struct counts count(const char *pattern)
{
    struct bench b = bench_on(chain(), pattern, BATCH);
    assert_int_equal(head_forward(b.head, b.tape, b.features, BATCH, NULL), OK);
    head_backward(b.head, b.tape, NULL, dlogits, b.gradient);
    struct counts counts = {head_work(b.head), head_bytes(b.head), b.plan->tensor_count};
    bench_close(&b);
    return counts;
}

/* Pool and Gemm; their gradients: the new weight, its bias, and toward the pretrained part two. */
#define ENDS 2
#define END_LIVE 2
#define END_GRADIENTS 4

/* What the end keeps over the turn: the pooled features and the logits. */
#define END_BYTES (2 * (size_t)MEMORY_ALIGN)

static void with_the_last_block_live_only_its_operators_run(void **state)
{
    (void)state;
    struct counts c = count("b3.*");
    assert_int_equal(c.live, END_LIVE + 4);
    assert_int_equal(c.work.forwards, 3 + ENDS);
    assert_int_equal(c.work.backwards, 3 + ENDS);
    /* Relu 1, batch norm 3 (x, scale, shift), convolution 2: none toward its input. */
    assert_int_equal(c.work.gradients, END_GRADIENTS + 1 + 3 + 2);
    /* Read in backward: the convolution's input, the norm's input, Relu's output. */
    assert_int_equal(c.bytes.tape, 3 * MAP + END_BYTES);
}

static void each_live_block_more_costs_its_own_operators_and_bytes(void **state)
{
    (void)state;
    struct counts one = count("b3.*"), two = count("b[23].*"), all = count("*");
    assert_int_equal(two.work.forwards, one.work.forwards + 3);
    assert_int_equal(two.work.backwards, one.work.backwards + 3);
    assert_int_equal(two.work.gradients, one.work.gradients + 1 + 3 + 3);
    assert_int_equal(two.bytes.tape,
                     one.bytes.tape + 2 * MAP); /* Relu's output is the next one's input */
    assert_int_equal(all.work.gradients, one.work.gradients + (BLOCKS - 1) * (1 + 3 + 3));
    assert_int_equal(all.bytes.tape, one.bytes.tape + (BLOCKS - 1) * 2 * MAP);
}

static void gradients_end_at_a_live_norm_in_the_middle(void **state)
{
    (void)state;
    struct counts c = count("b2.g");
    assert_int_equal(c.live, END_LIVE + 1);
    assert_int_equal(c.work.forwards, 2 + 3 + ENDS); /* norm, Relu; a block; the end */
    assert_int_equal(c.work.backwards, 2 + 3 + ENDS);
    /* Toward data only above the norm, toward its scale alone in it. */
    assert_int_equal(c.work.gradients, END_GRADIENTS + 3 + 1 + 1);
    /* The norm's input and both Relus' outputs: frozen convolutions and norms read no data in backward. */
    assert_int_equal(c.bytes.tape, 3 * MAP + END_BYTES);
}

static void gradients_end_at_the_lowest_live_bias(void **state)
{
    (void)state;
    struct counts c = count("b[123].b"); /* BitFit */
    assert_int_equal(c.live, END_LIVE + 3);
    assert_int_equal(c.work.forwards, 3 * 3 + ENDS);
    assert_int_equal(c.work.backwards, 3 * 3 + ENDS);
    /* Each block: Relu, norm, bias; toward data in all convolutions but the lowest. */
    assert_int_equal(c.work.gradients, END_GRADIENTS + 3 * 3 + 2);
    assert_int_equal(c.bytes.tape, 3 * MAP + END_BYTES); /* Relus' outputs */
}

static void a_frozen_network_has_no_gradients_but_the_new_head_s(void **state)
{
    (void)state;
    struct counts c = count(NULL);
    assert_int_equal(c.live, END_LIVE);
    assert_int_equal(c.work.forwards, 1);
    assert_int_equal(c.work.backwards, 1);
    assert_int_equal(c.work.gradients, 2);
    assert_int_equal(c.bytes.tape, END_BYTES);
}

/* ---- the same bits ---- */

struct result {
    float *gradient, *logits;
    size_t live, logit_count;
    struct head_bytes bytes;
    size_t bytes_max;
};

/* Two micro-batches, the second one not full; in an overlap both go forward before one goes back. */
static struct result train(struct model *model, const char *pattern, struct head_room room)
{
    struct bench b = bench_on(model, pattern, BATCH);
    struct head *head = NULL;
    struct tape *tapes[2] = {NULL, NULL};
    struct error err;
    const size_t counts[] = {BATCH, BATCH - 1};
    float *dhidden = make_dhidden(&b, BATCH);
    assert_int_equal(head_create(b.plan, BATCH, &room, &head, &err), OK);
    head_set_weights(head, b.live);
    struct result r = {.live = b.plan->live_elements,
                       .logit_count = 2 * BATCH * CLASSES,
                       .bytes = head_bytes(head),
                       .gradient = calloc(b.plan->live_elements, sizeof(float)),
                       .logits = calloc(2 * BATCH * CLASSES, sizeof(float))};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(tape_create(head, &tapes[i], &err), OK);
        assert_int_equal(head_forward(head, tapes[i], b.features, counts[i], &err), OK);
        memcpy(r.logits + i * BATCH * CLASSES, tape_logits(tapes[i]),
               counts[i] * CLASSES * sizeof(float));
        if (!room.overlap)
            head_backward(head, tapes[i], dhidden, dlogits, r.gradient);
    }
    for (size_t i = 0; i < 2 && room.overlap; i++)
        head_backward(head, tapes[i], dhidden, dlogits, r.gradient);
    for (size_t i = 0; i < 2; i++)
        tape_destroy(&tapes[i]);
    r.bytes_max = r.bytes.work + room.tapes * r.bytes.tape;
    head_destroy(&head);
    free(dhidden);
    bench_close(&b);
    return r;
}

static void forget(struct result *r)
{
    free(r->gradient);
    free(r->logits);
}

static void expect_same(const struct result *got, const struct result *expected)
{
    assert_int_equal(got->live, expected->live);
    assert_memory_equal(got->logits, expected->logits, expected->logit_count * sizeof(float));
    assert_memory_equal(got->gradient, expected->gradient, expected->live * sizeof(float));
}

/* From the room that all values take down to the least possible, in steps. */
static void shrink(struct model *(*make)(void), const char *pattern, bool overlap)
{
    struct head_room room = {overlap, 2, SIZE_MAX};
    struct result plain = train(make(), pattern, room);
    assert_int_equal(plain.bytes.forwards, plain.bytes.operators);
    room.bytes_max = 0;
    struct result least = train(make(), pattern, room);
    expect_same(&least, &plain);
    assert_true(least.bytes_max <= plain.bytes_max);
    for (size_t i = 1; i < 8; i++) {
        room.bytes_max = least.bytes_max + (plain.bytes_max - least.bytes_max) * i / 8;
        struct result middle = train(make(), pattern, room);
        assert_true(middle.bytes_max <= room.bytes_max);
        assert_true(middle.bytes.forwards >= plain.bytes.forwards);
        expect_same(&middle, &plain);
        forget(&middle);
    }
    forget(&least);
    forget(&plain);
}

static struct model *transformer(void)
{
    return transformer_model(CLASSES);
}

static void a_limit_changes_no_bit(void **state)
{
    (void)state;
    const char *const patterns[] = {"*", "b[13].*", "b1.g", "b*.b", "b2.w", NULL};
    for (int overlap = 0; overlap < 2; overlap++)
        for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
            shrink(chain, patterns[i], overlap == 1);
}

static void a_limit_changes_no_bit_of_a_transformer(void **state)
{
    (void)state;
    const char *const patterns[] = {"*", "class", "norm2.*", "[qk].w", NULL};
    for (int overlap = 0; overlap < 2; overlap++)
        for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
            shrink(transformer, patterns[i], overlap == 1);
}

/* One after the other and overlapping give the same sums, and one after the other takes less. */
static void micro_batches_one_by_one_take_less(void **state)
{
    (void)state;
    struct result apart = train(chain(), "*", (struct head_room){true, 2, SIZE_MAX});
    struct result one = train(chain(), "*", (struct head_room){false, 1, SIZE_MAX});
    expect_same(&one, &apart);
    assert_int_equal(one.bytes.tape, 0);
    assert_true(one.bytes.work < apart.bytes.work + apart.bytes.tape);
    forget(&apart);
    forget(&one);
}

/* Of n kept values about 2·√n stay, beside the scratch memory of one convolution (14 maps: four channels
 * are filled up to sixteen); the price is less than one forward. */
static void checkpoints_save_memory_at_the_price_of_a_forward(void **state)
{
    (void)state;
    struct result plain = train(chain_of(LONG), "*", (struct head_room){false, 1, SIZE_MAX});
    struct result least = train(chain_of(LONG), "*", (struct head_room){false, 1, 0});
    assert_true(least.bytes.work < plain.bytes.work / 2);
    assert_true(least.bytes.forwards > plain.bytes.forwards);
    assert_true(least.bytes.forwards <= 2 * plain.bytes.forwards);
    forget(&plain);
    forget(&least);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_the_last_block_live_only_its_operators_run),
        cmocka_unit_test(each_live_block_more_costs_its_own_operators_and_bytes),
        cmocka_unit_test(gradients_end_at_a_live_norm_in_the_middle),
        cmocka_unit_test(gradients_end_at_the_lowest_live_bias),
        cmocka_unit_test(a_frozen_network_has_no_gradients_but_the_new_head_s),
        cmocka_unit_test(a_limit_changes_no_bit),
        cmocka_unit_test(a_limit_changes_no_bit_of_a_transformer),
        cmocka_unit_test(micro_batches_one_by_one_take_less),
        cmocka_unit_test(checkpoints_save_memory_at_the_price_of_a_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
