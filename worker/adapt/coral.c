#include "worker/adapt/coral.h"

#include <cblas.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"

struct coral {
    size_t d, batch_max;
    double *rows;    /* [batch_max, d] */
    double *product; /* [d, d] or [batch_max, d] */
    double *delta;   /* [d, d] */
    double *means[2];
    uint64_t counts[2]; /* target, source */
    double loss;
    bool on;
};

enum status coral_create(size_t features, size_t batch_max, struct coral **out, struct error *err)
{
    struct coral *coral = memory_alloc(1, sizeof *coral);
    if (coral == NULL)
        return error_set(err, ERR_MEMORY, "no memory for CORAL");
    size_t square = features > batch_max ? features : batch_max;
    coral->d = features;
    coral->batch_max = batch_max;
    coral->rows = memory_alloc(batch_max * features, sizeof(double));
    coral->product = memory_alloc(square * features, sizeof(double));
    coral->delta = memory_alloc(features * features, sizeof(double));
    for (int i = 0; i < 2; i++)
        coral->means[i] = memory_alloc(features, sizeof(double));
    if (!coral->rows || !coral->product || !coral->delta || !coral->means[0] || !coral->means[1]) {
        coral_destroy(&coral);
        return error_set(err, ERR_MEMORY, "no memory for CORAL over %zu features", features);
    }
    *out = coral;
    return OK;
}

void coral_destroy(struct coral **coral)
{
    if (*coral == NULL)
        return;
    memory_free((*coral)->rows);
    memory_free((*coral)->product);
    memory_free((*coral)->delta);
    for (int i = 0; i < 2; i++)
        memory_free((*coral)->means[i]);
    memory_free(*coral);
    *coral = NULL;
}

void coral_moments(struct coral *coral, const float *hidden, size_t count, double *sums)
{
    size_t d = coral->d;
    CHECK(count <= coral->batch_max);
    memset(sums, 0, d * sizeof *sums);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < d; j++) {
            coral->rows[i * d + j] = hidden[i * d + j];
            sums[j] += hidden[i * d + j];
        }
    memset(coral->product, 0, d * d * sizeof(double));
    if (count > 0)
        cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, (int)d, (int)count, 1.0, coral->rows,
                    (int)d, 0.0, coral->product, (int)d);
    double *packed = sums + d;
    for (size_t j = 0; j < d; j++) {
        memcpy(packed, coral->product + j * d + j, (d - j) * sizeof *packed);
        packed += d - j;
    }
}

/* delta += sign · C of one domain; its mean is kept. */
static void add_covariance(struct coral *coral, bool source, const double *sums, uint64_t count)
{
    size_t d = coral->d;
    double n = (double)count, sign = source ? 1.0 : -1.0;
    double *mean = coral->means[source];
    const double *packed = sums + d;
    for (size_t j = 0; j < d; j++)
        mean[j] = sums[j] / n;
    for (size_t j = 0; j < d; j++)
        for (size_t k = j; k < d; k++)
            coral->delta[j * d + k] += sign * (*packed++ - n * mean[j] * mean[k]) / (n - 1.0);
    coral->counts[source] = count;
}

void coral_begin(struct coral *coral, const double *source, uint64_t source_count,
                 const double *target, uint64_t target_count)
{
    size_t d = coral->d;
    coral->loss = 0;
    coral->on = source_count >= 2 && target_count >= 2;
    if (!coral->on)
        return;
    memset(coral->delta, 0, d * d * sizeof(double));
    add_covariance(coral, true, source, source_count);
    add_covariance(coral, false, target, target_count);
    for (size_t j = 0; j < d; j++)
        for (size_t k = j; k < d; k++) {
            double value = coral->delta[j * d + k];
            coral->delta[k * d + j] = value;
            coral->loss += (k == j ? 1.0 : 2.0) * value * value;
        }
    coral->loss /= 4.0 * (double)d * (double)d;
}

double coral_loss(const struct coral *coral)
{
    return coral->loss;
}

struct loss_sum coral_gradient(struct coral *coral, bool source, const float *hidden, size_t count,
                               double weight, float *dhidden)
{
    struct loss_sum total = {0};
    size_t d = coral->d;
    if (!coral->on || count == 0)
        return total;
    double n = (double)coral->counts[source];
    double factor = (source ? 1.0 : -1.0) / ((double)d * (double)d * (n - 1.0));
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < d; j++)
            coral->rows[i * d + j] = hidden[i * d + j] - coral->means[source][j];
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)count, (int)d, (int)d, factor,
                coral->rows, (int)d, coral->delta, (int)d, 0.0, coral->product, (int)d);
    for (size_t i = 0; i < count * d; i++) {
        total.gradient_square += coral->product[i] * coral->product[i];
        dhidden[i] += (float)(weight * n * coral->product[i]);
    }
    total.samples = count;
    return total;
}
