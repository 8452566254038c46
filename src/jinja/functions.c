/* The functions that every template has: Jinja's own, and those of Hugging Face's apply_chat_template. */
#include "base/checked.h"
#include "jinja/builtins.h"
#include "jinja/format.h"

#include <string.h>
#include <time.h>

static bool function_range(jinja_render *r, const jinja_args *args, jinja_value *out) {
    int64_t bounds[3] = {0, 0, 1};
    int n = 0;
    for (; n < 3 && mn_jinja_given(&args->values[n]); n++)
        if (!mn_jinja_integer(&args->values[n], &bounds[n]))
            return mn_jinja_fail(r, MN_ERR_ARGUMENT, "range needs whole numbers.");
    int64_t start = n == 1 ? 0 : bounds[0], stop = n == 1 ? bounds[0] : bounds[1], step = bounds[2];
    if (step == 0) return mn_jinja_fail(r, MN_ERR_ARGUMENT, "range: the step is 0.");
    *out = (jinja_value){.kind = JINJA_LIST};
    if (!mn_jinja_new_list(r, 0, &out->list)) return false;
    for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
        if (!mn_jinja_push(r, out->list, mn_jinja_int(i))) return false;
        if (__builtin_add_overflow(i, step, &i)) break;
    }
    return true;
}

/* The entries of a dict, or of a list of pairs. */
static bool add_entries(jinja_render *r, const jinja_value *from, jinja_dict *to) {
    jinja_list *pairs;
    for (size_t i = 0; from->kind == JINJA_DICT && i < from->dict->n; i++)
        if (!mn_jinja_dict_set(r, to, from->dict->keys[i], from->dict->values[i])) return false;
    if (from->kind == JINJA_DICT) return true;
    if (!mn_jinja_iterate(r, from, &pairs)) return false;
    for (size_t i = 0; i < pairs->n; i++) {
        jinja_list *pair;
        if (!mn_jinja_iterate(r, &pairs->items[i], &pair)) return false;
        if (pair->n != 2) return mn_jinja_fail(r, MN_ERR_ARGUMENT, "a dict is made of pairs, not of %zu.", pair->n);
        if (!mn_jinja_dict_set(r, to, pair->items[0], pair->items[1])) return false;
    }
    return true;
}

/* The entries of the first argument, then those by name: a name that is there already keeps its place. */
static bool collect(jinja_render *r, const jinja_args *args, jinja_kind kind, jinja_value *out) {
    const jinja_value names = {.kind = JINJA_DICT, .dict = args->names};
    *out = (jinja_value){.kind = kind};
    return mn_jinja_new_dict(r, &out->dict) && add_entries(r, &args->values[0], out->dict) &&
           add_entries(r, &names, out->dict);
}

static bool function_namespace(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return collect(r, args, JINJA_NAMESPACE, out);
}

static bool function_dict(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return collect(r, args, JINJA_DICT, out);
}

static bool function_cycler(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_cycler *cycler = mn_jinja_alloc(r, 1, sizeof *cycler);
    jinja_list *items;
    if (!cycler || !mn_jinja_new_list(r, 0, &items)) return false;
    if (args->rest.n == 0) return mn_jinja_fail(r, MN_ERR_ARGUMENT, "cycler needs what to cycle through.");
    *items = args->rest;
    *cycler = (jinja_cycler){.items = items};
    *out = (jinja_value){.kind = JINJA_CYCLER, .cycler = cycler};
    return true;
}

static bool function_joiner(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_joiner *joiner = mn_jinja_alloc(r, 1, sizeof *joiner);
    if (!joiner) return false;
    bool given = mn_jinja_given(&args->values[0]);
    *joiner = (jinja_joiner){.separator = given ? args->values[0] : mn_jinja_text(JINJA_STRING(", "))};
    *out = (jinja_value){.kind = JINJA_JOINER, .joiner = joiner};
    return true;
}

/* The template's own sentence, as it is. */
static bool function_raise_exception(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s;
    (void)out;
    if (mn_jinja_to_string(r, &args->values[0], &s))
        r->status = mn_fail(r->err, MN_ERR_ARGUMENT, "%.*s", (int)MN_MIN(s.bytes, (size_t)600), s.text);
    return false;
}

static bool function_strftime_now(jinja_render *r, const jinja_args *args, jinja_value *out) {
    char format[128] = {0}, text[512];
    time_t now = (time_t)r->now;
    struct tm parts;
    jinja_string s;
    if (!mn_jinja_need_string(r, "strftime_now", &args->values[0], &s)) return false;
    if (s.bytes >= sizeof format || !localtime_r(&now, &parts))
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "strftime_now: the format is longer than %zu bytes.",
                             sizeof format - 1);
    memcpy(format, s.text, s.bytes);
    size_t bytes = s.bytes ? strftime(text, sizeof text, format, &parts) : 0;
    jinja_builder b = mn_jinja_build(r);
    mn_jinja_put_bytes(&b, text, bytes, mn_jinja_is_marked(s));
    *out = mn_jinja_text((jinja_string){0});
    return mn_jinja_built(&b, &out->string);
}

const jinja_builtin *mn_jinja_function(const char *name) {
    static const jinja_builtin functions[] = {
        BUILTIN("cycler", function_cycler, .any_places = true),
        BUILTIN("dict", function_dict, .params = {"values"}, .any_names = true),
        BUILTIN("joiner", function_joiner, .params = {"sep"}),
        BUILTIN("namespace", function_namespace, .params = {"values"}, .any_names = true),
        BUILTIN("raise_exception", function_raise_exception, .params = {"message"}, .n_required = 1),
        BUILTIN("range", function_range, .params = {"start", "stop", "step"}, .n_required = 1),
        BUILTIN("strftime_now", function_strftime_now, .params = {"format"}, .n_required = 1),
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strcmp(functions[i].name, name) == 0) return &functions[i];
    return NULL;
}
