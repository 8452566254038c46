/* mnemo finetune: a longer window for a model, and the training that it needs, in one command. It writes the
 * configuration that mnemo train reads, and runs it. */
#include "base/checked.h"
#include "base/strbuf.h"
#include "cli/model_file.h"
#include "cli/options.h"
#include "cli/train_run.h"
#include "cli/verbs.h"
#include "train/finetune.h"
#include "train/model_file.h"

#include <stdio.h>
#include <string.h>

static struct {
    const char *model, *out, *scaling, *lora, *targets, *type, *run;
    mn_text_list data;
    int64_t window, steps, batch, threads;
    double scale, freq_base, rate, max_minutes;
    bool shift, norms, embeddings, adapter, needles, show;
} given;

static const mn_option options[] = {
    MN_OPTION_TEXT("m model", &given.model, "FILE", NULL, "model to begin with (GGUF); the one that ships otherwise"),
    MN_OPTION_TEXTS("data", &given.data, "PATH", "text, .jsonl or a folder of them; may be repeated"),
    MN_OPTION_TEXT("o output out", &given.out, "OUT", NULL, "model to write (GGUF)"),
    MN_OPTION_INT("c ctx-size", &given.window, "N", "0", 0, INT32_MAX, "window in tokens; 0: the model's"),
    MN_OPTION_HEADING("positions"),
    MN_OPTION_TEXT("rope-scaling", &given.scaling, "NAME", NULL, "yarn linear ntk none (yarn for a longer window)"),
    MN_OPTION_NUMBER("rope-scale", &given.scale, "S", NULL, 1, 1e6, "factor (the window / the window trained)"),
    MN_OPTION_NUMBER("rope-freq-base", &given.freq_base, "B", NULL, 1, 1e12, "base of the frequencies (the model's)"),
    MN_OPTION_HEADING("what is trained"),
    MN_OPTION_TEXT("lora", &given.lora, "R[,ALPHA]", NULL, "adapters of rank R; the model stays as it is stored"),
    MN_OPTION_TEXT("targets", &given.targets, "LIST", NULL, "of q k v o gate up down output (q,k,v,o)"),
    MN_OPTION_FLAG("norms", &given.norms, "with --lora: norms too (LongLoRA)"),
    MN_OPTION_FLAG("embeddings", &given.embeddings, "with --lora: the token table too (LongLoRA)"),
    MN_OPTION_FLAG("adapter", &given.adapter, "with --lora: write the adapters, not the model with them in it"),
    MN_OPTION_FLAG("shift-attn", &given.shift, "LongLoRA's shifted sparse attention while training"),
    MN_OPTION_HEADING("training"),
    MN_OPTION_FLAG("needles", &given.needles, "mix in questions about facts hidden in the texts"),
    MN_OPTION_INT("steps", &given.steps, "N", "100", 1, 1e12, "steps"),
    MN_OPTION_INT("batch", &given.batch, "N", NULL, 1, 65536, "windows in a step (8192 tokens of them)"),
    MN_OPTION_NUMBER("rate", &given.rate, "X", NULL, 0, 10, "learning rate (by the model's width)"),
    MN_OPTION_NUMBER("max-minutes", &given.max_minutes, "M", NULL, 0, 1e6, "stop with a checkpoint after M minutes"),
    MN_OPTION_INT("t threads", &given.threads, "N", "0", 0, 1024, "threads; 0: one per core"),
    MN_OPTION_TEXT("type", &given.type, "TYPE", NULL, "of the matrices written (f16; merged adapters: the model's)"),
    MN_OPTION_TEXT("run", &given.run, "DIR", NULL, "folder of checkpoint, log and curve (OUT.run)"),
    MN_OPTION_FLAG("show", &given.show, "print the configuration, for mnemo train, and train nothing"),
    MN_OPTIONS_END,
};

static const mn_usage usage = {
    .verb = "finetune",
    .synopsis = "[-m MODEL] --data PATH... -c N -o OUT [KEY=VALUE]...",
    .about = "Extends a model's window to N tokens and trains it there, or trains it on a text in the window it has. "
             "What is written says how its positions are scaled, so that other engines run it too. Words that are no "
             "options are paths of data or, with a =, keys of a configuration (mnemo train --keys). Stopped, the same "
             "command goes on.",
    .example = "mnemo finetune -m models/default.gguf --data book.txt -c 8192 --lora 8 -o long.gguf",
    .options = options,
    .min_positional = 0,
    .max_positional = MN_MAX_TEXTS,
};

static mn_status set_number(mn_train_config *c, const char *key, double value, mn_error *err) {
    char text[40];
    snprintf(text, sizeof text, "%.17g", value);
    return value > 0 ? mn_train_config_set_key(c, key, text, err) : MN_OK;
}

static mn_status set_flag(mn_train_config *c, const char *key, bool value, mn_error *err) {
    return mn_train_config_set_key(c, key, value ? "true" : NULL, err);
}

static mn_status set_lora(mn_train_config *c, mn_error *err) {
    char rank[64];
    if (!given.lora) return MN_OK;
    const char *comma = strchr(given.lora, ',');
    snprintf(rank, sizeof rank, "%.*s", (int)strcspn(given.lora, ","), given.lora);
    MN_TRY(mn_train_config_set_key(c, "lora.rank", rank, err));
    if (comma) MN_TRY(mn_train_config_set_key(c, "lora.alpha", comma + 1, err));
    MN_TRY(mn_train_config_set_key(c, "lora.targets", given.targets, err));
    MN_TRY(set_flag(c, "lora.norms", given.norms, err));
    MN_TRY(set_flag(c, "lora.embeddings", given.embeddings, err));
    return set_flag(c, "lora.merge", !given.adapter, err);
}

/* What decides the defaults comes first, then these, then all else that was said. */
static mn_status set_all(mn_train_config *c, const mn_config *model, mn_error *err) {
    MN_TRY(mn_train_config_set_key(c, "model.from", given.model, err));
    MN_TRY(mn_train_config_set_key(c, "train.out", given.out, err));
    MN_TRY(mn_train_config_set_key(c, "train.run", given.run, err));
    MN_TRY(set_number(c, "train.window", (double)(given.window ? given.window : model->n_ctx_train), err));
    MN_TRY(set_number(c, "train.steps", (double)given.steps, err));
    MN_TRY(mn_train_config_set_key(c, "positions.scaling", given.scaling, err));
    MN_TRY(set_number(c, "positions.scale", given.scale, err));
    MN_TRY(set_number(c, "positions.freq-base", given.freq_base, err));
    MN_TRY(mn_finetune_defaults(model, given.lora ? MN_FINETUNE_LORA : MN_FINETUNE_ALL, c, err));
    MN_TRY(set_lora(c, err));
    if (given.shift) MN_TRY(mn_finetune_shift(c, err));
    MN_TRY(set_number(c, "train.batch", (double)given.batch, err));
    MN_TRY(set_number(c, "train.rate", given.rate, err));
    MN_TRY(set_number(c, "train.max-minutes", given.max_minutes, err));
    MN_TRY(set_number(c, "train.threads", (double)given.threads, err));
    return mn_train_config_set_key(c, "train.type", given.type, err);
}

static void add_path(mn_strbuf *paths, const char *path) {
    const char *quote = strchr(path, ' ') ? "\"" : "";
    mn_strbuf_printf(paths, "%s%s%s%s", paths->bytes ? " " : "", quote, path, quote);
}

/* --data, and the words without a =; then the words with one. */
static mn_status set_data(mn_train_config *c, const mn_text_list *words, mn_error *err) {
    mn_strbuf paths = MN_STRBUF_INIT;
    for (int i = 0; i < given.data.n; i++) add_path(&paths, given.data.items[i]);
    for (int i = 0; i < words->n; i++)
        if (!strchr(words->items[i], '=')) add_path(&paths, words->items[i]);
    mn_status status = paths.failed ? mn_fail(err, MN_ERR_MEMORY, "no memory for the names of the data.")
                                    : mn_finetune_sources(paths.data, given.needles, c, err);
    for (int i = 0; i < words->n && status == MN_OK; i++)
        if (strchr(words->items[i], '=')) status = mn_train_config_set(c, words->items[i], err);
    mn_strbuf_release(&paths);
    return status;
}

static mn_status configure(const mn_text_list *words, mn_train_config *c, mn_error *err) {
    mn_gguf *gguf;
    mn_config model;
    mn_train_config_init(c);
    MN_TRY(mn_model_file_find(&given.model, err));
    MN_TRY(mn_gguf_open(given.model, &gguf, err));
    mn_status status = mn_config_read(gguf, &model, err);
    if (status == MN_OK) status = set_all(c, &model, err);
    mn_gguf_close(gguf);
    return status == MN_OK ? set_data(c, words, err) : status;
}

/* What is wrong with the words, or NULL. */
static const char *wrong_words(const mn_text_list *words) {
    int n_paths = given.data.n;
    for (int i = 0; i < words->n; i++) n_paths += !strchr(words->items[i], '=');
    if (!given.out) return "needs -o OUT, the model to write.";
    if (n_paths == 0) return "needs --data PATH, what to learn from.";
    if (!given.lora && (given.adapter || given.norms || given.embeddings || given.targets))
        return "--targets, --norms, --embeddings and --adapter go with --lora R.";
    if (given.adapter && (given.norms || given.embeddings))
        return "norms and embeddings have no place in a file of adapters: leave out --adapter.";
    return NULL;
}

int cmd_finetune(int argc, char **argv) {
    mn_text_list words;
    mn_train_config config;
    mn_error err;
    int code = mn_options_parse(&usage, argc, argv, &words);
    if (code >= 0) return code;
    const char *wrong = wrong_words(&words);
    if (wrong) return mn_cli_wrong(&usage, wrong);
    mn_status status = configure(&words, &config, &err);
    if (status == MN_OK && given.show)
        mn_train_show(&config);
    else if (status == MN_OK)
        status = mn_train_run(&config, &err);
    if (status == MN_OK && given.adapter && !given.show)
        fprintf(stderr, "The adapters belong to %s%s/start.gguf, the model with its positions as they were trained.\n",
                config.run ? config.run : config.out, config.run ? "" : ".run");
    mn_train_config_release(&config);
    if (status == MN_ERR_CANCELLED) return MN_EXIT_DONE;
    return status == MN_OK ? MN_EXIT_DONE : mn_cli_fail("finetune", &err);
}
