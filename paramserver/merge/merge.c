#include "paramserver/merge/merge.h"

void merge_gradients(enum merge_kind kind, float *const *gradients, size_t domains, size_t elements,
                     float *out)
{
    switch (kind) {
    case MERGE_SUM:
        merge_sum(gradients, domains, elements, out);
        break;
    case MERGE_PCGRAD:
        merge_pcgrad(gradients, domains, elements, out);
        break;
    case MERGE_AGREEMENT:
        merge_agreement(gradients, domains, elements, out);
        break;
    }
}
