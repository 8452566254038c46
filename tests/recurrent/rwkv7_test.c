/* RWKV-7's state: the recurrence and the chunked form of every chunk size against the formula in double precision, at
 * every level, with decays from the least to the most that a layer can make; splits and threads change no bit of the
 * recurrence, and threads none of the chunked form.
 */
#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "recurrent/rwkv7.h"

enum { ROWS = 150, HEADS = 3, MAX_DIM = 40, MAX_N = HEADS * MAX_DIM };

static float rows_of[7][ROWS * MAX_N], weights[5][MAX_N];
static mn_arena scratch = MN_ARENA_INIT;

/* Every fifth channel decays as fast as it can, every seventh not at all. */
static void make(void) {
    for (int i = 0; i < 7; i++) fill_normal(rows_of[i], ROWS * MAX_N, (uint64_t)i + 1);
    for (int i = 0; i < 5; i++) fill_normal(weights[i], MAX_N, (uint64_t)i + 20);
    for (int i = 0; i < ROWS * MAX_N; i++) rows_of[1][i] = i % 5 == 0 ? 40 : i % 7 == 0 ? -40 : 2 * rows_of[1][i];
}

static mn_rwkv7 layer_of(int dim) {
    return (mn_rwkv7){HEADS, dim, weights[0], weights[1], weights[2], weights[3], weights[4], 64e-5f};
}

static mn_rwkv7_rows rows_from(int dim, int begin, int end, bool mixes, float *out) {
    int n = HEADS * dim;
    const float *at[7];
    for (int i = 0; i < 7; i++) at[i] = rows_of[i] + begin * n;
    return (mn_rwkv7_rows){.r = at[0],
                           .decay = at[1],
                           .k = at[2],
                           .v = at[3],
                           .a = at[4],
                           .r_stride = n,
                           .decay_stride = n,
                           .k_stride = n,
                           .v_stride = n,
                           .a_stride = n,
                           .v_mix = mixes ? at[5] : NULL,
                           .v_first = mixes ? at[6] : NULL,
                           .v_mix_stride = n,
                           .v_first_stride = n,
                           .out = out + begin * n,
                           .out_stride = n,
                           .n_rows = end - begin};
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

/* One row of one head: rwkv7.h's formula. m [dim, dim]. */
static void formula(int dim, double *m, float *out, int row, int head, bool mixes) {
    double kk[MAX_DIM], a[MAX_DIM], k[MAX_DIM], v[MAX_DIM], w[MAX_DIM], o[MAX_DIM] = {0}, length = 0, bonus = 0;
    int at = row * HEADS * dim + head * dim, h = head * dim;
    double mean = 0, var = 0;
    for (int i = 0; i < dim; i++) {
        w[i] = exp(-exp(-0.5) * sigmoid(rows_of[1][at + i]));
        a[i] = sigmoid(rows_of[4][at + i]);
        kk[i] = (double)rows_of[2][at + i] * weights[0][h + i];
        length += kk[i] * kk[i];
        k[i] = rows_of[2][at + i] * (1 + (a[i] - 1) * weights[1][h + i]);
        v[i] = rows_of[3][at + i];
        if (mixes) v[i] += (rows_of[6][at + i] - v[i]) * sigmoid(rows_of[5][at + i]);
        bonus += k[i] * rows_of[0][at + i] * weights[2][h + i];
    }
    for (int j = 0; j < dim; j++) {
        double u = 0;
        for (int i = 0; i < dim; i++) u += m[i * dim + j] * kk[i] / sqrt(length);
        for (int i = 0; i < dim; i++) {
            m[i * dim + j] = w[i] * m[i * dim + j] - kk[i] / sqrt(length) * a[i] * u + k[i] * v[j];
            o[j] += m[i * dim + j] * rows_of[0][at + i];
        }
        mean += o[j] / dim;
    }
    for (int j = 0; j < dim; j++) var += (o[j] - mean) * (o[j] - mean) / dim;
    for (int j = 0; j < dim; j++)
        out[at + j] = (float)((o[j] - mean) / sqrt(var + 64e-5) * weights[3][h + j] + weights[4][h + j] + bonus * v[j]);
}

static void expected(int dim, bool mixes, float *out, float *states) {
    for (int head = 0; head < HEADS; head++) {
        double *m = calloc((size_t)(dim * dim), sizeof *m);
        for (int row = 0; row < ROWS; row++) formula(dim, m, out, row, head, mixes);
        for (int i = 0; i < dim * dim; i++) states[head * dim * dim + i] = (float)m[i];
        free(m);
    }
}

static float want[ROWS * MAX_N], got[ROWS * MAX_N], want_states[HEADS * MAX_DIM * MAX_DIM],
    states[HEADS * MAX_DIM * MAX_DIM];

static void run(const mn_compute *c, int dim, bool mixes, int begin, int end, int chunk) {
    mn_error err;
    mn_rwkv7 layer = layer_of(dim);
    mn_rwkv7_rows rows = rows_from(dim, begin, end, mixes, got);
    assert_ok(mn_rwkv7_chunks(c, &layer, states, &rows, chunk, &err), err);
}

static void check_chunks(const mn_compute *c, int dim, bool mixes) {
    static const int chunks[] = {1, 2, 3, 7, 16, 17, 32, 64, 100, MN_RWKV7_MAX_CHUNK};
    expected(dim, mixes, want, want_states);
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        if (!takes_case(i, 4)) continue;
        memset(states, 0, sizeof states);
        run(c, dim, mixes, 0, ROWS, chunks[i]);
        assert_close(got, want, (size_t)(ROWS * HEADS * dim), 2e-4, 2e-4, "rwkv7");
        assert_close(states, want_states, (size_t)(HEADS * dim * dim), 2e-5, 2e-5, "rwkv7's state");
    }
}

static void every_chunk_size_is_the_formula(void **unused) {
    (void)unused;
    static const int dims[] = {3, 16, 40};
    make();
    EACH_LEVEL(level)
    for (int i = 0; i < 6; i++) {
        mn_compute c = {.kernels = mn_kernels_get((mn_cpu_level)level), .scratch = &scratch};
        check_chunks(&c, dims[i / 2], i % 2);
    }
}

static void splits_and_threads_change_no_bit(void **unused) {
    (void)unused;
    enum { DIM = 40 };
    mn_error err;
    mn_pool *pool;
    assert_ok(mn_pool_create(3, &pool, &err), err);
    make();
    EACH_LEVEL(level)
    for (int chunk = 1; chunk < 40; chunk += 31) {
        mn_compute c = {.kernels = mn_kernels_get((mn_cpu_level)level), .scratch = &scratch};
        memset(states, 0, sizeof states);
        run(&c, DIM, true, 0, ROWS, chunk);
        memcpy(want, got, sizeof want);
        c.pool = pool;
        for (int piece = chunk == 1 ? 1 : ROWS; piece <= ROWS; piece += 37) {
            memset(states, 0, sizeof states);
            for (int row = 0; row < ROWS; row += piece)
                run(&c, DIM, true, row, row + piece < ROWS ? row + piece : ROWS, chunk);
            assert_memory_equal(got, want, sizeof want);
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
