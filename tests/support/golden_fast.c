/* How far the arithmetic that users run is from f32 throughout. */
#include "support/golden.h"
#include "support/levels.h"

#include "model/gguf.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

enum { N_TYPES = 4, LONG = 64 }; /* LONG: token by token, portable C takes seconds for a longer text */
static const mn_dtype types[N_TYPES] = {MN_F32, MN_F16, MN_Q8_0, MN_Q4_K};

/* The divergence (KL, in nats) that a row's distribution may have: with weights of f32 and f16 from the reference, with
 * quantised weights from exact arithmetic with the same weights. Of a prompt, whose many rows have products of their
 * own, and of single tokens; the cache is f16. */
typedef struct bounds {
    double prompt[N_TYPES], token[N_TYPES];
} bounds;

static bounds bounds_of(int level) {
    /* Everything is multiplied in f32; what is left is the cache. */
    static const bounds in_f32 = {{1e-4, 1e-4, 1e-4, 1e-4}, {1e-4, 1e-4, 1e-4, 1e-4}};
    /* Quantised weights are multiplied as bytes, and so activations are rounded to 8 bits: with AVX-512 for few rows,
     * with AVX2 and AVX-VNNI for all. */
    static const bounds bytes_for_few = {{1e-4, 1e-4, 5e-4, 5e-4}, {1e-4, 1e-4, 2e-2, 2e-2}};
    static const bounds bytes = {{1e-4, 1e-4, 2e-2, 2e-2}, {1e-4, 1e-4, 2e-2, 2e-2}};
    /* Beside that, tiles round f16 weights of a prompt and the activations that meet them to bf16, eight bits of
     * significand, and in its attention queries, keys, values and weights of softmax. */
    static const bounds tiles = {{1e-4, 2e-3, 2e-2, 2e-2}, {1e-4, 1e-4, 2e-2, 2e-2}};
    switch ((mn_cpu_level)level) {
    case MN_CPU_AVX512: return bytes_for_few;
    case MN_CPU_AVX2:
    case MN_CPU_AVXVNNI:
    case MN_CPU_AVX512BF16: return bytes;
    case MN_CPU_AMX: return tiles;
    default: return in_f32;
    }
}

static double log_sum_exp(const float *x, int64_t n) {
    double max = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) max = fmax(max, x[i]);
    for (int64_t i = 0; i < n; i++) sum += exp(x[i] - max);
    return max + log(sum);
}

static double divergence(const float *got, const float *want, int64_t n) {
    double sum = 0, got_lse = log_sum_exp(got, n), want_lse = log_sum_exp(want, n);
    for (int64_t i = 0; i < n; i++) sum += exp(want[i] - want_lse) * ((want[i] - want_lse) - (got[i] - got_lse));
    return sum;
}

/* How much less likely, in logits, the likeliest token is by the wanted row: 0 when both agree. */
static double lost_by_choice(const float *got, const float *want, int64_t n) {
    return (double)want[golden_argmax(want, n)] - want[golden_argmax(got, n)];
}

/* How much less likely the likeliest token may be. Where the bound is wider, two whose logits differ by no more than
 * two standard deviations of the error may change places: KL is about half the variance of a logit's error, and the
 * difference of two has twice that. */
static double near_tie(double bound) { return bound > 1e-4 ? 2 * sqrt(2 * 2 * bound) : 0; }

/* A router compares experts: where two are nearly as good, any rounding may choose the other, and that row, and those
 * that attend to it, are far off. Of models that have one, half the rows must be within the bound. */
static void check_rows(const golden *g, bool routed, const float *got, const float *want, double bound,
                       const char *what) {
    int64_t n_beyond = 0;
    double worst = 0;
    for (int64_t r = 0; r < g->n_rows; r++) {
        const float *got_row = got + r * g->n_vocab, *want_row = want + r * g->n_vocab;
        double apart = divergence(got_row, want_row, g->n_vocab);
        worst = fmax(worst, apart);
        if (!(apart <= bound)) {
            n_beyond++;
            continue;
        }
        double lost = lost_by_choice(got_row, want_row, g->n_vocab);
        if (!(lost <= near_tie(bound)))
            fail_msg("%s: the likeliest token is %g less likely, divergence %g", what, lost, apart);
    }
    if (n_beyond > (routed ? g->n_rows / 2 : 0))
        fail_msg("%s: the distributions after %d of %d tokens diverge by more than %g; the worst by %g", what,
                 (int)n_beyond, (int)g->n_rows, bound, worst);
}

static bool is_routed(const char *path) {
    mn_gguf *gguf;
    mn_error err;
    assert_ok(mn_gguf_open(path, &gguf, &err), err);
    bool routed = mn_gguf_tensor(gguf, "blk.1.ffn_gate_inp.weight") != NULL;
    mn_gguf_close(gguf);
    return routed;
}

void golden_check_fast(const golden *g, const char *name, int level) {
    bounds bound = bounds_of(level);
    for (int i = 0; i < N_TYPES; i++) {
        golden c = golden_convert(g, types[i]);
        bool routed = is_routed(c.model_path);
        float *exact =
            mn_dtype_get(types[i])->quantised
                ? golden_compute(&c, &(mn_engine_params){.n_threads = 2, .exact = true}, (mn_session_params){0})
                : NULL;
        for (int token = 0; token < (g->n_tokens > LONG ? 1 : 2); token++) {
            char what[256];
            snprintf(what, sizeof what, "%s, weights %s, %s, %s", name, mn_dtype_get(types[i])->name,
                     mn_cpu_level_name((mn_cpu_level)level), token ? "token by token" : "at once");
            float *fast =
                golden_compute(&c, &(mn_engine_params){.n_threads = 2}, (mn_session_params){.n_batch = token});
            check_rows(g, routed, fast, exact ? exact : g->logits, token ? bound.token[i] : bound.prompt[i], what);
            free(fast);
        }
        free(exact);
        unlink(c.model_path);
    }
}
