/* convert/small_mlp, upcycle, heads: models that cannot be changed because of what stands in their MLPs. */
#include "support/gguf_edit.h"
#include "support/support.h"

#include "convert/heads.h"
#include "convert/small_mlp_fit.h"
#include "convert/upcycle.h"
#include "kernels/kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_TOKENS = 90, WINDOW = 40, N_EMBD = 64, N_FF = 96 };

/* A random llama, or one with a tensor in the place of another; by its name in `path`. */
static const char *model_file(const char *name, const mn_tensor *changed, int n_changed) {
    static char path[600];
    mn_gguf *in = gguf_small_llama();
    mn_gguf_writer *to;
    mn_error err;
    snprintf(path, sizeof path, "%s", temp_path(name));
    assert_ok(mn_gguf_writer_create(&to, &err), err);
    for (int64_t i = 0; i < mn_gguf_n_kv(in); i++) {
        const mn_gguf_kv *kv = mn_gguf_kv_at(in, i);
        static const char width[] = "llama.feed_forward_length";
        if (n_changed < 3 || kv->key.bytes != strlen(width) || memcmp(kv->key.data, width, kv->key.bytes))
            mn_gguf_put_kv(to, kv);
    }
    if (n_changed == 3) mn_gguf_put_i32s(to, "llama.feed_forward_length", (const int32_t[]){N_FF, N_FF, 64}, 3);
    for (int64_t i = 0; i < mn_gguf_n_tensors(in); i++) {
        mn_tensor t = *mn_gguf_tensor_at(in, i);
        for (int k = 0; k < n_changed; k++) {
            if (strcmp(changed[k].name, t.name)) continue;
            memcpy(t.ne, changed[k].ne, sizeof t.ne);
            if (changed[k].data) t.data = changed[k].data;
        }
        mn_gguf_put_tensor(to, &t);
    }
    assert_ok(mn_gguf_write(to, path, NULL, NULL, &err), err);
    mn_gguf_writer_destroy(to);
    mn_gguf_close(in);
    return path;
}

static mn_status write(const mn_model *model, int n_tokens, const char *path, mn_error *err) {
    static const uint8_t all[MN_MAX_LAYERS] = {1, 1, 1};
    int32_t tokens[N_TOKENS];
    mn_small_report report;
    mn_arena scratch = MN_ARENA_INIT;
    for (int i = 0; i < N_TOKENS; i++) tokens[i] = (i * 7919 + 13) % model->config.n_vocab;
    mn_compute compute = {.kernels = mn_kernels_get(mn_cpu_detect()), .scratch = &scratch, .exact = true};
    mn_small_wish wish = {2, all, 0.5, tokens, n_tokens, WINDOW};
    mn_status status = mn_small_write(&compute, model, &wish, path, &report, err);
    mn_arena_release(&scratch);
    return status;
}

static void refused(const char *path, mn_status (*change)(const mn_model *m, mn_error *err), mn_status code,
                    const char *words) {
    mn_model model;
    mn_error err;
    assert_ok(mn_model_open(path, &model, &err), err);
    mn_status status = change(&model, &err);
    if (status != code || !strstr(err.text, words)) fail_msg("not \"%s\" but %d: %s", words, status, err.text);
    mn_model_close(&model);
}

static mn_status small_by_text(const mn_model *m, mn_error *err) {
    return write(m, N_TOKENS, temp_path("not-made.gguf"), err);
}

static mn_status small_by_weights(const mn_model *m, mn_error *err) {
    return write(m, 0, temp_path("not-made.gguf"), err);
}

static mn_status experts(const mn_model *m, mn_error *err) {
    mn_upcycle_wish wish = {.type = MN_DTYPE_COUNT};
    MN_TRY(mn_upcycle_parse("4,2", &wish, err));
    return mn_upcycle_write(m, &wish, temp_path("not-made.gguf"), err);
}

static mn_status latent(const mn_model *m, mn_error *err) {
    mn_heads_wish wish = {.type = MN_DTYPE_COUNT};
    MN_TRY(mn_heads_parse("mla:16", NULL, &wish, err));
    return mn_heads_check(m, &wish, err);
}

/* One value that is no number, in attention, makes all hidden units of its layer's MLP so: none can be picked. */
static void numbers_that_are_none(void **state) {
    (void)state;
    static float values[2 * 16 * N_EMBD], down[N_EMBD * N_FF];
    values[100] = NAN;
    down[7] = INFINITY;
    const mn_tensor v = {.name = "blk.1.attn_v.weight", .ne = {N_EMBD, 2 * 16, 1, 1}, .data = values};
    const mn_tensor d = {.name = "blk.2.ffn_down.weight", .ne = {N_FF, N_EMBD, 1, 1}, .data = down};
    refused(model_file("nan.gguf", &v, 1), small_by_text, MN_ERR_FORMAT,
            "the MLP of layer 1 makes values that are not finite");
    refused(model_file("inf.gguf", &d, 1), small_by_text, MN_ERR_FORMAT,
            "the MLP of layer 2 makes values that are not finite");
    refused(model_file("inf.gguf", &d, 1), small_by_weights, MN_ERR_FORMAT,
            "the MLP of layer 2 makes values that are not finite");
}

/* MLPs of other sizes in other layers, which files of experts and of latent heads cannot say; small ones can. */
static void sizes_that_differ(void **state) {
    (void)state;
    const mn_tensor last[] = {{.name = "blk.2.ffn_gate.weight", .ne = {N_EMBD, 64, 1, 1}},
                              {.name = "blk.2.ffn_up.weight", .ne = {N_EMBD, 64, 1, 1}},
                              {.name = "blk.2.ffn_down.weight", .ne = {64, N_EMBD, 1, 1}}};
    const char *path = model_file("sizes.gguf", last, 3);
    mn_model model;
    mn_error err;
    refused(path, experts, MN_ERR_UNSUPPORTED, "layer 2 has an MLP of 64 units and others have 96");
    refused(path, latent, MN_ERR_UNSUPPORTED, "its MLPs differ in size from layer to layer");
    assert_ok(mn_model_open(path, &model, &err), err);
    assert_ok(write(&model, N_TOKENS, temp_path("small-sizes.gguf"), &err), err);
    mn_model_close(&model);
    assert_ok(mn_model_open(temp_path("small-sizes.gguf"), &model, &err), err);
    assert_int_equal(model.config.layers[0].n_ff_small, 64);
    assert_int_equal(model.config.layers[2].n_ff_small, 32);
    mn_model_close(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_that_are_none),
        cmocka_unit_test(sizes_that_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
