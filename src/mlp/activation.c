#include "mlp/activation.h"

#include "base/checked.h"

#include <math.h>

enum { PIECE = 512 };

/* g sigmoid(a g) (u + 1) = silu(a g) (u + 1) / a */
static void swiglu_oai(const mn_vec_kernels *vec, float *out, const float *gate, const float *up, int64_t n) {
    float g[PIECE], u[PIECE];
    vec->clamp(g, gate, -INFINITY, MN_OAI_LIMIT, n);
    vec->clamp(u, up, -MN_OAI_LIMIT, MN_OAI_LIMIT, n);
    vec->scale(g, g, MN_OAI_SLOPE, n);
    for (int64_t i = 0; i < n; i++) u[i] = (u[i] + 1) * (1 / MN_OAI_SLOPE);
    vec->silu_mul(out, g, u, n);
}

static void silu_then_cap(const mn_vec_kernels *vec, float limit, float *out, const float *gate, const float *up,
                          int64_t n) {
    float g[PIECE], u[PIECE];
    for (int64_t i = 0; i < n; i++) u[i] = 1;
    vec->silu_mul(g, gate, u, n);
    vec->clamp(g, g, -INFINITY, limit, n);
    vec->clamp(u, up, -limit, limit, n);
    vec->mul(out, g, u, n);
}

static void cap_then_silu(const mn_vec_kernels *vec, float limit, float *out, const float *gate, const float *up,
                          int64_t n) {
    float g[PIECE], u[PIECE];
    vec->clamp(g, gate, -INFINITY, limit, n);
    vec->clamp(u, up, -limit, limit, n);
    vec->silu_mul(out, g, u, n);
}

static void gelu_erf(float *out, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = 0.5f * x[i] * (1 + erff(x[i] * (float)M_SQRT1_2));
}

void mn_activate(const mn_vec_kernels *vec, mn_mlp_act a, float *out, const float *gate, const float *up, int64_t n) {
    if (a.kind == MN_ACT_GELU) {
        vec->gelu_mul(out, gate ? gate : up, gate ? up : NULL, n);
        return;
    }
    if (a.kind == MN_ACT_GELU_ERF) {
        gelu_erf(out, up, n);
        return;
    }
    if (a.kind == MN_ACT_RELU2) {
        vec->clamp(out, up, 0, INFINITY, n);
        vec->mul(out, out, out, n);
        return;
    }
    if (a.kind == MN_ACT_SILU || (a.kind != MN_ACT_SWIGLU_OAI && a.limit == 0)) {
        vec->silu_mul(out, gate, up, n);
        return;
    }
    for (int64_t i = 0; i < n; i += PIECE) {
        int64_t part = MN_MIN((int64_t)PIECE, n - i);
        if (a.kind == MN_ACT_SWIGLU_OAI)
            swiglu_oai(vec, out + i, gate + i, up + i, part);
        else if (a.kind == MN_ACT_SILU_THEN_CAP)
            silu_then_cap(vec, a.limit, out + i, gate + i, up + i, part);
        else
            cap_then_silu(vec, a.limit, out + i, gate + i, up + i, part);
    }
}
