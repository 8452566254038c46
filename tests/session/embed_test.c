/* Vectors of texts: encoders against the papers' formulas in double precision, with random weights; a text among others
 * against itself alone; other models' states against their logits. */
#include "support/support.h"

#include "base/checked.h"
#include "base/random.h"
#include "model/gguf_random.h"
#include "session/session.h"
#include "support/vocab_file.h"

#include <mnemo/embed.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N_EMBD = 32, N_HEADS = 4, HEAD = N_EMBD / N_HEADS, N_FF = 48, N_LAYERS = 2, N_CTX = 64 };

static mn_error err;

/* ---- a model ---- */

static const char *const pieces[] = {"[PAD]",     "[UNK]", "[CLS]",     "[SEP]",     "\u2581the", "\u2581cat",
                                     "\u2581sat", "s",     "\u2581on",  "\u2581mat", "\u2581a",   "\u2581.",
                                     "b",         "c",     "\u2581dog", "ting"};
enum { N_PIECES = sizeof pieces / sizeof *pieces };

static mn_gguf *vocabulary(char **bytes) {
    int32_t types[N_PIECES];
    size_t n;
    mn_gguf *vocab;
    vocab_file file = vocab_file_begin("bert");
    for (int i = 0; i < N_PIECES; i++) types[i] = i == 1 ? 2 : i < 4 ? 3 : 1;
    vocab_file_texts(&file, "tokens", pieces, N_PIECES);
    vocab_file_i32s(&file, "token_type", types, N_PIECES);
    vocab_file_u32(&file, "unknown_token_id", 1);
    vocab_file_u32(&file, "cls_token_id", 2);
    vocab_file_u32(&file, "seperator_token_id", 3);
    *bytes = vocab_file_finish(&file, &n);
    assert_ok(mn_gguf_parse("vocabulary", *bytes, n, &vocab, &err), err);
    return vocab;
}

/* Biases and norms of a new model say nothing; here they are random too. */
static mn_status fill(void *arg, const mn_tensor *t, void *dst, mn_error *why) {
    (void)why;
    const mn_gguf *from = arg;
    const mn_tensor *old = mn_gguf_tensor(from, t->name);
    memcpy(dst, old->data, old->bytes);
    if (t->n_dims > 1) return MN_OK;
    float *x = dst;
    fill_normal(x, (size_t)t->ne[0], strlen(t->name) + (size_t)t->name[4]);
    for (int64_t i = 0; i < t->ne[0]; i++) x[i] = (strstr(t->name, ".weight") ? 1.0f : 0.0f) + 0.3f * x[i];
    return MN_OK;
}

static const char *make_model(const char *arch) {
    static char path[4096];
    char plain[4096], *bytes;
    const mn_random_model shape = {.arch = arch,
                                   .n_layers = N_LAYERS,
                                   .n_embd = N_EMBD,
                                   .n_heads = N_HEADS,
                                   .n_kv_heads = N_HEADS,
                                   .head_dim = HEAD,
                                   .n_ff = N_FF,
                                   .n_ctx = N_CTX,
                                   .rope_base = 1000,
                                   .seed = 3};
    mn_random_summary summary;
    mn_gguf *vocab = vocabulary(&bytes), *made;
    mn_gguf_writer *writer;
    snprintf(plain, sizeof plain, "%s", temp_path("embed-plain.gguf"));
    snprintf(path, sizeof path, "%s", temp_path("embed.gguf"));
    assert_ok(mn_random_model_write(&shape, vocab, plain, &(mn_make_params){.type = MN_F32}, &summary, &err), err);
    mn_gguf_close(vocab);
    free(bytes);
    assert_ok(mn_gguf_open(plain, &made, &err), err);
    assert_ok(mn_gguf_writer_create(&writer, &err), err);
    for (int64_t i = 0; i < mn_gguf_n_kv(made); i++) mn_gguf_put_kv(writer, mn_gguf_kv_at(made, i));
    for (int64_t i = 0; i < mn_gguf_n_tensors(made); i++) {
        mn_tensor t = *mn_gguf_tensor_at(made, i);
        t.data = NULL;
        mn_gguf_put_tensor(writer, &t);
    }
    assert_ok(mn_gguf_write(writer, path, fill, made, &err), err);
    mn_gguf_writer_destroy(writer);
    mn_gguf_close(made);
    unlink(plain);
    return path;
}

static mn_engine *open_engine(const char *path, bool exact, int n_threads) {
    mn_engine *engine;
    assert_ok(mn_engine_open(path, &(mn_engine_params){.n_threads = n_threads, .exact = exact}, &engine, &err), err);
    return engine;
}

/* ---- the formulas ---- */

static const float *weights(const mn_gguf *g, int layer, const char *name) {
    char full[96];
    if (layer < 0)
        snprintf(full, sizeof full, "%s", name);
    else
        snprintf(full, sizeof full, "blk.%d.%s", layer, name);
    const mn_tensor *t = mn_gguf_tensor(g, full);
    return t ? t->data : NULL;
}

static void layer_norm(const mn_gguf *g, int layer, const char *name, double *x) {
    char w[64], b[64];
    double mean = 0, variance = 0;
    snprintf(w, sizeof w, "%s.weight", name);
    snprintf(b, sizeof b, "%s.bias", name);
    const float *scale = weights(g, layer, w), *shift = weights(g, layer, b);
    for (int i = 0; i < N_EMBD; i++) mean += x[i] / N_EMBD;
    for (int i = 0; i < N_EMBD; i++) variance += (x[i] - mean) * (x[i] - mean) / N_EMBD;
    for (int i = 0; i < N_EMBD; i++)
        x[i] = (x[i] - mean) / sqrt(variance + (double)1e-5f) * (double)scale[i] + (double)shift[i];
}

static void product(const mn_gguf *g, int layer, const char *name, const double *x, int n_in, int n_out, double *out) {
    char w[64], b[64];
    snprintf(w, sizeof w, "%s.weight", name);
    snprintf(b, sizeof b, "%s.bias", name);
    const float *matrix = weights(g, layer, w), *bias = weights(g, layer, b);
    for (int o = 0; o < n_out; o++) {
        out[o] = bias ? (double)bias[o] : 0;
        for (int i = 0; i < n_in; i++) out[o] += (double)matrix[o * n_in + i] * x[i];
    }
}

static void rotate(double *x, int position) {
    for (int h = 0; h < N_HEADS; h++)
        for (int i = 0; i < HEAD / 2; i++) {
            double angle = position * pow(1000, -2.0 * i / HEAD), *a = x + h * HEAD + i, *b = a + HEAD / 2, old = *a;
            *a = old * cos(angle) - *b * sin(angle);
            *b = old * sin(angle) + *b * cos(angle);
        }
}

typedef double row[N_EMBD];

/* Every token looks at every token. */
static void attention(row *q, row *k, row *v, int n, row *out) {
    for (int t = 0; t < n; t++)
        for (int h = 0; h < N_HEADS; h++) {
            double weight[N_CTX], sum = 0;
            for (int j = 0; j < n; j++) {
                double score = 0;
                for (int i = 0; i < HEAD; i++) score += q[t][h * HEAD + i] * k[j][h * HEAD + i];
                sum += weight[j] = exp(score / sqrt(HEAD));
            }
            for (int i = 0; i < HEAD; i++) {
                out[t][h * HEAD + i] = 0;
                for (int j = 0; j < n; j++) out[t][h * HEAD + i] += weight[j] / sum * v[j][h * HEAD + i];
            }
        }
}

static void mlp(const mn_gguf *g, int layer, bool gated, const double *x, double *out) {
    double up[N_FF], gate[N_FF];
    product(g, layer, "ffn_up", x, N_EMBD, N_FF, up);
    if (gated) product(g, layer, "ffn_gate", x, N_EMBD, N_FF, gate);
    for (int i = 0; i < N_FF; i++)
        up[i] = gated ? up[i] * gate[i] / (1 + exp(-gate[i])) : 0.5 * up[i] * (1 + erf(up[i] / sqrt(2)));
    product(g, layer, "ffn_down", up, N_FF, N_EMBD, out);
}

static void encoder_layer(const mn_gguf *g, int layer, bool is_nomic, row *x, int n) {
    row q[N_CTX], k[N_CTX], v[N_CTX], mixed[N_CTX], y;
    for (int t = 0; t < n; t++) {
        product(g, layer, "attn_q", x[t], N_EMBD, N_EMBD, q[t]);
        product(g, layer, "attn_k", x[t], N_EMBD, N_EMBD, k[t]);
        product(g, layer, "attn_v", x[t], N_EMBD, N_EMBD, v[t]);
        if (is_nomic) rotate(q[t], t);
        if (is_nomic) rotate(k[t], t);
    }
    attention(q, k, v, n, mixed);
    for (int t = 0; t < n; t++) {
        product(g, layer, "attn_output", mixed[t], N_EMBD, N_EMBD, y);
        for (int i = 0; i < N_EMBD; i++) x[t][i] += y[i];
        layer_norm(g, layer, "attn_output_norm", x[t]);
        mlp(g, layer, is_nomic, x[t], y);
        for (int i = 0; i < N_EMBD; i++) x[t][i] += y[i];
        layer_norm(g, layer, "layer_output_norm", x[t]);
    }
}

static void encode(const mn_gguf *g, bool is_nomic, const int32_t *tokens, int n, row *x) {
    const float *table = weights(g, -1, "token_embd.weight"), *types = weights(g, -1, "token_types.weight");
    const float *places = weights(g, -1, "position_embd.weight");
    assert_int_equal(places == NULL, is_nomic);
    for (int t = 0; t < n; t++) {
        for (int i = 0; i < N_EMBD; i++)
            x[t][i] = (double)table[tokens[t] * N_EMBD + i] + (double)types[i] +
                      (is_nomic ? 0 : (double)places[t * N_EMBD + i]);
        layer_norm(g, -1, "token_embd_norm", x[t]);
    }
    for (int layer = 0; layer < N_LAYERS; layer++) encoder_layer(g, layer, is_nomic, x, n);
}

static void pool(row *x, int n, mn_pooling pooling, float *out) {
    double sum[N_EMBD] = {0}, square = 0;
    int first = pooling == MN_POOLING_LAST ? n - 1 : 0, last = pooling == MN_POOLING_FIRST ? 0 : n - 1;
    for (int i = 0; i < N_EMBD; i++) {
        for (int t = first; t <= last; t++) sum[i] += x[t][i] / (last - first + 1);
        square += sum[i] * sum[i];
    }
    for (int i = 0; i < N_EMBD; i++) out[i] = (float)(sum[i] / sqrt(square));
}

/* ---- tests ---- */

static mn_embed_text text_of(const char *text) { return (mn_embed_text){.text = text, .bytes = strlen(text)}; }

static void check_model(const char *arch, bool is_nomic) {
    const char *path = make_model(arch);
    mn_embed_text text = text_of("The cats sat on the mat. A dogting zzz");
    mn_engine *engine = open_engine(path, true, 1);
    int32_t *tokens;
    size_t n;
    row x[N_CTX];
    float got[N_EMBD], want[N_EMBD];
    assert_ok(mn_tokenize(engine->tokenizer, text.text, text.bytes, true, false, &tokens, &n, &err), err);
    assert_int_equal(tokens[0], 2);
    assert_int_equal(tokens[n - 1], 3);
    encode(engine->model.gguf, is_nomic, tokens, (int)n, x);
    for (mn_pooling p = MN_POOLING_DEFAULT; p <= MN_POOLING_LAST; p++) {
        pool(x, (int)n, p, want);
        assert_ok(mn_embed(engine, &(mn_embed_params){.pooling = p}, &text, 1, got, &err), err);
        assert_close(got, want, N_EMBD, 1e-5, 0, arch);
        assert_int_equal(text.n_tokens, n);
    }
    mn_engine_close(engine);
    engine = open_engine(path, false, 1);
    pool(x, (int)n, MN_POOLING_MEAN, want);
    assert_ok(mn_embed(engine, NULL, &text, 1, got, &err), err);
    assert_close(got, want, N_EMBD, 5e-3, 0, "fast");
    free(tokens);
    mn_engine_close(engine);
    unlink(path);
}

static void bert_follows_its_formulas(void **state) {
    (void)state;
    check_model("bert", false);
}

static void nomic_bert_follows_its_formulas(void **state) {
    (void)state;
    check_model("nomic-bert", true);
}

/* 150 texts of very different lengths in several steps, in one, two and four threads. */
static void a_text_among_others_is_itself_alone(void **state) {
    (void)state;
    enum { N = 150 };
    static const char *const words[] = {"the", "cat", "sat", "mat.", "dogting", "on"};
    const char *path = make_model("nomic-bert");
    char *lines[N];
    mn_embed_text texts[N];
    float *alone = calloc(N, N_EMBD * sizeof *alone), *together = calloc(N, N_EMBD * sizeof *together);
    mn_engine *engine = open_engine(path, true, 1);
    for (int i = 0; i < N; i++) {
        lines[i] = calloc(1, 400);
        for (int k = 0; k < i % 31; k++) strcat(strcat(lines[i], words[(i * 7 + k * k) % 6]), " ");
        texts[i] = text_of(lines[i]);
        assert_ok(mn_embed(engine, NULL, &texts[i], 1, alone + i * N_EMBD, &err), err);
    }
    for (int n_threads = 1; n_threads <= 4; n_threads *= 2) {
        mn_engine_close(engine);
        engine = open_engine(path, true, n_threads);
        assert_ok(mn_embed(engine, NULL, texts, N, together, &err), err);
        assert_memory_equal(together, alone, N * N_EMBD * sizeof *alone);
    }
    for (int i = 0; i < N; i++) free(lines[i]);
    free(alone);
    free(together);
    mn_engine_close(engine);
    unlink(path);
}

static void texts_beyond_the_window_are_refused_or_cut(void **state) {
    (void)state;
    const char *path = make_model("bert");
    char longer[6 * N_CTX] = "", shorter[6 * N_CTX] = "";
    float a[N_EMBD], b[N_EMBD];
    for (int i = 0; i < N_CTX; i++) strcat(longer, "cat ");
    for (int i = 0; i < N_CTX - 2; i++) strcat(shorter, "cat ");
    mn_engine *engine = open_engine(path, true, 1);
    mn_embed_text texts[] = {text_of("cat"), text_of(longer), text_of(shorter)};
    float three[3 * N_EMBD];
    assert_int_equal(mn_embed(engine, NULL, texts, 3, three, &err), MN_ERR_LIMIT);
    assert_non_null(strstr(err.text, "text 1 is 66 tokens"));
    assert_ok(mn_embed(engine, &(mn_embed_params){.cut = true}, &texts[1], 1, a, &err), err);
    assert_ok(mn_embed(engine, NULL, &texts[2], 1, b, &err), err);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(mn_embed(engine, &(mn_embed_params){.n_ctx = N_CTX + 1}, texts, 1, a, &err), MN_ERR_LIMIT);
    mn_session *session;
    assert_int_equal(mn_session_open(engine, NULL, &session, &err), MN_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "encoders"));
    mn_engine_close(engine);
    unlink(path);
}

/* The states of a model that continues texts are what its logits are made of. */
static void states_of_other_models_make_their_logits(void **state) {
    (void)state;
    mn_engine *engine = open_engine(data_path("golden/tiny-llama.gguf"), true, 2);
    mn_embed_text text = text_of("Once upon a time there was a little cat.");
    mn_model_info info = mn_engine_info(engine);
    const mn_tensor *output = &engine->model.weights.output.w;
    float *x = calloc((size_t)info.n_embd, sizeof *x), *logits = calloc((size_t)info.n_vocab, sizeof *logits);
    float *w = calloc((size_t)info.n_embd, sizeof *w);
    mn_session *session;
    int32_t *tokens;
    size_t n;
    assert_ok(mn_tokenize(engine->tokenizer, text.text, text.bytes, true, false, &tokens, &n, &err), err);
    assert_ok(mn_session_open(engine, NULL, &session, &err), err);
    assert_ok(mn_session_sync(session, tokens, (int64_t)n, NULL, NULL, NULL, &err), err);
    mn_embed_params params = {.pooling = MN_POOLING_LAST, .is_not_scaled = true};
    assert_ok(mn_embed(engine, &params, &text, 1, x, &err), err);
    for (int v = 0; v < info.n_vocab; v++) {
        double sum = 0;
        mn_to_f32(output->type, (const char *)output->data + (size_t)v * mn_tensor_row_bytes(output), w, info.n_embd);
        for (int i = 0; i < info.n_embd; i++) sum += (double)x[i] * (double)w[i];
        logits[v] = (float)sum;
    }
    assert_close(logits, mn_session_logits(session), (size_t)info.n_vocab, 1e-4, 1e-4, "logits");
    mn_session_close(session);
    free(tokens);
    free(logits);
    free(w);
    free(x);
    mn_engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bert_follows_its_formulas),
        cmocka_unit_test(nomic_bert_follows_its_formulas),
        cmocka_unit_test(a_text_among_others_is_itself_alone),
        cmocka_unit_test(texts_beyond_the_window_are_refused_or_cut),
        cmocka_unit_test(states_of_other_models_make_their_logits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
