/* Decodes samples of a manifest into the network's input form. Opens the sources once; image files
 * are opened as they are read. Owned by one thread at a time. No heap call in the steady state but
 * what libjpeg and libpng make. */
#ifndef GRAFT_WORKER_DATA_DECODER_H
#define GRAFT_WORKER_DATA_DECODER_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/config/job.h"
#include "common/data/manifest.h"
#include "common/model/model.h"

struct decoder;

/* `job` and `manifest` are borrowed until decoder_close; `model` says which inputs texts become and
 * may be NULL when samples are none. Errors: ERR_IO, ERR_INPUT, ERR_STATE (a file no longer has the
 * form it had), ERR_MEMORY. */
enum status decoder_open(const struct job *job, const struct manifest *manifest,
                         const struct model *model, struct decoder **out,
                         struct error *err) MUST_CHECK;
void decoder_close(struct decoder **decoder);

/* Floats of one sample: channels * height * width of data.preprocess, or a text's (text_sample.h). */
size_t decoder_elements(const struct decoder *decoder);

/* Writes out[channels, height, width], preprocessed, or a text's tokens; undefined content on failure. `variant` > 0:
 * changed by data.augment. Blocks on the disk. Errors, with the file's name: ERR_INPUT, ERR_SUPPORT, ERR_IO: this sample can't be read,
 * others may; ERR_STATE: the data changed since the manifest was made; ERR_MEMORY. */
enum status decoder_read(struct decoder *decoder, uint32_t sample_id, uint32_t variant, float *out,
                         struct error *err) MUST_CHECK;

#endif
