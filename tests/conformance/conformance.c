/* Tests of the ONNX project in its own form (a folder with model.onnx and test_data_set_*, each
 * with input_*.pb and output_*.pb) through graft's reader, shape rules and kernels.
 *     conformance [--write FOLDER [OPSET]]      names of tests' folders come through stdin, one a line
 * A line for each: "ok NAME", "refused NAME: why" (the reader does not take it, and says node and
 * reason), "partly NAME: why" (so are further outputs, but the first is right) or "FAIL NAME: why". With --write each model that is read is written to
 * FOLDER/NAME.OUTPUT.onnx, for another runtime to run; with OPSET, or it is "unsaid" on standard error.
 *
 * A test feeds everything, also what graft must know while it reads (axes, targets, sizes): such
 * inputs become constants of the model first. Every test has a process of its own. */
#define _DEFAULT_SOURCE
#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/model/onnx/attributes.h"
#include "common/model/onnx/reader.h"
#include "common/model/onnx/tensor.h"
#include "common/model/onnx/writer.h"
#include "common/model/op_table.h"
#include "onnx.pb-c.h"
#include "tests/conformance/executor.h"

#define TENSORS_MAX 64
#define RELATIVE 5e-4 /* the runner's own is 1e-3; some expectations are written with four digits */
#define ABSOLUTE 1e-6

struct tensor {
    Onnx__TensorProto *proto;
    struct onnx_tensor content;
    float *floats;
    size_t count;
};

struct test {
    const char *folder, *name, *write;
    int64_t opset; /* to write; 0: as read */
    Onnx__ModelProto *model;
    struct graph *memory; /* the tensors' */
    struct tensor inputs[TENSORS_MAX], outputs[TENSORS_MAX];
    size_t input_count, output_count;
    const char *fed[TENSORS_MAX]; /* names of the inputs as the test has them */
    struct error err;
};

enum verdict { PASSED, PARTLY, REFUSED, FAILED };

static enum verdict say(struct test *test, enum verdict verdict, const char *what)
{
    static const char *const words[] = {"ok", "partly", "refused", "FAIL"};
    for (char *at = test->err.text; *at != '\0'; at++)
        *at = *at == '\n' ? ' ' : *at;
    printf("%s %s%s%s%s%s\n", words[verdict], test->name, what[0] != '\0' ? ": " : "", what,
           verdict != PASSED && test->err.text[0] != '\0' ? ": " : "",
           verdict != PASSED ? test->err.text : "");
    return verdict;
}

/* ---- reading a test ---- */

static uint8_t *load(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return NULL;
    fseek(file, 0, SEEK_END);
    *bytes = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(*bytes + 1);
    if (data == NULL || fread(data, 1, *bytes, file) != *bytes)
        *bytes = 0;
    fclose(file);
    return data;
}

static bool load_tensor(struct test *test, const char *path, struct tensor *out)
{
    size_t bytes = 0;
    struct digest_stream digest;
    uint8_t *data = load(path, &bytes);
    if (data == NULL)
        return false;
    digest_init(&digest);
    out->proto = onnx__tensor_proto__unpack(NULL, bytes, data);
    free(data);
    if (out->proto == NULL)
        return error_set(&test->err, ERR_SUPPORT, "%s is not a tensor", strrchr(path, '/')), false;
    if (onnx_tensor_read(out->proto, NULL, test->memory, &digest, &out->content, &test->err) != OK)
        return error_prefix(&test->err, "%s", strrchr(path, '/') + 1), false;
    if (!shape_elements(&out->content.shape, &out->count))
        return false;
    out->floats = calloc(out->count + 1, sizeof *out->floats);
    return executor_floats(out->content.dtype, out->content.data, out->count, out->floats,
                           &test->err) == OK;
}

/* input_0.pb, input_1.pb, …; false: one of them cannot be used, and why is in the error (of types
 * that graft does not have, the reader speaks first). */
static bool load_tensors(struct test *test, int set, const char *kind, struct tensor *list,
                         size_t *count)
{
    for (*count = 0; *count < TENSORS_MAX; ++*count) {
        char path[PATH_BYTES];
        if (file_path(path, &test->err, "%s/test_data_set_%d/%s_%zu.pb", test->folder, set, kind,
                      *count) != OK)
            return false;
        if (access(path, R_OK) != 0)
            return true;
        if (!load_tensor(test, path, &list[*count]))
            return false;
    }
    return true;
}

/* ---- inputs that the reader must know ---- */

static bool must_be_known(const Onnx__NodeProto *node, size_t input, int64_t opset)
{
    static const char *const all[] = {"Range", "ConstantOfShape"};
    enum op op;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(node->op_type, all[i]) == 0)
            return true;
    if (strcmp(node->op_type, "Split") == 0 && input == 1)
        return true;
    if (strcmp(node->op_type, "Upsample") == 0)
        return input == 1;
    if (!op_table_find(node->op_type, &op))
        return false;
    const struct input_row *row = onnx_attributes_input(op, opset, input);
    return row != NULL && row->kind != ATTRIBUTE_IGNORED;
}

static bool tensor_must_be_known(const Onnx__ModelProto *model, const char *name)
{
    for (size_t i = 0; i < model->graph->n_node; i++) {
        const Onnx__NodeProto *node = model->graph->node[i];
        for (size_t k = 0; k < node->n_input; k++)
            if (strcmp(node->input[k], name) == 0 &&
                must_be_known(node, k, model->opset_import[0]->version))
                return true;
    }
    return false;
}

/* Input `at` of the model becomes an initializer with the test's data. */
static void promote(struct test *test, size_t at, struct tensor *tensor)
{
    Onnx__GraphProto *graph = test->model->graph;
    Onnx__TensorProto **longer = calloc(graph->n_initializer + 1, sizeof(Onnx__TensorProto *));
    for (size_t i = 0; i < graph->n_initializer; i++)
        longer[i] = graph->initializer[i];
    tensor->proto->name = strdup(graph->input[at]->name);
    longer[graph->n_initializer++] = tensor->proto;
    graph->initializer = longer;
}

/* ---- one output ---- */

static enum status bind_shapes(void *context, struct graph *graph, struct error *err)
{
    const struct test *test = context;
    (void)err;
    for (size_t i = 0; i < graph->input_count; i++) {
        struct value *value = &graph->values[graph->inputs[i]];
        for (size_t k = 0; k < test->input_count; k++)
            if (strcmp(test->fed[k], value->name) == 0)
                value->shape = test->inputs[k].content.shape;
    }
    return OK;
}

static bool is_close(float got, float expected)
{
    if (isnan(expected) || isinf(expected))
        return isnan(expected) ? isnan(got) : got == expected;
    return fabs((double)got - (double)expected) <= ABSOLUTE + RELATIVE * fabs((double)expected);
}

static enum verdict compare(struct test *test, const struct value *value, const float *got,
                            size_t count, const struct tensor *expected)
{
    const struct shape *shape = &value->shape;
    char text[2][96];
    shape_text(shape, text[0], sizeof text[0]);
    shape_text(&expected->content.shape, text[1], sizeof text[1]);
    test->err.text[0] = '\0';
    if (!shape_equal(shape, &expected->content.shape) || count != expected->count)
        error_set(&test->err, ERR_INPUT, "shape %s, expected %s", text[0], text[1]);
    else if (value->dtype != expected->content.dtype)
        error_set(&test->err, ERR_INPUT, "%s, expected %s", dtype_name(value->dtype),
                  dtype_name(expected->content.dtype));
    for (size_t i = 0; i < count && test->err.text[0] == '\0'; i++)
        if (!is_close(got[i], expected->floats[i]))
            error_set(&test->err, ERR_INPUT, "element %zu is %g, expected %g", i, (double)got[i],
                      (double)expected->floats[i]);
    return test->err.text[0] == '\0' ? PASSED : FAILED;
}

static enum verdict run(struct test *test, const struct graph *graph, const struct tensor *expected)
{
    const float *inputs[GRAPH_INPUTS_MAX];
    float *output = NULL;
    size_t count = 0;
    for (size_t i = 0; i < graph->input_count; i++)
        for (size_t k = 0; k < test->input_count; k++)
            if (strcmp(test->fed[k], graph->values[graph->inputs[i]].name) == 0)
                inputs[i] = test->inputs[k].floats;
    if (executor_run(graph, inputs, 1, &output, &count, &test->err) != OK)
        return FAILED;
    enum verdict verdict = compare(test, &graph->values[graph->output], output, count, expected);
    free(output);
    return verdict;
}

static enum verdict write_back(struct test *test, const struct graph *graph, size_t output)
{
    char path[PATH_BYTES];
    if (test->write == NULL)
        return PASSED;
    if (file_path(path, &test->err, "%s/%s.%zu.onnx", test->write, test->name, output) != OK)
        return FAILED;
    const struct onnx_saving saving = {.opset = test->opset};
    enum status status = onnx_writer_save(graph, NULL, &saving, path, &test->err);
    if (status == ERR_SUPPORT && test->opset != 0)
        fprintf(stderr, "unsaid %s: %s\n", test->name, test->err.text);
    return status == OK || (status == ERR_SUPPORT && test->opset != 0) ? PASSED : FAILED;
}

static enum verdict check_output(struct test *test, const uint8_t *model, size_t bytes,
                                 size_t output)
{
    struct graph *graph = NULL;
    const struct onnx_reading reading = {.cut = test->model->graph->output[output]->name,
                                         .whole = true,
                                         .bind = bind_shapes,
                                         .context = test};
    if (onnx_reader_parse(model, bytes, NULL, &reading, &graph, &test->err) != OK)
        return test->err.status != ERR_SUPPORT ? FAILED : output > 0 ? PARTLY : REFUSED;
    enum verdict verdict = run(test, graph, &test->outputs[output]);
    if (verdict == PASSED)
        verdict = write_back(test, graph, output);
    graph_destroy(&graph);
    return verdict;
}

/* ---- one test ---- */

static bool read_model(struct test *test)
{
    char path[PATH_BYTES];
    size_t bytes = 0;
    if (file_path(path, &test->err, "%s/model.onnx", test->folder) != OK)
        return false;
    uint8_t *data = load(path, &bytes);
    test->model = data == NULL ? NULL : onnx__model_proto__unpack(NULL, bytes, data);
    free(data);
    return test->model != NULL && test->model->graph != NULL && test->model->n_opset_import > 0;
}

/* The test's inputs are those of the model that are not initializers already. */
static void name_inputs(struct test *test)
{
    const Onnx__GraphProto *graph = test->model->graph;
    size_t count = 0;
    for (size_t i = 0; i < graph->n_input && count < test->input_count; i++)
        test->fed[count++] = graph->input[i]->name;
    test->input_count = count;
    for (size_t i = 0; i < count; i++)
        if (tensor_must_be_known(test->model, test->fed[i]))
            promote(test, i, &test->inputs[i]);
}

/* Data of a type that graft does not have: then the model is refused too. */
static enum verdict refuse_type(struct test *test)
{
    struct graph *graph = NULL;
    const struct onnx_reading reading = {.cut = test->model->graph->output[0]->name, .whole = true};
    size_t bytes = onnx__model_proto__get_packed_size(test->model);
    uint8_t *packed = malloc(bytes);
    onnx__model_proto__pack(test->model, packed);
    enum status status = onnx_reader_parse(packed, bytes, NULL, &reading, &graph, &test->err);
    graph_destroy(&graph);
    free(packed);
    if (status == OK)
        error_set(&test->err, ERR_INPUT, "its data cannot be used, but the model is read");
    return status == ERR_SUPPORT ? REFUSED : FAILED;
}

static enum verdict run_set(struct test *test, int set)
{
    enum verdict worst = PASSED;
    if (!read_model(test)) /* anew: inputs of the set before have become constants */
        return error_set(&test->err, ERR_INPUT, "it has no model"), FAILED;
    if (!load_tensors(test, set, "input", test->inputs, &test->input_count) ||
        !load_tensors(test, set, "output", test->outputs, &test->output_count))
        return refuse_type(test);
    name_inputs(test);
    size_t bytes = onnx__model_proto__get_packed_size(test->model);
    uint8_t *packed = malloc(bytes);
    onnx__model_proto__pack(test->model, packed);
    for (size_t i = 0; i < test->output_count && worst == PASSED; i++)
        if (test->model->graph->output[i]->name[0] != '\0')
            worst = check_output(test, packed, bytes, i);
    free(packed);
    return worst;
}

static bool has_set(struct test *test, int set)
{
    char path[PATH_BYTES];
    return file_path(path, &test->err, "%s/test_data_set_%d", test->folder, set) == OK &&
           access(path, R_OK) == 0;
}

static enum verdict run_test(const char *folder, const char *write, int64_t opset)
{
    struct test test = {
        .folder = folder, .name = strrchr(folder, '/') + 1, .write = write, .opset = opset};
    enum verdict worst = PASSED;
    if (graph_create(&test.memory, &test.err) != OK || !has_set(&test, 0))
        return say(&test, FAILED, "it has no data");
    for (int set = 0; worst == PASSED && has_set(&test, set); set++)
        worst = run_set(&test, set);
    return say(&test, worst, "");
}

int main(int argc, char **argv)
{
    char line[PATH_BYTES];
    const char *write = argc >= 3 && strcmp(argv[1], "--write") == 0 ? argv[2] : NULL;
    int64_t opset = argc == 4 ? strtoll(argv[3], NULL, 10) : 0;
    bool failed = false;
    if ((argc != 1 && write == NULL) || argc > 4)
        return fprintf(stderr, "usage: conformance [--write FOLDER [OPSET]] < FOLDERS\n"), 2;
    while (fgets(line, sizeof line, stdin) != NULL) {
        int status = 0;
        line[strcspn(line, "\n")] = '\0';
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            enum verdict verdict = run_test(line, write, opset);
            fflush(stdout);
            _exit((int)verdict);
        }
        if (child < 0 || waitpid(child, &status, 0) != child || WIFSIGNALED(status))
            printf("FAIL %s: it crashed\n", strrchr(line, '/') + 1);
        failed |= !WIFEXITED(status) || WEXITSTATUS(status) == FAILED;
    }
    return failed ? 1 : 0;
}
