#include "model/hyper_connections.h"

#include <math.h>

static float sigmoid(float x) { return 1 / (1 + expf(-x)); }

void mn_hyper_pre(const mn_hyper_config *c, const float *scale, const float *base, const float *m, float *pre) {
    for (int s = 0; s < c->n_streams; s++) pre[s] = sigmoid(m[s] * scale[0] + base[s]) + c->eps;
}

/* row = softmax(row) + eps */
static void soften(float *row, int n, float eps) {
    float most = row[0], sum = 0;
    for (int i = 1; i < n; i++) most = fmaxf(most, row[i]);
    for (int i = 0; i < n; i++) sum += row[i] = expf(row[i] - most);
    for (int i = 0; i < n; i++) row[i] = row[i] / sum + eps;
}

/* n numbers, `step` floats apart, divided by their sum + eps */
static void divide(float *x, int n, int step, float eps) {
    float sum = 0;
    for (int i = 0; i < n; i++) sum += x[i * step];
    for (int i = 0; i < n; i++) x[i * step] /= sum + eps;
}

void mn_hyper_gates(const mn_hyper_config *c, const float *scale, const float *base, const float *m, float *gates) {
    int n = c->n_streams;
    float *carry = gates + n;
    for (int d = 0; d < n; d++) gates[d] = 2 * sigmoid(m[n + d] * scale[1] + base[n + d]);
    for (int i = 0; i < n * n; i++) carry[i] = m[2 * n + i] * scale[2] + base[2 * n + i];
    for (int s = 0; s < n; s++) soften(carry + s * n, n, c->eps);
    for (int round = 0; round < c->n_rounds; round++) {
        for (int s = 0; s < n && round > 0; s++) divide(carry + s * n, n, 1, c->eps);
        for (int d = 0; d < n; d++) divide(carry + d, n, n, c->eps);
    }
}

void mn_hyper_merge(const mn_hyper_config *c, const float *pre, const float *x, int64_t stride, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i++) {
        float sum = 0;
        for (int s = 0; s < c->n_streams; s++) sum += pre[s] * x[s * stride + i];
        out[i] = sum;
    }
}

void mn_hyper_spread(const mn_hyper_config *c, const float *gates, const float *x, const float *y, int64_t stride,
                     int64_t n, float *out) {
    int n_streams = c->n_streams;
    const float *carry = gates + n_streams;
    for (int64_t i = 0; i < n; i++) {
        float before[MN_MAX_STREAMS];
        for (int s = 0; s < n_streams; s++) before[s] = x[s * stride + i];
        for (int d = 0; d < n_streams; d++) {
            float sum = gates[d] * y[i];
            for (int s = 0; s < n_streams; s++) sum += carry[s * n_streams + d] * before[s];
            out[d * stride + i] = sum;
        }
    }
}

const mn_technique mn_hyper_about = {
    .name = "manifold-constrained hyper-connections (mHC)",
    .paper = "Xie et al. 2025 (arXiv:2512.24880)",
    .file = "src/model/hyper_connections.c",
    .test = "tests/model/hyper_connections_test.c",
    .exact = true,
    .training = MN_TRAINING_DONE,
};
