/* Filters that write HTML and URLs, or take HTML away. */
#include "base/checked.h"
#include "jinja/builtins.h"
#include "jinja/format.h"
#include "jinja/strings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool self_string(jinja_render *r, const jinja_args *args, jinja_string *out) {
    return mn_jinja_to_string(r, &args->self, out);
}

bool mn_jinja_filter_safe(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s;
    if (!self_string(r, args, &s)) return false;
    s.escaped = true;
    return mn_jinja_give_text(out, s);
}

bool mn_jinja_filter_escape(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s;
    if (!self_string(r, args, &s)) return false;
    return (s.escaped || mn_jinja_escape(r, s, &s)) && mn_jinja_give_text(out, s);
}

bool mn_jinja_filter_forceescape(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s;
    return self_string(r, args, &s) && mn_jinja_escape(r, s, &s) && mn_jinja_give_text(out, s);
}

/* The character that "&NAME;" or "&#NUMBER;" at p stands for; *bytes gets its length, 0 when it is none. */
static uint32_t entity(const char *p, size_t bytes, size_t *length) {
    static const struct {
        const char *name;
        uint32_t c;
    } named[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}, {"&nbsp;", 0xa0}};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        *length = strlen(named[i].name);
        if (bytes >= *length && memcmp(p, named[i].name, *length) == 0) return named[i].c;
    }
    char digits[12] = {0}, *end;
    *length = 0;
    if (bytes < 4 || memcmp(p, "&#", 2) != 0) return 0;
    memcpy(digits, p + 2, MN_MIN(bytes - 2, sizeof digits - 1));
    bool hex = digits[0] == 'x' || digits[0] == 'X';
    if (strspn(digits + hex, "0123456789abcdefABCDEF") == 0) return 0;
    unsigned long c = strtoul(digits + hex, &end, hex ? 16 : 10);
    if (*end != ';' || c == 0 || c > 0x10ffff) return 0;
    *length = (size_t)(end - digits) + 3;
    return (uint32_t)c;
}

/* Without comments and tags. */
static bool strip_tags(jinja_render *r, jinja_string s, jinja_string *out) {
    jinja_builder b = mn_jinja_build(r);
    size_t at = 0;
    while (at < s.bytes) {
        size_t open = mn_jinja_find(s, JINJA_STRING("<"), at);
        mn_jinja_put(&b, mn_jinja_part(s, at, MN_MIN(open, s.bytes)));
        if (open == SIZE_MAX) break;
        bool comment = s.bytes - open >= 4 && memcmp(s.text + open, "<!--", 4) == 0;
        jinja_string close = comment ? JINJA_STRING("-->") : JINJA_STRING(">");
        size_t end = mn_jinja_find(s, close, open + (comment ? 4 : 1));
        if (end == SIZE_MAX) {
            mn_jinja_put(&b, mn_jinja_part(s, open, s.bytes));
            break;
        }
        at = end + close.bytes;
        if (!mn_jinja_spend(r, 1)) return false;
    }
    return mn_jinja_built(&b, out);
}

/* Tags out, white space to single blanks, entities to characters. */
bool mn_jinja_filter_striptags(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_value no_separator = mn_jinja_undefined(NULL);
    jinja_string s;
    jinja_list *words;
    if (!self_string(r, args, &s) || !strip_tags(r, s, &s) || !mn_jinja_split(r, s, &no_separator, -1, &words))
        return false;
    jinja_builder b = mn_jinja_build(r);
    for (size_t i = 0; i < words->n; i++) {
        jinja_string word = words->items[i].string;
        if (i) mn_jinja_puts(&b, " ");
        for (size_t at = 0, end; at < word.bytes; at = end) {
            size_t length = 0;
            uint32_t c = word.text[at] == '&' ? entity(word.text + at, word.bytes - at, &length) : 0;
            end = at + (length ? length : 1);
            if (length)
                mn_jinja_put_char(&b, c, mn_jinja_marked_at(word, at));
            else
                mn_jinja_put(&b, mn_jinja_part(word, at, end));
        }
    }
    return mn_jinja_built(&b, &s) && mn_jinja_give_text(out, s);
}

static void put_url(jinja_builder *b, jinja_string s, bool in_query) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-~";
    for (size_t i = 0; i < s.bytes; i++) {
        char c = s.text[i], hex[4];
        if ((c && strchr(plain, c)) || (c == '/' && !in_query))
            mn_jinja_put(b, mn_jinja_part(s, i, i + 1));
        else if (c == ' ' && in_query)
            mn_jinja_put_bytes(b, "+", 1, mn_jinja_marked_at(s, i));
        else {
            snprintf(hex, sizeof hex, "%%%02X", (unsigned char)c);
            mn_jinja_put_bytes(b, hex, 3, mn_jinja_marked_at(s, i));
        }
    }
}

static bool put_query(jinja_builder *b, const jinja_value *name, const jinja_value *value) {
    jinja_string s;
    if (!mn_jinja_to_string(b->render, name, &s)) return false;
    put_url(b, s, true);
    mn_jinja_puts(b, "=");
    if (!mn_jinja_to_string(b->render, value, &s)) return false;
    put_url(b, s, true);
    return true;
}

/* The pairs of a dict or list as a query. */
static bool put_pairs(jinja_builder *b, const jinja_value *self) {
    jinja_list *items, *pair;
    if (!mn_jinja_iterate(b->render, self, &items)) return false;
    for (size_t i = 0; i < items->n; i++) {
        const jinja_value *value = self->kind == JINJA_DICT ? &self->dict->values[i] : NULL, *name = &items->items[i];
        if (i) mn_jinja_puts(b, "&");
        if (!value) {
            if (!mn_jinja_iterate(b->render, name, &pair)) return false;
            if (pair->n != 2)
                return mn_jinja_fail(b->render, MN_ERR_ARGUMENT, "urlencode needs pairs, not %zu values.", pair->n);
            name = &pair->items[0];
            value = &pair->items[1];
        }
        if (!put_query(b, name, value)) return false;
    }
    return true;
}

/* A text, or pairs. */
bool mn_jinja_filter_urlencode(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_builder b = mn_jinja_build(r);
    jinja_string s;
    if (args->self.kind == JINJA_DICT || args->self.kind == JINJA_LIST) {
        if (!put_pairs(&b, &args->self)) return false;
    } else if (self_string(r, args, &s))
        put_url(&b, s, false);
    return mn_jinja_built(&b, &s) && mn_jinja_give_text(out, s);
}

bool mn_jinja_filter_xmlattr(jinja_render *r, const jinja_args *args, jinja_value *out) {
    bool space = !mn_jinja_given(&args->values[0]) || mn_jinja_truth(&args->values[0]);
    jinja_builder b = mn_jinja_build(r);
    jinja_string s;
    if (args->self.kind != JINJA_DICT)
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "xmlattr needs a dict, not a %s.", mn_jinja_kind_name(&args->self));
    const jinja_dict *dict = args->self.dict;
    for (size_t i = 0; i < dict->n; i++) {
        if (!mn_jinja_stated(&dict->values[i])) continue;
        if (!mn_jinja_to_string(r, &dict->keys[i], &s)) return false;
        for (size_t at = 0; at < s.bytes; at++)
            if (strchr(" \t\n\r\f/>=", s.text[at]))
                return mn_jinja_fail(r, MN_ERR_ARGUMENT, "xmlattr: \"%.*s\" is no name of an attribute.",
                                     (int)MN_MIN(s.bytes, (size_t)64), s.text);
        if (space || b.bytes) mn_jinja_puts(&b, " ");
        if (!mn_jinja_escape(r, s, &s)) return false;
        mn_jinja_put(&b, s);
        mn_jinja_puts(&b, "=\"");
        if (!mn_jinja_to_string(r, &dict->values[i], &s) || (!s.escaped && !mn_jinja_escape(r, s, &s))) return false;
        mn_jinja_put(&b, s);
        mn_jinja_puts(&b, "\"");
    }
    return mn_jinja_built(&b, &s) && mn_jinja_give_text(out, s);
}
