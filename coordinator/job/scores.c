#include "coordinator/job/scores.h"

#include <math.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/config/job.h"
#include "common/data/manifest.h"
#include "common/tensor/sigmoid.h"
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

bool score_counts(const struct predictions *predictions, const struct truth *truth, size_t i)
{
    return predictions->readable[i] && truth->labels[i] != LABEL_NONE;
}

static void count_confusion(const struct predictions *predictions, const struct truth *truth,
                            struct score *score)
{
    const int32_t *labels = truth->labels;
    for (size_t i = 0; i < predictions->count; i++) {
        if (!score_counts(predictions, truth, i))
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

static double top_5(const struct predictions *predictions, const struct truth *truth)
{
    size_t seen = 0, hits = 0;
    for (size_t i = 0; i < predictions->count; i++)
        if (score_counts(predictions, truth, i)) {
            seen++;
            hits += rank_of(predictions->logits + i * predictions->classes, predictions->classes,
                            (size_t)truth->labels[i]) < 5;
        }
    return seen > 0 && predictions->classes > 5 ? (double)hits / (double)seen : NAN;
}

/* Σ over bins of (samples in it / all)·|accuracy − mean confidence|. */
static double calibration_error(const struct predictions *predictions, const struct truth *truth)
{
    double hits[SCORE_BINS] = {0}, confidence[SCORE_BINS] = {0}, error = 0;
    size_t seen = 0;
    for (size_t i = 0; i < predictions->count; i++) {
        const float *logits = predictions->logits + i * predictions->classes;
        if (!score_counts(predictions, truth, i))
            continue;
        size_t answer = predictions_class(predictions, i);
        double p = exp(logits[answer] - softmax_log_normaliser(logits, predictions->classes));
        size_t bin = p < 1 ? (size_t)(p * SCORE_BINS) : SCORE_BINS - 1;
        seen++;
        confidence[bin] += p;
        hits[bin] += (size_t)truth->labels[i] == answer;
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
        score->support[k] = labelled;
        score->per_class[k] = labelled > 0 ? (double)hit / (double)labelled : NAN;
        if (labelled + predicted == 0)
            continue;
        present++;
        f1 += 2.0 * (double)hit / (double)(labelled + predicted);
    }
    score->accuracy = score->samples > 0 ? (double)right / (double)score->samples : 0.0;
    score->macro_f1 = present > 0 ? f1 / (double)present : 0.0;
}

static enum status class_scores_fill(const struct predictions *predictions,
                                     const struct truth *truth, struct score *score,
                                     struct error *err)
{
    score->confusion = memory_alloc(score->classes * score->classes, sizeof *score->confusion);
    if (score->confusion == NULL)
        return error_set(err, ERR_MEMORY, "no memory for a table of %zu classes", score->classes);
    count_confusion(predictions, truth, score);
    summarise(score);
    score->top_5 = top_5(predictions, truth);
    score->calibration_error = calibration_error(predictions, truth);
    return auc_mean(predictions, truth, &score->auc, err);
}

static enum status fill(const struct predictions *predictions, const struct truth *truth,
                        struct score *score, struct error *err)
{
    if (truth->task == DATA_CLASSIFICATION)
        return class_scores_fill(predictions, truth, score, err);
    if (truth->task == DATA_MULTILABEL)
        return label_scores_fill(predictions, truth, score, err);
    value_scores_fill(predictions, truth, score);
    return OK;
}

enum status score_create(const struct predictions *predictions, const struct truth *truth,
                         struct score **out, struct error *err)
{
    struct score *score = memory_alloc(1, sizeof *score);
    size_t n = predictions->classes;
    enum status status = OK;
    if (score != NULL) {
        *score = (struct score){.task = truth->task,
                                .classes = n,
                                .accuracy = NAN,
                                .macro_f1 = NAN,
                                .micro_f1 = NAN,
                                .exact_match = NAN,
                                .mae = NAN,
                                .rmse = NAN,
                                .r2 = NAN,
                                .top_5 = NAN,
                                .auc = NAN,
                                .calibration_error = NAN};
        score->per_class = memory_alloc(n, sizeof *score->per_class);
        score->support = memory_alloc(n, sizeof *score->support);
    }
    if (score == NULL || score->per_class == NULL || score->support == NULL)
        status = error_set(err, ERR_MEMORY, "no memory for a score of %zu classes", n);
    if (status == OK)
        status = fill(predictions, truth, score, err);
    if (status == OK)
        *out = score;
    else
        score_destroy(&score);
    return status;
}

void score_destroy(struct score **score)
{
    if (*score == NULL)
        return;
    memory_free((*score)->per_class);
    memory_free((*score)->support);
    memory_free((*score)->confusion);
    memory_free(*score);
    *score = NULL;
}

static double accuracy(const struct predictions *predictions, const struct truth *truth)
{
    size_t right = 0, seen = 0;
    for (size_t i = 0; i < predictions->count; i++)
        if (score_counts(predictions, truth, i)) {
            seen++;
            right += (int32_t)predictions_class(predictions, i) == truth->labels[i];
        }
    return seen > 0 ? (double)right / (double)seen : NAN;
}

enum status score_main(const struct predictions *predictions, const struct truth *truth,
                       double *out, struct error *err)
{
    struct score *score = NULL;
    if (truth->task == DATA_CLASSIFICATION) {
        *out = accuracy(predictions, truth);
        return OK;
    }
    enum status status = score_create(predictions, truth, &score, err);
    if (status != OK)
        return status;
    *out = truth->task == DATA_MULTILABEL ? score->macro_f1 : score->r2;
    score_destroy(&score);
    return OK;
}

const char *score_main_name(enum data_task task)
{
    static const char *const names[] = {[DATA_CLASSIFICATION] = "accuracy",
                                        [DATA_MULTILABEL] = "macro_f1",
                                        [DATA_REGRESSION] = "r2"};
    return names[task];
}

static double entropy_term(double p)
{
    return p > 0 ? -p * log(p) : 0.0;
}

/* Of classes, or the mean over labels. */
static double entropy_of(enum data_task task, const double *p, size_t classes)
{
    double sum = 0;
    for (size_t k = 0; k < classes; k++)
        sum += entropy_term(p[k]) + (task == DATA_MULTILABEL ? entropy_term(1 - p[k]) : 0.0);
    return task == DATA_MULTILABEL ? sum / (double)classes : sum;
}

static void probabilities(enum data_task task, const float *logits, size_t classes, double *p)
{
    double normaliser = softmax_log_normaliser(logits, classes);
    for (size_t k = 0; k < classes; k++)
        p[k] = task == DATA_MULTILABEL ? sigmoid(logits[k]) : exp(logits[k] - normaliser);
}

/* Mean entropy of the readable samples; sums[k] += p_k over them, in their order. */
static double mean_entropy(enum data_task task, const struct predictions *predictions, double *sums,
                           size_t *seen)
{
    double p[JOB_CLASSES_MAX], sum = 0;
    size_t classes = predictions->classes;
    CHECK(classes <= JOB_CLASSES_MAX);
    *seen = 0;
    for (size_t i = 0; i < predictions->count && task != DATA_REGRESSION; i++) {
        if (!predictions->readable[i])
            continue;
        probabilities(task, predictions->logits + i * classes, classes, p);
        sum += entropy_of(task, p, classes);
        for (size_t k = 0; k < classes; k++)
            sums[k] += p[k];
        (*seen)++;
    }
    return *seen > 0 ? sum / (double)*seen : NAN;
}

double score_entropy(enum data_task task, const struct predictions *predictions)
{
    double sums[JOB_CLASSES_MAX] = {0};
    size_t seen;
    return mean_entropy(task, predictions, sums, &seen);
}

double score_information(enum data_task task, const struct predictions *predictions)
{
    double sums[JOB_CLASSES_MAX] = {0};
    size_t seen;
    double entropy = mean_entropy(task, predictions, sums, &seen);
    for (size_t k = 0; k < predictions->classes && seen > 0; k++)
        sums[k] /= (double)seen;
    return entropy - entropy_of(task, sums, predictions->classes);
}
