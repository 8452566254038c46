/* recurrent/short_conv_backward, linear_backward: against central differences of the recurrences in double precision,
 * after a prefix that is a constant, and with the gradient cut.
 */
#include "support/gradient.h"
#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "recurrent/linear_backward.h"
#include "recurrent/short_conv.h"
#include "recurrent/short_conv_backward.h"

/* Convolution: the scalar is d_out . out. */
enum { TAPS = 4, CHANNELS = 19, ROWS = 37 };
typedef struct conv_case {
    gradient_operand x, taps, d_out, history;
    bool has_history;
    int n_rows;
    float out[ROWS * CHANNELS + CHANNELS * TAPS]; /* d_x, d_taps */
} conv_case;

static double conv_value(void *arg) {
    const conv_case *k = arg;
    double sum = 0;
    for (int t = 0; t < k->n_rows; t++)
        for (int c = 0; c < CHANNELS; c++)
            for (int j = 0; j < TAPS; j++) {
                double x = t >= j           ? k->x.d[(t - j) * CHANNELS + c]
                           : k->has_history ? k->history.d[(TAPS - 1 + t - j) * CHANNELS + c]
                                            : 0;
                sum += k->d_out.d[t * CHANNELS + c] * k->taps.d[c * TAPS + j] * x;
            }
    return sum;
}

static void conv_run(const mn_compute *c, void *arg) {
    conv_case *k = arg;
    mn_error err;
    memset(k->out, 0, sizeof k->out);
    mn_short_conv_grad g = {.d_out = k->d_out.f,
                            .x = k->x.f,
                            .history = k->has_history ? k->history.f : NULL,
                            .taps = k->taps.f,
                            .n_taps = TAPS,
                            .n_channels = CHANNELS,
                            .n_rows = k->n_rows,
                            .d_x = k->out,
                            .d_taps = k->out + k->n_rows * CHANNELS};
    assert_ok(mn_short_conv_backward(c, &g, &err), err);
}

static void conv_check(const mn_compute *c, void *arg) {
    conv_case *k = arg;
    (void)c;
    size_t n = (size_t)k->n_rows * CHANNELS;
    gradient_check("d_x", conv_value, k, k->x.d, k->out, n, 150, 2e-6);
    gradient_check("d_taps", conv_value, k, k->taps.d, k->out + n, CHANNELS * TAPS, 0, 2e-6);
}

static void convolutions(void **state) {
    (void)state;
    for (int variant = 0; variant < 4; variant++) {
        conv_case k = {.has_history = variant % 2, .n_rows = variant < 2 ? ROWS : 2};
        k.x = gradient_operand_create(ROWS * CHANNELS, 1, 1);
        k.taps = gradient_operand_create(CHANNELS * TAPS, 1, 2);
        k.d_out = gradient_operand_create(ROWS * CHANNELS, 1, 3);
        k.history = gradient_operand_create((TAPS - 1) * CHANNELS, 1, 4);
        gradient_for_levels(conv_run, &k, k.out, sizeof k.out, false, conv_check);
        gradient_operand *all[] = {&k.x, &k.taps, &k.d_out, &k.history};
        for (int i = 0; i < 4; i++) gradient_operand_free(all[i]);
    }
}

/* Linear attention over TOKENS tokens, the first `prefix` of them constants. */
enum { TOKENS = 45, KV_HEADS = 2, GROUP = 2, HEADS = KV_HEADS * GROUP, K_DIM = 7, V_DIM = 5 };
typedef struct linear_case {
    gradient_operand q, k, v, d_out;
    int prefix, detach;
    /* What stands at the borders that no gradient passes, of one evaluation that comes first. */
    double kept[TOKENS + 1][KV_HEADS][K_DIM][V_DIM + 1];
    bool keeps;
    struct {
        float d_q[TOKENS * HEADS * K_DIM], d_k[TOKENS * KV_HEADS * K_DIM], d_v[TOKENS * KV_HEADS * V_DIM];
    } out;
} linear_case;

static double phi(double x) { return x > 0 ? x + 1 : exp(x); }

static double linear_value(void *arg) {
    linear_case *l = arg;
    double sum = 0;
    for (int h = 0; h < KV_HEADS; h++) {
        double m[K_DIM][V_DIM + 1] = {{0}}; /* the last column is z */
        for (int t = 0; t < TOKENS; t++) {
            if (l->keeps) memcpy(l->kept[t][h], m, sizeof m);
            if (!l->keeps && (t == l->prefix || (l->detach && t % l->detach == 0))) memcpy(m, l->kept[t][h], sizeof m);
            for (int i = 0; i < K_DIM; i++) {
                double f = phi(l->k.d[(t * KV_HEADS + h) * K_DIM + i]);
                for (int j = 0; j < V_DIM; j++) m[i][j] += f * l->v.d[(t * KV_HEADS + h) * V_DIM + j];
                m[i][V_DIM] += f;
            }
            for (int head = h * GROUP; head < (h + 1) * GROUP; head++) {
                double out[V_DIM + 1] = {0};
                for (int i = 0; i < K_DIM; i++)
                    for (int j = 0; j <= V_DIM; j++) out[j] += phi(l->q.d[(t * HEADS + head) * K_DIM + i]) * m[i][j];
                for (int j = 0; j < V_DIM && t >= l->prefix; j++)
                    sum += l->d_out.d[(t * HEADS + head) * V_DIM + j] * out[j] / (out[V_DIM] + 1e-6);
            }
        }
    }
    return sum;
}

static void linear_run(const mn_compute *c, void *arg) {
    linear_case *l = arg;
    mn_linear shape = {HEADS, KV_HEADS, K_DIM, V_DIM};
    mn_error err;
    static _Alignas(64) char state[1 << 14];
    static float out[TOKENS * HEADS * V_DIM];
    assert_true(mn_linear_state_bytes(&shape) <= sizeof state);
    memset(state, 0, sizeof state);
    memset(&l->out, 0, sizeof l->out);
    int p = l->prefix, n = TOKENS - p;
    assert_ok(mn_linear_step(c, &shape, state, out, l->q.f, l->k.f, l->v.f, p, &err), err);
    mn_linear_grad g = {.q = l->q.f + p * HEADS * K_DIM,
                        .k = l->k.f + p * KV_HEADS * K_DIM,
                        .v = l->v.f + p * KV_HEADS * V_DIM,
                        .out = out + p * HEADS * V_DIM,
                        .d_out = l->d_out.f + p * HEADS * V_DIM,
                        .n_rows = n,
                        .first_token = p,
                        .detach = l->detach,
                        .d_q = l->out.d_q + p * HEADS * K_DIM,
                        .d_k = l->out.d_k + p * KV_HEADS * K_DIM,
                        .d_v = l->out.d_v + p * KV_HEADS * V_DIM};
    char *before = aligned_alloc(64, sizeof state);
    memcpy(before, state, sizeof state);
    g.state = p ? before : NULL;
    assert_ok(mn_linear_step(c, &shape, state, out + p * HEADS * V_DIM, g.q, g.k, g.v, n, &err), err);
    assert_ok(mn_linear_backward(c, &shape, &g, &err), err);
    free(before);
}

static void linear_check(const mn_compute *c, void *arg) {
    linear_case *l = arg;
    (void)c;
    size_t p = (size_t)l->prefix, n = TOKENS - p;
    l->keeps = true;
    linear_value(l);
    l->keeps = false;
    size_t q = p * HEADS * K_DIM, k = p * KV_HEADS * K_DIM, v = p * KV_HEADS * V_DIM;
    gradient_check("d_q", linear_value, l, l->q.d + q, l->out.d_q + q, n * HEADS * K_DIM, 100, 3e-6);
    gradient_check("d_k", linear_value, l, l->k.d + k, l->out.d_k + k, n * KV_HEADS * K_DIM, 100, 3e-6);
    gradient_check("d_v", linear_value, l, l->v.d + v, l->out.d_v + v, n * KV_HEADS * V_DIM, 100, 3e-6);
}

static void linear_attention(void **state) {
    (void)state;
    static linear_case l;
    for (int variant = 0; variant < 4; variant++) {
        l = (linear_case){.prefix = variant % 2 ? 21 : 0, .detach = variant / 2 ? 16 : 0};
        l.q = gradient_operand_create(TOKENS * HEADS * K_DIM, 1, 1);
        l.k = gradient_operand_create(TOKENS * KV_HEADS * K_DIM, 1, 2);
        l.v = gradient_operand_create(TOKENS * KV_HEADS * V_DIM, 1, 3);
        l.d_out = gradient_operand_create(TOKENS * HEADS * V_DIM, 1, 4);
        gradient_for_levels(linear_run, &l, &l.out, sizeof l.out, false, linear_check);
        gradient_operand *all[] = {&l.q, &l.k, &l.v, &l.d_out};
        for (int i = 0; i < 4; i++) gradient_operand_free(all[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions),
        cmocka_unit_test(linear_attention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
