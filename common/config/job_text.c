#include "common/config/job_text.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/job_memory.h"
#include "common/config/key_table.h"
#include "common/config/key_value.h"

struct writer {
    FILE *to;
    bool digest; /* leave out what does not change the result */
};

static void write_quoted(FILE *to, const char *text)
{
    fputc('"', to);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', to);
        fputc(*text, to);
    }
    fputc('"', to);
}

/* The fewest digits that read back as the same double; always with a point or exponent, so that it
 * stays a float. */
static void write_real(FILE *to, double value)
{
    char text[40];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    fprintf(to, "%s%s", text, strpbrk(text, ".e") == NULL ? ".0" : "");
}

static void write_whole(FILE *to, const struct key *key, const void *at)
{
    int64_t value;
    int32_t narrow;
    if (key->size == sizeof value) {
        memcpy(&value, at, sizeof value);
    } else {
        CHECK(key->size == sizeof narrow);
        memcpy(&narrow, at, sizeof narrow);
        value = key->least < 0 ? narrow : (int64_t)(uint32_t)narrow;
    }
    fprintf(to, "%lld%s", (long long)value, value > INT32_MAX ? "L" : "");
}

static void write_choice(FILE *to, const struct key *key, const void *at)
{
    uint32_t index = 0;
    memcpy(&index, at, key->size); /* little endian, as everywhere graft runs */
    write_quoted(to, key->choices[index]);
}

static void write_texts(FILE *to, const char *const *texts, size_t count)
{
    fputs("[", to);
    for (size_t i = 0; i < count; i++) {
        fputs(i > 0 ? ", " : "", to);
        write_quoted(to, texts[i]);
    }
    fputs("]", to);
}

static void write_reals(FILE *to, const double *values, size_t count)
{
    fputs("[", to);
    for (size_t i = 0; i < count; i++) {
        fputs(i > 0 ? ", " : "", to);
        write_real(to, values[i]);
    }
    fputs("]", to);
}

static void write_group(const struct writer *writer, const char *schema, void *base, int indent);

static void write_list(const struct writer *writer, const struct key *key, void *base, int indent)
{
    char schema[KEY_PATH_BYTES];
    char *elements;
    memcpy(&elements, key_value_at(key, base), sizeof elements);
    size_t count = *key_value_count(key, base);
    snprintf(schema, sizeof schema, "%s[]", key->path);
    fputs("(", writer->to);
    for (size_t i = 0; i < count; i++) {
        fputs(i > 0 ? ", {\n" : " {\n", writer->to);
        write_group(writer, schema, elements + i * key->size, indent + 2);
        fprintf(writer->to, "%*s}", indent, "");
    }
    fputs(" )", writer->to);
}

static void write_value(const struct writer *writer, const struct key *key, void *base, int indent)
{
    void *at = key_value_at(key, base);
    switch (key->type) {
    case KEY_GROUP:
        fputs("{\n", writer->to);
        write_group(writer, key->path, base, indent + 2);
        fprintf(writer->to, "%*s}", indent, "");
        return;
    case KEY_LIST:
        write_list(writer, key, base, indent);
        return;
    case KEY_WHOLE:
        write_whole(writer->to, key, at);
        return;
    case KEY_REAL:
        write_real(writer->to, *(double *)at);
        return;
    case KEY_SWITCH:
        fputs(*(bool *)at ? "true" : "false", writer->to);
        return;
    case KEY_TEXT:
        write_quoted(writer->to, *(const char **)at);
        return;
    case KEY_CHOICE:
        write_choice(writer->to, key, at);
        return;
    case KEY_TEXTS:
        write_texts(writer->to, *(const char *const **)at, *key_value_count(key, base));
        return;
    case KEY_REALS:
        write_reals(writer->to, at, *key_value_count(key, base));
        return;
    }
}

/* Recursion over the table: bounded by its longest path. */
static void write_group(const struct writer *writer, const char *schema, void *base, int indent)
{
    size_t count;
    const struct key *keys = key_table(&count);
    for (size_t i = 0; i < count; i++) {
        if (!key_is_child(&keys[i], schema) || (writer->digest && (keys[i].flags & KEY_LOCAL)))
            continue;
        fprintf(writer->to, "%*s%s = ", indent, "", key_name(&keys[i]));
        write_value(writer, &keys[i], base, indent);
        fputs(";\n", writer->to);
    }
}

/* Whole text in memory of its own (free()); NULL when memory is refused. */
static char *write_job(struct job *job, bool digest, size_t *bytes)
{
    char *text = NULL;
    struct writer writer = {open_memstream(&text, bytes), digest};
    if (writer.to == NULL)
        return NULL;
    write_group(&writer, "", job, 0);
    bool failed = ferror(writer.to) != 0;
    failed |= fclose(writer.to) != 0;
    if (failed) {
        free(text);
        return NULL;
    }
    return text;
}

enum status job_text_note(const struct job *job, char **out, struct error *err)
{
    size_t count, bytes = 0;
    const struct key *keys = key_table(&count);
    char *text = NULL;
    struct job noted = *job;
    struct writer writer = {open_memstream(&text, &bytes), false};
    if (job_is_text(&job->data.preprocess))
        noted.data.preprocess.text.vocabulary = JOB_TEXT_VOCABULARY;
    for (size_t i = 0; i < count && writer.to != NULL; i++)
        if (strcmp(keys[i].path, "data.task") == 0 || strcmp(keys[i].path, "data.classes") == 0 ||
            strcmp(keys[i].path, "data.preprocess") == 0) {
            fprintf(writer.to, "%s = ", key_name(&keys[i]));
            write_value(&writer, &keys[i], &noted, 0);
            fputs(";\n", writer.to);
        }
    if (writer.to != NULL && fclose(writer.to) == 0) {
        *out = text;
        return OK;
    }
    free(text);
    return error_set(err, ERR_MEMORY, "no memory for the model's note");
}

enum status job_text_open_note(const char *note, size_t sources, struct job **out,
                               struct error *err)
{
    char *text = NULL;
    size_t bytes = 0;
    bool texts = strstr(note, "\"" JOB_TEXT_VOCABULARY "\"") != NULL;
    FILE *to = open_memstream(&text, &bytes);
    if (to == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the model's note");
    fprintf(to, "model = { file = \"%s\"; };\n", texts ? JOB_TEXT_VOCABULARY : "");
    fprintf(to, "data = {\n%sdomains = ( { name = \"input\"; divide = [1, 0, 0]; sources = (",
            note);
    for (size_t i = 0; i < sources; i++)
        fprintf(to, "%s{ format = %s; path = \".\"; }", i > 0 ? ", " : " ",
                texts ? "\"text\"; label_column = 1" : "\"list\"");
    fputs(" ); } ); };\nstages = ( { name = \"input\"; domains = [\"input\"]; } );\n", to);
    enum status status = fclose(to) == 0 ? job_load(NULL, text, NULL, 0, out, err)
                                         : error_set(err, ERR_MEMORY, "no memory for a job");
    free(text);
    if (status != OK)
        error_prefix(err, "the model's note");
    return status;
}

enum status job_text_resolve(struct job *job, struct error *err)
{
    size_t bytes = 0, digest_bytes = 0;
    char *text = write_job(job, false, &bytes);
    char *covered = write_job(job, true, &digest_bytes);
    const char *kept = text == NULL ? NULL : job_memory_dup_text(job, text);
    enum status status = OK;
    if (kept == NULL || covered == NULL)
        status = error_set(err, ERR_MEMORY, "no memory for the resolved configuration");
    else if (bytes > JOB_CONFIG_BYTES_MAX)
        status = error_set(err, ERR_INPUT,
                           "the configuration with all defaults has %zu bytes, the limit is %d",
                           bytes, JOB_CONFIG_BYTES_MAX);
    if (status == OK) {
        job->text = kept;
        job->text_bytes = bytes;
        job->digest = digest_of(covered, digest_bytes);
    }
    free(text);
    free(covered);
    return status;
}
