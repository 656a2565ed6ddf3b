#include "worker/data/preprocess.h"

#include <math.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"

/* One output coordinate's two neighbours in the input and the share of the second. */
struct tap {
    uint32_t low, high;
    float share;
};

struct preprocess {
    const struct preprocess_config *config;
    struct tap *taps; /* of the output columns, for pictures of `taps_width` */
    uint32_t taps_width;
    float *rows[2]; /* two input rows as floats, [width, working channels] */
    size_t row_room;
};

enum status preprocess_create(const struct preprocess_config *config, struct preprocess **out,
                              struct error *err)
{
    struct preprocess *p = memory_alloc(1, sizeof *p);
    if (p != NULL)
        p->taps = memory_alloc(config->width, sizeof *p->taps);
    if (p == NULL || p->taps == NULL) {
        preprocess_destroy(&p);
        return error_set(err, ERR_MEMORY, "no memory for inputs %u wide", config->width);
    }
    p->config = config;
    *out = p;
    return OK;
}

void preprocess_destroy(struct preprocess **preprocess)
{
    struct preprocess *p = *preprocess;
    if (p != NULL) {
        memory_free(p->taps);
        memory_free(p->rows[0]);
        memory_free(p->rows[1]);
    }
    memory_free(p);
    *preprocess = NULL;
}

size_t preprocess_elements(const struct preprocess *preprocess)
{
    const struct preprocess_config *config = preprocess->config;
    return (size_t)config->channels * config->height * config->width;
}

static struct tap tap_at(uint32_t index, uint32_t in, uint32_t out)
{
    double at = (index + 0.5) * in / out - 0.5;
    double last = in - 1.0;
    at = at < 0 ? 0 : at > last ? last : at;
    struct tap tap = {.low = (uint32_t)floor(at)};
    tap.high = tap.low + 1 < in ? tap.low + 1 : tap.low;
    tap.share = (float)(at - tap.low);
    return tap;
}

static enum status prepare(struct preprocess *p, const struct picture *picture, uint32_t channels,
                           struct error *err)
{
    size_t wanted = (size_t)picture->width * channels;
    for (int i = 0; i < 2 && wanted > p->row_room; i++) {
        memory_free(p->rows[i]);
        p->rows[i] = memory_alloc(wanted, sizeof(float));
    }
    if (p->rows[0] == NULL || p->rows[1] == NULL) {
        p->row_room = 0;
        return error_set(err, ERR_MEMORY, "no memory for a picture %u wide", picture->width);
    }
    p->row_room = wanted > p->row_room ? wanted : p->row_room;
    if (picture->width != p->taps_width) {
        for (uint32_t x = 0; x < p->config->width; x++)
            p->taps[x] = tap_at(x, picture->width, p->config->width);
        p->taps_width = picture->width;
    }
    return OK;
}

static float value_at(const struct picture *picture, size_t index)
{
    return picture->bytes != NULL ? (float)picture->bytes[index] : picture->values[index];
}

/* Input row `y` as floats with `channels` numbers a pixel. */
static void fetch_row(const struct picture *picture, uint32_t y, uint32_t channels, float *row)
{
    size_t numbers = (size_t)picture->width * picture->channels;
    size_t stride = picture->stride > 0 ? picture->stride : picture->width;
    size_t start = ((y + (size_t)picture->top) * stride + picture->left) * picture->channels;
    if (channels == picture->channels) {
        for (size_t i = 0; i < numbers; i++)
            row[i] = value_at(picture, start + i);
        return;
    }
    CHECK(channels == 1 && picture->channels == 3);
    for (size_t x = 0; x < picture->width; x++)
        row[x] = 0.299f * value_at(picture, start + 3 * x) +
                 0.587f * value_at(picture, start + 3 * x + 1) +
                 0.114f * value_at(picture, start + 3 * x + 2);
}

static float mix(float a, float b, float share)
{
    return a + (b - a) * share;
}

/* One output row: the two rows mixed, resized, and normalised into every output channel. */
static void write_row(const struct preprocess *p, uint32_t channels, uint32_t y, float share,
                      const float *low, const float *high, float *out)
{
    const struct preprocess_config *config = p->config;
    size_t plane = (size_t)config->width * config->height;
    for (uint32_t c = 0; c < config->channels; c++) {
        uint32_t from = channels == 1 ? 0 : c;
        float mean = (float)config->mean[c], deviation = (float)config->std[c];
        float *to = out + c * plane + (size_t)y * config->width;
        for (uint32_t x = 0; x < config->width; x++) {
            const struct tap tap = p->taps[x];
            size_t a = (size_t)tap.low * channels + from, b = (size_t)tap.high * channels + from;
            float v = mix(mix(low[a], low[b], tap.share), mix(high[a], high[b], tap.share), share);
            v = config->invert ? 255.0f - v : v;
            to[x] = (v - mean) / deviation;
        }
    }
}

enum status preprocess_run(struct preprocess *p, const struct picture *picture, float *out,
                           struct error *err)
{
    const struct preprocess_config *config = p->config;
    CHECK(picture->width > 0 && picture->height > 0);
    uint32_t channels = picture->channels < config->channels ? picture->channels : config->channels;
    if (picture->channels != config->channels && !(channels == 1 && picture->channels == 3) &&
        !(channels == 1 && config->channels == 3))
        return error_set(err, ERR_INPUT, "%u channels can't become %u", picture->channels,
                         config->channels);
    enum status status = prepare(p, picture, channels, err);
    if (status != OK)
        return status;
    uint32_t held[2] = {UINT32_MAX, UINT32_MAX}; /* which input rows the two buffers hold */
    for (uint32_t y = 0; y < config->height; y++) {
        struct tap tap = tap_at(y, picture->height, config->height);
        uint32_t wanted[2] = {tap.low, tap.high};
        for (int i = 0; i < 2; i++) {
            uint32_t parity = wanted[i] % 2; /* neighbours never share a buffer */
            if (held[parity] != wanted[i])
                fetch_row(picture, wanted[i], channels, p->rows[parity]);
            held[parity] = wanted[i];
        }
        write_row(p, channels, y, tap.share, p->rows[tap.low % 2], p->rows[tap.high % 2], out);
    }
    return OK;
}
