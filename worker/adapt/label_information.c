#include "worker/adapt/label_information.h"

#include <math.h>
#include <string.h>

#include "common/tensor/sigmoid.h"

void label_information_sums(const float *logits, size_t count, size_t labels, double *sums)
{
    memset(sums, 0, labels * sizeof *sums);
    for (size_t i = 0; i < count * labels; i++)
        sums[i % labels] += sigmoid(logits[i]);
}

/* log(p̄/(1 − p̄)); a label nobody (or everybody) gets counts as one in 10^12, so that the gradient
 * stays finite. */
static double mean_logit(double sum, uint64_t total)
{
    double mean = fmin(fmax(sum / (double)total, 1e-12), 1 - 1e-12);
    return log(mean / (1 - mean));
}

/* Σ_k −H(p̄_k) */
static double diversity(const double *sums, size_t labels, uint64_t total)
{
    double negative = 0;
    for (size_t k = 0; k < labels; k++) {
        double z = mean_logit(sums[k], total);
        negative += sigmoid(z) * z - sigmoid_log_normaliser(z);
    }
    return negative;
}

struct loss_sum label_information_gradient(const float *logits, size_t count, size_t labels,
                                           const double *sums, uint64_t total, double weight,
                                           float *dlogits)
{
    struct loss_sum sum = {.samples = count};
    if (total == 0)
        return (struct loss_sum){0};
    for (size_t i = 0; i < count * labels; i++) {
        double z = logits[i], p = sigmoid(z);
        double gradient =
            p * sigmoid(-z) * (mean_logit(sums[i % labels], total) - z) / (double)labels;
        sum.loss += (sigmoid_log_normaliser(z) - p * z) / (double)labels;
        sum.gradient_square += gradient * gradient;
        dlogits[i] += (float)(weight * gradient);
    }
    sum.loss += (double)count * diversity(sums, labels, total) / (double)labels;
    return sum;
}
