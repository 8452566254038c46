/* Patterns by name, and how their numbers are read. */
#include "attention/patterns/kinds.h"

#include "base/checked.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const mn_pattern_kind *const kinds[] = {
    &mn_pattern_full,      &mn_pattern_causal,         &mn_pattern_window,     &mn_pattern_global,
    &mn_pattern_random,    &mn_pattern_bigbird,        &mn_pattern_longformer, &mn_pattern_sinks,
    &mn_pattern_sinks_abs, &mn_pattern_shifted_sparse, &mn_pattern_quest,      &mn_pattern_xattention,
    &mn_pattern_moba,      &mn_pattern_snapkv,         &mn_pattern_linear,     &mn_pattern_infini,
};
enum { N_KINDS = sizeof kinds / sizeof *kinds, MAX_TEXT = 128 };

const mn_pattern_kind *mn_pattern_kind_at(int index) { return index >= 0 && index < N_KINDS ? kinds[index] : NULL; }

static const mn_pattern_kind *find(const char *name, size_t bytes) {
    for (int i = 0; i < N_KINDS; i++)
        if (strlen(kinds[i]->name) == bytes && !memcmp(kinds[i]->name, name, bytes)) return kinds[i];
    return NULL;
}

static mn_status fail_unknown(const char *text, mn_error *err) {
    char known[512];
    size_t used = 0;
    for (int i = 0; i < N_KINDS; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? " " : "", kinds[i]->usage);
    return mn_fail(err, MN_ERR_ARGUMENT, "\"%.100s\" is no attention pattern. There are: %s.", text, known);
}

/* A whole number below 2^31, so that sums of them are safe, or a share from 0 to 1. False when it is not that. */
static bool read_number(const char *text, bool is_share, int64_t *number, char **end) {
    if (!isdigit((unsigned char)*text)) return false;
    errno = 0;
    double value = is_share ? strtod(text, end) * MN_PATTERN_WHOLE : (double)strtoll(text, end, 10);
    if (errno || !(value <= (is_share ? MN_PATTERN_WHOLE : INT32_MAX))) return false;
    *number = llround(value);
    return true;
}

/* One of a kind's words, which are separated by spaces. */
static bool read_word(const char *text, const char *words, int64_t *number, char **end) {
    size_t bytes = strcspn(text, ",");
    *end = (char *)text + bytes;
    for (*number = 0; *words; ++*number) {
        size_t n = strcspn(words, " ");
        if (n == bytes && !memcmp(words, text, n)) return true;
        words += n + (words[n] == ' ');
    }
    return false;
}

/* "1,2,3" into args; the count, or -1 when it is not that. */
static int read_args(const mn_pattern_kind *kind, const char *text, int64_t args[MN_PATTERN_ARGS]) {
    for (int n = 0; n < MN_PATTERN_ARGS; n++) {
        char *end;
        bool good = kind->words[n] ? read_word(text, kind->words[n], &args[n], &end)
                                   : read_number(text, kind->is_share[n], &args[n], &end);
        if (!good) return -1;
        if (!*end) return n + 1;
        if (*end != ',') return -1;
        text = end + 1;
    }
    return -1;
}

mn_status mn_pattern_parse(const char *text, mn_pattern *out, mn_error *err) {
    size_t bytes = strcspn(text, ":");
    const mn_pattern_kind *kind = find(text, bytes);
    if (!kind) return fail_unknown(text, err);
    *out = (mn_pattern){.kind = kind, .block_tokens = MN_PATTERN_BLOCK};
    memcpy(out->args, kind->defaults, sizeof out->args);
    int n_args = text[bytes] ? read_args(kind, text + bytes + 1, out->args) : 0;
    if (n_args < kind->min_args || n_args > kind->max_args)
        return mn_fail(err, MN_ERR_ARGUMENT, "\"%.100s\" is not %s with %s.", text, kind->usage,
                       kind->takes ? kind->takes : "whole numbers below 2^31");
    const char *wrong = kind->check ? kind->check(out) : NULL;
    return wrong ? mn_fail(err, MN_ERR_ARGUMENT, "\"%.100s\" is not %s: %s.", text, kind->usage, wrong) : MN_OK;
}

/* "4-7=", "4-=" or "4=" at the start of text: its end, or NULL. */
static const char *read_range(const char *text, int n_layers, int *first, int *last) {
    char *end;
    if (!isdigit((unsigned char)*text)) return NULL;
    long from = strtol(text, &end, 10), to = from;
    if (*end == '-') {
        bool is_open = *++end == '=';
        to = is_open ? n_layers - 1 : strtol(end, &end, 10);
    }
    if (*end != '=') return NULL;
    *first = (int)MN_MIN(from, n_layers), *last = (int)MN_MIN(to, n_layers);
    return end + 1;
}

/* Patterns hold commas too: one ends where a comma and a range follow. */
static const char *pattern_end(const char *text, int n_layers) {
    int first, last;
    const char *end = text + strcspn(text, ",");
    while (*end && !read_range(end + 1, n_layers, &first, &last)) end += 1 + strcspn(end + 1, ",");
    return end;
}

mn_status mn_pattern_parse_layers(const char *text, int n_layers, mn_pattern *out, mn_error *err) {
    for (;;) {
        int first, last;
        const char *start = read_range(text, n_layers, &first, &last);
        if (!start)
            return mn_fail(err, MN_ERR_ARGUMENT,
                           "\"%.100s\" is not a range of layers and a pattern, as in 0-3=causal,4-=window:4096.", text);
        if (first > last || last >= n_layers)
            return mn_fail(err, MN_ERR_ARGUMENT, "\"%.100s\" names layers that are not there: this model has 0 to %d.",
                           text, n_layers - 1);
        const char *end = pattern_end(start, n_layers);
        char name[MAX_TEXT];
        if ((size_t)(end - start) >= sizeof name)
            return mn_fail(err, MN_ERR_ARGUMENT, "\"%.100s...\" is too long for a pattern.", start);
        snprintf(name, sizeof name, "%.*s", (int)(end - start), start);
        mn_pattern pattern;
        MN_TRY(mn_pattern_parse(name, &pattern, err));
        for (int layer = first; layer <= last; layer++) out[layer] = pattern;
        if (!*end) return MN_OK;
        text = end + 1;
    }
}
