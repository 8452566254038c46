/* Methods and attributes of values, and the functions every template has. */
#include "base/checked.h"
#include "jinja/builtins.h"
#include "jinja/eval.h"
#include "jinja/format.h"
#include "jinja/strings.h"

#include <string.h>
#include <time.h>

static bool give_string(jinja_value *out, jinja_string s) {
    *out = mn_jinja_text(s);
    return true;
}

static bool need_string(jinja_render *r, const char *what, const jinja_value *value, jinja_string *out) {
    if (value->kind != JINJA_STRING_KIND)
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "%s needs a string, not a %s.", what, mn_jinja_kind_name(value));
    *out = value->string;
    return true;
}

static bool strip(jinja_render *r, const jinja_args *args, bool left, bool right, jinja_value *out) {
    jinja_string s;
    return mn_jinja_strip(r, args->self.string, &args->values[0], left, right, &s) && give_string(out, s);
}

static bool method_strip(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return strip(r, args, true, true, out);
}

static bool method_lstrip(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return strip(r, args, true, false, out);
}

static bool method_rstrip(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return strip(r, args, false, true, out);
}

static bool change_case(jinja_render *r, const jinja_args *args, jinja_case to, jinja_value *out) {
    jinja_string s;
    return mn_jinja_change_case(r, args->self.string, to, &s) && give_string(out, s);
}

static bool method_upper(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return change_case(r, args, JINJA_UPPER, out);
}

static bool method_lower(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return change_case(r, args, JINJA_LOWER, out);
}

static bool method_title(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return change_case(r, args, JINJA_TITLE, out);
}

static bool method_capitalize(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return change_case(r, args, JINJA_CAPITALIZE, out);
}

static bool method_replace(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s, old, new;
    int64_t max = args->values[2].kind == JINJA_INT ? args->values[2].integer : -1;
    return need_string(r, "replace", &args->values[0], &old) && need_string(r, "replace", &args->values[1], &new) &&
           mn_jinja_replace(r, args->self.string, old, new, max, &s) && give_string(out, s);
}

static bool method_split(jinja_render *r, const jinja_args *args, jinja_value *out) {
    int64_t max = args->values[1].kind == JINJA_INT ? args->values[1].integer : -1;
    out->kind = JINJA_LIST;
    return mn_jinja_split(r, args->self.string, &args->values[0], max, &out->list);
}

static bool method_rsplit(jinja_render *r, const jinja_args *args, jinja_value *out) {
    int64_t max = args->values[1].kind == JINJA_INT ? args->values[1].integer : -1;
    jinja_string separator;
    out->kind = JINJA_LIST;
    return need_string(r, "rsplit", &args->values[0], &separator) &&
           mn_jinja_split_right(r, args->self.string, separator, max, &out->list);
}

static bool method_splitlines(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_value newline = mn_jinja_text(JINJA_STRING("\n"));
    out->kind = JINJA_LIST;
    if (!mn_jinja_split(r, args->self.string, &newline, -1, &out->list)) return false;
    if (out->list->items[out->list->n - 1].string.bytes == 0) out->list->n--;
    return true;
}

static bool has_affix(jinja_string s, jinja_string affix, bool at_end) {
    if (affix.bytes > s.bytes) return false;
    size_t begin = at_end ? s.bytes - affix.bytes : 0;
    return memcmp(s.text + begin, affix.text, affix.bytes) == 0;
}

/* startswith and endswith take one string or a list of them. */
static bool affix(jinja_render *r, const jinja_args *args, bool at_end, jinja_value *out) {
    const jinja_value *wanted = &args->values[0];
    size_t n = 1;
    if (wanted->kind == JINJA_LIST) {
        n = wanted->list->n;
        wanted = wanted->list->items;
    }
    *out = mn_jinja_bool(false);
    for (size_t i = 0; i < n && !out->boolean; i++) {
        jinja_string s;
        if (!need_string(r, at_end ? "endswith" : "startswith", &wanted[i], &s)) return false;
        out->boolean = has_affix(args->self.string, s, at_end);
        if (!mn_jinja_spend(r, 1 + s.bytes / 16)) return false;
    }
    return true;
}

static bool method_startswith(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return affix(r, args, false, out);
}

static bool method_endswith(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return affix(r, args, true, out);
}

static bool method_removeprefix(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s = args->self.string, prefix;
    if (!need_string(r, "removeprefix", &args->values[0], &prefix)) return false;
    return give_string(out, has_affix(s, prefix, false) ? mn_jinja_part(s, prefix.bytes, s.bytes) : s);
}

static bool method_removesuffix(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s = args->self.string, suffix;
    if (!need_string(r, "removesuffix", &args->values[0], &suffix)) return false;
    return give_string(out, has_affix(s, suffix, true) ? mn_jinja_part(s, 0, s.bytes - suffix.bytes) : s);
}

static bool method_find(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s = args->self.string, needle;
    if (!need_string(r, "find", &args->values[0], &needle) || !mn_jinja_spend(r, s.bytes / 16)) return false;
    size_t found = mn_jinja_find(s, needle, 0);
    *out = mn_jinja_int(found == SIZE_MAX ? -1 : (int64_t)mn_jinja_n_chars(mn_jinja_part(s, 0, found)));
    return true;
}

static bool method_count(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_value *needle = &args->values[0];
    jinja_list *parts;
    jinja_string unused;
    if (!need_string(r, "count", needle, &unused) || !mn_jinja_split(r, args->self.string, needle, -1, &parts))
        return false;
    *out = mn_jinja_int((int64_t)parts->n - 1);
    return true;
}

static bool method_isdigit(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s = args->self.string;
    bool all = s.bytes > 0;
    for (size_t i = 0; all && i < s.bytes; i++) all = s.text[i] >= '0' && s.text[i] <= '9';
    *out = mn_jinja_bool(all);
    return mn_jinja_spend(r, s.bytes / 16);
}

static bool method_join(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_args turned = {.self = args->values[0], .values = {args->self}};
    return mn_jinja_filter("join")->call(r, &turned, out);
}

static bool method_items(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return mn_jinja_filter("items")->call(r, args, out);
}

static bool method_keys(jinja_render *r, const jinja_args *args, jinja_value *out) {
    out->kind = JINJA_LIST;
    return mn_jinja_iterate(r, &args->self, &out->list);
}

static bool method_values(jinja_render *r, const jinja_args *args, jinja_value *out) {
    out->kind = JINJA_LIST;
    if (!mn_jinja_new_list(r, 0, &out->list)) return false;
    *out->list = (jinja_list){args->self.dict->values, args->self.dict->n, args->self.dict->n};
    return true;
}

static bool method_get(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_value *found;
    if (!mn_jinja_dict_find(r, args->self.dict, &args->values[0], &found)) return false;
    bool has_default = args->values[1].kind != JINJA_UNDEFINED;
    *out = found ? *found : has_default ? args->values[1] : (jinja_value){.kind = JINJA_NONE};
    return true;
}

#define STRING_METHOD(name, ...) BUILTIN(#name, method_##name, .receiver = JINJA_STRING_KIND, ##__VA_ARGS__)
#define DICT_METHOD(name, ...) BUILTIN(#name, method_##name, .receiver = JINJA_DICT, ##__VA_ARGS__)

static const jinja_builtin methods[] = {
    STRING_METHOD(capitalize),
    STRING_METHOD(count, .params = {"sub"}, .n_required = 1),
    STRING_METHOD(endswith, .params = {"suffix"}, .n_required = 1),
    STRING_METHOD(find, .params = {"sub"}, .n_required = 1),
    STRING_METHOD(isdigit),
    STRING_METHOD(join, .params = {"iterable"}, .n_required = 1),
    STRING_METHOD(lower),
    STRING_METHOD(lstrip, .params = {"chars"}),
    STRING_METHOD(removeprefix, .params = {"prefix"}, .n_required = 1),
    STRING_METHOD(removesuffix, .params = {"suffix"}, .n_required = 1),
    STRING_METHOD(replace, .params = {"old", "new", "count"}, .n_required = 2),
    STRING_METHOD(rsplit, .params = {"sep", "maxsplit"}, .n_required = 1),
    STRING_METHOD(rstrip, .params = {"chars"}),
    STRING_METHOD(split, .params = {"sep", "maxsplit"}),
    STRING_METHOD(splitlines),
    STRING_METHOD(startswith, .params = {"prefix"}, .n_required = 1),
    STRING_METHOD(strip, .params = {"chars"}),
    STRING_METHOD(title),
    STRING_METHOD(upper),
    DICT_METHOD(get, .params = {"key", "default"}, .n_required = 1),
    DICT_METHOD(items),
    DICT_METHOD(keys),
    DICT_METHOD(values),
};
enum { N_METHODS = sizeof methods / sizeof *methods };

const jinja_builtin *mn_jinja_method(jinja_kind receiver, const char *name) {
    for (int i = 0; i < N_METHODS; i++)
        if (methods[i].receiver == receiver && strcmp(methods[i].name, name) == 0) return &methods[i];
    return NULL;
}

bool mn_jinja_is_method(const char *name) {
    return mn_jinja_method(JINJA_STRING_KIND, name) || mn_jinja_method(JINJA_DICT, name);
}

static bool function_range(jinja_render *r, const jinja_args *args, jinja_value *out) {
    int64_t bounds[3] = {0, 0, 1};
    int n = 0;
    for (; n < 3 && args->values[n].kind != JINJA_UNDEFINED; n++) {
        if (args->values[n].kind != JINJA_INT) return mn_jinja_fail(r, MN_ERR_ARGUMENT, "range needs whole numbers.");
        bounds[n] = args->values[n].integer;
    }
    int64_t start = n == 1 ? 0 : bounds[0], stop = n == 1 ? bounds[0] : bounds[1], step = bounds[2];
    if (step == 0) return mn_jinja_fail(r, MN_ERR_ARGUMENT, "range: the step is 0.");
    out->kind = JINJA_LIST;
    if (!mn_jinja_new_list(r, 0, &out->list)) return false;
    for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
        if (!mn_jinja_push(r, out->list, mn_jinja_int(i))) return false;
        if (__builtin_add_overflow(i, step, &i)) break;
    }
    return true;
}

static bool collect(jinja_render *r, const jinja_args *args, jinja_kind kind, jinja_value *out) {
    const jinja_value *first = &args->values[0];
    *out = (jinja_value){.kind = kind, .dict = args->keywords};
    if (first->kind == JINJA_UNDEFINED) return true;
    if (first->kind != JINJA_DICT)
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "a dict is needed, not a %s.", mn_jinja_kind_name(first));
    for (size_t i = 0; i < first->dict->n; i++)
        if (!mn_jinja_dict_set(r, out->dict, first->dict->keys[i], first->dict->values[i])) return false;
    return true;
}

static bool function_namespace(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return collect(r, args, JINJA_NAMESPACE, out);
}

static bool function_dict(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return collect(r, args, JINJA_DICT, out);
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
    char format[64] = {0}, text[256];
    time_t now = (time_t)r->now;
    struct tm parts;
    jinja_string s;
    if (!need_string(r, "strftime_now", &args->values[0], &s)) return false;
    if (s.bytes == 0 || s.bytes >= sizeof format || !localtime_r(&now, &parts))
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "strftime_now: the format is empty or longer than %zu bytes.",
                             sizeof format - 1);
    memcpy(format, s.text, s.bytes);
    size_t bytes = strftime(text, sizeof text, format, &parts);
    jinja_builder b = mn_jinja_build(r);
    mn_jinja_put_bytes(&b, text, bytes, mn_jinja_is_marked(s));
    *out = mn_jinja_text((jinja_string){0});
    return mn_jinja_built(&b, &out->string);
}

const jinja_builtin *mn_jinja_function(const char *name) {
    static const jinja_builtin functions[] = {
        {"dict", function_dict, .params = {"values"}, .any_keywords = true},
        {"namespace", function_namespace, .params = {"values"}, .any_keywords = true},
        {"raise_exception", function_raise_exception, .params = {"message"}, .n_required = 1},
        {"range", function_range, .params = {"start", "stop", "step"}, .n_required = 1},
        {"strftime_now", function_strftime_now, .params = {"format"}, .n_required = 1},
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strcmp(functions[i].name, name) == 0) return &functions[i];
    return NULL;
}

static jinja_value item_or_undefined(const jinja_list *items, size_t at, const char *name) {
    return at < items->n ? items->items[at] : mn_jinja_undefined(name);
}

static bool loop_attribute(const jinja_loop *loop, const char *name, jinja_value *out) {
    int64_t index = (int64_t)loop->index, n = (int64_t)loop->items->n;
    const struct {
        const char *name;
        jinja_value value;
    } attributes[] = {
        {"index", mn_jinja_int(index + 1)},
        {"index0", mn_jinja_int(index)},
        {"revindex", mn_jinja_int(n - index)},
        {"revindex0", mn_jinja_int(n - index - 1)},
        {"first", mn_jinja_bool(index == 0)},
        {"last", mn_jinja_bool(index == n - 1)},
        {"length", mn_jinja_int(n)},
        {"previtem", item_or_undefined(loop->items, loop->index - 1, "loop.previtem")},
        {"nextitem", item_or_undefined(loop->items, loop->index + 1, "loop.nextitem")},
    };
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++) {
        if (strcmp(attributes[i].name, name) != 0) continue;
        *out = attributes[i].value;
        return true;
    }
    return false;
}

static bool bind_method(jinja_render *r, const jinja_builtin *builtin, const jinja_value *value, jinja_value *out) {
    jinja_value *self = mn_jinja_alloc(r, 1, sizeof *self);
    if (!self) return false;
    *self = *value;
    *out = (jinja_value){.kind = JINJA_METHOD, .method = {builtin, self}};
    return true;
}

/* A name as a C string in the arena: what error messages and tables need. */
static const char *c_string(jinja_render *r, jinja_string name) {
    char *text = mn_jinja_alloc(r, name.bytes + 1, 1);
    if (!text) return NULL;
    memcpy(text, name.text, name.bytes);
    text[name.bytes] = 0;
    return text;
}

bool mn_jinja_attribute(jinja_render *r, const jinja_value *value, jinja_string name, jinja_value *out) {
    if (value->kind == JINJA_UNDEFINED)
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "\"%s\" is undefined, so it has no \"%.*s\".",
                             value->name ? value->name : "a value", (int)MN_MIN(name.bytes, (size_t)64), name.text);
    const char *text = c_string(r, name);
    if (!text) return false;
    const jinja_builtin *method = mn_jinja_method(value->kind, text);
    if (method) return bind_method(r, method, value, out);
    jinja_value *found = NULL;
    if (value->kind == JINJA_DICT || value->kind == JINJA_NAMESPACE) found = mn_jinja_dict_get(value->dict, name);
    *out = found ? *found : mn_jinja_undefined(text);
    if (value->kind == JINJA_LOOP && !loop_attribute(value->loop, text, out))
        return mn_jinja_fail(r, MN_ERR_UNSUPPORTED, "there is no \"loop.%s\" here.", text);
    return true;
}

static bool item_at(jinja_render *r, const jinja_value *value, int64_t index, jinja_value *out) {
    jinja_value start = mn_jinja_int(index), stop = mn_jinja_undefined(NULL);
    *out = mn_jinja_undefined("an item");
    if (value->kind == JINJA_LIST) {
        int64_t n = (int64_t)value->list->n;
        if (index >= -n && index < n) *out = value->list->items[index < 0 ? index + n : index];
        return true;
    }
    if (!mn_jinja_spend(r, value->string.bytes / 16)) return false;
    int64_t n = (int64_t)mn_jinja_n_chars(value->string);
    if (index < -n || index >= n) return true;
    if (index != -1) stop = mn_jinja_int(index + 1);
    const jinja_value bounds[3] = {start, stop, mn_jinja_undefined(NULL)};
    return mn_jinja_slice(r, value, bounds, out);
}

bool mn_jinja_subscript(jinja_render *r, const jinja_value *value, const jinja_value *key, jinja_value *out) {
    if (value->kind == JINJA_DICT) {
        jinja_value *found;
        if (!mn_jinja_dict_find(r, value->dict, key, &found)) return false;
        if (found) {
            *out = *found;
            return true;
        }
    }
    if (key->kind == JINJA_STRING_KIND) return mn_jinja_attribute(r, value, key->string, out);
    if (key->kind == JINJA_INT && (value->kind == JINJA_LIST || value->kind == JINJA_STRING_KIND))
        return item_at(r, value, key->integer, out);
    if (value->kind == JINJA_UNDEFINED) return mn_jinja_attribute(r, value, JINJA_STRING("item"), out);
    *out = mn_jinja_undefined("an item");
    return true;
}
