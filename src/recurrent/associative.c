#include "recurrent/associative.h"

#include "base/checked.h"

#include <math.h>
#include <string.h>

enum { ALIGN_BYTES = 64, HEADER_BYTES = 64, PENDING = MN_ASSOCIATIVE_PENDING };

size_t mn_associative_bytes(int k_dim, int v_dim) {
    if (k_dim <= 0 || v_dim <= 0) return 0;
    size_t k = (size_t)k_dim, v = (size_t)v_dim, n_floats, bytes;
    if (!mn_mul_size(k, v, &n_floats) || !mn_add_size(n_floats, k + PENDING * (k + v), &n_floats) ||
        !mn_mul_size(n_floats, sizeof(float), &bytes) || !mn_add_size(bytes, HEADER_BYTES, &bytes) ||
        !mn_align_size(bytes, ALIGN_BYTES, &bytes))
        return 0;
    return bytes;
}

mn_associative mn_associative_view(void *state, int k_dim, int v_dim) {
    mn_associative m = {.k_dim = k_dim, .v_dim = v_dim, .n_pending = state};
    m.matrix = (float *)((char *)state + HEADER_BYTES);
    m.z = m.matrix + (int64_t)k_dim * v_dim;
    m.keys = m.z + k_dim;
    m.values = m.keys + (int64_t)PENDING * k_dim;
    return m;
}

mn_status mn_associative_check(const void *states, int n_states, int k_dim, int v_dim, mn_error *err) {
    size_t bytes = mn_associative_bytes(k_dim, v_dim);
    for (int i = 0; i < n_states; i++) {
        int64_t n_pending = *(const int64_t *)((const char *)states + (size_t)i * bytes);
        if (n_pending < 0 || n_pending >= PENDING)
            return mn_fail(
                err, MN_ERR_FORMAT,
                "the memory of head %d says that it keeps %lld stores aside (limit %d); start the session anew.", i,
                (long long)n_pending, PENDING - 1);
    }
    return MN_OK;
}

void mn_associative_recall(const mn_kernels *kernels, const mn_associative *m, float *out, const float *q) {
    const mn_vec_kernels *vec = &kernels->vec;
    vec->scale(out, m->matrix, q[0], m->v_dim);
    for (int i = 1; i < m->k_dim; i++) vec->axpy(out, m->matrix + (int64_t)i * m->v_dim, q[i], m->v_dim);
    for (int64_t j = 0; j < *m->n_pending; j++)
        vec->axpy(out, m->values + j * m->v_dim, vec->dot(q, m->keys + j * m->k_dim, m->k_dim), m->v_dim);
}

/* M += sum_j key_j value_j^T, row by row of M so that each is loaded once. */
static void fold(const mn_kernels *kernels, mn_associative *m) {
    for (int i = 0; i < m->k_dim; i++)
        for (int64_t j = 0; j < *m->n_pending; j++)
            kernels->vec.axpy(m->matrix + (int64_t)i * m->v_dim, m->values + j * m->v_dim, m->keys[j * m->k_dim + i],
                              m->v_dim);
    *m->n_pending = 0;
}

void mn_associative_store(const mn_kernels *kernels, mn_associative *m, const float *key, const float *value) {
    int64_t slot = (*m->n_pending)++;
    memcpy(m->keys + slot * m->k_dim, key, (size_t)m->k_dim * sizeof *key);
    memcpy(m->values + slot * m->v_dim, value, (size_t)m->v_dim * sizeof *value);
    kernels->vec.add(m->z, m->z, key, m->k_dim);
    if (*m->n_pending == PENDING) fold(kernels, m);
}

void mn_associative_move(const mn_kernels *kernels, mn_associative *into, mn_associative *from) {
    int64_t n = (int64_t)from->k_dim * from->v_dim;
    fold(kernels, into);
    fold(kernels, from);
    kernels->vec.add(into->matrix, into->matrix, from->matrix, n);
    kernels->vec.add(into->z, into->z, from->z, from->k_dim);
    memset(from->n_pending, 0, mn_associative_bytes(from->k_dim, from->v_dim));
}

int64_t mn_associative_grain(int64_t n_rows, int n_heads, int n_kv_heads, int k_dim, int v_dim) {
    const double wake_products = 1 << 16; /* what a core does in the time it takes to wake another */
    return (double)n_rows * n_heads * k_dim * v_dim < wake_products ? n_kv_heads : 1;
}

void mn_feature_elu1(const mn_kernels *kernels, float *out, const float *x, int n) {
    (void)kernels;
    for (int i = 0; i < n; i++) out[i] = x[i] > 0 ? x[i] + 1 : expf(x[i]);
}

void mn_feature_silu_l2(const mn_kernels *kernels, float *out, const float *x, int n) {
    static const float ones[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    for (int i = 0; i < n; i += 16) kernels->vec.silu_mul(out + i, x + i, ones, MN_MIN(n - i, 16));
    float norm = sqrtf(kernels->vec.dot(out, out, n));
    kernels->vec.scale(out, out, 1 / fmaxf(norm, 1e-12f), n);
}
