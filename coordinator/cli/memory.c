/* For `graft inspect --memory` and `graft check`. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/file.h"
#include "coordinator/cli/cli.h"
#include "coordinator/cluster/launcher.h"

static void become(const char *program, const struct cli_job_options *options)
{
    char path[PATH_BYTES], mode[] = "--memory";
    char *arguments[CLI_OVERRIDES_MAX + 4] = {path, mode};
    launcher_find(program, path, sizeof path);
    arguments[2] = (char *)(uintptr_t)options->config;
    for (size_t i = 0; i < options->override_count; i++)
        arguments[3 + i] = (char *)(uintptr_t)options->overrides[i];
    execvp(path, arguments);
    fprintf(stderr, "graft: %s: %s\n", path, strerror(errno));
    _exit(CLI_FAILED);
}

int cli_memory(const char *program, const struct cli_job_options *options)
{
    int how = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        become(program, options);
    while (pid > 0 && waitpid(pid, &how, 0) < 0)
        if (errno != EINTR)
            return CLI_FAILED;
    return pid > 0 && WIFEXITED(how) ? WEXITSTATUS(how) : CLI_FAILED;
}
