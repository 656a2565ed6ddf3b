#include "coordinator/journal/run_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/base/file.h"

#define PID_BYTES 32

static enum status refuse(int fd, const char *run_directory, int reason, struct error *err)
{
    char text[PID_BYTES] = "";
    if (reason != EWOULDBLOCK)
        return error_set(err, ERR_IO, "%s/run.lock: %s", run_directory, strerror(reason));
    if (pread(fd, text, sizeof text - 1, 0) < 0)
        text[0] = '\0';
    return error_set(
        err, ERR_STATE,
        "%s is in use by process %ld; stop that run, or give this one another run.name",
        run_directory, strtol(text, NULL, 10));
}

static enum status write_pid(int fd, const char *run_directory, struct error *err)
{
    char text[PID_BYTES];
    int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)length, 0) != length)
        return error_set(err, ERR_IO, "%s/run.lock: %s", run_directory, strerror(errno));
    return OK;
}

enum status run_lock_take(const char *run_directory, int *fd, struct error *err)
{
    char path[PATH_BYTES];
    enum status status = file_path(path, err, "%s/run.lock", run_directory);
    if (status != OK)
        return status;
    int opened = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (opened < 0)
        return error_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    status = flock(opened, LOCK_EX | LOCK_NB) != 0 ? refuse(opened, run_directory, errno, err)
                                                   : write_pid(opened, run_directory, err);
    if (status != OK)
        close(opened);
    else
        *fd = opened;
    return status;
}

void run_lock_release(int fd)
{
    if (fd >= 0)
        close(fd);
}
