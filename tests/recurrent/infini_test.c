/* recurrent/infini: the memory against the papers' matrix forms in double, in chunks of every size; splits, copies and
 * threads change no bit; an empty memory reads as 0; correlated keys stay bounded.
 */
#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention/patterns/pattern.h"
#include "recurrent/infini.h"
#include "base/random.h"
#include "kernels/kernels.h"

enum { ROWS = 90, HEADS = 4, KV_HEADS = 2, K = 12, V = 7, SEGMENT = 20 };

static const mn_infini shapes[] = {
    {MN_INFINI_LINEAR, MN_INFINI_ELU1, HEADS, KV_HEADS, K, V, SEGMENT},
    {MN_INFINI_DELTA, MN_INFINI_ELU1, HEADS, KV_HEADS, K, V, SEGMENT},
    {MN_INFINI_DELTA_EXACT, MN_INFINI_SILU_L2, HEADS, KV_HEADS, K, V, SEGMENT},
};
static float q[ROWS * HEADS * K], k[ROWS * KV_HEADS * K], v[ROWS * KV_HEADS * V], gates[ROWS * KV_HEADS];
static float whole[3][ROWS * HEADS * V];
static mn_arena scratch = MN_ARENA_INIT;
static mn_compute compute = {.scratch = &scratch, .exact = true};

static void *new_state(const mn_infini *shape) {
    size_t bytes = mn_infini_state_bytes(shape);
    return memset(aligned_alloc(64, bytes), 0, bytes);
}

static void step(const mn_infini *shape, void *state, float *out, int begin, int end) {
    mn_error err;
    assert_ok(mn_infini_step(&compute, shape, state, out + begin * HEADS * V, q + begin * HEADS * K,
                             k + begin * KV_HEADS * K, v + begin * KV_HEADS * V, gates + begin * KV_HEADS, end - begin,
                             begin, &err),
              err);
}

static int setup(void **unused) {
    (void)unused;
    fill_normal(q, ROWS * HEADS * K, 1);
    fill_normal(k, ROWS * KV_HEADS * K, 2);
    fill_normal(v, ROWS * KV_HEADS * V, 3);
    mn_random rng;
    mn_random_seed(&rng, 4, 0);
    for (int i = 0; i < ROWS * KV_HEADS; i++)
        gates[i] = mn_random_below(&rng, 3) ? (float)mn_random_double(&rng) : 0; /* a third is not written */
    for (int i = 0; i < 3; i++) {
        mn_error err;
        assert_ok(mn_infini_check(&shapes[i], &err), err);
        void *state = new_state(&shapes[i]);
        step(&shapes[i], state, whole[i], 0, ROWS);
        free(state);
    }
    return 0;
}

/* The features of one token in double. */
static void feature(const mn_infini *shape, double *out, const float *x) {
    double sum = 0;
    for (int i = 0; i < K; i++) {
        double silu = x[i] / (1 + exp(-x[i]));
        out[i] = shape->feature == MN_INFINI_ELU1 ? x[i] > 0 ? x[i] + 1.0 : exp(x[i]) : silu;
        sum += silu * silu;
    }
    for (int i = 0; i < K && shape->feature == MN_INFINI_SILU_L2; i++) out[i] /= sqrt(sum);
}

static double dot(const double *x, const double *y) {
    double sum = 0;
    for (int i = 0; i < K; i++) sum += x[i] * y[i];
    return sum;
}

/* out [V] = M^T x */
static void read(double *out, double m[K][V], const double *x) {
    for (int j = 0; j < V; j++) {
        out[j] = 0;
        for (int i = 0; i < K; i++) out[j] += m[i][j] * x[i];
    }
}

static void write(double m[K][V], const double *x, const double *u) {
    for (int i = 0; i < K; i++)
        for (int j = 0; j < V; j++) m[i][j] += x[i] * u[j];
}

/* The paper's rules for one query head, segment by segment. */
static void by_segments(const mn_infini *shape, int head, float *out) {
    double m[K][V] = {{0}}, z[K] = {0}, f[K], u[SEGMENT][V];
    int kv_head = head / (HEADS / KV_HEADS);
    for (int begin = 0; begin < ROWS; begin += SEGMENT) {
        int n = begin + SEGMENT < ROWS ? SEGMENT : ROWS - begin;
        for (int t = 0; t < n; t++) {
            double mem[V];
            feature(shape, f, q + ((begin + t) * HEADS + head) * K);
            read(mem, m, f);
            for (int j = 0; j < V; j++) out[(begin + t) * V + j] = begin ? (float)(mem[j] / dot(f, z)) : 0;
            int kv = (begin + t) * KV_HEADS + kv_head;
            feature(shape, f, k + kv * K);
            read(u[t], m, f);
            for (int j = 0; j < V; j++)
                u[t][j] = v[kv * V + j] - (shape->rule == MN_INFINI_DELTA && begin ? u[t][j] / dot(f, z) : 0);
        }
        for (int t = 0; t < n; t++) {
            feature(shape, f, k + ((begin + t) * KV_HEADS + kv_head) * K);
            write(m, f, u[t]);
            for (int i = 0; i < K; i++) z[i] += f[i];
        }
    }
}

/* delta-exact for one query head in chunks: A = I + tril(diag(b) K K^T, -1), U = A^-1 diag(b) (V - K M) by forward
 * substitution, out = Q M + tril(Q K^T) U, M += K^T U. One chunk for all is the quadratic form, one token a chunk the
 * recurrence. */
static void by_chunks(const mn_infini *shape, int head, int chunk, float *out) {
    double m[K][V] = {{0}}, keys[ROWS][K], u[ROWS][V], f[K];
    int kv_head = head / (HEADS / KV_HEADS);
    for (int begin = 0; begin < ROWS; begin += chunk) {
        int n = begin + chunk < ROWS ? chunk : ROWS - begin;
        for (int t = 0; t < n; t++) {
            int kv = (begin + t) * KV_HEADS + kv_head;
            double b = gates[kv], held[V], mem[V];
            feature(shape, keys[t], k + kv * K);
            read(held, m, keys[t]);
            for (int j = 0; j < V; j++) {
                u[t][j] = b * (v[kv * V + j] - held[j]);
                for (int i = 0; i < t; i++) u[t][j] -= b * dot(keys[t], keys[i]) * u[i][j];
            }
            feature(shape, f, q + ((begin + t) * HEADS + head) * K);
            read(mem, m, f);
            for (int j = 0; j < V; j++) {
                for (int i = 0; i <= t; i++) mem[j] += dot(f, keys[i]) * u[i][j];
                out[(begin + t) * V + j] = (float)mem[j];
            }
        }
        for (int t = 0; t < n; t++) write(m, keys[t], u[t]);
    }
}

static void compare_head(const mn_infini *shape, int head, const float *want) {
    for (int t = 0; t < ROWS; t++)
        assert_close(whole[shape - shapes] + (t * HEADS + head) * V, want + t * V, V, 3e-6, 3e-6, "memory");
}

static void paper_rules_equal_the_segment_form(void **unused) {
    (void)unused;
    static float want[ROWS * V];
    for (int i = 0; i < 2; i++)
        for (int head = 0; head < HEADS; head++) {
            by_segments(&shapes[i], head, want);
            compare_head(&shapes[i], head, want);
        }
}

static void delta_exact_equals_the_chunked_form(void **unused) {
    (void)unused;
    static float want[ROWS * V];
    for (int chunk = 1; chunk <= ROWS; chunk += chunk < 4 ? 1 : 13)
        for (int head = 0; head < HEADS; head++) {
            by_chunks(&shapes[2], head, chunk, want);
            compare_head(&shapes[2], head, want);
        }
}

static void splits_change_nothing(void **unused) {
    (void)unused;
    static float out[ROWS * HEADS * V];
    for (int i = 0; i < 3; i++)
        for (int piece = 1; piece < ROWS; piece++) {
            void *state = new_state(&shapes[i]);
            for (int row = 0; row < ROWS; row += piece)
                step(&shapes[i], state, out, row, row + piece < ROWS ? row + piece : ROWS);
            free(state);
            assert_memory_equal(out, whole[i], sizeof whole[i]);
        }
}

static void a_copied_state_goes_on(void **unused) {
    (void)unused;
    static float out[ROWS * HEADS * V];
    for (int i = 0; i < 3; i++)
        for (int stop = 0; stop <= ROWS; stop++) {
            size_t bytes = mn_infini_state_bytes(&shapes[i]);
            void *state = new_state(&shapes[i]), *copy = aligned_alloc(64, bytes);
            step(&shapes[i], state, out, 0, stop);
            memcpy(copy, state, bytes);
            memset(state, 0xff, bytes);
            step(&shapes[i], copy, out, stop, ROWS);
            assert_memory_equal(out, whole[i], sizeof whole[i]);
            free(state);
            free(copy);
        }
}

static void threads_change_nothing(void **unused) {
    (void)unused;
    static float out[ROWS * HEADS * V];
    mn_error err;
    assert_ok(mn_pool_create(3, &compute.pool, &err), err);
    for (int i = 0; i < 3; i++) {
        void *state = new_state(&shapes[i]);
        step(&shapes[i], state, out, 0, ROWS);
        assert_memory_equal(out, whole[i], sizeof whole[i]);
        free(state);
    }
    mn_pool_destroy(compute.pool);
    compute.pool = NULL;
}

static void an_empty_memory_reads_as_zero(void **unused) {
    (void)unused;
    float zeros[SEGMENT * HEADS * V] = {0}, out[ROWS * HEADS * V];
    for (int i = 0; i < 2; i++) assert_memory_equal(whole[i], zeros, sizeof zeros);
    float none[ROWS * KV_HEADS] = {0};
    void *state = new_state(&shapes[2]);
    mn_error err;
    assert_ok(mn_infini_step(&compute, &shapes[2], state, out, q, k, v, none, ROWS, 0, &err), err);
    for (int i = 0; i < ROWS * HEADS * V; i++) assert_true(out[i] == 0);
    free(state);
}

/* One head whose keys are all nearly the same, written whole, a thousand times. */
static void correlated_keys_stay_bounded(void **unused) {
    (void)unused;
    const mn_infini shape = {MN_INFINI_DELTA_EXACT, MN_INFINI_SILU_L2, 1, 1, K, V, SEGMENT};
    void *state = new_state(&shape);
    float base[K], noise[K], key[K], value[V], got[V], one = 1;
    mn_error err;
    fill_normal(base, K, 5);
    for (int t = 0; t < 1000; t++) {
        fill_normal(noise, K, 100 + (uint64_t)t);
        for (int i = 0; i < K; i++) key[i] = base[i] + 1e-3f * noise[i];
        fill_normal(value, V, 2000 + (uint64_t)t);
        assert_ok(mn_infini_step(&compute, &shape, state, got, key, key, value, &one, 1, t, &err), err);
        assert_close(got, value, V, 2e-5, 0, "what was just written");
    }
    free(state);
}

static void gates_and_mix(void **unused) {
    (void)unused;
    const mn_infini shape = {MN_INFINI_DELTA_EXACT, MN_INFINI_SILU_L2, 2, 2, 2, 2, 8};
    float bias[2] = {0.5f, -3}, w_key[4] = {1, 2, -1, 0.5f}, keys[8] = {1, 0, 0, 1, -1, 0.5f, 0, 0};
    float b[4] = {0, 1, -2, 0.25f}, want[4];
    for (int i = 0; i < 4; i++) {
        double x = b[i] + bias[i % 2] + w_key[i % 2 * 2] * keys[2 * i] + w_key[i % 2 * 2 + 1] * keys[2 * i + 1];
        want[i] = 1 / (1 + exp(-x)) > 0.1 ? (float)(1 / (1 + exp(-x))) : 0;
    }
    mn_infini_write_gates(&compute, &shape, b, bias, w_key, keys, 0.1f, 2);
    assert_close(b, want, 4, 0, 1e-6, "write gates");
    assert_true(b[3] == 0 && b[0] > 0.1f);

    float local[4] = {1, 2, 3, 4}, mem[4] = {10, 20, 30, 40}, gate[2] = {0, -1};
    double g = 1 / (1 + exp(1.0));
    float mixed[4] = {5.5f, 11, (float)(3 + g * 27), (float)(4 + g * 36)};
    mn_infini_mix(&compute, &shape, local, local, mem, gate, 0, 1);
    assert_close(local, mixed, 4, 0, 1e-6, "mix");
}

static void refuses_what_cannot_work(void **unused) {
    (void)unused;
    mn_error err;
    mn_infini shape = shapes[0];
    shape.feature = MN_INFINI_SILU_L2;
    assert_int_equal(mn_infini_check(&shape, &err), MN_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "elu1"));
    shape = shapes[2];
    shape.segment = 0;
    assert_int_equal(mn_infini_check(&shape, &err), MN_ERR_FORMAT);
    shape = shapes[2];
    shape.n_kv_heads = 3;
    assert_int_equal(mn_infini_check(&shape, &err), MN_ERR_FORMAT);
    shape = shapes[2];
    shape.k_dim = shape.v_dim = 1 << 30;
    shape.n_heads = shape.n_kv_heads = 1 << 30;
    assert_int_equal(mn_infini_check(&shape, &err), MN_ERR_FORMAT);

    void *state = new_state(&shapes[1]);
    *(int64_t *)state = -1;
    assert_int_equal(mn_infini_step(&compute, &shapes[1], state, whole[0], q, k, v, gates, 1, 0, &err), MN_ERR_FORMAT);
    free(state);
    assert_int_equal(mn_infini_find_rule("delta-exact"), MN_INFINI_DELTA_EXACT);
    /* --attn infini:S,RULE counts the rules as the enumeration does. */
    for (int rule = MN_INFINI_LINEAR; rule <= MN_INFINI_DELTA_EXACT; rule++) {
        char text[64];
        mn_pattern pattern;
        snprintf(text, sizeof text, "infini:64,%s", mn_infini_rule_name((mn_infini_rule)rule));
        assert_ok(mn_pattern_parse(text, &pattern, &err), err);
        assert_int_equal(pattern.args[1], rule);
    }
    assert_int_equal(mn_infini_find_feature("relu"), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(paper_rules_equal_the_segment_form),
                                       cmocka_unit_test(delta_exact_equals_the_chunked_form),
                                       cmocka_unit_test(splits_change_nothing),
                                       cmocka_unit_test(a_copied_state_goes_on),
                                       cmocka_unit_test(threads_change_nothing),
                                       cmocka_unit_test(an_empty_memory_reads_as_zero),
                                       cmocka_unit_test(correlated_keys_stay_bounded),
                                       cmocka_unit_test(gates_and_mix),
                                       cmocka_unit_test(refuses_what_cannot_work)};
    int failed = 0;
    EACH_LEVEL(level) {
        compute.kernels = mn_kernels_get((mn_cpu_level)level);
        failed += cmocka_run_group_tests_name(mn_cpu_level_name((mn_cpu_level)level), tests, setup, NULL);
    }
    mn_arena_release(&scratch);
    return failed;
}
