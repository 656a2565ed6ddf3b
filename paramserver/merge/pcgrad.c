#include "common/base/check.h"
#include "paramserver/merge/merge.h"

static double dot(const float *a, const float *b, size_t elements)
{
    double sum = 0;
    for (size_t i = 0; i < elements; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* All projections of g_i use the original gradients, so they reduce to coefficients: with c_ij that
 * multiplies g_j, ⟨g_i^now, g_j⟩ = Σ_k c_ik ⟨g_k, g_j⟩. The Gram matrix is all that is needed; the
 * vectors are read twice. */
void merge_pcgrad(float *const *gradients, size_t domains, size_t elements, float *out)
{
    double gram[JOB_DOMAINS_MAX][JOB_DOMAINS_MAX];
    double factor[JOB_DOMAINS_MAX] = {0};
    CHECK(domains <= JOB_DOMAINS_MAX);
    for (size_t i = 0; i < domains; i++)
        for (size_t j = 0; j <= i; j++)
            gram[i][j] = gram[j][i] = dot(gradients[i], gradients[j], elements);
    for (size_t i = 0; i < domains; i++) {
        double own[JOB_DOMAINS_MAX] = {0};
        own[i] = 1;
        for (size_t j = 0; j < domains; j++) {
            double along = 0;
            for (size_t k = 0; k < domains; k++)
                along += own[k] * gram[k][j];
            if (j != i && along < 0 && gram[j][j] > 0)
                own[j] -= along / gram[j][j];
        }
        for (size_t k = 0; k < domains; k++)
            factor[k] += own[k];
    }
    for (size_t i = 0; i < elements; i++) {
        double sum = 0;
        for (size_t k = 0; k < domains; k++)
            sum += factor[k] * (double)gradients[k][i];
        out[i] = (float)sum;
    }
}
