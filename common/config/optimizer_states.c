#include "common/config/optimizer_states.h"

#include "common/base/check.h"

size_t optimizer_states(const struct optimizer_config *config)
{
    if (config->kind == OPTIMIZER_SGD)
        return config->momentum > 0 ? 1 : 0;
    return 2;
}

const char *optimizer_state_name(const struct optimizer_config *config, size_t state)
{
    CHECK(state < optimizer_states(config));
    if (config->kind == OPTIMIZER_SGD)
        return "velocity";
    return state == 0 ? "exp_avg" : "exp_avg_sq";
}
