/* The program `graft`: one command a file, one table (main.c). A command's main returns the exit
 * status: 0 done, 1 failed (one sentence on standard error), 2 used wrongly. */
#ifndef GRAFT_COORDINATOR_CLI_CLI_H
#define GRAFT_COORDINATOR_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/config/job.h"
#include "coordinator/driver.h"

#define CLI_OVERRIDES_MAX 256
#define CLI_PREDICT_USAGE                                                                          \
    "MODEL.onnx INPUT... [--labels] [--label-column N] [--text-column N] [--header] "              \
    "[--size WxH[xC]] [--value-max X] [--logits] [--threads N]"
#define CLI_FAILED 1
#define CLI_MISUSED 2

struct command {
    const char *name;
    const char *usage;                  /* what follows the name */
    const char *help;                   /* one sentence */
    int (*main)(int argc, char **argv); /* argv[0] is the command's name */
};

/* Runs the command of `commands` that argv[1] names; prints the version for --version, the list for none, help, --help, and a
 * command's usage after `graft help NAME` or when it returns CLI_MISUSED. */
int cli_main(int argc, char **argv, const struct command *commands, size_t count);

/* Each in its own file; main.c has the table. */
int run_main(int argc, char **argv);
int resume_main(int argc, char **argv);
int check_main(int argc, char **argv);
int hosts_main(int argc, char **argv);
int inspect_main(int argc, char **argv);
int cache_main(int argc, char **argv);
int keys_main(int argc, char **argv);
int keygen_main(int argc, char **argv);
int compare_main(int argc, char **argv);
int status_main(int argc, char **argv);
int stop_main(int argc, char **argv);
int drain_main(int argc, char **argv);
int scale_main(int argc, char **argv);
int predict_main(int argc, char **argv);
int evaluate_main(int argc, char **argv);
int export_main(int argc, char **argv);

/* ---- for the commands ---- */

/* "graft NAME: sentence" on standard error; returns CLI_FAILED. */
int cli_fail(const char *name, const struct error *err);
/* The same for a wrong argument; returns CLI_MISUSED (cli_main adds the usage). */
int cli_misuse(const char *name, const struct error *err);

/* The value behind the option argv[*at] ("--input 3x48x48"), *at moved beyond both. NULL: none
 * there. */
const char *cli_value(int argc, char **argv, int *at);

/* "3": 1 to CLI_COUNT_MAX; false for anything else. */
#define CLI_COUNT_MAX 1024
bool cli_count(const char *text, uint32_t *out);

/* "1500", "64K", "10M", "2G" (of 1024). Errors: ERR_INPUT. */
enum status cli_bytes(const char *text, uint64_t *out, struct error *err) MUST_CHECK;

/* A configuration file and its overrides: "--set PATH=VALUE" (anywhere) or a bare PATH=VALUE after
 * the file. */
struct cli_job_options {
    const char *config;
    const char *overrides[CLI_OVERRIDES_MAX];
    size_t override_count;
};

/* Takes argv[*at] (and what belongs to it) if it is the configuration file or an override, and
 * moves *at beyond; ERR_INPUT if it is neither. Loop over argv with it after the command's own
 * options. */
enum status cli_job_option(int argc, char **argv, int *at, struct cli_job_options *options,
                           struct error *err) MUST_CHECK;
/* Runs a member's program to print what memory it will need for the job (only it has the engine to say
 * so). Its exit status; errors are printed. */
int cli_memory(const char *program, const struct cli_job_options *options) MUST_CHECK;
/* job_load of what was collected. ERR_INPUT without a file. */
enum status cli_job_load(const struct cli_job_options *options, struct job **out,
                         struct error *err) MUST_CHECK;

/* What `graft run` and `graft resume` share: their words, and the job from its start to its end.
 * `status` other than OK: the job could not be loaded, as *err tells. Takes the job; returns the exit
 * status. */
enum status run_words(int argc, char **argv, struct cli_job_options *job_options,
                      struct driver_options *options, struct error *err) MUST_CHECK;
int run_job(const char *command, enum status status, struct job *job,
            const struct driver_options *options, struct error *err);

#endif
