/* sample/constraint: answers drawn from random logits under random schemas parse and are valid at every limit of
 * tokens; masks are those of the definition. */
#include "grammar/constraint.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/random.h"
#include "base/strbuf.h"
#include "grammar/gbnf.h"
#include "grammar/json_schema.h"
#include "sample/sampler.h"

enum { N_VOCAB = 1200, MAX_PIECE = 12 };

static mn_error err;
static mn_random rng;

/* ---- a vocabulary: all bytes, pieces of JSON, random words; the last two have no text, the last one ends ---- */

static const char *const pieces_of_json[] = {"{\"",      "\": ",  "\":",
                                             "\", \"",   "\",\"", "\"}",
                                             "}]",       "]}",    ": \"",
                                             "null",     "true",  "fal",
                                             "se",       ", ",    "[{\"",
                                             "[[",       "]]",    "}}",
                                             "\"\"",     "12",    "345",
                                             "-1",       "0.",    "e+",
                                             "\n",       "\n  ",  "    ",
                                             "\\n",      "\\u00", "name",
                                             "value",    "ab",    "ac",
                                             "a",        "\xc3",  "\xc3\xa4",
                                             "\xe2\x82", "\xac",  "\xf0\x9f\x98\x80",
                                             "\",",      "],",    "},",
                                             "{}",       "[]",    "2024-",
                                             "-02-",     ":00"};

static mn_token_trie *vocabulary(void) {
    static char text[N_VOCAB][MAX_PIECE];
    static const char *pieces[N_VOCAB];
    static size_t bytes[N_VOCAB];
    static bool ends[N_VOCAB];
    const int n_fixed = sizeof pieces_of_json / sizeof *pieces_of_json;
    mn_token_trie *trie;
    for (int i = 0; i < N_VOCAB; i++) {
        pieces[i] = text[i];
        bytes[i] = i < 256 ? 1 : 1 + mn_random_below(&rng, MAX_PIECE - 1);
        for (size_t k = 0; k < bytes[i]; k++)
            text[i][k] = i < 256 ? (char)i : (char)" abcdefgh0123\"\\{}[]:,\n\xc3\xa4"[mn_random_below(&rng, 24)];
        if (i >= 256 && i < 256 + n_fixed) {
            pieces[i] = pieces_of_json[i - 256];
            bytes[i] = strlen(pieces[i]);
        }
    }
    bytes[N_VOCAB - 1] = bytes[N_VOCAB - 2] = 0;
    ends[N_VOCAB - 1] = true;
    assert_ok(mn_token_trie_create(pieces, bytes, ends, N_VOCAB, &trie, &err), err);
    return trie;
}

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

/* ---- answers ---- */

/* Draws at most `limit` tokens from random logits. */
static void answer(mn_constraint *c, const mn_token_trie *trie, mn_sampler *s, int64_t limit, mn_strbuf *out) {
    static float logits[N_VOCAB];
    mn_strbuf_reset(out);
    mn_constraint_reset(c);
    while (limit > 0 && !mn_constraint_has_ended(c)) {
        int32_t token;
        size_t bytes;
        for (int i = 0; i < N_VOCAB; i++) logits[i] = (float)(3 * mn_random_normal(&rng));
        assert_ok(mn_constraint_set_left(c, limit--, &err), err);
        assert_ok(mn_sampler_draw_allowed(s, logits, mn_constraint_filter(c), &token, &err), err);
        assert_ok(mn_constraint_accept(c, token, &err), err);
        const char *piece = mn_token_trie_piece(trie, token, &bytes);
        mn_strbuf_put(out, piece, bytes);
    }
}

static void check_answer(const json_t *schema, const char *schema_text, const mn_strbuf *text) {
    json_error_t where;
    json_t *value = json_loadb(text->data, text->bytes, JSON_DECODE_ANY, &where);
    if (!value) fail_msg("%s: \"%s\" is no JSON: %s", schema_text, text->data, where.text);
    if (!is_valid(schema, schema, value)) fail_msg("%s: \"%s\" is not valid", schema_text, text->data);
    json_decref(value);
}

/* Answers to one schema at four limits; false where it is refused, with a sentence. A constraint with a small cache
 * forgets often, and draws the same. */
static bool every_limit(const json_t *schema, const mn_token_trie *trie, int round, bool may_be_refused) {
    char *schema_text = json_dumps(schema, JSON_COMPACT);
    mn_strbuf text = MN_STRBUF_INIT;
    mn_grammar *g;
    mn_constraint *c;
    mn_sampler *s;
    mn_sampler_params params = mn_sampler_defaults();
    params.temperature = (float)(round % 3);
    params.top_k = round % 5 ? 40 : 0;
    params.seed = (uint64_t)round;
    mn_status status = mn_json_schema_parse(schema_text, strlen(schema_text), (mn_json_blanks)(round % 3), &g, &err);
    if (status != MN_OK && !may_be_refused) fail_msg("%s: %s", schema_text, err.text);
    if (status == MN_OK) {
        assert_ok(mn_constraint_create(g, trie, round % 2 ? 0 : 2 << 20, &c, &err), err);
        assert_ok(mn_sampler_create(&params, N_VOCAB, &s, &err), err);
        int64_t shortest = mn_constraint_shortest(c);
        assert_int_not_equal(mn_constraint_set_left(c, shortest - 1, &err), MN_OK);
        assert_non_null(strstr(err.text, "the shortest answer"));
        const int64_t limits[] = {shortest, shortest + 1, shortest + 7, 60 + shortest};
        for (int i = 0; i < 4; i++) {
            answer(c, trie, s, limits[i], &text);
            check_answer(schema, schema_text, &text);
        }
        mn_sampler_destroy(s);
        mn_constraint_destroy(c);
        mn_grammar_destroy(g);
    }
    free(schema_text);
    mn_strbuf_release(&text);
    return status == MN_OK;
}

static void every_answer_is_valid_at_every_limit(void **state) {
    (void)state;
    mn_random_seed(&rng, 4, 0);
    mn_token_trie *trie = vocabulary();
    for (int round = 0; round < 200; round++) {
        json_t *schema = with_tree(random_schema(0));
        every_limit(schema, trie, round, false);
        json_decref(schema);
    }
    mn_token_trie_destroy(trie);
}

/* Most schemas at random of all keywords can be held; what is refused accepts nothing, or is said to be not there. */
static void answers_hold_every_keyword(void **state) {
    (void)state;
    const char *rounds = getenv("MNEMO_TEST_ROUNDS");
    int n_rounds = rounds ? (int)strtol(rounds, NULL, 10) : 300, n_held = 0;
    mn_random_seed(&rng, rounds ? (uint64_t)n_rounds : 11, 0);
    mn_token_trie *trie = vocabulary();
    for (int round = 0; round < n_rounds; round++) {
        json_t *schema = with_tree(random_further(0));
        bool held = every_limit(schema, trie, round, true);
        n_held += held;
        if (!held)
            assert_true(err.status == MN_ERR_FORMAT || err.status == MN_ERR_UNSUPPORTED || err.status == MN_ERR_LIMIT);
        if (!held && rounds) printf("%s\n", err.text);
        json_decref(schema);
    }
    printf("%d of %d schemas are held\n", n_held, n_rounds);
    assert_true(n_held * 2 > n_rounds);
    mn_token_trie_destroy(trie);
}

/* ---- masks ---- */

/* Whether a constraint that was told the same tokens afresh takes this one. */
static bool takes_afresh(const mn_grammar *g, const mn_token_trie *trie, const int32_t *tokens, int n, int32_t token) {
    mn_constraint *c;
    assert_ok(mn_constraint_create(g, trie, 1 << 21, &c, &err), err);
    for (int i = 0; i < n; i++) assert_ok(mn_constraint_accept(c, tokens[i], &err), err);
    bool takes = mn_constraint_accept(c, token, &err) == MN_OK;
    mn_constraint_destroy(c);
    return takes;
}

static void masks_are_those_of_the_definition(void **state) {
    (void)state;
    static const char grammar[] =
        "root ::= \"{\" word (\",\" word)* \"}\"\nword ::= [a-h]+ | \"\\\"\" [^\"]{0,9} \"\\\"\"";
    mn_random_seed(&rng, 9, 0);
    mn_token_trie *trie = vocabulary();
    mn_grammar *g;
    mn_constraint *c;
    int32_t tokens[12];
    int n = 0;
    assert_ok(mn_gbnf_parse(grammar, strlen(grammar), &g, &err), err);
    assert_ok(mn_constraint_create(g, trie, 0, &c, &err), err);
    for (; n < 8 && !mn_constraint_has_ended(c); n++) {
        int32_t n_list, candidates[N_VOCAB], n_candidates = 0;
        const int32_t *list = mn_constraint_list(c, &n_list);
        for (int32_t t = 0; t < N_VOCAB; t++) {
            bool allowed = mn_constraint_allows(c, t), listed = !list;
            for (int32_t i = 0; list && i < n_list; i++) listed = listed || list[i] == t;
            if (allowed != listed && list) fail_msg("token %d is listed: %d, and allowed: %d", t, listed, allowed);
            if (t % 7 == n % 7 && allowed != takes_afresh(g, trie, tokens, n, t)) fail_msg("token %d differs", t);
            if (allowed && !trie->ends[t]) candidates[n_candidates++] = t;
        }
        assert_true(n_candidates > 0);
        tokens[n] = candidates[below((uint32_t)n_candidates)];
        assert_ok(mn_constraint_accept(c, tokens[n], &err), err);
    }
    mn_constraint_destroy(c);
    mn_grammar_destroy(g);
    mn_token_trie_destroy(trie);
}

/* The draw is that of the same logits with -inf where a token is not allowed. */
static void draws_are_those_of_masked_logits(void **state) {
    (void)state;
    static const char schema[] = "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":30}}";
    mn_random_seed(&rng, 21, 0);
    mn_token_trie *trie = vocabulary();
    mn_grammar *g;
    mn_constraint *c;
    mn_sampler *one, *two;
    mn_sampler_params params = mn_sampler_defaults();
    float logits[N_VOCAB], masked[N_VOCAB];
    assert_ok(mn_json_schema_parse(schema, strlen(schema), MN_JSON_BLANKS_ONE, &g, &err), err);
    assert_ok(mn_constraint_create(g, trie, 0, &c, &err), err);
    assert_ok(mn_sampler_create(&params, N_VOCAB, &one, &err), err);
    assert_ok(mn_sampler_create(&params, N_VOCAB, &two, &err), err);
    for (int64_t left = 80; left > 0 && !mn_constraint_has_ended(c); left--) {
        int32_t a, b;
        for (int i = 0; i < N_VOCAB; i++) logits[i] = (float)(4 * mn_random_normal(&rng));
        assert_ok(mn_constraint_set_left(c, left, &err), err);
        assert_ok(mn_sampler_draw_allowed(one, logits, mn_constraint_filter(c), &a, &err), err);
        for (int i = 0; i < N_VOCAB; i++) masked[i] = mn_constraint_allows(c, i) ? logits[i] : -INFINITY;
        assert_ok(mn_sampler_draw(two, masked, &b, &err), err);
        assert_int_equal(a, b);
        assert_ok(mn_constraint_accept(c, a, &err), err);
    }
    assert_true(mn_constraint_is_complete(c));
    mn_sampler_destroy(one);
    mn_sampler_destroy(two);
    mn_constraint_destroy(c);
    mn_grammar_destroy(g);
    mn_token_trie_destroy(trie);
}

/* ---- what cannot be ---- */

static void vocabularies_that_cannot_spell_it_are_refused(void **state) {
    (void)state;
    const char *const pieces[] = {"a", "b", "abc", "c}"};
    const size_t bytes[] = {1, 1, 3, 2};
    mn_token_trie *trie;
    mn_grammar *g;
    mn_constraint *c;
    assert_ok(mn_token_trie_create(pieces, bytes, NULL, 4, &trie, &err), err);
    assert_ok(mn_gbnf_parse("root ::= \"abc\"", 14, &g, &err), err);
    assert_int_equal(mn_constraint_create(g, trie, 0, &c, &err), MN_ERR_UNSUPPORTED);
    mn_grammar_destroy(g);
    assert_ok(mn_gbnf_parse("root ::= \"ab\" | \"ac\"", 20, &g, &err), err); /* "ac" cannot be finished */
    assert_ok(mn_constraint_create(g, trie, 0, &c, &err), err);
    assert_true(mn_constraint_allows(c, 0));
    assert_false(mn_constraint_allows(c, 2));
    assert_ok(mn_constraint_accept(c, 0, &err), err);
    assert_false(mn_constraint_has_ended(c));
    assert_int_equal(mn_constraint_accept(c, 0, &err), MN_ERR_ARGUMENT);
    assert_ok(mn_constraint_accept(c, 1, &err), err);
    assert_true(mn_constraint_has_ended(c));
    mn_constraint_destroy(c);
    mn_grammar_destroy(g);
    mn_token_trie_destroy(trie);
}

static void a_cache_too_small_is_a_sentence(void **state) {
    (void)state;
    mn_random_seed(&rng, 2, 0);
    mn_token_trie *trie = vocabulary();
    mn_grammar *g;
    mn_constraint *c;
    static const char nested[] = "root ::= \"(\" root \")\" | \"x\"";
    assert_ok(mn_gbnf_parse(nested, strlen(nested), &g, &err), err);
    assert_ok(mn_constraint_create(g, trie, 1 << 20, &c, &err), err);
    mn_status status = MN_OK;
    for (int i = 0; i < 100000 && status == MN_OK; i++) status = mn_constraint_accept(c, '(', &err);
    assert_int_equal(status, MN_ERR_LIMIT);
    assert_non_null(strstr(err.text, "do not fit into 1 MiB"));
    mn_constraint_destroy(c);
    mn_grammar_destroy(g);
    mn_token_trie_destroy(trie);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_answer_is_valid_at_every_limit),
        cmocka_unit_test(answers_hold_every_keyword),
        cmocka_unit_test(masks_are_those_of_the_definition),
        cmocka_unit_test(draws_are_those_of_masked_logits),
        cmocka_unit_test(vocabularies_that_cannot_spell_it_are_refused),
        cmocka_unit_test(a_cache_too_small_is_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
