#include "coordinator/job/auc.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "common/tensor/softmax.h"

struct ranked {
    double rank; /* grows with the probability */
    bool hit;    /* of the class */
};

static int compare(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

/* Of sorted samples. Each hit counts the others below it, and half of those beside it. */
static double area(const struct ranked *samples, size_t count)
{
    double wins = 0, below = 0, all_hits = 0;
    for (size_t first = 0, end; first < count; first = end) {
        double hits = 0;
        for (end = first; end < count && samples[end].rank == samples[first].rank; end++)
            hits += samples[end].hit;
        double others = (double)(end - first) - hits;
        wins += hits * (below + others / 2);
        below += others;
        all_hits += hits;
    }
    return all_hits > 0 && below > 0 ? wins / (all_hits * below) : NAN;
}

static size_t collect(const struct predictions *predictions, const struct truth *truth, size_t k,
                      struct ranked *out)
{
    size_t count = 0, classes = predictions->classes;
    for (size_t i = 0; i < predictions->count; i++) {
        const float *logits = predictions->logits + i * classes;
        if (!score_counts(predictions, truth, i))
            continue;
        if (truth->task == DATA_MULTILABEL)
            out[count++] = (struct ranked){logits[k], truth->targets[i * classes + k] > 0.5f};
        else
            out[count++] = (struct ranked){logits[k] - softmax_log_normaliser(logits, classes),
                                           (size_t)truth->labels[i] == k};
    }
    return count;
}

enum status auc_mean(const struct predictions *predictions, const struct truth *truth, double *out,
                     struct error *err)
{
    struct ranked *room = memory_alloc(predictions->count + 1, sizeof *room);
    double sum = 0;
    size_t classes = 0;
    if (room == NULL)
        return error_set(err, ERR_MEMORY, "no memory to rank %zu predictions", predictions->count);
    for (size_t k = 0; k < predictions->classes; k++) {
        size_t count = collect(predictions, truth, k, room);
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
