/* convert/calibrate: the moments of the first layer's input by its formula, and that windows are all used. */
#include "support/dressed_model.h"
#include "support/support.h"

#include "convert/calibrate.h"
#include "kernels/kernels.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

enum { N_TOKENS = 100, WINDOW = 16, BOS = 1, N = DRESSED_EMBD + 1 };

/* h of a token in layer 0: its embedding, normalised. */
static void first_input(const mn_model *m, int32_t token, double *h) {
    const float *x = (const float *)m->weights.token_embd.data + (int64_t)token * DRESSED_EMBD;
    double squares = 0;
    for (int i = 0; i < DRESSED_EMBD; i++) squares += (double)x[i] * (double)x[i];
    for (int i = 0; i < DRESSED_EMBD; i++)
        h[i] = (double)x[i] / sqrt(squares / DRESSED_EMBD + (double)m->config.norm_eps) *
               (double)m->weights.layers[0].attn_norm.w[i];
    h[DRESSED_EMBD] = 1;
}

static void moments(void **state) {
    (void)state;
    char path[600];
    mn_model model;
    mn_moments got;
    mn_arena scratch = {0};
    mn_error err;
    int32_t tokens[N_TOKENS];
    static double want[N * N];
    snprintf(path, sizeof path, "%s", temp_path("calibrate.gguf"));
    dressed_model_write("llama", path, 0, NULL);
    assert_ok(mn_model_open(path, &model, &err), err);
    mn_compute compute = {.kernels = mn_kernels_get(MN_CPU_GENERIC), .scratch = &scratch, .exact = true};
    for (int i = 0; i < N_TOKENS; i++) tokens[i] = (i * 37 + 5) % model.config.n_vocab;
    assert_ok(mn_moments_measure(&compute, &model, tokens, N_TOKENS, WINDOW, BOS, &got, &err), err);
    int n_windows = (N_TOKENS + WINDOW - 2) / (WINDOW - 1);
    assert_int_equal(got.n_tokens, N_TOKENS + n_windows);
    for (int t = 0; t < N_TOKENS + n_windows; t++) {
        double h[N];
        first_input(&model, t < N_TOKENS ? tokens[t] : BOS, h);
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) want[i * N + j] += h[i] * h[j] / (N_TOKENS + n_windows);
    }
    for (int i = 0; i < N * N; i++)
        if (!(fabs(mn_moments_of(&got, 0)[i] - want[i]) < 1e-5))
            fail_msg("moment %d: %g, not %g", i, got.values[i], want[i]);
    /* The last layer was reached by every token too. */
    assert_true(fabs(mn_moments_of(&got, DRESSED_LAYERS - 1)[N * N - 1] - 1) < 1e-12);
    mn_moments_release(&got);
    assert_int_equal(mn_moments_measure(&compute, &model, tokens, 0, WINDOW, BOS, &got, &err), MN_ERR_ARGUMENT);
    mn_model_close(&model);
    mn_arena_release(&scratch);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(moments)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
