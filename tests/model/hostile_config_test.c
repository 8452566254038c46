/* Numbers of a file at the ends of their types: every family either refuses them with a sentence or opens, plans and
 * runs a step. Meant for a build with -DMNEMO_SANITIZE=address,undefined, where nothing may overflow on the way. */
#include "support/support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/family.h"
#include "session/session.h"
#include "support/gguf_edit.h"

static mn_gguf *source;
static char path[4096];

static int set_up(void **state) {
    (void)state;
    source = gguf_small_llama();
    /* Thousands of files are written, each flushed to the disk. */
    if (access("/dev/shm", W_OK) == 0)
        snprintf(path, sizeof path, "/dev/shm/mnemo-test-%ld-hostile.gguf", (long)getpid());
    else
        snprintf(path, sizeof path, "%s", temp_path("hostile.gguf"));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    mn_gguf_close(source);
    unlink(path);
    return 0;
}

static const char *const suffixes[] = {"block_count",
                                       "embedding_length",
                                       "context_length",
                                       "feed_forward_length",
                                       "vocab_size",
                                       "attention.head_count",
                                       "attention.head_count_kv",
                                       "attention.key_length",
                                       "attention.value_length",
                                       "attention.sliding_window",
                                       "attention.sliding_window_pattern",
                                       "attention.layer_norm_rms_epsilon",
                                       "attention.layer_norm_epsilon",
                                       "attention.scale",
                                       "attention.max_alibi_bias",
                                       "attention.clamp_kqv",
                                       "attention.q_lora_rank",
                                       "attention.kv_lora_rank",
                                       "attention.key_length_mla",
                                       "attention.value_length_mla",
                                       "attention.short_conv",
                                       "attn_logit_softcapping",
                                       "final_logit_softcapping",
                                       "expert_count",
                                       "expert_used_count",
                                       "expert_feed_forward_length",
                                       "expert_shared_count",
                                       "expert_group_count",
                                       "expert_group_used_count",
                                       "expert_weights_scale",
                                       "leading_dense_block_count",
                                       "rope.freq_base",
                                       "rope.freq_base_swa",
                                       "rope.dimension_count",
                                       "rope.scaling.factor",
                                       "rope.scaling.original_context_length",
                                       "rope.scaling.attn_factor",
                                       "rope.scaling.yarn_ext_factor",
                                       "rope.scaling.yarn_attn_factor",
                                       "rope.scaling.yarn_beta_fast",
                                       "rope.scaling.yarn_beta_slow",
                                       "rope.scaling.yarn_log_multiplier",
                                       "attention.key_length_swa",
                                       "attention.value_length_swa",
                                       "rope.dimension_count_swa",
                                       "attention.shared_kv_layers",
                                       "embedding_length_per_layer_input",
                                       "attention.temperature_scale",
                                       "attention.value_scale",
                                       "embedding_scale",
                                       "residual_scale",
                                       "logit_scale",
                                       "interleave_moe_layer_step",
                                       "expert_shared_feed_forward_length",
                                       "expert_gating_func",
                                       "nextn_predict_layers",
                                       "swiglu_clamp_exp",
                                       "swiglu_clamp_shexp",
                                       "attention.indexer.head_count",
                                       "attention.indexer.key_length",
                                       "attention.indexer.top_k",
                                       "attention.indexer.types",
                                       "attention.output_group_count",
                                       "attention.output_lora_rank",
                                       "attention.compress_ratios",
                                       "attention.compress_rope_freq_base",
                                       "hyper_connection.count",
                                       "hyper_connection.sinkhorn_iterations",
                                       "hyper_connection.epsilon",
                                       "hash_layer_count",
                                       "infini.segment"};
enum { N_SUFFIXES = sizeof suffixes / sizeof *suffixes, N_OF_LLAMA = 42 /* that llama may read */ };

static const uint64_t integers[] = {0, INT32_MAX, (uint64_t)INT64_MAX, UINT64_MAX};
static const int64_t negatives[] = {-1, INT64_MIN};
static const float floats[] = {0, FLT_MAX, -1, NAN};

/* Runs as far as the file lets. Every failure has a sentence. */
static void try_file(void) {
    mn_engine *engine;
    mn_session *s;
    mn_error err = {0};
    static const int32_t tokens[] = {1, 2, 3};
    if (mn_engine_open(path, &(mn_engine_params){.n_threads = 1}, &engine, &err) != MN_OK) {
        assert_true(err.text[0] != 0);
        return;
    }
    mn_engine_info(engine);
    for (int i = 0; i < 2; i++) {
        mn_session_params params = {.n_ctx = i ? 64 : 0, .position.beyond = i};
        if (mn_session_open(engine, &params, &s, &err) != MN_OK) continue;
        mn_session_extend(s, tokens, 3, NULL, NULL, NULL, NULL, &err);
        mn_session_close(s);
    }
    mn_engine_close(engine);
}

static void try_edit(const char *arch, gguf_edit edit) {
    mn_gguf *gguf;
    mn_config *config = malloc(sizeof *config);
    mn_error err = {0};
    assert_non_null(config);
    gguf_edit_write(source, path, arch, &edit, 1);
    assert_ok(mn_gguf_open(path, &gguf, &err), err);
    if (mn_config_read(gguf, config, &err) != MN_OK) assert_true(err.text[0] != 0);
    mn_gguf_close(gguf);
    free(config);
    if (!strcmp(arch, "llama")) try_file(); /* the one whose tensors are there */
}

/* All values of llama, whose files are run too; of the others, which share most of what reads keys, every third (ninth
 * in a quick run), another one for each key and family. */
static void every_number_of_every_family(void **state) {
    (void)state;
    int turn = 0, nth = is_quick_run() ? 9 : 3;
    for (const mn_family *const *f = mn_family_list(); *f; f++, turn++)
        for (int i = 0; i < N_SUFFIXES; i++, turn++) {
            char key[128];
            snprintf(key, sizeof key, "%s.%s", (*f)->arch, suffixes[i]);
            int step = strcmp((*f)->arch, "llama") || i >= N_OF_LLAMA ? nth : 1, n = 0;
            for (size_t v = 0; v < sizeof integers / sizeof *integers; v++)
                if ((turn + n++) % step == 0) try_edit((*f)->arch, (gguf_edit){key, MN_GGUF_U64, &integers[v], 0});
            for (size_t v = 0; v < sizeof negatives / sizeof *negatives; v++)
                if ((turn + n++) % step == 0) try_edit((*f)->arch, (gguf_edit){key, MN_GGUF_I64, &negatives[v], 0});
            for (size_t v = 0; v < sizeof floats / sizeof *floats; v++)
                if ((turn + n++) % step == 0) try_edit((*f)->arch, (gguf_edit){key, MN_GGUF_F32, &floats[v], 0});
            if ((turn + n++) % step == 0) try_edit((*f)->arch, EDIT_I32S(key, 1, INT32_MAX, INT32_MIN));
            if ((turn + n++) % step == 0) try_edit((*f)->arch, EDIT_TEXT(key, "\x1b[2J"));
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_number_of_every_family)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
