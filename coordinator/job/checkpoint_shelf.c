/* The directory of checkpoints: which there are, which one serves, which may go. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/memory.h"
#include "coordinator/job/checkpoint.h"

#define PREFIX "step-"
#define DIGITS_MAX 19 /* of INT64_MAX */

/* "step-N" exactly as written, else false: what dead processes left has more behind it. */
static bool parse_step(const char *name, uint64_t *out)
{
    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
        return false;
    const char *digits = name + strlen(PREFIX);
    size_t length = strspn(digits, "0123456789");
    if (length == 0 || length > DIGITS_MAX || digits[length] != '\0' ||
        (digits[0] == '0' && length > 1))
        return false;
    *out = strtoull(digits, NULL, 10);
    return *out <= INT64_MAX;
}

static int compare_newest_first(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a < b) - (a > b);
}

static enum status open_shelf(const char *run_directory, char path[PATH_BYTES], DIR **out,
                              struct error *err)
{
    enum status status = file_path(path, err, "%s/checkpoints", run_directory);
    if (status != OK)
        return status;
    *out = opendir(path);
    if (*out == NULL && errno != ENOENT)
        return error_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    return OK;
}

enum status checkpoint_list(const char *run_directory, uint64_t **steps, size_t *count,
                            struct error *err)
{
    char path[PATH_BYTES];
    DIR *shelf = NULL;
    uint64_t *found = memory_alloc(CHECKPOINT_COUNT_MAX, sizeof *found);
    if (found == NULL)
        return error_set(err, ERR_MEMORY, "no memory to list checkpoints");
    enum status status = open_shelf(run_directory, path, &shelf, err);
    if (status != OK) {
        memory_free(found);
        return status;
    }
    size_t n = 0;
    for (struct dirent *entry; shelf != NULL && (entry = readdir(shelf)) != NULL;)
        if (n < CHECKPOINT_COUNT_MAX && parse_step(entry->d_name, &found[n]))
            n++;
    if (shelf != NULL)
        closedir(shelf);
    qsort(found, n, sizeof *found, compare_newest_first);
    *steps = found;
    *count = n;
    return OK;
}

/* `accept` NULL: any; what it does not take is passed over with *out as it was. */
static enum status read_accepted(const char *run_directory, uint64_t step, const struct job *job,
                                 const struct plan *const *plans,
                                 bool (*accept)(const void *context,
                                                const struct checkpoint_head *head),
                                 const void *context, struct values **out,
                                 struct checkpoint_head *head, struct error *err)
{
    char path[PATH_BYTES];
    struct checkpoint_head peeked;
    enum status status = checkpoint_path(path, run_directory, step, err);
    if (status == OK)
        status = checkpoint_peek(path, job, &peeked, err);
    if (status == OK && peeked.step != step)
        status = error_set(err, ERR_INPUT, "%s: holds step %" PRIu64, path, peeked.step);
    if (status != OK || (accept != NULL && !accept(context, &peeked)))
        return status;
    return checkpoint_read(path, job, plans[peeked.stage], out, head, err);
}

enum status checkpoint_at(const char *run_directory, uint64_t step, const struct job *job,
                          const struct plan *const *plans, struct values **out,
                          struct checkpoint_head *head, struct error *err)
{
    return read_accepted(run_directory, step, job, plans, NULL, NULL, out, head, err);
}

/* Another file may be sound where this one is not; another job or no memory stays that. */
static bool is_damage(enum status status)
{
    return status == ERR_INPUT || status == ERR_IO || status == ERR_SUPPORT;
}

enum status
checkpoint_latest(const char *run_directory, const struct job *job, const struct plan *const *plans,
                  bool (*accept)(const void *context, const struct checkpoint_head *head),
                  const void *context, struct values **out, struct checkpoint_head *head,
                  struct error *err)
{
    uint64_t *steps;
    size_t count;
    enum status status = checkpoint_list(run_directory, &steps, &count, err);
    if (status != OK)
        return status;
    struct values *values = NULL;
    for (size_t i = 0; i < count && values == NULL && status == OK; i++) {
        struct error why = {0};
        status = read_accepted(run_directory, steps[i], job, plans, accept, context, &values, head,
                               &why);
        if (is_damage(status)) {
            log_event(LOG_WARN, "checkpoint_damaged", "step=%" PRIu64 " why=\"%s\"", steps[i],
                      why.text);
            status = OK;
        } else if (status != OK) {
            error_set(err, status, "%s", why.text);
        }
    }
    memory_free(steps);
    if (status == OK)
        *out = values;
    return status;
}

static bool is_kept(uint64_t step, const uint64_t *keep_steps, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (keep_steps[i] == step)
            return true;
    return false;
}

/* "step-N.tmp-PID" and "step-N.tmp-PID.old". */
static bool is_leftover(const char *name)
{
    uint64_t step;
    return strncmp(name, PREFIX, strlen(PREFIX)) == 0 && strstr(name, ".tmp-") != NULL &&
           !parse_step(name, &step);
}

static enum status remove_leftovers(const char *run_directory, struct error *err)
{
    char path[PATH_BYTES], entry_path[PATH_BYTES];
    DIR *shelf = NULL;
    enum status status = open_shelf(run_directory, path, &shelf, err);
    for (struct dirent *entry; status == OK && shelf != NULL && (entry = readdir(shelf)) != NULL;) {
        if (!is_leftover(entry->d_name))
            continue;
        status = file_path(entry_path, err, "%s/%s", path, entry->d_name);
        if (status == OK)
            status = file_remove_tree(entry_path, err);
    }
    if (shelf != NULL)
        closedir(shelf);
    return status;
}

enum status checkpoint_prune(const char *run_directory, size_t kept, const uint64_t *keep_steps,
                             size_t count, struct error *err)
{
    uint64_t *steps;
    size_t found;
    enum status status = checkpoint_list(run_directory, &steps, &found, err);
    if (status != OK)
        return status;
    for (size_t i = kept; i < found && status == OK; i++) {
        char path[PATH_BYTES];
        if (is_kept(steps[i], keep_steps, count))
            continue;
        status = checkpoint_path(path, run_directory, steps[i], err);
        if (status == OK)
            status = file_remove_tree(path, err);
    }
    memory_free(steps);
    return status == OK ? remove_leftovers(run_directory, err) : status;
}
