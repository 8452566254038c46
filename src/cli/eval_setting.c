/* Settings of mnemo eval compare: the flags that change a session, as NAME=VALUE. */
#include "cli/eval.h"

#include "base/safe_text.h"

#include <stdlib.h>
#include <string.h>

/* Where the value ends: at a comma behind which a NAME= stands, or at the end. */
static size_t value_bytes(const char *value) {
    size_t n = strcspn(value, ",");
    while (value[n]) {
        size_t next = strcspn(value + n + 1, ",=");
        if (value[n + 1 + next] == '=') break;
        n += 1 + next;
    }
    return n;
}

/* Copies of values, which live as long as the program, as those in argv do. */
typedef struct copy {
    struct copy *next;
    char text[];
} copy;

static char *keep(const char *value, size_t bytes) {
    static copy *kept;
    copy *c = calloc(1, sizeof *c + bytes + 1);
    if (!c) return NULL;
    memcpy(c->text, value, bytes);
    c->next = kept;
    kept = c;
    return c->text;
}

/* Flags of the rows that change no session but the model, which all settings share. */
static bool is_of_model(const mn_option *o) {
    static const char *const names[] = {"m model", "t threads", "lora", "experts-on-disk"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(o->names, names[i])) return true;
    return false;
}

static const mn_option *find(const char *name, size_t bytes) {
    const mn_option *o = mn_option_find(mn_model_option_rows, name, bytes);
    if (!o) o = mn_option_find(mn_position_option_rows, name, bytes);
    return o && !is_of_model(o) ? o : NULL;
}

/* The row with its target, which lies in mn_given_model, at the same place of *o. */
static mn_option row_for(const mn_option *row, mn_model_options *o) {
    mn_option own = *row;
    own.to.text = (const char **)(void *)((char *)o + ((const char *)row->to.text - (const char *)&mn_given_model));
    return own;
}

static mn_status apply_one(mn_model_options *o, const char *name, size_t name_bytes, const char *value, size_t bytes,
                           mn_error *err) {
    char wanted[MN_OPTION_WANTED_BYTES];
    const mn_option *row = find(name, name_bytes);
    if (!row)
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "--settings: there is no setting \"%.*s\"; known are the flags that change a "
                       "session, as attn, ctk, ctv, pos, rope-scaling, c.",
                       (int)name_bytes, name);
    char *text = keep(value, bytes);
    if (!text) return mn_fail(err, MN_ERR_MEMORY, "no memory for a setting.");
    mn_option own = row_for(row, o);
    if (mn_option_read(&own, text)) return MN_OK;
    return mn_fail(err, MN_ERR_ARGUMENT, "--settings: %.*s does not take \"%s\" (wanted: %s).", (int)name_bytes, name,
                   text, mn_option_wanted(row, wanted));
}

mn_status mn_eval_apply_setting(mn_model_options *o, const char *text, mn_error *err) {
    for (const char *p = text; *p;) {
        size_t name = strcspn(p, "=");
        if (!p[name]) return mn_fail(err, MN_ERR_ARGUMENT, "--settings: \"%s\" is no NAME=VALUE.", p);
        const char *value = p + name + 1;
        size_t bytes = value_bytes(value);
        MN_TRY(apply_one(o, p, name, value, bytes, err));
        p = value + bytes + (value[bytes] == ',');
    }
    return MN_OK;
}

mn_status mn_eval_check_settings(const mn_text_list *settings, mn_error *err) {
    mn_result result;
    if (settings->n > MN_MAX_SETTINGS)
        return mn_fail(err, MN_ERR_ARGUMENT, "%d settings are compared; at most %d can be.", settings->n,
                       MN_MAX_SETTINGS);
    for (int i = 0; i < settings->n; i++) {
        mn_model_options o = mn_given_model;
        const char *text = settings->items[i];
        size_t bytes = strlen(text);
        if (bytes >= sizeof result.setting)
            return mn_fail(err, MN_ERR_ARGUMENT, "--settings: \"%.40s...\" has %zu bytes; results name %zu at most.",
                           text, bytes, sizeof result.setting - 1);
        memcpy(result.setting, text, bytes + 1);
        mn_text_make_utf8(result.setting, bytes);
        if (strcmp(result.setting, text))
            return mn_fail(err, MN_ERR_ARGUMENT, "--settings: \"%s\" is no UTF-8, and results are.", text);
        for (int k = 0; k < i; k++)
            if (!strcmp(settings->items[k], text))
                return mn_fail(err, MN_ERR_ARGUMENT, "--settings: \"%s\" is given twice.", text);
        MN_TRY(mn_eval_apply_setting(&o, text, err));
    }
    return MN_OK;
}
