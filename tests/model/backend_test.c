/* The forward pass over a backend whose buffers cannot be looked into (mock_backend.h): the same bits as on the CPU's
 * backend. With keeps_inputs, what an operation wrote is still there when the step ends. */
#include "model/mock_backend.h"
#include "support/session_rows.h"

#include "attention/attention.h"
#include "model/forward.h"

#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* What is asked of a model's sequences. */
typedef struct way {
    const char *model, *attn, *attn_layers, *map;
} way;

static const way ways[] = {{.model = "golden/tiny-llama-yarn.gguf"},
                           {.model = "golden/tiny-llama-yarn.gguf", .attn = "quest:16,32"},
                           {.model = "golden/tiny-llama-yarn.gguf", .map = "dca:20,5"},
                           {.model = "golden/tiny-qwen3.gguf", .map = "self-extend:4,10"},
                           {.model = "golden/tiny-qwen3.gguf", .attn = "infini:16,delta,0.3"},
                           {.model = "golden/tiny-gemma3.gguf", .attn = "sinks:4,10"},
                           {.model = "golden/tiny-gemma3.gguf", .attn_layers = "1=linear"},
                           {.model = "golden/tiny-deepseek3.gguf"},
                           {.model = "golden/tiny-gemma4.gguf"},
                           {.model = "golden/tiny-glm-dsa.gguf"},
                           {.model = "golden/tiny-deepseek4.gguf"},
                           {.model = "golden/tiny-gpt-oss.gguf"},
                           {.model = "golden/tiny-step35.gguf"},
                           {.model = "golden/tiny-gpt2.gguf"},
                           {.model = "golden/tiny-bloom.gguf"},
                           {.model = "golden/tiny-mpt.gguf"},
                           {.model = "golden/tiny-mixtral.gguf"},
                           {.model = "golden/tiny-phi3.gguf"},
                           {.model = "golden/tiny-gemma2.gguf"},
                           {.model = "models/infini.gguf"}};
enum { N_WAYS = sizeof ways / sizeof *ways };

/* Rows of the sequences in each step. */
static const int64_t n_step_rows[][N_SEQUENCES] = {{40, 7}, {1, 20}, {1, 1}};
enum { N_STEPS = sizeof n_step_rows / sizeof *n_step_rows };

static mn_session *open_way(mn_engine *engine, const way *w) {
    mn_session *s;
    mn_error err;
    mn_session_params params = {
        .n_ctx = 128, .attn = w->attn, .attn_layers = w->attn_layers, .position = {.map = w->map, .beyond = true}};
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    return s;
}

/* Every other row's logits, and the last. */
static void run_step(const mn_backend *backend, const mn_model *m, mn_session *const *sessions, int step, float *out) {
    int32_t tokens[MAX_ROWS];
    int64_t wanted[MAX_ROWS], n_rows = 0, n_wanted = 0;
    mn_slice slices[N_SEQUENCES];
    mn_error err;
    for (int i = 0; i < N_SEQUENCES; i++) {
        slices[i] = (mn_slice){&sessions[i]->sequence, n_rows, n_step_rows[step][i]};
        n_rows += n_step_rows[step][i];
    }
    for (int64_t i = 0; i < n_rows; i++) {
        tokens[i] = (int32_t)((i * 7919L + step * 31L) % m->config.n_vocab);
        if (i % 2 == 0 || i == n_rows - 1) wanted[n_wanted++] = i;
    }
    mn_batch batch = {tokens, n_rows, slices, N_SEQUENCES, wanted, n_wanted, out, NULL};
    assert_ok(mn_forward(backend, m, &batch, &err), err);
}

static void each_way(void (*check)(const way *w, mn_engine *engine, mn_session *const *sessions)) {
    for (int i = 0; i < N_WAYS; i++) {
        mn_engine *engine = rows_engine(ways[i].model);
        mn_session *sessions[N_SEQUENCES];
        for (int t = 0; t < N_SEQUENCES; t++) sessions[t] = open_way(engine, &ways[i]);
        check(&ways[i], engine, sessions);
        for (int t = 0; t < N_SEQUENCES; t++) mn_session_close(sessions[t]);
        mn_engine_close(engine);
    }
}

static size_t logits_bytes(const mn_engine *engine) {
    return MAX_ROWS * (size_t)engine->model.config.n_vocab * sizeof(float);
}

/* The steps on the CPU's backend, in sequences of their own. */
static void run_on_cpu(const way *w, mn_engine *engine, float *want) {
    mn_session *sessions[N_SEQUENCES];
    for (int t = 0; t < N_SEQUENCES; t++) sessions[t] = open_way(engine, w);
    for (int step = 0; step < N_STEPS; step++)
        run_step(&engine->backend, &engine->model, sessions, step, want + (size_t)step * logits_bytes(engine) / 4);
    for (int t = 0; t < N_SEQUENCES; t++) mn_session_close(sessions[t]);
}

/* With keeps_inputs, nothing that an operation wrote was written over. */
static void check_results(const way *w) {
    set_access(true);
    for (int i = 0; i < mock.n_results; i++)
        if (sum_of(mock.results[i].rows) != mock.results[i].sum)
            fail_msg("%s: result %d of %d was overwritten", w->model, i, mock.n_results);
    set_access(false);
    mock.n_results = 0;
    mock.used_floats = 0;
}

static void check_equal(const way *w, mn_engine *engine, mn_session *const *sessions, bool keeps_inputs) {
    mn_backend backend = mock_backend;
    float *want = calloc(N_STEPS, logits_bytes(engine)), *got = calloc(N_STEPS, logits_bytes(engine));
    backend.keeps_inputs = keeps_inputs;
    run_on_cpu(w, engine, want);
    start_mock(engine, sessions);
    for (int step = 0; step < N_STEPS; step++) {
        run_step(&backend, &engine->model, sessions, step, got + (size_t)step * logits_bytes(engine) / 4);
        assert_int_equal(mock.used_floats > 0, keeps_inputs); /* all is given back, or nothing */
        if (keeps_inputs) assert_true(mock.n_results > 10 * engine->model.config.n_layers);
        check_results(w);
    }
    stop_mock();
    if (memcmp(got, want, N_STEPS * logits_bytes(engine)))
        fail_msg("%s, %s%s%s: logits differ", w->model, w->attn ? w->attn : "", w->map ? w->map : "",
                 w->attn_layers ? w->attn_layers : "");
    free(want);
    free(got);
}

static void check_handles(const way *w, mn_engine *engine, mn_session *const *sessions) {
    check_equal(w, engine, sessions, false);
}

static void check_kept(const way *w, mn_engine *engine, mn_session *const *sessions) {
    check_equal(w, engine, sessions, true);
}

static void forward_touches_no_buffer(void **state) {
    (void)state;
    each_way(check_handles);
}

static void a_tape_finds_every_result(void **state) {
    (void)state;
    each_way(check_kept);
}

static bool dies_reading(const volatile char *at) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        (void)*at;
        _exit(0);
    }
    waitpid(child, &status, 0);
    return WIFSIGNALED(status);
}

/* The test above can fail: what is guarded cannot be read. */
static void what_is_guarded_is_out_of_reach(void **state) {
    (void)state;
    const way w = {.model = "models/infini.gguf"};
    mn_engine *engine = rows_engine(w.model);
    mn_session *sessions[N_SEQUENCES] = {open_way(engine, &w), open_way(engine, &w)};
    start_mock(engine, sessions);
    assert_true(mock.n_regions >= 2 + 2 * N_SEQUENCES); /* buffers, weights, caches, states */
    assert_true(dies_reading((const char *)HANDLE));
    for (int i = 0; i < mock.n_regions; i++) assert_true(dies_reading(mock.regions[i].data));
    stop_mock();
    assert_false(dies_reading(mock.regions[1].data));
    for (int t = 0; t < N_SEQUENCES; t++) mn_session_close(sessions[t]);
    mn_engine_close(engine);
}

/* The batch of a step of one sequence, all of whose logits are wanted. */
typedef struct lone_step {
    int32_t tokens[MAX_ROWS];
    int64_t wanted[MAX_ROWS];
    mn_slice slice;
    mn_batch batch;
} lone_step;

static void make_step(lone_step *l, const mn_engine *engine, mn_sequence *t, int64_t n_rows, float *out) {
    for (int i = 0; i < MAX_ROWS; i++) {
        l->tokens[i] = (int32_t)(i * 7919L % engine->model.config.n_vocab);
        l->wanted[i] = i;
    }
    l->slice = (mn_slice){t, 0, n_rows};
    l->batch = (mn_batch){l->tokens, n_rows, &l->slice, 1, l->wanted, n_rows, out, NULL};
}

static void keep_buffers(const mn_step *s, mn_arena_mark to) { (void)s, (void)to; }

/* Layers computed again from what they began with, as training does that keeps nothing else: the same bits, and in the
 * end those of the whole. */
static void layers_can_be_computed_again(void **state) {
    (void)state;
    static const char *const models[] = {"golden/tiny-llama-yarn.gguf", "golden/tiny-gemma3.gguf",
                                         "golden/tiny-deepseek3.gguf"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        const way w = {.model = models[i]};
        mn_engine *engine = rows_engine(w.model);
        mn_session *whole = open_way(engine, &w), *pieces = open_way(engine, &w);
        mn_backend tape = engine->backend;
        lone_step l;
        mn_error err;
        size_t bytes = logits_bytes(engine), row = (size_t)engine->model.config.n_embd * sizeof(float);
        float *want = calloc(1, bytes), *got = calloc(1, bytes);
        tape.keeps_inputs = true;
        tape.rewind = keep_buffers;
        make_step(&l, engine, &whole->sequence, 40, want);
        assert_ok(mn_forward(&engine->backend, &engine->model, &l.batch, &err), err);
        make_step(&l, engine, &pieces->sequence, 40, got);
        mn_forward_pass p = mn_forward_pass_of(&tape, &engine->model, &l.batch);
        assert_ok(mn_forward_begin(&p, &err), err);
        for (int layer = 0; layer < engine->model.config.n_layers; layer++) {
            mn_rows x = p.x;
            assert_ok(mn_forward_layer(&p, layer, &err), err);
            mn_rows once = p.x;
            p.x = x;
            assert_ok(mn_forward_layer(&p, layer, &err), err);
            assert_ptr_not_equal(p.x.buffer, once.buffer);
            assert_memory_equal(mn_cpu_data(p.x), mn_cpu_data(once), 40 * row);
        }
        assert_ok(mn_forward_end(&p, &err), err);
        assert_int_equal(pieces->sequence.n_tokens, 0);
        assert_memory_equal(got, want, 40 * (size_t)engine->model.config.n_vocab * sizeof(float));
        mn_arena_reset(&engine->scratch);
        free(want);
        free(got);
        mn_session_close(whole);
        mn_session_close(pieces);
        mn_engine_close(engine);
    }
}

static mn_backend repeating; /* the CPU's */
static int n_repeated;

static void assert_rows_close(mn_rows got, mn_rows want, double tolerance) {
    int64_t n = want.n_rows * want.row_stride;
    if (tolerance == 0)
        assert_memory_equal(mn_cpu_data(got), mn_cpu_data(want), (size_t)n * sizeof(float));
    else
        assert_close(mn_cpu_data(got), mn_cpu_data(want), (size_t)n, tolerance, tolerance, "attention");
}

/* Attention with its log-sum-exp, and the same call once more by itself. */
static mn_status repeat(const mn_step *s, int layer, mn_rows out, mn_rows q, bool latent, mn_error *err) {
    mn_rows again, lse, lse_again, plain;
    mn_attend a;
    MN_TRY(repeating.take(s, out.n_rows, out.n_heads, out.n, &again, err));
    MN_TRY(repeating.take(s, out.n_rows, out.n_heads, out.n, &plain, err));
    MN_TRY(repeating.take(s, out.n_rows, out.n_heads, 1, &lse, err));
    MN_TRY(repeating.take(s, out.n_rows, out.n_heads, 1, &lse_again, err));
    if (latent) {
        MN_TRY(repeating.attend_latent(s, layer, plain, none, q, none, err));
        MN_TRY(repeating.attend_latent(s, layer, out, lse, q, none, err));
    } else {
        MN_TRY(repeating.attend(s, layer, 0, plain, none, q, err));
        MN_TRY(repeating.attend(s, layer, 0, out, lse, q, err));
    }
    MN_TRY(mn_cpu_attend_call(s, s->slices, layer, 0, again, lse_again, q, &a, err));
    MN_TRY(mn_attention(mn_cpu_compute(s), &a, err));
    assert_int_equal(a.mla != NULL, latent);
    assert_rows_close(plain, out, 0);
    assert_rows_close(again, out, latent ? 1e-4 : 0);
    assert_rows_close(lse_again, lse, latent ? 1e-4 : 0);
    n_repeated++;
    return MN_OK;
}

static mn_status attend_twice(const mn_step *s, int layer, int range, mn_rows out, mn_rows lse, mn_rows q,
                              mn_error *err) {
    (void)range, (void)lse;
    return repeat(s, layer, out, q, false, err);
}

static mn_status attend_latent_twice(const mn_step *s, int layer, mn_rows out, mn_rows lse, mn_rows q, mn_rows chosen,
                                     mn_error *err) {
    (void)lse, (void)chosen;
    return repeat(s, layer, out, q, true, err);
}

static void calls_of_attention_can_be_repeated(void **state) {
    (void)state;
    static const way some[] = {{.model = "golden/tiny-llama-yarn.gguf", .attn = "bigbird:16,1,1,1"},
                               {.model = "golden/tiny-llama-yarn.gguf", .attn = "moba:16,2"},
                               {.model = "golden/tiny-gemma3.gguf"},
                               {.model = "golden/tiny-bloom.gguf"},
                               {.model = "golden/tiny-deepseek3.gguf"}};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        mn_engine *engine = rows_engine(some[i].model);
        mn_session *s = open_way(engine, &some[i]);
        lone_step l;
        mn_error err;
        float *out = calloc(1, logits_bytes(engine));
        mn_backend twice = repeating = engine->backend;
        twice.attend = attend_twice;
        twice.attend_latent = attend_latent_twice;
        n_repeated = 0;
        for (int64_t n_rows = 50; n_rows > 0; n_rows = n_rows == 50 ? 3 : 0) {
            make_step(&l, engine, &s->sequence, n_rows, out);
            assert_ok(mn_forward(&twice, &engine->model, &l.batch, &err), err);
        }
        assert_int_equal(n_repeated, 2 * engine->model.config.n_layers);
        free(out);
        mn_session_close(s);
        mn_engine_close(engine);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_can_be_computed_again),    cmocka_unit_test(calls_of_attention_can_be_repeated),
        cmocka_unit_test(what_is_guarded_is_out_of_reach), cmocka_unit_test(forward_touches_no_buffer),
        cmocka_unit_test(a_tape_finds_every_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
