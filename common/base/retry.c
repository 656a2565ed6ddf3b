#include "common/base/retry.h"

void retry_begin(struct retry *retry, int64_t now_ms, int64_t first_ms)
{
    *retry = (struct retry){now_ms, first_ms};
}

bool retry_is_due(struct retry *retry, int64_t now_ms, int64_t first_ms, int64_t last_ms)
{
    if (now_ms - retry->since_ms < retry->wait_ms)
        return false;
    int64_t next = retry->wait_ms == 0 ? first_ms : 2 * retry->wait_ms;
    *retry = (struct retry){now_ms, next < last_ms ? next : last_ms};
    return true;
}
