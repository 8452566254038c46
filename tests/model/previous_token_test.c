/* model/previous_token: by the definition of attention in double precision, on random token sequences, head h of layer
 * 0 weighs the token h + 1 back most; without the option no head does. */
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/random.h"
#include "model/gguf_random.h"

enum { EMBD = 192, HEADS = 3, HEAD_DIM = 64, TOKENS = 32 };

static mn_gguf *make(int64_t previous_token_heads) {
    const mn_random_model model = {.arch = "llama",
                                   .n_layers = 1,
                                   .n_embd = EMBD,
                                   .n_heads = HEADS,
                                   .n_kv_heads = HEADS,
                                   .head_dim = HEAD_DIM,
                                   .n_ff = 64,
                                   .n_ctx = 64,
                                   .rope_base = 10000,
                                   .previous_token_heads = previous_token_heads,
                                   .seed = 5};
    const mn_make_params params = {.type = MN_F32};
    mn_random_summary summary;
    mn_error err;
    mn_gguf *vocab, *made;
    assert_ok(mn_gguf_open(MNEMO_SOURCE_DIR "/tests/fuzz/corpus/gguf/vocab", &vocab, &err), err);
    assert_ok(mn_random_model_write(&model, vocab, temp_path("previous.gguf"), &params, &summary, &err), err);
    assert_ok(mn_gguf_open(temp_path("previous.gguf"), &made, &err), err);
    unlink(temp_path("previous.gguf"));
    mn_gguf_close(vocab);
    return made;
}

static const float *tensor(const mn_gguf *gguf, const char *name) { return mn_gguf_tensor(gguf, name)->data; }

/* One head's rows times the normed embedding, rotated to its position. */
static void project(const float *w, int head, const float *x, int position, double out[HEAD_DIM]) {
    double square = 0, raw[HEAD_DIM];
    for (int i = 0; i < EMBD; i++) square += (double)x[i] * x[i];
    for (int c = 0; c < HEAD_DIM; c++) {
        raw[c] = 0;
        for (int i = 0; i < EMBD; i++) raw[c] += (double)w[((int64_t)head * HEAD_DIM + c) * EMBD + i] * x[i];
        raw[c] /= sqrt(square / EMBD + 1e-5);
    }
    for (int p = 0; p < HEAD_DIM; p += 2) {
        double a = position * pow(10000, -(double)p / HEAD_DIM);
        out[p] = raw[p] * cos(a) - raw[p + 1] * sin(a);
        out[p + 1] = raw[p] * sin(a) + raw[p + 1] * cos(a);
    }
}

/* Of the last tokens of 100 sequences, how many weigh the token `back` before them most. */
static int count_hits(const mn_gguf *gguf, int head, int back) {
    const float *table = tensor(gguf, "token_embd.weight");
    int64_t n_vocab = mn_gguf_tensor(gguf, "token_embd.weight")->ne[1];
    mn_random rng;
    int hits = 0;
    mn_random_seed(&rng, 7, (uint64_t)head);
    for (int i = 0; i < 100; i++) {
        double q[HEAD_DIM], k[HEAD_DIM], best = -INFINITY;
        int best_back = -1, ids[TOKENS];
        for (int t = 0; t < TOKENS; t++) ids[t] = (int)mn_random_below(&rng, (uint32_t)n_vocab);
        project(tensor(gguf, "blk.0.attn_q.weight"), head, table + (int64_t)ids[TOKENS - 1] * EMBD, TOKENS - 1, q);
        for (int t = 0; t < TOKENS; t++) {
            double score = 0;
            project(tensor(gguf, "blk.0.attn_k.weight"), head, table + (int64_t)ids[t] * EMBD, t, k);
            for (int c = 0; c < HEAD_DIM; c++) score += q[c] * k[c];
            if (score > best) best = score, best_back = TOKENS - 1 - t;
        }
        hits += best_back == back;
    }
    return hits;
}

static void heads_look_back(void **state) {
    (void)state;
    mn_gguf *with = make(HEADS), *without = make(0);
    for (int h = 0; h < HEADS; h++) {
        assert_true(count_hits(with, h, h + 1) >= 90);
        assert_true(count_hits(without, h, h + 1) <= 30);
    }
    mn_gguf_close(with);
    mn_gguf_close(without);
}

static void refuses_more_than_there_are(void **state) {
    (void)state;
    const mn_random_model model = {.arch = "llama",
                                   .n_layers = 1,
                                   .n_embd = 8,
                                   .n_heads = 2,
                                   .n_kv_heads = 2,
                                   .head_dim = 4,
                                   .n_ff = 8,
                                   .n_ctx = 8,
                                   .rope_base = 1e4,
                                   .previous_token_heads = 3};
    mn_random_summary summary;
    mn_gguf *vocab;
    mn_error err;
    assert_ok(mn_gguf_open(MNEMO_SOURCE_DIR "/tests/fuzz/corpus/gguf/vocab", &vocab, &err), err);
    assert_int_equal(
        mn_random_model_write(&model, vocab, temp_path("none.gguf"), &(mn_make_params){.type = MN_F32}, &summary, &err),
        MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "previous-token-heads is 3"));
    mn_gguf_close(vocab);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_look_back),
        cmocka_unit_test(refuses_more_than_there_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
