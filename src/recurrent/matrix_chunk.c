#include "recurrent/matrix_chunk.h"

#include "base/checked.h"

#include <string.h>

size_t mn_matrix_run_floats(const mn_matrix_state *s, int chunk) {
    size_t n = (size_t)chunk, k = (size_t)s->k_dim;
    return 4 * n * k + 2 * n * n + n * (size_t)s->v_dim + k + (MN_MATRIX_NEAR + 1) * k + n;
}

void mn_matrix_share_out(mn_matrix_run *r, float *scratch) {
    int64_t n = r->chunk, k = r->shape->k_dim;
    r->q = scratch;
    r->k = r->q + n * k;
    r->k_cols = r->k + n * k;
    r->k_back = r->k_cols + n * k;
    r->a = r->k_back + n * k;
    r->p = r->a + n * n;
    r->w = r->p + n * n;
    r->fade = r->w + n * r->shape->v_dim;
    r->near = r->fade + k;
}

/* One decay for all channels: pairs are a product, and F_ij a number. Row i of the factors is row i - 1 times d_i. */
static void pair_by_head(const mn_matrix_run *r, int64_t first, int n) {
    const mn_recurrent_kernels *k = &r->kernels->recurrent;
    const mn_vec_kernels *vec = &r->kernels->vec;
    int64_t dim = r->shape->k_dim, stride = r->chunk;
    float *factors = r->near;
    vec->transpose(r->k_cols, stride, mn_matrix_k(r, first), r->rows->k_stride, n, dim);
    for (int begin = 0; begin < n; begin += MN_MATRIX_NEAR) {
        int rows = MN_MIN(MN_MATRIX_NEAR, n - begin), columns = begin + rows;
        k->gemm(r->p + begin * stride, stride, mn_matrix_q(r, first + begin), r->rows->q_stride, r->k_cols, stride,
                rows, columns, dim);
        if (r->shape->corrects)
            k->gemm(r->a + begin * stride, stride, mn_matrix_k(r, first + begin), r->rows->k_stride, r->k_cols, stride,
                    rows, columns, dim);
    }
    for (int i = 0; i < n; i++) {
        float *p = r->p + i * stride, *a = r->a + i * stride;
        vec->scale(factors, factors, *mn_matrix_decay(r, first + i), i);
        factors[i] = 1;
        vec->mul(p, p, factors, i + 1);
        memset(p + i + 1, 0, (size_t)(n - i - 1) * sizeof *p);
        if (r->shape->corrects) vec->mul(a, a, factors, i);
    }
    for (int64_t i = 0; i < dim; i++) vec->mul(r->k_back + i * stride, r->k_cols + i * stride, factors, n);
}

/* Pairs of rows of a block: k_j is faded on its way to each of the later ones. */
static void pair_near(const mn_matrix_run *r, int64_t first, int begin, int end) {
    const mn_vec_kernels *vec = &r->kernels->vec;
    int64_t dim = r->shape->k_dim, stride = r->chunk;
    for (int j = begin; j < end; j++) {
        float *seen = r->near + (j - begin) * dim;
        memcpy(seen, mn_matrix_k(r, first + j), (size_t)dim * sizeof *seen);
        r->p[j * stride + j] = vec->dot(mn_matrix_q(r, first + j), seen, dim);
        for (int i = j + 1; i < end; i++) {
            vec->mul(seen, seen, mn_matrix_decay(r, first + i), dim);
            r->p[i * stride + j] = vec->dot(mn_matrix_q(r, first + i), seen, dim);
            if (r->shape->corrects) r->a[i * stride + j] = vec->dot(mn_matrix_k(r, first + i), seen, dim);
        }
    }
}

/* Pairs of a block's rows and of those before it, which k_back holds as the block's start sees them. */
static void pair_far(const mn_matrix_run *r, int64_t first, int begin, int end,
                     const float *(*row_of)(const mn_matrix_run *, int64_t), float *out) {
    const mn_vec_kernels *vec = &r->kernels->vec;
    int64_t dim = r->shape->k_dim, stride = r->chunk;
    float *lost = r->near + MN_MATRIX_NEAR * dim;
    for (int64_t i = 0; i < dim; i++) lost[i] = 1;
    for (int i = begin; i < end; i++) {
        vec->mul(lost, lost, mn_matrix_decay(r, first + i), dim);
        vec->mul(r->near + (i - begin) * dim, row_of(r, first + i), lost, dim);
    }
    r->kernels->recurrent.gemm(out + begin * stride, stride, r->near, dim, r->k_back, stride, end - begin, begin, dim);
}

/* Each channel has its decay: a block of rows meets those before it at its start, so that no factor is above 1. */
static void pair_by_channel(const mn_matrix_run *r, int64_t first, int n) {
    const mn_vec_kernels *vec = &r->kernels->vec;
    int64_t dim = r->shape->k_dim, stride = r->chunk;
    for (int begin = 0; begin < n; begin += MN_MATRIX_NEAR) {
        int end = MN_MIN(begin + MN_MATRIX_NEAR, n);
        if (begin > 0) {
            pair_far(r, first, begin, end, mn_matrix_q, r->p);
            if (r->shape->corrects) pair_far(r, first, begin, end, mn_matrix_k, r->a);
            const float *lost = r->near + MN_MATRIX_NEAR * dim; /* by the whole block */
            for (int64_t i = 0; i < dim; i++)
                vec->scale(r->k_back + i * stride, r->k_back + i * stride, lost[i], begin);
        }
        pair_near(r, first, begin, end);
        vec->transpose(r->k_back + begin, stride, r->near, dim, end - begin, dim);
    }
}

void mn_matrix_pairs(const mn_matrix_run *r, int64_t first, int n) {
    memset(r->a, 0, (size_t)r->chunk * (size_t)r->chunk * 2 * sizeof *r->a); /* p lies behind it */
    (r->shape->decays_channels ? pair_by_channel : pair_by_head)(r, first, n);
}
