#include "worker/engine/ops/product.h"

#include <cblas.h>

#include "common/base/check.h"
#include "worker/engine/onednn.h"

/* Multiplications from which on oneDNN is faster, by a tenth; below, OpenBLAS is, by up to three
 * times. */
#define LARGE ((size_t)1 << 23)

/* C [m, n] = alpha·op(A)·op(B) + beta·C; leading dimensions follow from op and the dense layout. */
static void multiply(bool trans_a, bool trans_b, size_t m, size_t n, size_t k, float alpha,
                     const float *a, const float *b, float beta, float *c)
{
    if (m * n * k >= LARGE) {
        CHECK(dnnl_sgemm(trans_a ? 'T' : 'N', trans_b ? 'T' : 'N', (int64_t)m, (int64_t)n,
                         (int64_t)k, alpha, a, (int64_t)(trans_a ? m : k), b,
                         (int64_t)(trans_b ? k : n), beta, c, (int64_t)n) == dnnl_success);
        return;
    }
    cblas_sgemm(CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans,
                trans_b ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, alpha, a,
                (int)(trans_a ? m : k), b, (int)(trans_b ? k : n), beta, c, (int)n);
}

void product_forward(const struct product *p, const float *a, const float *b, float keep, float *y)
{
    multiply(p->trans_a, p->trans_b, p->rows, p->columns, p->inner, p->alpha, a, b, keep, y);
}

void product_toward_a(const struct product *p, const float *b, const float *dy, float keep,
                      float *da)
{
    if (p->trans_a)
        multiply(p->trans_b, true, p->inner, p->rows, p->columns, p->alpha, b, dy, keep, da);
    else
        multiply(false, !p->trans_b, p->rows, p->inner, p->columns, p->alpha, dy, b, keep, da);
}

void product_toward_b(const struct product *p, const float *a, const float *dy, float keep,
                      float *db)
{
    if (p->trans_b)
        multiply(true, p->trans_a, p->columns, p->inner, p->rows, p->alpha, dy, a, keep, db);
    else
        multiply(!p->trans_a, false, p->inner, p->columns, p->rows, p->alpha, a, dy, keep, db);
}
