#include "paramserver/merge/merge.h"

#include <stdbool.h>

static bool signs_agree(float *const *gradients, size_t domains, size_t i)
{
    size_t positive = 0, negative = 0;
    for (size_t d = 0; d < domains; d++) {
        positive += gradients[d][i] > 0;
        negative += gradients[d][i] < 0;
    }
    return positive == domains || negative == domains;
}

void merge_agreement(float *const *gradients, size_t domains, size_t elements, float *out)
{
    size_t kept = 0;
    for (size_t i = 0; i < elements; i++) {
        out[i] = 0;
        if (!signs_agree(gradients, domains, i))
            continue;
        kept++;
        for (size_t d = 0; d < domains; d++)
            out[i] += gradients[d][i];
    }
    float scale = (float)(1.0 / ((double)kept / (double)elements + 1e-10));
    for (size_t i = 0; kept > 0 && i < elements; i++)
        out[i] *= scale;
}
