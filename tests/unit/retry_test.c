/* Waits that double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/retry.h"

static void waits_double_up_to_the_last(void **state)
{
    const int64_t waits[] = {10, 20, 40, 50, 50};
    struct retry retry;
    int64_t now_ms = 1000;
    (void)state;
    retry_begin(&retry, now_ms, 10);
    for (size_t i = 0; i < 5; i++) {
        assert_false(retry_is_due(&retry, now_ms + waits[i] - 1, 10, 50));
        now_ms += waits[i];
        assert_true(retry_is_due(&retry, now_ms, 10, 50));
    }
    retry_begin(&retry, now_ms, 10); /* something has come */
    assert_true(retry_is_due(&retry, now_ms + 10, 10, 50));
}

static void no_wait_at_first_is_followed_by_the_first(void **state)
{
    struct retry retry = {.since_ms = 5};
    (void)state;
    assert_true(retry_is_due(&retry, 5, 10, 50));
    assert_false(retry_is_due(&retry, 14, 10, 50));
    assert_true(retry_is_due(&retry, 15, 10, 50));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_double_up_to_the_last),
        cmocka_unit_test(no_wait_at_first_is_followed_by_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
