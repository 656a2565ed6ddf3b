/* Gemm: Y = α·A'·B' + β·C, C broadcast to the product. */
#include <string.h>

#include "worker/engine/ops/op.h"
#include "worker/engine/ops/product.h"

static struct product product_of(const struct op_site *site)
{
    const struct attributes *a = &site->node->attributes;
    return (struct product){.rows = (size_t)site->y_shape.dims[0],
                            .inner = (size_t)site->x_shape[1].dims[a->trans_b ? 1 : 0],
                            .columns = (size_t)site->y_shape.dims[1],
                            .trans_a = a->trans_a,
                            .trans_b = a->trans_b,
                            .alpha = a->alpha};
}

static bool has_bias(const struct op_site *site)
{
    return site->input_count > 2 && site->node->inputs[2] != GRAPH_NONE;
}

/* Steps of C along rows and columns of the product: 0 where it repeats. */
static void bias_steps(const struct op_site *site, size_t *row, size_t *column)
{
    const struct shape *c = &site->x_shape[2];
    size_t columns = c->rank > 0 ? (size_t)c->dims[c->rank - 1] : 1;
    *column = columns > 1;
    *row = c->rank > 1 && c->dims[0] > 1 ? columns : 0;
}

OP_FORWARD(gemm_forward)
{
    struct product p = product_of(site);
    size_t row = 0, column = 0;
    (void)scratch;
    if (has_bias(site))
        bias_steps(site, &row, &column);
    for (size_t i = 0; i < p.rows && has_bias(site); i++)
        for (size_t j = 0; j < p.columns; j++)
            y[i * p.columns + j] = site->node->attributes.beta * x[2][i * row + j * column];
    product_forward(&p, x[0], x[1], has_bias(site) ? 1 : 0, y);
}

/* dC = β · (sum of dY over what C repeats along) */
static void bias_backward(const struct op_site *site, const struct product *p, const float *dy,
                          float *dc)
{
    size_t row, column;
    bias_steps(site, &row, &column);
    memset(dc, 0, op_elements(&site->x_shape[2]) * sizeof *dc);
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < p->columns; j++)
            dc[i * row + j * column] += site->node->attributes.beta * dy[i * p->columns + j];
}

OP_BACKWARD(gemm_backward)
{
    struct product p = product_of(site);
    (void)y, (void)scratch;
    if (site->wanted[0])
        product_toward_a(&p, x[1], dy, 0, dx[0]);
    if (site->wanted[1])
        product_toward_b(&p, x[0], dy, 0, dx[1]);
    if (has_bias(site) && site->wanted[2])
        bias_backward(site, &p, dy, dx[2]);
}

const struct op_kernel op_gemm = {.forward = gemm_forward, .backward = gemm_backward};
