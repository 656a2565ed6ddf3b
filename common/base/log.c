#include "common/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static FILE *stream;
static char role_name[32] = "graft";
static enum log_level level_most = LOG_INFO;

enum status log_open(const char *path, const char *role, enum log_level most, struct error *err)
{
    FILE *opened = NULL;
    if (path != NULL && (opened = fopen(path, "ae")) == NULL)
        return error_set(err, ERR_IO, "log file %s: %s", path, strerror(errno));
    log_close();
    stream = opened;
    snprintf(role_name, sizeof role_name, "%s", role);
    level_most = most;
    return OK;
}

void log_close(void)
{
    if (stream != NULL)
        fclose(stream);
    stream = NULL;
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    if (level > level_most)
        return;
    char line[1024];
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
    used += (size_t)snprintf(line + used, sizeof line - used, ".%03ldZ %s %s %s ",
                             now.tv_nsec / 1000000, names[level], role_name, event);
    va_list args;
    va_start(args, format);
    vsnprintf(line + used, sizeof line - used, format, args);
    va_end(args);
    /* One call for the whole line: stdio's own lock keeps lines of several threads apart. */
    FILE *to = stream != NULL ? stream : stderr;
    fprintf(to, "%s\n", line);
    fflush(to);
}
