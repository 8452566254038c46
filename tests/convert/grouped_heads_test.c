/* convert/grouped_heads: copies of a head are merged without loss, wherever they stand, in every architecture; the mean
 * and the first by their formulas; what cannot be is refused.
 */
#include "support/dressed_model.h"
#include "support/gguf_edit.h"
#include "support/support.h"

#include "convert/grouped_heads.h"
#include "model/gguf_convert.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static mn_heads_wish wish_of(const char *heads, const char *method) {
    mn_heads_wish wish = {.type = MN_DTYPE_COUNT};
    mn_error err;
    assert_ok(mn_heads_parse(heads, method, &wish, &err), err);
    return wish;
}

/* Converts and returns how the logits differ. */
static double converted(const char *from, const char *to, mn_heads_wish wish) {
    mn_model model;
    mn_moments moments;
    mn_error err;
    assert_ok(mn_model_open(from, &model, &err), err);
    assert_ok(mn_heads_check(&model, &wish, &err), err);
    assert_ok(mn_moments_of_norms(&model, &moments, &err), err);
    assert_ok(mn_heads_write(&model, &wish, &moments, to, &err), err);
    mn_moments_release(&moments);
    mn_model_close(&model);
    return logits_apart(from, to);
}

static char from[600], to[600];

static int name_files(void **state) {
    (void)state;
    snprintf(from, sizeof from, "%s", temp_path("heads-from.gguf"));
    snprintf(to, sizeof to, "%s", temp_path("heads-to.gguf"));
    return 0;
}

static int remove_files(void **state) {
    (void)state;
    unlink(from);
    unlink(to);
    return 0;
}

static const char *const archs[] = {"llama", "qwen2", "qwen3", "mnemo", "phi3", "gemma2", "gemma3"};
enum { N_ARCHS = sizeof archs / sizeof *archs };

/* Neighbours that are copies of each other; and copies that stand apart, brought together. */
static void copies_are_merged_without_loss(void **state) {
    (void)state;
    static const int beside[] = {0, 0, 2, 2}, apart[] = {0, 1, 1, 0};
    for (int i = 0; i < N_ARCHS; i++) {
        mn_heads_wish wish = wish_of("gqa:2", i % 2 ? "first" : NULL);
        dressed_model_write(archs[i], from, 0, beside);
        double off = converted(from, to, wish);
        if (!(off < 1e-5)) fail_msg("%s: neighbours merged change logits by %g", archs[i], off);
        dressed_model_write(archs[i], from, 0, apart);
        double careless = converted(from, to, wish);
        wish.regroup = true;
        off = converted(from, to, wish);
        if (!(off < 1e-5)) fail_msg("%s: regrouped heads change logits by %g", archs[i], off);
        if (!(careless > 1e-3)) fail_msg("%s: other heads merged change logits by %g alone", archs[i], careless);
    }
}

static void all_become_one(void **state) {
    (void)state;
    static const int same[] = {0, 0, 0, 0};
    dressed_model_write("mnemo", from, 0, same);
    assert_true(converted(from, to, wish_of("mqa", NULL)) < 1e-5);
    mn_model model;
    mn_error err;
    assert_ok(mn_model_open(to, &model, &err), err);
    assert_int_equal(model.config.n_kv_heads, 1);
    assert_int_equal(mn_heads_kv_bytes(&model.config), 2 * 2 * DRESSED_HEAD_DIM * DRESSED_LAYERS);
    mn_model_close(&model);
}

/* Every value of the new keys, values and biases. */
static void means_are_means(void **state) {
    (void)state;
    mn_error err;
    mn_model before, after;
    dressed_model_write("qwen2", from, 0, NULL);
    for (int first = 0; first < 2; first++) {
        converted(from, to, wish_of("gqa:2", first ? "first" : "mean"));
        assert_ok(mn_model_open(from, &before, &err), err);
        assert_ok(mn_model_open(to, &after, &err), err);
        const mn_layer *a = &before.weights.layers[1], *b = &after.weights.layers[1];
        const mn_projection *const olds[] = {&a->k, &a->v}, *const news[] = {&b->k, &b->v};
        for (int p = 0; p < 2; p++)
            for (int64_t r = 0; r < 2 * DRESSED_HEAD_DIM; r++) {
                int64_t old = r / DRESSED_HEAD_DIM * 2 * DRESSED_HEAD_DIM + r % DRESSED_HEAD_DIM;
                int64_t other = first ? old : old + DRESSED_HEAD_DIM;
                const float *x = (const float *)olds[p]->w.data, *y = (const float *)news[p]->w.data;
                for (int64_t i = 0; i < DRESSED_EMBD; i++) {
                    double want = ((double)x[old * DRESSED_EMBD + i] + (double)x[other * DRESSED_EMBD + i]) / 2;
                    assert_true(fabs((double)y[r * DRESSED_EMBD + i] - want) < 1e-7);
                }
                double want = ((double)olds[p]->b[old] + (double)olds[p]->b[other]) / 2;
                assert_true(fabs((double)news[p]->b[r] - want) < 1e-7);
            }
        mn_model_close(&before);
        mn_model_close(&after);
    }
}

static void quantised_models(void **state) {
    (void)state;
    static const int apart[] = {0, 1, 1, 0};
    mn_gguf *in;
    mn_convert_summary summary;
    mn_error err;
    char quantised[600];
    snprintf(quantised, sizeof quantised, "%s", temp_path("heads-q8.gguf"));
    dressed_model_write("llama", from, 0, apart);
    assert_ok(mn_gguf_open(from, &in, &err), err);
    assert_ok(mn_gguf_convert(in, quantised, &(mn_make_params){.type = MN_Q8_0}, &summary, &err), err);
    mn_gguf_close(in);
    mn_heads_wish wish = wish_of("gqa:2", NULL);
    wish.regroup = true;
    /* Blocks of 32 hold two heads in the output projection, so that a few of its values are rounded once more. */
    assert_true(converted(quantised, to, wish) < 0.05);
    assert_ok(mn_gguf_open(to, &in, &err), err);
    assert_int_equal(mn_gguf_tensor(in, "blk.1.attn_k.weight")->type, MN_Q8_0);
    mn_gguf_close(in);
    unlink(quantised);
}

/* The best of all 35 ways to pair eight heads. */
static void order_is_the_best(void **state) {
    (void)state;
    static const int pairs[] = {5, 3, 6, 1, 7, 0, 2, 4}; /* head i belongs with pairs[i] */
    double likeness[64];
    int order[8];
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++) likeness[i * 8 + j] = i == j ? 1 : pairs[i] == j ? 0.9 : 0.3 + 0.01 * ((i + j) % 5);
    mn_grouped_heads_order(likeness, 8, 2, order);
    assert_memory_equal(order, ((const int[]){0, 5, 1, 3, 2, 6, 4, 7}), sizeof order);
    /* Greed takes 0 with 1, whose bond is the strongest of 0's, and leaves 2 with 3; exchanging them is better. */
    const double trap[16] = {1, .9, .8, 0, .9, 1, 0, .85, .8, 0, 1, .1, 0, .85, .1, 1};
    mn_grouped_heads_order(trap, 4, 2, order);
    assert_memory_equal(order, ((const int[]){0, 2, 1, 3}), 4 * sizeof *order);
}

static void refused(const char *arch, const gguf_edit *edits, size_t n_edits, const char *heads, const char *reason) {
    mn_gguf *in;
    mn_model model;
    mn_error err;
    mn_heads_wish wish = wish_of(heads, NULL);
    dressed_model_write(arch, from, 0, NULL);
    assert_ok(mn_gguf_open(from, &in, &err), err);
    gguf_edit_write(in, to, NULL, edits, n_edits);
    mn_gguf_close(in);
    assert_ok(mn_model_open(to, &model, &err), err);
    assert_int_not_equal(mn_heads_check(&model, &wish, &err), MN_OK);
    if (!strstr(err.text, reason)) fail_msg("%s is refused with: %s", arch, err.text);
    mn_model_close(&model);
}

static void what_cannot_be(void **state) {
    (void)state;
    refused("llama", NULL, 0, "gqa:3", "has 4 key and value heads, which do not become 3");
    refused("llama", NULL, 0, "gqa:4", "do not become 4");
    refused("starcoder2", NULL, 0, "gqa:2", "llama, qwen2, qwen3, mnemo, phi3, gemma2 and gemma3 alone");
    refused("deepseek2", NULL, 0, "gqa:2", "latent already");
    refused("qwen3", NULL, 0, "mla:32", "normalised after they are made");
    refused("mnemo", NULL, 0, "mla:32", "short convolution");
    refused("gemma2", NULL, 0, "mla:32", "SiLU gates");
    refused("gemma3", NULL, 0, "mla:32", "normalised after they are made");
    refused("qwen3moe", NULL, 0, "mla:32", "normalised after they are made");
    refused("llama", &EDIT_U32("llama.attention.sliding_window", 32), 1, "mla:32", "sliding window");
    refused("llama", NULL, 0, "mla:121", "beyond the 120");
    refused("llama", NULL, 0, "mla:32,rope=66", "not an even number from 2 to 64");
}

/* Where latent heads cannot be, grouped ones are named as a way out if they are one. */
static void ways_out(void **state) {
    (void)state;
    static const char *const models[] = {"qwen3", "qwen3moe", "exaone4", "gemma2", "gemma3"};
    static const bool ways[] = {true, false, false, true, false};
    for (int i = 0; i < 5; i++) {
        char path[64];
        mn_model model;
        mn_error err;
        mn_heads_wish latent = wish_of("mla:8", NULL), one = wish_of("mqa", NULL);
        snprintf(path, sizeof path, "golden/tiny-%s.gguf", models[i]);
        assert_ok(mn_model_open(data_path(path), &model, &err), err);
        assert_int_equal(mn_heads_check(&model, &latent, &err), MN_ERR_UNSUPPORTED);
        if (ways[i] != (strstr(err.text, "(gqa) are possible") != NULL)) fail_msg("%s: %s", models[i], err.text);
        if ((mn_heads_check(&model, &one, &err) == MN_OK) != ways[i]) fail_msg("%s: %s", models[i], err.text);
        if (!strcmp(models[i], "gemma3")) assert_non_null(strstr(err.text, "has one key and value head already"));
        mn_model_close(&model);
    }
}

/* Unless said otherwise half of the dimensions stay rotated, in pairs. */
static void half_is_rotated(void **state) {
    (void)state;
    static const int dims[] = {2, 4, 6, 10, 64}, halves[] = {2, 2, 2, 4, 32};
    mn_heads_wish wish = wish_of("mla:8", NULL);
    mn_config *config = calloc(1, sizeof *config);
    assert_non_null(config);
    for (int i = 0; i < 5; i++) {
        config->rope.n_rot = dims[i];
        assert_int_equal(mn_heads_n_rot(&wish, config), halves[i]);
    }
    wish = wish_of("mla:8,rope=6", NULL);
    assert_int_equal(mn_heads_n_rot(&wish, config), 6);
    free(config);
}

/* A weight that is no number has no mean, and no likeness. */
static void numbers_that_are_none(void **state) {
    (void)state;
    mn_gguf *in;
    mn_gguf_writer *writer;
    mn_model model;
    mn_moments moments;
    mn_error err;
    mn_heads_wish wish = wish_of("gqa:2", NULL);
    static float bad[DRESSED_EMBD * DRESSED_KV_HEADS * DRESSED_HEAD_DIM];
    bad[77] = NAN;
    dressed_model_write("llama", from, 0, NULL);
    assert_ok(mn_gguf_open(from, &in, &err), err);
    assert_ok(mn_gguf_writer_create(&writer, &err), err);
    for (int64_t i = 0; i < mn_gguf_n_kv(in); i++) mn_gguf_put_kv(writer, mn_gguf_kv_at(in, i));
    for (int64_t i = 0; i < mn_gguf_n_tensors(in); i++) {
        mn_tensor t = *mn_gguf_tensor_at(in, i);
        if (!strcmp(t.name, "blk.1.attn_k.weight")) t.data = bad;
        mn_gguf_put_tensor(writer, &t);
    }
    assert_ok(mn_gguf_write(writer, to, NULL, NULL, &err), err);
    mn_gguf_writer_destroy(writer);
    mn_gguf_close(in);
    assert_ok(mn_model_open(to, &model, &err), err);
    assert_ok(mn_moments_of_norms(&model, &moments, &err), err);
    for (int latent = 0; latent < 2; latent++) {
        if (latent) wish = wish_of("mla:32", NULL);
        assert_int_equal(mn_heads_write(&model, &wish, &moments, from, &err), MN_ERR_FORMAT);
        assert_non_null(strstr(err.text, "row 1 of tensor blk.1.attn_k.weight holds a value that is not finite"));
    }
    mn_moments_release(&moments);
    mn_model_close(&model);
}

static void words(void **state) {
    (void)state;
    static const char *const bad[] = {"",       "gqa",        "gqa:",      "gqa:0",     "gqa:2x",         "mla",
                                      "mla:-4", "mla:0",      "mla:8,",    "mla:8,r=2", "mla:8,rope=3",   "mqa:1",
                                      "GQA:2",  "gqa:999999", "mla:99999", "mla:8 ",    "mla:8,rope=9999"};
    mn_heads_wish wish;
    mn_error err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(mn_heads_parse(bad[i], NULL, &wish, &err), MN_ERR_ARGUMENT);
    assert_int_equal(mn_heads_parse("gqa:2", "transmla", &wish, &err), MN_ERR_ARGUMENT);
    assert_int_equal(mn_heads_parse("mla:8", "mean", &wish, &err), MN_ERR_ARGUMENT);
    assert_int_equal(mn_heads_parse("mla:8", "svd", &wish, &err), MN_ERR_ARGUMENT);
    wish = wish_of("mla:8,rope=4", "mha2mla");
    assert_true(wish.rank == 8 && wish.n_rot == 4 && wish.n_kv_heads == 0 && wish.method == MN_HEADS_MHA2MLA);
    wish = wish_of("mqa", NULL);
    assert_true(wish.n_kv_heads == 1 && wish.method == MN_HEADS_MEAN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_are_merged_without_loss),
        cmocka_unit_test(all_become_one),
        cmocka_unit_test(means_are_means),
        cmocka_unit_test(quantised_models),
        cmocka_unit_test(order_is_the_best),
        cmocka_unit_test(what_cannot_be),
        cmocka_unit_test(ways_out),
        cmocka_unit_test(half_is_rotated),
        cmocka_unit_test(numbers_that_are_none),
        cmocka_unit_test(words),
    };
    return cmocka_run_group_tests(tests, name_files, remove_files);
}
