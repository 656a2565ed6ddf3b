#include "paramserver/optim/anchor.h"

void anchor_pull(double strength, const float *weights, const float *start, float *gradient,
                 size_t elements)
{
    float pull = (float)strength;
    if (pull == 0.0f)
        return;
    for (size_t i = 0; i < elements; i++)
        gradient[i] += pull * (weights[i] - (start != NULL ? start[i] : 0.0f));
}
