/* model/gguf_random, gguf_convert, gguf_precision: what is drawn has the stated spread, what is converted is exactly
 * what the tensor room makes of it, and neither depends on the number of threads. */
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/gguf_convert.h"
#include "model/gguf_random.h"

static const mn_random_model small = {.arch = "mnemo",
                                      .n_layers = 2,
                                      .n_embd = 128,
                                      .n_heads = 4,
                                      .n_kv_heads = 2,
                                      .head_dim = 32,
                                      .n_ff = 256,
                                      .n_ctx = 64,
                                      .rope_base = 10000,
                                      .seed = 3};

static mn_gguf *open_path(const char *path) {
    mn_gguf *gguf = NULL;
    mn_error err;
    assert_ok(mn_gguf_open(path, &gguf, &err), err);
    return gguf;
}

/* Writes the small model, opens it and removes its name. */
static mn_gguf *make_random(mn_dtype type, int n_threads) {
    mn_gguf *vocab = open_path(MNEMO_SOURCE_DIR "/tests/fuzz/corpus/gguf/vocab");
    mn_pool *pool = NULL;
    mn_random_summary summary;
    mn_error err;
    assert_ok(mn_pool_create(n_threads, &pool, &err), err);
    const mn_make_params params = {.type = type, .pool = pool};
    assert_ok(mn_random_model_write(&small, vocab, temp_path("random.gguf"), &params, &summary, &err), err);
    mn_pool_destroy(pool);
    mn_gguf_close(vocab);
    mn_gguf *made = open_path(temp_path("random.gguf"));
    unlink(temp_path("random.gguf"));
    assert_int_equal(summary.n_tensors, mn_gguf_n_tensors(made));
    return made;
}

static mn_gguf *convert(const mn_gguf *in, mn_dtype type, int n_threads, mn_convert_summary *summary) {
    mn_pool *pool = NULL;
    mn_error err;
    assert_ok(mn_pool_create(n_threads, &pool, &err), err);
    const mn_make_params params = {.type = type, .pool = pool};
    assert_ok(mn_gguf_convert(in, temp_path("converted.gguf"), &params, summary, &err), err);
    mn_pool_destroy(pool);
    mn_gguf *made = open_path(temp_path("converted.gguf"));
    unlink(temp_path("converted.gguf"));
    return made;
}

static void assert_same_tensors(const mn_gguf *a, const mn_gguf *b) {
    assert_int_equal(mn_gguf_n_tensors(a), mn_gguf_n_tensors(b));
    for (int64_t i = 0; i < mn_gguf_n_tensors(a); i++) {
        const mn_tensor *x = mn_gguf_tensor_at(a, i), *y = mn_gguf_tensor_at(b, i);
        assert_string_equal(x->name, y->name);
        assert_int_equal(x->bytes, y->bytes);
        assert_memory_equal(x->data, y->data, x->bytes);
    }
}

static void assert_spread(const mn_gguf *gguf, const char *name, double deviation) {
    const mn_tensor *t = mn_gguf_tensor(gguf, name);
    const float *values = t->data;
    double sum = 0, squares = 0, n = (double)(t->ne[0] * t->ne[1]);
    for (int64_t i = 0; i < t->ne[0] * t->ne[1]; i++) sum += values[i], squares += values[i] * values[i];
    /* Four standard errors of the mean and of the deviation. */
    if (fabs(sum / n) > 4 * deviation / sqrt(n)) fail_msg("%s: mean %g", name, sum / n);
    if (fabs(sqrt(squares / n) / deviation - 1) > 4 / sqrt(2 * n))
        fail_msg("%s: deviation %g", name, sqrt(squares / n));
}

static void random_weights_have_the_stated_spread(void **state) {
    (void)state;
    mn_gguf *made = make_random(MN_F32, 2);
    assert_spread(made, "blk.0.attn_q.weight", 1 / sqrt(128));
    assert_spread(made, "blk.1.ffn_up.weight", 1 / sqrt(128));
    assert_spread(made, "blk.1.ffn_down.weight", 1 / sqrt(256 * 4));
    assert_spread(made, "blk.0.attn_output.weight", 1 / sqrt(128 * 4));
    for (int i = 0; i < 128; i++)
        assert_true(((const float *)mn_gguf_tensor(made, "output_norm.weight")->data)[i] == 1);
    const float *q = mn_gguf_tensor(made, "blk.0.attn_q.weight")->data,
                *k = mn_gguf_tensor(made, "blk.0.attn_k.weight")->data;
    assert_memory_not_equal(q, k, 128 * sizeof *q);
    mn_gguf_close(made);
}

/* Channel c of k looks back (c / 2) mod 8 tokens, of q one less; both channels of a rotated pair alike. */
static void convolution_taps_are_delays(void **state) {
    (void)state;
    mn_gguf *made = make_random(MN_F32, 1);
    const float *q = mn_gguf_tensor(made, "blk.1.attn_q_conv.weight")->data;
    const float *k = mn_gguf_tensor(made, "blk.1.attn_k_conv.weight")->data;
    for (int c = 0; c < 64; c++)
        for (int tap = 0; tap < 8; tap++) {
            int back = c / 2 % 8;
            assert_true(k[c * 8 + tap] == (tap == back));
            assert_true(q[c * 8 + tap] == (tap == (back ? back - 1 : 0)));
        }
    mn_gguf_close(made);
}

static void threads_change_nothing(void **state) {
    (void)state;
    mn_convert_summary summary;
    mn_gguf *one = make_random(MN_Q8_0, 1), *seven = make_random(MN_Q8_0, 7);
    assert_same_tensors(one, seven);
    mn_gguf *a = convert(one, MN_Q4_0, 1, &summary), *b = convert(seven, MN_Q4_0, 7, &summary);
    assert_same_tensors(a, b);
    mn_gguf_close(a);
    mn_gguf_close(b);
    mn_gguf_close(one);
    mn_gguf_close(seven);
}

/* Each row against mn_from_f32 of mn_to_f32, tensor by tensor. */
static void check_rows(const mn_gguf *in, const mn_gguf *out) {
    static float row[256];
    static char wanted[256 * sizeof(float)];
    for (int64_t i = 0; i < mn_gguf_n_tensors(in); i++) {
        const mn_tensor *src = mn_gguf_tensor_at(in, i), *dst = mn_gguf_tensor(out, src->name);
        size_t src_bytes = mn_tensor_row_bytes(src), dst_bytes = mn_tensor_row_bytes(dst);
        for (int64_t r = 0; r < src->ne[1]; r++) {
            mn_to_f32(src->type, (const char *)src->data + (size_t)r * src_bytes, row, src->ne[0]);
            mn_from_f32(dst->type, row, wanted, src->ne[0]);
            assert_memory_equal(wanted, (const char *)dst->data + (size_t)r * dst_bytes, dst_bytes);
        }
    }
}

static void converted_rows_are_exact(void **state) {
    (void)state;
    mn_gguf *in = make_random(MN_F16, 2);
    for (int type = 0; type < MN_DTYPE_COUNT; type++) {
        const mn_dtype_info *info = mn_dtype_get(type);
        mn_convert_summary summary;
        if (!info || !info->from_f32) continue;
        mn_gguf *out = convert(in, (mn_dtype)type, 2, &summary);
        assert_int_equal(mn_gguf_tensor(out, "blk.0.ffn_down.weight")->type, type);
        assert_int_equal(summary.n_kept, 9); /* five norms, four convolutions */
        check_rows(in, out);
        mn_gguf_close(out);
    }
    mn_gguf_close(in);
}

static void each_tensor_gets_its_type(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int64_t row;
        mn_dtype asked, got;
    } cases[] = {
        {"blk.0.attn_q.weight", 256, MN_Q4_K, MN_Q4_K}, {"blk.0.attn_q.weight", 96, MN_Q4_K, MN_Q5_0},
        {"blk.0.attn_q.weight", 96, MN_Q6_K, MN_Q8_0},  {"blk.0.attn_q.weight", 48, MN_Q4_0, MN_F16},
        {"blk.0.attn_q.weight", 48, MN_BF16, MN_BF16},  {"token_embd.weight", 256, MN_Q4_0, MN_Q6_K},
        {"output.weight", 256, MN_IQ4_NL, MN_Q6_K},     {"output.weight", 96, MN_Q4_K, MN_Q8_0},
        {"token_embd.weight", 256, MN_Q8_0, MN_Q8_0},   {"token_embd.weight", 256, MN_F32, MN_F32},
        {"blk.0.attn_q.weight", 256, MN_Q5_K, MN_Q6_K}, {"blk.0.attn_q.weight", 96, MN_Q5_K, MN_Q8_0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mn_tensor t = {.name = cases[i].name, .n_dims = 2, .ne = {cases[i].row, 4, 1, 1}};
        assert_false(mn_precision_is_kept(&t));
        assert_int_equal(mn_precision_pick(&t, cases[i].asked), cases[i].got);
    }
    assert_true(mn_precision_is_kept(&(mn_tensor){.name = "blk.0.attn_q.bias", .n_dims = 1, .ne = {64, 1, 1, 1}}));
    assert_true(mn_precision_is_kept(&(mn_tensor){.name = "blk.0.ffn_gate_inp.weight", .n_dims = 2, .ne = {64, 8}}));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_weights_have_the_stated_spread),
        cmocka_unit_test(convolution_taps_are_delays),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(converted_rows_are_exact),
        cmocka_unit_test(each_tensor_gets_its_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
