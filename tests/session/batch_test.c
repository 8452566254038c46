/* Sequences of any kind share a step: in exact mode each of them gets the bits that it gets alone, whatever patterns,
 * position maps, recurrent states and types of KV cache stand beside it, prefill slices and decoding tokens mixed. */
#include "support/session_rows.h"

#include "base/checked.h"
#include "model/forward.h"

#include <stdlib.h>
#include <string.h>

/* What a session may ask for: attn, attn_layers, position map, types of keys and values. */
typedef struct setting {
    const char *attn, *attn_layers, *map, *k_type, *v_type;
} setting;

static const setting settings[] = {{0},
                                   {.attn = "window:40"},
                                   {.attn = "sinks-abs:4,30"},
                                   {.attn = "bigbird:16,3,1,2"},
                                   {.attn = "longformer:30,3,2"},
                                   {.attn = "quest:16,32"},
                                   {.attn = "moba:16,2"},
                                   {.attn = "shifted-sparse:32"},
                                   {.attn = "xattention:8,0.5"},
                                   {.attn = "snapkv:8,40"},
                                   {.attn = "sinks:4,30"},
                                   {.map = "self-extend:4,20"},
                                   {.map = "dca:40,10", .k_type = "q8_0", .v_type = "q4_0"},
                                   {.map = "string:30,10"},
                                   {.attn = "infini:50"},
                                   {.attn = "infini:32,delta,0.3"},
                                   {.attn = "infini:50,delta-exact,0.25", .k_type = "f16", .v_type = "bf16"},
                                   {.attn = "linear"},
                                   {.attn = "window:33", .attn_layers = "1=linear"},
                                   {.k_type = "q8_0", .v_type = "f32"}};
enum { N_SETTINGS = sizeof settings / sizeof *settings, N_ROLES = 3, N_STEPS = 6, MAX_TOKENS = 128, MAX_ROWS = 200 };

/* Rows of each step in the three places of a batch: at any time some sequences prefill and others decode. */
static const int64_t n_step_rows[N_ROLES][N_STEPS] = {
    {90, 1, 1, 30, 1, 1}, {1, 40, 20, 1, 1, 17}, {24, 33, 1, 1, 40, 1}};

/* A sequence on its way through its steps. */
typedef struct runner {
    mn_session *session;
    int32_t tokens[MAX_TOKENS];
    float *logits; /* [MAX_TOKENS, n_vocab] */
    int role;
} runner;

static runner start(mn_engine *engine, const setting *s, int role) {
    runner r = {.role = role};
    mn_error err;
    mn_session_params params = {.n_ctx = MAX_TOKENS,
                                .type_k = s->k_type,
                                .type_v = s->v_type,
                                .attn = s->attn,
                                .attn_layers = s->attn_layers,
                                .position = {.map = s->map, .beyond = true}};
    int n_vocab = engine->model.config.n_vocab;
    assert_ok(mn_session_open(engine, &params, &r.session, &err), err);
    for (int i = 0; i < MAX_TOKENS; i++) r.tokens[i] = (int32_t)((i * 7919L + role * 31L + i * i) % n_vocab);
    r.logits = malloc(MAX_TOKENS * (size_t)n_vocab * sizeof *r.logits);
    return r;
}

static void finish(runner *r) {
    mn_session_close(r->session);
    free(r->logits);
}

/* SnapKV drops keys with the first step that ends a text twice as long as itself. */
static int64_t evicts_to(const runner *r, int64_t n_rows) {
    const mn_sequence *t = &r->session->sequence;
    int64_t window;
    bool evicts = mn_session_budget(r->session, &window) > 0 && t->n_evicted == 0;
    return evicts && n_rows >= 8 && t->n_tokens > n_rows ? n_rows + 10 : 0;
}

/* What a session does after a step. */
static void settle(mn_sequence *t) {
    if (t->evict_to) {
        t->n_evicted = t->n_tokens - t->evict_to;
        mn_kvcache_drop_after(t->cache, t->evict_to);
        t->evict_to = 0;
    }
    mn_sequence_drop_unseen(t);
}

static void run_step(mn_engine *engine, runner *const *runners, int n, int step) {
    mn_slice slices[N_ROLES];
    int32_t tokens[MAX_ROWS];
    int64_t wanted[MAX_ROWS], n_rows = 0;
    size_t n_vocab = (size_t)engine->model.config.n_vocab;
    float *logits = malloc(MAX_ROWS * n_vocab * sizeof *logits);
    mn_error err;
    for (int i = 0; i < n; i++) {
        mn_sequence *t = &runners[i]->session->sequence;
        slices[i] = (mn_slice){t, n_rows, n_step_rows[runners[i]->role][step]};
        t->evict_to = evicts_to(runners[i], slices[i].n_rows);
        memcpy(tokens + n_rows, runners[i]->tokens + t->n_tokens, (size_t)slices[i].n_rows * sizeof *tokens);
        n_rows += slices[i].n_rows;
    }
    for (int64_t i = 0; i < n_rows; i++) wanted[i] = i;
    mn_batch batch = {tokens, n_rows, slices, n, wanted, n_rows, logits, NULL};
    assert_ok(mn_forward(&engine->backend, &engine->model, &batch, &err), err);
    for (int i = 0; i < n; i++) {
        mn_sequence *t = slices[i].sequence;
        memcpy(runners[i]->logits + (size_t)(t->n_tokens - slices[i].n_rows) * n_vocab,
               logits + (size_t)slices[i].first_row * n_vocab, (size_t)slices[i].n_rows * n_vocab * sizeof *logits);
        settle(t);
    }
    free(logits);
}

static void run(mn_engine *engine, runner *const *runners, int n) {
    for (int step = 0; step < N_STEPS; step++) run_step(engine, runners, n, step);
}

static const char *name_of(const setting *s) {
    return s->attn ? s->attn : s->map ? s->map : s->k_type ? s->k_type : "the model's own attention";
}

/* The logits of every setting alone in every role. */
typedef struct alone {
    float *logits[N_SETTINGS][N_ROLES];
} alone;

static void run_alone(mn_engine *engine, const setting *list, int n, alone *a) {
    for (int i = 0; i < n; i++)
        for (int role = 0; role < N_ROLES; role++) {
            runner r = start(engine, &list[i], role);
            run(engine, (runner *const[]){&r}, 1);
            a->logits[i][role] = r.logits;
            mn_session_close(r.session);
        }
}

static void free_alone(alone *a, int n) {
    for (int i = 0; i < n; i++)
        for (int role = 0; role < N_ROLES; role++) free(a->logits[i][role]);
}

/* Sequences of settings which[0..n), in roles 0..n, together. */
static void check_together(mn_engine *engine, const setting *list, const alone *a, const int *which, int n) {
    runner runners[N_ROLES], *places[N_ROLES];
    for (int role = 0; role < n; role++) {
        runners[role] = start(engine, &list[which[role]], role);
        places[role] = &runners[role];
    }
    run(engine, places, n);
    for (int role = 0; role < n; role++) {
        size_t row = (size_t)engine->model.config.n_vocab;
        int64_t n_tokens = runners[role].session->sequence.n_tokens;
        for (int64_t i = 0; i < n_tokens; i++)
            if (memcmp(runners[role].logits + (size_t)i * row, a->logits[which[role]][role] + (size_t)i * row,
                       row * sizeof(float)))
                fail_msg("%s, sequence %d of %s, %s%s%s: token %lld differs from the sequence alone",
                         engine->model.config.arch, role, name_of(&list[which[0]]), name_of(&list[which[1]]),
                         n > 2 ? ", " : "", n > 2 ? name_of(&list[which[2]]) : "", (long long)i);
        finish(&runners[role]);
    }
}

static void every_pair_of_settings_shares_a_step(void **state) {
    (void)state;
    mn_engine *engine = rows_engine("golden/tiny-llama-yarn.gguf");
    alone a;
    run_alone(engine, settings, N_SETTINGS, &a);
    for (int i = 0; i < N_SETTINGS; i++)
        for (int j = 0; j < N_SETTINGS; j++) check_together(engine, settings, &a, (const int[]){i, j}, 2);
    free_alone(&a, N_SETTINGS);
    mn_engine_close(engine);
}

/* The settings that a model takes; the others are refused with a sentence when a session is opened. */
static int settings_of(mn_engine *engine, setting *out) {
    int n = 0;
    for (int i = 0; i < N_SETTINGS; i++) {
        mn_session *s;
        mn_error err;
        mn_session_params params = {.n_ctx = MAX_TOKENS,
                                    .attn = settings[i].attn,
                                    .attn_layers = settings[i].attn_layers,
                                    .position = {.map = settings[i].map, .beyond = true}};
        mn_status status = mn_session_open(engine, &params, &s, &err);
        if (status == MN_OK)
            out[n++] = settings[i];
        else
            assert_int_equal(status, MN_ERR_UNSUPPORTED);
        if (status == MN_OK) mn_session_close(s);
    }
    return n;
}

/* Windowed layers with a RoPE of their own, latent attention with experts, convolutions, a memory of the model's own;
 * three sequences of different settings in each step. */
static void every_kind_of_model_shares_a_step(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int n_settings;                                           /* that it takes */
    } models[] = {{"golden/tiny-gemma3.gguf", N_SETTINGS - 1},    /* snapkv takes no windows */
                  {"golden/tiny-deepseek3.gguf", N_SETTINGS - 9}, /* no maps and no recurrent state */
                  {"models/default.gguf", N_SETTINGS},
                  {"models/infini.gguf", N_SETTINGS - 3}}; /* maps that leave its memory out need --attn */
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        mn_engine *engine = rows_engine(models[m].name);
        setting list[N_SETTINGS];
        alone a;
        int n = settings_of(engine, list);
        assert_int_equal(n, models[m].n_settings);
        run_alone(engine, list, n, &a);
        for (int i = 0; i < n; i += 2) check_together(engine, list, &a, (const int[]){i, (i + 1) % n, (i + 8) % n}, 3);
        free_alone(&a, n);
        mn_engine_close(engine);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_of_settings_shares_a_step),
        cmocka_unit_test(every_kind_of_model_shares_a_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
