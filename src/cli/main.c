/* mnemo: the verb table. */
#include "base/nearest.h"
#include "cli/options.h"
#include "cli/signals.h"
#include "cli/streams.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

#include <stdio.h>
#include <string.h>

typedef struct verb {
    const char *name, *summary;
    mn_verb_fn *run;
} verb;

static mn_verb_fn cmd_help, cmd_version;

static const verb verbs[] = {
    {"run", "answer about a text", cmd_run},
    {"chat", "talk", cmd_chat},
    {"read", "texts as a graph of facts, and questions to it", cmd_read},
    {"agent", "a conversation that never runs out, and what it remembers", cmd_agent},
    {"embed", "vectors of texts", cmd_embed},
    {"mcp", "offer graph and memory to other programs as tools", cmd_mcp},
    {"plan", "what a window costs in memory and time, and what would save it", cmd_plan},
    {"info", "what a model file holds, and what this processor offers", cmd_info},
    {"bench", "measure speed by depth of context, and the kernels", cmd_bench},
    {"eval", "measure how much of a long text a model really uses", cmd_eval},
    {"attn", "show what an attention pattern looks like", cmd_attn},
    {"init", "write a random model of a given shape", cmd_init},
    {"convert", "write a model with its weights in another type", cmd_convert},
    {"train", "train a model as a configuration says", cmd_train},
    {"finetune", "extend a model's window and train it there", cmd_finetune},
    {"tokenize", "show the token ids of a text", cmd_tokenize},
    {"detokenize", "turn token ids back into text", cmd_detokenize},
    {"logits", "write what the model computes after given tokens", cmd_logits},
    {"scaling", "what loss a size, a text and a budget will give; fit the law to your runs", cmd_scaling},
    {"help", "explain a verb: mnemo help VERB", cmd_help},
    {"version", "print the version", cmd_version},
    {NULL, NULL, NULL},
};

static void print_help(FILE *out) {
    int columns = mn_terminal_columns(out);
    mn_print_line(out, 0, "mnemo: a long-context engine for language models\n\nusage: mnemo VERB ...\n");
    for (const verb *v = verbs; v->name; v++) {
        fprintf(out, "  %-12s ", v->name);
        mn_print_folded(out, v->summary, 15, 15, columns);
        fputc('\n', out);
    }
    fputc('\n', out);
    mn_print_folded(out, "mnemo VERB --help tells more. Exit codes: 0 done, 1 failed, 2 wrong usage.", 0, 0, columns);
    fputc('\n', out);
}

static const verb *find(const char *name) {
    for (const verb *v = verbs; v->name; v++)
        if (!strcmp(v->name, name)) return v;
    return NULL;
}

static int no_verb(const char *name) {
    mn_nearest nearest = {.given = name};
    size_t n = strlen(name);
    for (const verb *v = verbs; v->name; v++) mn_nearest_try(&nearest, v->name);
    if (name[0] == '-')
        mn_say("mnemo: the verb comes first, as in mnemo run %s ...; mnemo --help lists them.", name);
    else if (n > 5 && !strcmp(name + n - 5, ".gguf"))
        mn_say("mnemo: the verb comes first, as in mnemo run %s -p PROMPT; mnemo --help lists them.", name);
    else if (nearest.best)
        mn_say("mnemo: there is no verb \"%s\"; is %s meant? mnemo --help lists them.", name, nearest.best);
    else
        mn_say("mnemo: there is no verb \"%s\"; mnemo --help lists them.", name);
    return MN_EXIT_USAGE;
}

/* mnemo help VERB [SUBCOMMAND] is mnemo VERB [SUBCOMMAND] --help. */
static int cmd_help(int argc, char **argv) {
    static const mn_option options[] = {MN_OPTIONS_END};
    static const mn_usage usage = {.verb = "help",
                                   .synopsis = "[VERB [SUBCOMMAND]]",
                                   .about = "Explains a verb, or lists them all.",
                                   .example = "mnemo help run",
                                   .options = options,
                                   .max_positional = 2};
    static char flag[] = "--help";
    mn_text_list words;
    int code = mn_options_parse(&usage, argc, argv, &words);
    if (code >= 0) return code;
    if (words.n == 0) {
        print_help(stdout);
        return MN_EXIT_DONE;
    }
    const verb *v = find(words.items[0]);
    char *asked[] = {(char *)words.items[0], words.n > 1 ? (char *)words.items[1] : flag, words.n > 1 ? flag : NULL,
                     NULL};
    return v ? v->run(words.n + 1, asked) : no_verb(words.items[0]);
}

static int cmd_version(int argc, char **argv) {
    static const mn_option options[] = {MN_OPTIONS_END};
    static const mn_usage usage = {.verb = "version",
                                   .synopsis = "",
                                   .about = "Prints the version.",
                                   .example = "mnemo version",
                                   .options = options};
    mn_text_list none;
    int code = mn_options_parse(&usage, argc, argv, &none);
    if (code >= 0) return code;
    puts("mnemo " MNEMO_VERSION);
    return MN_EXIT_DONE;
}

static int run(int argc, char **argv) {
    if (argc < 2) {
        print_help(stderr);
        return MN_EXIT_USAGE;
    }
    const char *name = argv[1];
    if (!strcmp(name, "--help") || !strcmp(name, "-h")) name = "help";
    if (!strcmp(name, "--version") || !strcmp(name, "-V")) name = "version";
    const verb *v = find(name);
    return v ? v->run(argc - 1, argv + 1) : no_verb(name);
}

int main(int argc, char **argv) {
    mn_error err;
    mn_streams_start();
    mn_signals_start();
    int code = run(argc, argv);
    if (mn_streams_finish(&err) && code == MN_EXIT_DONE) code = mn_cli_fail(argc > 1 ? argv[1] : "", &err);
    return code;
}
