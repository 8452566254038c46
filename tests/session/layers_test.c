/* Models whose layers differ: query heads, key heads and MLPs as lists in the file. A narrow layer computes what a wide
 * one does whose surplus heads and neurons reach nothing, and all that sessions promise holds for it. */
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "session/session.h"
#include "support/gguf_edit.h"

enum { N_LAYERS = 3, N_EMBD = 64, HEAD_DIM = 16, N_HEADS = 4, N_FF = 96, N_TOKENS = 150 };

static const struct { int n_heads, n_kv_heads, n_ff; } narrow[N_LAYERS] = {{4, 2, 96}, {2, 1, 32}, {4, 4, 64}};

/* A weight by where it stands: the same in both models. */
static float weight(const char *name, int64_t out, int64_t in) {
    uint64_t h = UINT64_C(0x9e3779b97f4a7c15);
    for (const char *p = name; *p; p++) h = (h ^ (uint64_t)*p) * UINT64_C(0x100000001b3);
    h = (h ^ ((uint64_t)out << 20 | (uint64_t)in)) * UINT64_C(0xff51afd7ed558ccd);
    h = (h ^ (h >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return ((float)(h >> 40) / (float)(1 << 24) - 0.5f) * 0.4f;
}

/* Which rows of a layer's tensor, or which columns, a wide model has beyond a narrow one, and what they hold. */
static float value_of(const char *name, int64_t out, int64_t in, bool wide) {
    int layer;
    char part[32] = "";
    if (sscanf(name, "blk.%d.%31[^.]", &layer, part) != 2) return weight(name, out, in);
    if (strstr(part, "norm")) return 1 + weight(name, out, in);
    int n_heads = narrow[layer].n_heads, group = n_heads / narrow[layer].n_kv_heads;
    bool keys = !strcmp(part, "attn_k") || !strcmp(part, "attn_v");
    if (wide && keys) out = out / HEAD_DIM / group * HEAD_DIM + out % HEAD_DIM; /* a copy for each query head */
    if (wide && !strcmp(part, "attn_output") && in >= (int64_t)n_heads * HEAD_DIM) return 0;
    if (wide && !strcmp(part, "ffn_down") && in >= narrow[layer].n_ff) return 0;
    return weight(name, out, in);
}

static mn_status fill(void *arg, const mn_tensor *t, void *dst, mn_error *err) {
    (void)err;
    float *w = dst;
    for (int64_t out = 0; out < t->ne[1]; out++)
        for (int64_t in = 0; in < t->ne[0]; in++)
            w[out * t->ne[0] + in] =
                t->n_dims == 1 ? value_of(t->name, in, 0, *(bool *)arg) : value_of(t->name, out, in, *(bool *)arg);
    return MN_OK;
}

static void put(mn_gguf_writer *writer, const char *name, int64_t n_in, int64_t n_out) {
    mn_gguf_put_tensor(writer,
                       &(mn_tensor){.name = name, .type = MN_F32, .n_dims = n_out ? 2 : 1, .ne = {n_in, n_out}});
}

static void put_layer(mn_gguf_writer *writer, int layer, bool wide) {
    int64_t q = (int64_t)(wide ? N_HEADS : narrow[layer].n_heads) * HEAD_DIM;
    int64_t kv = (int64_t)(wide ? N_HEADS : narrow[layer].n_kv_heads) * HEAD_DIM, ff = wide ? N_FF : narrow[layer].n_ff;
    const struct {
        const char *name;
        int64_t n_in, n_out;
    } tensors[] = {{"attn_norm", N_EMBD, 0}, {"attn_q", N_EMBD, q},      {"attn_k", N_EMBD, kv},
                   {"attn_v", N_EMBD, kv},   {"attn_output", q, N_EMBD}, {"ffn_norm", N_EMBD, 0},
                   {"ffn_gate", N_EMBD, ff}, {"ffn_up", N_EMBD, ff},     {"ffn_down", ff, N_EMBD}};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%d.%s.weight", layer, tensors[i].name);
        put(writer, name, tensors[i].n_in, tensors[i].n_out);
    }
}

/* The keys of the small llama with these edits. */
static void put_keys(mn_gguf_writer *writer, const gguf_edit *edits, size_t n) {
    mn_gguf *source = gguf_small_llama(), *keyed;
    mn_error err;
    char path[4096];
    snprintf(path, sizeof path, "%s", temp_path("keys.gguf"));
    gguf_edit_write(source, path, NULL, edits, n);
    assert_ok(mn_gguf_open(path, &keyed, &err), err);
    for (int64_t i = 0; i < mn_gguf_n_kv(keyed); i++) mn_gguf_put_kv(writer, mn_gguf_kv_at(keyed, i));
    unlink(path);
    mn_gguf_close(keyed);
    mn_gguf_close(source);
}

static mn_engine *make(bool wide) {
    const gguf_edit lists[] = {EDIT_I32S("llama.attention.head_count", 4, 2, 4),
                               EDIT_I32S("llama.attention.head_count_kv", 2, 1, 4),
                               EDIT_I32S("llama.feed_forward_length", 96, 32, 64)},
                    scalars[] = {EDIT_U32("llama.attention.head_count_kv", 4)};
    mn_gguf_writer *writer;
    mn_engine *engine;
    mn_error err;
    char path[4096];
    snprintf(path, sizeof path, "%s", temp_path("layers.gguf"));
    assert_ok(mn_gguf_writer_create(&writer, &err), err);
    put_keys(writer, wide ? scalars : lists, wide ? 1 : 3);
    put(writer, "token_embd.weight", N_EMBD, 8);
    put(writer, "output_norm.weight", N_EMBD, 0);
    put(writer, "output.weight", N_EMBD, 8);
    for (int layer = 0; layer < N_LAYERS; layer++) put_layer(writer, layer, wide);
    assert_ok(mn_gguf_write(writer, path, fill, &wide, &err), err);
    mn_gguf_writer_destroy(writer);
    assert_ok(mn_engine_open(path, &(mn_engine_params){.n_threads = 2, .exact = true}, &engine, &err), err);
    unlink(path);
    return engine;
}

static int32_t token_at(int64_t i) { return (int32_t)(i * 5 % 7 + i % 2); }

static const int32_t *all_tokens(void) {
    static int32_t tokens[N_TOKENS];
    for (int i = 0; i < N_TOKENS; i++) tokens[i] = token_at(i);
    return tokens;
}

static mn_session *open_session(mn_engine *engine, mn_session_params params) {
    mn_session *s;
    mn_error err;
    params.n_ctx = 256;
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    return s;
}

static void sync_to(mn_session *s, int64_t n) {
    mn_error err;
    assert_ok(mn_session_sync(s, all_tokens(), n, NULL, NULL, NULL, &err), err);
}

static void narrow_layers_equal_wide_ones_with_idle_parts(void **state) {
    (void)state;
    mn_engine *engines[] = {make(false), make(true)};
    mn_session *sessions[2];
    assert_int_equal(engines[0]->model.config.layers[1].n_heads, 2);
    for (int i = 0; i < 2; i++) {
        sessions[i] = open_session(engines[i], (mn_session_params){0});
        sync_to(sessions[i], N_TOKENS);
    }
    assert_close(mn_session_logits(sessions[0]), mn_session_logits(sessions[1]), 8, 2e-5, 1e-5, "logits");
    for (int i = 0; i < 2; i++) {
        mn_session_close(sessions[i]);
        mn_engine_close(engines[i]);
    }
}

static const mn_session_params ways[] = {{0},
                                         {.attn = "window:40"},
                                         {.attn = "sinks:4,40"},
                                         {.attn = "quest:16,64"},
                                         {.attn = "linear"},
                                         {.attn_layers = "1=linear"},
                                         {.attn_layers = "0=linear,2=window:33"},
                                         {.attn = "infini:32,delta"},
                                         {.position = {.map = "self-extend:4,32"}},
                                         {.position = {.map = "dca:48,16"}},
                                         {.type_k = "q8_0", .type_v = "q4_0"}};
enum { N_WAYS = sizeof ways / sizeof *ways };

/* Token by token, in pieces, or at once; and saved on the way. */
static void sessions_keep_their_promises(void **state) {
    (void)state;
    mn_engine *engine = make(false);
    char path[4096];
    mn_error err;
    size_t logits_bytes = 8 * sizeof(float);
    snprintf(path, sizeof path, "%s", temp_path("layers.session"));
    for (int way = 0; way < N_WAYS; way++) {
        mn_session_params pieces = ways[way];
        pieces.n_batch = 19;
        mn_session *whole = open_session(engine, ways[way]), *cut = open_session(engine, pieces),
                   *restored = open_session(engine, ways[way]);
        sync_to(whole, N_TOKENS);
        sync_to(cut, N_TOKENS - 30);
        assert_ok(mn_session_save(cut, path, &err), err);
        assert_ok(mn_session_restore(restored, path, &err), err);
        for (int64_t n = N_TOKENS - 29; n <= N_TOKENS; n++) {
            sync_to(cut, n);
            sync_to(restored, n);
        }
        if (memcmp(mn_session_logits(cut), mn_session_logits(restored), logits_bytes))
            fail_msg("way %d: a restored session goes on otherwise", way);
        bool decodes_otherwise = ways[way].attn && !strncmp(ways[way].attn, "quest", 5); /* by a choice of its own */
        char what[64];
        snprintf(what, sizeof what, "way %d, cut and whole", way);
        if (!decodes_otherwise) assert_close(mn_session_logits(cut), mn_session_logits(whole), 8, 1e-4, 1e-4, what);
        mn_session_close(whole);
        mn_session_close(cut);
        mn_session_close(restored);
    }
    unlink(path);
    mn_engine_close(engine);
}

/* 2, 1 and 4 heads of 16 keys and values in f32. */
static void caches_take_what_each_layer_needs(void **state) {
    (void)state;
    mn_engine *engine = make(false);
    mn_session *s = open_session(engine, (mn_session_params){0});
    size_t page = (size_t)(2 + 1 + 4) * 2 * HEAD_DIM * sizeof(float) * MN_PAGE_TOKENS;
    mn_window w = {256, 64, MN_F32, MN_F32, 0, NULL};
    mn_memory_plan plan;
    mn_error err;
    sync_to(s, N_TOKENS);
    assert_int_equal(mn_session_kv_bytes(s), 2 * page);
    assert_ok(mn_memory_plan_make(engine, &w, &plan, &err), err);
    assert_int_equal(plan.kv_bytes, 2 * page);
    mn_session_close(s);
    mn_engine_close(engine);
}

static void a_disk_changes_no_bit(void **state) {
    (void)state;
    mn_engine *engine = make(false);
    mn_session_params params = {.n_ctx = 2048, .n_batch = 128}, disk = params;
    mn_session *ram, *cold;
    mn_error err;
    static int32_t tokens[2000];
    for (int i = 0; i < 2000; i++) tokens[i] = token_at(i);
    params.position.beyond = disk.position.beyond = true;
    disk.kv_disk = "/tmp";
    disk.kv_ram_bytes = 6 * 114688 + 16 * 65536; /* some pages of all layers, and two waves of the widest */
    assert_ok(mn_session_open(engine, &params, &ram, &err), err);
    assert_ok(mn_session_open(engine, &disk, &cold, &err), err);
    assert_ok(mn_session_sync(ram, tokens, 2000, NULL, NULL, NULL, &err), err);
    assert_ok(mn_session_sync(cold, tokens, 2000, NULL, NULL, NULL, &err), err);
    assert_true(mn_session_disk(cold).read_bytes > 0);
    assert_memory_equal(mn_session_logits(ram), mn_session_logits(cold), 8 * sizeof(float));
    mn_session_close(ram);
    mn_session_close(cold);
    mn_engine_close(engine);
}

static void eviction_keeps_as_many_in_every_layer(void **state) {
    (void)state;
    mn_engine *engine = make(false);
    mn_session *s = open_session(engine, (mn_session_params){.attn = "snapkv:8,48"});
    mn_error err;
    int32_t next = 3;
    sync_to(s, N_TOKENS);
    assert_int_equal(s->sequence.n_evicted, N_TOKENS - 48);
    assert_ok(mn_session_extend(s, &next, 1, NULL, NULL, NULL, NULL, &err), err);
    mn_session_close(s);
    mn_engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(narrow_layers_equal_wide_ones_with_idle_parts),
        cmocka_unit_test(sessions_keep_their_promises),
        cmocka_unit_test(caches_take_what_each_layer_needs),
        cmocka_unit_test(a_disk_changes_no_bit),
        cmocka_unit_test(eviction_keeps_as_many_in_every_layer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
