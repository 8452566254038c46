/* Gradients of families with experts against differences of the loss (support/tape_case.h). */
#include "support/gguf_edit.h"
#include "support/support.h"
#include "support/tape_case.h"

#include <string.h>
#include <unistd.h>

/* A copy in f32 that uses all of its experts, and of whose keys an indexer leaves none out: a choice jumps, and these
 * models are so small that any step would meet a jump. */
static const char *with_all_experts(const char *name, const char *arch, int n_experts) {
    mn_gguf *in;
    mn_error err;
    char path[256], all[4096], used[64], groups[64], groups_used[64], keys[64];
    snprintf(path, sizeof path, "golden/tiny-%s.gguf", name);
    snprintf(all, sizeof all, "%s", temp_path("all-experts.gguf"));
    snprintf(used, sizeof used, "%s.expert_used_count", arch);
    snprintf(groups, sizeof groups, "%s.expert_group_count", arch);
    snprintf(groups_used, sizeof groups_used, "%s.expert_group_used_count", arch);
    snprintf(keys, sizeof keys, "%s.attention.indexer.top_k", arch);
    assert_ok(mn_gguf_open(data_path(path), &in, &err), err);
    const gguf_edit edits[] = {EDIT_U32(used, (uint32_t)n_experts), EDIT_DROP(groups), EDIT_DROP(groups_used),
                               EDIT_U32(keys, TAPE_N_CTX),
                               EDIT_U32("deepseek4.hash_layer_count", 0)}; /* a table is of fewer experts */
    gguf_edit_write(in, all, NULL, edits, 5);
    mn_gguf_close(in);
    const char *f32 = tape_in_f32(all);
    unlink(all);
    return f32;
}

/* Deltas of short vectors that are made long bend much: there the steps are smaller. No choice is crossed, as all
 * experts are used. qwen35moe: its error is that of the bend down to 1e-3 (blk.0.attn_norm, 12 times less with half of
 * the step); from there on it is the rounding of the loss in f32, of either sign from one step to the next
 * (blk.0.ssm_alpha with AVX2's sums), which the allowance grows with as steps become shorter. */
static void routed_families(void **state) {
    (void)state;
    static const struct {
        const char *name, *arch; /* NULL: of that name */
        double width;
        int n_experts;
    } models[] = {{"qwen2moe", NULL, 2e-3, 8},      {"mimo2", NULL, 2e-3, 8},
                  {"glm4moe", NULL, 2e-3, 8},       {"qwen3next", NULL, 5e-4, 8},
                  {"granitehybrid", NULL, 2e-3, 8}, {"kimi-linear", NULL, 5e-4, 8},
                  {"llama4", NULL, 1e-3, 4},        {"minimax-m2", NULL, 2e-3, 8},
                  {"granitemoe", NULL, 2e-3, 8},    {"lfm2moe", NULL, 2e-3, 8},
                  {"qwen35moe", NULL, 3e-4, 8},     {"nemotron-h-moe", "nemotron_h_moe", 1e-3, 8},
                  {"gemma4moe", "gemma4", 1e-3, 8}, {"deepseek32", NULL, 1e-3, 8},
                  {"glm-dsa", NULL, 1e-3, 8}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        tape_case f;
        const char *name = models[i].name, *arch = models[i].arch ? models[i].arch : name;
        tape_open(&f, with_all_experts(name, arch, models[i].n_experts), NULL, 1);
        tape_check_set(&f, &f.parameters, name, models[i].width);
        tape_close(&f);
    }
}

static double mean_loss(tape_case *f) { return tape_differentiate(f, false); }

/* Where caps cut many values, a difference is good over short steps alone, for which a tensor moves along its gradient.
 */
static void capped_families(void **state) {
    (void)state;
    static const char *const names[] = {"gpt-oss", "step35", "deepseek4"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        tape_case f;
        tape_open(&f, with_all_experts(names[i], names[i], i < 2 ? 8 : 6), NULL, 1);
        tape_check_total(&f, mean_loss, names[i], 3e-5, 1e-2);
        tape_close(&f);
    }
}

/* Where an indexer leaves keys out, what comes behind all choices is what can be moved a little. */
static void chosen_keys(void **state) {
    (void)state;
    static const char *const names[] = {"deepseek32", "glm-dsa"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        tape_case f;
        char path[256], last[32];
        snprintf(path, sizeof path, "golden/tiny-%s.gguf", names[i]);
        tape_open(&f, tape_in_f32(data_path(path)), NULL, 1);
        const mn_config *c = &f.parameters.model.config;
        assert_true(c->indexer.top_k < TAPE_N_CTX);
        snprintf(last, sizeof last, "blk.%d.attn_", c->n_layers - 1);
        for (mn_parameter *p = f.parameters.items; p < f.parameters.items + f.parameters.n_items; p++) {
            bool behind = strstr(p->name, "_k_b.") || strstr(p->name, "_v_b.") || strstr(p->name, "_output.");
            p->frozen = strncmp(p->name, last, strlen(last)) || !behind;
        }
        tape_check_set(&f, &f.parameters, names[i], 1e-4);
        tape_close(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(routed_families), cmocka_unit_test(capped_families),
                                       cmocka_unit_test(chosen_keys)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
