#include "worker/data/text_sample.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/model/vocabulary.h"
#include "worker/data/wordpiece.h"

struct text_sample {
    struct wordpiece *wordpiece;
    enum text_input inputs[MODEL_TEXT_INPUTS];
    size_t input_count, length;
    uint32_t *ids; /* [length] */
    char *field;   /* [room] */
    size_t room;
};

static enum status fill(struct text_sample *maker, const struct text_config *config,
                        struct error *err)
{
    char path[PATH_BYTES];
    char *vocabulary = NULL;
    maker->ids = memory_alloc(maker->length, sizeof *maker->ids);
    if (maker->ids == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %zu tokens", maker->length);
    enum status status = job_path(config->vocabulary, path, err);
    if (status == OK)
        status = vocabulary_read(path, &vocabulary, err);
    if (status != OK)
        return status;
    status = wordpiece_create(vocabulary, config->lower_case, &maker->wordpiece, err);
    memory_free(vocabulary);
    return status == OK ? OK : error_prefix(err, "%s", path);
}

enum status text_sample_create(const struct text_config *config, const struct model *model,
                               struct text_sample **out, struct error *err)
{
    CHECK(model->text_input_count > 0);
    struct text_sample *maker = memory_alloc(1, sizeof *maker);
    if (maker == NULL)
        return error_set(err, ERR_MEMORY, "no memory for texts");
    memcpy(maker->inputs, model->text_inputs, sizeof maker->inputs);
    maker->input_count = model->text_input_count;
    maker->length = config->length;
    enum status status = fill(maker, config, err);
    if (status == OK)
        *out = maker;
    else
        text_sample_destroy(&maker);
    return status;
}

void text_sample_destroy(struct text_sample **maker)
{
    if (*maker == NULL)
        return;
    wordpiece_destroy(&(*maker)->wordpiece);
    memory_free((*maker)->ids);
    memory_free((*maker)->field);
    memory_free(*maker);
    *maker = NULL;
}

size_t text_sample_elements(const struct text_sample *maker)
{
    return maker->input_count * maker->length;
}

static enum status make_room(struct text_sample *maker, size_t bytes, struct error *err)
{
    if (bytes <= maker->room)
        return OK;
    memory_free(maker->field);
    maker->room = 0;
    maker->field = memory_alloc(2, bytes);
    if (maker->field == NULL)
        return error_set(err, ERR_MEMORY, "no memory for a text of %zu bytes", bytes);
    maker->room = 2 * bytes;
    return OK;
}

static float number_at(const struct text_sample *maker, enum text_input input, size_t token,
                       size_t used)
{
    if (input == TEXT_IDS)
        return (float)maker->ids[token];
    return input == TEXT_MASK && token < used ? 1.0f : 0.0f;
}

enum status text_sample_make(struct text_sample *maker, enum text_form form,
                             const struct text_row *row, size_t column, float *out,
                             struct error *err)
{
    enum status status = make_room(maker, row->length, err);
    if (status != OK)
        return status;
    size_t bytes = text_row_copy(form, row, column, maker->field);
    if (bytes == SIZE_MAX)
        return error_set(err, ERR_STATE, "changed since the manifest was made (no column %zu)",
                         column);
    size_t used =
        wordpiece_encode(maker->wordpiece, maker->field, bytes, maker->ids, maker->length);
    for (size_t i = 0; i < maker->input_count; i++)
        for (size_t token = 0; token < maker->length; token++)
            out[i * maker->length + token] = number_at(maker, maker->inputs[i], token, used);
    return OK;
}
