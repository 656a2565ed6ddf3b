/* `graft export`: a trained network as others want it: ONNX of opset 17, weights within or beside; its
 * weights alone, under PyTorch's names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/model/graph.h"
#include "common/model/onnx/metadata.h"
#include "common/model/onnx/reader.h"
#include "common/model/onnx/writer.h"
#include "common/model/state_dict.h"
#include "coordinator/cli/cli.h"

#define OPSET 17

struct export
{
    const char *from, *onnx, *safetensors;
    bool external;
    char model[PATH_BYTES];
};

static enum status read_arguments(int argc, char **argv, struct export *out, struct error *err)
{
    for (int at = 1; at < argc;) {
        const char *argument = argv[at];
        bool onnx = strcmp(argument, "--onnx") == 0;
        if (onnx || strcmp(argument, "--safetensors") == 0) {
            const char **value = onnx ? &out->onnx : &out->safetensors;
            if ((*value = cli_value(argc, argv, &at)) == NULL)
                return error_set(err, ERR_INPUT, "%s needs a file to write", argument);
            continue;
        }
        at++;
        if (strcmp(argument, "--external") == 0)
            out->external = true;
        else if (argument[0] == '-' || out->from != NULL)
            return error_set(err, ERR_INPUT, "%.100s is not understood", argument);
        else
            out->from = argument;
    }
    if (out->from == NULL || (out->onnx == NULL && out->safetensors == NULL))
        return error_set(err, ERR_INPUT, "name a run or a model, and what to write");
    if (out->external && out->onnx == NULL)
        return error_set(err, ERR_INPUT, "--external is for --onnx");
    return OK;
}

/* A run's folder holds adapted.onnx. */
static enum status find_model(struct export *export, struct error *err)
{
    struct stat info;
    bool run = stat(export->from, &info) == 0 && S_ISDIR(info.st_mode);
    return file_path(export->model, err, run ? "%s/adapted.onnx" : "%s", export->from);
}

static enum status write_onnx(const struct export *export, const struct graph *graph,
                              struct error *err)
{
    char *note = NULL, *vocabulary = NULL;
    enum status status = onnx_metadata_find(export->model, ONNX_METADATA_DATA, &note, err);
    if (status == OK)
        status = onnx_metadata_find(export->model, ONNX_METADATA_VOCABULARY, &vocabulary, err);
    const struct onnx_saving saving = {
        .opset = OPSET, .external = export->external, .note = note, .vocabulary = vocabulary};
    if (status == OK)
        status = onnx_writer_save(graph, NULL, &saving, export->onnx, err);
    memory_free(note);
    memory_free(vocabulary);
    return status;
}

static enum status write_safetensors(const struct export *export, const struct graph *graph,
                                     struct error *err)
{
    size_t nameless = 0;
    enum status status = state_dict_write(graph, export->safetensors, &nameless, err);
    if (status == OK && nameless > 0)
        fprintf(stderr, "graft export: %s: %zu tensors keep their ONNX names\n",
                export->safetensors, nameless);
    return status;
}

int export_main(int argc, char **argv)
{
    struct export export = {0};
    struct error err = {0};
    struct graph *graph = NULL;
    if (read_arguments(argc, argv, &export, &err) != OK)
        return cli_misuse(argv[0], &err);
    const struct onnx_reading reading = {.cut = ""};
    enum status status = find_model(&export, &err);
    if (status == OK)
        status = onnx_reader_open(export.model, &reading, &graph, &err);
    if (status == OK && export.onnx != NULL)
        status = write_onnx(&export, graph, &err);
    if (status == OK && export.safetensors != NULL)
        status = write_safetensors(&export, graph, &err);
    graph_destroy(&graph);
    return status == OK ? EXIT_SUCCESS : cli_fail(argv[0], &err);
}
