/* Gemm: Y = α·A'·B' + β·C with C one row or one number; MatMul with a matrix on the right. Sums run
 * in OpenBLAS on one thread, whose order depends on the sizes only. */
#include <cblas.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/engine/ops/op.h"

struct product {
    size_t rows, inner, columns; /* A' [rows, inner], B' [inner, columns] */
    bool trans_a, trans_b;
    float alpha, beta;
};

static struct product gemm_product(const struct op_site *site)
{
    const struct attributes *a = &site->node->attributes;
    return (struct product){.rows = (size_t)site->y_shape.dims[0],
                            .inner = (size_t)site->x_shape[1].dims[a->trans_b ? 1 : 0],
                            .columns = (size_t)site->y_shape.dims[1],
                            .trans_a = a->trans_a,
                            .trans_b = a->trans_b,
                            .alpha = a->alpha,
                            .beta = a->beta};
}

static struct product matmul_product(const struct op_site *site)
{
    size_t inner = (size_t)site->x_shape[1].dims[0];
    return (struct product){.rows = op_elements(&site->x_shape[0]) / inner,
                            .inner = inner,
                            .columns = (size_t)site->x_shape[1].dims[1],
                            .alpha = 1};
}

/* C [m, n] = alpha·op(A)·op(B) + beta·C; leading dimensions follow from op and the dense layout. */
static void multiply(bool trans_a, bool trans_b, size_t m, size_t n, size_t k, float alpha,
                     const float *a, const float *b, float beta, float *c)
{
    cblas_sgemm(CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans,
                trans_b ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, alpha, a,
                (int)(trans_a ? m : k), b, (int)(trans_b ? k : n), beta, c, (int)n);
}

static void product_forward(const struct product *p, const float *a, const float *b, float beta,
                            float *y)
{
    multiply(p->trans_a, p->trans_b, p->rows, p->columns, p->inner, p->alpha, a, b, beta, y);
}

static void product_backward(const struct product *p, const float *a, const float *b,
                             const float *dy, float *da, float *db)
{
    if (da != NULL && !p->trans_a)
        multiply(false, !p->trans_b, p->rows, p->inner, p->columns, p->alpha, dy, b, 0, da);
    else if (da != NULL)
        multiply(p->trans_b, true, p->inner, p->rows, p->columns, p->alpha, b, dy, 0, da);
    if (db != NULL && !p->trans_b)
        multiply(!p->trans_a, false, p->inner, p->columns, p->rows, p->alpha, a, dy, 0, db);
    else if (db != NULL)
        multiply(true, p->trans_a, p->columns, p->inner, p->rows, p->alpha, dy, a, 0, db);
}

static size_t bias_elements(const struct op_site *site)
{
    return site->input_count > 2 && site->node->inputs[2] != GRAPH_NONE
               ? op_elements(&site->x_shape[2])
               : 0;
}

OP_FORWARD(gemm_forward)
{
    struct product p = gemm_product(site);
    size_t bias = bias_elements(site);
    (void)scratch;
    for (size_t i = 0; i < p.rows && bias > 0; i++)
        for (size_t j = 0; j < p.columns; j++)
            y[i * p.columns + j] = p.beta * x[2][bias == 1 ? 0 : j];
    product_forward(&p, x[0], x[1], bias > 0 ? 1 : 0, y);
}

/* dC = β · (sum of dY over the rows) */
static void bias_backward(const struct product *p, size_t bias, const float *dy, float *dc)
{
    memset(dc, 0, bias * sizeof *dc);
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < p->columns; j++)
            dc[bias == 1 ? 0 : j] += p->beta * dy[i * p->columns + j];
}

OP_BACKWARD(gemm_backward)
{
    struct product p = gemm_product(site);
    (void)y, (void)scratch;
    product_backward(&p, x[0], x[1], dy, site->wanted[0] ? dx[0] : NULL,
                     site->wanted[1] ? dx[1] : NULL);
    if (bias_elements(site) > 0 && site->wanted[2])
        bias_backward(&p, bias_elements(site), dy, dx[2]);
}

OP_FORWARD(matmul_forward)
{
    struct product p = matmul_product(site);
    (void)scratch;
    product_forward(&p, x[0], x[1], 0, y);
}

OP_BACKWARD(matmul_backward)
{
    struct product p = matmul_product(site);
    (void)y, (void)scratch;
    product_backward(&p, x[0], x[1], dy, site->wanted[0] ? dx[0] : NULL,
                     site->wanted[1] ? dx[1] : NULL);
}

const struct op_kernel op_gemm = {.forward = gemm_forward, .backward = gemm_backward};
const struct op_kernel op_matmul = {.forward = matmul_forward, .backward = matmul_backward};
