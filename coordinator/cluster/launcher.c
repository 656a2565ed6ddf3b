#include "coordinator/cluster/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"

#define POLL_MS 20
#define TERM_MS 2000

void launcher_find(const char *program, char *out, size_t bytes)
{
    char self[PATH_BYTES];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(self, '/');
    snprintf(out, bytes, "%s", program);
    if (slash == NULL)
        return;
    *slash = '\0';
    char beside[PATH_BYTES];
    if (snprintf(beside, sizeof beside, "%.*s/%s", PATH_BYTES - 64, self, program) < (int)bytes &&
        access(beside, X_OK) == 0)
        snprintf(out, bytes, "%s", beside);
}

/* In the child. Only returns when it fails. */
static void become(const char *path, const char *program, const struct launcher_words *words,
                   const char *log, unsigned threads, pid_t parent)
{
    char number[16];
    snprintf(number, sizeof number, "%u", threads);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1); /* the coordinator died before the line above */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setenv("OMP_NUM_THREADS", number, 1);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644), nothing = open("/dev/null", O_RDONLY);
    if (fd >= 0) {
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
    }
    if (nothing >= 0)
        dup2(nothing, STDIN_FILENO);
    execlp(path, program, "--coordinator", words->coordinator, "--bind", words->bind,
           words->keys[0] != '\0' ? "--keys" : (char *)NULL, words->keys, (char *)NULL);
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    _exit(127);
}

enum status launcher_start(struct launcher *launcher, const char *program,
                           const struct launcher_words *words, unsigned threads, struct error *err)
{
    char path[PATH_BYTES], log[PATH_BYTES];
    if (launcher->count == LAUNCHER_CHILDREN_MAX)
        return error_set(err, ERR_INPUT, "more than %d local processes", LAUNCHER_CHILDREN_MAX);
    enum status status =
        file_path(log, err, "%s/%s-%zu.log", words->log_directory, program, launcher->count + 1);
    if (status != OK)
        return status;
    launcher_find(program, path, sizeof path);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return error_set(err, ERR_IO, "%s cannot be started: %s", program, strerror(errno));
    if (pid == 0)
        become(path, program, words, log, threads, parent);
    launcher->pids[launcher->count++] = pid;
    return OK;
}

pid_t launcher_ended(struct launcher *launcher, bool *failed)
{
    for (size_t i = 0; i < launcher->count; i++) {
        int how;
        pid_t pid = launcher->pids[i];
        if (pid == 0 || waitpid(pid, &how, WNOHANG) != pid)
            continue;
        launcher->pids[i] = 0;
        *failed = !(WIFEXITED(how) && WEXITSTATUS(how) == 0);
        return pid;
    }
    return 0;
}

static bool any_left(struct launcher *launcher)
{
    bool failed;
    while (launcher_ended(launcher, &failed) != 0)
        ;
    for (size_t i = 0; i < launcher->count; i++)
        if (launcher->pids[i] != 0)
            return true;
    return false;
}

static bool wait_all(struct launcher *launcher, int64_t limit_ms)
{
    int64_t deadline = clock_ms() + limit_ms;
    const struct timespec pause = {0, POLL_MS * 1000000L};
    while (any_left(launcher)) {
        if (clock_ms() >= deadline)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

static void signal_all(const struct launcher *launcher, int number)
{
    for (size_t i = 0; i < launcher->count; i++)
        if (launcher->pids[i] != 0)
            kill(launcher->pids[i], number);
}

void launcher_stop(struct launcher *launcher, int64_t grace_ms)
{
    if (wait_all(launcher, grace_ms))
        return;
    signal_all(launcher, SIGTERM);
    if (wait_all(launcher, TERM_MS))
        return;
    signal_all(launcher, SIGKILL);
    wait_all(launcher, TERM_MS);
}
