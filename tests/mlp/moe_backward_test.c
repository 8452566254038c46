/* mlp/moe_backward, router_backward: against central differences of a whole mixture of experts in double precision,
 * from the router's logits to the output; and the balance of experts.
 */
#include "support/gradient.h"
#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "mlp/moe_backward.h"
#include "mlp/router_backward.h"

enum { EMBD = 10, FF = 9, EXPERTS = 6, USED = 2, ROWS = 11, STACK = EXPERTS * FF * EMBD };

/* Experts behind a router: the scalar is d_out . out + the balance loss. */
typedef struct moe_case {
    mn_router router;
    gradient_operand x, logits, gate, up, down, d_out;
    int32_t ids[ROWS * USED]; /* held fast: the choice has no gradient */
    float weights[ROWS * USED];
    double balance, scale;
    struct {
        float d_x[ROWS * EMBD], d_logits[ROWS * EXPERTS], d_weights[ROWS * USED];
        float d_gate[STACK], d_up[STACK], d_down[STACK];
        double loss;
    } out;
} moe_case;

static void scores(const moe_case *m, int row, double *s) {
    double sum = 0;
    for (int e = 0; e < EXPERTS; e++) {
        double l = m->logits.d[row * EXPERTS + e];
        s[e] = m->router.gating == MN_GATING_SOFTMAX ? exp(l) : 1 / (1 + exp(-l));
        sum += s[e];
    }
    for (int e = 0; e < EXPERTS && m->router.gating == MN_GATING_SOFTMAX; e++) s[e] /= sum;
}

/* d_out . expert(x) of a row. */
static double visit(const moe_case *m, int row, int e) {
    double value = 0;
    for (int f = 0; f < FF; f++) {
        double g = 0, u = 0, back = 0;
        for (int i = 0; i < EMBD; i++) {
            g += m->gate.d[(e * FF + f) * EMBD + i] * m->x.d[row * EMBD + i];
            u += m->up.d[(e * FF + f) * EMBD + i] * m->x.d[row * EMBD + i];
            back += m->down.d[(e * EMBD + i) * FF + f] * m->d_out.d[row * EMBD + i];
        }
        value += g / (1 + exp(-g)) * u * back;
    }
    return value;
}

static double balance_value(const moe_case *m) {
    double loss = 0, s[EXPERTS];
    for (int e = 0; e < EXPERTS; e++) {
        double f = 0, p = 0;
        for (int i = 0; i < ROWS * USED; i++) f += m->ids[i] == e ? 1.0 / (ROWS * USED) : 0;
        for (int row = 0; row < ROWS; row++) {
            double sum = 0;
            scores(m, row, s);
            for (int k = 0; k < EXPERTS; k++) sum += s[k];
            p += s[e] / sum / ROWS;
        }
        loss += m->balance * EXPERTS * f * p;
    }
    return loss;
}

static double value(void *arg) {
    const moe_case *m = arg;
    double sum = m->scale * balance_value(m), s[EXPERTS];
    for (int row = 0; row < ROWS; row++) {
        double chosen = 0;
        scores(m, row, s);
        for (int i = 0; i < USED; i++) chosen += s[m->ids[row * USED + i]];
        for (int i = 0; i < USED; i++) {
            int e = m->ids[row * USED + i];
            sum += (double)m->router.scale * s[e] / (m->router.normalise ? chosen : 1) * visit(m, row, e);
        }
    }
    return sum;
}

static mn_tensor stack(const float *data, int n_in, int n_out) {
    return (mn_tensor){.type = MN_F32, .n_dims = 3, .ne = {n_in, n_out, EXPERTS, 1}, .data = data};
}

static void run(const mn_compute *c, void *arg) {
    moe_case *m = arg;
    mn_error err;
    mn_tensor gate = stack(m->gate.f, EMBD, FF), up = stack(m->up.f, EMBD, FF), down = stack(m->down.f, FF, EMBD);
    mn_experts experts = {.gate = &gate, .up = &up, .down = &down};
    memset(&m->out, 0, sizeof m->out);
    mn_moe_grad g = {.d_out = m->d_out.f,
                     .d_x = m->out.d_x,
                     .d_weights = m->out.d_weights,
                     .d_gate = m->out.d_gate,
                     .d_up = m->out.d_up,
                     .d_down = m->out.d_down};
    assert_ok(mn_route(c, &m->router, m->ids, m->weights, m->logits.f, ROWS, &err), err);
    assert_ok(mn_moe_backward(c, &experts, &g, m->x.f, m->ids, m->weights, USED, ROWS, &err), err);
    assert_ok(mn_route_backward(c, &m->router, m->out.d_logits, m->out.d_weights, m->logits.f, m->ids, ROWS, &err),
              err);
    assert_ok(mn_balance_loss(c, &m->router, m->balance, m->scale, m->out.d_logits, &m->out.loss, m->logits.f, m->ids,
                              ROWS, &err),
              err);
}

static void check(const mn_compute *c, void *arg) {
    moe_case *m = arg;
    (void)c;
    assert_true(fabs(m->out.loss - balance_value(m)) <= 1e-6);
    gradient_check("d_x", value, m, m->x.d, m->out.d_x, ROWS * EMBD, 0, 3e-6);
    gradient_check("d_logits", value, m, m->logits.d, m->out.d_logits, ROWS * EXPERTS, 0, 3e-6);
    gradient_check("d_gate", value, m, m->gate.d, m->out.d_gate, STACK, 120, 3e-6);
    gradient_check("d_up", value, m, m->up.d, m->out.d_up, STACK, 120, 3e-6);
    gradient_check("d_down", value, m, m->down.d, m->out.d_down, STACK, 120, 3e-6);
}

static void equals_central_differences(void **state) {
    (void)state;
    static const float bias[EXPERTS] = {0.1f, -0.2f, 0.3f, 0, 0, 0.1f};
    for (int variant = 0; variant < 6; variant++) {
        moe_case *m = calloc(1, sizeof *m);
        m->router = (mn_router){.gating = variant % 2 ? MN_GATING_SIGMOID : MN_GATING_SOFTMAX,
                                .n_experts = EXPERTS,
                                .n_used = USED,
                                .normalise = variant / 2 % 2,
                                .scale = variant == 3 ? 2.5f : 1};
        if (variant == 5) { /* DeepSeek-V3's */
            m->router.selection_bias = bias;
            m->router.n_groups = 3;
            m->router.n_groups_used = 2;
            m->router.group_top = 2;
            m->router.normalise = true;
        }
        m->balance = variant > 1 ? 0.5 : 0;
        m->scale = 3;
        m->x = gradient_operand_create(ROWS * EMBD, 1, 1);
        m->logits = gradient_operand_create(ROWS * EXPERTS, 1, 2);
        m->gate = gradient_operand_create(STACK, 0.5, 3);
        m->up = gradient_operand_create(STACK, 0.5, 4);
        m->down = gradient_operand_create(STACK, 0.5, 5);
        m->d_out = gradient_operand_create(ROWS * EMBD, 1, 6);
        gradient_for_levels(run, m, &m->out, sizeof m->out, false, check);
        gradient_operand *all[] = {&m->x, &m->logits, &m->gate, &m->up, &m->down, &m->d_out};
        for (int i = 0; i < 6; i++) gradient_operand_free(all[i]);
        free(m);
    }
}

/* Experts with all that they may have: biases, scales, weighed inputs, other activations, gate and up in one stack. */
enum { N_OPERANDS = 8, STRIDE = 2 * FF * EMBD };

typedef struct full_case {
    mn_mlp_act act;
    bool gated, biased, scaled, weighs_input;
    gradient_operand x, weights, gate_up, down, gate_b, up_b, down_b, scale; /* gate_up: [EXPERTS][2 FF][EMBD] */
    gradient_operand d_out;
    int32_t ids[ROWS * USED];
    struct {
        float d_x[ROWS * EMBD], d_weights[ROWS * USED], d_gate_up[EXPERTS * STRIDE], d_down[STACK];
        float d_gate_b[EXPERTS * FF], d_up_b[EXPERTS * FF], d_down_b[EXPERTS * EMBD], d_scale[EXPERTS];
    } out;
} full_case;

static double activation(const full_case *m, double g, double u) {
    double limit = (double)m->act.limit, capped = fmax(fmin(u, limit), -limit), oai = fmin(g, 7);
    switch (m->act.kind) {
    case MN_ACT_SWIGLU_OAI: return oai / (1 + exp(-1.702 * oai)) * (fmax(fmin(u, 7), -7) + 1);
    case MN_ACT_SILU_THEN_CAP: return fmin(g / (1 + exp(-g)), limit) * capped;
    case MN_ACT_GELU: return g / 2 * (1 + tanh(sqrt(2 / M_PI) * (g + 0.044715 * g * g * g))) * u;
    case MN_ACT_RELU2: return u > 0 ? u * u : 0;
    default: return g / (1 + exp(-g)) * u;
    }
}

/* d_out . y of a visit. */
static double full_visit(const full_case *m, int row, int e, double weight) {
    const double *x = m->x.d + row * EMBD, *d_out = m->d_out.d + row * EMBD;
    double found = 0, in = m->weighs_input ? weight : 1;
    for (int f = 0; f < FF; f++) {
        const double *gate = m->gate_up.d + e * STRIDE + f * EMBD, *up = gate + FF * EMBD;
        double g = m->biased ? m->gate_b.d[e * FF + f] : 0, u = m->biased ? m->up_b.d[e * FF + f] : 0, back = 0;
        for (int i = 0; i < EMBD; i++) {
            g += in * gate[i] * x[i];
            u += in * up[i] * x[i];
            back += m->down.d[(e * EMBD + i) * FF + f] * d_out[i];
        }
        found += activation(m, g, u) * back;
    }
    for (int i = 0; m->biased && i < EMBD; i++) found += m->down_b.d[e * EMBD + i] * d_out[i];
    return found * (m->scaled ? m->scale.d[e] : 1) * (m->weighs_input ? 1 : weight);
}

static double full_value(void *arg) {
    const full_case *m = arg;
    double sum = 0;
    for (int i = 0; i < ROWS * USED; i++) sum += full_visit(m, i / USED, m->ids[i], m->weights.d[i]);
    return sum;
}

static void full_run(const mn_compute *c, void *arg) {
    full_case *m = arg;
    mn_error err;
    mn_tensor gate = stack(m->gate_up.f, EMBD, FF), up = stack(m->gate_up.f + FF * EMBD, EMBD, FF);
    mn_tensor down = stack(m->down.f, FF, EMBD), none = {0};
    gate.matrix_bytes = up.matrix_bytes = STRIDE * sizeof(float);
    mn_experts experts = {.gate = m->gated ? &gate : &none,
                          .up = &up,
                          .down = &down,
                          .gate_b = m->biased && m->gated ? m->gate_b.f : NULL,
                          .up_b = m->biased ? m->up_b.f : NULL,
                          .down_b = m->biased ? m->down_b.f : NULL,
                          .scale = m->scaled ? m->scale.f : NULL,
                          .activation = m->act,
                          .weighs_input = m->weighs_input};
    memset(&m->out, 0, sizeof m->out);
    mn_moe_grad g = {.d_out = m->d_out.f,
                     .d_x = m->out.d_x,
                     .d_weights = m->out.d_weights,
                     .d_gate = m->out.d_gate_up,
                     .d_up = m->out.d_gate_up + FF * EMBD,
                     .d_down = m->out.d_down,
                     .d_gate_b = experts.gate_b ? m->out.d_gate_b : NULL,
                     .d_up_b = experts.up_b ? m->out.d_up_b : NULL,
                     .d_down_b = experts.down_b ? m->out.d_down_b : NULL,
                     .d_scale = experts.scale ? m->out.d_scale : NULL};
    assert_ok(mn_moe_backward(c, &experts, &g, m->x.f, m->ids, m->weights.f, USED, ROWS, &err), err);
}

static void full_check(const mn_compute *c, void *arg) {
    full_case *m = arg;
    (void)c;
    const struct {
        const char *name;
        gradient_operand *x;
        const float *got;
    } all[N_OPERANDS] = {{"d_x", &m->x, m->out.d_x},
                         {"d_weights", &m->weights, m->out.d_weights},
                         {"d_gate and d_up", &m->gate_up, m->out.d_gate_up},
                         {"d_down", &m->down, m->out.d_down},
                         {"d_gate_b", &m->gate_b, m->out.d_gate_b},
                         {"d_up_b", &m->up_b, m->out.d_up_b},
                         {"d_down_b", &m->down_b, m->out.d_down_b},
                         {"d_scale", &m->scale, m->out.d_scale}};
    for (int i = 0; i < N_OPERANDS; i++)
        gradient_check(all[i].name, full_value, m, all[i].x->d, all[i].got, all[i].x->n, 120, 3e-6);
}

static void whatever_an_expert_has(void **state) {
    (void)state;
    static const struct {
        mn_mlp_act act;
        bool gated, biased, scaled, weighs_input;
    } variants[] = {{{MN_ACT_SWIGLU_OAI, 0}, true, true, false, false},     /* gpt-oss */
                    {{MN_ACT_GELU, 0}, true, false, true, false},           /* Gemma 4 */
                    {{MN_ACT_SILU, 0}, true, false, false, true},           /* Llama 4 */
                    {{MN_ACT_SILU_THEN_CAP, 3}, true, false, false, false}, /* Step 3.5 */
                    {{MN_ACT_RELU2, 0}, false, false, false, false},        /* Nemotron-H */
                    {{MN_ACT_SILU, 0}, true, true, true, true}};
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        full_case *m = calloc(1, sizeof *m);
        m->act = variants[v].act;
        m->gated = variants[v].gated;
        m->biased = variants[v].biased;
        m->scaled = variants[v].scaled;
        m->weighs_input = variants[v].weighs_input;
        const size_t sizes[] = {ROWS * EMBD,  ROWS * USED,    EXPERTS * STRIDE, STACK,      EXPERTS * FF,
                                EXPERTS * FF, EXPERTS * EMBD, EXPERTS,          ROWS * EMBD};
        gradient_operand *all[] = {&m->x,    &m->weights, &m->gate_up, &m->down, &m->gate_b,
                                   &m->up_b, &m->down_b,  &m->scale,   &m->d_out};
        for (int i = 0; i < N_OPERANDS + 1; i++) *all[i] = gradient_operand_create(sizes[i], 0.7, (uint64_t)i + 1);
        for (int i = 0; i < ROWS * USED; i++) m->ids[i] = (i * 2 + i / USED) % EXPERTS;
        gradient_for_levels(full_run, m, &m->out, sizeof m->out, false, full_check);
        for (int i = 0; i < N_OPERANDS + 1; i++) gradient_operand_free(all[i]);
        free(m);
    }
}

/* Frozen experts: inputs and weights of the router receive the same. */
static void frozen_experts(void **state) {
    (void)state;
    gradient_operand x = gradient_operand_create(ROWS * EMBD, 1, 1), w = gradient_operand_create(STACK, 1, 2);
    float d_x[2][ROWS * EMBD] = {{0}}, d_weights[2][ROWS * USED], weights[ROWS * USED], d_w[STACK] = {0};
    int32_t ids[ROWS * USED];
    for (int i = 0; i < ROWS * USED; i++) {
        ids[i] = (i * 2 + i / USED) % EXPERTS;
        weights[i] = 0.1f * (float)i;
    }
    mn_tensor gate = stack(w.f, EMBD, FF), down = stack(w.f, FF, EMBD);
    mn_experts experts = {.gate = &gate, .up = &gate, .down = &down};
    mn_arena scratch = MN_ARENA_INIT;
    mn_error err;
    mn_compute c = {mn_kernels_get(MN_CPU_GENERIC), NULL, &scratch, true, NULL};
    mn_moe_grad g = {.d_out = x.f, .d_x = d_x[0], .d_weights = d_weights[0], .d_gate = d_w, .d_up = d_w, .d_down = d_w};
    assert_ok(mn_moe_backward(&c, &experts, &g, x.f, ids, weights, USED, ROWS, &err), err);
    g = (mn_moe_grad){.d_out = x.f, .d_x = d_x[1], .d_weights = d_weights[1]};
    assert_ok(mn_moe_backward(&c, &experts, &g, x.f, ids, weights, USED, ROWS, &err), err);
    assert_memory_equal(d_x[0], d_x[1], sizeof d_x[0]);
    assert_memory_equal(d_weights[0], d_weights[1], sizeof d_weights[0]);
    mn_arena_release(&scratch);
    gradient_operand_free(&x);
    gradient_operand_free(&w);
}

/* Experts used alike, with equal scores: the loss is the coefficient, and nothing pulls. */
static void balanced_experts_cost_the_coefficient(void **state) {
    (void)state;
    enum { N = 600 };
    static float logits[N * EXPERTS], d_logits[N * EXPERTS];
    static int32_t ids[N * USED];
    double loss = 0;
    mn_arena scratch = MN_ARENA_INIT;
    mn_error err;
    mn_compute c = {mn_kernels_get(MN_CPU_GENERIC), NULL, &scratch, true, NULL};
    for (int i = 0; i < N * USED; i++) ids[i] = i % EXPERTS;
    for (int gating = 1; gating <= 2; gating++) {
        mn_router r = {.gating = (mn_gating)gating, .n_experts = EXPERTS, .n_used = USED, .scale = 1};
        loss = 0;
        assert_ok(mn_balance_loss(&c, &r, 0.01, 1, d_logits, &loss, logits, ids, N, &err), err);
        assert_true(fabs(loss - 0.01) <= 1e-8);
        for (int i = 0; i < N * EXPERTS; i++) assert_true(fabsf(d_logits[i]) <= 1e-10f);
    }
    mn_arena_release(&scratch);
}

static void biases_move_against_the_load(void **state) {
    (void)state;
    int64_t counts[4] = {0};
    float bias[4] = {0, 1, 2, 3};
    static const int32_t ids[] = {0, 0, 0, 1, 1, 2, 3, 1};
    mn_count_visits(counts, ids, 8);
    assert_true(counts[0] == 3 && counts[1] == 3 && counts[2] == 1 && counts[3] == 1);
    mn_balance_bias(bias, counts, 4, 0.25f);
    assert_true(bias[0] == -0.25f && bias[1] == 0.75f && bias[2] == 2.25f && bias[3] == 3.25f);
    counts[0] = counts[1] = counts[2] = counts[3] = 5;
    mn_balance_bias(bias, counts, 4, 0.25f);
    assert_true(bias[0] == -0.25f && bias[3] == 3.25f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_central_differences),
        cmocka_unit_test(whatever_an_expert_has),
        cmocka_unit_test(frozen_experts),
        cmocka_unit_test(balanced_experts_cost_the_coefficient),
        cmocka_unit_test(biases_move_against_the_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
