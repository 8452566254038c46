/* The syntax tree of a template, and what makes it: tokens, the parser of expressions, the parser of statements.
 *
 * The tree is built once per template and only read by renderings. Everything lives in the compile's arena.
 */
#ifndef MN_JINJA_AST_H
#define MN_JINJA_AST_H

#include "jinja/value.h"

typedef enum jinja_token_kind {
    JINJA_T_TEXT,       /* outside the tags, white space already trimmed */
    JINJA_T_EXPR_BEGIN, /* {{ */
    JINJA_T_EXPR_END,
    JINJA_T_STMT_BEGIN, /* {% */
    JINJA_T_STMT_END,
    JINJA_T_NAME,
    JINJA_T_STRING, /* escapes already replaced */
    JINJA_T_INT,
    JINJA_T_FLOAT,
    JINJA_T_OPERATOR,
    JINJA_T_END
} jinja_token_kind;

typedef struct jinja_token {
    jinja_token_kind kind;
    int line;
    const char *text; /* NUL-terminated but for TEXT */
    size_t bytes;
} jinja_token;

typedef struct jinja_compile {
    mn_arena *arena;
    mn_error *err;
    mn_status status;               /* MN_OK until the first failure */
    const jinja_token *token;       /* the next one; the last is T_END */
    int depth;                      /* nesting of what is being parsed */
    int loops;                      /* `for` bodies around it */
    bool uses_varargs, uses_kwargs; /* whether the macro being parsed names them */
} jinja_compile;

typedef enum jinja_operator {
    JINJA_OR,
    JINJA_AND,
    JINJA_EQ,
    JINJA_NE,
    JINJA_LT,
    JINJA_LE,
    JINJA_GT,
    JINJA_GE,
    JINJA_IN,
    JINJA_NOT_IN,
    JINJA_ADD,
    JINJA_SUB,
    JINJA_CONCAT,
    JINJA_MUL,
    JINJA_DIV,
    JINJA_FLOOR_DIV,
    JINJA_MOD,
    JINJA_POW
} jinja_operator;

typedef enum jinja_node_kind {
    /* expressions */
    JINJA_N_LITERAL,
    JINJA_N_NAME,
    JINJA_N_LIST,
    JINJA_N_TUPLE,
    JINJA_N_DICT,
    JINJA_N_NOT,
    JINJA_N_NEGATE,
    JINJA_N_PLUS,
    JINJA_N_BINARY,
    JINJA_N_COMPARE,
    JINJA_N_CONDITIONAL,
    JINJA_N_ATTRIBUTE,
    JINJA_N_SUBSCRIPT,
    JINJA_N_SLICE,
    JINJA_N_CALL,
    JINJA_N_FILTER,
    JINJA_N_TEST,
    JINJA_N_MACRO,   /* a closure: {% macro %}, and the caller of {% call %} */
    JINJA_N_CAPTURE, /* what statements print, as a string: block set, {% filter %} */
    JINJA_N_REFUSED, /* what there is not here, an expression or a statement: fails when it is reached */
    /* statements */
    JINJA_N_TEXT,
    JINJA_N_OUTPUT,
    JINJA_N_IF,
    JINJA_N_FOR,
    JINJA_N_SET,
    JINJA_N_WITH,
    JINJA_N_BLOCK,
    JINJA_N_BREAK,
    JINJA_N_CONTINUE
} jinja_node_kind;

/* An argument of a call, or a parameter of a macro with its default. */
typedef struct jinja_argument {
    const char *name;  /* NULL = positional */
    jinja_node *value; /* NULL = no default */
    int stars;         /* 1: `*value`, 2: `**value` */
    struct jinja_argument *next;
} jinja_argument;

/* Where `set`, `for` and `with` put a value: NAME, NAME.ATTRIBUTE, or targets that a list's items go to. */
typedef struct jinja_target {
    const char *name, *attribute; /* attribute NULL = a plain name; name NULL = items */
    struct jinja_target *items, *next;
} jinja_target;

/* One step of `a < b <= c`. */
typedef struct jinja_comparison {
    jinja_operator op;
    jinja_node *right;
    struct jinja_comparison *next;
} jinja_comparison;

struct jinja_node {
    jinja_node_kind kind;
    int line;
    jinja_node *next; /* in a body, or in a list's items; dicts alternate keys and values */
    union {
        jinja_value literal;
        const char *name;
        jinja_string text;
        jinja_node *items;   /* LIST, TUPLE, DICT; the body of CAPTURE, BLOCK */
        jinja_node *operand; /* NOT, NEGATE, PLUS, OUTPUT */
        struct {
            jinja_operator op;
            jinja_node *left, *right;
        } binary;
        struct {
            jinja_node *left;
            jinja_comparison *steps;
        } compare;
        struct {
            jinja_node *condition, *then, *otherwise; /* expressions in CONDITIONAL, bodies in IF; may be NULL */
        } branch;
        struct {
            jinja_node *object;
            const char *name;
        } attribute;
        struct {
            jinja_node *object, *index;
        } subscript;
        struct {
            jinja_node *object, *start, *stop, *step; /* bounds may be NULL */
        } slice;
        struct {
            jinja_node *callee;           /* CALL */
            jinja_node *input;            /* FILTER, TEST */
            const jinja_builtin *builtin; /* FILTER, TEST; NULL = there is none of that name */
            const char *name;             /* FILTER, TEST */
            jinja_argument *arguments;
        } call;
        struct {
            const char *name;
            jinja_argument *parameters;
            jinja_node *body;
            bool uses_varargs, uses_kwargs; /* takes arguments beyond its parameters */
        } macro;
        struct {
            jinja_target *target;
            jinja_node *iterable, *condition, *body, *otherwise;
            bool recursive;
        } loop;
        struct {
            jinja_target *target;
            jinja_node *value;
        } set;
        struct {
            jinja_node *sets, *body; /* sets: a list of SET nodes */
        } with;
        struct {
            mn_status status;
            const char *sentence;
        } refused;
    };
};

/* Writes "the chat template, line N: ..." unless something failed before; returns NULL (false) for `return`. */
void *mn_jinja_reject(jinja_compile *c, mn_status status, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* NULL after mn_jinja_reject. Zeroed. */
void *mn_jinja_new(jinja_compile *c, size_t n_items, size_t item_bytes);

/* Tokens of the whole source, the last one JINJA_T_END. White space is trimmed as model files expect: trim_blocks and
 * lstrip_blocks on, one newline at the end of the source dropped. */
const jinja_token *mn_jinja_tokenize(jinja_compile *c, const char *source, size_t bytes);

jinja_node *mn_jinja_node(jinja_compile *c, jinja_node_kind kind, int line);
bool mn_jinja_at(const jinja_compile *c, jinja_token_kind kind, const char *text);
/* Passes the token if it is this one. */
bool mn_jinja_accept(jinja_compile *c, jinja_token_kind kind, const char *text);
bool mn_jinja_expect(jinja_compile *c, jinja_token_kind kind, const char *text);
/* The name at the cursor, which moves on; NULL after mn_jinja_reject. */
const char *mn_jinja_expect_name(jinja_compile *c);
bool mn_jinja_nest(jinja_compile *c);
/* A node that fails with this sentence when it is reached. */
jinja_node *mn_jinja_refuse(jinja_compile *c, mn_status status, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

jinja_node *mn_jinja_parse_expression(jinja_compile *c);
/* One expression, or several with commas between them: a tuple. */
jinja_node *mn_jinja_parse_expressions(jinja_compile *c);
/* The same without a trailing `if`: what stands after `in` in a for. */
jinja_node *mn_jinja_parse_unconditional(jinja_compile *c);
/* The filters at the cursor ("| trim | upper"), applied to input. */
jinja_node *mn_jinja_parse_filters(jinja_compile *c, jinja_node *input);
/* NAME or NAME(ARGUMENTS) as a filter of input. */
jinja_node *mn_jinja_parse_filter(jinja_compile *c, jinja_node *input);
/* "(" has been passed. */
bool mn_jinja_parse_arguments(jinja_compile *c, jinja_argument **out);

/* The body of the template; NULL is an empty one, or a failure in c->status. */
jinja_node *mn_jinja_parse(jinja_compile *c, const char *source, size_t bytes);

#endif
