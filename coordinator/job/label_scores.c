/* Scores of labels that are there or not (scores.h), each decided on its own. */
#include <math.h>

#include "common/tensor/sigmoid.h"
#include "coordinator/job/auc.h"
#include "coordinator/job/scores.h"

struct decisions {
    uint64_t right, wrong, hits; /* hits: there and predicted */
    uint64_t there, predicted;
};

/* 2·hits/(there + predicted); NAN where there is neither. */
static double f1_of(const struct decisions *d)
{
    return d->there + d->predicted > 0 ? 2.0 * (double)d->hits / (double)(d->there + d->predicted)
                                       : NAN;
}

static void count(struct decisions *d, bool there, bool predicted)
{
    d->right += there == predicted;
    d->wrong += there != predicted;
    d->hits += there && predicted;
    d->there += there;
    d->predicted += predicted;
}

static struct decisions decisions_of(const struct predictions *predictions,
                                     const struct truth *truth, size_t k)
{
    struct decisions d = {0};
    for (size_t i = 0; i < predictions->count; i++)
        if (score_counts(predictions, truth, i))
            count(&d, truth->targets[i * predictions->classes + k] > 0.5f,
                  predictions->logits[i * predictions->classes + k] >= 0);
    return d;
}

static bool all_right(const float *logits, const float *targets, size_t labels)
{
    for (size_t k = 0; k < labels; k++)
        if ((logits[k] >= 0) != (targets[k] > 0.5f))
            return false;
    return true;
}

static void count_samples(const struct predictions *predictions, const struct truth *truth,
                          struct score *score)
{
    size_t labels = score->classes, exact = 0;
    for (size_t i = 0; i < predictions->count; i++)
        if (score_counts(predictions, truth, i)) {
            score->samples++;
            exact +=
                all_right(predictions->logits + i * labels, truth->targets + i * labels, labels);
        }
    score->exact_match = score->samples > 0 ? (double)exact / (double)score->samples : NAN;
}

/* Σ over bins of (decisions in it / all)·|share that is there − mean probability|. */
static double calibration_error(const struct predictions *predictions, const struct truth *truth)
{
    double there[SCORE_BINS] = {0}, sum[SCORE_BINS] = {0}, error = 0;
    size_t seen = 0, labels = predictions->classes;
    for (size_t i = 0; i < predictions->count * labels; i++) {
        if (!score_counts(predictions, truth, i / labels))
            continue;
        double p = sigmoid(predictions->logits[i]);
        size_t bin = p < 1 ? (size_t)(p * SCORE_BINS) : SCORE_BINS - 1;
        seen++;
        sum[bin] += p;
        there[bin] += truth->targets[i] > 0.5f;
    }
    for (size_t b = 0; b < SCORE_BINS; b++)
        error += fabs(there[b] - sum[b]);
    return seen > 0 ? error / (double)seen : NAN;
}

enum status label_scores_fill(const struct predictions *predictions, const struct truth *truth,
                              struct score *score, struct error *err)
{
    struct decisions all = {0};
    double f1 = 0;
    size_t present = 0;
    for (size_t k = 0; k < score->classes; k++) {
        struct decisions d = decisions_of(predictions, truth, k);
        score->per_class[k] = f1_of(&d);
        score->support[k] = d.there;
        f1 += isnan(score->per_class[k]) ? 0 : score->per_class[k];
        present += isnan(score->per_class[k]) ? 0 : 1;
        all.right += d.right;
        all.wrong += d.wrong;
        all.hits += d.hits;
        all.there += d.there;
        all.predicted += d.predicted;
    }
    count_samples(predictions, truth, score);
    score->macro_f1 = present > 0 ? f1 / (double)present : NAN;
    score->micro_f1 = f1_of(&all);
    score->accuracy =
        score->samples > 0 ? (double)all.right / (double)(all.right + all.wrong) : NAN;
    score->calibration_error = calibration_error(predictions, truth);
    return auc_mean(predictions, truth, &score->auc, err);
}
