/* DeepSeek V4 against its formulas in double precision (deepseek4_formulas.h): the golden model with its layers in
 * another order and other numbers in its keys, so that windows are shorter and longer than the text, blocks end in
 * and between steps, an indexer chooses one block or all, and layers compress at one rate, at the other or not at all.
 */
#include "session/deepseek4_formulas.h"

#include <mnemo/session.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "session/session.h"
#include "support/gguf_edit.h"

static const variant variants[] = {
    {3, {0, 1, 2}, 20, 6, 1, 20, 1.5f, 8},      {3, {2, 1, 0}, 1, 1, 0, 1, 0, 8},
    {5, {1, 2, 2, 1, 0}, 7, 2, 0, 3, 0.5f, 2},  {2, {1, 1}, 1000, 1000, 0, 20, 1.5f, 1},
    {2, {0, 2}, 129, 6, 1, 20, 1.5f, 8},        {2, {0, 0}, 33, 6, 2, 20, 1.5f, 8},
    {4, {2, 0, 1, 1}, 128, 30, 0, 2, 1.5f, 40}, {1, {1}, 64, 3, 0, 20, 1.5f, 8},
};
enum { N_VARIANTS = sizeof variants / sizeof *variants };

static mn_gguf *golden;
static int32_t tokens[N];
static const char *path;

static int set_up(void **state) {
    (void)state;
    mn_error err;
    uint32_t x = 5;
    assert_ok(mn_gguf_open(data_path("golden/tiny-deepseek4.gguf"), &golden, &err), err);
    path = temp_path("deepseek4.gguf");
    for (int i = 0; i < N; i++) {
        x = x * 1103515245 + 12345;
        tokens[i] = (int32_t)(x >> 16 & 0x7fff) % VOCAB;
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    mn_gguf_close(golden);
    unlink(path);
    return 0;
}

static void put_tensors(mn_gguf_writer *writer, const variant *v) {
    static char names[MAX_TENSORS][96];
    int n = 0;
    for (int64_t i = 0; i < mn_gguf_n_tensors(golden); i++) {
        mn_tensor t = *mn_gguf_tensor_at(golden, i);
        int layer, used;
        bool in_layer = sscanf(t.name, "blk.%d.%n", &layer, &used) == 1;
        if (!in_layer) mn_gguf_put_tensor(writer, &t);
        for (int k = 0; in_layer && k < v->n_layers; k++) {
            if (v->from[k] != layer) continue;
            assert_true(n < MAX_TENSORS);
            snprintf(names[n], sizeof names[n], "blk.%d.%s", k, mn_gguf_tensor_at(golden, i)->name + used);
            t.name = names[n++];
            mn_gguf_put_tensor(writer, &t);
        }
    }
}

static void write_variant(const variant *v) {
    static const char *const edited[] = {"block_count",        "sliding_window",      "top_k",
                                         "hash_layer_count",   "sinkhorn_iterations", "swiglu_clamp_exp",
                                         "swiglu_clamp_shexp", "compress_ratios",     "rope.scaling.factor"};
    mn_gguf_writer *writer;
    mn_error err;
    int32_t list[MAX_LAYERS];
    assert_ok(mn_gguf_writer_create(&writer, &err), err);
    for (int64_t i = 0; i < mn_gguf_n_kv(golden); i++) {
        const mn_gguf_kv *kv = mn_gguf_kv_at(golden, i);
        bool mine = false;
        for (size_t k = 0; k < sizeof edited / sizeof *edited; k++) {
            size_t length = strlen(edited[k]);
            mine |= kv->key.bytes > length && !memcmp(kv->key.data + kv->key.bytes - length, edited[k], length);
        }
        if (!mine) mn_gguf_put_kv(writer, kv);
    }
    for (int i = 0; i < v->n_layers; i++) list[i] = ratios[v->from[i]];
    mn_gguf_put_i32s(writer, "deepseek4.attention.compress_ratios", list, v->n_layers);
    mn_gguf_put_u32(writer, "deepseek4.block_count", (uint32_t)v->n_layers);
    mn_gguf_put_u32(writer, "deepseek4.attention.sliding_window", (uint32_t)v->window);
    mn_gguf_put_u32(writer, "deepseek4.attention.indexer.top_k", (uint32_t)v->top_k);
    mn_gguf_put_u32(writer, "deepseek4.hash_layer_count", (uint32_t)v->n_hashed);
    mn_gguf_put_u32(writer, "deepseek4.hyper_connection.sinkhorn_iterations", (uint32_t)v->n_rounds);
    mn_gguf_put_f32(writer, "deepseek4.swiglu_clamp_exp", v->limit);
    mn_gguf_put_f32(writer, "deepseek4.swiglu_clamp_shexp", v->limit);
    mn_gguf_put_f32(writer, "deepseek4.rope.scaling.factor", v->yarn_factor);
    put_tensors(writer, v);
    assert_ok(mn_gguf_write(writer, path, NULL, NULL, &err), err);
    mn_gguf_writer_destroy(writer);
}

typedef struct collected {
    float *logits;
} collected;

static void collect(void *arg, int64_t index, const float *logits) {
    memcpy(((collected *)arg)->logits + index * VOCAB, logits, VOCAB * sizeof *logits);
}

static void compute(int32_t n_batch, int n_threads, float *logits) {
    mn_engine *engine;
    mn_session *s;
    mn_error err;
    uint8_t want[N];
    collected c = {logits};
    memset(want, 1, sizeof want);
    assert_ok(mn_engine_open(path, &(mn_engine_params){.n_threads = n_threads, .exact = true}, &engine, &err), err);
    mn_session_params params = {.n_ctx = N, .n_batch = n_batch, .position.beyond = true};
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    assert_ok(mn_session_extend(s, tokens, N, want, collect, NULL, &c, &err), err);
    mn_session_close(s);
    mn_engine_close(engine);
}

static double deviation(const double *x, int n) {
    double sum = 0, squares = 0;
    for (int i = 0; i < n; i++) sum += x[i];
    for (int i = 0; i < n; i++) squares += (x[i] - sum / n) * (x[i] - sum / n);
    return sqrt(squares / n);
}

static void every_variant_is_as_the_formulas_say(void **state) {
    (void)state;
    float *logits = malloc(N * VOCAB * sizeof *logits), *parts = malloc(N * VOCAB * sizeof *parts);
    for (int i = 0; i < N_VARIANTS; i++) {
        write_variant(&variants[i]);
        double *want = by_formula(golden, &variants[i], tokens), std = deviation(want, N * VOCAB);
        compute(0, 2, logits);
        for (int at = 0; at < N * VOCAB; at++) {
            double off = fabs((double)logits[at] - want[at]) / std;
            if (!(off <= 1e-4)) fail_msg("variant %d, token %d: off by %.3g of the deviation", i, at / VOCAB, off);
        }
        static const int32_t steps[] = {1, 3, 50, 127, 129};
        for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
            compute(steps[k], 1, parts);
            if (memcmp(parts, logits, N * VOCAB * sizeof *parts))
                fail_msg("variant %d: steps of %d change the logits", i, (int)steps[k]);
        }
        free(want);
    }
    free(logits);
    free(parts);
}

static mn_session *open_session(mn_engine *engine) {
    mn_session *s;
    mn_error err;
    const mn_session_params params = {.n_ctx = 4 * N, .n_batch = 64, .position.beyond = true};
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    return s;
}

static void extend(mn_session *s, int64_t begin, int64_t end) {
    mn_error err;
    assert_ok(mn_session_extend(s, tokens + begin, end - begin, NULL, NULL, NULL, NULL, &err), err);
}

/* At places in blocks, at their ends and around windows. */
static void saved_or_taken_back_anywhere_goes_on_alike(void **state) {
    (void)state;
    static const int64_t places[] = {1, 3, 4, 5, 20, 127, 128, 129, 255, 257};
    static const int chosen[] = {0, 2, 4};
    const char *saved = temp_path("deepseek4.session");
    for (size_t i = 0; i < sizeof chosen / sizeof *chosen; i++) {
        mn_engine *engine;
        mn_error err;
        write_variant(&variants[chosen[i]]);
        assert_ok(mn_engine_open(path, &(mn_engine_params){.n_threads = 2, .exact = true}, &engine, &err), err);
        mn_session *whole = open_session(engine);
        extend(whole, 0, N);
        for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
            mn_session *first = open_session(engine), *second = open_session(engine);
            extend(first, 0, places[k]);
            assert_ok(mn_session_save(first, saved, &err), err);
            assert_ok(mn_session_restore(second, saved, &err), err);
            assert_int_equal(mn_session_kv_bytes(second), mn_session_kv_bytes(first));
            extend(second, places[k], N);
            assert_memory_equal(mn_session_logits(second), mn_session_logits(whole), VOCAB * sizeof(float));
            extend(first, 0, 40); /* another way */
            assert_ok(mn_session_rewind(first, places[k], &err), err);
            extend(first, places[k], N);
            assert_memory_equal(mn_session_logits(first), mn_session_logits(whole), VOCAB * sizeof(float));
            mn_session_close(first);
            mn_session_close(second);
        }
        mn_session_close(whole);
        mn_engine_close(engine);
    }
    unlink(saved);
}

/* Steps that end nowhere in particular: what windows saw before a checkpoint is there when it is gone back to. */
static void the_way_back_is_short(void **state) {
    (void)state;
    enum { LONG = 5000, INTERVAL = MN_FIRST_CHECKPOINT_TOKENS, STEP = 300 };
    static int32_t text[LONG + 40];
    mn_engine *engine;
    mn_session *s, *fresh;
    mn_error err;
    const mn_session_params params = {.n_ctx = LONG + 40, .n_batch = STEP, .position.beyond = true};
    write_variant(&variants[0]);
    assert_ok(mn_engine_open(path, &(mn_engine_params){.n_threads = 2, .exact = true}, &engine, &err), err);
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    for (int i = 0; i < LONG + 40; i++) text[i] = (int32_t)(tokens[i % N] + i / N) % VOCAB;
    assert_ok(mn_session_extend(s, text, LONG, NULL, NULL, NULL, NULL, &err), err);
    for (int64_t kept = LONG - 10; kept > 500; kept = kept * 3 / 4 - 100) {
        int64_t n_reused, longest = LONG - kept > INTERVAL + STEP ? LONG - kept : INTERVAL + STEP;
        text[kept] = (text[kept] + 1) % VOCAB;
        assert_ok(mn_session_sync(s, text, kept + 40, NULL, NULL, &n_reused, &err), err);
        assert_true(n_reused <= kept && kept - n_reused <= longest);
        assert_ok(mn_session_open(engine, &params, &fresh, &err), err);
        assert_ok(mn_session_sync(fresh, text, kept + 40, NULL, NULL, NULL, &err), err);
        assert_memory_equal(mn_session_logits(s), mn_session_logits(fresh), VOCAB * sizeof(float));
        mn_session_close(fresh);
    }
    mn_session_close(s);
    mn_engine_close(engine);
}

/* The golden model with another tensor in the place of one. */
static void check_refused(const char *name, mn_dtype type, const void *data, const char *sentence) {
    mn_gguf_writer *writer;
    mn_engine *engine;
    mn_error err;
    assert_ok(mn_gguf_writer_create(&writer, &err), err);
    for (int64_t i = 0; i < mn_gguf_n_kv(golden); i++) mn_gguf_put_kv(writer, mn_gguf_kv_at(golden, i));
    for (int64_t i = 0; i < mn_gguf_n_tensors(golden); i++) {
        mn_tensor t = *mn_gguf_tensor_at(golden, i);
        if (!strcmp(t.name, name)) {
            t.type = type;
            t.data = data;
        }
        mn_gguf_put_tensor(writer, &t);
    }
    assert_ok(mn_gguf_write(writer, path, NULL, NULL, &err), err);
    mn_gguf_writer_destroy(writer);
    assert_int_equal(mn_engine_open(path, NULL, &engine, &err), MN_ERR_FORMAT);
    if (!strstr(err.text, sentence)) fail_msg("%s", err.text);
}

static void tables_that_name_no_experts_are_refused(void **state) {
    (void)state;
    static const char name[] = "blk.0.ffn_gate_tid2eid.weight";
    static const int32_t wrong[][2] = {{0, EXPERTS}, {-1, 2}, {INT32_MIN, 0}, {INT32_MAX, 0}, {3, 3}};
    int32_t table[VOCAB * USED];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        memcpy(table, mn_gguf_tensor(golden, name)->data, sizeof table);
        memcpy(table + (VOCAB - 1) * USED, wrong[i], sizeof wrong[i]);
        check_refused(name, MN_I32, table, "in row 511; wanted are different numbers from 0 to 5.");
    }
    check_refused(name, MN_F32, table, "is f32; this model needs whole numbers (i32) there.");
    check_refused("blk.0.attn_sinks.weight", MN_I32, table, "is i32; this model needs weights");
}

/* Also by a model that compresses nothing. */
static void what_looks_at_single_keys_is_refused(void **state) {
    (void)state;
    static const mn_session_params params[] = {{.attn = "window:64"},
                                               {.attn = "infini:64"},
                                               {.attn_layers = "0=linear"},
                                               {.position.map = "self-extend:4,64"},
                                               {.kv_disk = "/tmp", .kv_ram_bytes = 1 << 24}};
    for (int v = 0; v < N_VARIANTS; v += 5) {
        bool compresses = v == 0;
        mn_engine *engine;
        mn_session *s;
        mn_error err;
        write_variant(&variants[v]);
        assert_ok(mn_engine_open(path, NULL, &engine, &err), err);
        for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
            if (params[i].kv_disk && !compresses) continue;
            assert_int_equal(mn_session_open(engine, &params[i], &s, &err), MN_ERR_UNSUPPORTED);
            if (!strstr(err.text, "compressed")) fail_msg("%s", err.text);
        }
        mn_engine_close(engine);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variant_is_as_the_formulas_say),
        cmocka_unit_test(saved_or_taken_back_anywhere_goes_on_alike),
        cmocka_unit_test(the_way_back_is_short),
        cmocka_unit_test(tables_that_name_no_experts_are_refused),
        cmocka_unit_test(what_looks_at_single_keys_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
