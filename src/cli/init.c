/* mnemo init: a random model of a given shape. */
#include "cli/human.h"
#include "cli/options.h"
#include "cli/verbs.h"
#include "cli/writing.h"

#include "model/gguf_precision.h"
#include "model/gguf_random.h"

#include <stdio.h>
#include <string.h>

typedef struct init_args {
    mn_random_model model;
    mn_dtype type;
    const char *type_name, *vocab_path, *out_path;
    int64_t seed, n_threads;
} init_args;

static mn_status init(const init_args *args, mn_random_summary *summary, mn_error *err) {
    mn_gguf *vocab = NULL;
    mn_pool *pool = NULL;
    mn_writing writing = {0};
    mn_status status = mn_gguf_open(args->vocab_path, &vocab, err);
    if (!status) status = mn_pool_create((int)args->n_threads, &pool, err);
    if (!status) {
        mn_make_params params = {args->type, pool, mn_writing_progress, &writing};
        status = mn_random_model_write(&args->model, vocab, args->out_path, &params, summary, err);
        mn_writing_end(&writing);
    }
    mn_pool_destroy(pool);
    mn_gguf_close(vocab);
    return status;
}

/* What was left open follows from the rest. Returns -1, or the exit code of a wrong usage. */
static int complete(const mn_usage *usage, init_args *args) {
    mn_random_model *m = &args->model;
    mn_error err;
    if (!args->vocab_path) return mn_cli_wrong(usage, "needs --vocab-from MODEL, whose tokenizer the new model gets.");
    if (!args->out_path) return mn_cli_wrong(usage, "needs -o OUT.");
    if (!m->n_layers || !m->n_embd || !m->n_heads || !m->n_ff)
        return mn_cli_wrong(usage, "needs the shape: --layers, --embd, --heads and --ff.");
    if (mn_precision_find(args->type_name, &args->type, &err)) return mn_cli_wrong(usage, err.text);
    if (!m->n_kv_heads) m->n_kv_heads = m->n_heads;
    if (!m->head_dim && m->n_embd % m->n_heads)
        return mn_cli_wrong(usage, "--embd is no multiple of --heads; give --head-dim.");
    if (!m->head_dim) m->head_dim = m->n_embd / m->n_heads;
    if (!m->n_experts_used && m->n_experts) m->n_experts_used = m->n_experts < 2 ? m->n_experts : 2;
    if (m->rope_base == 0) m->rope_base = !strncmp(m->arch, "qwen", 4) ? 1e6 : 1e4;
    m->seed = (uint64_t)args->seed;
    return -1;
}

int cmd_init(int argc, char **argv) {
    init_args args = {.model = {.arch = "llama", .n_ctx = 4096}, .type_name = "f32", .seed = 1};
    mn_random_model *m = &args.model;
    mn_error err;
    mn_text_list none;
    mn_random_summary summary;
    mn_human params, bytes;
    const mn_option options[] = {
        {"arch", MN_OPT_TEXT, &m->arch, "NAME", "llama mnemo qwen2 qwen3 (llama)", 0, 0},
        {"layers", MN_OPT_INT, &m->n_layers, "N", "layers", 1, 10000},
        {"embd", MN_OPT_INT, &m->n_embd, "N", "width of the residual stream", 1, INT32_MAX},
        {"heads", MN_OPT_INT, &m->n_heads, "N", "query heads", 1, INT32_MAX},
        {"kv-heads", MN_OPT_INT, &m->n_kv_heads, "N", "key-value heads (as many as query heads)", 1, INT32_MAX},
        {"head-dim", MN_OPT_INT, &m->head_dim, "N", "size of a head (embd / heads)", 1, INT32_MAX},
        {"ff", MN_OPT_INT, &m->n_ff, "N", "width of the MLP", 1, INT32_MAX},
        {"experts", MN_OPT_INT, &m->n_experts, "N", "experts of each MLP (none; llama only)", 1, 65536},
        {"experts-used", MN_OPT_INT, &m->n_experts_used, "N", "experts per token (2)", 1, 65536},
        {"ctx", MN_OPT_INT, &m->n_ctx, "N", "context length written into the file (4096)", 1, INT32_MAX},
        {"rope-base rope-freq-base", MN_OPT_NUMBER, &m->rope_base, "X", "base of RoPE (10000; qwen 1000000)", 1, 1e12},
        {"untied", MN_OPT_FLAG, &m->untied, NULL, "an output matrix of its own (the token table serves)", 0, 0},
        {"vocab-from", MN_OPT_TEXT, &args.vocab_path, "MODEL", "GGUF whose tokenizer is copied", 0, 0},
        {"type", MN_OPT_TEXT, &args.type_name, "TYPE", "type of the matrices (f32)", 0, 0},
        {"s seed", MN_OPT_INT, &args.seed, "N", "the same seed gives the same file (1)", 0, 9e18},
        {"t threads", MN_OPT_INT, &args.n_threads, "N", "threads (0: one per core)", 0, 1024},
        {"o output", MN_OPT_TEXT, &args.out_path, "OUT", "file to write", 0, 0},
        {NULL, MN_OPT_FLAG, NULL, NULL, NULL, 0, 0},
    };
    const mn_usage usage = {
        "init",
        "--layers N --embd N --heads N --ff N --vocab-from MODEL -o OUT [options]",
        "Writes a model of random weights that this and other engines load: where training, benches and tests start.",
        "mnemo init --arch llama --layers 16 --embd 1024 --heads 16 --kv-heads 8 --ff 4096 --vocab-from model.gguf "
        "--ctx 131072 --type q8_0 --seed 1 -o random.gguf",
        options,
        0,
        0};
    int code = mn_options_parse(&usage, argc, argv, &none);
    if (code < 0) code = complete(&usage, &args);
    if (code >= 0) return code;
    if (init(&args, &summary, &err)) return mn_cli_fail("init", &err);
    fprintf(stderr, "%s: %s parameters in %lld tensors, %s\n", args.out_path, mn_human_count(params, summary.n_params),
            (long long)summary.n_tensors, mn_human_bytes(bytes, summary.bytes));
    return MN_EXIT_DONE;
}
