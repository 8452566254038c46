/* Random schemas of all keywords, and a validator by the standard's words. */
#ifndef MN_TESTS_RANDOM_SCHEMA_H
#define MN_TESTS_RANDOM_SCHEMA_H

#include "base/random.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static mn_random rng;

/* ---- random schemas ---- */

static uint32_t below(uint32_t n) { return mn_random_below(&rng, n); }

static json_t *random_schema(int depth);

static json_t *random_object(int depth) {
    static const char *const names[] = {"name", "a", "ab", "abc", "value", "\xc3\xa4", "x\"y", "kids"};
    json_t *schema = json_pack("{s:s}", "type", "object"), *properties = json_object(), *required = json_array();
    uint32_t n = below(5), at = below(4);
    for (uint32_t i = 0; i < n; i++, at++) {
        json_object_set_new(properties, names[at % 8], random_schema(depth + 1));
        if (below(2)) json_array_append_new(required, json_string(names[at % 8]));
    }
    if (below(8)) json_object_set(schema, "properties", properties);
    json_object_set(schema, "required", required);
    if (!below(3))
        json_object_set_new(schema, "additionalProperties", below(2) ? json_true() : random_schema(depth + 1));
    json_decref(properties);
    json_decref(required);
    return schema;
}

static json_t *random_array(int depth) {
    json_t *schema = json_pack("{s:s}", "type", "array");
    uint32_t min = below(3);
    if (below(4)) json_object_set_new(schema, "items", random_schema(depth + 1));
    if (!below(3))
        json_object_set_new(schema, "prefixItems",
                            json_pack("[o,o]", random_schema(depth + 1), random_schema(depth + 1)));
    if (below(2)) json_object_set_new(schema, "minItems", json_integer(min));
    if (below(2)) json_object_set_new(schema, "maxItems", json_integer(min + below(4)));
    return schema;
}

static json_t *random_string(void) {
    static const char *const patterns[] = {"^[a-f]{2,4}$", "^(ab|c)*\\d$", "x", "^\\s?\\S+$", "^[^a-z\"]{3}"};
    static const char *const formats[] = {"date",  "time", "date-time", "uuid",    "ipv4",
                                          "email", "uri",  "hostname",  "duration"};
    json_t *schema = json_pack("{s:s}", "type", "string");
    uint32_t min = below(6);
    switch (below(5)) {
    case 0: json_object_set_new(schema, "pattern", json_string(patterns[below(5)])); break;
    case 1: json_object_set_new(schema, "format", json_string(formats[below(9)])); break;
    case 2: json_object_set_new(schema, "maxLength", json_integer(min + below(20))); /* fall through */
    case 3: json_object_set_new(schema, "minLength", json_integer(min)); break;
    default: break;
    }
    return schema;
}

static json_t *random_number(void) {
    static const char *const keys[] = {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"};
    json_t *schema = json_pack("{s:s}", "type", below(2) ? "integer" : "number");
    int low = (int)below(400) - 200;
    if (below(2)) json_object_set_new(schema, keys[below(2)], json_integer(low));
    if (below(2)) json_object_set_new(schema, keys[2 + below(2)], json_integer(low + 2 + (int)below(1200)));
    return schema;
}

static json_t *random_schema(int depth) {
    switch (below(depth > 3 ? 5 : 9)) {
    case 0: return random_string();
    case 1: return random_number();
    case 2: return json_pack("{s:[s,i,n,b,{s:i}]}", "enum", "a\"\\\xc3\xa4", 12, 1, "k", 1);
    case 3: return json_pack("{s:[s,s]}", "type", "boolean", "null");
    case 4: return below(3) ? json_pack("{s:s}", "const", "fixed") : json_pack("{s:s}", "$ref", "#/$defs/tree");
    case 5:
    case 6: return random_object(depth);
    case 7: return random_array(depth);
    default: return json_pack("{s:[o,o]}", "anyOf", random_schema(depth + 1), random_schema(depth + 1));
    }
}

static json_t *with_tree(json_t *schema) {
    json_object_set_new(schema, "$defs",
                        json_pack("{s:{s:s,s:{s:{s:s},s:{s:s,s:{s:s}}},s:[s]}}", "tree", "type", "object", "properties",
                                  "v", "type", "integer", "kids", "type", "array", "items", "$ref", "#/$defs/tree",
                                  "required", "v"));
    return schema;
}

/* Schemas with the keywords that put schemas together, leave out or count; some accept nothing, or cannot be held. */
static json_t *random_further(int depth);

static json_t *random_names(int depth) {
    static const char *const patterns[] = {"^[a-f]{2,4}$", "x", "^(ab|c)*\\d$"};
    json_t *schema = json_pack("{s:s}", "type", "object"), *own = json_object(), *by_pattern = json_object();
    for (uint32_t i = 0, n = below(4); i < n; i++)
        json_object_set_new(by_pattern, patterns[below(3)], random_further(depth + 1));
    if (below(2)) json_object_set_new(own, "ab", random_further(depth + 1));
    if (below(2)) json_object_set_new(own, "kids", random_further(depth + 1));
    json_object_set(schema, "patternProperties", by_pattern);
    if (below(2)) json_object_set(schema, "properties", own);
    if (below(2))
        json_object_set_new(schema, "additionalProperties", below(2) ? json_false() : random_further(depth + 1));
    if (!below(3))
        json_object_set_new(schema, "propertyNames",
                            json_pack("{s:i, s:i}", "maxLength", 4, "minLength", (int)below(3)));
    if (!below(3)) json_object_set_new(schema, "minProperties", json_integer(1));
    if (!below(3)) json_object_set_new(schema, "maxProperties", json_integer(1 + (int)below(4)));
    if (!below(3)) json_object_set_new(schema, "required", json_pack("[s]", below(2) ? "ab" : "c1"));
    json_decref(own);
    json_decref(by_pattern);
    return schema;
}

static json_t *random_dependent(int depth) {
    json_t *schema = json_pack("{s:s, s:{s:{s:[s, s, s]}, s:o, s:o}}", "type", "object", "properties", "k", "enum", "p",
                               "q", "r", "a", random_further(depth + 1), "b", random_further(depth + 1));
    if (below(2)) json_object_set_new(schema, "dependentRequired", json_pack("{s:[s], s:[s]}", "a", "b", "b", "k"));
    if (below(2)) json_object_set_new(schema, "dependentSchemas", json_pack("{s:{s:i}}", "b", "minProperties", 2));
    if (below(2)) json_object_set_new(schema, "required", json_pack("[s]", "k"));
    if (below(2)) {
        json_object_set_new(schema, "if",
                            json_pack("{s:{s:{s:s}}, s:[s]}", "properties", "k", "const", "p", "required", "k"));
        json_object_set_new(schema, "then", json_pack("{s:[s]}", "required", "a"));
        if (below(2)) json_object_set_new(schema, "else", json_pack("{s:{s:b}}", "properties", "b", 0));
    }
    return schema;
}

static json_t *random_counted(int depth) {
    json_t *schema = json_pack("{s:s}", "type", "array");
    switch (below(4)) {
    case 0:
        json_object_set_new(schema, "uniqueItems", json_true());
        json_object_set_new(schema, "items",
                            below(2) ? json_pack("{s:[s, i, n, b, [i]]}", "enum", "u", 1, 1, 2)
                                     : json_pack("{s:s, s:i, s:i}", "type", "integer", "minimum", -3 - (int)below(9),
                                                 "maximum", (int)below(30)));
        break;
    case 1:
        json_object_set_new(schema, "not", json_pack("{s:{s:s}}", "contains", "type", "string"));
        json_object_set_new(schema, "items", json_pack("{s:[s, s, s]}", "type", "string", "null", "boolean"));
        break;
    default:
        json_object_set_new(schema, "contains", random_further(depth + 1));
        json_object_set_new(schema, "items", random_further(depth + 1));
        if (below(2)) json_object_set_new(schema, "minContains", json_integer(below(3)));
        if (below(2)) json_object_set_new(schema, "maxContains", json_integer(2 + below(3)));
        if (below(2)) json_object_set_new(schema, "prefixItems", json_pack("[o]", random_further(depth + 1)));
    }
    if (below(2)) json_object_set_new(schema, "minItems", json_integer(below(3)));
    if (below(2)) json_object_set_new(schema, "maxItems", json_integer(2 + below(4)));
    return schema;
}

static json_t *random_multiple(void) {
    static const double divisors[] = {2, 3, 7, 10, 12, 0.5, 0.25, 0.01, 100, 1.5};
    double low = ((double)below(400) - 200) / 4;
    json_t *schema = json_pack("{s:s}", "type", below(2) ? "integer" : "number");
    json_object_set_new(schema, below(2) ? "minimum" : "exclusiveMinimum", json_real(low));
    json_object_set_new(schema, below(2) ? "maximum" : "exclusiveMaximum", json_real(low + (double)below(2000) / 4));
    if (below(2)) json_object_set_new(schema, "multipleOf", json_real(divisors[below(10)]));
    if (!below(3)) json_object_set_new(schema, "not", json_pack("{s:f}", "multipleOf", divisors[below(5)]));
    if (!below(3)) json_object_set_new(schema, "allOf", json_pack("[{s:{s:[i, i, f]}}]", "not", "enum", 0, 3, 2.5));
    return schema;
}

static json_t *random_text(void) {
    json_t *schema = random_string(), *other = random_string(), *list = json_pack("[o]", other);
    if (below(2)) json_object_set_new(schema, "maxLength", json_integer(2 + below(40)));
    if (below(2))
        json_array_append_new(list, json_pack("{s:{s:s}}", "not", "pattern", below(2) ? "x" : "^[^a-z\"]{3}"));
    if (below(2)) json_array_append_new(list, json_pack("{s:{s:[s, s, s]}}", "not", "enum", "", "a", "ab1"));
    json_object_set(schema, "allOf", list);
    json_decref(list);
    return schema;
}

static json_t *random_further(int depth) {
    switch (below(depth > 2 ? 5 : 12)) {
    case 0: return random_multiple();
    case 1: return random_text();
    case 2: return json_pack("{s:[s, i, n], s:{s:i}}", "enum", "one", 7, "not", "const", 7);
    case 3: return json_pack("{s:[s, s, s], s:{s:[s]}}", "type", "boolean", "null", "integer", "not", "type", "null");
    case 4: return random_schema(3);
    case 5:
    case 6: return random_names(depth);
    case 7: return random_dependent(depth);
    case 8: return random_counted(depth);
    case 9: return json_pack("{s:[o, o]}", "oneOf", random_further(depth + 1), random_further(depth + 1));
    case 10: return json_pack("{s:[o, o]}", "allOf", random_further(depth + 1), random_further(depth + 1));
    default:
        return json_pack("{s:o, s:[o, o]}", "not", random_further(3), "anyOf", random_further(3), random_further(3));
    }
}

/* ---- a validator, by the standard's words ---- */

static size_t characters(const char *text) {
    size_t n = 0;
    for (; *text; text++) n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static bool among(char c, const char *set) { return c && strchr(set, c); }

/* The patterns and formats of random_string, one by one. */
static bool matches(const char *pattern, const char *t) {
    size_t n = strlen(t);
    if (!strcmp(pattern, "^[a-f]{2,4}$")) return n >= 2 && n <= 4 && strspn(t, "abcdef") == n;
    if (!strcmp(pattern, "x")) return strchr(t, 'x') != NULL;
    if (!strcmp(pattern, "^(ab|c)*\\d$")) {
        while (*t == 'c' || !strncmp(t, "ab", 2)) t += *t == 'c' ? 1 : 2;
        return among(*t, "0123456789") && !t[1];
    }
    if (!strcmp(pattern, "^\\s?\\S+$")) {
        if (among(*t, " \t\n\v\f\r"))
            t++;
        else if (!strncmp(t, "\xc2\xa0", 2))
            t += 2;
        else if (!strncmp(t, "\xe2\x80\xa8", 3) || !strncmp(t, "\xe2\x80\xa9", 3))
            t += 3;
        return *t && strcspn(t, " \t\n\v\f\r") == strlen(t) && !strstr(t, "\xc2\xa0");
    }
    size_t count = 0;
    for (; *t && count < 3; count++) {
        if ((*t >= 'a' && *t <= 'z') || *t == '"') return false;
        for (t++; ((unsigned char)*t & 0xc0) == 0x80; t++) {
        }
    }
    return count == 3;
}

static bool has_format(const char *format, const char *t) {
    int y, m, d, n = 0;
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (!strcmp(format, "date") || !strcmp(format, "date-time"))
        return sscanf(t, "%4d-%2d-%2d%n", &y, &m, &d, &n) == 3 && n == 10 && m >= 1 && m <= 12 && d >= 1 &&
               d <= days[m - 1] && (t[10] == 0) == !strcmp(format, "date");
    if (!strcmp(format, "time"))
        return sscanf(t, "%2d:%2d:%2d%n", &y, &m, &d, &n) == 3 && n == 8 && y < 24 && m < 60 && d < 60;
    if (!strcmp(format, "uuid")) return strlen(t) == 36 && strspn(t, "0123456789abcdefABCDEF-") == 36;
    if (!strcmp(format, "ipv4"))
        return sscanf(t, "%d.%d.%d.%d%n", &y, &m, &d, &(int){0}, &n) == 4 && y < 256 && m < 256 && d < 256;
    if (!strcmp(format, "email")) return strchr(t, '@') && strchr(strchr(t, '@'), '.');
    if (!strcmp(format, "uri")) return strstr(t, "://") != NULL;
    return *t != 0;
}

static bool is_valid(const json_t *root, const json_t *schema, const json_t *value);

static bool is_type(const json_t *value, const char *type) {
    if (!strcmp(type, "object")) return json_is_object(value);
    if (!strcmp(type, "array")) return json_is_array(value);
    if (!strcmp(type, "string")) return json_is_string(value);
    if (!strcmp(type, "number")) return json_is_number(value);
    if (!strcmp(type, "integer"))
        return json_is_number(value) && json_number_value(value) == floor(json_number_value(value));
    if (!strcmp(type, "boolean")) return json_is_boolean(value);
    return json_is_null(value);
}

static bool types_hold(const json_t *types, const json_t *value) {
    if (!types) return true;
    if (json_is_string(types)) return is_type(value, json_string_value(types));
    for (size_t i = 0; i < json_array_size(types); i++)
        if (is_type(value, json_string_value(json_array_get(types, i)))) return true;
    return false;
}

static double bound(const json_t *schema, const char *key, double standard) {
    const json_t *value = json_object_get(schema, key);
    return value ? json_number_value(value) : standard;
}

static bool holds_names(const json_t *value, const json_t *names) {
    for (size_t i = 0; i < json_array_size(names); i++)
        if (!json_object_get(value, json_string_value(json_array_get(names, i)))) return false;
    return true;
}

static bool same(const json_t *a, const json_t *b) {
    if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b);
    return json_equal(a, b);
}

static bool object_holds(const json_t *root, const json_t *schema, const json_t *value) {
    const json_t *properties = json_object_get(schema, "properties"), *required = json_object_get(schema, "required");
    const json_t *more = json_object_get(schema, "additionalProperties");
    const char *name;
    json_t *item;
    const json_t *patterns = json_object_get(schema, "patternProperties"),
                 *names = json_object_get(schema, "propertyNames");
    double n = (double)json_object_size(value);
    if (n < bound(schema, "minProperties", 0) || n > bound(schema, "maxProperties", INFINITY)) return false;
    if (!holds_names(value, required)) return false;
    json_object_foreach((json_t *)value, name, item) {
        const json_t *own = json_object_get(properties, name);
        bool known = own != NULL;
        const char *pattern;
        json_t *by_pattern;
        if (own && !is_valid(root, own, item)) return false;
        json_object_foreach((json_t *)patterns, pattern, by_pattern) {
            if (!matches(pattern, name)) continue;
            known = true;
            if (!is_valid(root, by_pattern, item)) return false;
        }
        if (!known && more && !is_valid(root, more, item)) return false;
        json_t *text = json_string(name);
        bool named_so = !names || is_valid(root, names, text);
        json_decref(text);
        if (!named_so) return false;
    }
    json_object_foreach(json_object_get(schema, "dependentRequired"), name, item) {
        if (json_object_get(value, name) && !holds_names(value, item)) return false;
    }
    json_object_foreach(json_object_get(schema, "dependentSchemas"), name, item) {
        if (json_object_get(value, name) && !is_valid(root, item, value)) return false;
    }
    return true;
}

static bool array_holds(const json_t *root, const json_t *schema, const json_t *value) {
    const json_t *leading = json_object_get(schema, "prefixItems"), *items = json_object_get(schema, "items");
    size_t n = json_array_size(value);
    if ((double)n < bound(schema, "minItems", 0) || (double)n > bound(schema, "maxItems", INFINITY)) return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *own = i < json_array_size(leading) ? json_array_get(leading, i) : items;
        if (own && !is_valid(root, own, json_array_get(value, i))) return false;
    }
    if (json_is_true(json_object_get(schema, "uniqueItems")))
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < i; k++)
                if (same(json_array_get(value, i), json_array_get(value, k))) return false;
    const json_t *wanted = json_object_get(schema, "contains");
    double count = 0;
    for (size_t i = 0; wanted && i < n; i++) count += is_valid(root, wanted, json_array_get(value, i));
    return !wanted || (count >= bound(schema, "minContains", 1) && count <= bound(schema, "maxContains", INFINITY));
}

static bool string_holds(const json_t *schema, const char *text) {
    const char *pattern = json_string_value(json_object_get(schema, "pattern"));
    const char *format = json_string_value(json_object_get(schema, "format"));
    double n = (double)characters(text);
    return n >= bound(schema, "minLength", 0) && n <= bound(schema, "maxLength", INFINITY) &&
           (!pattern || matches(pattern, text)) && (!format || has_format(format, text));
}

static bool is_multiple(double x, double divisor) {
    double times = x / divisor;
    return fabs(times - round(times)) < 1e-9 * fmax(1, fabs(times));
}

/* The keywords that put schemas together. */
static bool parts_hold(const json_t *root, const json_t *schema, const json_t *value) {
    const json_t *all = json_object_get(schema, "allOf"), *one = json_object_get(schema, "oneOf");
    const json_t *no = json_object_get(schema, "not"), *condition = json_object_get(schema, "if");
    size_t n_one = 0;
    for (size_t i = 0; i < json_array_size(all); i++)
        if (!is_valid(root, json_array_get(all, i), value)) return false;
    for (size_t i = 0; i < json_array_size(one); i++) n_one += is_valid(root, json_array_get(one, i), value);
    if ((one && n_one != 1) || (no && is_valid(root, no, value))) return false;
    if (!condition) return true;
    const json_t *next = json_object_get(schema, is_valid(root, condition, value) ? "then" : "else");
    return !next || is_valid(root, next, value);
}

static bool is_valid(const json_t *root, const json_t *schema, const json_t *value) {
    const json_t *list = json_object_get(schema, "enum"), *any = json_object_get(schema, "anyOf");
    const json_t *single = json_object_get(schema, "const");
    bool found = !list && !any;
    if (json_is_boolean(schema)) return json_is_true(schema);
    if (json_object_get(schema, "$ref"))
        return is_valid(root, json_object_get(json_object_get(root, "$defs"), "tree"), value);
    for (size_t i = 0; i < json_array_size(list); i++) found = found || same(json_array_get(list, i), value);
    for (size_t i = 0; i < json_array_size(any); i++) found = found || is_valid(root, json_array_get(any, i), value);
    if (!parts_hold(root, schema, value)) return false;
    if (!found || !types_hold(json_object_get(schema, "type"), value) || (single && !same(single, value))) return false;
    if (json_is_object(value)) return object_holds(root, schema, value);
    if (json_is_array(value)) return array_holds(root, schema, value);
    if (json_is_string(value)) return string_holds(schema, json_string_value(value));
    if (!json_is_number(value)) return true;
    double x = json_number_value(value), divisor = bound(schema, "multipleOf", 0);
    if (divisor > 0 && !is_multiple(x, divisor)) return false;
    return x >= bound(schema, "minimum", -INFINITY) && x <= bound(schema, "maximum", INFINITY) &&
           x > bound(schema, "exclusiveMinimum", -INFINITY) && x < bound(schema, "exclusiveMaximum", INFINITY);
}

#endif
