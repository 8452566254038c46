#include "cli/options.h"

#include "cli/remedy.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int mn_cli_fail(const char *verb, const mn_error *err) {
    mn_sentence sentence;
    fprintf(stderr, "mnemo %s: %s\n", verb, mn_cli_sentence(sentence, err));
    return MN_EXIT_FAILED;
}

static void print_option(const mn_option *o) {
    if (o->kind == MN_OPT_HEADING) {
        printf("\n%s\n", o->names);
        return;
    }
    char left[128] = "";
    size_t used = 0;
    for (const char *name = o->names; *name;) {
        size_t n = strcspn(name, " ");
        bool is_short = n == 1 || (n <= 3 && name[n] == ' '); /* the short form of what follows */
        used += (size_t)snprintf(left + used, sizeof left - used, "%s%s%.*s", used ? ", " : "", is_short ? "-" : "--",
                                 (int)n, name);
        name += n + (name[n] == ' ');
    }
    if (o->value) snprintf(left + used, sizeof left - used, " %s", o->value);
    if (strlen(left) < 30)
        printf("  %-30s %s\n", left, o->help);
    else
        printf("  %s\n  %-30s %s\n", left, "", o->help);
}

static void print_help(const mn_usage *u) {
    printf("usage: mnemo %s %s\n\n%s\n", u->verb, u->synopsis, u->about);
    for (const mn_option *o = u->options; o->names; o++) {
        if (o == u->options && o->kind != MN_OPT_HEADING) puts("");
        print_option(o);
    }
    printf("\nexample:\n  %s\n", u->example);
}

static int wrong(const mn_usage *u, const char *format, const char *a, const char *b) {
    fprintf(stderr, "mnemo %s: ", u->verb);
    fprintf(stderr, format, a, b);
    fprintf(stderr, "\nusage: mnemo %s %s\ntry: mnemo %s --help\n", u->verb, u->synopsis, u->verb);
    return MN_EXIT_USAGE;
}

int mn_cli_wrong(const mn_usage *u, const char *sentence) { return wrong(u, "%s%s", sentence, ""); }

static bool has_name(const mn_option *o, const char *name, size_t bytes) {
    if (o->kind == MN_OPT_HEADING) return false;
    for (const char *p = o->names; *p;) {
        size_t n = strcspn(p, " ");
        if (n == bytes && !memcmp(p, name, n)) return true;
        p += n + (p[n] == ' ');
    }
    return false;
}

static const mn_option *find(const mn_usage *u, const char *name, size_t bytes) {
    for (const mn_option *o = u->options; o->names; o++)
        if (has_name(o, name, bytes)) return o;
    return NULL;
}

static bool in_range(const mn_option *o, double value) {
    return !isnan(value) && (o->max <= o->min || (value >= o->min && value <= o->max));
}

static bool read_int(const mn_option *o, const char *text) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || errno) return false;
    long long unit = *end == 'k' || *end == 'K'   ? 1024
                     : *end == 'm' || *end == 'M' ? 1048576
                     : *end == 'g' || *end == 'G' ? 1073741824
                                                  : 1;
    if (unit > 1) end++;
    if (*end || __builtin_mul_overflow(value, unit, &value) || !in_range(o, (double)value)) return false;
    *(int64_t *)o->target = value;
    return true;
}

static bool read_number(const mn_option *o, const char *text) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !in_range(o, value)) return false;
    *(double *)o->target = value;
    return true;
}

static bool read_amount(const mn_option *o, const char *text) {
    static const char suffixes[] = "kKmMbBtT";
    static const double units[] = {1e3, 1e6, 1e9, 1e12};
    char *end;
    double value = strtod(text, &end);
    const char *suffix = *end ? strchr(suffixes, *end) : NULL;
    if (suffix) {
        value *= units[(suffix - suffixes) / 2];
        end++;
    }
    if (end == text || *end || !in_range(o, value)) return false;
    *(double *)o->target = value;
    return true;
}

static bool store(const mn_option *o, const char *text) {
    mn_text_list *list = o->target;
    switch (o->kind) {
    case MN_OPT_TEXT: *(const char **)o->target = text; return true;
    case MN_OPT_TEXTS:
        if (list->n == (int)(sizeof list->items / sizeof *list->items)) return false;
        list->items[list->n++] = text;
        return true;
    case MN_OPT_INT: return read_int(o, text);
    case MN_OPT_NUMBER: return read_number(o, text);
    case MN_OPT_AMOUNT: return read_amount(o, text);
    default: return false;
    }
}

static int bad_value(const mn_usage *u, const mn_option *o, const char *name, const char *value) {
    if (o->max > o->min) {
        char limits[96];
        snprintf(limits, sizeof limits, "%s (wanted: %.10g to %.10g)", value, o->min, o->max);
        return wrong(u, "%s does not take %s.", name, limits);
    }
    return wrong(u, "%s does not take \"%s\".", name, value);
}

/* Handles argv[*i], an option; moves *i past its value. */
static int take_option(const mn_usage *u, int argc, char **argv, int *i) {
    const char *given = argv[*i], *name = given + (given[1] == '-' ? 2 : 1);
    size_t bytes = strcspn(name, "=");
    const mn_option *o = find(u, name, bytes);
    if (!o) return wrong(u, "there is no option %s%s.", given, "");
    if (o->kind == MN_OPT_FLAG) {
        if (name[bytes]) return wrong(u, "%s takes no value%s.", given, "");
        *(bool *)o->target = true;
        return -1;
    }
    const char *value = name[bytes] ? name + bytes + 1 : NULL;
    if (!value && *i + 1 >= argc) return wrong(u, "%s needs a value: %s.", given, o->value);
    if (!value) value = argv[++*i];
    return store(o, value) ? -1 : bad_value(u, o, given, value);
}

int mn_options_parse(const mn_usage *u, int argc, char **argv, mn_text_list *positional) {
    positional->n = 0;
    bool options_ended = false;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (!options_ended && !strcmp(arg, "--")) {
            options_ended = true;
        } else if (options_ended || arg[0] != '-' || !arg[1]) {
            if (positional->n >= u->max_positional) return wrong(u, "does not know what to do with \"%s\"%s.", arg, "");
            positional->items[positional->n++] = arg;
        } else if (!strcmp(arg, "--help") || !strcmp(arg, "-h")) {
            print_help(u);
            return MN_EXIT_DONE;
        } else {
            int code = take_option(u, argc, argv, &i);
            if (code >= 0) return code;
        }
    }
    if (positional->n < u->min_positional) return wrong(u, "needs more: %s%s.", u->synopsis, "");
    return -1;
}
