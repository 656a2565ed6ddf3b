/* How long to wait before asking again: a first wait, doubled at each time up to a last one, begun
 * anew whenever something comes. No clock inside. */
#ifndef GRAFT_COMMON_BASE_RETRY_H
#define GRAFT_COMMON_BASE_RETRY_H

#include <stdbool.h>
#include <stdint.h>

struct retry {
    int64_t since_ms, wait_ms;
};

/* The wait begins, with its first length. */
void retry_begin(struct retry *retry, int64_t now_ms, int64_t first_ms);

/* Is the wait over? Then the next and longer one has begun; one of 0 becomes first_ms. */
bool retry_is_due(struct retry *retry, int64_t now_ms, int64_t first_ms, int64_t last_ms);

#endif
