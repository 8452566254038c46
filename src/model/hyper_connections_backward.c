#include "model/hyper_connections_backward.h"

#include <math.h>

static float sigmoid(float x) { return 1 / (1 + expf(-x)); }

/* y = f(m scale + base) of number i of m, whose gradient by what f is of is d */
static void give(float d, const float *m, const float *scale, int i, int scale_index, mn_hyper_grad g) {
    g.d_m[i] += d * scale[scale_index];
    g.d_scale[scale_index] += d * m[i];
    g.d_base[i] += d;
}

void mn_hyper_pre_backward(const mn_hyper_config *c, const float *scale, const float *base, const float *m,
                           const float *d_pre, mn_hyper_grad g) {
    for (int s = 0; s < c->n_streams; s++) {
        float share = sigmoid(m[s] * scale[0] + base[s]);
        give(d_pre[s] * share * (1 - share), m, scale, s, 0, g);
    }
}

/* x divided by its sum + eps, which is returned; n numbers, `step` floats apart */
static float divide(float *x, int n, int step, float eps) {
    float sum = 0;
    for (int i = 0; i < n; i++) sum += x[i * step];
    for (int i = 0; i < n; i++) x[i * step] /= sum + eps;
    return sum + eps;
}

/* y = x / t, t = sum x + eps: dx = (dy - sum dy y) / t, in place; y becomes x again. */
static void divide_back(float *y, float *d, int n, int step, float t) {
    float sum = 0;
    for (int i = 0; i < n; i++) sum += d[i * step] * y[i * step];
    for (int i = 0; i < n; i++) {
        d[i * step] = (d[i * step] - sum) / t;
        y[i * step] *= t;
    }
}

/* What a row or a column of the carry was divided by, round after round: rows (not in round 0), then columns. */
typedef struct divisors {
    float by[2 * MN_MAX_HYPER_ROUNDS][MN_MAX_STREAMS];
} divisors;

static void soften(float *row, int n) {
    float most = row[0], sum = 0;
    for (int i = 1; i < n; i++) most = fmaxf(most, row[i]);
    for (int i = 0; i < n; i++) sum += row[i] = expf(row[i] - most);
    for (int i = 0; i < n; i++) row[i] /= sum;
}

static void make_carry(const mn_hyper_config *c, float *softened, float *carry, divisors *d) {
    int n = c->n_streams;
    for (int s = 0; s < n; s++) soften(softened + s * n, n);
    for (int i = 0; i < n * n; i++) carry[i] = softened[i] + c->eps;
    for (int round = 0; round < c->n_rounds; round++)
        for (int by_column = round == 0; by_column < 2; by_column++)
            for (int i = 0; i < n; i++)
                d->by[2 * round + by_column][i] = divide(carry + (by_column ? i : i * n), n, by_column ? n : 1, c->eps);
}

void mn_hyper_gates_backward(const mn_hyper_config *c, const float *scale, const float *base, const float *m,
                             const float *d_gates, mn_hyper_grad g) {
    int n = c->n_streams;
    float softened[MN_MAX_STREAMS * MN_MAX_STREAMS], carry[MN_MAX_STREAMS * MN_MAX_STREAMS],
        back[MN_MAX_STREAMS * MN_MAX_STREAMS];
    divisors d;
    for (int i = 0; i < n; i++) {
        float share = sigmoid(m[n + i] * scale[1] + base[n + i]);
        give(2 * d_gates[i] * share * (1 - share), m, scale, n + i, 1, g);
    }
    for (int i = 0; i < n * n; i++) {
        softened[i] = m[2 * n + i] * scale[2] + base[2 * n + i];
        back[i] = d_gates[n + i];
    }
    make_carry(c, softened, carry, &d);
    for (int round = c->n_rounds - 1; round >= 0; round--)
        for (int by_column = 1; by_column >= (round == 0); by_column--)
            for (int i = 0; i < n; i++) {
                int first = by_column ? i : i * n;
                divide_back(carry + first, back + first, n, by_column ? n : 1, d.by[2 * round + by_column][i]);
            }
    for (int s = 0; s < n; s++) {
        float sum = 0;
        for (int i = s * n; i < (s + 1) * n; i++) sum += back[i] * softened[i];
        for (int i = s * n; i < (s + 1) * n; i++) give(softened[i] * (back[i] - sum), m, scale, 2 * n + i, 2, g);
    }
}

void mn_hyper_merge_backward(const mn_hyper_config *c, const float *pre, const float *x, int64_t stride, int64_t n,
                             const float *d_out, float *d_pre, float *d_x) {
    for (int s = 0; s < c->n_streams; s++) {
        float sum = 0;
        for (int64_t i = 0; i < n; i++) {
            sum += d_out[i] * x[s * stride + i];
            d_x[s * stride + i] += pre[s] * d_out[i];
        }
        d_pre[s] += sum;
    }
}

void mn_hyper_spread_backward(const mn_hyper_config *c, const float *gates, const float *x, const float *y,
                              int64_t stride, int64_t n, const float *d_out, float *d_gates, float *d_x, float *d_y) {
    int n_streams = c->n_streams;
    for (int d = 0; d < n_streams; d++) {
        const float *dd = d_out + d * stride;
        float sum = 0;
        for (int64_t i = 0; i < n; i++) {
            sum += dd[i] * y[i];
            d_y[i] += gates[d] * dd[i];
        }
        d_gates[d] += sum;
        for (int s = 0; s < n_streams; s++) {
            int carry = n_streams + s * n_streams + d;
            mn_hyper_config one = {1, 0, 0};
            mn_hyper_merge_backward(&one, gates + carry, x + s * stride, stride, n, dd, d_gates + carry,
                                    d_x + s * stride);
        }
    }
}
