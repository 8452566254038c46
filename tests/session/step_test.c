/* Steps of many sessions: whatever stands beside it, a session gets the bits that it gets alone, on its way through
 * prompts in slices, answers, ways back, evictions, pages that leave sight or go to disk, and a file. */
#include "support/session_rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/random.h"
#include "session/step.h"

/* What a session may ask for. */
typedef struct setting {
    const char *attn, *attn_layers, *map, *k_type, *v_type;
    int32_t n_batch;
    bool on_disk;
    bool sees_slices; /* its blocks are chosen for a slice at a time: how a text is cut matters */
} setting;

static const setting settings[] = {
    {.n_batch = 128},
    {.attn = "window:40"},
    {.attn = "sinks-abs:4,30", .n_batch = 7},
    {.attn = "bigbird:16,3,1,2"},
    {.attn = "quest:16,32"},
    {.attn = "moba:16,2", .n_batch = 96},
    {.attn = "xattention:8,0.5", .sees_slices = true},
    {.attn = "snapkv:8,40"},
    {.attn = "snapkv:32,200", .n_batch = 48},
    {.attn = "sinks:4,30"},
    {.map = "self-extend:4,20"},
    {.map = "dca:40,10", .k_type = "q8_0", .v_type = "q4_0"},
    {.map = "string:30,10"},
    {.attn = "infini:50"},
    {.attn = "infini:32,delta,0.3"},
    {.attn = "infini:64,delta-exact,0.25", .k_type = "f16", .v_type = "bf16"},
    {.attn = "linear"},
    {.attn = "window:33", .attn_layers = "1=linear"},
    {.k_type = "q8_0", .v_type = "f32", .n_batch = 33},
    {.on_disk = true, .n_batch = 64},
    {.attn = "window:200", .k_type = "q8_0", .v_type = "q8_0", .n_batch = 64, .on_disk = true}};
enum {
    N_SETTINGS = sizeof settings / sizeof *settings,
    N_CTX = 640,
    N_PROMPT = 480,
    N_SHARED = 260, /* tokens that the second text has in common with the first */
    N_SECOND = 360,
    N_ANSWER = 12,
    N_SEEN = 3 + 3 * N_ANSWER
};

/* A session on its way: it is fed from `pending`, and what it gives is kept in order. */
typedef struct runner {
    mn_session *s;
    int index, stage;
    int32_t first[N_PROMPT], second[N_SECOND], answer[N_ANSWER];
    const int32_t *pending;
    int64_t n_pending;
    mn_random rng;         /* of its slices */
    uint64_t seen[N_SEEN]; /* hashes of rows of logits */
    int n_seen;
} runner;

static char file_path[4200];

static uint64_t hash_row(const float *logits, int n) {
    uint64_t hash = 1469598103934665603u;
    for (int i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &logits[i], sizeof bits);
        hash = (hash ^ bits) * 1099511628211u;
    }
    return hash;
}

static void see(void *arg, int64_t index, const float *logits) {
    (void)index;
    runner *r = arg;
    assert_true(r->n_seen < N_SEEN);
    r->seen[r->n_seen++] = hash_row(logits, r->s->engine->model.config.n_vocab);
}

/* The smallest memory that a window of this batch takes: the rest of the pages are on disk. */
static mn_session_params params_of(const setting *s) {
    return (mn_session_params){.n_ctx = N_CTX,
                               .n_batch = s->n_batch,
                               .type_k = s->k_type,
                               .type_v = s->v_type,
                               .attn = s->attn,
                               .attn_layers = s->attn_layers,
                               .kv_disk = s->on_disk ? "/tmp" : NULL,
                               .kv_ram_bytes = s->on_disk ? 1 : 0,
                               .position = {.map = s->map, .beyond = true}};
}

/* A setting that this model takes, or false. */
static bool start(mn_engine *engine, int index, runner *r) {
    mn_session_params params = params_of(&settings[index]);
    mn_error err;
    int n_vocab = engine->model.config.n_vocab;
    *r = (runner){.index = index};
    mn_random_seed(&r->rng, (uint64_t)index, 0);
    mn_status status = mn_session_open(engine, &params, &r->s, &err);
    if (status != MN_OK && settings[index].on_disk) { /* the sentence tells how much there has to be */
        for (params.kv_ram_bytes = 1 << 10; status != MN_OK && params.kv_ram_bytes < 1 << 26; params.kv_ram_bytes *= 2)
            status = mn_session_open(engine, &params, &r->s, &err);
    }
    if (status != MN_OK) return false;
    for (int i = 0; i < N_PROMPT; i++) r->first[i] = (int32_t)((i * 7919L + index * 31L + (long)i * i) % n_vocab);
    for (int i = 0; i < N_SECOND; i++) r->second[i] = i < N_SHARED ? r->first[i] : (r->first[i] + 1) % n_vocab;
    for (int i = 0; i < N_ANSWER; i++) r->answer[i] = (int32_t)((i * 17L + index) % n_vocab);
    return true;
}

static void feed(runner *r, const int32_t *tokens, int64_t n) {
    r->pending = tokens;
    r->n_pending = n;
}

static void begin_text(runner *r, const int32_t *tokens, int64_t n) {
    mn_error err;
    int64_t n_reused;
    assert_ok(mn_session_begin(r->s, tokens, n, &n_reused, &err), err);
    assert_int_equal(n_reused, mn_session_n_tokens(r->s));
    feed(r, tokens + n_reused, n - n_reused);
}

static void save_and_restore(runner *r) {
    mn_error err;
    if (mn_session_save(r->s, file_path, &err) == MN_ERR_UNSUPPORTED) return; /* evicted */
    assert_ok(mn_session_restore(r->s, file_path, &err), err);
    remove(file_path);
}

/* When all that was pending is done. false: the way ends here. */
static bool next_stage(runner *r) {
    mn_error err;
    if (r->stage > 5) return false;
    if (r->stage % 2 == 1) see(r, 0, mn_session_logits(r->s)); /* of a text's last token */
    switch (r->stage++) {
    case 0: begin_text(r, r->first, N_PROMPT); return true;
    case 1: feed(r, r->answer, N_ANSWER); return true;
    case 2: begin_text(r, r->second, N_SECOND); return true;
    case 3: feed(r, r->answer, N_ANSWER); return true;
    case 4:
        save_and_restore(r);
        assert_ok(mn_session_rewind(r->s, N_SHARED + 70, &err), err);
        feed(r, r->second, 20);
        return true;
    default: feed(r, r->answer, N_ANSWER); return true;
    }
}

static bool is_answer(const runner *r) { return r->stage % 2 == 0; }

/* An entry for the next tokens of a runner: one of an answer, a slice of a text. */
static mn_step_entry next_entry(runner *r) {
    static const uint8_t one = 1;
    int64_t most = is_answer(r) ? 1 : 1 + (int64_t)(mn_random_double(&r->rng) * 90);
    int64_t n = mn_session_next_slice(r->s, r->n_pending, most);
    return (mn_step_entry){.session = r->s,
                           .tokens = r->pending,
                           .n_tokens = n,
                           .want = is_answer(r) ? &one : NULL,
                           .logits = see,
                           .arg = r,
                           .without_logits = n < r->n_pending && !is_answer(r)};
}

static void go_on(runner *r, const mn_step_entry *done) {
    assert_int_equal(done->n_done, done->n_tokens);
    r->pending += done->n_tokens;
    r->n_pending -= done->n_tokens;
}

/* The whole way, by the calls for one session; texts at once, if how they are cut does not matter. */
static void run_alone(runner *r) {
    mn_error err;
    while (next_stage(r)) {
        const int32_t *text = r->stage == 1 ? r->first : r->second;
        if ((r->stage == 1 || r->stage == 3) && !settings[r->index].sees_slices) {
            assert_ok(mn_session_sync(r->s, text, r->stage == 1 ? N_PROMPT : N_SECOND, NULL, NULL, NULL, &err), err);
            continue;
        }
        while (r->n_pending > 0) {
            mn_step_entry e = next_entry(r);
            assert_ok(mn_session_extend(r->s, e.tokens, e.n_tokens, e.want, see, NULL, r, &err), err);
            e.n_done = e.n_tokens;
            go_on(r, &e);
        }
    }
}

/* All runners at once; in each step some of them, as it falls. met: who shared a step with whom. */
static void run_together(mn_engine *engine, runner *runners, int n, uint64_t seed, bool *met) {
    mn_step_entry entries[N_SETTINGS];
    int who[N_SETTINGS];
    mn_random rng;
    mn_error err;
    mn_random_seed(&rng, seed, 0);
    for (int left = n; left > 0;) {
        int n_entries = 0;
        left = 0;
        for (int i = 0; i < n; i++) {
            while (runners[i].n_pending == 0 && next_stage(&runners[i])) continue;
            if (runners[i].n_pending == 0) continue;
            left++;
            if (mn_random_double(&rng) > 0.4) continue;
            who[n_entries] = i;
            entries[n_entries++] = next_entry(&runners[i]);
        }
        assert_ok(mn_engine_step(engine, entries, n_entries, &err), err);
        for (int i = 0; i < n_entries; i++) {
            go_on(&runners[who[i]], &entries[i]);
            for (int j = 0; j < n_entries; j++) met[who[i] * n + who[j]] = true;
        }
    }
}

static void compare(const runner *alone, const runner *together) {
    assert_int_equal(alone->n_seen, N_SEEN);
    assert_int_equal(together->n_seen, N_SEEN);
    for (int i = 0; i < N_SEEN; i++)
        if (alone->seen[i] != together->seen[i])
            fail_msg("setting %d, %s: row %d of logits is not that of the session alone", alone->index,
                     settings[alone->index].attn, i);
    assert_int_equal(mn_session_n_tokens(alone->s), mn_session_n_tokens(together->s));
    assert_int_equal(mn_session_kv_bytes(alone->s), mn_session_kv_bytes(together->s));
    assert_memory_equal(mn_session_tokens(alone->s), mn_session_tokens(together->s),
                        (size_t)mn_session_n_tokens(alone->s) * sizeof(int32_t));
}

static void check_model(const char *name, int n_settings) {
    static runner alone[N_SETTINGS], together[N_SETTINGS];
    static bool met[N_SETTINGS * N_SETTINGS];
    mn_engine *engine = rows_engine(name);
    int n = 0;
    for (int i = 0; i < N_SETTINGS; i++) {
        if (!start(engine, i, &alone[n])) continue;
        assert_true(start(engine, i, &together[n]));
        run_alone(&alone[n++]);
    }
    assert_int_equal(n, n_settings);
    memset(met, 0, sizeof met);
    size_t held = engine->scratch.held_bytes;
    run_together(engine, together, n, 3, met);
    assert_int_equal(engine->scratch.held_bytes, held); /* nothing was taken while running */
    assert_true(engine->scratch.most_bytes <= mn_ledger_scratch(&engine->ledger));
    for (int i = 0; i < n * n; i++) assert_true(met[i]);
    for (int i = 0; i < n; i++) {
        compare(&alone[i], &together[i]);
        mn_session_close(alone[i].s);
        mn_session_close(together[i].s);
    }
    mn_engine_close(engine);
}

static void every_setting_beside_every_other(void **state) {
    (void)state;
    check_model("golden/tiny-llama-yarn.gguf", N_SETTINGS);
}

/* Convolutions on q and k, a memory of the model's own. */
static void also_where_the_model_has_a_memory(void **state) {
    (void)state;
    check_model("models/infini.gguf", N_SETTINGS - 4);
}

/* Latent attention and experts. */
static void also_latents_and_experts(void **state) {
    (void)state;
    check_model("golden/tiny-deepseek3.gguf", N_SETTINGS - 9);
}

int main(void) {
    snprintf(file_path, sizeof file_path, "%s", temp_path("step"));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_setting_beside_every_other),
        cmocka_unit_test(also_where_the_model_has_a_memory),
        cmocka_unit_test(also_latents_and_experts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
