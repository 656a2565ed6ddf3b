/* `graft evaluate`: the score of a trained network on labelled inputs. graft-predict answers, its
 * lines are counted here. */
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/config/job_text.h"
#include "common/data/manifest.h"
#include "common/model/onnx/metadata.h"
#include "coordinator/cli/cli.h"
#include "coordinator/cluster/launcher.h"
#include "coordinator/job/result.h"

struct answers {
    const struct job *job; /* of the model's note */
    float *logits;         /* [room, K] */
    int32_t *labels;       /* [room] */
    float *targets;        /* [room, K]; unused for classification */
    size_t count, room;
};

static bool grow(struct answers *answers)
{
    size_t classes = answers->job->data.class_count, room = answers->room * 2 + 1024, values;
    if (answers->count < answers->room)
        return true;
    if (!size_mul(room, classes, &values) || !size_mul(values, sizeof(float), &values))
        return false;
    float *logits = realloc(answers->logits, values);
    if (logits != NULL)
        answers->logits = logits;
    int32_t *labels = realloc(answers->labels, room * sizeof *labels);
    if (labels != NULL)
        answers->labels = labels;
    float *targets = realloc(answers->targets, values);
    if (targets != NULL)
        answers->targets = targets;
    if (logits != NULL && labels != NULL && targets != NULL)
        answers->room = room;
    return answers->count < answers->room;
}

static void copy_numbers(const json_t *from, size_t count, float *to)
{
    for (size_t k = 0; k < count; k++)
        to[k] = (float)json_number_value(json_array_get(from, k));
}

/* Lines without a label (targets) or answer take no part. */
static enum status take_line(struct answers *answers, const char *line, struct error *err)
{
    size_t classes = answers->job->data.class_count, at = answers->count;
    json_t *json = json_loads(line, 0, NULL);
    const char *label = json_string_value(json_object_get(json, "label"));
    const json_t *logits = json_object_get(json, "logits");
    const json_t *targets = json_object_get(json, "targets");
    enum status status = OK;
    if (json == NULL)
        status = error_set(err, ERR_PEER, "graft-predict wrote something that is no JSON");
    else if ((label != NULL || json_array_size(targets) == classes) &&
             json_array_size(logits) == classes) {
        if (!grow(answers)) {
            status = error_set(err, ERR_MEMORY, "no memory for %zu answers", at);
        } else {
            copy_numbers(logits, classes, answers->logits + at * classes);
            copy_numbers(targets, classes, answers->targets + at * classes);
            answers->labels[at] = label != NULL ? job_class_index(answers->job, label) : 0;
            answers->count++;
        }
    }
    json_decref(json);
    return status;
}

static enum status take_lines(struct answers *answers, FILE *from, struct error *err)
{
    char *line = NULL;
    size_t room = 0;
    enum status status = OK;
    while (status == OK && getline(&line, &room, from) > 0)
        status = take_line(answers, line, err);
    free(line);
    return status;
}

/* In the child. */
static void become(int argc, char **argv, int to)
{
    char path[PATH_BYTES];
    char **arguments = memory_alloc((size_t)argc + 3, sizeof *arguments);
    if (arguments == NULL)
        _exit(127);
    memcpy(arguments, argv, (size_t)argc * sizeof *arguments);
    arguments[argc] = "--labels";
    arguments[argc + 1] = "--logits";
    dup2(to, STDOUT_FILENO);
    launcher_find("graft-predict", path, sizeof path);
    execvp(path, arguments);
    fprintf(stderr, "graft evaluate: %s: %s\n", path, strerror(errno));
    _exit(127);
}

/* *all: nothing was left out. */
static enum status ask(struct answers *answers, int argc, char **argv, bool *all, struct error *err)
{
    int ends[2], state = 0;
    if (pipe(ends) != 0)
        return error_set(err, ERR_IO, "no pipe: %s", strerror(errno));
    pid_t child = fork();
    if (child == 0)
        become(argc, argv, ends[1]);
    close(ends[1]);
    FILE *from = child > 0 ? fdopen(ends[0], "r") : NULL;
    enum status status = from != NULL ? take_lines(answers, from, err)
                                      : error_set(err, ERR_IO, "no process: %s", strerror(errno));
    if (from != NULL)
        fclose(from);
    else
        close(ends[0]);
    *all = child > 0 && waitpid(child, &state, 0) == child && state == 0;
    if (status == OK && answers->count == 0)
        status = error_set(err, ERR_INPUT, "no labelled input was answered");
    return status;
}

static enum status print(const struct answers *answers, struct error *err)
{
    struct predictions predictions = {.count = answers->count,
                                      .classes = answers->job->data.class_count,
                                      .logits = answers->logits};
    struct score *score = NULL;
    predictions.readable = memory_alloc(answers->count, 1);
    if (predictions.readable == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %zu answers", answers->count);
    memset(predictions.readable, 1, answers->count);
    const struct truth truth = {answers->job->data.task, answers->count, answers->labels,
                                answers->targets};
    enum status status = score_create(&predictions, &truth, &score, err);
    if (status == OK)
        status = result_print_score(stdout, answers->job, score, err);
    score_destroy(&score);
    memory_free(predictions.readable);
    return status;
}

int evaluate_main(int argc, char **argv)
{
    struct answers answers = {0};
    struct job *job = NULL;
    struct error err = {0};
    char *note = NULL;
    bool all = false;
    if (argc < 3) {
        error_set(&err, ERR_INPUT, "expected a model and labelled inputs");
        return cli_misuse("evaluate", &err);
    }
    enum status status = onnx_metadata_read(argv[1], &note, &err);
    if (status == OK)
        status = job_text_open_note(note, 1, &job, &err);
    answers.job = job;
    if (status == OK)
        status = ask(&answers, argc, argv, &all, &err);
    if (status == OK)
        status = print(&answers, &err);
    free(answers.logits);
    free(answers.labels);
    free(answers.targets);
    job_destroy(&job);
    memory_free(note);
    if (status != OK)
        return cli_fail("evaluate", &err);
    return all ? EXIT_SUCCESS : CLI_FAILED; /* graft-predict has said why */
}
