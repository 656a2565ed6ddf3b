#include "worker/adapt/information.h"

#include <math.h>
#include <string.h>

#include "common/tensor/softmax.h"

void information_sums(const float *logits, size_t count, size_t classes, double *sums)
{
    memset(sums, 0, classes * sizeof *sums);
    for (size_t i = 0; i < count; i++) {
        const float *z = logits + i * classes;
        double normaliser = softmax_log_normaliser(z, classes);
        for (size_t k = 0; k < classes; k++)
            sums[k] += exp(z[k] - normaliser);
    }
}

/* log p̄_k; a class nobody predicts counts as one in 10^12, so that the gradient stays finite. */
static double log_mean(const double *sums, size_t k, uint64_t total)
{
    return log(fmax(sums[k] / (double)total, 1e-12));
}

static double add_sample(const float *z, size_t classes, const double *sums, uint64_t total,
                         double weight, float *dz, double *square)
{
    double normaliser = softmax_log_normaliser(z, classes), mean = 0, entropy = 0;
    for (size_t k = 0; k < classes; k++) {
        double log_p = z[k] - normaliser, p = exp(log_p);
        mean += p * (log_mean(sums, k, total) - log_p);
        entropy -= p * log_p;
    }
    for (size_t k = 0; k < classes; k++) {
        double log_p = z[k] - normaliser;
        double gradient = exp(log_p) * (log_mean(sums, k, total) - log_p - mean);
        dz[k] += (float)(weight * gradient);
        *square += gradient * gradient;
    }
    return entropy;
}

struct loss_sum information_gradient(const float *logits, size_t count, size_t classes,
                                     const double *sums, uint64_t total, double weight,
                                     float *dlogits)
{
    struct loss_sum sum = {.samples = count};
    double diversity = 0;
    if (total == 0)
        return (struct loss_sum){0};
    for (size_t k = 0; k < classes; k++)
        diversity += sums[k] / (double)total * log_mean(sums, k, total);
    for (size_t i = 0; i < count; i++)
        sum.loss += add_sample(logits + i * classes, classes, sums, total, weight,
                               dlogits + i * classes, &sum.gradient_square);
    sum.loss += (double)count * diversity;
    return sum;
}
