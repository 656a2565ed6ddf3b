/* One event a line on a stream: time level role event key=value… Fixed event words; never keys or
 * data. error: someone must act; warn: healed itself; info: state changed; debug: per message.
 * Thread safe. */
#ifndef GRAFT_COMMON_BASE_LOG_H
#define GRAFT_COMMON_BASE_LOG_H

#include "common/base/error.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Opens (appends to) `path`, or standard error when NULL. `role` (copied, ≤ 31 characters) begins
 * each line. Call once, before threads start. Errors: ERR_IO. */
enum status log_open(const char *path, const char *role, enum log_level most,
                     struct error *err) MUST_CHECK;
void log_close(void);

/* log_event(LOG_INFO, "shard_moved", "shard=%u to=%s", …). Lines longer than 1 KiB are cut. */
void log_event(enum log_level level, const char *event, const char *format, ...) PRINTF_LIKE(3, 4);

#endif
