#include "worker/engine/ops/depthwise.h"

#include <string.h>

/* Sixteen channels at a time are brought side by side, so that one tap of all sixteen is one vector
 * operation. */
#define LANES ((size_t)16)

struct depthwise {
    size_t samples, channels, height, width, out_height, out_width, kernel_height, kernel_width;
    const struct attributes *at;
};

static struct depthwise depthwise_of(const struct op_site *site)
{
    const struct shape x = op_picture(&site->x_shape[0]), y = op_picture(&site->y_shape);
    const struct shape w = op_picture(&site->x_shape[1]);
    return (struct depthwise){.samples = (size_t)x.dims[0],
                              .channels = (size_t)x.dims[1],
                              .height = (size_t)x.dims[2],
                              .width = (size_t)x.dims[3],
                              .out_height = (size_t)y.dims[2],
                              .out_width = (size_t)y.dims[3],
                              .kernel_height = (size_t)w.dims[2],
                              .kernel_width = (size_t)w.dims[3],
                              .at = &site->node->attributes};
}

bool depthwise_fits(const struct op_site *site)
{
    int64_t groups = site->node->attributes.groups;
    return groups > 1 && site->x_shape[0].dims[1] == groups && site->y_shape.dims[1] == groups;
}

size_t depthwise_scratch(const struct op_site *site)
{
    struct depthwise d = depthwise_of(site);
    return LANES *
           (d.height * d.width + d.out_height * d.out_width + d.kernel_height * d.kernel_width + 1);
}

/* planes [count][n] → packed [n][LANES], missing lanes zero. */
static void pack(const float *planes, size_t count, size_t n, float *packed)
{
    if (count < LANES)
        memset(packed, 0, n * LANES * sizeof *packed);
    for (size_t lane = 0; lane < count; lane++)
        for (size_t i = 0; i < n; i++)
            packed[i * LANES + lane] = planes[lane * n + i];
}

/* Output positions whose input, tap `tap` of the window, lies inside the picture: begin ≤ position
 * < end. */
static void valid_range(const struct depthwise *d, size_t axis, size_t tap, size_t extent,
                        size_t out_extent, size_t *begin, size_t *end)
{
    int64_t shift = (int64_t)tap * d->at->dilations[axis] - d->at->pads[axis],
            stride = d->at->strides[axis];
    int64_t first = shift >= 0 ? 0 : (-shift + stride - 1) / stride;
    int64_t last = (int64_t)extent - 1 - shift < 0 ? -1 : ((int64_t)extent - 1 - shift) / stride;
    int64_t limit = last + 1 < (int64_t)out_extent ? last + 1 : (int64_t)out_extent;
    *begin = (size_t)first;
    *end = limit < first ? (size_t)first : (size_t)limit;
}

/* sums [LANES] += Σ over `count` positions of x·dy, x advancing by `step` positions */
OP_CLONES static void row_products(const float *restrict x, size_t step, const float *restrict dy,
                                   size_t count, float *restrict sums)
{
    float local[LANES];
    memcpy(local, sums, sizeof local);
    for (size_t i = 0; i < count; i++)
        for (size_t lane = 0; lane < LANES; lane++)
            local[lane] += x[i * step * LANES + lane] * dy[i * LANES + lane];
    memcpy(sums, local, sizeof local);
}

static void tap_products(const struct depthwise *d, size_t tap_row, size_t tap_column,
                         const float *x, const float *dy, float *sums)
{
    size_t top, bottom, left, right;
    size_t step = (size_t)d->at->strides[1];
    valid_range(d, 0, tap_row, d->height, d->out_height, &top, &bottom);
    valid_range(d, 1, tap_column, d->width, d->out_width, &left, &right);
    int64_t column = (int64_t)left * d->at->strides[1] + (int64_t)tap_column * d->at->dilations[1] -
                     d->at->pads[1];
    for (size_t i = top; i < bottom && left < right; i++) {
        int64_t row = (int64_t)i * d->at->strides[0] + (int64_t)tap_row * d->at->dilations[0] -
                      d->at->pads[0];
        row_products(x + ((size_t)row * d->width + (size_t)column) * LANES, step,
                     dy + (i * d->out_width + left) * LANES, right - left, sums);
    }
}

OP_CLONES static void plane_sums(const float *restrict dy, size_t n, float *restrict sums)
{
    for (size_t i = 0; i < n; i++)
        for (size_t lane = 0; lane < LANES; lane++)
            sums[lane] += dy[i * LANES + lane];
}

/* Sixteen channels of all samples; sums [taps + 1][LANES], the last row for the bias. */
static void channel_sums(const struct depthwise *d, const float *x, const float *dy, size_t channel,
                         size_t count, float *sums, float *packed)
{
    size_t n = d->height * d->width, out_n = d->out_height * d->out_width;
    float *packed_dy = packed + n * LANES;
    size_t taps = d->kernel_height * d->kernel_width;
    memset(sums, 0, (taps + 1) * LANES * sizeof *sums);
    for (size_t s = 0; s < d->samples; s++) {
        pack(x + (s * d->channels + channel) * n, count, n, packed);
        pack(dy + (s * d->channels + channel) * out_n, count, out_n, packed_dy);
        for (size_t tap = 0; tap < taps; tap++)
            tap_products(d, tap / d->kernel_width, tap % d->kernel_width, packed, packed_dy,
                         sums + tap * LANES);
        plane_sums(packed_dy, out_n, sums + taps * LANES);
    }
}

void depthwise_weight(const struct op_site *site, const float *x, const float *dy, float *dw,
                      float *db, float *scratch)
{
    const struct depthwise d = depthwise_of(site);
    size_t taps = d.kernel_height * d.kernel_width;
    float *sums = scratch, *packed = scratch + (taps + 1) * LANES;
    for (size_t channel = 0; channel < d.channels; channel += LANES) {
        size_t count = d.channels - channel < LANES ? d.channels - channel : LANES;
        channel_sums(&d, x, dy, channel, count, sums, packed);
        for (size_t lane = 0; lane < count; lane++) {
            for (size_t tap = 0; tap < taps && dw != NULL; tap++)
                dw[(channel + lane) * taps + tap] = sums[tap * LANES + lane];
            if (db != NULL)
                db[channel + lane] = sums[taps * LANES + lane];
        }
    }
}
