/* What to say of an option that is not there. */
#include "base/nearest.h"
#include "cli/options.h"

#include <stdio.h>
#include <string.h>

/* Options of other programs that users of them type, and what they find here. */
static const struct foreign {
    const char *names, *sentence;
} foreign[] = {
    {"ngl gpu-layers n-gpu-layers gpulayers mg main-gpu sm split-mode ts tensor-split dev device ot override-tensor "
     "nkvo no-kv-offload cmoe cpu-moe ncmoe n-cpu-moe gpu-memory-utilization",
     "models run on the processor; leave it out"},
    {"fa flash-attn flashattention", "flash attention is always used; leave it out"},
    {"jinja no-jinja", "chat templates are always run as Jinja; leave it out"},
    {"mlock mmap no-mmap dio direct-io numa warmup no-warmup check-tensors prio poll cpu-mask",
     "model files are always mapped, and there is nothing to set; leave it out"},
    {"keep context-shift no-context-shift noshift",
     "nothing leaves the window by itself; --attn sinks:S,W keeps the first S tokens and the last W"},
    {"hf hfr hf-repo hff hf-file hft hf-token mu model-url dr docker-repo",
     "nothing is downloaded; name a file with -m"},
    {"cnv conversation no-cnv no-conversation st single-turn i interactive if interactive-first ins",
     "mnemo chat talks, and mnemo run answers once; leave it out"},
    {"co color simple-io no-display-prompt log-disable no-perf", "there is nothing to set; leave it out"},
    {"tb threads-batch", "one number of threads serves prompts and answers: -t"},
    {"max-model-len contextsize num-ctx max-seq-len context-length", "the window is -c"},
    {"max-tokens n-tokens max-new-tokens num-predict", "the length of an answer is -n"},
    {"kv-cache-dtype quantkv", "types of the KV cache are -ctk and -ctv"},
    {"ropeconfig rope hf-overrides", "positions are scaled by --rope-scaling and --rope-scale"},
    {"grammar-file", "a grammar is named by --grammar FILE"},
    {"j jf json-schema-file", "a schema is named by --json-schema FILE"},
    {"lora lora-scaled control-vector mm mmproj image audio md model-draft draft", "nothing here takes it"},
    {"typical mirostat mirostat-lr mirostat-ent dry-multiplier xtc-probability dynatemp-range top-n-sigma samplers "
     "sampling-seq",
     "tokens are drawn by --temp, --top-k, --top-p, --min-p and the penalties"},
    {"override-kv defrag-thold dt grp-attn-n gan swa-full cache-reuse cache-ram ctx-checkpoints",
     "there is nothing of it here"},
    {"system system-prompt-file", "a system prompt is -sys"},
    {"lv verbosity log-file", "-v says more, -q less"},
};

static bool holds_word(const char *words, const char *word) {
    size_t bytes = strlen(word);
    for (size_t n; *words; words += n + (words[n] == ' ')) {
        n = strcspn(words, " ");
        if (n == bytes && !memcmp(words, word, n)) return true;
    }
    return false;
}

static const char *sentence_of_foreign(const char *word) {
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (holds_word(foreign[i].names, word)) return foreign[i].sentence;
    return NULL;
}

bool mn_options_nearest(const mn_usage *u, const char *word, bool long_only, char out[MN_OPTION_NAME_BYTES]) {
    mn_option_walk walk = {.at = u->options};
    mn_nearest nearest = {.given = word};
    for (const mn_option *o; (o = mn_option_next(&walk));) {
        char name[MN_OPTION_NAME_BYTES];
        for (const char *at = o->names; mn_option_next_name(o, &at, name);) {
            const char *known = name + (name[1] == '-' ? 2 : 1);
            if ((name[1] == '-' || !long_only) && mn_nearest_try(&nearest, known))
                snprintf(out, MN_OPTION_NAME_BYTES, "%s", name);
        }
    }
    return nearest.best != NULL;
}

void mn_options_hint(const mn_usage *u, const char *given, char *out, size_t out_bytes) {
    char word[MN_OPTION_NAME_BYTES], nearest[MN_OPTION_NAME_BYTES];
    const char *begin = given + strspn(given, "-");
    int shown = (int)strcspn(given, "=");
    snprintf(word, sizeof word, "%.*s", (int)strcspn(begin, "="), begin);
    for (char *c = word; *c; c++)
        if (*c == '_') *c = '-';
    const char *sentence = sentence_of_foreign(word);
    int used = snprintf(out, out_bytes, "there is no option %.*s", shown < 100 ? shown : 100, given);
    out += used, out_bytes -= (size_t)used;
    if (sentence)
        snprintf(out, out_bytes, ": %s.", sentence);
    else if (mn_options_nearest(u, word, false, nearest))
        snprintf(out, out_bytes, "; is %s meant?", nearest);
    else
        snprintf(out, out_bytes, "; mnemo %s --help lists them.", u->verb);
}
