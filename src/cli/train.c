/* mnemo train: pretrain a model, or go on with one, as a configuration says. */
#include "cli/options.h"
#include "cli/train_run.h"
#include "cli/verbs.h"

#include <stdio.h>

static bool list_keys, show_config;

static const mn_option options[] = {
    MN_OPTION_FLAG("keys", &list_keys, "list the keys of a configuration, with what they mean"),
    MN_OPTION_FLAG("show", &show_config, "print the configuration with all its keys, and train nothing"),
    MN_OPTIONS_END,
};

static const mn_usage usage = {
    .verb = "train",
    .synopsis = "CONFIG [KEY=VALUE]...",
    .about = "Trains a model as the file CONFIG says (docs/training.md; --keys lists what may stand in it). Each "
             "KEY=VALUE takes the place of a key of the file: steps=2000, lora.rank=8, source.books.weight=2. A "
             "training that was stopped goes on where its last checkpoint is.",
    .example = "mnemo train models/recipes/toy.ini steps=200",
    .options = options,
    .min_positional = 0,
    .max_positional = 64,
};

static mn_status configure(const mn_text_list *words, mn_train_config *config, mn_error *err) {
    mn_train_config_init(config);
    MN_TRY(mn_train_config_read(config, words->items[0], err));
    for (int i = 1; i < words->n; i++) MN_TRY(mn_train_config_set(config, words->items[i], err));
    return MN_OK;
}

static int print_keys(void) {
    mn_strbuf text = MN_STRBUF_INIT;
    mn_train_config_help(&text);
    fwrite(text.data, 1, text.bytes, stdout);
    mn_strbuf_release(&text);
    return MN_EXIT_DONE;
}

int cmd_train(int argc, char **argv) {
    mn_text_list words;
    mn_train_config config;
    mn_error err;
    int code = mn_options_parse(&usage, argc, argv, &words);
    if (code >= 0) return code;
    if (list_keys) return print_keys();
    if (words.n == 0) return mn_cli_wrong(&usage, "needs a configuration.");
    mn_status status = configure(&words, &config, &err);
    if (status == MN_OK && show_config)
        mn_train_show(&config);
    else if (status == MN_OK)
        status = mn_train_run(&config, &err);
    mn_train_config_release(&config);
    if (status == MN_ERR_CANCELLED) return MN_EXIT_DONE;
    return status == MN_OK ? MN_EXIT_DONE : mn_cli_fail("train", &err);
}
