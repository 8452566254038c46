/* mnemo convert: the same model with its weights in another type, with adapters merged into them, or changed. */
#include "base/human.h"
#include "base/strbuf.h"
#include "cli/convert.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "cli/writing.h"

#include "model/gguf_convert.h"
#include "session/adapters.h"
#include "train/lora_merge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "18 tensors q4_k, 4 q8_0, 9 kept; 775 KiB -> 225 KiB" */
static void print_summary(const char *out, mn_dtype type, const mn_convert_summary *s) {
    mn_human before, after;
    mn_strbuf types = MN_STRBUF_INIT;
    for (int i = 0; i < MN_DTYPE_COUNT; i++)
        if (s->n_by_type[i])
            mn_strbuf_printf(&types, " %lld tensors %s,", (long long)s->n_by_type[i], mn_dtype_get(i)->name);
    mn_say("%s:%s %lld kept as they were; %s -> %s", out, types.data, (long long)s->n_kept,
           mn_human_bytes(before, s->bytes_in), mn_human_bytes(after, s->bytes_out));
    mn_strbuf_release(&types);
    if (s->n_fallback)
        mn_say("%lld tensors have rows that are no multiple of %d values, the block of %s, and took the next type "
               "that fits.",
               (long long)s->n_fallback, mn_dtype_get(type)->block_elems, mn_dtype_get(type)->name);
}

static mn_status convert(const char *in_path, const char *out_path, mn_dtype type, int n_threads, mn_error *err) {
    mn_gguf *in = NULL;
    mn_pool *pool = NULL;
    mn_convert_summary summary;
    mn_writing writing = {0};
    mn_status status = mn_gguf_open(in_path, &in, err);
    if (!status) status = mn_pool_create(n_threads, &pool, err);
    if (!status) {
        mn_make_params params = {type, pool, mn_writing_progress, &writing};
        status = mn_gguf_convert(in, out_path, &params, &summary, err);
        mn_writing_end(&writing);
    }
    if (!status) print_summary(out_path, type, &summary);
    mn_pool_destroy(pool);
    mn_gguf_close(in);
    return status;
}

/* With adapters added to the matrices; in the types of IN when type is MN_DTYPE_COUNT. */
static mn_status merge(const char *in_path, const char *out_path, const char *lora, mn_dtype type, int n_threads,
                       mn_error *err) {
    mn_model model = {0};
    mn_adapters adapters = {0};
    mn_key_changes none = {0};
    mn_pool *pool = NULL;
    mn_status status = mn_model_open(in_path, &model, err);
    if (status) return status;
    status = mn_adapters_open(lora, &model, &adapters, err);
    if (!status) status = mn_pool_create(n_threads, &pool, err);
    if (!status) status = mn_lora_merge(&model, out_path, &none, type, pool, err);
    for (int i = 0; !status && i < adapters.n; i++)
        mn_say("%s: %d matrices of %s added, times %g", out_path, adapters.items[i].n_matrices,
               mn_gguf_path(adapters.items[i].gguf), (double)adapters.items[i].scale);
    mn_pool_destroy(pool);
    mn_model_close(&model);
    mn_adapters_close(&adapters);
    return status;
}

static mn_change_order order;
static mn_heads_options heads;
static mn_small_options small;
static mn_expert_options experts = {.noise = -1, .seed = -1};

/* The words behind IN OUT: the number of healing's steps, and settings of its training. What is wrong with them, or
 * NULL. */
static const char *read_words(const mn_text_list *words) {
    static const char *settings[MN_MAX_TEXTS];
    order.settings = settings;
    for (int i = 2; i < words->n; i++) {
        const char *word = words->items[i];
        char *end;
        if (strchr(word, '=')) {
            settings[order.n_settings++] = word;
            continue;
        }
        order.n_steps = strtoll(word, &end, 10);
        if (*end || order.n_steps < 1) return "the steps of --heal DATA STEPS are a number above 0.";
    }
    if (words->n > 2 && !order.heal) return "takes IN and OUT; more words are for --heal.";
    if (order.heal && order.n_steps == 0) return "--heal DATA STEPS needs its number of steps.";
    return NULL;
}

/* What is wrong with options that stand together, or NULL. */
static const char *wrong_options(const char *type, const char *lora) {
    bool changes = heads.wish || small.wish || experts.wish;
    if (!type && !lora && !changes)
        return "needs --type TYPE, adapters to merge (--merge-lora), --mlp-router N, --experts N,K, or other heads "
               "(--heads).";
    if (experts.wish && (lora || small.wish || heads.wish))
        return "makes one change at a time; convert the file that --experts made once more.";
    if (small.wish && (type || lora || heads.wish))
        return "makes one change at a time; convert the file that --mlp-router made once more.";
    if (heads.wish && lora) return "adapters belong to the heads they were trained for: merge them first, alone.";
    if (!heads.wish && (heads.method || heads.regroup)) return "--method and --regroup go with --heads.";
    if (heads.regroup && !strncmp(heads.wish, "mla", 3))
        return "--regroup puts heads into groups, and mla makes one latent row of all: leave it out.";
    if (!changes && (order.calibrate || order.heal))
        return "--calibrate and --heal go with --heads, --mlp-router or --experts.";
    if (order.needles && !order.heal) return "--needles goes with --heal.";
    if (!small.wish && small.n_tokens) return "--calibrate-tokens goes with --mlp-router; give N, or leave it out.";
    if (!small.wish && small.share > 0) return "--router-share goes with --mlp-router; give N, or leave it out.";
    if (!experts.wish && experts.noise >= 0) return "--expert-noise goes with --experts; give N,K, or leave it out.";
    if (!experts.wish && experts.seed >= 0) return "--expert-seed goes with --experts; give N,K, or leave it out.";
    return NULL;
}

/* Options that belong to a change have values that nobody can give until they are read, to tell what was given. */
static void take_standards(void) {
    if (!small.n_tokens) small.n_tokens = 4096;
    if (small.share <= 0) small.share = 0.5;
    if (experts.noise < 0) experts.noise = 0.01;
    if (experts.seed < 0) experts.seed = 1;
}

static const char about[] =
    "Writes the model IN to OUT with its weights in another type. Norms and other small tensors stay as they are; the "
    "token table and the output matrix stay at q6_k or better; rows that do not fit a type's blocks take one that "
    "fits. With --merge-lora, adapters are added to the matrices that they adapt (each is computed in f32); without "
    "--type all weights keep their types, but for adapted ones in a type that is only read (q5_k), which get q6_k. "
    "With --mlp-router the model gets small MLPs that easy tokens take instead of "
    "the large ones, with --experts copies of each MLP of which a router chooses some (docs/techniques/routing.md).\n\n"
    "With --heads the model gets heads that leave less in the KV cache: fewer key and value heads (gqa:G, mqa), or one "
    "latent row for all (mla:RANK, of R rotated dimensions besides; a deepseek2 file).\n\n"
    "Of these three changes, what a token leaves in the KV cache and the perplexity of --calibrate are printed before "
    "anything is written, and the perplexity once more when --heal DATA STEPS has trained the model to say what IN "
    "says (of small MLPs and their routers alone, unless router.only=false).";

/* Does what was asked for; type MN_DTYPE_COUNT: weights keep theirs. */
static mn_status carry_out(mn_dtype type, const char *lora, int n_threads, mn_error *err) {
    order.type = type;
    order.n_threads = n_threads;
    if (heads.wish) return mn_convert_heads(&order, &heads, err);
    if (experts.wish) return mn_convert_experts(&order, &experts, err);
    if (small.wish) return mn_convert_small(&order, &small, err);
    if (lora) return merge(order.in, order.out, lora, type, n_threads, err);
    return convert(order.in, order.out, type, n_threads, err);
}

int cmd_convert(int argc, char **argv) {
    const char *type_name = NULL, *lora = NULL;
    int64_t n_threads = 0;
    mn_dtype type = MN_DTYPE_COUNT;
    mn_error err;
    mn_text_list paths;
    const mn_option options[] = {
        MN_OPTION_TEXT("type", &type_name, "TYPE", NULL,
                       "f32 f16 bf16 q8_0 q4_0 q4_1 q5_0 q5_1 q4_k q6_k q3_k q2_k iq4_nl iq4_xs mxfp4"),
        MN_OPTION_TEXT("merge-lora", &lora, "FILES", NULL, "adapters to add to the weights: FILE or FILE=SCALE,..."),
        MN_OPTION_INT("t threads", &n_threads, "N", "0", 0, 1024, "threads; 0: one per core"),
        MN_OPTION_HEADING("small MLPs for easy tokens"),
        MN_OPTION_TEXT("mlp-router", &small.wish, "N", NULL,
                       "beside each MLP one of 1/N of its units (2, 1.5), and a router; for some layers N,2-5"),
        MN_OPTION_INT("calibrate-tokens", &small.n_tokens, "N", NULL, 2, 1e9,
                      "of the calibration text at most, to pick units and fit routers (4096)"),
        MN_OPTION_NUMBER("router-share", &small.share, "S", NULL, 0.01, 0.99,
                         "of its tokens that are to be easy (0.5)"),
        MN_OPTION_HEADING("experts"),
        MN_OPTION_TEXT("experts", &experts.wish, "N", NULL,
                       "N,K: copy each MLP to N experts, of which a token uses K; N,K,bias: with biases that balance"),
        MN_OPTION_NUMBER("expert-noise", &experts.noise, "X", NULL, 0, 10, "noise in each copy, as a share (0.01)"),
        MN_OPTION_INT("expert-seed", &experts.seed, "N", NULL, 0, 1e12, "of noise and routers (1)"),
        MN_OPTION_HEADING("heads that cache less"),
        MN_OPTION_TEXT("heads", &heads.wish, "HEADS", NULL, "gqa:G mqa mla:RANK[,rope=R]"),
        MN_OPTION_TEXT("method", &heads.method, "NAME", NULL,
                       "gqa, mqa: mean (standard) first; mla: transmla (standard) mha2mla"),
        MN_OPTION_FLAG("regroup", &heads.regroup, "gqa: heads with similar keys make a group, not neighbours"),
        MN_OPTION_HEADING("what a change costs, and healing"),
        MN_OPTION_TEXT("calibrate", &order.calibrate, "FILE", NULL,
                       "a text by which heads are changed or units picked and routers fitted, and what it costs "
                       "measured"),
        MN_OPTION_TEXT("heal", &order.heal, "DATA", NULL,
                       "train STEPS on DATA (text, .jsonl or a folder) with IN as the teacher; KEY=VALUE sets the "
                       "training (mnemo train --keys)"),
        MN_OPTION_FLAG("needles", &order.needles, "heal: mix in questions about facts hidden in the texts"),
        MN_OPTIONS_END,
    };
    const mn_usage usage = {
        .verb = "convert",
        .synopsis = "IN OUT [--type TYPE] [--merge-lora FILE[=SCALE],...] [--mlp-router N] [--experts N,K] "
                    "[--heads HEADS]",
        .about = about,
        .example = "mnemo convert model-f16.gguf model-q8.gguf --type q8_0",
        .options = options,
        .min_positional = 2,
        .max_positional = MN_MAX_TEXTS,
    };
    int code = mn_options_parse(&usage, argc, argv, &paths);
    if (code >= 0) return code;
    const char *wrong = wrong_options(type_name, lora);
    if (!wrong) wrong = read_words(&paths);
    if (wrong) return mn_cli_wrong(&usage, wrong);
    if (type_name && mn_precision_find(type_name, &type, &err)) return mn_cli_wrong(&usage, err.text);
    take_standards();
    order.in = paths.items[0];
    order.out = paths.items[1];
    mn_status status = carry_out(type, lora, (int)n_threads, &err);
    if (status == MN_ERR_CANCELLED) return MN_EXIT_DONE;
    if (status == MN_ERR_ARGUMENT && (small.wish || experts.wish)) return mn_cli_wrong(&usage, err.text);
    return status == MN_OK ? MN_EXIT_DONE : mn_cli_fail("convert", &err);
}
