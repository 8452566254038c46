/* A backend whose buffers are handles and no addresses, with buffers, weights, KV entries and recurrent states out of
 * reach but inside operations, which are the CPU's. */
#ifndef MN_TESTS_MOCK_BACKEND_H
#define MN_TESTS_MOCK_BACKEND_H

#include "base/checked.h"
#include "kvcache/cache.h"
#include "support/session_rows.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

#endif
