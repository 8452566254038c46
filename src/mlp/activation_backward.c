#include "mlp/activation_backward.h"

#include "base/checked.h"

#include <math.h>

enum { PIECE = 512 };

/* Where a capped value stayed itself, its gradient passes. */
static void pass_below(float *out, const float *d, const float *x, float limit, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = x[i] < limit ? d[i] : 0;
}

static void pass_within(float *out, const float *d, const float *x, float limit, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = fabsf(x[i]) < limit ? d[i] : 0;
}

/* y = silu(a g) (u + 1) / a, of the capped g and u */
static void swiglu_oai(const mn_kernels *k, float *d_gate, float *d_up, const float *gate, const float *up,
                       const float *dy, int64_t n) {
    float g[PIECE], u[PIECE];
    k->vec.clamp(g, gate, -INFINITY, MN_OAI_LIMIT, n);
    k->vec.clamp(u, up, -MN_OAI_LIMIT, MN_OAI_LIMIT, n);
    k->vec.scale(g, g, MN_OAI_SLOPE, n);
    for (int64_t i = 0; i < n; i++) u[i] = (u[i] + 1) * (1 / MN_OAI_SLOPE);
    k->vec_backward.silu_mul(g, u, g, u, dy, n);
    k->vec.scale(g, g, MN_OAI_SLOPE, n);
    k->vec.scale(u, u, 1 / MN_OAI_SLOPE, n);
    pass_below(d_gate, g, gate, MN_OAI_LIMIT, n);
    pass_within(d_up, u, up, MN_OAI_LIMIT, n);
}

static void silu_then_cap(const mn_kernels *k, float limit, float *d_gate, float *d_up, const float *gate,
                          const float *up, const float *dy, int64_t n) {
    float s[PIECE], g[PIECE], u[PIECE];
    for (int64_t i = 0; i < n; i++) u[i] = 1;
    k->vec.silu_mul(s, gate, u, n);
    k->vec.clamp(u, up, -limit, limit, n);
    k->vec_backward.silu_mul(g, u, gate, u, dy, n);
    pass_below(d_gate, g, s, limit, n);
    k->vec.clamp(s, s, -INFINITY, limit, n);
    k->vec.mul(s, s, dy, n);
    pass_within(d_up, s, up, limit, n);
}

static void cap_then_silu(const mn_kernels *k, float limit, float *d_gate, float *d_up, const float *gate,
                          const float *up, const float *dy, int64_t n) {
    float g[PIECE], u[PIECE];
    k->vec.clamp(g, gate, -INFINITY, limit, n);
    k->vec.clamp(u, up, -limit, limit, n);
    k->vec_backward.silu_mul(g, u, g, u, dy, n);
    pass_below(d_gate, g, gate, limit, n);
    pass_within(d_up, u, up, limit, n);
}

static void gelu_erf(float *dx, const float *x, const float *dy, int64_t n) {
    const float density = 0.3989422804f; /* 1 / sqrt(2 pi) */
    for (int64_t i = 0; i < n; i++)
        dx[i] = dy[i] * (0.5f * (1 + erff(x[i] * (float)M_SQRT1_2)) + x[i] * density * expf(-0.5f * x[i] * x[i]));
}

static void relu_square(float *dx, const float *x, const float *dy, int64_t n) {
    for (int64_t i = 0; i < n; i++) dx[i] = x[i] > 0 ? 2 * x[i] * dy[i] : 0;
}

static void capped(const mn_kernels *k, mn_mlp_act a, float *d_gate, float *d_up, const float *gate, const float *up,
                   const float *dy, int64_t n) {
    for (int64_t i = 0; i < n; i += PIECE) {
        int64_t part = MN_MIN((int64_t)PIECE, n - i);
        if (a.kind == MN_ACT_SWIGLU_OAI)
            swiglu_oai(k, d_gate + i, d_up + i, gate + i, up + i, dy + i, part);
        else if (a.kind == MN_ACT_SILU_THEN_CAP)
            silu_then_cap(k, a.limit, d_gate + i, d_up + i, gate + i, up + i, dy + i, part);
        else
            cap_then_silu(k, a.limit, d_gate + i, d_up + i, gate + i, up + i, dy + i, part);
    }
}

void mn_activate_backward(const mn_kernels *k, mn_mlp_act a, float *d_gate, float *d_up, const float *gate,
                          const float *up, const float *dy, int64_t n) {
    if (a.kind == MN_ACT_GELU) {
        if (gate)
            k->vec_backward.gelu_mul(d_gate, d_up, gate, up, dy, n);
        else
            k->vec_backward.gelu_mul(d_up, NULL, up, NULL, dy, n);
        return;
    }
    if (a.kind == MN_ACT_GELU_ERF) {
        gelu_erf(d_up, up, dy, n);
        return;
    }
    if (a.kind == MN_ACT_RELU2) {
        relu_square(d_up, up, dy, n);
        return;
    }
    if (a.kind == MN_ACT_SILU || (a.kind != MN_ACT_SWIGLU_OAI && a.limit == 0))
        k->vec_backward.silu_mul(d_gate, d_up, gate, up, dy, n);
    else
        capped(k, a, d_gate, d_up, gate, up, dy, n);
}
