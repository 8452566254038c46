/* A configuration as it is read: defaults, lines of a file, KEY=VALUE. */
#include "train/config_keys.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/nearest.h"
#include "base/strbuf.h"

#include <errno.h>
#include <ini.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LINE = 190, MAX_FILE_BYTES = 1 << 20 };

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

static bool read_int(const mn_train_key *k, const char *text, int64_t *out) {
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

static bool read_number(const mn_train_key *k, const char *text, double *out) {
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
static bool store_text(mn_train_config *c, const mn_train_key *k, const char **at, const char *text, bool adds) {
    if (!*text) {
        if (!adds) *at = NULL;
        return true;
    }
    if (!fits_a_line(text)) return false;
    if (k->type == MN_KEY_ESCAPED)
        *at = unescaped(c, text);
    else
        *at = k->type == MN_KEY_PATHS && adds && *at ? joined(c, *at, text) : keep(c, text);
    return *at != NULL;
}

/* adds: a list is made longer, else replaced. */
static bool store(mn_train_config *c, const mn_train_key *k, void *base, const char *text, bool adds) {
    void *at = (char *)base + k->offset;
    switch (k->type) {
    case MN_KEY_TEXT:
    case MN_KEY_ESCAPED:
    case MN_KEY_PATHS: return store_text(c, k, at, text, adds);
    case MN_KEY_INT: return read_int(k, text, at);
    case MN_KEY_NUMBER: return read_number(k, text, at);
    case MN_KEY_BOOL: return read_bool(text, at);
    case MN_KEY_CHOICE: {
        int i = choice_of(k->choices, text);
        if (i >= 0) *(int *)at = i;
        return i >= 0;
    }
    }
    return false;
}

static void set_standard(mn_train_config *c, const char *section, void *base) {
    for (int i = 0; i < mn_n_train_keys; i++) {
        if (strcmp(mn_train_keys[i].section, section)) continue;
        void *at = (char *)base + mn_train_keys[i].offset;
        if (!strcmp(mn_train_keys[i].standard, "-1")) {
            if (mn_train_keys[i].type == MN_KEY_NUMBER)
                *(double *)at = -1;
            else
                *(int *)at = -1;
        } else {
            store(c, &mn_train_keys[i], base, mn_train_keys[i].standard, false);
        }
    }
}

void mn_train_config_init(mn_train_config *c) {
    *c = (mn_train_config){.arena = MN_ARENA_INIT};
    for (const char *const *section = mn_train_sections; *section; section++) set_standard(c, *section, c);
}

void mn_train_config_release(mn_train_config *c) { mn_arena_release(&c->arena); }

static const char *nearest_key(const char *section, const char *name) {
    mn_nearest nearest = {.given = name};
    for (int i = 0; i < mn_n_train_keys; i++)
        if (!strcmp(mn_train_keys[i].section, section)) mn_nearest_try(&nearest, mn_train_keys[i].name);
    return nearest.best;
}

static mn_status no_such_key(const char *section, const char *name, mn_error *err) {
    const char *near = nearest_key(section, name);
    if (near)
        return mn_fail(err, MN_ERR_ARGUMENT, "[%s] has no key \"%s\"; the nearest is \"%s\".", section, name, near);
    return mn_fail(err, MN_ERR_ARGUMENT, "[%s] has no key \"%s\".", section, name);
}

static mn_status no_such_section(const char *section, mn_error *err) {
    return mn_fail(err, MN_ERR_ARGUMENT,
                   "there is no section [%s]; known: [model] [positions] [train] [lora] [loss] [router] [memory] "
                   "[gate-fit] [group NAME] [source NAME].",
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
static mn_status find_section(mn_train_config *c, const char *section, char kind[MN_SECTION_BYTES], void **base,
                              mn_error *err) {
    size_t n = strcspn(section, " ");
    const char *name = section + n + strspn(section + n, " ");
    snprintf(kind, MN_SECTION_BYTES, "%.*s", (int)n, section);
    bool item = mn_train_section_is_named(kind), known = item;
    for (int i = 0; i < mn_n_train_keys; i++) known |= !strcmp(mn_train_keys[i].section, kind);
    if (!known || (!item && *name)) return no_such_section(section, err);
    *base = c;
    if (!item) return MN_OK;
    if (!*name || strlen(name) >= MN_NAME_BYTES)
        return mn_fail(err, MN_ERR_ARGUMENT, "[%s] needs a name of 1 to %d bytes: [%s NAME].", kind, MN_NAME_BYTES - 1,
                       kind);
    return find_item(c, kind, name, base, err);
}

static mn_status bad_value(const mn_train_key *k, const char *value, mn_error *err) {
    const char *kinds[] = {[MN_KEY_INT] = "a whole number", [MN_KEY_NUMBER] = "a number"};
    if (k->type == MN_KEY_CHOICE)
        return mn_fail(err, MN_ERR_ARGUMENT, "%s.%s is \"%s\"; wanted one of: %s.", k->section, k->name, value,
                       k->choices);
    if (k->type == MN_KEY_BOOL)
        return mn_fail(err, MN_ERR_ARGUMENT, "%s.%s is \"%s\"; wanted true or false.", k->section, k->name, value);
    if (k->type <= MN_KEY_PATHS)
        return fits_a_line(value) ? mn_fail(err, MN_ERR_MEMORY, "no memory for %s.%s.", k->section, k->name)
                                  : mn_fail(err, MN_ERR_ARGUMENT,
                                            "%s.%s holds a control character, or \" ;\", which begins a comment.",
                                            k->section, k->name);
    return mn_fail(err, MN_ERR_ARGUMENT, "%s.%s is \"%s\"; wanted %s from %.10g to %.10g.", k->section, k->name, value,
                   kinds[k->type], k->min, k->max);
}

static mn_status set(mn_train_config *c, const char *section, const char *name, const char *value, bool adds,
                     mn_error *err) {
    char kind[MN_SECTION_BYTES];
    void *base = NULL;
    MN_TRY(find_section(c, section, kind, &base, err));
    for (int i = 0; i < mn_n_train_keys; i++)
        if (!strcmp(mn_train_keys[i].section, kind) && !strcmp(mn_train_keys[i].name, name))
            return store(c, &mn_train_keys[i], base, value, adds) ? MN_OK : bad_value(&mn_train_keys[i], value, err);
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
static mn_status section_of(const char *name, char out[MN_SECTION_BYTES], mn_error *err) {
    int n = 0;
    for (int i = 0; i < mn_n_train_keys; i++) {
        if (strcmp(mn_train_keys[i].name, name) || mn_train_section_is_named(mn_train_keys[i].section)) continue;
        snprintf(out, MN_SECTION_BYTES, "%s", mn_train_keys[i].section);
        n++;
    }
    if (n == 1) return MN_OK;
    if (n > 1)
        return mn_fail(err, MN_ERR_ARGUMENT, "several sections have a key \"%s\"; write SECTION.%s=.", name, name);
    return no_such_key("train", name, err);
}

mn_status mn_train_config_set(mn_train_config *c, const char *assignment, mn_error *err) {
    const char *equals = strchr(assignment, '=');
    char left[MN_SECTION_BYTES], section[MN_SECTION_BYTES];
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

mn_status mn_train_config_set_key(mn_train_config *config, const char *key, const char *value, mn_error *err) {
    mn_strbuf text = MN_STRBUF_INIT;
    if (!value) return MN_OK;
    mn_strbuf_printf(&text, "%s=%s", key, value);
    mn_status status = text.failed ? mn_fail(err, MN_ERR_MEMORY, "no memory for %s.", key)
                                   : mn_train_config_set(config, text.data, err);
    mn_strbuf_release(&text);
    return status;
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
