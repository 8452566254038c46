/* Fuzz target: a model with a strange header (mutated_model.h) through what changes models: types of weights, heads,
 * small MLPs, experts, and the start of a training with a memory or without. The first byte of the input says which.
 */
#include <unistd.h>

#include "convert/heads.h"
#include "convert/small_mlp.h"
#include "convert/upcycle.h"
#include "fuzz/fuzz.h"
#include "fuzz/mutated_model.h"
#include "kernels/kernels.h"
#include "model/gguf_convert.h"
#include "train/model_file.h"
#include "train/parameters.h"

enum { MAX_LAYERS = 8, MAX_TENSORS = 256, MAX_FLOATS = 1 << 21 };

static const char *const models[] = {"llama",   "qwen2",  "qwen3",      "phi3",  "gemma3", "deepseek2", "mixtral",
                                     "gpt-oss", "mamba2", "starcoder2", "olmo2", "gpt2",   "mnemo"};

static void path_of(const char *name, char out[64]) {
    snprintf(out, 64, "/tmp/mnemo-fuzz-%ld-%s", (long)getpid(), name);
}

static bool is_small(const mn_model *m) {
    int64_t floats = 0;
    if (m->config.n_layers > MAX_LAYERS || mn_gguf_n_tensors(m->gguf) > MAX_TENSORS) return false;
    for (int64_t i = 0; i < mn_gguf_n_tensors(m->gguf); i++) {
        const mn_tensor *t = mn_gguf_tensor_at(m->gguf, i);
        floats += t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
    }
    return floats <= MAX_FLOATS;
}

static void change_types(const mn_gguf *g, unsigned n, const char *out) {
    static const mn_dtype types[] = {MN_F32, MN_F16, MN_BF16, MN_Q8_0, MN_Q4_0, MN_Q4_K, MN_Q6_K};
    mn_convert_summary summary;
    mn_error err;
    mn_gguf_convert(g, out, &(mn_make_params){.type = types[n % (sizeof types / sizeof *types)]}, &summary, &err);
}

static void change_heads(const mn_model *m, unsigned n, const char *out) {
    static const char *const heads[] = {"mqa", "gqa:2", "mla:16", "mla:24,rope=8", "mla:48"};
    mn_heads_wish wish = {.type = MN_DTYPE_COUNT, .regroup = n & 0x40};
    mn_moments moments;
    mn_error err;
    const char *method = n & 0x80 ? (n % 5 < 2 ? "first" : "mha2mla") : NULL;
    if (mn_heads_parse(heads[n % 5], method, &wish, &err)) abort();
    if (mn_heads_check(m, &wish, &err) || mn_moments_of_norms(m, &moments, &err)) return;
    mn_heads_write(m, &wish, &moments, out, &err);
    mn_moments_release(&moments);
}

static void add_small_mlps(const mn_compute *c, const mn_model *m, unsigned n, const char *out) {
    uint8_t in_layer[MAX_LAYERS];
    mn_small_report report;
    mn_error err;
    memset(in_layer, 1, sizeof in_layer);
    const mn_small_wish wish = {.divisor = 1 + n % 8, .in_layer = in_layer, .share = 0.5, .window = 8};
    mn_small_write(c, m, &wish, out, &report, &err);
}

static void add_experts(const mn_model *m, unsigned n, const char *out) {
    mn_error err;
    const mn_upcycle_wish wish = {
        .n_experts = 1 + (int)n % 4, .n_used = 1, .biased = n & 0x80, .noise = 0.1, .seed = 1, .type = MN_DTYPE_COUNT};
    mn_upcycle_write(m, &wish, out, &err);
}

/* As `mnemo train` and `finetune` begin: the file is looked at before a model is made of it. */
static void begin_training(const mutated_model *m, unsigned n, const char *out) {
    static const char *const settings[][2] = {{"window=64", "positions.scaling=none"},
                                              {"window=64", "memory.segment=32"},
                                              {"window=128", "positions.scaling=yarn"},
                                              {"window=64", "memory.taps=16"},
                                              {"window=64", "lora.rank=2"}};
    char in[64];
    mn_train_config c;
    mn_parameters parameters;
    mn_pool *pool = NULL;
    mn_error err;
    path_of("in", in);
    FILE *file = fopen(in, "wb");
    if (!file || fwrite(m->data, 1, m->bytes, file) != m->bytes || fclose(file)) abort();
    mn_train_config_init(&c);
    char from[80];
    snprintf(from, sizeof from, "model.from=%s", in);
    mn_train_config_set(&c, from, &err);
    for (int i = 0; i < 2; i++) mn_train_config_set(&c, settings[n % 5][i], &err);
    if (mn_pool_create(1, &pool, &err)) abort();
    if (!mn_start_model_write(&c, out, pool, &err) && !mn_parameters_open(out, &c, &parameters, &err))
        mn_parameters_close(&parameters);
    mn_pool_destroy(pool);
    mn_train_config_release(&c);
    unlink(in);
}

static void change_model(const mutated_model *m, unsigned kind, unsigned n, const char *out) {
    mn_gguf *gguf;
    mn_model *model = calloc(1, sizeof *model);
    mn_error err;
    mn_arena scratch = MN_ARENA_INIT;
    const mn_compute compute = {.kernels = mn_kernels_get(MN_CPU_GENERIC), .scratch = &scratch, .exact = true};
    if (model && !mn_gguf_parse("fuzz", m->data, m->bytes, &gguf, &err) && !mn_model_bind(gguf, model, &err)) {
        if (is_small(model)) {
            if (kind == 0) change_types(gguf, n, out);
            if (kind == 1) change_heads(model, n, out);
            if (kind == 2) add_small_mlps(&compute, model, n, out);
            if (kind == 3) add_experts(model, n, out);
        }
        mn_model_close(model);
    }
    mn_arena_release(&scratch);
    free(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    mutated_model m;
    char out[64];
    if (bytes < 3) return 0;
    path_of("out", out);
    if (!mutated_model_make(models, sizeof models / sizeof *models, data + 2, bytes - 2, &m)) return 0;
    if (data[0] % 6 < 4)
        change_model(&m, data[0] % 6, data[1], out);
    else
        begin_training(&m, data[1], out);
    unlink(out);
    free(m.data);
    return 0;
}
