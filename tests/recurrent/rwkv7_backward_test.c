/* The backward of RWKV-7's state against central differences of its formula in double precision, in the first layer and
 * in later ones, in chunks of every kind; threads change no bit.
 */
#include "support/gradient.h"
#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <string.h>

#include "recurrent/rwkv7_backward.h"

enum { ROWS = 19, HEADS = 3, DIM = 6, N = HEADS * DIM };
enum { R, DECAY, K, V, A, V_MIX, V_FIRST, K_K, K_A, R_K, NORM_W, NORM_B, D_OUT, N_OPERANDS };

typedef struct rwkv_case {
    gradient_operand x[N_OPERANDS];
    bool mixes;
    int chunk;
    float out[D_OUT][ROWS * N];
} rwkv_case;

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

/* d_out . out of one row of a head, whose state moves on (rwkv7.h). */
static double token(const rwkv_case *c, double m[DIM][DIM], int row, int head) {
    double kk[DIM], a[DIM], k[DIM], v[DIM], o[DIM] = {0}, length = 0, bonus = 0, mean = 0, var = 0, sum = 0;
    int h = head * DIM, at = row * N + h;
    for (int i = 0; i < DIM; i++) {
        a[i] = sigmoid(c->x[A].d[at + i]);
        kk[i] = c->x[K].d[at + i] * c->x[K_K].d[h + i];
        length += kk[i] * kk[i];
        k[i] = c->x[K].d[at + i] * (1 + (a[i] - 1) * c->x[K_A].d[h + i]);
        v[i] = c->x[V].d[at + i];
        if (c->mixes) v[i] += (c->x[V_FIRST].d[at + i] - v[i]) * sigmoid(c->x[V_MIX].d[at + i]);
        bonus += k[i] * c->x[R].d[at + i] * c->x[R_K].d[h + i];
    }
    for (int j = 0; j < DIM; j++) {
        double u = 0;
        for (int i = 0; i < DIM; i++) u += m[i][j] * kk[i] / sqrt(length);
        for (int i = 0; i < DIM; i++) {
            double w = exp(-exp(-0.5) * sigmoid(c->x[DECAY].d[at + i]));
            m[i][j] = w * m[i][j] - kk[i] / sqrt(length) * a[i] * u + k[i] * v[j];
            o[j] += m[i][j] * c->x[R].d[at + i];
        }
        mean += o[j] / DIM;
    }
    for (int j = 0; j < DIM; j++) var += (o[j] - mean) * (o[j] - mean) / DIM;
    for (int j = 0; j < DIM; j++)
        sum += c->x[D_OUT].d[at + j] *
               ((o[j] - mean) / sqrt(var + 64e-5) * c->x[NORM_W].d[h + j] + c->x[NORM_B].d[h + j] + bonus * v[j]);
    return sum;
}

static double value(void *arg) {
    const rwkv_case *c = arg;
    double sum = 0;
    for (int head = 0; head < HEADS; head++) {
        double m[DIM][DIM] = {{0}};
        for (int row = 0; row < ROWS; row++) sum += token(c, m, row, head);
    }
    return sum;
}

static void differentiate(const mn_compute *c, rwkv_case *k, int chunk) {
    mn_error err;
    gradient_operand *x = k->x;
    float(*out)[ROWS * N] = k->out;
    mn_rwkv7 layer = {HEADS, DIM, x[K_K].f, x[K_A].f, x[R_K].f, x[NORM_W].f, x[NORM_B].f, 64e-5f};
    mn_rwkv7_rows rows = {.r = x[R].f,
                          .decay = x[DECAY].f,
                          .k = x[K].f,
                          .v = x[V].f,
                          .a = x[A].f,
                          .r_stride = N,
                          .decay_stride = N,
                          .k_stride = N,
                          .v_stride = N,
                          .a_stride = N,
                          .v_mix = k->mixes ? x[V_MIX].f : NULL,
                          .v_first = k->mixes ? x[V_FIRST].f : NULL,
                          .v_mix_stride = N,
                          .v_first_stride = N,
                          .n_rows = ROWS};
    mn_rwkv7_grad g = {.d_out = x[D_OUT].f,
                       .d_out_stride = N,
                       .d_r = out[R],
                       .d_decay = out[DECAY],
                       .d_k = out[K],
                       .d_v = out[V],
                       .d_a = out[A],
                       .d_v_mix = out[V_MIX],
                       .d_v_first = out[V_FIRST],
                       .d_k_k = out[K_K],
                       .d_k_a = out[K_A],
                       .d_r_k = out[R_K],
                       .d_norm_w = out[NORM_W],
                       .d_norm_b = out[NORM_B]};
    memset(k->out, 0, sizeof k->out);
    assert_ok(mn_rwkv7_backward(c, &layer, &rows, &g, chunk, &err), err);
}

static void run(const mn_compute *c, void *arg) {
    rwkv_case *k = arg;
    differentiate(c, k, k->chunk);
}

static void check(const mn_compute *c, void *arg) {
    rwkv_case *k = arg;
    static const char *const names[] = {"d_r",       "d_decay", "d_k",   "d_v",   "d_a",      "d_v_mix",
                                        "d_v_first", "d_k_k",   "d_k_a", "d_r_k", "d_norm_w", "d_norm_b"};
    (void)c;
    for (int i = 0; i < D_OUT; i++)
        if (k->mixes || (i != V_MIX && i != V_FIRST))
            gradient_check(names[i], value, k, k->x[i].d, k->out[i], k->x[i].n, 60, 2e-5);
}

static void layers(void **state) {
    (void)state;
    for (int mixes = 0; mixes < 2; mixes++) {
        static rwkv_case k;
        k.mixes = mixes;
        for (int i = 0; i < N_OPERANDS; i++)
            k.x[i] = gradient_operand_create(i >= K_K && i < D_OUT ? N : ROWS * N, 1, (uint64_t)i + 1);
        static const int chunks[] = {1, 4, 8, ROWS, 100};
        for (int i = 0; i < 5; i++) {
            k.chunk = chunks[i];
            gradient_for_levels(run, &k, k.out, sizeof k.out, false, check);
        }
        for (int i = 0; i < N_OPERANDS; i++) gradient_operand_free(&k.x[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(layers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
