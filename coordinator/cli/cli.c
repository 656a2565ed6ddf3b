#include "coordinator/cli/cli.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/platform.h"
#include "common/wire/message.h"

static const struct command *find(const char *name, const struct command *commands, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static void print_usage(FILE *to, const struct command *command)
{
    fprintf(to, "usage: graft %s %s\n", command->name, command->usage);
}

static int print_list(FILE *to, const struct command *commands, size_t count)
{
    fputs(
        "graft adapts a pretrained network to a new domain on a cluster of ordinary machines.\n\n",
        to);
    for (size_t i = 0; i < count; i++)
        fprintf(to, "  graft %-8s %s\n", commands[i].name, commands[i].help);
    fputs("  graft help     this list; graft help COMMAND says how it is used; graft --version\n",
          to);
    return to == stdout ? EXIT_SUCCESS : CLI_MISUSED;
}

static int help(int argc, char **argv, const struct command *commands, size_t count)
{
    const struct command *command = argc > 2 ? find(argv[2], commands, count) : NULL;
    if (command == NULL)
        return print_list(stdout, commands, count);
    print_usage(stdout, command);
    printf("%s\n", command->help);
    return EXIT_SUCCESS;
}

/* All in which members must agree. */
static int print_version(void)
{
    char platform[WIRE_TEXT_BYTES];
    platform_text(platform, sizeof platform);
    return printf("%s, protocol %d\n", platform, WIRE_PROTOCOL) > 0 ? EXIT_SUCCESS : CLI_FAILED;
}

int cli_main(int argc, char **argv, const struct command *commands, size_t count)
{
    if (argc < 2)
        return print_list(stderr, commands, count);
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
        strcmp(argv[1], "-h") == 0)
        return help(argc, argv, commands, count);
    if (strcmp(argv[1], "--version") == 0)
        return print_version();
    const struct command *command = find(argv[1], commands, count);
    if (command == NULL) {
        fprintf(stderr, "graft: no command \"%s\"; graft help lists them\n", argv[1]);
        return CLI_MISUSED;
    }
    int status = command->main(argc - 1, argv + 1);
    if (status == CLI_MISUSED)
        print_usage(stderr, command);
    return status;
}

int cli_fail(const char *name, const struct error *err)
{
    fprintf(stderr, "graft %s: %s\n", name, err->text);
    return CLI_FAILED;
}

int cli_misuse(const char *name, const struct error *err)
{
    fprintf(stderr, "graft %s: %s\n", name, err->text);
    return CLI_MISUSED;
}

const char *cli_value(int argc, char **argv, int *at)
{
    if (*at + 1 >= argc)
        return NULL;
    const char *value = argv[*at + 1];
    *at += 2;
    return value;
}

enum status cli_bytes(const char *text, uint64_t *out, struct error *err)
{
    static const char units[] = "KMG";
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    const char *unit = *end != '\0' ? strchr(units, *end) : NULL;
    unsigned shift = unit != NULL ? 10 * (unsigned)(unit - units + 1) : 0;
    bool whole = text[0] >= '0' && text[0] <= '9' && errno == 0 && end[unit != NULL] == '\0';
    if (!whole || number > UINT64_MAX >> shift)
        return error_set(err, ERR_INPUT, "\"%.40s\" is not a number of bytes such as 500M or 2G",
                         text);
    *out = (uint64_t)number << shift;
    return OK;
}

/* ---- configuration and overrides ---- */

static enum status add_override(struct cli_job_options *options, const char *override,
                                struct error *err)
{
    if (override == NULL || strchr(override, '=') == NULL)
        return error_set(err, ERR_INPUT, "--set needs PATH=VALUE, such as stages.adapt.epochs=5");
    if (options->override_count == CLI_OVERRIDES_MAX)
        return error_set(err, ERR_INPUT, "more than %d overrides; put them into the file",
                         CLI_OVERRIDES_MAX);
    options->overrides[options->override_count++] = override;
    return OK;
}

enum status cli_job_option(int argc, char **argv, int *at, struct cli_job_options *options,
                           struct error *err)
{
    const char *argument = argv[*at];
    if (strcmp(argument, "--set") == 0)
        return add_override(options, cli_value(argc, argv, at), err);
    if (argument[0] == '-')
        return error_set(err, ERR_INPUT, "unknown option %.60s", argument);
    (*at)++;
    if (options->config != NULL && strchr(argument, '=') != NULL)
        return add_override(options, argument, err);
    if (options->config != NULL)
        return error_set(err, ERR_INPUT, "%.60s is neither PATH=VALUE nor an option", argument);
    options->config = argument;
    return OK;
}

enum status cli_job_load(const struct cli_job_options *options, struct job **out, struct error *err)
{
    if (options->config == NULL)
        return error_set(err, ERR_INPUT, "name a configuration file, such as configs/demo.cfg");
    return job_load(options->config, NULL, options->overrides, options->override_count, out, err);
}

bool cli_count(const char *text, uint32_t *out)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (end == text || *end != '\0' || value < 1 || value > CLI_COUNT_MAX)
        return false;
    *out = (uint32_t)value;
    return true;
}
