/* The backward of recurrent states: gated delta with one decay and with one for each channel, and Mamba-2, against
 * central differences of their formulas in double precision: by the recurrence, where the size of chunks changes no
 * bit, and in chunks of every kind; threads change no bit.
 */
#include "support/gradient.h"
#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"
#include "recurrent/gated_delta_backward.h"
#include "recurrent/mamba2_backward.h"

enum { ROWS = 37, HEADS = 4, K_DIM = 7, V_DIM = 5, N_K = ROWS * HEADS * K_DIM, N_V = ROWS * HEADS * V_DIM };
enum { Q, K, V, DECAY, BETA, A, DT, D, D_OUT, N_OPERANDS };

typedef struct state_case {
    mn_matrix_state shape;
    gradient_operand x[N_OPERANDS];
    int chunk;
    float out[D_OUT][N_K]; /* gradients of the first */
} state_case;

static double softplus(double x) { return log1p(exp(x)); }
static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static int k_head_of(const mn_matrix_state *s, int head) {
    return s->tiled ? head % s->n_k_heads : head / (s->n_heads / s->n_k_heads);
}

static double decay_of(const state_case *c, int at, int head, int i) {
    const mn_matrix_state *s = &c->shape;
    int gate = s->decays_channels ? head * K_DIM + i : head, row = at * HEADS * (s->decays_channels ? K_DIM : 1);
    return exp(c->x[A].d[head] * softplus(c->x[DECAY].d[row + gate] + c->x[DT].d[gate]));
}

/* Of a head's channels, which share one unless each has its own: all that a token takes of exponentials. */
static void find_decays(const state_case *c, int row, int head, double decays[K_DIM]) {
    for (int i = 0; i < K_DIM; i++)
        decays[i] = i > 0 && !c->shape.decays_channels ? decays[0] : decay_of(c, row, head, i);
}

/* d_out . out of one row of a head, whose state moves on. */
static double token(const state_case *c, double m[K_DIM][V_DIM], int row, int head) {
    const mn_matrix_state *s = &c->shape;
    const double *q = c->x[Q].d + (row * s->n_k_heads + k_head_of(s, head)) * K_DIM;
    const double *k = c->x[K].d + (row * s->n_k_heads + k_head_of(s, head)) * K_DIM;
    double decays[K_DIM], sum = 0;
    double beta = s->corrects ? sigmoid(c->x[BETA].d[row * HEADS + head])
                              : softplus(c->x[DECAY].d[row * HEADS + head] + c->x[DT].d[head]);
    find_decays(c, row, head, decays);
    for (int j = 0; j < V_DIM; j++) {
        int at = (row * HEADS + head) * V_DIM + j;
        double known = 0, out = s->corrects ? 0 : c->x[D].d[head] * c->x[V].d[at];
        for (int i = 0; i < K_DIM; i++) {
            m[i][j] *= decays[i];
            known += s->corrects ? m[i][j] * k[i] : 0;
        }
        for (int i = 0; i < K_DIM; i++) {
            m[i][j] += k[i] * beta * (c->x[V].d[at] - known);
            out += m[i][j] * q[i];
        }
        sum += out * c->x[D_OUT].d[at];
    }
    return sum;
}

static double value(void *arg) {
    const state_case *c = arg;
    double sum = 0;
    for (int head = 0; head < HEADS; head++) {
        double m[K_DIM][V_DIM] = {{0}};
        for (int row = 0; row < ROWS; row++) sum += token(c, m, row, head);
    }
    return sum;
}

static void differentiate(const mn_compute *c, state_case *k, int chunk) {
    mn_error err;
    const mn_matrix_state *s = &k->shape;
    int n_k = s->n_k_heads * K_DIM, n_v = HEADS * V_DIM, n_decay = HEADS * (s->decays_channels ? K_DIM : 1);
    float(*out)[N_K] = k->out;
    mn_matrix_rows rows = {.q = k->x[Q].f,
                           .k = k->x[K].f,
                           .v = k->x[V].f,
                           .q_stride = n_k,
                           .k_stride = n_k,
                           .v_stride = n_v,
                           .n_rows = ROWS};
    memset(k->out, 0, sizeof k->out);
    if (s->corrects) {
        mn_gated_delta layer = {*s, k->x[A].f, k->x[DT].f};
        mn_delta_gates gates = {
            .decay = k->x[DECAY].f, .beta = k->x[BETA].f, .decay_stride = n_decay, .beta_stride = HEADS};
        mn_delta_grad g = {k->x[D_OUT].f, n_v, out[Q], out[K], out[V], out[DECAY], out[BETA], out[A], out[DT]};
        assert_ok(mn_gated_delta_backward(c, &layer, &rows, &gates, &g, chunk, &err), err);
        return;
    }
    mn_mamba2 layer = {*s, k->x[A].f, k->x[DT].f, k->x[D].f};
    mn_mamba2_grad g = {k->x[D_OUT].f, n_v, out[Q], out[K], out[V], out[DECAY], out[A], out[DT], out[D]};
    assert_ok(mn_mamba2_backward(c, &layer, &rows, k->x[DECAY].f, HEADS, &g, chunk, &err), err);
}

static void run(const mn_compute *c, void *arg) {
    state_case *k = arg;
    differentiate(c, k, k->chunk);
}

static void check(const mn_compute *c, void *arg) {
    state_case *k = arg;
    static const char *const names[] = {"d_q", "d_k", "d_v", "d_decay", "d_beta", "d_a", "d_dt_bias", "d_d"};
    (void)c;
    for (int i = 0; i < D_OUT; i++) {
        if (k->shape.corrects ? i == D : i == BETA) continue;
        gradient_check(names[i], value, k, k->x[i].d, k->out[i], k->x[i].n, 60, 5e-6);
    }
}

static void check_shape(mn_matrix_state shape) {
    static state_case k;
    int n_decay = shape.decays_channels ? HEADS * K_DIM : HEADS, n_k = ROWS * shape.n_k_heads * K_DIM;
    const int sizes[N_OPERANDS] = {n_k, n_k, N_V, ROWS * n_decay, ROWS * HEADS, HEADS, n_decay, HEADS, N_V};
    k.shape = shape;
    for (int i = 0; i < N_OPERANDS; i++)
        k.x[i] = gradient_operand_create((size_t)sizes[i], i <= K ? 0.5 : 1, (uint64_t)i + 1);
    for (int h = 0; h < HEADS; h++) k.x[A].d[h] = k.x[A].f[h] = -0.3f * (float)(h + 1);
    static const int chunks[] = {1, 8, 20, 100};
    for (int i = 0; i < 4; i++) {
        k.chunk = chunks[i];
        gradient_for_levels(run, &k, k.out, sizeof k.out, false, check);
    }
    for (int i = 0; i < N_OPERANDS; i++) gradient_operand_free(&k.x[i]);
}

static void gated_delta(void **state) {
    (void)state;
    check_shape((mn_matrix_state){HEADS, 2, K_DIM, V_DIM, false, false, true});
    check_shape((mn_matrix_state){HEADS, 2, K_DIM, V_DIM, true, false, true});
}

static void kda(void **state) {
    (void)state;
    check_shape((mn_matrix_state){HEADS, HEADS, K_DIM, V_DIM, false, true, true});
}

static void mamba2(void **state) {
    (void)state;
    check_shape((mn_matrix_state){HEADS, 1, K_DIM, V_DIM, false, false, false});
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(gated_delta), cmocka_unit_test(kda), cmocka_unit_test(mamba2)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
