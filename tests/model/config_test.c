/* model/config: what keys mean, by which names they go, and what holds where a file lacks them. */
#include "support/support.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "model/config.h"
#include "model/model.h"
#include "model/unread.h"
#include "support/gguf_edit.h"

static mn_gguf *source;

static int open_source(void **state) {
    (void)state;
    source = gguf_small_llama();
    return 0;
}

static int close_source(void **state) {
    (void)state;
    mn_gguf_close(source);
    return 0;
}

/* The small llama with edits, under another architecture's name. */
static mn_gguf *edited(const char *arch, const gguf_edit *edits, size_t n) {
    char path[4096];
    mn_gguf *gguf = NULL;
    mn_error err;
    snprintf(path, sizeof path, "%s", temp_path("edited.gguf"));
    gguf_edit_write(source, path, arch, edits, n);
    assert_ok(mn_gguf_open(path, &gguf, &err), err);
    unlink(path);
    return gguf;
}

static mn_status read_config(const char *arch, const gguf_edit *edits, size_t n, mn_config *out, mn_error *err) {
    mn_gguf *gguf = edited(arch, edits, n);
    mn_status status = mn_config_read(gguf, out, err);
    mn_gguf_close(gguf);
    return status;
}

#define LIST(...) ((gguf_edit[]){__VA_ARGS__})
#define N_OF(...) (sizeof((gguf_edit[]){__VA_ARGS__}) / sizeof(gguf_edit))
/* The config of the small llama, called `arch`, with these edits. */
#define CONFIG(arch, ...) config_of(arch, LIST(__VA_ARGS__), N_OF(__VA_ARGS__))
#define NOTHING EDIT_DROP("no such key")

static const mn_config *config_of(const char *arch, const gguf_edit *edits, size_t n) {
    static mn_config config;
    mn_error err;
    assert_ok(read_config(arch, edits, n, &config, &err), err);
    return &config;
}

/* Refused with a sentence that holds `says`. */
#define REFUSED(says, arch, ...)                                                                                       \
    do {                                                                                                               \
        static mn_config refused;                                                                                      \
        mn_error refusal;                                                                                              \
        assert_int_not_equal(read_config(arch, LIST(__VA_ARGS__), N_OF(__VA_ARGS__), &refused, &refusal), MN_OK);      \
        if (!strstr(refusal.text, says)) fail_msg("\"%s\" is not in: %s", says, refusal.text);                         \
    } while (0)

static void a_list_of_one_value_is_that_value(void **state) {
    (void)state;
    const mn_config *c = CONFIG(NULL, EDIT_I32S("llama.attention.head_count_kv", 1),
                                EDIT_I32S("llama.embedding_length", 64), EDIT_I32S("llama.feed_forward_length", 96));
    assert_int_equal(c->n_kv_heads, 1);
    assert_int_equal(c->n_embd, 64);
    for (int i = 0; i < 3; i++) assert_int_equal(c->layers[i].n_kv_heads, 1);
    c = CONFIG(NULL, EDIT_I32S("llama.attention.head_count_kv", 2, 2, 2));
    for (int i = 0; i < 3; i++) assert_int_equal(c->layers[i].n_kv_heads, 2);
    REFUSED("is a list of 2 values; the model has 3 layers", NULL, EDIT_I32S("llama.attention.head_count_kv", 2, 2));
    c = CONFIG(NULL, EDIT_I32S("llama.embedding_length", 64, 64, 64), /* one value, said for each layer */
               {"llama.rope.freq_base", MN_GGUF_F32, (float[]){5000, 5000, 5000}, 3});
    assert_int_equal(c->n_embd, 64);
    assert_true(c->rope.freq_base == 5000);
    REFUSED("is an array of i32", NULL, EDIT_I32S("llama.embedding_length", 64, 64, 65));
    REFUSED("is an array of f32", NULL, {"llama.rope.freq_base", MN_GGUF_F32, (float[]){5000, 5000, 1}, 3});
    REFUSED("it must be 0 to 1024", NULL, EDIT_I32S("llama.attention.head_count_kv", 2, -1, 2));
}

static void windows_follow_their_pattern(void **state) {
    (void)state;
    const mn_config *c = CONFIG(NULL, EDIT_U32("llama.attention.sliding_window", 48));
    for (int i = 0; i < 3; i++) assert_int_equal(mn_config_window(c, i), 48);
    c = CONFIG(NULL, EDIT_U32("llama.attention.sliding_window", 48),
               EDIT_U32("llama.attention.sliding_window_pattern", 2));
    for (int i = 0; i < 3; i++) assert_int_equal(mn_config_window(c, i), i == 1 ? 0 : 48);
    c = CONFIG(NULL, EDIT_U32("llama.attention.sliding_window", 48),
               EDIT_U32("llama.attention.sliding_window_pattern", 1));
    for (int i = 0; i < 3; i++) assert_int_equal(mn_config_window(c, i), 0);
    c = CONFIG(NULL, EDIT_U32("llama.attention.sliding_window", 48),
               EDIT_BOOLS("llama.attention.sliding_window_pattern", 0, 1, 1));
    for (int i = 0; i < 3; i++) assert_int_equal(mn_config_window(c, i), i == 0 ? 0 : 48);
    REFUSED("the model has 3 layers", NULL, EDIT_BOOLS("llama.attention.sliding_window_pattern", 0, 1));
}

/* No text is longer than 2^40 tokens, so that numbers beyond mean it, and nothing overflows. */
static void numbers_beyond_any_text_are_lowered(void **state) {
    (void)state;
    const mn_config *c =
        CONFIG(NULL, EDIT_U64("llama.attention.sliding_window", INT64_MAX), EDIT_U64("llama.context_length", INT64_MAX),
               EDIT_U64("llama.rope.scaling.original_context_length", INT64_MAX));
    assert_true(mn_config_window(c, 0) == MN_MAX_CTX_TOKENS);
    assert_true(c->n_ctx_train == MN_MAX_CTX_TOKENS);
    assert_true(c->rope.original_ctx == MN_MAX_CTX_TOKENS);
    REFUSED("beyond the largest integer", NULL, EDIT_U64("llama.context_length", UINT64_MAX));
    REFUSED("it must be 1 to 4", NULL, EDIT_U32("llama.expert_count", 4),
            EDIT_U64("llama.expert_used_count", INT64_MAX));
    REFUSED("rms_epsilon is inf", NULL, EDIT_F32("llama.attention.layer_norm_rms_epsilon", INFINITY));
    REFUSED("rms_epsilon is nan", NULL, EDIT_F32("llama.attention.layer_norm_rms_epsilon", NAN));
}

static void every_number_of_yarn_is_read(void **state) {
    (void)state;
#define YARN EDIT_TEXT("llama.rope.scaling.type", "yarn"), EDIT_F32("llama.rope.scaling.factor", 8)
    const mn_config *c =
        CONFIG(NULL, YARN, EDIT_F32("llama.rope.scaling.yarn_beta_fast", 4),
               EDIT_F32("llama.rope.scaling.yarn_beta_slow", 2), EDIT_F32("llama.rope.scaling.yarn_ext_factor", 0.5f),
               EDIT_F32("llama.rope.scaling.yarn_attn_factor", 2), EDIT_F32("llama.rope.scaling.attn_factor", 1.5f));
    assert_true(c->rope.beta_fast == 4 && c->rope.beta_slow == 2 && c->rope.ext_factor == 0.5);
    assert_true(c->rope.attn_factor == 3);
    c = CONFIG(NULL, YARN, EDIT_F32("llama.rope.scaling.yarn_ext_factor", -1));
    assert_true(c->rope.scaling == MN_ROPE_YARN && c->rope.ext_factor < 0 && c->rope.attn_factor == 0);
    c = CONFIG(NULL, YARN, EDIT_F32("llama.rope.scaling.yarn_ext_factor", 0));
    assert_true(c->rope.scaling == MN_ROPE_LINEAR && c->rope.factor == 8); /* no ramp at all */
    REFUSED("yarn_beta_fast is -1", NULL, YARN, EDIT_F32("llama.rope.scaling.yarn_beta_fast", -1));
}

static void scalings_go_by_the_names_of_other_converters(void **state) {
    (void)state;
    const mn_config *c = CONFIG(NULL, EDIT_F32("llama.rope.scale_linear", 4));
    assert_true(c->rope.scaling == MN_ROPE_LINEAR && c->rope.factor == 4);
    c = CONFIG(NULL, EDIT_TEXT("llama.rope.scaling.type", "su"));
    assert_true(c->rope.scaling == MN_ROPE_LONGROPE);
    c = CONFIG(NULL, EDIT_TEXT("llama.rope.scaling.type", "default"), EDIT_F32("llama.rope.scaling.factor", 8));
    assert_true(c->rope.scaling == MN_ROPE_NONE);
    REFUSED("is \"bent?[2J\"; known: none linear", NULL, EDIT_TEXT("llama.rope.scaling.type", "bent\x1b[2J"));
}

static void scores_are_scaled_as_the_file_says(void **state) {
    (void)state;
    assert_true(CONFIG(NULL, NOTHING)->attention_scale == 0.25f);
    assert_true(CONFIG(NULL, EDIT_F32("llama.attention.scale", 0.125f))->attention_scale == 0.125f);
}

static void gemma_has_what_its_first_files_lack(void **state) {
    (void)state;
    const mn_config *c = CONFIG("gemma2", NOTHING);
    assert_true(c->attention_softcap == 50 && c->final_softcap == 30);
    assert_int_equal(mn_config_window(c, 0), 4096);
    assert_int_equal(mn_config_window(c, 1), 0);
    c = CONFIG("gemma2", EDIT_F32("gemma2.attn_logit_softcapping", 20), EDIT_F32("gemma2.final_logit_softcapping", 0));
    assert_true(c->attention_softcap == 20 && c->final_softcap == 0);

    c = CONFIG("gemma3", EDIT_DROP("gemma3.rope.freq_base"), EDIT_DROP("gemma3.attention.key_length"),
               EDIT_DROP("gemma3.attention.value_length"), EDIT_DROP("gemma3.rope.dimension_count"),
               EDIT_DROP("gemma3.attention.layer_norm_rms_epsilon"), EDIT_U32("gemma3.attention.sliding_window", 32));
    assert_true(c->rope.freq_base == 1e6 && c->rope_local.freq_base == 10000);
    assert_true(c->norm_eps == 1e-6f);
    assert_int_equal(c->layers[2].head_dim_k, 16);
    assert_int_equal(c->rope.n_rot, 16);
    assert_int_equal(mn_config_window(c, 2), 32);
    c = CONFIG("gemma3", EDIT_DROP("gemma3.rope.freq_base"), EDIT_F32("gemma3.rope.global.freq_base", 500000),
               EDIT_F32("gemma3.rope.local.freq_base", 20000));
    assert_true(c->rope.freq_base == 500000 && c->rope_local.freq_base == 20000);
    assert_true(CONFIG("gemma3", EDIT_F32("gemma3.rope.freq_base_swa", 3000))->rope_local.freq_base == 3000);
}

static void other_families_have_what_their_first_files_lack(void **state) {
    (void)state;
    gguf_edit epsilon = EDIT_F32("mpt.attention.layer_norm_epsilon", 1e-5f);
    assert_true(CONFIG("mpt", epsilon)->max_alibi_bias == 8);
    assert_true(CONFIG("mpt", epsilon, EDIT_F32("mpt.attention.max_alibi_bias", 4))->max_alibi_bias == 4);
    const mn_config *c = CONFIG("phi3", EDIT_U32("phi3.context_length", 4096), EDIT_U32("phi3.block_count", 32));
    assert_int_equal(mn_config_window(c, 31), 2047);
    assert_int_equal(mn_config_window(CONFIG("phi3", EDIT_U32("phi3.context_length", 4096)), 0), 0);
    c = CONFIG("qwen3moe", EDIT_U32("qwen3moe.expert_count", 4), EDIT_U32("qwen3moe.expert_used_count", 2),
               EDIT_F32("qwen3moe.expert_weights_scale", 2.5f));
    assert_true(c->moe.router.scale == 2.5f);
}

static char *note_of(const gguf_edit *edits, size_t n) {
    static char text[1024];
    mn_notes notes = {0};
    mn_model model;
    mn_error err;
    assert_ok(mn_model_bind(edited(NULL, edits, n), &model, &err), err);
    mn_model_note_unread(&model, &notes);
    snprintf(text, sizeof text, "%s", mn_notes_at(&notes, 0) ? mn_notes_at(&notes, 0) : "");
    mn_notes_release(&notes);
    mn_model_close(&model);
    return text;
}

static void keys_that_nothing_reads_are_named(void **state) {
    (void)state;
    assert_string_equal(note_of(LIST(NOTHING), 1), "");
    assert_non_null(strstr(note_of(LIST(EDIT_F32("llama.logit_scale", 2), EDIT_U32("other.key", 1)), 2),
                           "nothing here reads llama.logit_scale; if the model needs it"));
    assert_non_null(strstr(note_of(LIST(EDIT_F32("llama.a\x1b[31m", 2), EDIT_U32("llama.b", 1)), 2),
                           "reads llama.a?[31m, llama.b; if the model needs them"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_of_one_value_is_that_value),
        cmocka_unit_test(windows_follow_their_pattern),
        cmocka_unit_test(numbers_beyond_any_text_are_lowered),
        cmocka_unit_test(every_number_of_yarn_is_read),
        cmocka_unit_test(scalings_go_by_the_names_of_other_converters),
        cmocka_unit_test(scores_are_scaled_as_the_file_says),
        cmocka_unit_test(gemma_has_what_its_first_files_lack),
        cmocka_unit_test(other_families_have_what_their_first_files_lack),
        cmocka_unit_test(keys_that_nothing_reads_are_named),
    };
    return cmocka_run_group_tests(tests, open_source, close_source);
}
