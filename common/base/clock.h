/* Monotonic time in milliseconds (for deadlines) and seconds (for rates). Cores never call this:
 * time reaches them with their events. */
#ifndef GRAFT_COMMON_BASE_CLOCK_H
#define GRAFT_COMMON_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_ms(void);
double clock_seconds(void);

#endif
