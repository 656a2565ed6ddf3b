#include "coordinator/job/pseudo_labels.h"

#include <math.h>
#include <stdlib.h>

#include "common/data/manifest.h"
#include "common/tensor/softmax.h"

double pseudo_labels_fraction(const struct loss_config *losses, uint32_t epoch, uint32_t epochs)
{
    double done = epochs > 1 ? (double)epoch / (double)(epochs - 1) : 1.0;
    return losses->fraction_first +
           (losses->fraction_last - losses->fraction_first) * fmin(1.0, done);
}

static struct guess guess_of(const float *logits, size_t classes, uint32_t sample)
{
    size_t best = 0;
    for (size_t k = 1; k < classes; k++)
        if (logits[k] > logits[best])
            best = k;
    double confidence = exp(logits[best] - softmax_log_normaliser(logits, classes));
    return (struct guess){(int32_t)best, sample, confidence};
}

/* By label, the most confident first, then the earlier sample. */
static int compare_guesses(const void *left, const void *right)
{
    const struct guess *a = left, *b = right;
    if (a->label != b->label)
        return a->label < b->label ? -1 : 1;
    if (a->confidence != b->confidence)
        return a->confidence > b->confidence ? -1 : 1;
    return a->sample < b->sample ? -1 : 1;
}

size_t pseudo_labels_choose(const struct predictions *predictions, double fraction,
                            double confidence_min, struct guess *room, int32_t *labels)
{
    size_t guessed = 0, chosen = 0, classes = predictions->classes;
    for (size_t i = 0; i < predictions->count; i++) {
        labels[i] = LABEL_NONE;
        if (predictions->readable[i])
            room[guessed++] = guess_of(predictions->logits + i * classes, classes, (uint32_t)i);
    }
    qsort(room, guessed, sizeof *room, compare_guesses);
    for (size_t first = 0, end; first < guessed; first = end) {
        for (end = first; end < guessed && room[end].label == room[first].label;)
            end++;
        size_t most = (size_t)ceil(fraction * (double)(end - first));
        for (size_t i = first; i < first + most && room[i].confidence >= confidence_min;
             i++, chosen++)
            labels[room[i].sample] = room[i].label;
    }
    return chosen;
}
