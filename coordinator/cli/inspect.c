/* `graft inspect`: a network's layers and its possible freeze boundaries, for a bare ONNX file or
 * for the model of a configuration. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/model/graph.h"
#include "common/model/model.h"
#include "common/model/onnx/reader.h"
#include "coordinator/cli/cli.h"

#define CLASSES_USUAL 10
#define SIDE_MAX 65536

struct inspect {
    const char *input; /* "3x48x48", or NULL: as in the file */
    const char *cut;
    const char *pool;
    uint32_t classes;
    bool memory;
    struct cli_job_options job;
};

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* ---- arguments ---- */

static enum status read_count(const char *text, unsigned long most, char after, const char **end,
                              uint32_t *out, struct error *err)
{
    char *stop;
    unsigned long number = strtoul(text, &stop, 10);
    if (text[0] < '1' || text[0] > '9' || number > most || *stop != after)
        return error_set(err, ERR_INPUT, "\"%.40s\" is not a size from 1 to %lu", text, most);
    *out = (uint32_t)number;
    if (end != NULL)
        *end = after == '\0' ? stop : stop + 1;
    return OK;
}

/* "CHANNELSxHEIGHTxWIDTH" */
static enum status read_input(const char *text, struct preprocess_config *out, struct error *err)
{
    const char *at = text;
    enum status status = read_count(at, SIDE_MAX, 'x', &at, &out->channels, err);
    if (status == OK)
        status = read_count(at, SIDE_MAX, 'x', &at, &out->height, err);
    if (status == OK)
        status = read_count(at, SIDE_MAX, '\0', NULL, &out->width, err);
    if (status != OK)
        return error_set(err, ERR_INPUT, "--input needs CHANNELSxHEIGHTxWIDTH, such as 3x48x48");
    return OK;
}

/* *taken: argv[*at] was an option of this command, and *at is beyond it. */
static enum status take_option(int argc, char **argv, int *at, struct inspect *inspect, bool *taken,
                               struct error *err)
{
    const char *name = argv[*at], *value;
    const char **texts[] = {&inspect->input, &inspect->cut, &inspect->pool, &value};
    static const char *const names[] = {"--input", "--cut", "--pool", "--classes"};
    *taken = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) != 0)
            continue;
        *texts[i] = cli_value(argc, argv, at);
        if (*texts[i] == NULL)
            return error_set(err, ERR_INPUT, "%s needs a value", name);
        *taken = true;
        if (texts[i] == &value)
            return read_count(value, JOB_CLASSES_MAX, '\0', NULL, &inspect->classes, err);
    }
    return OK;
}

static enum status read_arguments(int argc, char **argv, struct inspect *inspect, struct error *err)
{
    enum status status = OK;
    for (int at = 1; at < argc && status == OK;) {
        bool taken = strcmp(argv[at], "--memory") == 0;
        if (taken) {
            inspect->memory = true;
            at++;
            continue;
        }
        status = take_option(argc, argv, &at, inspect, &taken, err);
        if (status == OK && !taken)
            status = cli_job_option(argc, argv, &at, &inspect->job, err);
    }
    if (status == OK && inspect->job.config == NULL)
        status = error_set(err, ERR_INPUT, "name a model (.onnx) or a configuration file");
    if (status == OK && inspect->pool != NULL && strcmp(inspect->pool, "mean") != 0 &&
        strcmp(inspect->pool, "none") != 0)
        status = error_set(err, ERR_INPUT, "--pool is mean or none, not %.40s", inspect->pool);
    return status;
}

/* ---- models ---- */

static enum status sizes_of(const struct shape *shape, struct preprocess_config *out,
                            struct error *err)
{
    char text[96];
    shape_text(shape, text, sizeof text);
    for (size_t i = 1; i < shape->rank; i++)
        if (shape->dims[i] < 1 || shape->dims[i] > UINT32_MAX)
            return error_set(err, ERR_INPUT,
                             "the model's input is %s: give its size with --input "
                             "CHANNELSxHEIGHTxWIDTH",
                             text);
    if (shape->rank < 2 || shape->rank > 4)
        return error_set(
            err, ERR_SUPPORT,
            "the model's input is %s: pictures [N, C, H, W], rows [N, C, W] or vectors "
            "[N, d] are supported; if it is one of them, say so with --input",
            text);
    out->channels = (uint32_t)shape->dims[1];
    out->height = shape->rank == 4 ? (uint32_t)shape->dims[2] : 1;
    out->width = shape->rank > 2 ? (uint32_t)shape->dims[shape->rank - 1] : 1;
    return OK;
}

/* The file's own inputs, where it says their sizes; several lie side by side. */
static enum status input_of_graph(void *context, struct graph *graph, struct error *err)
{
    struct preprocess_config *out = context;
    if (graph->input_count == 1)
        return sizes_of(&graph->values[graph->input].shape, out, err);
    size_t sum = 0;
    for (size_t i = 0; i < graph->input_count; i++) {
        struct shape one = graph->values[graph->inputs[i]].shape;
        size_t elements;
        one.dims[0] = 1;
        if (one.rank == 0 || !shape_elements(&one, &elements))
            return error_set(err, ERR_INPUT,
                             "the model has %zu inputs of unknown size: give the numbers of one "
                             "sample with --input 1x1xNUMBERS",
                             graph->input_count);
        sum += elements;
    }
    *out = (struct preprocess_config){.channels = 1, .height = 1, .width = (uint32_t)sum};
    return sum > UINT32_MAX ? error_set(err, ERR_INPUT, "the model's inputs are too large") : OK;
}

static enum status input_of_file(const struct model_config *config, struct preprocess_config *out,
                                 struct error *err)
{
    char path[PATH_BYTES];
    struct graph *graph = NULL;
    const struct onnx_reading reading = {
        .cut = config->cut, .bind = input_of_graph, .context = out};
    enum status status = job_path(config->file, path, err);
    if (status == OK)
        status = onnx_reader_open(path, &reading, &graph, err);
    graph_destroy(&graph);
    return status;
}

static enum status open_bare(const struct inspect *inspect, struct model **out, struct error *err)
{
    struct model_config config = {.file = inspect->job.config,
                                  .cut = inspect->cut != NULL ? inspect->cut : "",
                                  .pool = POOL_MEAN};
    struct preprocess_config input = {0};
    if (inspect->pool != NULL && strcmp(inspect->pool, "none") == 0)
        config.pool = POOL_NONE;
    enum status status = inspect->input != NULL ? read_input(inspect->input, &input, err)
                                                : input_of_file(&config, &input, err);
    return status == OK ? model_open(&config, &input, inspect->classes, out, err) : status;
}

static enum status open_configured(const struct inspect *inspect, struct model **out,
                                   struct error *err)
{
    struct job *job = NULL;
    if (inspect->input != NULL || inspect->cut != NULL || inspect->pool != NULL)
        return error_set(err, ERR_INPUT,
                         "--input, --cut and --pool are for a bare model; change a configuration "
                         "with --set");
    enum status status = cli_job_load(&inspect->job, &job, err);
    if (status == OK)
        status = model_open(&job->model, &job->data.preprocess, job->data.class_count, out, err);
    job_destroy(&job);
    return status;
}

/* The rest of a network may hold what graft lacks, and not be needed. */
static void hint_at_cut(const struct inspect *inspect, struct error *err)
{
    const struct error why = *err;
    if (why.status == ERR_SUPPORT && inspect->cut == NULL)
        error_set(err, why.status, "%.400s; --cut TENSOR takes only the part before a tensor",
                  why.text);
}

int inspect_main(int argc, char **argv)
{
    struct inspect inspect = {.classes = CLASSES_USUAL};
    struct error err = {0};
    struct model *model = NULL;
    if (read_arguments(argc, argv, &inspect, &err) != OK)
        return cli_misuse(argv[0], &err);
    bool bare = ends_with(inspect.job.config, ".onnx");
    if (inspect.memory && bare)
        return error_set(&err, ERR_INPUT,
                         "--memory needs a configuration: batches and what is "
                         "live are said there"),
               cli_misuse(argv[0], &err);
    if (inspect.memory)
        return cli_memory("graft-worker", &inspect.job) != 0 ||
                       cli_memory("graft-server", &inspect.job) != 0
                   ? CLI_FAILED
                   : EXIT_SUCCESS;
    enum status status =
        bare ? open_bare(&inspect, &model, &err) : open_configured(&inspect, &model, &err);
    if (status != OK && bare)
        hint_at_cut(&inspect, &err);
    if (status == OK)
        status = model_inspect(model, STDOUT_FILENO, &err);
    model_destroy(&model);
    return status == OK ? EXIT_SUCCESS : cli_fail(argv[0], &err);
}
