/* The resolved configuration as text: every key of the table, in its order, with its value. Parsing
 * it again gives the same values bit for bit (numbers are written with as many digits as that
 * takes). */
#ifndef GRAFT_COMMON_CONFIG_JOB_TEXT_H
#define GRAFT_COMMON_CONFIG_JOB_TEXT_H

#include "common/base/error.h"
#include "common/config/job.h"

/* Sets job->text, text_bytes and digest. Errors: ERR_MEMORY, ERR_INPUT when longer than
 * JOB_CONFIG_BYTES_MAX. */
enum status job_text_resolve(struct job *job, struct error *err) MUST_CHECK;

/* In place of a vocabulary's path in a note: it lies beside, in the model's metadata. */
#define JOB_TEXT_VOCABULARY "graft.vocabulary"

/* A model's note (onnx/metadata.h): data.classes and data.preprocess as they stand in the group
 * `data`, which is what somebody must know who feeds the trained network. Owned by the caller
 * (free()). Errors: ERR_MEMORY. */
enum status job_text_note(const struct job *job, char **out, struct error *err) MUST_CHECK;

/* A job around a note: one domain "input" with `sources` sources that are yet to be filled in, all
 * for training. Errors: ERR_INPUT (the note is no configuration), ERR_MEMORY. */
enum status job_text_open_note(const char *note, size_t sources, struct job **out,
                               struct error *err) MUST_CHECK;

#endif
