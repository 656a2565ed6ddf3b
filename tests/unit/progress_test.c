/* Progress lines: over one another on a terminal, seldom and plain elsewhere. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/watch/progress.h"

static FILE *to;
static char *text;
static size_t bytes;

static int open_stream(void **state)
{
    (void)state;
    text = NULL;
    to = open_memstream(&text, &bytes);
    return to == NULL;
}

static int close_stream(void **state)
{
    (void)state;
    fclose(to);
    free(text);
    return 0;
}

static struct progress_state training(uint64_t done)
{
    return (struct progress_state){.stage = "adapt",
                                   .what = "train",
                                   .done = done,
                                   .total = 1000,
                                   .epoch = 3,
                                   .epochs = 5,
                                   .loss = 0.25};
}

static const char *shown(void)
{
    fflush(to);
    return text;
}

static size_t lines(void)
{
    size_t count = 0;
    for (const char *at = shown(); (at = strchr(at, '\n')) != NULL; at++)
        count++;
    return count;
}

static void a_terminal_shows_bar_rate_and_time_left(void **state)
{
    struct progress progress;
    (void)state;
    progress_init(&progress, true);
    for (int i = 0; i <= 5; i++) {
        struct progress_state now = training(100 * (uint64_t)i);
        progress_show(&progress, to, 100.0 + i, &now);
    }
    assert_int_equal(lines(), 0);
    const char *last = strrchr(shown(), '\r');
    assert_non_null(last);
    /* 100 samples a second, 500 left */
    assert_string_equal(last, "\radapt: train 3/5 [##########----------]  50 %, 100 samples/s, "
                              "0:05 left, loss 0.25\033[K");
    progress_clear(&progress, to);
    assert_non_null(strstr(shown(), "\r\033[K"));
}

static void a_terminal_is_not_drawn_faster_than_it_is_read(void **state)
{
    struct progress progress;
    struct progress_state now = training(1);
    (void)state;
    progress_init(&progress, true);
    progress_show(&progress, to, 5.0, &now);
    size_t before = strlen(shown());
    progress_show(&progress, to, 5.1, &now);
    assert_int_equal(strlen(shown()), before);
}

static void elsewhere_lines_are_plain_and_seldom(void **state)
{
    struct progress progress;
    (void)state;
    progress_init(&progress, false);
    for (int i = 0; i < 200; i++) { /* 20 seconds */
        struct progress_state now = training((uint64_t)i);
        progress_show(&progress, to, i / 10.0, &now);
    }
    assert_int_equal(lines(), 2);
    struct progress_state next = training(0);
    next.what = "evaluate";
    progress_show(&progress, to, 20.0, &next); /* a new phase at once */
    assert_int_equal(lines(), 3);
    assert_null(strpbrk(shown(), "\r\033"));
    progress_clear(&progress, to);
    assert_int_equal(lines(), 3);
}

static void an_unknown_total_and_loss_are_left_out(void **state)
{
    struct progress progress;
    struct progress_state now = {.stage = "source", .what = "prepare", .done = 5, .loss = NAN};
    (void)state;
    progress_init(&progress, false);
    progress_show(&progress, to, 1.0, &now);
    assert_string_equal(shown(), "source: prepare\n");
}

static void a_count_that_starts_again_is_not_a_negative_rate(void **state)
{
    struct progress progress;
    struct progress_state now = training(900);
    (void)state;
    progress_init(&progress, true);
    progress_show(&progress, to, 1.0, &now);
    now.done = 0;
    progress_show(&progress, to, 2.0, &now);
    now.done = 10;
    progress_show(&progress, to, 3.0, &now);
    assert_non_null(strstr(shown(), "10 samples/s"));
    assert_null(strstr(shown(), "-"
                                "10"));
}

int main(void)
{
#define RULE(name) cmocka_unit_test_setup_teardown(name, open_stream, close_stream)
    const struct CMUnitTest tests[] = {
        RULE(a_terminal_shows_bar_rate_and_time_left),
        RULE(a_terminal_is_not_drawn_faster_than_it_is_read),
        RULE(elsewhere_lines_are_plain_and_seldom),
        RULE(an_unknown_total_and_loss_are_left_out),
        RULE(a_count_that_starts_again_is_not_a_negative_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
