#include "common/model/gradient_rules.h"

bool gradient_all(const struct node *node, size_t input)
{
    (void)node, (void)input;
    return true;
}

bool gradient_none(const struct node *node, size_t input)
{
    (void)node, (void)input;
    return false;
}

bool gradient_cast(const struct node *node, size_t input)
{
    (void)input;
    return node->attributes.to == DTYPE_F32 || node->attributes.to == DTYPE_F64;
}

bool gradient_norm(const struct node *node, size_t input)
{
    (void)node;
    return input < 3;
}

bool gradient_of_data(const struct node *node, size_t input)
{
    (void)node;
    return input == 0;
}

bool gradient_of_choices(const struct node *node, size_t input)
{
    (void)node;
    return input > 0;
}
