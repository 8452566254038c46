/* model/adapter: what a file of adapters may say. */
#include "support/gguf_edit.h"
#include "support/support.h"

#include "model/adapter.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 64, RANK = 2 };

/* The values of both tensors, and what is said of them. */
typedef struct made {
    mn_dtype type;
    int64_t ne3;
    float alpha;
    float values[WIDTH * RANK];
} made;

static made good(void) {
    made m = {.type = MN_F32, .ne3 = 1, .alpha = 4};
    for (int i = 0; i < WIDTH * RANK; i++) m.values[i] = 0.01f * (float)(i % 7);
    return m;
}

/* Writes the adapter and tries to attach it to a small model; scale: what its products are multiplied by. */
static mn_status try(const made *m, float *scale, mn_error *err) {
    char path[600];
    mn_gguf_writer *w;
    mn_model model = {0};
    mn_adapter adapter;
    snprintf(path, sizeof path, "%s", temp_path("adapter.gguf"));
    mn_tensor a = {.name = "blk.0.attn_q.weight.lora_a",
                   .type = m->type,
                   .n_dims = 4,
                   .ne = {WIDTH, RANK, 1, m->ne3},
                   .bytes = sizeof m->values,
                   .data = m->values};
    mn_tensor b = a;
    b.name = "blk.0.attn_q.weight.lora_b";
    b.ne[0] = RANK;
    b.ne[1] = WIDTH;
    b.ne[3] = 1;
    if (m->ne3 > 1) a.ne[1] /= m->ne3;
    assert_ok(mn_gguf_writer_create(&w, err), *err);
    mn_gguf_put_string(w, "general.type", "adapter");
    mn_gguf_put_string(w, "general.architecture", "llama");
    mn_gguf_put_string(w, "adapter.type", "lora");
    mn_gguf_put_f32(w, "adapter.lora.alpha", m->alpha);
    mn_gguf_put_tensor(w, &a);
    mn_gguf_put_tensor(w, &b);
    assert_ok(mn_gguf_write(w, path, NULL, NULL, err), *err);
    mn_gguf_writer_destroy(w);
    assert_ok(mn_model_bind(gguf_small_llama(), &model, err), *err);
    mn_status status = mn_adapter_open(path, 0.5f, &model, &adapter, err);
    if (status == MN_OK) *scale = model.weights.layers[0].q.lora->scale;
    mn_model_close(&model);
    if (status == MN_OK) mn_adapter_close(&adapter);
    return status;
}

static void test_scales(void **state) {
    (void)state;
    made m = good();
    mn_error err;
    float scale = 0;
    assert_ok(try(&m, &scale, &err), err);
    assert_true(scale == 1);
    m.alpha = -4;
    assert_ok(try(&m, &scale, &err), err);
    assert_true(scale == -1);
    m.alpha = 0;
    assert_ok(try(&m, &scale, &err), err);
    assert_true(scale == 0.5f);
}

static void refuse(const made *m, const char *word) {
    mn_error err;
    float scale;
    assert_int_equal(try(m, &scale, &err), MN_ERR_FORMAT);
    if (!strstr(err.text, word)) fail_msg("\"%s\" is not in: %s", word, err.text);
}

static void test_refusals(void **state) {
    (void)state;
    made m = good();
    m.alpha = NAN;
    refuse(&m, "adapter.lora.alpha is nan");
    m = good();
    m.values[5] = INFINITY;
    refuse(&m, "(value 6)");
    m = good();
    m.type = MN_I32;
    refuse(&m, "whole numbers");
    m = good();
    m.ne3 = 2;
    refuse(&m, "the matrix is 64 x 64");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scales), cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
