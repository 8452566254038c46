/* Memories of fixed size forced on models that have none, and taken from one that has: against the papers' formulas in
 * double precision, any split, saved and restored, rewound, and what a session says about them. */
#include "support/session_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const model_names[] = {"golden/tiny-llama-yarn.gguf", "golden/tiny-gemma3.gguf",
                                          "models/default.gguf"};
/* attn, attn_layers; GQA and heads of any size come with the models */
static const char *const ways[][2] = {{"linear", NULL},
                                      {NULL, "1=linear"},
                                      {"window:40", "0=linear"},
                                      {"infini:70", NULL},
                                      {"infini:64,delta,0.3", NULL},
                                      {"infini:70,delta-exact,0.25", NULL}};
enum { MAX_DIM = 256, N_MODELS = sizeof model_names / sizeof *model_names, N_WAYS = sizeof ways / sizeof *ways };

static session_rows run_way(mn_engine *engine, const char *const way[2], int32_t n_batch, const int32_t *tokens) {
    return rows_run(engine, (mn_session_params){.attn = way[0], .attn_layers = way[1], .n_batch = n_batch}, tokens);
}

static void each_model(rows_check *check) { rows_each_model(model_names, N_MODELS, check); }

/* One head's text, in double precision; the whole of it comes in one step. */
typedef struct head {
    const mn_config *c;
    const float *q, *k, *v; /* of token 0; rows q_row, k_row, v_row floats apart */
    int64_t q_row, k_row, v_row, n;
    double matrix[MAX_DIM][MAX_DIM], z[MAX_DIM];
} head;

static void feature(const head *h, mn_infini_feature kind, const float *x, double *out) {
    double square = 0;
    for (int i = 0; i < h->c->head_dim_k; i++) {
        double v = x[i];
        out[i] = kind == MN_INFINI_ELU1 ? (v > 0 ? v + 1 : exp(v)) : v / (1 + exp(-v));
        square += out[i] * out[i];
    }
    for (int i = 0; kind == MN_INFINI_SILU_L2 && i < h->c->head_dim_k; i++) out[i] /= sqrt(square);
}

/* out = M^T x, and, where asked, by z . x + epsilon, 0 from an empty memory. */
static void recall(const head *h, const double *x, bool normalised, double epsilon, double *out) {
    double sum = epsilon;
    for (int i = 0; i < h->c->head_dim_k; i++) sum += h->z[i] * x[i];
    for (int d = 0; d < h->c->head_dim_v; d++) {
        out[d] = 0;
        for (int i = 0; i < h->c->head_dim_k; i++) out[d] += h->matrix[i][d] * x[i];
        if (normalised) out[d] = sum > 0 ? out[d] / sum : 0;
    }
}

static void store(head *h, const double *x, const double *u) {
    for (int i = 0; i < h->c->head_dim_k; i++) {
        h->z[i] += x[i];
        for (int d = 0; d < h->c->head_dim_v; d++) h->matrix[i][d] += x[i] * u[d];
    }
}

static void write_token(head *h, head *from, mn_infini_rule rule, int64_t t) {
    double x[MAX_DIM], u[MAX_DIM] = {0};
    feature(h, mn_infini_feature_of(rule), h->k + t * h->k_row, x);
    if (rule != MN_INFINI_LINEAR) recall(from, x, rule == MN_INFINI_DELTA, 0, u);
    for (int d = 0; d < h->c->head_dim_v; d++) u[d] = h->v[t * h->v_row + d] - u[d];
    store(h, x, u);
}

/* linear.h: every token is written, then read. */
static void linear_head(head *h, float *out, int64_t out_row) {
    for (int64_t t = 0; t < h->n; t++) {
        double x[MAX_DIM], said[MAX_DIM];
        write_token(h, h, MN_INFINI_LINEAR, t);
        feature(h, MN_INFINI_ELU1, h->q + t * h->q_row, x);
        recall(h, x, true, 1e-6, said);
        for (int d = 0; d < h->c->head_dim_v; d++) out[t * out_row + d] = (float)said[d];
    }
}

/* infini.h: segments are read before they are written, and written as a whole; delta-exact token by token. */
static void infini_head(head *h, const mn_infini_spec *m, float *out, int64_t out_row) {
    head *before = malloc(sizeof *before);
    bool exact = m->shape.rule == MN_INFINI_DELTA_EXACT;
    for (int64_t t = 0; t < h->n; t++) {
        double x[MAX_DIM], said[MAX_DIM];
        if (!exact && t % m->shape.segment == 0) memcpy(before, h, sizeof *before);
        write_token(h, exact ? h : before, m->shape.rule, t);
        feature(h, m->shape.feature, h->q + t * h->q_row, x);
        recall(exact ? h : before, x, !exact, 0, said);
        for (int d = 0; d < h->c->head_dim_v; d++)
            out[t * out_row + d] = (float)((1 - (double)m->share) * out[t * out_row + d] + (double)m->share * said[d]);
    }
    free(before);
}

static mn_status mix_in_double(const mn_step *s, int layer, mn_rows out, mn_rows softmax, mn_rows y, mn_rows q,
                               mn_rows k, mn_rows v, mn_error *err) {
    (void)softmax, (void)y, (void)err;
    const mn_config *c = &s->model->config;
    const mn_attn_spec *attn = &s->slices->sequence->attn;
    head *h = malloc(sizeof *h);
    assert_int_equal(s->n_rows, ROWS_TOKENS);
    for (int i = 0; i < c->n_heads; i++) {
        int kv = i / (c->n_heads / c->n_kv_heads);
        memset(h, 0, sizeof *h);
        h->c = c;
        h->q = mn_cpu_data(q) + i * q.head_stride, h->q_row = q.row_stride;
        h->k = mn_cpu_data(k) + kv * k.head_stride, h->k_row = k.row_stride;
        h->v = mn_cpu_data(v) + kv * v.head_stride, h->v_row = v.row_stride;
        h->n = s->n_rows;
        float *to = mn_cpu_data(out) + i * out.head_stride;
        int64_t out_row = out.row_stride;
        if (mn_attn_is_linear(attn, layer))
            linear_head(h, to, out_row);
        else
            infini_head(h, &attn->infini, to, out_row);
    }
    free(h);
    return MN_OK;
}

static void check_formulas(mn_engine *engine, const int32_t *tokens) {
    mn_backend cpu = engine->backend, in_double = cpu;
    in_double.mix_recurrent = mix_in_double;
    session_rows plain = rows_run(engine, (mn_session_params){0}, tokens);
    for (int i = 0; i < N_WAYS; i++) {
        session_rows got = run_way(engine, ways[i], 0, tokens);
        engine->backend = in_double;
        session_rows want = run_way(engine, ways[i], 0, tokens);
        engine->backend = cpu;
        rows_close(got, want, 1e-3, ways[i][0] ? ways[i][0] : ways[i][1]);
        assert_memory_not_equal(got.data, plain.data, rows_bytes(plain));
        free(got.data);
        free(want.data);
    }
    free(plain.data);
}

static void follows_the_formulas(void **state) {
    (void)state;
    each_model(check_formulas);
}

static void check_splits(mn_engine *engine, const int32_t *tokens) {
    static const int32_t sizes[] = {1, 7, 97, 0};
    for (int i = 0; i < N_WAYS; i++) {
        const mn_session_params params = {.attn = ways[i][0], .attn_layers = ways[i][1]};
        rows_same_in_steps(engine, params, sizes, tokens);
    }
}

static void splits_change_no_bit(void **state) {
    (void)state;
    each_model(check_splits);
}

static mn_session *open_way(mn_engine *engine, const char *const way[2]) {
    mn_session *s;
    mn_error err;
    mn_session_params params = {
        .n_ctx = 2000, .n_batch = 128, .attn = way[0], .attn_layers = way[1], .position.beyond = true};
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    return s;
}

enum { LONG_TEXT = 1000 };

static void sync_to(mn_session *s, int64_t n) {
    int32_t tokens[LONG_TEXT];
    mn_error err;
    for (int i = 0; i < LONG_TEXT; i++) tokens[i] = (int32_t)(i * 7919L % s->engine->model.config.n_vocab);
    assert_ok(mn_session_sync(s, tokens, n, NULL, NULL, NULL, &err), err);
}

static void check_return(mn_engine *engine, const int32_t *tokens) {
    (void)tokens;
    size_t bytes = (size_t)engine->model.config.n_vocab * sizeof(float);
    for (int i = 0; i < N_WAYS; i++) {
        mn_session *whole = open_way(engine, ways[i]), *s = open_way(engine, ways[i]),
                   *restored = open_way(engine, ways[i]);
        const char *path = temp_path("memories.session");
        mn_error err;
        sync_to(whole, 800);
        sync_to(s, LONG_TEXT);
        assert_ok(mn_session_save(s, path, &err), err);
        assert_ok(mn_session_restore(restored, path, &err), err);
        assert_memory_equal(mn_session_logits(restored), mn_session_logits(s), bytes);
        for (mn_session *back = s;; back = restored) { /* each goes back through its checkpoints */
            sync_to(back, 600);
            sync_to(back, 800);
            assert_memory_equal(mn_session_logits(back), mn_session_logits(whole), bytes);
            if (back == restored) break;
        }
        mn_session_close(whole);
        mn_session_close(s);
        mn_session_close(restored);
    }
}

static void comes_back_to_what_it_was(void **state) {
    (void)state;
    each_model(check_return);
}

/* A file that another memory wrote is refused. */
static void another_memory_is_refused(void **state) {
    (void)state;
    mn_engine *engine = rows_engine("models/default.gguf");
    const char *path = temp_path("memories.session");
    mn_error err;
    static const char *const others[][2] = {
        {"infini:64", NULL}, {"infini:70,linear,0.25", NULL}, {"linear", NULL}, {NULL, NULL}};
    mn_session *s = open_way(engine, ways[3]);
    sync_to(s, 200);
    assert_ok(mn_session_save(s, path, &err), err);
    mn_session_close(s);
    for (int i = 0; i < 4; i++) {
        s = open_way(engine, others[i]);
        assert_int_equal(mn_session_restore(s, path, &err), MN_ERR_ARGUMENT);
        assert_int_equal(err.remedies[0].kind, MN_REMEDY_SAME_READING);
        mn_session_close(s);
    }
    mn_engine_close(engine);
}

/* In all layers: what a session holds does not depend on the text. Among others: only the others have rows. */
static void holds_what_it_needs(void **state) {
    (void)state;
    static const char *const half[2] = {NULL, "2-=linear"}, *const causal[2] = {"causal", NULL};
    mn_engine *engine = rows_engine("models/default.gguf");
    mn_session *linear = open_way(engine, ways[0]), *hybrid = open_way(engine, half), *full = open_way(engine, causal);
    sync_to(linear, 100);
    size_t bytes = mn_session_kv_bytes(linear);
    sync_to(linear, LONG_TEXT);
    sync_to(hybrid, LONG_TEXT);
    sync_to(full, LONG_TEXT);
    assert_int_equal(mn_session_kv_bytes(linear), bytes);
    assert_int_equal(mn_kvcache_bytes(linear->sequence.cache), 0);
    assert_int_equal(2 * mn_kvcache_bytes(hybrid->sequence.cache), mn_kvcache_bytes(full->sequence.cache));
    mn_session_close(linear);
    mn_session_close(hybrid);
    mn_session_close(full);
    mn_engine_close(engine);
}

static session_rows run_infini_model(mn_engine *engine, const char *attn, const int32_t *tokens) {
    return rows_run(engine, (mn_session_params){.attn = attn}, tokens);
}

/* The model's own numbers, said or not, are its own memory; another pattern runs without it, on ordinary positions. */
static void a_models_own_memory_gives_way(void **state) {
    (void)state;
    int32_t tokens[ROWS_TOKENS];
    mn_engine *engine = rows_engine("models/infini.gguf");
    rows_tokens(engine, tokens);
    session_rows own = run_infini_model(engine, NULL, tokens);
    static const char *const same[] = {"infini:128", "infini:128,delta-exact"};
    static const char *const others[] = {"infini:64", "infini:128,delta-exact,0.25", "causal", "window:60", "linear"};
    session_rows covered = run_infini_model(engine, "window:300", tokens);
    for (int i = 0; i < 2; i++) {
        session_rows got = run_infini_model(engine, same[i], tokens);
        assert_memory_equal(got.data, own.data, rows_bytes(own));
        free(got.data);
    }
    for (int i = 0; i < 5; i++) {
        session_rows got = run_infini_model(engine, others[i], tokens);
        assert_memory_not_equal(got.data, own.data, rows_bytes(own));
        if (i == 2) assert_memory_equal(got.data, covered.data, rows_bytes(own));
        free(got.data);
    }
    free(covered.data);
    free(own.data);
    mn_engine_close(engine);
}

static void notes_say_what_is_forced(void **state) {
    (void)state;
    static const struct {
        const char *model, *attn, *says;
    } notes[] = {
        {"models/default.gguf", "infini:64",
         "(segments of 64 tokens, update linear), which needs training; it makes up 0.5 of"},
        {"models/default.gguf", "infini:64,delta-exact,0.125",
         "update delta-exact), which needs training; it makes up 0.125 of"},
        {"models/default.gguf", "linear", "not trained with linear attention, which needs training"},
        {"models/infini.gguf", "infini:64",
         "otherwise than it was trained: segments of 64 tokens, update delta-exact."},
        {"models/infini.gguf", "infini:128,delta,0.5", "segments of 128 tokens, update delta, 0.5 of the output"},
        {"models/infini.gguf", "causal",
         "earlier segments of 128 tokens with it: the attention pattern runs in its place."},
        {"models/infini.gguf", "infini:128", NULL},
        {"models/infini.gguf", NULL, NULL}};
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) {
        mn_engine *engine = rows_engine(notes[i].model);
        mn_session *s;
        mn_error err;
        mn_session_params params = {.n_ctx = 500, .attn = notes[i].attn};
        assert_ok(mn_session_open(engine, &params, &s, &err), err);
        const char *note = mn_session_note(s, 0);
        if (!notes[i].says)
            assert_null(note);
        else if (!note || !strstr(note, notes[i].says))
            fail_msg("%s: %s", notes[i].attn, note ? note : "no note");
        mn_session_close(s);
        mn_engine_close(engine);
    }
}

static void refuses(void **state) {
    (void)state;
    static const struct {
        const char *model, *attn, *layers, *says;
        mn_status status;
    } bad[] = {{"golden/tiny-deepseek3.gguf", "linear", NULL, "leave the pattern linear out", MN_ERR_UNSUPPORTED},
               {"golden/tiny-deepseek3.gguf", "infini:64", NULL, "leave the pattern infini out", MN_ERR_UNSUPPORTED},
               {"models/default.gguf", NULL, "0=infini:64", "is for all layers at once", MN_ERR_ARGUMENT},
               {"models/default.gguf", "infini:64", "0=causal", "is for all layers at once", MN_ERR_ARGUMENT},
               {"models/default.gguf", "infini:64,gamma", NULL, "one of linear delta delta-exact", MN_ERR_ARGUMENT},
               {"models/default.gguf", "infini:64,delta,1.5", NULL, "a share from 0 to 1", MN_ERR_ARGUMENT},
               {"models/infini.gguf", "infini:2048", NULL, "use segments of 512", MN_ERR_LIMIT}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mn_engine *engine = rows_engine(bad[i].model);
        mn_session *s;
        mn_error err = {0};
        mn_session_params params = {.attn = bad[i].attn, .attn_layers = bad[i].layers};
        assert_int_equal(mn_session_open(engine, &params, &s, &err), bad[i].status);
        if (!strstr(err.text, bad[i].says)) fail_msg("%s", err.text);
        mn_engine_close(engine);
    }
}

/* Positions restart with each segment, learned ones too: the text may be longer than what was trained. */
static void segments_reach_beyond_the_trained_window(void **state) {
    (void)state;
    static const char *const names[] = {"golden/tiny-gpt2.gguf", "golden/tiny-llama-yarn.gguf"};
    for (int i = 0; i < 2; i++) {
        mn_engine *engine = rows_engine(names[i]);
        int64_t n_ctx = 20 * mn_engine_info(engine).n_ctx_train, n = 0;
        mn_session *s;
        mn_error err;
        mn_session_params params = {.n_ctx = n_ctx, .attn = "infini:32,linear,0"};
        assert_ok(mn_session_open(engine, &params, &s, &err), err);
        assert_ok(mn_session_extend(s, (int32_t[]){1, 2, 3, 4, 5}, 5, NULL, NULL, NULL, NULL, &err), err);
        float *first = malloc((size_t)s->engine->model.config.n_vocab * sizeof *first);
        memcpy(first, mn_session_logits(s), (size_t)s->engine->model.config.n_vocab * sizeof *first);
        int32_t filler[32] = {0};
        assert_ok(mn_session_extend(s, filler, 27, NULL, NULL, NULL, NULL, &err), err);
        for (n = 32; n + 64 < n_ctx; n += 32)
            assert_ok(mn_session_extend(s, filler, 32, NULL, NULL, NULL, NULL, &err), err);
        assert_ok(mn_session_extend(s, (int32_t[]){1, 2, 3, 4, 5}, 5, NULL, NULL, NULL, NULL, &err), err);
        /* Without a share of the memory, a segment is a text of its own. */
        assert_memory_equal(mn_session_logits(s), first, (size_t)s->engine->model.config.n_vocab * sizeof *first);
        free(first);
        mn_session_close(s);
        mn_engine_close(engine);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_formulas),
        cmocka_unit_test(splits_change_no_bit),
        cmocka_unit_test(comes_back_to_what_it_was),
        cmocka_unit_test(another_memory_is_refused),
        cmocka_unit_test(holds_what_it_needs),
        cmocka_unit_test(a_models_own_memory_gives_way),
        cmocka_unit_test(notes_say_what_is_forced),
        cmocka_unit_test(refuses),
        cmocka_unit_test(segments_reach_beyond_the_trained_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
