#include "support/dressed_model.h"

#include "support/support.h"

#include "base/random.h"
#include "model/gguf_random.h"
#include "model/model.h"

#include <mnemo/session.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_TENSORS = 256, N_TOKENS = 40 };

static bool ends_with(const char *name, const char *end) {
    size_t n = strlen(name), e = strlen(end);
    return n >= e && !strcmp(name + n - e, end);
}

/* Rows [first, first + n_kv * d) of a tensor of rows of `width` become copies of their twins. */
static void copy_twins(float *x, int64_t width, int64_t first, int n_kv, const int *twin) {
    int64_t head = DRESSED_HEAD_DIM * width;
    for (int j = 0; j < n_kv; j++)
        if (twin[j] != j)
            memcpy(x + first * width + j * head, x + first * width + twin[j] * head, (size_t)head * sizeof *x);
}

static void twin_tensor(const char *name, float *x, int64_t width, int n_kv, const int *twin) {
    int64_t n_q = DRESSED_HEADS * DRESSED_HEAD_DIM, n_k = n_kv * DRESSED_HEAD_DIM;
    if (strstr(name, ".attn_k.") || strstr(name, ".attn_v.") || strstr(name, ".attn_k_conv."))
        copy_twins(x, width, 0, n_kv, twin);
    if (!strstr(name, ".attn_qkv.")) return;
    copy_twins(x, width, n_q, n_kv, twin);
    copy_twins(x, width, n_q + n_k, n_kv, twin);
}

/* A copy of the tensor's values, dressed. */
static float *dress(const mn_tensor *t, mn_random *rng, int n_kv, const int *twin) {
    int64_t n = t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
    float *x = malloc((size_t)n * sizeof *x);
    bool norm = ends_with(t->name, "norm.weight"), bias = ends_with(t->name, ".bias"), taps = strstr(t->name, "_conv.");
    memcpy(x, t->data, (size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        float r = (float)mn_random_normal(rng);
        if (norm) x[i] = 1 + 0.2f * r;
        if (bias) x[i] = 0.3f * r;
        if (taps) x[i] += 0.3f * r;
    }
    if (twin) twin_tensor(t->name, x, bias ? 1 : t->ne[0], n_kv, twin);
    return x;
}

static void write_random(const char *arch, const char *path, int n_kv) {
    const mn_random_model m = {.arch = arch,
                               .n_layers = DRESSED_LAYERS,
                               .n_embd = DRESSED_EMBD,
                               .n_heads = DRESSED_HEADS,
                               .n_kv_heads = n_kv,
                               .head_dim = DRESSED_HEAD_DIM,
                               .n_ff = 96,
                               .n_ctx = 128,
                               .rope_base = 10000,
                               .seed = 11};
    mn_gguf *vocab;
    mn_random_summary summary;
    mn_error err;
    assert_ok(mn_gguf_open(MNEMO_SOURCE_DIR "/models/default.gguf", &vocab, &err), err);
    assert_ok(mn_random_model_write(&m, vocab, path, &(mn_make_params){.type = MN_F32}, &summary, &err), err);
    mn_gguf_close(vocab);
}

const char *dressed_model_write(const char *arch, const char *path, int n_kv_heads, const int *twin) {
    int n_kv = n_kv_heads ? n_kv_heads : DRESSED_KV_HEADS;
    float *values[MAX_TENSORS];
    char plain[600];
    mn_gguf *in;
    mn_gguf_writer *to;
    mn_random rng;
    mn_error err;
    snprintf(plain, sizeof plain, "%.500s.plain", path);
    write_random(arch, plain, n_kv);
    mn_random_seed(&rng, 3, 7);
    assert_ok(mn_gguf_open(plain, &in, &err), err);
    assert_ok(mn_gguf_writer_create(&to, &err), err);
    int64_t n = mn_gguf_n_tensors(in);
    assert_true(n <= MAX_TENSORS);
    for (int64_t i = 0; i < mn_gguf_n_kv(in); i++) mn_gguf_put_kv(to, mn_gguf_kv_at(in, i));
    for (int64_t i = 0; i < n; i++) {
        mn_tensor t = *mn_gguf_tensor_at(in, i);
        assert_int_equal(t.type, MN_F32);
        t.data = values[i] = dress(&t, &rng, n_kv, twin);
        mn_gguf_put_tensor(to, &t);
    }
    assert_ok(mn_gguf_write(to, path, NULL, NULL, &err), err);
    for (int64_t i = 0; i < n; i++) free(values[i]);
    mn_gguf_writer_destroy(to);
    mn_gguf_close(in);
    unlink(plain);
    return path;
}

typedef struct rows {
    float *logits;
    int64_t n_vocab;
} rows;

static void keep(void *arg, int64_t index, const float *logits) {
    rows *r = arg;
    memcpy(r->logits + index * r->n_vocab, logits, (size_t)r->n_vocab * sizeof *logits);
}

float *model_logits(const char *path, int64_t *n) {
    mn_engine *engine;
    mn_session *session;
    mn_error err;
    int32_t tokens[N_TOKENS];
    uint8_t want[N_TOKENS];
    assert_ok(mn_engine_open(path, &(mn_engine_params){.n_threads = 1, .exact = true}, &engine, &err), err);
    assert_ok(mn_session_open(engine, &(mn_session_params){0}, &session, &err), err);
    rows r = {.n_vocab = mn_engine_info(engine).n_vocab};
    for (int i = 0; i < N_TOKENS; i++) {
        tokens[i] = (int32_t)((i * 7919 + 13) % r.n_vocab);
        want[i] = 1;
    }
    *n = N_TOKENS * r.n_vocab;
    r.logits = malloc((size_t)*n * sizeof *r.logits);
    assert_ok(mn_session_extend(session, tokens, N_TOKENS, want, keep, NULL, &r, &err), err);
    mn_session_close(session);
    mn_engine_close(engine);
    return r.logits;
}

double logits_apart(const char *a, const char *b) {
    int64_t n, n_b;
    double squares = 0, off = 0;
    float *x = model_logits(a, &n), *y = model_logits(b, &n_b);
    assert_int_equal(n, n_b);
    for (int64_t i = 0; i < n; i++) {
        squares += (double)x[i] * (double)x[i];
        off += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    }
    free(x);
    free(y);
    return sqrt(off / squares);
}
