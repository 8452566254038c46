/* States that are matrices, with and without the delta rule, one decay for each head or for each channel: the
 * recurrence and the chunked form of every chunk size against the formula in double precision, at every level; splits
 * and threads change no bit of the recurrence.
 */
#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "recurrent/matrix_state.h"

enum { ROWS = 150, HEADS = 4, MAX_K = 80, MAX_V = 72 };

typedef struct kind {
    const char *name;
    mn_matrix_state shape;
} kind;

static const kind kinds[] = {
    {"gated delta", {4, 2, 16, 24, false, false, true}}, {"gated delta, tiled", {4, 2, 67, 35, true, false, true}},
    {"kda", {4, 4, 40, 72, false, true, true}},          {"kda, narrow", {4, 1, 5, 3, false, true, true}},
    {"mamba2", {4, 1, 80, 64, false, false, false}},     {"gated linear", {2, 2, 33, 17, true, true, false}},
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static float q[ROWS * HEADS * MAX_K], k[ROWS * HEADS * MAX_K], v[ROWS * HEADS * MAX_V];
static float decay[ROWS * HEADS * MAX_K], beta[ROWS * HEADS];
static mn_arena scratch = MN_ARENA_INIT;

/* Decays from almost all to almost nothing, a few of them 0; keys of length 1. */
static void make(const mn_matrix_state *s) {
    size_t n_k = (size_t)(ROWS * s->n_k_heads * s->k_dim), n_v = (size_t)(ROWS * s->n_heads * s->v_dim);
    size_t n_decay = (size_t)(ROWS * s->n_heads * (s->decays_channels ? s->k_dim : 1));
    fill_normal(q, n_k, 1);
    fill_normal(k, n_k, 2);
    fill_normal(v, n_v, 3);
    fill_normal(decay, n_decay, 4);
    fill_normal(beta, (size_t)(ROWS * s->n_heads), 5);
    for (size_t i = 0; i < n_k; i += (size_t)s->k_dim) {
        double sum = 0;
        for (int j = 0; j < s->k_dim; j++) sum += k[i + (size_t)j] * k[i + (size_t)j];
        for (int j = 0; j < s->k_dim; j++) k[i + (size_t)j] /= (float)sqrt(sum);
    }
    for (size_t i = 0; i < n_decay; i++) decay[i] = i % 101 == 7 ? 0 : expf(-expf(2 * decay[i] - 2));
    for (size_t i = 0; i < (size_t)(ROWS * s->n_heads); i++) beta[i] = 1 / (1 + expf(-beta[i]));
}

/* The formula, token by token. m [k_dim, v_dim] of one head. */
static void formula(const mn_matrix_state *s, double *m, float *out, int row, int head) {
    int k_head = s->tiled ? head % s->n_k_heads : head / (s->n_heads / s->n_k_heads);
    const float *kr = k + (row * s->n_k_heads + k_head) * s->k_dim, *qr = q + (row * s->n_k_heads + k_head) * s->k_dim;
    const float *vr = v + (row * s->n_heads + head) * s->v_dim;
    for (int j = 0; j < s->v_dim; j++) {
        double known = 0, read = 0;
        for (int i = 0; i < s->k_dim; i++) {
            int at = row * s->n_heads + head;
            m[i * s->v_dim + j] *= s->decays_channels ? decay[at * s->k_dim + i] : decay[at];
            known += m[i * s->v_dim + j] * kr[i];
        }
        double w = beta[row * s->n_heads + head] * (vr[j] - (s->corrects ? known : 0));
        for (int i = 0; i < s->k_dim; i++) {
            m[i * s->v_dim + j] += kr[i] * w;
            read += m[i * s->v_dim + j] * qr[i];
        }
        out[j] = (float)read;
    }
}

static float *expected(const mn_matrix_state *s, float *states) {
    int n_m = s->k_dim * s->v_dim;
    float *out = malloc((size_t)(ROWS * s->n_heads * s->v_dim) * sizeof *out);
    for (int head = 0; head < s->n_heads; head++) {
        double *m = calloc((size_t)n_m, sizeof *m);
        for (int row = 0; row < ROWS; row++) formula(s, m, out + (row * s->n_heads + head) * s->v_dim, row, head);
        for (int i = 0; i < n_m; i++) states[head * n_m + i] = (float)m[i];
        free(m);
    }
    return out;
}

static void run(const mn_compute *c, const mn_matrix_state *s, float *states, float *out, int begin, int end,
                int chunk) {
    mn_error err;
    int n_k = s->n_k_heads * s->k_dim, n_v = s->n_heads * s->v_dim;
    mn_matrix_rows rows = {.q = q + begin * n_k,
                           .k = k + begin * n_k,
                           .v = v + begin * n_v,
                           .q_stride = n_k,
                           .k_stride = n_k,
                           .v_stride = n_v,
                           .decay = decay + begin * s->n_heads * (s->decays_channels ? s->k_dim : 1),
                           .beta = beta + begin * s->n_heads,
                           .out = out + begin * n_v,
                           .out_stride = n_v,
                           .n_rows = end - begin};
    assert_ok(mn_matrix_state_chunks(c, s, states, &rows, chunk, &err), err);
}

static void check_kind(const mn_compute *c, const kind *of) {
    static const int chunks[] = {1, 2, 3, 5, 15, 16, 17, 31, 64, 100, 150, 200};
    const mn_matrix_state *s = &of->shape;
    size_t n_states = (size_t)(s->n_heads * s->k_dim * s->v_dim), n_out = (size_t)(ROWS * s->n_heads * s->v_dim);
    float *want_states = malloc(n_states * sizeof *want_states), *states = malloc(n_states * sizeof *states);
    float *out = malloc(n_out * sizeof *out);
    make(s);
    float *want = expected(s, want_states);
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        if (!takes_case(i, 4)) continue;
        memset(states, 0, n_states * sizeof *states);
        run(c, s, states, out, 0, ROWS, chunks[i]);
        assert_close(out, want, n_out, 2e-5, 2e-5, of->name);
        assert_close(states, want_states, n_states, 2e-5, 2e-5, of->name);
    }
    free(want_states);
    free(states);
    free(want);
    free(out);
}

static void every_chunk_size_is_the_formula(void **unused) {
    (void)unused;
    EACH_LEVEL(level)
    for (int i = 0; i < N_KINDS; i++) {
        mn_compute c = {.kernels = mn_kernels_get((mn_cpu_level)level), .scratch = &scratch};
        check_kind(&c, &kinds[i]);
    }
}

static void splits_and_threads_change_no_bit(void **unused) {
    (void)unused;
    static float whole[ROWS * HEADS * MAX_V], out[ROWS * HEADS * MAX_V], states[HEADS * MAX_K * MAX_V];
    mn_error err;
    mn_pool *pool;
    assert_ok(mn_pool_create(3, &pool, &err), err);
    EACH_LEVEL(level)
    for (int i = 0; i < N_KINDS; i++) {
        const mn_matrix_state *s = &kinds[i].shape;
        mn_compute c = {.kernels = mn_kernels_get((mn_cpu_level)level), .scratch = &scratch};
        size_t n_out = (size_t)(ROWS * s->n_heads * s->v_dim);
        make(s);
        memset(states, 0, sizeof states);
        run(&c, s, states, whole, 0, ROWS, 1);
        c.pool = pool;
        for (int piece = 1; piece < ROWS; piece += 37) {
            memset(states, 0, sizeof states);
            for (int row = 0; row < ROWS; row += piece)
                run(&c, s, states, out, row, row + piece < ROWS ? row + piece : ROWS, 1);
            assert_memory_equal(out, whole, n_out * sizeof *out);
        }
    }
    mn_pool_destroy(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_chunk_size_is_the_formula),
        cmocka_unit_test(splits_and_threads_change_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
