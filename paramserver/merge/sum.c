#include <string.h>

#include "paramserver/merge/merge.h"

void merge_sum(float *const *gradients, size_t domains, size_t elements, float *out)
{
    memcpy(out, gradients[0], elements * sizeof *out);
    for (size_t d = 1; d < domains; d++)
        for (size_t i = 0; i < elements; i++)
            out[i] += gradients[d][i];
}
