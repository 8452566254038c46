#include "support/support.h"
#include "support/training.h"

#include "base/file.h"
#include "model/gguf_random.h"
#include "session/adapters.h"
#include "tensor/blocks.h"
#include "train/lora_merge.h"

#include <mnemo/session.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char base[] = MNEMO_SOURCE_DIR "/models/default.gguf";

static const char *const settings[] = {"model.from=" MNEMO_SOURCE_DIR "/models/default.gguf",
                                       "lora.rank=4",
                                       "lora.targets=q v down",
                                       "train.window=128",
                                       "train.batch=2",
                                       "train.steps=8",
                                       "train.rate=0.002",
                                       "train.warmup=1",
                                       "train.checkpoint-steps=3",
                                       "train.validation-windows=0",
                                       "train.validation-share=0",
                                       "source.novel.paths=" MNEMO_SOURCE_DIR "/models/demo/pride-and-prejudice.txt",
                                       NULL};

/* Trains adapters of the model that ships for a few steps on a page of the novel. */
static void train(const char *out, const char *const *more, int stop) {
    mn_train_config c;
    training_configure(&c, out, settings, more);
    training_run(&c, stop);
    mn_train_config_release(&c);
}

static const char *trained(void) {
    static char path[600];
    if (*path) return path;
    snprintf(path, sizeof path, "%s", temp_path("lora.gguf"));
    train(path, NULL, 0);
    return path;
}

static char *read_golden(const char *name, size_t *bytes) {
    char path[600], *data;
    mn_error err;
    snprintf(path, sizeof path, "golden/%s", name);
    assert_ok(mn_file_read(data_path(path), 1 << 20, &data, bytes, &err), err);
    return data;
}

/* Logits behind a few tokens, in f32 arithmetic; freed by the caller. */
static float *logits_of(const char *path, const char *lora, int *n_vocab) {
    mn_engine *e;
    mn_session *s;
    mn_error err;
    int32_t tokens[24];
    const mn_engine_params params = {.n_threads = 2, .exact = true, .lora = lora};
    for (int i = 0; i < 24; i++) tokens[i] = 5 + 37 * i;
    assert_ok(mn_engine_open(path, &params, &e, &err), err);
    assert_ok(mn_session_open(e, NULL, &s, &err), err);
    *n_vocab = mn_engine_info(e).n_vocab;
    float *logits = malloc((size_t)*n_vocab * sizeof *logits);
    assert_ok(mn_session_sync(s, tokens, 24, NULL, NULL, NULL, &err), err);
    memcpy(logits, mn_session_logits(s), (size_t)*n_vocab * sizeof *logits);
    mn_session_close(s);
    mn_engine_close(e);
    return logits;
}

static double largest_difference(const float *a, const float *b, int n) {
    double most = 0;
    for (int i = 0; i < n; i++) most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

/* B is zero before the first step, so the adapter changes no bit; nor does a trained one at scale 0. */
static void test_zero_equals_the_model(void **state) {
    (void)state;
    int n;
    char fresh[600], lora[700];
    mn_model model = {0};
    mn_train_config c;
    mn_error err;
    snprintf(fresh, sizeof fresh, "%s", temp_path("fresh.gguf"));
    mn_train_config_init(&c);
    c.lora_rank = 4;
    assert_ok(mn_model_open(base, &model, &err), err);
    assert_ok(mn_start_adapters_write(&c, &model, fresh, &err), err);
    mn_model_close(&model);
    mn_train_config_release(&c);
    snprintf(lora, sizeof lora, "%s=0", trained());
    float *alone = logits_of(base, NULL, &n), *begun = logits_of(base, fresh, &n), *off = logits_of(base, lora, &n);
    assert_memory_equal(alone, begun, (size_t)n * sizeof(float));
    assert_memory_equal(alone, off, (size_t)n * sizeof(float));
    free(alone);
    free(begun);
    free(off);
}

/* W + B A in one matrix, and beside each other; two at half the scale are one. */
static void test_merged_equals_beside(void **state) {
    (void)state;
    int n;
    char merged[600], halves[1300];
    mn_model model = {0};
    mn_adapters adapters = {0};
    mn_key_changes none = {0};
    mn_error err;
    snprintf(merged, sizeof merged, "%s", temp_path("merged.gguf"));
    assert_ok(mn_model_open(base, &model, &err), err);
    assert_ok(mn_adapters_open(trained(), &model, &adapters, &err), err);
    assert_ok(mn_lora_merge(&model, merged, &none, MN_F32, NULL, &err), err);
    mn_model_close(&model);
    mn_adapters_close(&adapters);
    snprintf(halves, sizeof halves, "%s=0.5,%s=0.5", trained(), trained());
    float *alone = logits_of(base, NULL, &n), *beside = logits_of(base, trained(), &n);
    float *one = logits_of(merged, NULL, &n), *two = logits_of(base, halves, &n);
    double moved = largest_difference(alone, beside, n);
    assert_true(moved > 0.05);
    if (largest_difference(one, beside, n) > 1e-3 * moved || largest_difference(two, beside, n) > 1e-3 * moved)
        fail_msg("merged differs by %.3g, halves by %.3g, of %.3g that the adapter changes",
                 largest_difference(one, beside, n), largest_difference(two, beside, n), moved);
    free(alone);
    free(beside);
    free(one);
    free(two);
}

static void test_resumed_equals_never_stopped(void **state) {
    (void)state;
    char other[600];
    snprintf(other, sizeof other, "%s", temp_path("lora-resumed.gguf"));
    train(other, NULL, 5);
    assert_same_tensors(trained(), other);
}

/* lora.merge writes what the adapters make of the model, in the types that it has. */
static void test_merged_by_the_training(void **state) {
    (void)state;
    char out[600], merged[600];
    const char *const more[] = {"lora.merge=true", NULL};
    mn_model model = {0};
    mn_adapters adapters = {0};
    mn_key_changes none = {0};
    mn_error err;
    snprintf(out, sizeof out, "%s", temp_path("lora-merge.gguf"));
    snprintf(merged, sizeof merged, "%s", temp_path("merged-f16.gguf"));
    train(out, more, 0);
    assert_ok(mn_model_open(base, &model, &err), err);
    assert_ok(mn_adapters_open(trained(), &model, &adapters, &err), err);
    assert_ok(mn_lora_merge(&model, merged, &none, MN_DTYPE_COUNT, NULL, &err), err);
    mn_model_close(&model);
    mn_adapters_close(&adapters);
    assert_same_tensors(out, merged);
}

/* The model that ships with its matrices in a type, or what these stand for in f32. */
static const char *convert(const char *from, const char *name, mn_tensor_types types, mn_dtype type, char out[600]) {
    mn_gguf *in;
    mn_key_changes none = {0};
    mn_error err;
    snprintf(out, 600, "%s", temp_path(name));
    assert_ok(mn_gguf_open(from, &in, &err), err);
    assert_ok(mn_model_file_write(in, out, &none, types, type, NULL, &err), err);
    mn_gguf_close(in);
    return out;
}

static void assert_close_tensors(const char *a, const char *b) {
    mn_gguf *x, *y;
    mn_error err;
    assert_ok(mn_gguf_open(a, &x, &err), err);
    assert_ok(mn_gguf_open(b, &y, &err), err);
    assert_int_equal(mn_gguf_n_tensors(x), mn_gguf_n_tensors(y));
    for (int64_t i = 0; i < mn_gguf_n_tensors(x); i++) {
        const mn_tensor *t = mn_gguf_tensor_at(x, i);
        assert_close(t->data, mn_gguf_tensor(y, t->name)->data, (size_t)(t->ne[0] * t->ne[1]), 2e-4, 1e-3, t->name);
    }
    mn_gguf_close(x);
    mn_gguf_close(y);
}

/* Adapters of a quantised model: those of the f32 model that it stands for, and no bit of it is changed. */
static void check_quantised(mn_dtype type, mn_dtype held) {
    char quantised[600], plain[600], of_quantised[600], of_plain[600], from[700], start[700];
    const char *const more[] = {from, "exact=true", "steps=4", NULL};
    mn_gguf *g;
    mn_error err;
    convert(base, "quantised.gguf", MN_TYPES_PICKED, type, quantised);
    convert(quantised, "plain.gguf", MN_TYPES_ALL_F32, MN_F32, plain);
    assert_ok(mn_gguf_open(quantised, &g, &err), err);
    assert_int_equal(mn_gguf_tensor(g, "blk.0.ffn_down.weight")->type, held);
    mn_gguf_close(g);
    snprintf(of_quantised, sizeof of_quantised, "%s", temp_path("of-quantised.gguf"));
    snprintf(of_plain, sizeof of_plain, "%s", temp_path("of-plain.gguf"));
    snprintf(from, sizeof from, "model.from=%s", quantised);
    train(of_quantised, more, 0);
    snprintf(start, sizeof start, "%s.run/start.gguf", of_quantised);
    assert_same_tensors(quantised, start);
    snprintf(from, sizeof from, "model.from=%s", plain);
    train(of_plain, more, 0);
    assert_close_tensors(of_quantised, of_plain);
}

static void test_adapters_of_quantised_models(void **state) {
    (void)state;
    check_quantised(MN_Q8_0, MN_Q8_0);
    check_quantised(MN_Q4_K, MN_Q4_K);
}

/* A llama whose query and key matrices are in a type that is only read, and one that cannot be rounded to its own bits
 * again. */
static void write_mixed(const char *path) {
    enum { WIDTH = 256 };
    const mn_random_model shape = {.arch = "llama",
                                   .n_layers = 1,
                                   .n_embd = WIDTH,
                                   .n_heads = 4,
                                   .n_kv_heads = 4,
                                   .head_dim = WIDTH / 4,
                                   .n_ff = WIDTH,
                                   .n_ctx = 64,
                                   .rope_base = 10000,
                                   .seed = 3};
    static char blocks[WIDTH * sizeof(mn_q5_k)];
    mn_gguf *g;
    mn_gguf_writer *w;
    mn_random_summary summary;
    mn_error err;
    size_t n;
    char *golden = read_golden("quants/q5_k.blocks", &n);
    for (size_t i = 0; i < sizeof blocks; i++) blocks[i] = golden[i % n];
    free(golden);
    assert_ok(mn_gguf_open(base, &g, &err), err);
    assert_ok(mn_random_model_write(&shape, g, path, &(mn_make_params){.type = MN_Q4_K}, &summary, &err), err);
    mn_gguf_close(g);
    assert_ok(mn_gguf_open(path, &g, &err), err);
    assert_ok(mn_gguf_writer_create(&w, &err), err);
    for (int64_t i = 0; i < mn_gguf_n_kv(g); i++) mn_gguf_put_kv(w, mn_gguf_kv_at(g, i));
    for (int64_t i = 0; i < mn_gguf_n_tensors(g); i++) {
        mn_tensor t = *mn_gguf_tensor_at(g, i);
        if (strstr(t.name, "attn_q") || strstr(t.name, "attn_k")) {
            t.type = MN_Q5_K;
            t.data = blocks;
            t.bytes = sizeof blocks;
        }
        mn_gguf_put_tensor(w, &t);
    }
    assert_ok(mn_gguf_write(w, path, NULL, NULL, &err), err);
    mn_gguf_writer_destroy(w);
    mn_gguf_close(g);
}

static void assert_same_bits(const mn_gguf *a, const mn_gguf *b, const char *name) {
    const mn_tensor *x = mn_gguf_tensor(a, name), *y = mn_gguf_tensor(b, name);
    assert_int_equal(x->type, y->type);
    assert_memory_equal(x->data, y->data, x->bytes);
}

/* An adapted matrix in a type that is only read takes one that is written; what is not adapted is copied. */
static void test_merges_any_type(void **state) {
    (void)state;
    char path[600], lora[600], merged[600];
    mn_model model = {0};
    mn_adapters adapters = {0};
    mn_key_changes none = {0};
    mn_train_config c;
    mn_gguf *g;
    mn_error err;
    snprintf(path, sizeof path, "%s", temp_path("mixed.gguf"));
    snprintf(lora, sizeof lora, "%s", temp_path("mixed-lora.gguf"));
    snprintf(merged, sizeof merged, "%s", temp_path("mixed-merged.gguf"));
    write_mixed(path);
    mn_train_config_init(&c);
    c.lora_rank = 2;
    c.lora_targets = "q o";
    assert_ok(mn_model_open(path, &model, &err), err);
    assert_ok(mn_start_adapters_write(&c, &model, lora, &err), err);
    mn_train_config_release(&c);
    assert_ok(mn_adapters_open(lora, &model, &adapters, &err), err);
    assert_ok(mn_lora_merge(&model, merged, &none, MN_DTYPE_COUNT, NULL, &err), err);
    assert_ok(mn_gguf_open(merged, &g, &err), err);
    assert_same_bits(model.gguf, g, "blk.0.attn_k.weight");
    assert_same_bits(model.gguf, g, "blk.0.attn_v.weight");
    assert_int_equal(mn_gguf_tensor(g, "blk.0.attn_output.weight")->type, MN_Q4_K);
    const mn_tensor *q = mn_gguf_tensor(g, "blk.0.attn_q.weight"), *was = mn_gguf_tensor(model.gguf, q->name);
    assert_int_equal(q->type, MN_Q6_K);
    for (int r = 0; r < 256; r++) { /* B is zero: what q5_k stands for, in q6_k */
        float row[256];
        mn_q6_k want;
        mn_to_f32(was->type, (const char *)was->data + (size_t)r * mn_tensor_row_bytes(was), row, 256);
        mn_from_f32(MN_Q6_K, row, &want, 256);
        assert_memory_equal((const char *)q->data + (size_t)r * sizeof want, &want, sizeof want);
    }
    mn_gguf_close(g);
    mn_model_close(&model);
    mn_adapters_close(&adapters);
}

/* Tables of whole numbers are copied. */
static void test_merges_beside_tables(void **state) {
    (void)state;
    char merged[600];
    mn_model model = {0};
    mn_key_changes none = {0};
    mn_error err;
    snprintf(merged, sizeof merged, "%s", temp_path("tables.gguf"));
    assert_ok(mn_model_open(data_path("golden/tiny-deepseek4.gguf"), &model, &err), err);
    assert_ok(mn_lora_merge(&model, merged, &none, MN_DTYPE_COUNT, NULL, &err), err);
    mn_model_close(&model);
    assert_same_tensors(data_path("golden/tiny-deepseek4.gguf"), merged);
}

/* An adapter of output.weight whose matrix is the token table would be lost. */
static void test_keeps_adapters_of_tied_outputs(void **state) {
    (void)state;
    mn_model model = {0};
    mn_key_changes none = {0};
    mn_lora lora = {0};
    mn_error err;
    assert_ok(mn_model_open(data_path("golden/tiny-gemma2.gguf"), &model, &err), err);
    model.weights.output.lora = &lora;
    assert_int_equal(mn_lora_merge(&model, temp_path("no.gguf"), &none, MN_F32, NULL, &err), MN_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "token table"));
    mn_model_close(&model);
}

static mn_status try_lora(const char *path, const char *lora, mn_error *err) {
    mn_engine *e = NULL;
    const mn_engine_params params = {.n_threads = 1, .lora = lora};
    mn_status status = mn_engine_open(path, &params, &e, err);
    if (status == MN_OK) mn_engine_close(e);
    return status;
}

static void test_refusals(void **state) {
    (void)state;
    mn_error err;
    char text[700];
    snprintf(text, sizeof text, "%s=much", trained());
    assert_int_equal(try_lora(base, text, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "\"much\""));
    assert_int_equal(try_lora(base, base, &err), MN_ERR_FORMAT); /* a model, no adapter */
    assert_non_null(strstr(err.text, "no LoRA adapter"));
    assert_int_equal(try_lora(base, "/nowhere.gguf", &err), MN_ERR_IO);
    assert_int_equal(try_lora(data_path("golden/tiny-qwen3.gguf"), trained(), &err), MN_ERR_FORMAT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zero_equals_the_model),
        cmocka_unit_test(test_merged_equals_beside),
        cmocka_unit_test(test_resumed_equals_never_stopped),
        cmocka_unit_test(test_merged_by_the_training),
        cmocka_unit_test(test_adapters_of_quantised_models),
        cmocka_unit_test(test_merges_any_type),
        cmocka_unit_test(test_merges_beside_tables),
        cmocka_unit_test(test_keeps_adapters_of_tied_outputs),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
