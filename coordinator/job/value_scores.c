/* Scores of values (scores.h). */
#include <math.h>

#include "coordinator/job/scores.h"

struct errors {
    double absolute, squared; /* Σ */
    double spread;            /* Σ (target − mean)² */
    size_t samples;
};

static struct errors errors_of(const struct predictions *predictions, const struct truth *truth,
                               size_t k)
{
    struct errors e = {0};
    double sum = 0;
    for (size_t i = 0; i < predictions->count; i++) {
        size_t at = i * predictions->classes + k;
        if (!score_counts(predictions, truth, i))
            continue;
        double target = truth->targets[at], error = (double)predictions->logits[at] - target;
        e.absolute += fabs(error);
        e.squared += error * error;
        sum += target;
        e.samples++;
    }
    for (size_t i = 0; i < predictions->count; i++)
        if (score_counts(predictions, truth, i))
            e.spread += pow(
                (double)truth->targets[i * predictions->classes + k] - sum / (double)e.samples, 2);
    return e;
}

void value_scores_fill(const struct predictions *predictions, const struct truth *truth,
                       struct score *score)
{
    double absolute = 0, squared = 0, r2 = 0;
    size_t spread = 0;
    for (size_t k = 0; k < score->classes; k++) {
        struct errors e = errors_of(predictions, truth, k);
        score->samples = e.samples;
        score->support[k] = e.samples;
        score->per_class[k] = e.samples > 0 ? e.absolute / (double)e.samples : NAN;
        absolute += e.absolute;
        squared += e.squared;
        r2 += e.spread > 0 ? 1 - e.squared / e.spread : 0;
        spread += e.spread > 0;
    }
    double all = (double)(score->samples * score->classes);
    score->mae = all > 0 ? absolute / all : NAN;
    score->rmse = all > 0 ? sqrt(squared / all) : NAN;
    score->r2 = spread > 0 ? r2 / (double)spread : NAN;
}
