#include "worker/data/image.h"

#include <setjmp.h>
#include <stdio.h>

#include <jerror.h>
#include <jpeglib.h>

#define SCANS_MAX 200 /* a progressive file of a few KiB can ask for hours of scans */

/* Everything that outlives a longjmp lives here, in the frame below the one that called setjmp: no
 * local variable of that function changes in between, so nothing is indeterminate after the jump.
 */
struct reading {
    struct jpeg_error_mgr errors; /* first: libjpeg hands it back as a pointer to itself */
    jmp_buf back;
    struct jpeg_decompress_struct jpeg;
    struct jpeg_progress_mgr progress;
    struct image *image;
    enum status status;
    struct error *err;
};

static struct reading *reading_of(j_common_ptr jpeg)
{
    return (struct reading *)(void *)jpeg->err;
}

static _Noreturn void give_up(struct reading *reading)
{
    longjmp(reading->back, 1);
}

static _Noreturn void on_error(j_common_ptr jpeg)
{
    char reason[JMSG_LENGTH_MAX];
    struct reading *reading = reading_of(jpeg);
    jpeg->err->format_message(jpeg, reason);
    reading->status = error_set(reading->err, ERR_INPUT, "JPEG: %.200s", reason);
    give_up(reading);
}

/* Most warnings are harmless; those two mean that data is missing, and libjpeg would go on with
 * gray. */
static void on_message(j_common_ptr jpeg, int level)
{
    int code = jpeg->err->msg_code;
    if (level < 0 && (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER))
        on_error(jpeg);
}

static void on_output(j_common_ptr jpeg)
{
    (void)jpeg; /* nothing to standard error: the caller reports */
}

static void on_progress(j_common_ptr jpeg)
{
    struct reading *reading = reading_of(jpeg);
    if (!jpeg->is_decompressor || reading->jpeg.input_scan_number <= SCANS_MAX)
        return;
    reading->status = error_set(reading->err, ERR_INPUT, "JPEG: more than %d scans", SCANS_MAX);
    give_up(reading);
}

static void read_header(struct reading *reading, const uint8_t *data, size_t bytes, bool gray)
{
    struct jpeg_decompress_struct *jpeg = &reading->jpeg;
    jpeg_create_decompress(jpeg);
    jpeg->progress = &reading->progress;
    jpeg_mem_src(jpeg, data, (unsigned long)bytes);
    jpeg_read_header(jpeg, TRUE);
    bool one = gray || jpeg->num_components == 1;
    jpeg->out_color_space = one ? JCS_GRAYSCALE : JCS_RGB;
    uint32_t channels = one ? 1 : 3;
    reading->status = image_resize(reading->image, jpeg->image_width, jpeg->image_height, channels,
                                   channels, reading->err);
    if (reading->status != OK)
        give_up(reading);
}

static void read_rows(struct reading *reading)
{
    struct jpeg_decompress_struct *jpeg = &reading->jpeg;
    size_t row_bytes = (size_t)reading->image->width * reading->image->channels;
    jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = reading->image->pixels + jpeg->output_scanline * row_bytes;
        jpeg_read_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_decompress(jpeg);
}

static void read_all(struct reading *reading, const uint8_t *data, size_t bytes, bool gray)
{
    if (setjmp(reading->back) != 0)
        return;
    read_header(reading, data, bytes, gray);
    read_rows(reading);
}

enum status image_jpeg(const uint8_t *data, size_t bytes, bool gray, struct image *image,
                       struct error *err)
{
    struct reading reading = {.image = image, .err = err, .status = OK};
    reading.jpeg.err = jpeg_std_error(&reading.errors);
    reading.errors.error_exit = on_error;
    reading.errors.emit_message = on_message;
    reading.errors.output_message = on_output;
    reading.progress.progress_monitor = on_progress;
    read_all(&reading, data, bytes, gray);
    jpeg_destroy_decompress(&reading.jpeg);
    return reading.status;
}
