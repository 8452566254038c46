#include "cli/terminal.h"
#include "cli/options.h"

#include "cli/numbers.h"
#include "cli/remedy.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SENTENCE_BYTES = 1024 };

/* What the parser knows besides the targets. */
typedef struct parse {
    const mn_usage *usage;
    bool given[MN_MAX_OPTIONS];                      /* by row, in the order of the walk */
    char name[MN_MAX_OPTIONS][MN_OPTION_NAME_BYTES]; /* as it was given */
} parse;

int mn_cli_fail(const char *verb, const mn_error *err) {
    mn_sentence sentence;
    mn_say("mnemo %s: %s", verb, mn_cli_sentence(sentence, err));
    return err->status == MN_ERR_ARGUMENT ? MN_EXIT_USAGE : MN_EXIT_FAILED;
}

mn_status mn_cli_past_usage(mn_status status, mn_error *err) {
    if (status != MN_ERR_ARGUMENT) return status;
    return err->status = MN_ERR_FORMAT;
}

int mn_cli_wrong(const mn_usage *u, const char *sentence) {
    mn_say("mnemo %s: %s", u->verb, sentence);
    mn_say("usage: mnemo %s%s%s", u->verb, *u->synopsis ? " " : "", u->synopsis);
    mn_say("try: mnemo %s --help", u->verb);
    return MN_EXIT_USAGE;
}

static int wrong(const mn_usage *u, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int wrong(const mn_usage *u, const char *format, ...) {
    char sentence[SENTENCE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    return mn_cli_wrong(u, sentence);
}

/* ---- the table ---- */

const mn_option *mn_option_next(mn_option_walk *walk) {
    if (walk->at->kind == MN_OPT_GROUP) {
        walk->back = walk->at + 1;
        walk->at = walk->at->to.group;
    }
    if (walk->at->kind != MN_OPT_END) return walk->at++;
    if (!walk->back) return NULL;
    walk->at = walk->back;
    walk->back = NULL;
    return mn_option_next(walk);
}

bool mn_option_next_name(const mn_option *o, const char **at, char out[MN_OPTION_NAME_BYTES]) {
    size_t n = strcspn(*at, " ");
    if (o->kind == MN_OPT_HEADING || n == 0) return false;
    bool is_short = n == 1 || (n <= 3 && (*at)[n] == ' '); /* the short form of what follows */
    snprintf(out, MN_OPTION_NAME_BYTES, "%s%.*s", is_short ? "-" : "--", (int)n, *at);
    *at += n + ((*at)[n] == ' ');
    return true;
}

/* Whether the `bytes` bytes at given are the name, with underscores for its dashes or not. */
static bool same_name(const char *name, const char *given, size_t bytes) {
    size_t n = strlen(name), i = 0;
    if (n != bytes) return false;
    while (i < n && name[i] == (given[i] == '_' ? '-' : given[i])) i++;
    return i == n;
}

/* The row of a name without dashes, and its place in the walk; NULL where there is none. */
static const mn_option *find_row(const mn_option *options, const char *given, size_t bytes, int *row) {
    mn_option_walk walk = {.at = options};
    const mn_option *o;
    for (*row = 0; *row < MN_MAX_OPTIONS && (o = mn_option_next(&walk)); ++*row) {
        char name[MN_OPTION_NAME_BYTES];
        for (const char *at = o->names; mn_option_next_name(o, &at, name);)
            if (same_name(name + (name[1] == '-' ? 2 : 1), given, bytes)) return o;
    }
    return NULL;
}

static const mn_option *find(const mn_usage *u, const char *given, size_t bytes, int *row) {
    return find_row(u->options, given, bytes, row);
}

const mn_option *mn_option_find(const mn_option *options, const char *name, size_t bytes) {
    int row;
    return find_row(options, name, bytes, &row);
}

static bool is_number(const mn_option *o) {
    return o->kind == MN_OPT_INT || o->kind == MN_OPT_NUMBER || o->kind == MN_OPT_AMOUNT;
}

/* A number that follows a short name at once: -n12. *bytes: those of the name. */
static const mn_option *find_joined(const mn_usage *u, const char *given, size_t *bytes, int *row) {
    size_t n = strspn(given, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    const char *digits = given + n + strspn(given + n, "-.");
    if (n == 0 || n > 3 || !isdigit((unsigned char)*digits)) return NULL;
    const mn_option *o = find(u, given, n, row);
    *bytes = n;
    return o && is_number(o) ? o : NULL;
}

/* ---- values ---- */

static bool in_range(const mn_option *o, double value) {
    return !isnan(value) && (o->max <= o->min || (value >= o->min && value <= o->max));
}

static bool read_int(const mn_option *o, const char *text) {
    const char *end;
    int64_t value;
    if (!mn_number_read(text, &end, &value) || *end || !in_range(o, (double)value)) return false;
    *o->to.integer = value;
    return true;
}

static bool read_number(const mn_option *o, const char *text) {
    static const char suffixes[] = "kKmMbBtT";
    static const double units[] = {1e3, 1e6, 1e9, 1e12};
    char *end;
    double value = strtod(text, &end);
    const char *suffix = *end && o->kind == MN_OPT_AMOUNT ? strchr(suffixes, *end) : NULL;
    if (end == text) return false;
    if (suffix) {
        value *= units[(suffix - suffixes) / 2];
        end++;
    }
    if (*end || !in_range(o, value)) return false;
    *o->to.number = value;
    return true;
}

/* "no", "off", ... of an environment variable; a flag on the command line has no value. */
static bool read_flag(const mn_option *o, const char *text) {
    static const char *const words[][2] = {{"0", "1"}, {"no", "yes"}, {"off", "on"}, {"false", "true"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        for (int value = 0; value < 2; value++)
            if (!strcasecmp(text, words[i][value])) {
                *o->to.flag = value;
                return true;
            }
    return false;
}

bool mn_option_read(const mn_option *o, const char *text) {
    bool empty = !*text && !(o->traits & MN_OPT_MAY_BE_EMPTY);
    switch (o->kind) {
    case MN_OPT_FLAG: return read_flag(o, text);
    case MN_OPT_TEXT:
        if (!empty) *o->to.text = text;
        return !empty;
    case MN_OPT_TEXTS:
        if (empty || o->to.texts->n == MN_MAX_TEXTS) return false;
        o->to.texts->items[o->to.texts->n++] = text;
        return true;
    case MN_OPT_INT: return read_int(o, text);
    case MN_OPT_NUMBER:
    case MN_OPT_AMOUNT: return read_number(o, text);
    default: return false;
    }
}

/* "1048576", "0.01", "1e+40" */
static const char *limit_text(double value, char out[32]) {
    snprintf(out, 32, fabs(value) < 1e15 && value == floor(value) ? "%.0f" : "%.10g", value);
    return out;
}

const char *mn_option_wanted(const mn_option *o, char out[MN_OPTION_WANTED_BYTES]) {
    char low[32], high[32];
    if (!is_number(o))
        snprintf(out, MN_OPTION_WANTED_BYTES, "%s", o->kind == MN_OPT_FLAG ? "1 or 0" : o->value);
    else if (o->max <= o->min)
        snprintf(out, MN_OPTION_WANTED_BYTES, "a number");
    else
        snprintf(out, MN_OPTION_WANTED_BYTES, "%s to %s", limit_text(o->min, low), limit_text(o->max, high));
    return out;
}

static int bad_value(const mn_usage *u, const mn_option *o, const char *name, const char *value) {
    char wanted[MN_OPTION_WANTED_BYTES];
    if (o->kind == MN_OPT_TEXTS && *value) return wrong(u, "%s can be given %d times at most.", name, MN_MAX_TEXTS);
    if (!*value) return wrong(u, "%s needs a value, and the one given is empty: %s.", name, o->value);
    return wrong(u, o->kind == MN_OPT_FLAG ? "%s is \"%s\" (wanted: %s)." : "%s does not take \"%s\" (wanted: %s).",
                 name, value, mn_option_wanted(o, wanted));
}

/* ---- the command line ---- */

static int take_value(parse *p, const mn_option *o, int row, const char *name, const char *value) {
    if (p->given[row] && o->kind != MN_OPT_TEXTS)
        return wrong(p->usage,
                     strcmp(name, p->name[row]) ? "%s is %s, and that was given before; it takes one value."
                                                : "%s was given twice; it takes one value.",
                     name, p->name[row]);
    p->given[row] = true;
    snprintf(p->name[row], MN_OPTION_NAME_BYTES, "%s", name);
    return mn_option_read(o, value) ? -1 : bad_value(p->usage, o, name, value);
}

static int take_flag(parse *p, const mn_option *o, int row, const char *given, bool has_value) {
    if (has_value) return wrong(p->usage, "%s takes no value.", given);
    *o->to.flag = p->given[row] = true;
    return -1;
}

/* The next argument; an option in its place was more likely meant as one. */
static int take_next(parse *p, const mn_option *o, int row, const char *name, char *next) {
    int other;
    const char *word = next ? next + strspn(next, "-") : "";
    if (!next) return wrong(p->usage, "%s needs a value: %s.", name, o->value);
    if (word > next && *word && find(p->usage, word, strlen(word), &other))
        return wrong(p->usage, "%s needs a value: %s. The option %s stands in its place; %s=%s if that is meant.", name,
                     o->value, next, name, next);
    return take_value(p, o, row, name, next);
}

/* Handles argv[*i], an option; moves *i past its value. */
static int take_option(parse *p, int argc, char **argv, int *i) {
    const char *given = argv[*i], *word = given + (given[1] == '-' ? 2 : 1);
    size_t bytes = strcspn(word, "=");
    int row;
    char name[MN_OPTION_NAME_BYTES], hint[SENTENCE_BYTES];
    const mn_option *o = find(p->usage, word, bytes, &row), *joined = NULL;
    if (!o && word == given + 1) joined = find_joined(p->usage, word, &bytes, &row);
    snprintf(name, sizeof name, "%.*s", (int)(word - given + (ptrdiff_t)bytes), given);
    if (joined) return take_value(p, joined, row, name, word + bytes);
    if (!o) {
        mn_options_hint(p->usage, given, hint, sizeof hint);
        return mn_cli_wrong(p->usage, hint);
    }
    if (o->kind == MN_OPT_FLAG) return take_flag(p, o, row, given, word[bytes] == '=');
    if (word[bytes] == '=') return take_value(p, o, row, name, word + bytes + 1);
    return take_next(p, o, row, name, *i + 1 < argc ? argv[++*i] : NULL);
}

static bool asks_for_help(int argc, char **argv) {
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return true;
    return false;
}

static int take_arguments(parse *p, int argc, char **argv, mn_text_list *words) {
    bool options_ended = false;
    int most = p->usage->words ? MN_MAX_TEXTS : p->usage->max_positional;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        int code = -1;
        if (!options_ended && !strcmp(arg, "--"))
            options_ended = true;
        else if (!options_ended && arg[0] == '-' && arg[1])
            code = take_option(p, argc, argv, &i);
        else if (words->n < most && words->n < MN_MAX_TEXTS)
            words->items[words->n++] = arg;
        else
            return wrong(p->usage, "does not know what to do with \"%s\".", arg);
        if (code >= 0) return code;
    }
    return -1;
}

/* ---- words that stand for options, and the environment ---- */

static bool is_model_name(const char *word) {
    size_t n = strlen(word);
    return n > 5 && !strcasecmp(word + n - 5, ".gguf");
}

static bool is_file(const char *word) {
    struct stat st;
    return stat(word, &st) == 0 && S_ISREG(st.st_mode);
}

static bool begins_as_model(const char *path) {
    char magic[4] = {0};
    FILE *file = fopen(path, "rbe");
    bool is_model = file && fread(magic, 1, sizeof magic, file) == sizeof magic && !memcmp(magic, "GGUF", 4);
    if (file) fclose(file);
    return is_model;
}

/* "notes.txt", "texts/notes": as files are named, and as nobody asks. */
static bool looks_like_file(const char *word) {
    const char *dot = strrchr(word, '.');
    size_t n = dot ? strspn(dot + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") : 0;
    return !strpbrk(word, " \t\n") && (strchr(word, '/') || (dot && dot > word && n > 1 && n < 6 && !dot[1 + n]));
}

static bool reads_files(const parse *p) {
    int row;
    return find(p->usage, "f", 1, &row) != NULL;
}

/* A text in the place of the model or of the prompt, for a verb that reads texts by -f; -1 when it is none. */
static int check_word(const parse *p, const char *word, bool is_model) {
    if (!reads_files(p)) return -1;
    if (is_model && is_file(word) && !is_model_name(word) && !begins_as_model(word))
        return wrong(p->usage, "\"%s\" is no model but another file. -f reads a text: mnemo %s -f %s ...", word,
                     p->usage->verb, word);
    if (!is_model && is_file(word) && begins_as_model(word))
        return wrong(p->usage, "the model comes before the text: mnemo %s %s TEXT", p->usage->verb, word);
    if (!is_model && is_file(word))
        return wrong(p->usage, "\"%s\" is a file. -f %s reads it; -p %s takes its name for the text.", word, word,
                     word);
    if (!is_model && looks_like_file(word))
        mn_say("mnemo: there is no file \"%s\", so that these words are the text.", word);
    return -1;
}

static int superfluous(const parse *p, const char *word) {
    if (reads_files(p) && is_file(word))
        return wrong(p->usage, "does not know what to do with \"%s\"; -f %s reads it.", word, word);
    return wrong(p->usage, "does not know what to do with \"%s\".", word);
}

/* Gives each word to the first option of usage->words that has no value. A single word that names no file can only be
 * the second of two; one that names a model beside -m is a second model. */
static int place_words(parse *p, mn_text_list *words) {
    const char *slot = p->usage->words;
    int used = 0;
    for (size_t n; slot && *slot && used < words->n; slot += n + (slot[n] == ' ')) {
        int row;
        n = strcspn(slot, " ");
        const mn_option *o = find(p->usage, slot, n, &row);
        const char *word = words->items[used];
        bool model = !strncmp(slot, "model", 5), named = is_model_name(word);
        bool skipped = model && slot[n] && words->n == 1 && !named && !is_file(word);
        if (o && p->given[row] && model && named)
            return wrong(p->usage, "a model was given by %s, and \"%s\" is a second one.", p->name[row], word);
        if (!o || p->given[row] || skipped) continue;
        int code = check_word(p, word, model);
        if (code < 0) code = take_value(p, o, row, o->value, words->items[used++]);
        if (code >= 0) return code;
    }
    if (!p->usage->words) return -1;
    if (used < words->n) return superfluous(p, words->items[used]);
    words->n = 0;
    return -1;
}

/* --ctx-size as MNEMO_CTX_SIZE; false for short names. */
static bool variable_name(const char *name, char out[MN_OPTION_NAME_BYTES + 8]) {
    if (name[1] != '-') return false;
    size_t used = (size_t)snprintf(out, 8, "MNEMO_");
    for (const char *c = name + 2; *c; c++) out[used++] = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    out[used] = '\0';
    return true;
}

static int take_environment(parse *p) {
    mn_option_walk walk = {.at = p->usage->options};
    const mn_option *o;
    for (int row = 0; row < MN_MAX_OPTIONS && (o = mn_option_next(&walk)); row++) {
        char name[MN_OPTION_NAME_BYTES], variable[MN_OPTION_NAME_BYTES + 8];
        bool asked = !p->given[row] && o->kind != MN_OPT_HEADING && !(o->traits & MN_OPT_NOT_FROM_ENV);
        for (const char *at = o->names; asked && mn_option_next_name(o, &at, name);) {
            const char *value = variable_name(name, variable) ? getenv(variable) : NULL;
            if (!value || !*value) continue;
            int code = take_value(p, o, row, variable, value);
            if (code >= 0) return code;
        }
    }
    return -1;
}

/* Variables that were meant for an option and name none: MNEMO_CTX_SZIE. */
static void note_unread(const mn_usage *u) {
    for (char **variable = environ; *variable; variable++) {
        char word[MN_OPTION_NAME_BYTES], nearest[MN_OPTION_NAME_BYTES], meant[MN_OPTION_NAME_BYTES + 8];
        size_t n = strcspn(*variable, "=");
        int row;
        if (strncmp(*variable, "MNEMO_", 6) || n - 6 >= sizeof word || (*variable)[n] != '=' || !(*variable)[n + 1])
            continue;
        for (size_t i = 6; i <= n; i++)
            word[i - 6] = i == n ? '\0' : (*variable)[i] == '_' ? '-' : (char)tolower((unsigned char)(*variable)[i]);
        if (!strcmp(word, "cpu") || find(u, word, n - 6, &row) || !mn_options_nearest(u, word, true, nearest)) continue;
        variable_name(nearest, meant);
        mn_say("mnemo: %s does not read %.*s; is %s meant?", u->verb, (int)n, *variable, meant);
    }
}

static void take_standards(const mn_usage *u) {
    mn_option_walk walk = {.at = u->options};
    for (const mn_option *o; (o = mn_option_next(&walk));)
        if (o->standard) mn_option_read(o, o->standard);
}

int mn_options_parse(const mn_usage *u, int argc, char **argv, mn_text_list *positional) {
    parse p = {.usage = u};
    positional->n = 0;
    if (asks_for_help(argc, argv)) {
        mn_options_print_help(u);
        return MN_EXIT_DONE;
    }
    take_standards(u);
    int code = take_arguments(&p, argc, argv, positional);
    if (code < 0) code = place_words(&p, positional);
    if (code < 0) code = take_environment(&p);
    if (code < 0) note_unread(u);
    char clash[SENTENCE_BYTES];
    if (code < 0 && mn_options_clash(u, positional, clash, sizeof clash)) return mn_cli_wrong(u, clash);
    if (code < 0 && positional->n < u->min_positional) return wrong(u, "needs more: %s.", u->synopsis);
    return code;
}
