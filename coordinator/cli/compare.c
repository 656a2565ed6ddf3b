/* `graft compare`: the results of several runs side by side, and how much they scatter. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/cli/cli.h"
#include "coordinator/job/result.h"

/* A path, or the name of a run below runs/. */
static enum status find_run(const char *argument, char out[PATH_BYTES], struct error *err)
{
    struct stat info;
    if (stat(argument, &info) == 0 || strchr(argument, '/') != NULL)
        return file_path(out, err, "%s", argument);
    return file_path(out, err, "runs/%s", argument);
}

static enum status read_runs(int count, char **arguments, struct result_summary *runs,
                             struct error *err)
{
    enum status status = OK;
    for (int i = 0; i < count && status == OK; i++) {
        char path[PATH_BYTES];
        status = find_run(arguments[i], path, err);
        if (status == OK)
            status = result_read_summary(path, &runs[i], err);
    }
    return status;
}

/* An accuracy in percent, or an error as it is. */
static void print_score(const struct result_summary *run, double score, bool sign)
{
    char text[32] = "-";
    if (isfinite(score) && run->regression)
        snprintf(text, sizeof text, sign ? "%+.4g" : "%.4g", score);
    else if (isfinite(score))
        snprintf(text, sizeof text, sign ? "%+.2f %%" : "%.2f %%", 100 * score);
    printf("  %13s", text);
}

static void print_run(const struct result_summary *run)
{
    printf("%-20.20s  %10llu", run->name, (unsigned long long)run->seed);
    print_score(run, run->source_only, false);
    print_score(run, run->adapted, false);
    print_score(run, run->adapted - run->source_only, true);
    printf("  %9.1f  %.12s\n", run->total_seconds, run->weights_hex);
}

struct spread {
    double mean, deviation; /* of the sample, n - 1 */
    int count;
};

static double value_of(const struct result_summary *run, int which)
{
    if (which == 0)
        return run->source_only;
    if (which == 1)
        return run->adapted;
    return run->adapted - run->source_only;
}

/* Of the runs that have the value: one without labels has no score. */
static struct spread spread_of(const struct result_summary *runs, int count, int which)
{
    struct spread spread = {0};
    double sum = 0, squares = 0;
    for (int i = 0; i < count; i++)
        if (isfinite(value_of(&runs[i], which))) {
            sum += value_of(&runs[i], which);
            spread.count++;
        }
    spread.mean = spread.count > 0 ? sum / spread.count : 0;
    for (int i = 0; i < count; i++)
        if (isfinite(value_of(&runs[i], which)))
            squares += pow(value_of(&runs[i], which) - spread.mean, 2);
    spread.deviation = spread.count > 1 ? sqrt(squares / (spread.count - 1)) : 0;
    return spread;
}

static void print_spread(const struct result_summary *runs, int count)
{
    static const char *const names[] = {"source only", "adapted", "change"};
    for (int i = 1; i < count; i++)
        if (runs[i].regression != runs[0].regression)
            return; /* errors and accuracies have no mean */
    printf("\nmean and standard deviation%s\n",
           runs[0].regression ? " of the mean absolute error" : "");
    for (int which = 0; which < 3; which++) {
        struct spread spread = spread_of(runs, count, which);
        if (spread.count > 1 && runs[0].regression)
            printf("  %-12s %.4g ± %.4g (%d runs)\n", names[which], spread.mean, spread.deviation,
                   spread.count);
        else if (spread.count > 1)
            printf("  %-12s %6.2f ± %.2f %% (%d runs)\n", names[which], 100 * spread.mean,
                   100 * spread.deviation, spread.count);
    }
}

/* Equal configurations (the seed is part of them) must have led to equal weights. */
static void print_sameness(const struct result_summary *runs, int count)
{
    int pairs = 0, same = 0;
    for (int i = 0; i < count; i++)
        for (int k = i + 1; k < count; k++)
            if (strcmp(runs[i].config_hex, runs[k].config_hex) == 0) {
                pairs++;
                same += strcmp(runs[i].weights_hex, runs[k].weights_hex) == 0;
            }
    if (pairs == 0)
        return;
    printf(
        "\n%d of %d pairs of runs with the same configuration and seed have the same weights, bit "
        "for bit\n",
        same, pairs);
}

int compare_main(int argc, char **argv)
{
    struct error err = {0};
    int count = argc - 1;
    if (count < 1) {
        error_set(&err, ERR_INPUT, "name one run or more: a folder, or its name below runs/");
        return cli_misuse(argv[0], &err);
    }
    struct result_summary *runs = memory_alloc((size_t)count, sizeof *runs);
    enum status status = runs == NULL ? error_set(&err, ERR_MEMORY, "no memory for %d runs", count)
                                      : read_runs(count, argv + 1, runs, &err);
    if (status == OK) {
        printf("%-20s  %10s  %13s  %13s  %13s  %9s  %s\n", "run", "seed", "source only", "adapted",
               "change", "seconds", "weights");
        for (int i = 0; i < count; i++)
            print_run(&runs[i]);
        if (count > 1)
            print_spread(runs, count);
        print_sameness(runs, count);
    }
    memory_free(runs);
    return status == OK ? EXIT_SUCCESS : cli_fail(argv[0], &err);
}
