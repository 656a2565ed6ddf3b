#include "coordinator/job/auc.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "common/data/manifest.h"
#include "common/tensor/softmax.h"

struct ranked {
    double log_p;
    bool hit; /* of the class */
};

static int compare(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    return (x->log_p > y->log_p) - (x->log_p < y->log_p);
}

/* Of sorted samples. Each hit counts the others below it, and half of those beside it. */
static double area(const struct ranked *samples, size_t count)
{
    double wins = 0, below = 0, all_hits = 0;
    for (size_t first = 0, end; first < count; first = end) {
        double hits = 0;
        for (end = first; end < count && samples[end].log_p == samples[first].log_p; end++)
            hits += samples[end].hit;
        double others = (double)(end - first) - hits;
        wins += hits * (below + others / 2);
        below += others;
        all_hits += hits;
    }
    return all_hits > 0 && below > 0 ? wins / (all_hits * below) : NAN;
}

static size_t collect(const struct predictions *predictions, const int32_t *labels, size_t k,
                      struct ranked *out)
{
    size_t count = 0;
    for (size_t i = 0; i < predictions->count; i++) {
        const float *logits = predictions->logits + i * predictions->classes;
        if (predictions->readable[i] && labels[i] != LABEL_NONE)
            out[count++] =
                (struct ranked){logits[k] - softmax_log_normaliser(logits, predictions->classes),
                                (size_t)labels[i] == k};
    }
    return count;
}

enum status auc_mean(const struct predictions *predictions, const int32_t *labels, double *out,
                     struct error *err)
{
    struct ranked *room = memory_alloc(predictions->count + 1, sizeof *room);
    double sum = 0;
    size_t classes = 0;
    if (room == NULL)
        return error_set(err, ERR_MEMORY, "no memory to rank %zu predictions", predictions->count);
    for (size_t k = 0; k < predictions->classes; k++) {
        size_t count = collect(predictions, labels, k, room);
        qsort(room, count, sizeof *room, compare);
        double one = area(room, count);
        if (isnan(one))
            continue;
        sum += one;
        classes++;
    }
    memory_free(room);
    *out = classes > 0 ? sum / (double)classes : NAN;
    return OK;
}
