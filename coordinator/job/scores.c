#include "coordinator/job/scores.h"

#include <math.h>
#include <stdbool.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/config/job.h"
#include "common/data/manifest.h"
#include "common/tensor/softmax.h"
#include "coordinator/job/auc.h"

enum status predictions_create(size_t count, size_t classes, struct predictions **out,
                               struct error *err)
{
    size_t values;
    struct predictions *predictions = memory_alloc(1, sizeof *predictions);
    if (predictions != NULL && size_mul(count, classes, &values)) {
        *predictions = (struct predictions){count, classes, memory_alloc(values, sizeof(float)),
                                            memory_alloc(count, 1)};
        if (predictions->logits != NULL && predictions->readable != NULL) {
            *out = predictions;
            return OK;
        }
    }
    predictions_destroy(&predictions);
    return error_set(err, ERR_MEMORY, "no memory for %zu predictions of %zu classes", count,
                     classes);
}

void predictions_destroy(struct predictions **predictions)
{
    if (*predictions == NULL)
        return;
    memory_free((*predictions)->logits);
    memory_free((*predictions)->readable);
    memory_free(*predictions);
    *predictions = NULL;
}

size_t predictions_class(const struct predictions *predictions, size_t i)
{
    const float *logits = predictions->logits + i * predictions->classes;
    size_t best = 0;
    for (size_t k = 1; k < predictions->classes; k++)
        if (logits[k] > logits[best])
            best = k;
    return best;
}

static bool takes_part(const struct predictions *predictions, const int32_t *labels, size_t i)
{
    return predictions->readable[i] && labels[i] != LABEL_NONE;
}

static void count_confusion(const struct predictions *predictions, const int32_t *labels,
                            struct score *score)
{
    for (size_t i = 0; i < predictions->count; i++) {
        if (!takes_part(predictions, labels, i))
            continue;
        CHECK(labels[i] >= 0 && (size_t)labels[i] < score->classes);
        score->confusion[(size_t)labels[i] * score->classes + predictions_class(predictions, i)]++;
        score->samples++;
    }
}

/* Classes with a larger logit than the label, or an equal one before it. */
static size_t rank_of(const float *logits, size_t classes, size_t label)
{
    size_t rank = 0;
    for (size_t k = 0; k < classes; k++)
        rank += k < label ? logits[k] >= logits[label] : logits[k] > logits[label];
    return rank;
}

static double top_5(const struct predictions *predictions, const int32_t *labels)
{
    size_t seen = 0, hits = 0;
    for (size_t i = 0; i < predictions->count; i++)
        if (takes_part(predictions, labels, i)) {
            seen++;
            hits += rank_of(predictions->logits + i * predictions->classes, predictions->classes,
                            (size_t)labels[i]) < 5;
        }
    return seen > 0 && predictions->classes > 5 ? (double)hits / (double)seen : NAN;
}

/* Σ over bins of (samples in it / all)·|accuracy − mean confidence|. */
static double calibration_error(const struct predictions *predictions, const int32_t *labels)
{
    double hits[SCORE_BINS] = {0}, confidence[SCORE_BINS] = {0}, error = 0;
    size_t seen = 0;
    for (size_t i = 0; i < predictions->count; i++) {
        const float *logits = predictions->logits + i * predictions->classes;
        if (!takes_part(predictions, labels, i))
            continue;
        size_t answer = predictions_class(predictions, i);
        double p = exp(logits[answer] - softmax_log_normaliser(logits, predictions->classes));
        size_t bin = p < 1 ? (size_t)(p * SCORE_BINS) : SCORE_BINS - 1;
        seen++;
        confidence[bin] += p;
        hits[bin] += (size_t)labels[i] == answer;
    }
    for (size_t b = 0; b < SCORE_BINS; b++)
        error += fabs(hits[b] - confidence[b]);
    return seen > 0 ? error / (double)seen : NAN;
}

static void summarise(struct score *score)
{
    size_t n = score->classes, present = 0;
    uint64_t right = 0;
    double f1 = 0;
    for (size_t k = 0; k < n; k++) {
        uint64_t labelled = 0, predicted = 0, hit = score->confusion[k * n + k];
        for (size_t j = 0; j < n; j++) {
            labelled += score->confusion[k * n + j];
            predicted += score->confusion[j * n + k];
        }
        right += hit;
        score->per_class[k] = labelled > 0 ? (double)hit / (double)labelled : NAN;
        if (labelled + predicted == 0)
            continue;
        present++;
        f1 += 2.0 * (double)hit / (double)(labelled + predicted);
    }
    score->accuracy = score->samples > 0 ? (double)right / (double)score->samples : 0.0;
    score->macro_f1 = present > 0 ? f1 / (double)present : 0.0;
}

enum status score_create(const struct predictions *predictions, const int32_t *labels,
                         struct score **out, struct error *err)
{
    struct score *score = memory_alloc(1, sizeof *score);
    size_t n = predictions->classes;
    if (score != NULL) {
        score->classes = n;
        score->per_class = memory_alloc(n, sizeof *score->per_class);
        score->confusion = memory_alloc(n * n, sizeof *score->confusion);
    }
    if (score == NULL || score->per_class == NULL || score->confusion == NULL) {
        score_destroy(&score);
        return error_set(err, ERR_MEMORY, "no memory for a table of %zu classes", n);
    }
    count_confusion(predictions, labels, score);
    summarise(score);
    score->top_5 = top_5(predictions, labels);
    score->calibration_error = calibration_error(predictions, labels);
    if (auc_mean(predictions, labels, &score->auc, err) != OK) {
        score_destroy(&score);
        return ERR_MEMORY;
    }
    *out = score;
    return OK;
}

void score_destroy(struct score **score)
{
    if (*score == NULL)
        return;
    memory_free((*score)->per_class);
    memory_free((*score)->confusion);
    memory_free(*score);
    *score = NULL;
}

static double entropy_term(double p)
{
    return p > 0 ? -p * log(p) : 0.0;
}

/* sums[k] += p_k over the readable samples, in their order; returns how many there are. */
static size_t sum_probabilities(const struct predictions *predictions, double *sums)
{
    size_t seen = 0, classes = predictions->classes;
    for (size_t i = 0; i < predictions->count; i++) {
        if (!predictions->readable[i])
            continue;
        const float *logits = predictions->logits + i * classes;
        double normaliser = softmax_log_normaliser(logits, classes);
        for (size_t k = 0; k < classes; k++)
            sums[k] += exp(logits[k] - normaliser);
        seen++;
    }
    return seen;
}

double score_entropy(const struct predictions *predictions)
{
    double sum = 0;
    size_t seen = 0;
    for (size_t i = 0; i < predictions->count; i++) {
        if (!predictions->readable[i])
            continue;
        const float *logits = predictions->logits + i * predictions->classes;
        double normaliser = softmax_log_normaliser(logits, predictions->classes);
        for (size_t k = 0; k < predictions->classes; k++)
            sum += entropy_term(exp(logits[k] - normaliser));
        seen++;
    }
    return seen > 0 ? sum / (double)seen : NAN;
}

double score_information(const struct predictions *predictions)
{
    double of_mean = 0, sums[JOB_CLASSES_MAX] = {0};
    CHECK(predictions->classes <= JOB_CLASSES_MAX);
    size_t seen = sum_probabilities(predictions, sums);
    for (size_t k = 0; k < predictions->classes && seen > 0; k++)
        of_mean += entropy_term(sums[k] / (double)seen);
    return score_entropy(predictions) - of_mean;
}
