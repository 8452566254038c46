#include "recurrent/associative_backward.h"

#include <math.h>
#include <string.h>

mn_memory_matrix mn_memory_view(const mn_kernels *kernels, float *data, int k_dim, int v_dim) {
    return (mn_memory_matrix){&kernels->vec, k_dim, v_dim, data, data + (int64_t)k_dim * v_dim};
}

void mn_memory_store(const mn_memory_matrix *m, const float *k, const float *u, float a) {
    for (int i = 0; i < m->k_dim; i++) m->vec->axpy(m->m + (int64_t)i * m->v_dim, u, a * k[i], m->v_dim);
}

void mn_memory_recall(const mn_memory_matrix *m, float *out, const float *k) {
    m->vec->scale(out, m->m, k[0], m->v_dim);
    for (int i = 1; i < m->k_dim; i++) m->vec->axpy(out, m->m + (int64_t)i * m->v_dim, k[i], m->v_dim);
}

void mn_memory_add_keys(const mn_memory_matrix *m, float *out, const float *u, float a) {
    for (int i = 0; i < m->k_dim; i++) out[i] += a * m->vec->dot(m->m + (int64_t)i * m->v_dim, u, m->v_dim);
}

void mn_memory_load(const mn_memory_matrix *m, const void *state) {
    memset(m->m, 0, mn_memory_floats(m->k_dim, m->v_dim) * sizeof *m->m);
    if (!state) return;
    mn_associative from = mn_associative_view((void *)(uintptr_t)state, m->k_dim, m->v_dim);
    memcpy(m->m, from.matrix, (size_t)m->k_dim * (size_t)m->v_dim * sizeof *m->m);
    memcpy(m->z, from.z, (size_t)m->k_dim * sizeof *m->z);
    for (int64_t j = 0; j < *from.n_pending; j++)
        mn_memory_store(m, from.keys + j * m->k_dim, from.values + j * m->v_dim, 1);
}

/* elu(x) + 1 is x + 1 with slope 1, else e^x, which is its own slope. */
void mn_feature_elu1_backward(const mn_kernels *kernels, float *d_x, const float *x, const float *feature,
                              const float *d_feature, int n) {
    (void)kernels;
    for (int i = 0; i < n; i++) d_x[i] += d_feature[i] * (x[i] > 0 ? 1 : feature[i]);
}

/* f = s / |s|, s = silu(x):  d_s = (d_f - f (f . d_f)) / |s| */
void mn_feature_silu_l2_backward(const mn_kernels *kernels, float *d_x, const float *x, const float *feature,
                                 const float *d_feature, int n) {
    float along = kernels->vec.dot(feature, d_feature, n), squares = 0;
    for (int i = 0; i < n; i++) {
        float s = x[i] / (1 + expf(-x[i]));
        squares += s * s;
    }
    float norm = sqrtf(squares), inverse = 1 / fmaxf(norm, 1e-12f);
    if (norm <= 1e-12f) along = 0; /* the norm is held, and has no gradient */
    for (int i = 0; i < n; i++) {
        float sigmoid = 1 / (1 + expf(-x[i])), slope = sigmoid * (1 + x[i] * (1 - sigmoid));
        d_x[i] += (d_feature[i] - feature[i] * along) * inverse * slope;
    }
}
