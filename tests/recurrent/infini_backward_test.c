/* recurrent/infini_backward, infini_gates_backward: against central differences of the recurrences in double precision,
 * by every rule, across segments, after a prefix that is a constant, and with the gradient cut.
 */
#include "support/gradient.h"
#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "recurrent/infini_backward.h"
#include "recurrent/infini_gates_backward.h"

enum { TOKENS = 150, KV_HEADS = 2, GROUP = 2, HEADS = KV_HEADS * GROUP, K_DIM = 6, V_DIM = 5, SEGMENT = 20 };

/* TOKENS tokens, the first `prefix` of them constants. The scalar is d_mem . mem. */
typedef struct memory {
    double m[K_DIM][V_DIM], z[K_DIM];
} memory;

typedef struct infini_case {
    mn_infini shape;
    gradient_operand q, k, v, gates, d_mem;
    int prefix, detach_segments;
    /* What stands at the borders that no gradient passes, of an evaluation that comes first: read, and being written.
     */
    memory kept[TOKENS + 1][KV_HEADS][2];
    bool keeps;
    struct {
        float d_q[TOKENS * HEADS * K_DIM], d_k[TOKENS * KV_HEADS * K_DIM], d_v[TOKENS * KV_HEADS * V_DIM];
        float d_gates[TOKENS * KV_HEADS];
    } out;
} infini_case;

static void feature(const infini_case *c, const double *x, double *f) {
    double norm = 0;
    for (int i = 0; i < K_DIM; i++) {
        f[i] = c->shape.feature == MN_INFINI_ELU1 ? (x[i] > 0 ? x[i] + 1 : exp(x[i])) : x[i] / (1 + exp(-x[i]));
        norm += f[i] * f[i];
    }
    for (int i = 0; i < K_DIM && c->shape.feature == MN_INFINI_SILU_L2; i++) f[i] /= sqrt(norm);
}

/* out = M^T f, over z . f unless the rule is the exact one. */
static void recall(const infini_case *c, const memory *m, const double *f, double *out) {
    double sum = 0;
    for (int j = 0; j < V_DIM; j++) out[j] = 0;
    for (int i = 0; i < K_DIM; i++) {
        sum += m->z[i] * f[i];
        for (int j = 0; j < V_DIM; j++) out[j] += m->m[i][j] * f[i];
    }
    if (c->shape.rule == MN_INFINI_DELTA_EXACT) return;
    for (int j = 0; j < V_DIM; j++) out[j] = sum > 0 ? out[j] / sum : 0;
}

static void write(const infini_case *c, const memory *from, memory *into, int t, int h) {
    double f[K_DIM], u[V_DIM], b = c->shape.rule == MN_INFINI_DELTA_EXACT ? c->gates.d[t * KV_HEADS + h] : 1;
    feature(c, c->k.d + (t * KV_HEADS + h) * K_DIM, f);
    recall(c, from, f, u);
    for (int j = 0; j < V_DIM; j++)
        u[j] = b * (c->v.d[(t * KV_HEADS + h) * V_DIM + j] - (c->shape.rule == MN_INFINI_LINEAR ? 0 : u[j]));
    for (int i = 0; i < K_DIM; i++) {
        for (int j = 0; j < V_DIM; j++) into->m[i][j] += f[i] * u[j];
        into->z[i] += f[i];
    }
}

static double read(const infini_case *c, const memory *m, int t, int h) {
    double sum = 0, f[K_DIM], out[V_DIM];
    for (int head = h * GROUP; head < (h + 1) * GROUP && t >= c->prefix; head++) {
        feature(c, c->q.d + (t * HEADS + head) * K_DIM, f);
        recall(c, m, f, out);
        for (int j = 0; j < V_DIM; j++) sum += c->d_mem.d[(t * HEADS + head) * V_DIM + j] * out[j];
    }
    return sum;
}

static double value(void *arg) {
    infini_case *c = arg;
    double sum = 0;
    for (int h = 0; h < KV_HEADS; h++) {
        memory at[2] = {{{{0}}, {0}}, {{{0}}, {0}}}; /* read, being written */
        for (int t = 0; t < TOKENS; t++) {
            bool border = t == c->prefix || (c->detach_segments && t % (c->detach_segments * SEGMENT) == 0);
            if (c->keeps) memcpy(c->kept[t][h], at, sizeof at);
            if (!c->keeps && border) memcpy(at, c->kept[t][h], sizeof at);
            if (c->shape.rule == MN_INFINI_DELTA_EXACT) {
                if (c->gates.d[t * KV_HEADS + h] != 0) write(c, &at[0], &at[0], t, h);
                sum += read(c, &at[0], t, h);
                continue;
            }
            if (t % SEGMENT == 0) {
                for (int i = 0; i < K_DIM; i++) {
                    for (int j = 0; j < V_DIM; j++) at[0].m[i][j] += at[1].m[i][j];
                    at[0].z[i] += at[1].z[i];
                }
                memset(&at[1], 0, sizeof at[1]);
            }
            sum += read(c, &at[0], t, h);
            write(c, &at[0], &at[1], t, h);
        }
    }
    return sum;
}

static void run(const mn_compute *c, void *arg) {
    infini_case *n = arg;
    mn_error err;
    static float mem[TOKENS * HEADS * V_DIM];
    size_t bytes = mn_infini_state_bytes(&n->shape);
    char *state = aligned_alloc(64, bytes), *before = aligned_alloc(64, bytes);
    memset(state, 0, bytes);
    memset(&n->out, 0, sizeof n->out);
    int p = n->prefix;
    assert_ok(mn_infini_step(c, &n->shape, state, mem, n->q.f, n->k.f, n->v.f, n->gates.f, p, 0, &err), err);
    memcpy(before, state, bytes);
    mn_infini_grad g = {.q = n->q.f + p * HEADS * K_DIM,
                        .k = n->k.f + p * KV_HEADS * K_DIM,
                        .v = n->v.f + p * KV_HEADS * V_DIM,
                        .write_gates = n->gates.f + p * KV_HEADS,
                        .mem = mem + p * HEADS * V_DIM,
                        .d_mem = n->d_mem.f + p * HEADS * V_DIM,
                        .state = p ? before : NULL,
                        .n_rows = TOKENS - p,
                        .first_token = p,
                        .detach_segments = n->detach_segments,
                        .d_q = n->out.d_q + p * HEADS * K_DIM,
                        .d_k = n->out.d_k + p * KV_HEADS * K_DIM,
                        .d_v = n->out.d_v + p * KV_HEADS * V_DIM,
                        .d_gates = n->shape.rule == MN_INFINI_DELTA_EXACT ? n->out.d_gates + p * KV_HEADS : NULL};
    assert_ok(
        mn_infini_step(c, &n->shape, state, mem + p * HEADS * V_DIM, g.q, g.k, g.v, g.write_gates, TOKENS - p, p, &err),
        err);
    assert_ok(mn_infini_backward(c, &n->shape, &g, &err), err);
    free(state);
    free(before);
}

static void check(const mn_compute *c, void *arg) {
    infini_case *n = arg;
    (void)c;
    size_t p = (size_t)n->prefix, rows = TOKENS - p;
    n->keeps = true;
    value(n);
    n->keeps = false;
    size_t q = p * HEADS * K_DIM, k = p * KV_HEADS * K_DIM, v = p * KV_HEADS * V_DIM;
    gradient_check("d_q", value, n, n->q.d + q, n->out.d_q + q, rows * HEADS * K_DIM, 60, 5e-6);
    gradient_check("d_k", value, n, n->k.d + k, n->out.d_k + k, rows * KV_HEADS * K_DIM, 90, 5e-6);
    gradient_check("d_v", value, n, n->v.d + v, n->out.d_v + v, rows * KV_HEADS * V_DIM, 90, 5e-6);
    if (n->shape.rule != MN_INFINI_DELTA_EXACT) return;
    for (size_t i = p * KV_HEADS; i < TOKENS * KV_HEADS; i++)
        if (n->gates.f[i] != 0)
            gradient_check("d_gates", value, n, n->gates.d + i, n->out.d_gates + i, 1, 0, 1e-4);
        else
            assert_true(n->out.d_gates[i] == 0);
}

static void every_rule(void **state) {
    (void)state;
    static infini_case n;
    for (int rule = 0; rule < 3; rule++)
        for (int variant = 0; variant < 4; variant++) {
            n = (infini_case){.prefix = variant == 1 ? 33 : variant == 3 ? 40 : 0, .detach_segments = variant / 2 * 2};
            n.shape = (mn_infini){.rule = (mn_infini_rule)rule,
                                  .feature = mn_infini_feature_of((mn_infini_rule)rule),
                                  .n_heads = HEADS,
                                  .n_kv_heads = KV_HEADS,
                                  .k_dim = K_DIM,
                                  .v_dim = V_DIM,
                                  .segment = SEGMENT};
            n.q = gradient_operand_create(TOKENS * HEADS * K_DIM, 1, 1);
            n.k = gradient_operand_create(TOKENS * KV_HEADS * K_DIM, 1, 2);
            n.v = gradient_operand_create(TOKENS * KV_HEADS * V_DIM, 1, 3);
            n.gates = gradient_operand_create(TOKENS * KV_HEADS, 1, 4);
            n.d_mem = gradient_operand_create(TOKENS * HEADS * V_DIM, 1, 5);
            for (size_t i = 0; i < n.gates.n; i++) /* some writes, whole and half, and many that are none */
                n.gates.d[i] = (double)(n.gates.f[i] = i % 3 ? 0 : i % 5 ? 1 / (1 + expf(-n.gates.f[i])) : 1);
            gradient_for_levels(run, &n, &n.out, sizeof n.out, false, check);
            gradient_operand *all[] = {&n.q, &n.k, &n.v, &n.gates, &n.d_mem};
            for (int i = 0; i < 5; i++) gradient_operand_free(all[i]);
        }
}

/* Gates: the scalar is d_gates . b + scale times the labels' loss. */
typedef struct gates_case {
    mn_infini shape;
    gradient_operand products, bias, w_key, k, d_gates;
    float labels[TOKENS * KV_HEADS], weights[TOKENS * KV_HEADS];
    bool hard, labelled;
    double threshold, scale;
    struct {
        float d_products[TOKENS * KV_HEADS], d_bias[KV_HEADS], d_w_key[KV_HEADS * K_DIM];
        float d_k[TOKENS * KV_HEADS * K_DIM];
        double loss;
    } out;
} gates_case;

static double gate_loss(const gates_case *c, bool memory_too, double scale) {
    double sum = 0;
    for (int i = 0; i < TOKENS * KV_HEADS; i++) {
        int h = i % KV_HEADS;
        double x = c->products.d[i] + c->bias.d[h];
        for (int j = 0; j < K_DIM; j++) x += c->w_key.d[h * K_DIM + j] * c->k.d[i * K_DIM + j];
        double b = 1 / (1 + exp(-x)), label = (double)c->labels[i];
        if (memory_too && !c->hard && b > c->threshold) sum += c->d_gates.d[i] * b;
        if (c->labelled) sum -= scale * (double)c->weights[i] * (label * log(b) + (1 - label) * log(1 - b));
    }
    return sum;
}

static double gates_value(void *arg) {
    const gates_case *c = arg;
    return gate_loss(c, true, c->scale);
}

static void gates_run(const mn_compute *c, void *arg) {
    gates_case *n = arg;
    mn_error err;
    memset(&n->out, 0, sizeof n->out);
    mn_write_gates_grad g = {.products = n->products.f,
                             .bias = n->bias.f,
                             .w_key = n->w_key.f,
                             .k = n->k.f,
                             .threshold = (float)n->threshold,
                             .n_rows = TOKENS,
                             .d_gates = n->hard ? NULL : n->d_gates.f,
                             .labels = n->labelled ? n->labels : NULL,
                             .label_weights = n->weights,
                             .scale = (float)n->scale,
                             .d_products = n->out.d_products,
                             .d_bias = n->out.d_bias,
                             .d_w_key = n->out.d_w_key,
                             .d_k = n->out.d_k};
    assert_ok(mn_write_gates_backward(c, &n->shape, &g, &n->out.loss, &err), err);
}

static void gates_check(const mn_compute *c, void *arg) {
    gates_case *n = arg;
    (void)c;
    double want = gate_loss(n, false, 1);
    assert_true(fabs(n->out.loss - (n->labelled ? want : 0)) <= 1e-6 * (1 + want));
    gradient_check("d_products", gates_value, n, n->products.d, n->out.d_products, TOKENS * KV_HEADS, 80, 3e-6);
    gradient_check("d_bias", gates_value, n, n->bias.d, n->out.d_bias, KV_HEADS, 0, 3e-6);
    gradient_check("d_w_key", gates_value, n, n->w_key.d, n->out.d_w_key, KV_HEADS * K_DIM, 0, 3e-6);
    gradient_check("d_k", gates_value, n, n->k.d, n->out.d_k, TOKENS * KV_HEADS * K_DIM, 80, 3e-6);
}

static void write_gates(void **state) {
    (void)state;
    static gates_case n;
    for (int variant = 0; variant < 4; variant++) {
        n = (gates_case){
            .hard = variant == 3, .labelled = variant > 0, .threshold = variant == 2 ? 0.4 : 0, .scale = 0.3};
        n.shape = (mn_infini){MN_INFINI_DELTA_EXACT, MN_INFINI_SILU_L2, HEADS, KV_HEADS, K_DIM, V_DIM, SEGMENT};
        n.products = gradient_operand_create(TOKENS * KV_HEADS, 1, 1);
        n.bias = gradient_operand_create(KV_HEADS, 1, 2);
        n.w_key = gradient_operand_create(KV_HEADS * K_DIM, 0.5, 3);
        n.k = gradient_operand_create(TOKENS * KV_HEADS * K_DIM, 1, 4);
        n.d_gates = gradient_operand_create(TOKENS * KV_HEADS, 1, 5);
        for (int i = 0; i < TOKENS * KV_HEADS; i++) {
            n.labels[i] = i % 7 == 0 ? 1 : i % 7 == 1 ? 0.25f : 0;
            n.weights[i] = i % 4 == 0 ? 0 : 0.5f * (float)(i % 3);
        }
        gradient_for_levels(gates_run, &n, &n.out, sizeof n.out, false, gates_check);
        gradient_operand *all[] = {&n.products, &n.bias, &n.w_key, &n.k, &n.d_gates};
        for (int i = 0; i < 5; i++) gradient_operand_free(all[i]);
    }
}

static void hard_writes(void **state) {
    (void)state;
    float gates[] = {0, 0.3f, 0.9f, 0, 0.8f}, again[] = {0, 0.3f, 0.9f, 0, 0.8f};
    static const float labels[] = {1, 0, 0.5f, 1, 0}, weights[] = {1, 2, 1, 0, 0};
    mn_infini shape = {.n_kv_heads = 1};
    mn_compute c = {.kernels = mn_kernels_get(MN_CPU_GENERIC)};
    mn_write_gates_harden(&c, &shape, gates, labels, weights, 5);
    mn_write_gates_harden(&c, &shape, again, NULL, NULL, 5);
    static const float want[] = {1, 1, 1, 0, 1}, own[] = {0, 1, 1, 0, 1};
    assert_memory_equal(gates, want, sizeof want);
    assert_memory_equal(again, own, sizeof own);
}

/* Mixing: the scalar is d_out . out. */
typedef struct mix_case {
    gradient_operand local, mem, gate, d_out;
    double share;
    bool gated;
    float out[2 * TOKENS * HEADS * V_DIM + HEADS]; /* d_local, d_mem, d_gate */
} mix_case;

static double mix_value(void *arg) {
    const mix_case *c = arg;
    double sum = 0;
    for (int i = 0; i < TOKENS * HEADS * V_DIM; i++) {
        double g = c->gated ? 1 / (1 + exp(-c->gate.d[i / V_DIM % HEADS])) : c->share;
        sum += c->d_out.d[i] * ((1 - g) * c->local.d[i] + g * c->mem.d[i]);
    }
    return sum;
}

static void mix_run(const mn_compute *c, void *arg) {
    mix_case *n = arg;
    mn_error err;
    mn_infini shape = {.n_heads = HEADS, .n_kv_heads = KV_HEADS, .v_dim = V_DIM};
    memset(n->out, 0, sizeof n->out);
    int size = TOKENS * HEADS * V_DIM;
    memcpy(n->out, n->d_out.f, (size_t)size * sizeof *n->out); /* in place */
    mn_infini_mix_grad g = {n->out,           n->local.f, n->mem.f, n->gated ? n->gate.f : NULL,
                            (float)n->share,  TOKENS,     n->out,   n->out + size,
                            n->out + 2 * size};
    assert_ok(mn_infini_mix_backward(c, &shape, &g, &err), err);
}

static void mix_check(const mn_compute *c, void *arg) {
    mix_case *n = arg;
    (void)c;
    size_t size = TOKENS * HEADS * V_DIM;
    gradient_check("d_local", mix_value, n, n->local.d, n->out, size, 50, 2e-6);
    gradient_check("d_mem", mix_value, n, n->mem.d, n->out + size, size, 50, 2e-6);
    gradient_check("d_gate", mix_value, n, n->gate.d, n->out + 2 * size, HEADS, 0, 3e-6);
}

static void mixing(void **state) {
    (void)state;
    static mix_case n;
    for (int gated = 0; gated < 2; gated++) {
        n = (mix_case){.gated = gated, .share = 0.3};
        n.local = gradient_operand_create(TOKENS * HEADS * V_DIM, 1, 1);
        n.mem = gradient_operand_create(TOKENS * HEADS * V_DIM, 1, 2);
        n.gate = gradient_operand_create(HEADS, 1, 3);
        n.d_out = gradient_operand_create(TOKENS * HEADS * V_DIM, 1, 4);
        gradient_for_levels(mix_run, &n, n.out, sizeof n.out, false, mix_check);
        gradient_operand *all[] = {&n.local, &n.mem, &n.gate, &n.d_out};
        for (int i = 0; i < 4; i++) gradient_operand_free(all[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule),
        cmocka_unit_test(write_gates),
        cmocka_unit_test(hard_writes),
        cmocka_unit_test(mixing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
