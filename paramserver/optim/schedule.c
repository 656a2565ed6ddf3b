#include "paramserver/optim/schedule.h"

#include <math.h>

#include "common/base/check.h"

static double cosine_factor(const struct schedule_config *config, uint64_t step,
                            uint64_t steps_total)
{
    uint64_t span = steps_total > config->warmup_steps ? steps_total - config->warmup_steps : 1;
    double done = fmin(1.0, (double)(step - config->warmup_steps) / (double)span);
    double low = config->final_factor;
    return low + (1.0 - low) * 0.5 * (1.0 + cos(3.14159265358979323846 * done));
}

double schedule_rate(const struct schedule_config *config, double base, uint64_t step,
                     uint64_t steps_total, uint32_t steps_per_epoch)
{
    CHECK(steps_per_epoch > 0);
    if (step < config->warmup_steps)
        return base * (double)(step + 1) / (double)(config->warmup_steps + 1);
    switch (config->kind) {
    case SCHEDULE_CONSTANT:
        return base;
    case SCHEDULE_COSINE:
        return base * cosine_factor(config, step, steps_total);
    case SCHEDULE_STEP:
        CHECK(config->every_epochs > 0);
        return base * pow(config->gamma, (double)(step / steps_per_epoch / config->every_epochs));
    }
    return base;
}
