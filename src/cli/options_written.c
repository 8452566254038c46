/* What is written is no file that is read: a picture in the place of its table would be the end of the table. */
#include "cli/options.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The same name, or one regular file under two. */
static bool is_same(const char *a, const char *b) {
    struct stat x, y;
    if (stat(a, &x) || stat(b, &y)) return !strcmp(a, b);
    return S_ISREG(x.st_mode) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Whether a row's value names a file, and not a title or a pattern. */
static bool names_file(const mn_option *o) {
    bool is_text = o->kind == MN_OPT_TEXT || o->kind == MN_OPT_TEXTS;
    return is_text && (!strcmp(o->value, "FILE") || !strcmp(o->value, "PATH") || !strcmp(o->value, "OUT"));
}

static bool holds(const mn_option *o, const char *path) {
    if (o->kind == MN_OPT_TEXT) return *o->to.text && is_same(*o->to.text, path);
    for (int i = 0; i < o->to.texts->n; i++)
        if (is_same(o->to.texts->items[i], path)) return true;
    return false;
}

static void say(const mn_option *written, const char *path, const char *other, char *out, size_t out_bytes) {
    char name[MN_OPTION_NAME_BYTES];
    const char *at = written->names;
    mn_option_next_name(written, &at, name);
    snprintf(out, out_bytes, "%s would write over \"%.300s\", which is also %.300s; name another file.", name, path,
             other);
}

bool mn_options_clash(const mn_usage *u, const mn_text_list *words, char *out, size_t out_bytes) {
    mn_option_walk walk = {.at = u->options};
    for (const mn_option *o; (o = mn_option_next(&walk));) {
        const char *path = o->traits & MN_OPT_WRITTEN ? *o->to.text : NULL;
        mn_option_walk others = {.at = u->options};
        for (const mn_option *other; path && (other = mn_option_next(&others));) {
            char name[MN_OPTION_NAME_BYTES];
            const char *at = other->names;
            if (other == o || !names_file(other) || !holds(other, path)) continue;
            mn_option_next_name(other, &at, name);
            say(o, path, name, out, out_bytes);
            return true;
        }
        for (int i = 0; path && i < words->n; i++)
            if (is_same(words->items[i], path)) {
                say(o, path, "what is read", out, out_bytes);
                return true;
            }
    }
    return false;
}
