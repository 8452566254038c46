/* mnemo init: a random model of a given shape. */
#include "base/human.h"
#include "cli/terminal.h"
#include "cli/options.h"
#include "cli/verbs.h"
#include "cli/writing.h"

#include "model/gguf_precision.h"
#include "model/gguf_random.h"
#include "model/random_family.h"

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
    const mn_random_family *family = mn_random_family_find(m->arch);
    if (!m->n_experts && family && family->routed) m->n_experts = 8;
    if (!m->n_experts_used && m->n_experts) m->n_experts_used = m->n_experts < 2 ? m->n_experts : 2;
    if (m->rope_base == 0) m->rope_base = !strncmp(m->arch, "qwen", 4) ? 1e6 : 1e4;
    m->seed = (uint64_t)args->seed;
    return -1;
}

int cmd_init(int argc, char **argv) {
    init_args args = {0};
    mn_random_model *m = &args.model;
    mn_error err;
    mn_text_list none;
    mn_random_summary summary;
    mn_human params, bytes;
    const mn_option options[] = {
        MN_OPTION_TEXT("arch", &m->arch, "NAME", "llama",
                       "llama mnemo qwen2 qwen3 gpt-oss gemma4 ...: nearly all of mnemo info --archs"),
        MN_OPTION_INT("layers", &m->n_layers, "N", NULL, 1, 10000, "layers"),
        MN_OPTION_INT("embd", &m->n_embd, "N", NULL, 1, INT32_MAX, "width of the residual stream"),
        MN_OPTION_INT("heads", &m->n_heads, "N", NULL, 1, INT32_MAX, "query heads"),
        MN_OPTION_INT("kv-heads", &m->n_kv_heads, "N", NULL, 1, INT32_MAX, "key-value heads (as many as query heads)"),
        MN_OPTION_INT("head-dim", &m->head_dim, "N", NULL, 1, INT32_MAX, "size of a head (embd / heads)"),
        MN_OPTION_INT("ff", &m->n_ff, "N", NULL, 1, INT32_MAX, "width of the MLP"),
        MN_OPTION_INT("experts", &m->n_experts, "N", NULL, 1, 65536,
                      "experts of each MLP (none; 8 where an architecture has them)"),
        MN_OPTION_INT("experts-used", &m->n_experts_used, "N", NULL, 1, 65536, "experts per token (2)"),
        MN_OPTION_INT("c ctx-size ctx", &m->n_ctx, "N", "4096", 1, INT32_MAX, "context length written into the file"),
        MN_OPTION_NUMBER("rope-freq-base rope-base", &m->rope_base, "X", NULL, 1, 1e12,
                         "base of RoPE (10000; qwen 1000000)"),
        MN_OPTION_FLAG("untied", &m->untied, "an output matrix of its own (the token table serves)"),
        MN_OPTION_TEXT("vocab-from", &args.vocab_path, "MODEL", NULL, "GGUF whose tokenizer is copied"),
        MN_OPTION_TEXT("type", &args.type_name, "TYPE", "f32", "type of the matrices"),
        MN_OPTION_INT("s seed", &args.seed, "N", "1", 0, 9e18, "the same seed gives the same file"),
        MN_OPTION_INT("t threads", &args.n_threads, "N", "0", 0, 1024, "threads; 0: one per core"),
        MN_OPTION_TEXT("o output", &args.out_path, "OUT", NULL, "model to write (GGUF)"),
        MN_OPTIONS_END,
    };
    const mn_usage usage = {
        .verb = "init",
        .synopsis = "--layers N --embd N --heads N --ff N --vocab-from MODEL -o OUT [options]",
        .about = "Writes a model of random weights that this and other engines load: where training, benches and tests "
                 "start.",
        .example =
            "mnemo init --arch llama --layers 16 --embd 1024 --heads 16 --kv-heads 8 --ff 4096 --vocab-from model.gguf "
            "-c 131072 --type q8_0 --seed 1 -o random.gguf",
        .options = options};
    int code = mn_options_parse(&usage, argc, argv, &none);
    if (code < 0) code = complete(&usage, &args);
    if (code >= 0) return code;
    if (init(&args, &summary, &err)) return mn_cli_fail("init", &err);
    mn_say("%s: %s parameters in %lld tensors, %s", args.out_path, mn_human_count(params, summary.n_params),
           (long long)summary.n_tensors, mn_human_bytes(bytes, summary.bytes));
    return MN_EXIT_DONE;
}
