/* forward.c over a backend whose buffers are handles and no addresses, with buffers, weights, KV entries and recurrent
 * states out of reach but inside operations: the same bits as on the CPU's backend. With keeps_inputs, what an
 * operation wrote is still there when the step ends. */
#include "support/session_rows.h"

#include "attention/attention.h"
#include "base/checked.h"
#include "kvcache/cache.h"
#include "model/forward.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_REGIONS = 16, MAX_RESULTS = 4096, N_SEQUENCES = 2, MAX_ROWS = 64 };
static const size_t BUFFER_BYTES = (size_t)64 << 20;
static const uintptr_t HANDLE = (uintptr_t)1 << 63; /* no address of any process */

typedef struct region {
    void *data;
    size_t bytes;
    int access; /* inside operations */
} region;

/* What an operation wrote, and a sum of its bits. */
typedef struct result {
    mn_rows rows;
    uint64_t sum;
} result;

static struct mock {
    mn_backend cpu;
    region regions[MAX_REGIONS]; /* the first: buffers */
    int n_regions;
    size_t used_floats, page_bytes;
    result results[MAX_RESULTS]; /* with keeps_inputs */
    int n_results;
} mock;

static void set_access(bool inside) {
    for (int i = 0; i < mock.n_regions; i++) {
        const region *r = &mock.regions[i];
        assert_int_equal(mprotect(r->data, r->bytes, inside ? r->access : PROT_NONE), 0);
    }
}

/* Whole pages inside [data, data + bytes): what lies beside is the allocator's. */
static void guard(const void *data, size_t bytes, int access) {
    uintptr_t page = mock.page_bytes, begin = ((uintptr_t)data + page - 1) / page * page,
              end = ((uintptr_t)data + bytes) / page * page;
    if (!data || end <= begin) return;
    assert_true(mock.n_regions < MAX_REGIONS);
    mock.regions[mock.n_regions++] = (region){(void *)begin, end - begin, access};
}

static mn_rows real(mn_rows x) {
    if (x.buffer) x.buffer = (mn_buffer *)((float *)mock.regions[0].data + ((uintptr_t)x.buffer - HANDLE));
    return x;
}

static uint64_t sum_of(mn_rows x) {
    mn_rows at = real(x);
    uint64_t sum = 0;
    for (int64_t r = 0; r < x.n_rows; r++)
        for (int h = 0; h < x.n_heads; h++)
            for (int64_t i = 0; i < x.n; i++) {
                uint32_t bits;
                memcpy(&bits, mn_cpu_row(at, r) + h * x.head_stride + i, sizeof bits);
                sum = (sum + bits) * 0x9e3779b97f4a7c15;
            }
    return sum;
}

static mn_step enter(const mn_step *s) {
    mn_step inside = *s;
    inside.backend = &mock.cpu;
    set_access(true);
    return inside;
}

static mn_status leave(const mn_step *s, mn_status status, mn_rows out) {
    if (s->backend->keeps_inputs && out.buffer) {
        assert_true(mock.n_results < MAX_RESULTS);
        mock.results[mock.n_results++] = (result){out, sum_of(out)};
    }
    set_access(false);
    return status;
}

static const mn_rows none = {0};

/* New buffers hold numbers that are none, so that what is undefined shows in whatever is made of it. */
static mn_status take(const mn_step *s, int64_t n_rows, int n_heads, int64_t n, mn_rows *out, mn_error *err) {
    (void)err;
    size_t n_floats = (size_t)(n_rows * n_heads * n + 15) / 16 * 16;
    *out = (mn_rows){(mn_buffer *)(HANDLE + mock.used_floats), 0, n_heads * n, n, n_rows, n, n_heads};
    mock.used_floats += n_floats;
    assert_true(mock.used_floats * sizeof(float) <= BUFFER_BYTES);
    enter(s);
    memset(mn_cpu_data(real(*out)), 0xff, n_floats * sizeof(float));
    set_access(false);
    return MN_OK;
}

static mn_arena_mark mark(const mn_step *s) {
    (void)s;
    return (mn_arena_mark){.used_bytes = mock.used_floats};
}

static void rewind_to(const mn_step *s, mn_arena_mark to) {
    if (!s->backend->keeps_inputs) mock.used_floats = to.used_bytes;
}

static mn_status prepare(const mn_step *s, mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.prepare(&in, err), none);
}

static mn_status append(const mn_step *s, int layer, int plane, mn_rows k, mn_rows v, mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.append(&in, layer, plane, real(k), real(v), err), none);
}

static mn_status angles(const mn_step *s, mn_rows out, mn_place place, int index, mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.angles(&in, real(out), place, index, err), out);
}

static mn_status gather(const mn_step *s, mn_rows out, mn_rows x, const int64_t *rows, mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.gather(&in, real(out), real(x), rows, err), out);
}

static mn_status embed(const mn_step *s, mn_rows out, mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.embed(&in, real(out), err), out);
}

static mn_status embed_layers(const mn_step *s, mn_rows out, mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.embed_layers(&in, real(out), err), out);
}

static mn_status norm(const mn_step *s, mn_rows out, mn_rows x, const mn_norm *w, mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.norm(&in, real(out), real(x), w, err), out);
}

static mn_status project(const mn_step *s, const mn_rows *outs, const mn_projection *const *ws, int n_ws, mn_rows x,
                         mn_error *err) {
    mn_step in = enter(s);
    mn_rows at[4];
    for (int i = 0; i < n_ws; i++) at[i] = real(outs[i]);
    mn_status status = mock.cpu.project(&in, at, ws, n_ws, real(x), err);
    for (int i = 0; i < n_ws; i++) {
        leave(s, status, outs[i]);
        enter(s);
    }
    return leave(s, status, none);
}

static mn_status clamp(const mn_step *s, mn_rows out, mn_rows x, float limit, mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.clamp(&in, real(out), real(x), limit, err), out);
}

static mn_status rotate(const mn_step *s, mn_rows out, mn_rows x, int64_t first, mn_rows turns, mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.rotate(&in, real(out), real(x), first, real(turns), err), out);
}

static mn_status convolve(const mn_step *s, int layer, mn_rows q_out, mn_rows k_out, mn_rows q, mn_rows k,
                          mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.convolve(&in, layer, real(q_out), real(k_out), real(q), real(k), err), q_out);
}

static mn_status attend(const mn_step *s, int layer, int range, mn_rows out, mn_rows lse, mn_rows q, mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.attend(&in, layer, range, real(out), real(lse), real(q), err), out);
}

static mn_status attend_latent(const mn_step *s, int layer, mn_rows out, mn_rows lse, mn_rows q, mn_rows chosen,
                               mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.attend_latent(&in, layer, real(out), real(lse), real(q), real(chosen), err), out);
}

static mn_status choose(const mn_step *s, int layer, mn_rows chosen, mn_rows q, mn_rows k, mn_rows weights,
                        mn_rows turn, mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.choose(&in, layer, real(chosen), real(q), real(k), real(weights), real(turn), err), none);
}

static mn_status merge(const mn_step *s, mn_rows out, mn_rows lse, mn_rows x, mn_rows x_lse, mn_rows y, mn_rows y_lse,
                       mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.merge(&in, real(out), real(lse), real(x), real(x_lse), real(y), real(y_lse), err), out);
}

static mn_status mix_recurrent(const mn_step *s, int layer, mn_rows out, mn_rows softmax, mn_rows y, mn_rows q,
                               mn_rows k, mn_rows v, mn_error *err) {
    mn_step in = enter(s);
    return leave(
        s, mock.cpu.mix_recurrent(&in, layer, real(out), real(softmax), real(y), real(q), real(k), real(v), err), out);
}

static mn_status convolve_mixer(const mn_step *s, int layer, mn_rows out, mn_rows x, mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.convolve_mixer(&in, layer, real(out), real(x), err), out);
}

static mn_status mix_shifted(const mn_step *s, int layer, bool before_mlp, mn_rows out, mn_rows x, mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.mix_shifted(&in, layer, before_mlp, real(out), real(x), err), out);
}

static mn_status mix_state(const mn_step *s, int layer, mn_rows out, const mn_mixer_inputs *x, mn_error *err) {
    mn_step in = enter(s);
    mn_mixer_inputs inputs = {real(x->q),    real(x->k),     real(x->v),      real(x->decay),
                              real(x->beta), real(x->v_mix), real(x->v_first)};
    return leave(s, mock.cpu.mix_state(&in, layer, real(out), &inputs, err), out);
}

static mn_status gate(const mn_step *s, mn_gate kind, mn_rows out, mn_rows x, mn_rows g, mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.gate(&in, kind, real(out), real(x), real(g), err), out);
}

static mn_status activate(const mn_step *s, mn_mlp_act activation, mn_rows out, mn_rows gate, mn_rows up,
                          mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.activate(&in, activation, real(out), real(gate), real(up), err), out);
}

static mn_status experts(const mn_step *s, int layer, mn_rows out, mn_rows x, mn_rows routed, const int64_t *rows,
                         mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.experts(&in, layer, real(out), real(x), real(routed), rows, err), out);
}

static mn_status compress(const mn_step *s, int layer, bool of_indexer, mn_rows u, mn_rows sc, mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.compress(&in, layer, of_indexer, real(u), real(sc), err), none);
}

static mn_status attend_compressed(const mn_step *s, int layer, mn_rows out, mn_rows lse, mn_rows q, mn_rows chosen,
                                   mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.attend_compressed(&in, layer, real(out), real(lse), real(q), real(chosen), err), out);
}

static mn_status merge_streams(const mn_step *s, const mn_hyper_weights *w, mn_rows out, mn_rows gates, mn_rows x,
                               mn_rows mixes, mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.merge_streams(&in, w, real(out), real(gates), real(x), real(mixes), err), out);
}

static mn_status spread_streams(const mn_step *s, mn_rows out, mn_rows x, mn_rows y, mn_rows gates, mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.spread_streams(&in, real(out), real(x), real(y), real(gates), err), out);
}

static mn_status scale(const mn_step *s, mn_rows out, mn_rows x, float factor, mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.scale(&in, real(out), real(x), factor, err), out);
}

static mn_status gate_heads(const mn_step *s, mn_rows out, mn_rows x, mn_rows g, mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.gate_heads(&in, real(out), real(x), real(g), err), out);
}

static mn_status temper(const mn_step *s, mn_rows out, mn_rows x, mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.temper(&in, real(out), real(x), err), out);
}

static mn_status add(const mn_step *s, mn_rows out, mn_rows x, mn_rows y, mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.add(&in, real(out), real(x), real(y), err), out);
}

static mn_status logits(const mn_step *s, float *to, mn_rows x, mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.logits(&in, to, real(x), err), none);
}

static mn_status states(const mn_step *s, float *to, mn_rows x, mn_error *err) {
    mn_step in = enter(s);
    return leave(s, mock.cpu.states(&in, to, real(x), err), none);
}

static const mn_backend mock_backend = {
    .take = take,
    .mark = mark,
    .rewind = rewind_to,
    .prepare = prepare,
    .append = append,
    .angles = angles,
    .gather = gather,
    .embed = embed,
    .embed_layers = embed_layers,
    .norm = norm,
    .project = project,
    .clamp = clamp,
    .rotate = rotate,
    .convolve = convolve,
    .attend = attend,
    .attend_latent = attend_latent,
    .choose = choose,
    .compress = compress,
    .attend_compressed = attend_compressed,
    .merge_streams = merge_streams,
    .spread_streams = spread_streams,
    .merge = merge,
    .mix_recurrent = mix_recurrent,
    .convolve_mixer = convolve_mixer,
    .mix_shifted = mix_shifted,
    .mix_state = mix_state,
    .gate = gate,
    .activate = activate,
    .experts = experts,
    .add = add,
    .scale = scale,
    .gate_heads = gate_heads,
    .temper = temper,
    .logits = logits,
    .states = states,
};

static void guard_weights(const mn_model *m) {
    uintptr_t begin = UINTPTR_MAX, end = 0;
    for (int64_t i = 0; i < mn_gguf_n_tensors(m->gguf); i++) {
        const mn_tensor *t = mn_gguf_tensor_at(m->gguf, i);
        begin = MN_MIN(begin, (uintptr_t)t->data);
        end = MN_MAX(end, (uintptr_t)t->data + t->bytes);
    }
    guard((const void *)begin, end - begin, PROT_READ);
}

static void guard_cache(const mn_kvcache *cache) {
    if (cache) guard(cache->base, cache->map_bytes, PROT_READ | PROT_WRITE);
}

/* The mock stands before the engine's backend, and guards what belongs to its model and these sequences. */
static void start_mock(const mn_engine *engine, mn_session *const *sessions) {
    void *buffers = mmap(NULL, BUFFER_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(buffers != MAP_FAILED);
    mock.cpu = engine->backend;
    mock.page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    mock.n_regions = mock.n_results = 0;
    mock.used_floats = 0;
    guard(buffers, BUFFER_BYTES, PROT_READ | PROT_WRITE);
    guard_weights(&engine->model);
    for (int i = 0; i < N_SEQUENCES; i++) {
        const mn_sequence *t = &sessions[i]->sequence;
        guard_cache(t->cache);
        guard_cache(t->second);
        for (int k = 0; k < MN_MAX_RATES; k++) guard_cache(t->compressed[k]);
        guard(t->state, t->state_bytes, PROT_READ | PROT_WRITE);
    }
    set_access(false);
}

static void stop_mock(void) {
    set_access(true);
    munmap(mock.regions[0].data, BUFFER_BYTES);
}

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
