/* attention/mla_backward: against central differences of the definition in double precision, and groups of heads
 * against all of them.
 */
#include "support/gradient.h"
#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention/attention.h"
#include "attention/mla_backward.h"
#include "kernels/kernels.h"

enum { TOKENS = 40, HEADS = 3, RANK = 11, NOPE = 6, ROT = 4, V_DIM = 5, Q_DIM = NOPE + ROT, ROW = RANK + ROT };

typedef struct mla_case {
    gradient_operand q, latents, k_up, v_up, d_out;
    struct {
        float d_q[TOKENS * HEADS * Q_DIM], d_latents[TOKENS * ROW];
        float d_k_up[HEADS * RANK * NOPE], d_v_up[HEADS * V_DIM * RANK];
    } out;
} mla_case;

static double value(void *arg) {
    const mla_case *m = arg;
    double total = 0;
    for (int h = 0; h < HEADS; h++) {
        double k[TOKENS][Q_DIM], v[TOKENS][V_DIM];
        for (int t = 0; t < TOKENS; t++) {
            const double *row = m->latents.d + t * ROW;
            for (int i = 0; i < NOPE; i++) {
                k[t][i] = 0;
                for (int r = 0; r < RANK; r++) k[t][i] += row[r] * m->k_up.d[(h * RANK + r) * NOPE + i];
            }
            for (int i = 0; i < ROT; i++) k[t][NOPE + i] = row[RANK + i];
            for (int i = 0; i < V_DIM; i++) {
                v[t][i] = 0;
                for (int r = 0; r < RANK; r++) v[t][i] += row[r] * m->v_up.d[(h * V_DIM + i) * RANK + r];
            }
        }
        for (int t = 0; t < TOKENS; t++) {
            double sum = 0, mixed = 0;
            for (int j = 0; j <= t; j++) {
                double s = 0, product = 0;
                for (int i = 0; i < Q_DIM; i++) s += m->q.d[(t * HEADS + h) * Q_DIM + i] * k[j][i];
                for (int i = 0; i < V_DIM; i++) product += m->d_out.d[(t * HEADS + h) * V_DIM + i] * v[j][i];
                sum += exp(0.3 * s);
                mixed += exp(0.3 * s) * product;
            }
            total += mixed / sum;
        }
    }
    return total;
}

static mn_mla mla_of(const float *k_up, const float *v_up, int heads, int rank, int nope, int rot, int v_dim) {
    mn_mla mla = {.kv_rank = rank, .n_nope = nope, .n_rot = rot, .v_dim = v_dim};
    mla.k_up = (mn_tensor){.type = MN_F32, .n_dims = 3, .ne = {nope, rank, heads, 1}, .data = k_up};
    mla.v_up = (mn_tensor){.type = MN_F32, .n_dims = 3, .ne = {rank, v_dim, heads, 1}, .data = v_up};
    return mla;
}

/* A call over rows of latents that lie one after the other, which is how pages of one head hold them. */
static mn_attend call_of(const mn_mla *mla, const float *q, const float *latents, float *out, float *lse, int heads,
                         int64_t n_tokens, const void **pages) {
    int q_dim = mla->n_nope + mla->n_rot, row = mla->kv_rank + mla->n_rot;
    for (int64_t i = 0; i * MN_PAGE_TOKENS < n_tokens; i++) pages[i] = latents + i * MN_PAGE_TOKENS * row;
    mn_kv_view kv = {.k_pages = pages, .v_pages = pages, .k_type = MN_F32, .v_type = MN_F32, .n_kv_heads = 1};
    kv.k_row_bytes = kv.v_row_bytes = (size_t)row * sizeof(float);
    kv.k_dim = row;
    kv.v_dim = mla->kv_rank;
    kv.n_tokens = n_tokens;
    return (mn_attend){.q = q,
                       .out = out,
                       .q_stride = heads * q_dim,
                       .out_stride = heads * mla->v_dim,
                       .n_rows = n_tokens,
                       .n_heads = heads,
                       .scale = 0.3f,
                       .lse = lse,
                       .mla = mla,
                       .kv = kv};
}

static void run(const mn_compute *c, void *arg) {
    mla_case *m = arg;
    mn_error err;
    static float out[TOKENS * HEADS * V_DIM], lse[TOKENS * HEADS];
    const void *pages[1];
    mn_mla mla = mla_of(m->k_up.f, m->v_up.f, HEADS, RANK, NOPE, ROT, V_DIM);
    mn_attend a = call_of(&mla, m->q.f, m->latents.f, out, lse, HEADS, TOKENS, pages);
    memset(&m->out, 0, sizeof m->out);
    mn_mla_grad g = {.d_out = m->d_out.f,
                     .d_q = m->out.d_q,
                     .d_latents = m->out.d_latents,
                     .d_k_up = m->out.d_k_up,
                     .d_v_up = m->out.d_v_up,
                     .d_out_stride = HEADS * V_DIM,
                     .d_q_stride = HEADS * Q_DIM,
                     .d_latents_stride = ROW};
    assert_ok(mn_attention(c, &a, &err), err);
    assert_ok(mn_mla_backward(c, &a, &g, &err), err);
}

static void check(const mn_compute *c, void *arg) {
    mla_case *m = arg;
    (void)c;
    gradient_check("d_q", value, m, m->q.d, m->out.d_q, TOKENS * HEADS * Q_DIM, 60, 5e-6);
    gradient_check("d_latents", value, m, m->latents.d, m->out.d_latents, TOKENS * ROW, 60, 5e-6);
    gradient_check("d_k_up", value, m, m->k_up.d, m->out.d_k_up, HEADS * RANK * NOPE, 60, 5e-6);
    gradient_check("d_v_up", value, m, m->v_up.d, m->out.d_v_up, HEADS * V_DIM * RANK, 60, 5e-6);
}

static void equals_central_differences(void **state) {
    (void)state;
    mla_case *m = calloc(1, sizeof *m);
    m->q = gradient_operand_create(TOKENS * HEADS * Q_DIM, 1, 1);
    m->latents = gradient_operand_create(TOKENS * ROW, 1, 2);
    m->k_up = gradient_operand_create(HEADS * RANK * NOPE, 0.5, 3);
    m->v_up = gradient_operand_create(HEADS * V_DIM * RANK, 0.5, 4);
    m->d_out = gradient_operand_create(TOKENS * HEADS * V_DIM, 1, 5);
    gradient_for_levels(run, m, &m->out, sizeof m->out, false, check);
    gradient_operand *all[] = {&m->q, &m->latents, &m->k_up, &m->v_up, &m->d_out};
    for (int i = 0; i < 5; i++) gradient_operand_free(all[i]);
    free(m);
}

/* So many heads that they are made in two groups: the same as each half called by itself. */
static void groups_of_heads(void **state) {
    (void)state;
    enum { N = 260, ALL = 50, HALF = ALL / 2, R = 16, D = 160, V = 176, Q = D + 16, LATENT = R + 16 };
    float *q = calloc((size_t)N * ALL * Q, sizeof *q), *latents = calloc(N * LATENT, sizeof *latents);
    float *k_up = calloc(ALL * R * D, sizeof *k_up), *v_up = calloc(ALL * V * R, sizeof *v_up);
    float *out = calloc((size_t)N * ALL * V, sizeof *out), *lse = calloc(N * ALL, sizeof *lse);
    float *d_q = calloc(2 * (size_t)N * ALL * Q, sizeof *d_q), *d_latents = calloc(2 * N * LATENT, sizeof *d_latents);
    float *half_lse = calloc(N * HALF, sizeof *half_lse);
    fill_normal(q, (size_t)N * ALL * Q, 1);
    fill_normal(latents, N * LATENT, 2);
    fill_normal(k_up, ALL * R * D, 3);
    fill_normal(v_up, ALL * V * R, 4);
    mn_arena scratch = MN_ARENA_INIT;
    mn_error err;
    mn_compute c = {mn_kernels_get(mn_cpu_detect()), NULL, &scratch, true, NULL};
    const void *pages[3];
    mn_mla mla = mla_of(k_up, v_up, ALL, R, D, 16, V);
    mn_attend a = call_of(&mla, q, latents, out, lse, ALL, N, pages);
    a.scale = 0.02f;
    assert_ok(mn_attention(&c, &a, &err), err);
    mn_mla_grad g = {.d_out = out, .d_q = d_q, .d_latents = d_latents};
    g.d_out_stride = ALL * V;
    g.d_q_stride = ALL * Q;
    g.d_latents_stride = LATENT;
    assert_ok(mn_mla_backward(&c, &a, &g, &err), err);
    for (int half = 0; half < 2; half++) {
        mn_mla part = mla_of(k_up + half * HALF * R * D, v_up + half * HALF * V * R, HALF, R, D, 16, V);
        mn_attend b = a;
        for (int r = 0; r < N; r++) memcpy(half_lse + r * HALF, lse + r * ALL + half * HALF, HALF * sizeof *lse);
        b.mla = &part;
        b.n_heads = HALF;
        b.q += half * HALF * Q;
        b.out += half * HALF * V;
        b.lse = half_lse;
        g.d_out = out + half * HALF * V;
        g.d_q = d_q + (size_t)N * ALL * Q + half * HALF * Q;
        g.d_latents = d_latents + N * LATENT;
        assert_ok(mn_mla_backward(&c, &b, &g, &err), err);
    }
    for (size_t i = 0; i < (size_t)N * ALL * Q; i++)
        assert_true(fabsf(d_q[i] - d_q[(size_t)N * ALL * Q + i]) <= 1e-5f * (1 + fabsf(d_q[i])));
    for (int i = 0; i < N * LATENT; i++)
        assert_true(fabsf(d_latents[i] - d_latents[N * LATENT + i]) <= 1e-4f * (1 + fabsf(d_latents[i])));
    float *all[] = {q, latents, k_up, v_up, out, lse, d_q, d_latents, half_lse};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    mn_arena_release(&scratch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_central_differences),
        cmocka_unit_test(groups_of_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
