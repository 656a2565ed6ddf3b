/* The final table: aligned for any script, safe for any name. */
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

#include "coordinator/watch/score_table.h"

static double recalls[] = {0.5, 1, NAN};
static uint64_t confusion[] = {1, 1, 0, 0, 2, 0, 0, 0, 0}, support[] = {2, 2, 0};
static const struct score before = {.classes = 3,
                                    .samples = 4,
                                    .accuracy = 0.5,
                                    .macro_f1 = 0.4,
                                    .per_class = recalls,
                                    .support = support,
                                    .confusion = confusion},
                          after = {.classes = 3,
                                   .samples = 4,
                                   .accuracy = 0.75,
                                   .macro_f1 = 0.7333,
                                   .per_class = recalls,
                                   .support = support,
                                   .confusion = confusion};

/* The table as text; the caller frees it. */
static char *table_of(const char *const *classes, size_t unreadable)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    const struct score_table table = {"handwritten", classes, 3, &before, &after, unreadable};
    assert_non_null(to);
    score_table_print(to, &table);
    fclose(to);
    return text;
}

static void widths_are_those_of_terminals(void **state)
{
    (void)state;
    assert_int_equal(score_table_width(""), 0);
    assert_int_equal(score_table_width("abc"), 3);
    assert_int_equal(score_table_width("für"), 3);
    assert_int_equal(score_table_width("数字"), 4);
    assert_int_equal(score_table_width("e\xcc\x81"), 1); /* e and a combining accent */
    assert_int_equal(score_table_width("\xf0\x9f\x98\x80"), 2);
    assert_int_equal(score_table_width("a\xff\xc3"), 3);    /* stray bytes */
    assert_int_equal(score_table_width("\xc0\xaf"), 2);     /* overlong: two stray bytes */
    assert_int_equal(score_table_width("\xed\xa0\x80"), 3); /* a surrogate */
}

static void all_lines_of_the_table_are_equally_wide(void **state)
{
    static const char *const classes[] = {"null", "数字", "größer als alle anderen"};
    char *text = table_of(classes, 0), *rest = NULL;
    size_t width = 0, lines = 0;
    (void)state;
    strtok_r(text, "\n", &rest); /* the heading */
    for (char *line; (line = strtok_r(NULL, "\n", &rest)) != NULL; lines++) {
        if (width == 0)
            width = score_table_width(line);
        assert_int_equal(score_table_width(line), width);
    }
    assert_int_equal(lines, 6);
    free(text);
}

static void shares_are_percent_and_a_missing_class_is_a_dash(void **state)
{
    static const char *const classes[] = {"a", "b", "c"};
    char *text = table_of(classes, 2);
    (void)state;
    assert_non_null(strstr(text, "50.0 %"));
    assert_non_null(strstr(text, "+25.0 %"));
    assert_non_null(strstr(text, " -\n"));
    assert_null(strstr(text, "nan"));
    assert_non_null(strstr(text, "2 unreadable samples were"));
    free(text);
}

static char *table_with(const struct score *first, const struct score *second)
{
    static const char *const classes[] = {"a", "b", "c"};
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    const struct score_table table = {"t", classes, 3, first, second, 0};
    assert_non_null(to);
    score_table_print(to, &table);
    fclose(to);
    return text;
}

static void each_task_has_its_own_rows(void **state)
{
    double errors[] = {12.5, 3, NAN};
    (void)state;
    struct score labels = before, values = before;
    labels.task = DATA_MULTILABEL;
    labels.auc = 0.625;
    values.task = DATA_REGRESSION;
    values.per_class = errors;
    values.mae = 7.75;
    values.rmse = 1234.5;
    values.r2 = -0.25;
    char *text = table_with(&labels, &labels);
    assert_non_null(strstr(text, "label (F1)"));
    assert_non_null(strstr(text, "all (AUC)              4        62.5 %"));
    free(text);
    text = table_with(&values, &values);
    assert_non_null(strstr(text, "value (MAE)"));
    assert_non_null(strstr(text, " 12.5 "));
    assert_non_null(
        strstr(text, "all (MAE)              4          7.75          7.75            +0"));
    assert_non_null(strstr(text, "1234.5"));
    assert_non_null(strstr(text, "all (R²)               4         -0.25"));
    assert_null(strchr(text, '%'));
    free(text);
}

static void a_name_cannot_move_the_cursor(void **state)
{
    static const char *const classes[] = {"\033[2J", "\xc2\x9b", "\xff\r\n"};
    char *text = table_of(classes, 0);
    (void)state;
    assert_null(strchr(text, '\033'));
    assert_null(strchr(text, '\r'));
    assert_null(strstr(text, "\xc2\x9b"));
    assert_non_null(strstr(text, "?[2J"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widths_are_those_of_terminals),
        cmocka_unit_test(all_lines_of_the_table_are_equally_wide),
        cmocka_unit_test(shares_are_percent_and_a_missing_class_is_a_dash),
        cmocka_unit_test(each_task_has_its_own_rows),
        cmocka_unit_test(a_name_cannot_move_the_cursor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
