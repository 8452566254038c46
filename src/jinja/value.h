/* Values of the template engine. Strings carry, byte by byte, whether they came from a message: whatever a template
 * does to user text, the text stays marked, and so can never become a control token.
 *
 * All memory is the render's arena. Functions return false after mn_jinja_fail has written the error.
 */
#ifndef MN_JINJA_VALUE_H
#define MN_JINJA_VALUE_H

#include "base/arena.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct jinja_value jinja_value;
typedef struct jinja_node jinja_node;
typedef struct jinja_scope jinja_scope;
typedef struct jinja_loop jinja_loop;
typedef struct jinja_builtin jinja_builtin;

typedef struct jinja_string {
    const char *text;           /* UTF-8 as given, not NUL-terminated */
    const unsigned char *marks; /* [bytes] 1 = from a message; NULL = none is */
    size_t bytes;
    bool escaped; /* HTML that needs no more escaping: what |e and |safe give */
} jinja_string;

#define JINJA_STRING(literal) ((jinja_string){literal, NULL, sizeof literal - 1, false})

typedef enum jinja_kind {
    JINJA_UNDEFINED,
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_FLOAT,
    JINJA_STRING_KIND,
    JINJA_LIST, /* tuples and the views of a dict too: see jinja_shape */
    JINJA_DICT,
    JINJA_NAMESPACE, /* a dict whose attributes can be set */
    JINJA_LOOP,
    JINJA_MACRO,
    JINJA_FUNCTION,
    JINJA_METHOD,
    JINJA_CYCLER,
    JINJA_JOINER
} jinja_kind;

/* What a list is to Python. */
typedef enum jinja_shape {
    JINJA_PLAIN, /* [1, 2] */
    JINJA_TUPLE, /* (1, 2) */
    JINJA_GROUP, /* a tuple whose items are called grouper and list: what |groupby gives */
    JINJA_KEYS,  /* of a dict */
    JINJA_VALUES,
    JINJA_ITEMS,
    JINJA_LAZY /* what |map, |select and their kin give: always true, without length or places */
} jinja_shape;

typedef struct jinja_list {
    jinja_value *items;
    size_t n, capacity;
    jinja_shape shape;
} jinja_list;

typedef struct jinja_dict {
    jinja_value *keys, *values; /* in the order of insertion */
    size_t n, capacity;
} jinja_dict;

struct jinja_value {
    jinja_kind kind;
    union {
        const char *name; /* UNDEFINED: what was looked for, or NULL */
        bool boolean;
        int64_t integer;
        double real;
        jinja_string string;
        jinja_list *list; /* never changed once it is a value */
        jinja_dict *dict; /* DICT: never changed once it is a value; NAMESPACE */
        jinja_loop *loop;
        struct jinja_cycler *cycler;
        struct jinja_joiner *joiner;
        struct {
            const jinja_node *node;
            jinja_scope *scope; /* where it was defined */
        } macro;
        const jinja_builtin *function;
        struct {
            const jinja_builtin *builtin;
            const jinja_value *self;
        } method;
    };
};

/* cycler(...): its values in turn. */
typedef struct jinja_cycler {
    const jinja_list *items; /* at least one */
    size_t at;
} jinja_cycler;

/* joiner(...): nothing the first time it is called, its separator from then on. */
typedef struct jinja_joiner {
    jinja_value separator;
    bool used;
} jinja_joiner;

/* What a call brings: `f(1, *rest, a=2, **more)`, evaluated. */
typedef struct jinja_call {
    jinja_list by_place;
    jinja_dict by_name;
} jinja_call;

/* A character of a string. */
typedef struct jinja_char {
    uint32_t c; /* above 0x10ffff: a byte that is no character */
    size_t begin, bytes;
} jinja_char;

/* Text in the making. Puts after a failure do nothing; mn_jinja_built reports it. */
typedef struct jinja_builder {
    struct jinja_render *render;
    char *text;
    unsigned char *marks;
    size_t bytes, capacity;
    bool marked;
} jinja_builder;

/* One rendering. The limits make every template end: steps_left counts nodes evaluated and bytes looked at,
 * max_bytes what the arena may hold, depth how far evaluation is nested. */
typedef struct jinja_render {
    mn_arena arena;
    mn_error *err;
    mn_status status; /* MN_OK until the first failure */
    int64_t steps_left;
    size_t max_bytes;
    int depth, line;    /* line 0: not in the template yet */
    int64_t now;        /* seconds since 1970, for strftime_now */
    jinja_builder *out; /* what the template writes to */
} jinja_render;

enum { JINJA_MAX_DEPTH = 500 };

/* Writes "the chat template, line N: ..." unless something failed before, and returns false. */
bool mn_jinja_fail(jinja_render *r, mn_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Pays for work; false when the budget is spent. */
bool mn_jinja_spend(jinja_render *r, size_t steps);
/* One level deeper; each success is undone by depth--. */
bool mn_jinja_enter(jinja_render *r);
/* NULL after mn_jinja_fail. */
void *mn_jinja_alloc(jinja_render *r, size_t n_items, size_t item_bytes);

jinja_value mn_jinja_undefined(const char *name);
jinja_value mn_jinja_bool(bool boolean);
jinja_value mn_jinja_int(int64_t integer);
jinja_value mn_jinja_float(double real);
jinja_value mn_jinja_text(jinja_string string);
jinja_value mn_jinja_list(jinja_list *list);
/* A list whose shape is a tuple's. */
bool mn_jinja_is_tuple(const jinja_list *list);
/* Borrows a C string that outlives the render; unmarked. */
jinja_string mn_jinja_borrow(const char *text);
/* The kind as an error message calls it: "string", "list". */
const char *mn_jinja_kind_name(const jinja_value *value);

jinja_builder mn_jinja_build(jinja_render *r);
void mn_jinja_put(jinja_builder *b, jinja_string s);
void mn_jinja_puts(jinja_builder *b, const char *text);
/* Bytes made from marked ones stay marked. */
void mn_jinja_put_bytes(jinja_builder *b, const char *text, size_t bytes, bool marked);
/* The UTF-8 of a character; one that stands for a byte that is none is that byte. */
void mn_jinja_put_char(jinja_builder *b, uint32_t c, bool marked);
bool mn_jinja_built(jinja_builder *b, jinja_string *out);

/* Part [begin, end) of s, shared with it. */
jinja_string mn_jinja_part(jinja_string s, size_t begin, size_t end);
bool mn_jinja_is_marked(jinja_string s);
bool mn_jinja_same_text(jinja_string a, jinja_string b);
/* Bytes of the character at the start of text: a UTF-8 sequence, or 1 where there is none. bytes >= 1. */
size_t mn_jinja_char_bytes(const char *text, size_t bytes);
/* The code point of the character of n bytes that mn_jinja_char_bytes measured; a stray byte is 0x110000 + byte. */
uint32_t mn_jinja_code_point(const char *text, size_t n);
/* The character at *at, which moves on; false at the end. */
bool mn_jinja_next_char(jinja_string s, size_t *at, jinja_char *out);
/* Where the last character before `end` begins; end > 0. */
size_t mn_jinja_step_back(jinja_string s, size_t end);
bool mn_jinja_marked_at(jinja_string s, size_t at);
size_t mn_jinja_n_chars(jinja_string s);
/* Place of needle in s at or after `from`, SIZE_MAX when there is none. */
size_t mn_jinja_find(jinja_string s, jinja_string needle, size_t from);
/* The last place in s where needle lies within [from, to); *out SIZE_MAX when there is none. */
bool mn_jinja_find_last(jinja_render *r, jinja_string s, jinja_string needle, size_t from, size_t to, size_t *out);

bool mn_jinja_new_list(jinja_render *r, size_t capacity, jinja_list **out);
bool mn_jinja_push(jinja_render *r, jinja_list *list, jinja_value value);
/* A new tuple of two. */
bool mn_jinja_pair(jinja_render *r, jinja_value first, jinja_value second, jinja_value *out);
bool mn_jinja_new_dict(jinja_render *r, jinja_dict **out);
bool mn_jinja_dict_set(jinja_render *r, jinja_dict *dict, jinja_value key, jinja_value value);
/* The value under a string key, NULL when there is none. */
jinja_value *mn_jinja_dict_get(const jinja_dict *dict, jinja_string key);
/* The value under any key; *out NULL when there is none. */
bool mn_jinja_dict_find(jinja_render *r, const jinja_dict *dict, const jinja_value *key, jinja_value **out);

bool mn_jinja_truth(const jinja_value *value);
/* As Python's ==: numbers and booleans by value, containers by content, namespaces and functions by identity. */
bool mn_jinja_equal(jinja_render *r, const jinja_value *a, const jinja_value *b, bool *out);
/* *out < 0, 0, > 0; for numbers, strings and lists of them, an error for anything else. */
bool mn_jinja_compare(jinja_render *r, const jinja_value *a, const jinja_value *b, int *out);
/* Whether the value is a number or boolean; *out gets it as a double. */
bool mn_jinja_number(const jinja_value *value, double *out);
/* Whether the value is a whole number or boolean. */
bool mn_jinja_integer(const jinja_value *value, int64_t *out);
/* What a `for` goes through: items, keys of a dict, characters of a string, nothing of an undefined. The list may be
 * the value's own. */
bool mn_jinja_iterate(jinja_render *r, const jinja_value *value, jinja_list **out);

#endif
