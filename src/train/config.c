#include "train/config.h"

#include "base/checked.h"
#include "base/file.h"

#include <errno.h>
#include <ini.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LINE = 190, MAX_FILE_BYTES = 1 << 20, SECTION_BYTES = 2 * MN_NAME_BYTES };

typedef enum key_type {
    KEY_TEXT,
    KEY_ESCAPED, /* a text in which \n is a line end and \\ a backslash */
    KEY_PATHS,   /* a list with blanks between, "..." around what holds blanks; further lines of a file add to it */
    KEY_INT,
    KEY_NUMBER,
    KEY_BOOL,
    KEY_CHOICE
} key_type;

typedef struct key {
    const char *section, *name;
    key_type type;
    size_t offset; /* in the config, the group or the source */
    const char *standard;
    double min, max;
    const char *choices; /* of KEY_CHOICE, in the order of the enum */
    const char *help;
} key;

#define CONFIG(field) offsetof(mn_train_config, field)
#define GROUP(field) offsetof(mn_train_group, field)
#define SOURCE(field) offsetof(mn_source_config, field)
#define MEMORY(field) offsetof(mn_train_config, memory.field)
#define ROUTER(field) offsetof(mn_train_config, router.field)
#define FIT(field) offsetof(mn_train_config, gate_fit.field)
#define ROLE(base, role) ((base) + (role) * sizeof(double))

static const key keys[] = {
    {"model", "from", KEY_TEXT, CONFIG(from), "", 0, 0, NULL,
     "model to go on from (GGUF); else a new one of this shape:"},
    {"model", "vocab-from", KEY_TEXT, CONFIG(vocab_from), "", 0, 0, NULL,
     "tokenizer: a GGUF or a SentencePiece .model"},
    {"model", "name", KEY_TEXT, CONFIG(name), "", 0, 0, NULL, "general.name of what is written"},
    {"model", "ask-template", KEY_ESCAPED, CONFIG(ask_template), "", 0, 0, NULL,
     "how a document and a prompt become text: {document} {prompt}, \\n for a line end"},
    {"model", "arch", KEY_TEXT, CONFIG(arch), "llama", 0, 0, NULL, "llama mnemo qwen2 qwen3"},
    {"model", "layers", KEY_INT, CONFIG(layers), "0", 0, 10000, NULL, "layers"},
    {"model", "embd", KEY_INT, CONFIG(embd), "0", 0, 1 << 20, NULL, "width of the residual stream"},
    {"model", "heads", KEY_INT, CONFIG(heads), "0", 0, 65536, NULL, "query heads"},
    {"model", "kv-heads", KEY_INT, CONFIG(kv_heads), "0", 0, 65536, NULL,
     "key-value heads (0: as many as query heads)"},
    {"model", "head-dim", KEY_INT, CONFIG(head_dim), "0", 0, 65536, NULL, "size of a head (0: embd / heads)"},
    {"model", "ff", KEY_INT, CONFIG(ff), "0", 0, 1 << 20, NULL, "width of the MLP"},
    {"model", "experts", KEY_INT, CONFIG(experts), "0", 0, 65536, NULL, "experts of each MLP (0: dense)"},
    {"model", "experts-used", KEY_INT, CONFIG(experts_used), "2", 1, 65536, NULL, "experts per token"},
    {"model", "rope-base", KEY_NUMBER, CONFIG(rope_base), "10000", 1, 1e12, NULL, "base of RoPE"},
    {"model", "previous-token-heads", KEY_INT, CONFIG(previous_token_heads), "0", 0, 65536, NULL,
     "heads of layer 0 that start by looking 1, 2, ... tokens back (llama mnemo)"},
    {"model", "sinks", KEY_BOOL, CONFIG(sinks), "false", 0, 0, NULL,
     "a learned score in each head's softmax that has no value (mnemo)"},
    {"model", "untied", KEY_BOOL, CONFIG(untied), "false", 0, 0, NULL, "an output matrix of its own"},

    {"positions", "scaling", KEY_TEXT, CONFIG(rope_scaling), "", 0, 0, NULL, "none linear ntk yarn (the model's)"},
    {"positions", "scale", KEY_NUMBER, CONFIG(rope_scale), "0", 0, 1e6, NULL, "factor (0: window / trained window)"},
    {"positions", "freq-base", KEY_NUMBER, CONFIG(rope_freq_base), "0", 0, 1e12, NULL, "base of RoPE (0: the model's)"},
    {"positions", "orig-ctx", KEY_INT, CONFIG(rope_orig_ctx), "0", 0, INT32_MAX, NULL,
     "trained window (0: the model's)"},
    {"positions", "attn", KEY_TEXT, CONFIG(attn), "", 0, 0, NULL,
     "attention pattern while training, as window:256 (mnemo attn list); none that looks at queries"},

    {"train", "out", KEY_TEXT, CONFIG(out), "", 0, 0, NULL, "GGUF to write"},
    {"train", "run", KEY_TEXT, CONFIG(run), "", 0, 0, NULL, "folder of checkpoint, log, curve and card (OUT.run)"},
    {"train", "type", KEY_TEXT, CONFIG(type), "", 0, 0, NULL,
     "type of the matrices written (f16; of adapters merged: what the model has)"},
    {"train", "window", KEY_INT, CONFIG(window), "512", 8, INT32_MAX, NULL, "tokens of a training window"},
    {"train", "batch", KEY_INT, CONFIG(batch), "8", 1, 65536, NULL, "windows at once"},
    {"train", "accumulate", KEY_INT, CONFIG(accumulate), "1", 1, 65536, NULL, "batches whose gradients make one step"},
    {"train", "steps", KEY_INT, CONFIG(steps), "1000", 0, 1e12, NULL, "steps in all"},
    {"train", "max-minutes", KEY_NUMBER, CONFIG(max_minutes), "0", 0, 1e6, NULL,
     "stop with a checkpoint after (0: never)"},
    {"train", "seed", KEY_INT, CONFIG(seed), "1", 0, 9e18, NULL, "of weights and data"},
    {"train", "threads", KEY_INT, CONFIG(threads), "0", 0, 1024, NULL, "0: one per core"},
    {"train", "optimiser", KEY_CHOICE, CONFIG(optimiser), "adamw", 0, 0, "adamw muon",
     "muon: matrices of the layers; AdamW for the rest"},
    {"train", "rate", KEY_NUMBER, CONFIG(rate), "0.002", 0, 10, NULL, "learning rate of AdamW"},
    {"train", "muon-rate", KEY_NUMBER, CONFIG(muon_rate), "0.02", 0, 10, NULL, "learning rate of Muon"},
    {"train", "momentum", KEY_NUMBER, CONFIG(momentum), "0.95", 0, 1, NULL, "of Muon"},
    {"train", "beta1", KEY_NUMBER, CONFIG(beta1), "0.9", 0, 1, NULL, "of AdamW"},
    {"train", "beta2", KEY_NUMBER, CONFIG(beta2), "0.95", 0, 1, NULL, "of AdamW"},
    {"train", "epsilon", KEY_NUMBER, CONFIG(epsilon), "1e-8", 0, 1, NULL, "of AdamW"},
    {"train", "decay", KEY_NUMBER, CONFIG(decay), "0.1", 0, 10, NULL, "weight decay of matrices"},
    {"train", "clip", KEY_NUMBER, CONFIG(clip), "1", 0, 1e9, NULL, "largest norm of the gradient (0: any)"},
    {"train", "schedule", KEY_CHOICE, CONFIG(schedule), "linear", 0, 0, "linear cosine wsd",
     "how the rate falls after the warm-up; wsd: only over the last decay-share"},
    {"train", "warmup", KEY_INT, CONFIG(warmup), "30", 0, 1e12, NULL, "steps in which the rate rises"},
    {"train", "decay-share", KEY_NUMBER, CONFIG(decay_share), "0.3", 0, 1, NULL,
     "share of the steps in which wsd falls"},
    {"train", "min-rate", KEY_NUMBER, CONFIG(min_rate), "0", 0, 1, NULL, "where it ends, as a share of the rate"},
    {"train", "recompute", KEY_CHOICE, CONFIG(recompute), "auto", 0, 0, "auto on off",
     "compute activations again in the backward pass instead of keeping them"},
    {"train", "exact", KEY_BOOL, CONFIG(exact), "false", 0, 0, NULL, "f32 products throughout"},
    {"train", "checkpoint-steps", KEY_INT, CONFIG(checkpoint_steps), "100", 1, 1e12, NULL, "steps between checkpoints"},
    {"train", "validate-steps", KEY_INT, CONFIG(validate_steps), "100", 1, 1e12, NULL, "steps between validations"},
    {"train", "validation-windows", KEY_INT, CONFIG(validation_windows), "16", 0, 1 << 20, NULL, "windows of one"},
    {"train", "validation-share", KEY_NUMBER, CONFIG(validation_share), "0.01", 0, 0.5, NULL,
     "share of the texts that is never trained on"},
    {"train", "validation-split", KEY_CHOICE, CONFIG(validation_split), "pieces", 0, 0, "pieces files",
     "what that share is of: pieces of all files, or whole files"},

    {"lora", "rank", KEY_INT, CONFIG(lora_rank), "0", 0, 4096, NULL, "of the adapters (0: all weights are trained)"},
    {"lora", "alpha", KEY_NUMBER, CONFIG(lora_alpha), "0", 0, 1e6, NULL, "0: twice the rank"},
    {"lora", "targets", KEY_TEXT, CONFIG(lora_targets), "q k v o", 0, 0, NULL, "of q k v o gate up down output"},
    {"lora", "norms", KEY_BOOL, CONFIG(lora_norms), "false", 0, 0, NULL, "train norms too (LongLoRA's +)"},
    {"lora", "embeddings", KEY_BOOL, CONFIG(lora_embeddings), "false", 0, 0, NULL,
     "train the token table too (the same)"},
    {"lora", "merge", KEY_BOOL, CONFIG(lora_merge), "false", 0, 0, NULL,
     "write the model with the adapters merged into it, in the place of the adapters"},

    {"loss", "text", KEY_NUMBER, ROLE(CONFIG(role_weights), MN_ROLE_TEXT), "1", 0, 1e3, NULL,
     "weight of ordinary text"},
    {"loss", "needle", KEY_NUMBER, ROLE(CONFIG(role_weights), MN_ROLE_NEEDLE), "0.15", 0, 1e3, NULL, "of a needle"},
    {"loss", "needle-value", KEY_NUMBER, ROLE(CONFIG(role_weights), MN_ROLE_NEEDLE_VALUE), "0", 0, 1e3, NULL,
     "its value"},
    {"loss", "question", KEY_NUMBER, ROLE(CONFIG(role_weights), MN_ROLE_QUESTION), "0", 0, 1e3, NULL, "of a question"},
    {"loss", "restated", KEY_NUMBER, ROLE(CONFIG(role_weights), MN_ROLE_RESTATED), "1.5", 0, 1e3, NULL,
     "of the key that an answer repeats"},
    {"loss", "value", KEY_NUMBER, ROLE(CONFIG(role_weights), MN_ROLE_VALUE), "3", 0, 1e3, NULL, "of an answer"},
    {"loss", "prompt", KEY_NUMBER, ROLE(CONFIG(role_weights), MN_ROLE_PROMPT), "0", 0, 1e3, NULL,
     "of a conversation's turns that are not the model's"},
    {"loss", "balance", KEY_NUMBER, CONFIG(balance), "0.01", 0, 100, NULL, "of the auxiliary loss of experts"},
    {"loss", "balance-bias", KEY_BOOL, CONFIG(balance_bias), "false", 0, 0, NULL, "DeepSeek-V3's rule instead of it"},
    {"loss", "teacher", KEY_TEXT, CONFIG(teacher), "", 0, 0, NULL,
     "a model of the same vocabulary to learn from beside the texts (GGUF)"},
    {"loss", "teacher-share", KEY_NUMBER, CONFIG(teacher_share), "0.5", 0, 1, NULL,
     "share of the loss that is its: divergence of the distributions"},
    {"loss", "temperature", KEY_NUMBER, CONFIG(temperature), "1", 0.01, 100, NULL, "at which they are compared"},

    {"router", "gate", KEY_CHOICE, ROUTER(gate), "straight", 0, 0, "straight soft",
     "of small MLPs for easy tokens while they learn: one MLP for a token, as the model runs; or a mixture of both"},
    {"router", "share", KEY_NUMBER, ROUTER(share), "0.5", 0, 1, NULL, "of the tokens that are to be easy"},
    {"router", "budget", KEY_NUMBER, ROUTER(budget), "4", 0, 1e6, NULL,
     "weight of the loss that holds it: the square of what each layer is off by"},
    {"router", "only", KEY_BOOL, ROUTER(only), "false", 0, 0, NULL, "train routers and small MLPs alone"},

    {"memory", "segment", KEY_INT, MEMORY(segment), "0", 0, 1 << 24, NULL,
     "give the model a compressive memory behind segments of so many tokens (0: it has one, or none)"},
    {"memory", "update", KEY_CHOICE, MEMORY(update), "delta-exact", 0, 0, "linear delta delta-exact", "how it writes"},
    {"memory", "heads", KEY_TEXT, MEMORY(heads), "", 0, 0, NULL,
     "query heads that get one, as 0.2 0.1 (LAYER.HEAD; * for all of either, the default)"},
    {"memory", "mixing-bias", KEY_NUMBER, MEMORY(mixing_bias), "-1", -20, 20, NULL, "where their mixing gates begin"},
    {"memory", "write-bias", KEY_NUMBER, MEMORY(write_bias), "-2", -20, 20, NULL, "where their write gates begin"},
    {"memory", "threshold", KEY_NUMBER, MEMORY(threshold), "0.5", 0, 1, NULL,
     "write gates at or below it count as 0 when the model runs"},
    {"memory", "hard", KEY_BOOL, MEMORY(hard), "true", 0, 0, NULL,
     "write a token whole or not at all, without a gradient; gates learn from labels"},
    {"memory", "detach", KEY_INT, MEMORY(detach), "0", 0, 1 << 24, NULL,
     "segments that gradients pass before they are cut (0: as many as memory allows)"},
    {"memory", "labels", KEY_NUMBER, MEMORY(labels), "0.3", 0, 1e3, NULL,
     "weight of the write gates' loss: values of needles are to be written, other tokens not"},
    {"memory", "positive", KEY_NUMBER, MEMORY(positive), "4", 0, 1e3, NULL, "in it, weight of all values together"},
    {"memory", "negative", KEY_NUMBER, MEMORY(negative), "1", 0, 1e3, NULL, "of all other tokens of the documents"},
    {"memory", "mined", KEY_NUMBER, MEMORY(mined), "2", 0, 1e3, NULL, "of the tokens mined from prose"},
    {"memory", "hardest", KEY_NUMBER, MEMORY(hardest), "0.5", 0, 1e3, NULL, "of the other tokens that gates like best"},
    {"memory", "hardest-tokens", KEY_INT, MEMORY(hardest_tokens), "64", 0, 1 << 20, NULL, "how many these are"},
    {"memory", "prefix", KEY_NUMBER, MEMORY(prefix), "0.75", 0, 1, NULL,
     "share of documents with a question before which mined tokens are written, as by a long text"},
    {"memory", "prefix-min", KEY_INT, MEMORY(prefix_min), "2", 1, 1 << 20, NULL, "how many, at least"},
    {"memory", "prefix-max", KEY_INT, MEMORY(prefix_max), "190", 1, 1 << 20, NULL, "at most"},
    {"memory", "pool-windows", KEY_INT, MEMORY(pool_windows), "128", 0, 1 << 16, NULL,
     "mined tokens in each batch, with what they see before them (0: none, and no prefix)"},
    {"memory", "pool-size", KEY_INT, MEMORY(pool_size), "4096", 1, 1 << 20, NULL, "mined tokens held"},
    {"memory", "mine-tokens", KEY_INT, MEMORY(mine_tokens), "1m", 1024, 1e12, NULL,
     "tokens of prose that are looked through for those that gates like best"},
    {"memory", "mine-steps", KEY_INT, MEMORY(mine_steps), "100", 1, 1e12, NULL, "steps between two such searches"},
    {"memory", "prose", KEY_TEXT, MEMORY(prose), "", 0, 0, NULL,
     "texts that hold nothing to write (the paths of the first source)"},

    {"gate-fit", "when", KEY_CHOICE, FIT(when), "never", 0, 0, "never start end both",
     "fit write gates in closed form before the first step, behind the last, or both"},
    {"gate-fit", "positives", KEY_INT, FIT(positives), "10000", 10, 1 << 24, NULL, "values of needles in the fit"},
    {"gate-fit", "negatives", KEY_INT, FIT(negatives), "15000", 0, 1 << 24, NULL, "other tokens of their documents"},
    {"gate-fit", "prose", KEY_INT, FIT(prose), "5000", 0, 1 << 24, NULL, "tokens of prose, drawn"},
    {"gate-fit", "mined", KEY_INT, FIT(mined), "12000", 0, 1 << 24, NULL, "tokens of prose, mined in each round"},
    {"gate-fit", "rounds", KEY_INT, FIT(rounds), "4", 0, 100, NULL, "searches, with a new fit after each"},
    {"gate-fit", "tokens", KEY_INT, FIT(tokens), "4m", 1024, 1e12, NULL, "tokens of prose that a search looks through"},
    {"gate-fit", "weight", KEY_NUMBER, FIT(weight), "2", 0, 1e6, NULL, "of a positive; a negative weighs 1"},
    {"gate-fit", "l2", KEY_NUMBER, FIT(l2), "0.3", 1e-6, 1e6, NULL, "penalty of the weights' squares"},
    {"gate-fit", "sharpen", KEY_NUMBER, FIT(sharpen), "4", 0.01, 1000, NULL,
     "factor of the gate fitted at the end, so that a write is all or nothing"},
    {"gate-fit", "recall", KEY_NUMBER, FIT(recall), "0.998", 0, 1, NULL,
     "share of the values that the gate, shifted, still writes"},

    {"group", "match", KEY_TEXT, GROUP(match), "", 0, 0, NULL, "tensor names with wildcards: *_conv.* *_norm.*"},
    {"group", "rate", KEY_NUMBER, GROUP(rate), "-1", 0, 10, NULL, "learning rate (the training's)"},
    {"group", "decay", KEY_NUMBER, GROUP(decay), "-1", 0, 10, NULL, "weight decay (the training's)"},
    {"group", "optimiser", KEY_CHOICE, GROUP(optimiser), "-1", 0, 0, "adamw muon", "(the training's)"},
    {"group", "freeze", KEY_BOOL, GROUP(freeze), "false", 0, 0, NULL, "leave as it is"},

    {"source", "paths", KEY_PATHS, SOURCE(paths), "", 0, 0, NULL,
     "files and folders: text, or .jsonl with text or messages; \"...\" around blanks, more lines for more"},
    {"source", "needles", KEY_TEXT, SOURCE(needles), "", 0, 0, NULL,
     "key-value chain json passkey values copy, in a haystack of the texts (else the texts themselves)"},
    {"source", "weight", KEY_NUMBER, SOURCE(weight), "1", 0, 1e6, NULL, "share of the documents, over the sum of all"},
    {"source", "min-keys", KEY_INT, SOURCE(min_keys), "1", 1, 64, NULL, "facts in a document, at least"},
    {"source", "max-keys", KEY_INT, SOURCE(max_keys), "8", 1, 64, NULL, "at most"},
    {"source", "min-hops", KEY_INT, SOURCE(min_hops), "1", 1, 8, NULL, "of a chain, at least"},
    {"source", "max-hops", KEY_INT, SOURCE(max_hops), "3", 1, 8, NULL, "at most"},
    {"source", "questions", KEY_INT, SOURCE(questions), "3", 1, 64, NULL, "at most so many facts are asked"},
    {"source", "distractors", KEY_INT, SOURCE(distractors), "2", 0, 64, NULL, "facts that are never asked, at most"},
    {"source", "filler", KEY_NUMBER, SOURCE(filler), "0.1", 0, 1, NULL, "share of haystacks that are filler"},
    {"source", "text", KEY_NUMBER, ROLE(SOURCE(role_weights), MN_ROLE_TEXT), "-1", 0, 1e3, NULL, "as in [loss], here"},
    {"source", "needle", KEY_NUMBER, ROLE(SOURCE(role_weights), MN_ROLE_NEEDLE), "-1", 0, 1e3, NULL, "the same"},
    {"source", "needle-value", KEY_NUMBER, ROLE(SOURCE(role_weights), MN_ROLE_NEEDLE_VALUE), "-1", 0, 1e3, NULL,
     "the same"},
    {"source", "question", KEY_NUMBER, ROLE(SOURCE(role_weights), MN_ROLE_QUESTION), "-1", 0, 1e3, NULL, "the same"},
    {"source", "restated", KEY_NUMBER, ROLE(SOURCE(role_weights), MN_ROLE_RESTATED), "-1", 0, 1e3, NULL, "the same"},
    {"source", "value", KEY_NUMBER, ROLE(SOURCE(role_weights), MN_ROLE_VALUE), "-1", 0, 1e3, NULL, "the same"},
    {"source", "prompt", KEY_NUMBER, ROLE(SOURCE(role_weights), MN_ROLE_PROMPT), "-1", 0, 1e3, NULL, "the same"},
};
enum { N_KEYS = sizeof keys / sizeof *keys };

static const char *keep(mn_train_config *c, const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = mn_arena_alloc(&c->arena, bytes, 1);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

/* The index of a word in "a b c", -1 when it is none of them. */
static int choice_of(const char *choices, const char *word) {
    size_t n = strlen(word);
    int i = 0;
    for (const char *p = choices; *p; i++) {
        size_t length = strcspn(p, " ");
        if (length == n && !memcmp(p, word, n)) return i;
        p += length + (p[length] == ' ');
    }
    return -1;
}

static bool read_int(const key *k, const char *text, int64_t *out) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10), unit = 1;
    if (end == text || errno) return false;
    if (*end == 'k' || *end == 'K') unit = 1024;
    if (*end == 'm' || *end == 'M') unit = 1 << 20;
    if (*(end + (unit > 1)) || __builtin_mul_overflow(value, unit, &value)) return false;
    if ((double)value < k->min || (double)value > k->max) return false;
    *out = value;
    return true;
}

static bool read_number(const key *k, const char *text, double *out) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value < k->min || value > k->max) return false;
    *out = value;
    return true;
}

static bool read_bool(const char *text, bool *out) {
    int i = choice_of("false true no yes off on 0 1", text);
    if (i >= 0) *out = i % 2 != 0;
    return i >= 0;
}

static const char *unescaped(mn_train_config *c, const char *text) {
    char *out = mn_arena_alloc(&c->arena, strlen(text) + 1, 1), *to = out;
    for (; out && *text; text++) {
        bool escape = text[0] == '\\' && (text[1] == 'n' || text[1] == '\\');
        *to++ = !escape ? *text : *++text == 'n' ? '\n' : '\\';
    }
    if (out) *to = 0;
    return out;
}

/* What a line of a file can hold, so that mn_train_config_write gives what can be read. */
static bool fits_a_line(const char *text) {
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || (p > text && p[-1] == ' ' && *p == ';')) return false;
    return true;
}

/* One list behind another. */
static const char *joined(mn_train_config *c, const char *first, const char *second) {
    size_t n = strlen(first), bytes = n + strlen(second) + 2;
    char *out = mn_arena_alloc(&c->arena, bytes, 1);
    if (out) snprintf(out, bytes, "%s %s", first, second);
    return out;
}

/* KEY= on the command line takes back what a file says. */
static bool store_text(mn_train_config *c, const key *k, const char **at, const char *text, bool adds) {
    if (!*text) {
        if (!adds) *at = NULL;
        return true;
    }
    if (!fits_a_line(text)) return false;
    if (k->type == KEY_ESCAPED)
        *at = unescaped(c, text);
    else
        *at = k->type == KEY_PATHS && adds && *at ? joined(c, *at, text) : keep(c, text);
    return *at != NULL;
}

/* adds: a list is made longer, else replaced. */
static bool store(mn_train_config *c, const key *k, void *base, const char *text, bool adds) {
    void *at = (char *)base + k->offset;
    switch (k->type) {
    case KEY_TEXT:
    case KEY_ESCAPED:
    case KEY_PATHS: return store_text(c, k, at, text, adds);
    case KEY_INT: return read_int(k, text, at);
    case KEY_NUMBER: return read_number(k, text, at);
    case KEY_BOOL: return read_bool(text, at);
    case KEY_CHOICE: {
        int i = choice_of(k->choices, text);
        if (i >= 0) *(int *)at = i;
        return i >= 0;
    }
    }
    return false;
}

/* Defaults are written as users would write them; "-1" stands for what a section leaves to another. */
static void set_standard(mn_train_config *c, const char *section, void *base) {
    for (int i = 0; i < N_KEYS; i++) {
        if (strcmp(keys[i].section, section)) continue;
        void *at = (char *)base + keys[i].offset;
        if (!strcmp(keys[i].standard, "-1")) {
            if (keys[i].type == KEY_NUMBER)
                *(double *)at = -1;
            else
                *(int *)at = -1;
        } else {
            store(c, &keys[i], base, keys[i].standard, false);
        }
    }
}

void mn_train_config_init(mn_train_config *c) {
    static const char *const sections[] = {"model", "positions", "train",  "lora",
                                           "loss",  "router",    "memory", "gate-fit"};
    *c = (mn_train_config){.arena = MN_ARENA_INIT};
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) set_standard(c, sections[i], c);
}

void mn_train_config_release(mn_train_config *c) { mn_arena_release(&c->arena); }

/* Edits that turn a into b (Levenshtein), for words of this length. */
static size_t distance(const char *a, const char *b) {
    enum { MOST = 40 };
    size_t row[MOST + 1], n = MN_MIN(strlen(b), (size_t)MOST);
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 0; a[i] && i < MOST; i++) {
        size_t corner = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t above = row[j + 1], edit = corner + (a[i] != b[j]);
            row[j + 1] = MN_MIN(edit, MN_MIN(above, row[j]) + 1);
            corner = above;
        }
    }
    return row[n];
}

static const char *nearest_key(const char *section, const char *name) {
    const char *best = NULL;
    size_t least = 4;
    for (int i = 0; i < N_KEYS; i++) {
        size_t d = distance(name, keys[i].name);
        if (strcmp(keys[i].section, section) || d >= least) continue;
        least = d;
        best = keys[i].name;
    }
    return best;
}

static mn_status no_such_key(const char *section, const char *name, mn_error *err) {
    const char *near = nearest_key(section, name);
    if (near)
        return mn_fail(err, MN_ERR_ARGUMENT, "[%s] has no key \"%s\"; the nearest is \"%s\".", section, name, near);
    return mn_fail(err, MN_ERR_ARGUMENT, "[%s] has no key \"%s\".", section, name);
}

static mn_status no_such_section(const char *section, mn_error *err) {
    return mn_fail(err, MN_ERR_ARGUMENT,
                   "there is no section [%s]; known: [model] [positions] [train] [lora] [loss] "
                   "[router] [memory] [gate-fit] "
                   "[group NAME] [source NAME].",
                   section);
}

/* The group or source of this name, made when it is new. */
static mn_status find_item(mn_train_config *c, const char *kind, const char *name, void **out, mn_error *err) {
    bool group = !strcmp(kind, "group");
    int *n = group ? &c->n_groups : &c->n_sources, limit = group ? MN_MAX_GROUPS : MN_MAX_SOURCES;
    for (int i = 0; i < *n; i++) {
        *out = group ? (void *)&c->groups[i] : (void *)&c->sources[i];
        if (!strcmp(group ? c->groups[i].name : c->sources[i].name, name)) return MN_OK;
    }
    if (*n == limit) return mn_fail(err, MN_ERR_LIMIT, "there are more than %d sections [%s ...].", limit, kind);
    *out = group ? (void *)&c->groups[*n] : (void *)&c->sources[*n];
    snprintf(group ? c->groups[*n].name : c->sources[*n].name, MN_NAME_BYTES, "%s", name);
    (*n)++;
    set_standard(c, kind, *out);
    return MN_OK;
}

/* "train", or "source NAME": the section's kind and where its values are. */
static mn_status find_section(mn_train_config *c, const char *section, char kind[SECTION_BYTES], void **base,
                              mn_error *err) {
    size_t n = strcspn(section, " ");
    const char *name = section + n + strspn(section + n, " ");
    snprintf(kind, SECTION_BYTES, "%.*s", (int)n, section);
    bool item = !strcmp(kind, "group") || !strcmp(kind, "source"), known = item;
    for (int i = 0; i < N_KEYS; i++) known |= !strcmp(keys[i].section, kind);
    if (!known || (!item && *name)) return no_such_section(section, err);
    *base = c;
    if (!item) return MN_OK;
    if (!*name || strlen(name) >= MN_NAME_BYTES)
        return mn_fail(err, MN_ERR_ARGUMENT, "[%s] needs a name of 1 to %d bytes: [%s NAME].", kind, MN_NAME_BYTES - 1,
                       kind);
    return find_item(c, kind, name, base, err);
}

static mn_status bad_value(const key *k, const char *value, mn_error *err) {
    const char *kinds[] = {[KEY_INT] = "a whole number", [KEY_NUMBER] = "a number"};
    if (k->type == KEY_CHOICE)
        return mn_fail(err, MN_ERR_ARGUMENT, "%s.%s is \"%s\"; wanted one of: %s.", k->section, k->name, value,
                       k->choices);
    if (k->type == KEY_BOOL)
        return mn_fail(err, MN_ERR_ARGUMENT, "%s.%s is \"%s\"; wanted true or false.", k->section, k->name, value);
    if (k->type <= KEY_PATHS)
        return fits_a_line(value) ? mn_fail(err, MN_ERR_MEMORY, "no memory for %s.%s.", k->section, k->name)
                                  : mn_fail(err, MN_ERR_ARGUMENT,
                                            "%s.%s holds a control character, or \" ;\", which begins a comment.",
                                            k->section, k->name);
    return mn_fail(err, MN_ERR_ARGUMENT, "%s.%s is \"%s\"; wanted %s from %.10g to %.10g.", k->section, k->name, value,
                   kinds[k->type], k->min, k->max);
}

static mn_status set(mn_train_config *c, const char *section, const char *name, const char *value, bool adds,
                     mn_error *err) {
    char kind[SECTION_BYTES];
    void *base = NULL;
    MN_TRY(find_section(c, section, kind, &base, err));
    for (int i = 0; i < N_KEYS; i++)
        if (!strcmp(keys[i].section, kind) && !strcmp(keys[i].name, name))
            return store(c, &keys[i], base, value, adds) ? MN_OK : bad_value(&keys[i], value, err);
    return no_such_key(kind, name, err);
}

typedef struct parse {
    mn_train_config *config;
    mn_error *err;
    mn_status status;
} parse;

static int take_line(void *arg, const char *section, const char *name, const char *value) {
    parse *p = arg;
    if (p->status != MN_OK) return 1; /* the first error is the one to tell */
    if (!*section)
        p->status = mn_fail(p->err, MN_ERR_ARGUMENT, "\"%s\" stands before any [section].", name);
    else
        p->status = set(p->config, section, name, value, true, p->err);
    return p->status == MN_OK;
}

/* What inih would cut in two. */
static mn_status check_lines(const char *text, size_t bytes, mn_error *err) {
    int line = 1;
    if (memchr(text, 0, bytes)) return mn_fail(err, MN_ERR_FORMAT, "it holds a NUL byte and is no configuration.");
    for (const char *p = text; *p; line++) {
        size_t n = strcspn(p, "\n");
        if (n > MAX_LINE)
            return mn_fail(err, MN_ERR_LIMIT, "line %d has %zu bytes; a line holds at most %d.", line, n, MAX_LINE);
        p += n + (p[n] == '\n');
    }
    return MN_OK;
}

mn_status mn_train_config_read(mn_train_config *c, const char *path, mn_error *err) {
    char *text, place[4200];
    size_t bytes;
    mn_error local;
    parse p = {c, err ? err : &local, MN_OK};
    MN_TRY(mn_file_read(path, MAX_FILE_BYTES, &text, &bytes, err));
    p.status = check_lines(text, bytes, p.err);
    int line = p.status == MN_OK ? ini_parse_string(text, take_line, &p) : 0;
    free(text);
    if (p.status == MN_OK && line > 0)
        p.status = mn_fail(p.err, MN_ERR_FORMAT, "no section, no \"key = value\" and no comment.");
    if (p.status == MN_OK) return MN_OK;
    if (line > 0)
        snprintf(place, sizeof place, "%s, line %d", path, line);
    else
        snprintf(place, sizeof place, "%s", path);
    return mn_fail_in(p.err, p.status, place);
}

/* The section that alone has this key, among those without a name. */
static mn_status section_of(const char *name, char out[SECTION_BYTES], mn_error *err) {
    int n = 0;
    for (int i = 0; i < N_KEYS; i++) {
        if (strcmp(keys[i].name, name) || !strcmp(keys[i].section, "group") || !strcmp(keys[i].section, "source"))
            continue;
        snprintf(out, SECTION_BYTES, "%s", keys[i].section);
        n++;
    }
    if (n == 1) return MN_OK;
    if (n > 1)
        return mn_fail(err, MN_ERR_ARGUMENT, "several sections have a key \"%s\"; write SECTION.%s=.", name, name);
    return no_such_key("train", name, err);
}

mn_status mn_train_config_set(mn_train_config *c, const char *assignment, mn_error *err) {
    const char *equals = strchr(assignment, '=');
    char left[SECTION_BYTES], section[SECTION_BYTES];
    if (!equals || (size_t)(equals - assignment) >= sizeof left)
        return mn_fail(err, MN_ERR_ARGUMENT, "\"%.100s\" is no KEY=VALUE.", assignment);
    snprintf(left, sizeof left, "%.*s", (int)(equals - assignment), assignment);
    char *dot = strrchr(left, '.'), *name = dot ? dot + 1 : left;
    if (dot) {
        *dot = 0;
        snprintf(section, sizeof section, "%s", left);
        for (char *p = strchr(section, '.'); p; p = NULL) *p = ' '; /* source.NAME.weight */
    } else {
        MN_TRY(section_of(name, section, err));
    }
    return set(c, section, name, equals + 1, false, err);
}

static mn_status check_memory(const mn_train_config *c, mn_error *err) {
    const mn_memory_config *m = &c->memory;
    if (m->prefix_max < m->prefix_min)
        return mn_fail(err, MN_ERR_ARGUMENT, "memory.prefix-min is %lld, above memory.prefix-max, %lld.",
                       (long long)m->prefix_min, (long long)m->prefix_max);
    if (c->lora_rank && (m->segment || c->gate_fit.when))
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "a memory's gates are weights of the model, which adapters leave alone: lora.rank is to be 0.");
    return MN_OK;
}

static mn_status check_source(const mn_source_config *s, mn_error *err) {
    if (!s->paths) return mn_fail(err, MN_ERR_ARGUMENT, "[source %s] needs paths.", s->name);
    if (s->max_keys < s->min_keys || s->max_hops < s->min_hops)
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "[source %s]: min-keys and min-hops must not be above max-keys and max-hops.", s->name);
    if (!s->needles) return MN_OK;
    for (int k = 0; k < MN_NEEDLE_KIND_COUNT; k++)
        if (!strcmp(s->needles, mn_needle_kind_name((mn_needle_kind)k))) return MN_OK;
    return mn_fail(err, MN_ERR_ARGUMENT,
                   "[source %s]: there are no needles \"%s\"; known: key-value chain json passkey values copy.",
                   s->name, s->needles);
}

mn_status mn_train_config_check(const mn_train_config *c, mn_error *err) {
    if (!c->out) return mn_fail(err, MN_ERR_ARGUMENT, "train.out is missing: the GGUF to write.");
    if (!c->from && (!c->vocab_from || !c->layers || !c->embd || !c->heads || !c->ff))
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "[model] needs from = MODEL.gguf, or vocab-from, layers, embd, heads and ff of a new model.");
    if ((c->name && strlen(c->name) >= MN_KEY_TEXT_BYTES) ||
        (c->ask_template && strlen(c->ask_template) >= MN_KEY_TEXT_BYTES))
        return mn_fail(err, MN_ERR_LIMIT, "model.name and model.ask-template hold at most %d bytes each.",
                       MN_KEY_TEXT_BYTES - 1);
    if (c->lora_rank && !c->from) return mn_fail(err, MN_ERR_ARGUMENT, "adapters need a model: [model] from.");
    if (c->n_sources == 0) return mn_fail(err, MN_ERR_ARGUMENT, "there is no [source NAME] to learn from.");
    if (c->warmup > c->steps && c->steps > 0)
        return mn_fail(err, MN_ERR_ARGUMENT, "train.warmup is %lld of %lld steps.", (long long)c->warmup,
                       (long long)c->steps);
    for (int i = 0; i < c->n_groups; i++)
        if (!c->groups[i].match) return mn_fail(err, MN_ERR_ARGUMENT, "[group %s] needs match.", c->groups[i].name);
    for (int i = 0; i < c->n_sources; i++) MN_TRY(check_source(&c->sources[i], err));
    return check_memory(c, err);
}

bool mn_train_next_path(const char **list, char *out, size_t bytes) {
    const char *p = *list + strspn(*list, " ");
    bool quoted = *p == '"';
    p += quoted;
    size_t n = strcspn(p, quoted ? "\"" : " ");
    *list = p + n + (quoted && p[n]);
    snprintf(out, bytes, "%.*s", (int)MN_MIN(n, bytes - 1), p);
    return n > 0;
}

/* A line each, as lines have a limit. */
static void write_paths(const key *k, const char *list, mn_strbuf *out) {
    char path[MN_PATH_BYTES];
    while (mn_train_next_path(&list, path, sizeof path)) {
        const char *quote = strchr(path, ' ') ? "\"" : "";
        mn_strbuf_printf(out, "%s = %s%s%s\n", k->name, quote, path, quote);
    }
}

static void write_escaped(const char *text, mn_strbuf *out) {
    for (; *text; text++) {
        if (*text == '\n' || *text == '\\') mn_strbuf_putc(out, '\\');
        mn_strbuf_putc(out, *text == '\n' ? 'n' : *text);
    }
}

static void write_value(const key *k, const void *base, mn_strbuf *out) {
    const void *at = (const char *)base + k->offset;
    const char *text = k->type <= KEY_PATHS ? *(const char *const *)at : NULL, *p = k->choices;
    if (k->type <= KEY_PATHS && !text) return;
    if (k->type == KEY_PATHS) {
        write_paths(k, text, out);
        return;
    }
    if (k->type == KEY_NUMBER && *(const double *)at < k->min) return;
    if (k->type == KEY_CHOICE && *(const int *)at < 0) return;
    mn_strbuf_printf(out, "%s = ", k->name);
    if (k->type == KEY_TEXT) mn_strbuf_puts(out, text);
    if (k->type == KEY_ESCAPED) write_escaped(text, out);
    if (k->type == KEY_INT) mn_strbuf_printf(out, "%lld", (long long)*(const int64_t *)at);
    if (k->type == KEY_NUMBER) mn_strbuf_printf(out, "%.17g", *(const double *)at);
    if (k->type == KEY_BOOL) mn_strbuf_puts(out, *(const bool *)at ? "true" : "false");
    if (k->type == KEY_CHOICE) {
        for (int i = *(const int *)at; i > 0; i--) p += strcspn(p, " ") + 1;
        mn_strbuf_put(out, p, strcspn(p, " "));
    }
    mn_strbuf_putc(out, '\n');
}

static void write_section(const char *kind, const char *name, const void *base, mn_strbuf *out) {
    mn_strbuf_printf(out, name ? "[%s %s]\n" : "[%s]\n", kind, name);
    for (int i = 0; i < N_KEYS; i++)
        if (!strcmp(keys[i].section, kind)) write_value(&keys[i], base, out);
    mn_strbuf_putc(out, '\n');
}

/* Whether a run cannot go on with another value. */
static bool is_fixed(const key *k) {
    static const char *const free[] = {"name", "ask-template", "merge"};
    if (!strcmp(k->section, "train")) return !strcmp(k->name, "window") || !strcmp(k->name, "optimiser");
    if (!strcmp(k->section, "memory"))
        return !strcmp(k->name, "segment") || !strcmp(k->name, "update") || !strcmp(k->name, "heads");
    if (strcmp(k->section, "model") && strcmp(k->section, "positions") && strcmp(k->section, "lora")) return false;
    for (size_t i = 0; i < sizeof free / sizeof *free; i++)
        if (!strcmp(k->name, free[i])) return false;
    return true;
}

/* The line "name = value" of a section, its end included; "" where it has none. */
static const char *line_of(const char *text, const key *k, size_t *bytes) {
    char start[SECTION_BYTES];
    snprintf(start, sizeof start, "[%s]\n", k->section);
    const char *p = strstr(text, start);
    snprintf(start, sizeof start, "%s = ", k->name);
    for (p = p ? p + strcspn(p, "\n") + 1 : ""; *p && *p != '['; p += *bytes) {
        *bytes = strcspn(p, "\n") + 1;
        if (!strncmp(p, start, strlen(start))) return p;
    }
    *bytes = 0;
    return "";
}

static mn_status differs(const key *k, const mn_strbuf *before, const mn_strbuf *now, mn_error *err) {
    return mn_fail(err, MN_ERR_ARGUMENT,
                   "it holds a training with \"%.*s\" in [%s], and this one has \"%.*s\"; give another folder "
                   "(train.run), or remove this one.",
                   before->bytes ? (int)before->bytes - 1 : 0, before->data, k->section,
                   now->bytes ? (int)now->bytes - 1 : 0, now->data);
}

mn_status mn_train_config_same(const mn_train_config *c, const char *text, mn_error *err) {
    mn_train_config standard; /* of keys that are younger than the text */
    mn_strbuf now = MN_STRBUF_INIT, before = MN_STRBUF_INIT;
    mn_status status = MN_OK;
    mn_train_config_init(&standard);
    for (int i = 0; i < N_KEYS && status == MN_OK; i++) {
        size_t bytes;
        if (!is_fixed(&keys[i])) continue;
        const char *line = line_of(text, &keys[i], &bytes);
        mn_strbuf_reset(&now);
        mn_strbuf_reset(&before);
        write_value(&keys[i], c, &now);
        if (bytes)
            mn_strbuf_put(&before, line, bytes);
        else
            write_value(&keys[i], &standard, &before);
        if (now.failed || before.failed)
            status = mn_fail(err, MN_ERR_MEMORY, "no memory for a configuration.");
        else if (now.bytes != before.bytes || memcmp(now.data, before.data, now.bytes))
            status = differs(&keys[i], &before, &now, err);
    }
    mn_strbuf_release(&now);
    mn_strbuf_release(&before);
    mn_train_config_release(&standard);
    return status;
}

void mn_train_config_write(const mn_train_config *c, mn_strbuf *out) {
    static const char *const sections[] = {"model", "positions", "train",  "lora",
                                           "loss",  "router",    "memory", "gate-fit"};
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) write_section(sections[i], NULL, c, out);
    for (int i = 0; i < c->n_groups; i++) write_section("group", c->groups[i].name, &c->groups[i], out);
    for (int i = 0; i < c->n_sources; i++) write_section("source", c->sources[i].name, &c->sources[i], out);
}

void mn_train_config_help(mn_strbuf *out) {
    const char *section = "";
    for (int i = 0; i < N_KEYS; i++) {
        const key *k = &keys[i];
        bool item = !strcmp(k->section, "group") || !strcmp(k->section, "source");
        if (strcmp(section, k->section)) mn_strbuf_printf(out, "\n[%s%s]\n", k->section, item ? " NAME" : "");
        section = k->section;
        bool shown = *k->standard && strcmp(k->standard, "-1");
        mn_strbuf_printf(out, "  %-20s %s%s%s%s%s%s%s\n", k->name, k->help, k->choices ? " (of " : "",
                         k->choices ? k->choices : "", k->choices ? ")" : "", shown ? " [" : "",
                         shown ? k->standard : "", shown ? "]" : "");
    }
}
