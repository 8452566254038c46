/* A configuration as it is written down, compared with an earlier one, and explained. */
#include "train/config_keys.h"

#include "base/checked.h"

#include <stdio.h>
#include <string.h>

/* A line each, as lines have a limit. */
static void write_paths(const mn_train_key *k, const char *list, mn_strbuf *out) {
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

static void write_value(const mn_train_key *k, const void *base, mn_strbuf *out) {
    const void *at = (const char *)base + k->offset;
    const char *text = k->type <= MN_KEY_PATHS ? *(const char *const *)at : NULL, *p = k->choices;
    if (k->type <= MN_KEY_PATHS && !text) return;
    if (k->type == MN_KEY_PATHS) {
        write_paths(k, text, out);
        return;
    }
    if (k->type == MN_KEY_NUMBER && *(const double *)at < k->min) return;
    if (k->type == MN_KEY_CHOICE && *(const int *)at < 0) return;
    mn_strbuf_printf(out, "%s = ", k->name);
    if (k->type == MN_KEY_TEXT) mn_strbuf_puts(out, text);
    if (k->type == MN_KEY_ESCAPED) write_escaped(text, out);
    if (k->type == MN_KEY_INT) mn_strbuf_printf(out, "%lld", (long long)*(const int64_t *)at);
    if (k->type == MN_KEY_NUMBER) mn_strbuf_printf(out, "%.17g", *(const double *)at);
    if (k->type == MN_KEY_BOOL) mn_strbuf_puts(out, *(const bool *)at ? "true" : "false");
    if (k->type == MN_KEY_CHOICE) {
        for (int i = *(const int *)at; i > 0; i--) p += strcspn(p, " ") + 1;
        mn_strbuf_put(out, p, strcspn(p, " "));
    }
    mn_strbuf_putc(out, '\n');
}

static void write_section(const char *kind, const char *name, const void *base, mn_strbuf *out) {
    mn_strbuf_printf(out, name ? "[%s %s]\n" : "[%s]\n", kind, name);
    for (int i = 0; i < mn_n_train_keys; i++)
        if (!strcmp(mn_train_keys[i].section, kind)) write_value(&mn_train_keys[i], base, out);
    mn_strbuf_putc(out, '\n');
}

/* Whether a run cannot go on with another value. */
static bool is_fixed(const mn_train_key *k) {
    static const char *const free[] = {"name", "ask-template", "merge"};
    if (!strcmp(k->section, "train")) return !strcmp(k->name, "window") || !strcmp(k->name, "optimiser");
    if (!strcmp(k->section, "memory"))
        return !strcmp(k->name, "segment") || !strcmp(k->name, "update") || !strcmp(k->name, "heads") ||
               !strcmp(k->name, "taps") || !strcmp(k->name, "mark");
    if (strcmp(k->section, "model") && strcmp(k->section, "positions") && strcmp(k->section, "lora")) return false;
    for (size_t i = 0; i < sizeof free / sizeof *free; i++)
        if (!strcmp(k->name, free[i])) return false;
    return true;
}

/* The line "name = value" of a section, its end included; "" where it has none. */
static const char *line_of(const char *text, const mn_train_key *k, size_t *bytes) {
    char start[MN_SECTION_BYTES];
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

static mn_status differs(const mn_train_key *k, const mn_strbuf *before, const mn_strbuf *now, mn_error *err) {
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
    for (int i = 0; i < mn_n_train_keys && status == MN_OK; i++) {
        size_t bytes;
        if (!is_fixed(&mn_train_keys[i])) continue;
        const char *line = line_of(text, &mn_train_keys[i], &bytes);
        mn_strbuf_reset(&now);
        mn_strbuf_reset(&before);
        write_value(&mn_train_keys[i], c, &now);
        if (bytes)
            mn_strbuf_put(&before, line, bytes);
        else
            write_value(&mn_train_keys[i], &standard, &before);
        if (now.failed || before.failed)
            status = mn_fail(err, MN_ERR_MEMORY, "no memory for a configuration.");
        else if (now.bytes != before.bytes || memcmp(now.data, before.data, now.bytes))
            status = differs(&mn_train_keys[i], &before, &now, err);
    }
    mn_strbuf_release(&now);
    mn_strbuf_release(&before);
    mn_train_config_release(&standard);
    return status;
}

void mn_train_config_write(const mn_train_config *c, mn_strbuf *out) {
    for (const char *const *section = mn_train_sections; *section; section++) write_section(*section, NULL, c, out);
    for (int i = 0; i < c->n_groups; i++) write_section("group", c->groups[i].name, &c->groups[i], out);
    for (int i = 0; i < c->n_sources; i++) write_section("source", c->sources[i].name, &c->sources[i], out);
}

void mn_train_config_help(mn_strbuf *out) {
    const char *section = "";
    for (int i = 0; i < mn_n_train_keys; i++) {
        const mn_train_key *k = &mn_train_keys[i];
        bool item = mn_train_section_is_named(k->section);
        if (strcmp(section, k->section)) mn_strbuf_printf(out, "\n[%s%s]\n", k->section, item ? " NAME" : "");
        section = k->section;
        bool shown = *k->standard && strcmp(k->standard, "-1");
        mn_strbuf_printf(out, "  %-20s %s%s%s%s%s%s%s\n", k->name, k->help, k->choices ? " (of " : "",
                         k->choices ? k->choices : "", k->choices ? ")" : "", shown ? " [" : "",
                         shown ? k->standard : "", shown ? "]" : "");
    }
}
