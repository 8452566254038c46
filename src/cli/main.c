/* mnemo: the verb table. */
#include "cli/options.h"
#include "cli/verbs.h"

#include <stdio.h>
#include <string.h>

typedef struct verb {
    const char *name, *summary;
    mn_verb_fn *run;
} verb;

static const verb verbs[] = {
    {"run", "answer about a text", cmd_run},
    {"chat", "talk", cmd_chat},
    {"plan", "what a window costs in memory and time, and what would save it", cmd_plan},
    {"info", "what a model file holds, and what this processor offers", cmd_info},
    {"bench", "measure speed by depth of context, and the kernels", cmd_bench},
    {"attn", "show what an attention pattern looks like", cmd_attn},
    {"init", "write a random model of a given shape", cmd_init},
    {"convert", "write a model with its weights in another type", cmd_convert},
    {"tokenize", "show the token ids of a text", cmd_tokenize},
    {"detokenize", "turn token ids back into text", cmd_detokenize},
    {"logits", "write what the model computes after given tokens", cmd_logits},
    {"scaling", "what loss a size, a text and a budget will give; fit the law to your runs", cmd_scaling},
    {NULL, NULL, NULL},
};

static void print_help(void) {
    puts("mnemo: a long-context engine for language models\n\nusage: mnemo VERB ...\n");
    for (const verb *v = verbs; v->name; v++) printf("  %-12s %s\n", v->name, v->summary);
    puts("\nmnemo VERB --help tells more. Exit codes: 0 done, 1 failed, 2 wrong usage.");
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "--help";
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
        print_help();
        return argc > 1 ? MN_EXIT_DONE : MN_EXIT_USAGE;
    }
    if (!strcmp(name, "--version")) {
        puts("mnemo " MNEMO_VERSION);
        return MN_EXIT_DONE;
    }
    for (const verb *v = verbs; v->name; v++)
        if (!strcmp(v->name, name)) return v->run(argc - 1, argv + 1);
    fprintf(stderr, "mnemo: there is no verb \"%s\"; mnemo --help lists them.\n", name);
    return MN_EXIT_USAGE;
}
