/* Parsing expressions, from the loosest binding to the tightest: if-else, or, and, not, comparisons, arithmetic by a
 * table of precedences, unary sign, then what follows a value: attributes, subscripts, calls, filters, tests. */
#include "jinja/ast.h"
#include "jinja/builtins.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const jinja_token_kind OP = JINJA_T_OPERATOR, NAME = JINJA_T_NAME;

static jinja_node *literal(jinja_compile *c, jinja_value value) {
    jinja_node *n = mn_jinja_node(c, JINJA_N_LITERAL, c->token->line);
    if (n) n->literal = value;
    return n;
}

static jinja_node *unary(jinja_compile *c, jinja_node_kind kind, jinja_node *operand) {
    jinja_node *n = operand ? mn_jinja_node(c, kind, operand->line) : NULL;
    if (n) n->operand = operand;
    return n;
}

static jinja_node *binary(jinja_compile *c, jinja_operator op, jinja_node *left, jinja_node *right) {
    jinja_node *n = left && right ? mn_jinja_node(c, JINJA_N_BINARY, left->line) : NULL;
    if (!n) return NULL;
    n->binary.op = op;
    n->binary.left = left;
    n->binary.right = right;
    return n;
}

/* Items up to `close`, which is passed; pairs: "key: value" instead of single items. */
static jinja_node *parse_items(jinja_compile *c, jinja_node_kind kind, const char *close, bool pairs) {
    jinja_node *n = mn_jinja_node(c, kind, c->token->line);
    if (!n) return NULL;
    for (jinja_node **tail = &n->items; !mn_jinja_accept(c, OP, close);) {
        if (n->items && !mn_jinja_expect(c, OP, ",")) return NULL;
        if (n->items && mn_jinja_accept(c, OP, close)) break;
        for (int i = 0; i <= pairs; i++, tail = &(*tail)->next) {
            if (i && !mn_jinja_expect(c, OP, ":")) return NULL;
            if (!(*tail = mn_jinja_parse_expression(c))) return NULL;
        }
    }
    return n;
}

/* "(" has been passed: an expression in parentheses, or a tuple. */
static jinja_node *parse_parentheses(jinja_compile *c) {
    if (mn_jinja_accept(c, OP, ")")) return mn_jinja_node(c, JINJA_N_TUPLE, c->token->line);
    jinja_node *n = mn_jinja_parse_expressions(c);
    return n && mn_jinja_expect(c, OP, ")") ? n : NULL;
}

/* A whole number of any of Python's bases. */
static int64_t read_integer(const char *text) {
    int letter = text[0] == '0' ? text[1] | 0x20 : 0, base = letter == 'x' ? 16 : letter == 'o' ? 8 : 2;
    return letter == 'x' || letter == 'o' || letter == 'b' ? strtoll(text + 2, NULL, base) : strtoll(text, NULL, 10);
}

static jinja_node *parse_number(jinja_compile *c) {
    const jinja_token *t = c->token++;
    errno = 0;
    jinja_value value =
        t->kind == JINJA_T_INT ? mn_jinja_int(read_integer(t->text)) : mn_jinja_float(strtod(t->text, NULL));
    if (errno == ERANGE && t->kind == JINJA_T_INT)
        return mn_jinja_refuse(c, MN_ERR_LIMIT, t->line, "the number %.64s does not fit in 64 bits.", t->text);
    return literal(c, value);
}

/* Strings that stand side by side are one. */
static jinja_node *parse_string(jinja_compile *c) {
    size_t bytes = 0;
    int n_tokens = 0;
    for (; c->token[n_tokens].kind == JINJA_T_STRING; n_tokens++) bytes += c->token[n_tokens].bytes;
    char *text = mn_jinja_new(c, bytes + 1, 1), *end = text;
    if (!text) return NULL;
    for (int i = 0; i < n_tokens; i++) {
        memcpy(end, c->token[i].text, c->token[i].bytes);
        end += c->token[i].bytes;
    }
    jinja_node *n = literal(c, mn_jinja_text((jinja_string){text, NULL, bytes, false}));
    c->token += n_tokens;
    return n;
}

static jinja_node *parse_name(jinja_compile *c) {
    static const struct {
        const char *name;
        jinja_value value;
    } constants[] = {
        {"true", {.kind = JINJA_BOOL, .boolean = true}},
        {"True", {.kind = JINJA_BOOL, .boolean = true}},
        {"false", {.kind = JINJA_BOOL, .boolean = false}},
        {"False", {.kind = JINJA_BOOL, .boolean = false}},
        {"none", {.kind = JINJA_NONE}},
        {"None", {.kind = JINJA_NONE}},
    };
    const jinja_token *t = c->token++;
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (strcmp(constants[i].name, t->text) == 0) return literal(c, constants[i].value);
    c->uses_varargs |= strcmp(t->text, "varargs") == 0;
    c->uses_kwargs |= strcmp(t->text, "kwargs") == 0;
    jinja_node *n = mn_jinja_node(c, JINJA_N_NAME, t->line);
    if (n) n->name = t->text;
    return n;
}

static jinja_node *parse_primary(jinja_compile *c) {
    switch (c->token->kind) {
    case JINJA_T_NAME: return parse_name(c);
    case JINJA_T_STRING: return parse_string(c);
    case JINJA_T_INT:
    case JINJA_T_FLOAT: return parse_number(c);
    default: break;
    }
    if (mn_jinja_accept(c, OP, "(")) return parse_parentheses(c);
    if (mn_jinja_accept(c, OP, "[")) return parse_items(c, JINJA_N_LIST, "]", false);
    if (mn_jinja_accept(c, OP, "{")) return parse_items(c, JINJA_N_DICT, "}", true);
    return mn_jinja_reject(c, MN_ERR_FORMAT, c->token->line, "\"%s\" stands where a value should.", c->token->text);
}

static bool at_operator(const jinja_token *t, const char *text) { return t->kind == OP && strcmp(t->text, text) == 0; }

/* VALUE, NAME=VALUE, *VALUE or **VALUE. */
static bool parse_argument(jinja_compile *c, bool named, jinja_argument *a) {
    int line = c->token->line;
    if (mn_jinja_accept(c, OP, "*"))
        a->stars = 1;
    else if (mn_jinja_accept(c, OP, "**"))
        a->stars = 2;
    else if (c->token->kind == NAME && at_operator(c->token + 1, "=")) {
        a->name = c->token->text;
        c->token += 2;
    } else if (named)
        return mn_jinja_reject(c, MN_ERR_FORMAT, line, "an argument by place follows one by name.");
    return (a->value = mn_jinja_parse_expression(c));
}

bool mn_jinja_parse_arguments(jinja_compile *c, jinja_argument **out) {
    bool named = false, first = true;
    for (*out = NULL; !mn_jinja_accept(c, OP, ")"); out = &(*out)->next, first = false) {
        if (!first && !mn_jinja_expect(c, OP, ",")) return false;
        if (!first && mn_jinja_accept(c, OP, ")")) break;
        jinja_argument *a = *out = mn_jinja_new(c, 1, sizeof *a);
        if (!a || !parse_argument(c, named, a)) return false;
        named |= a->name || a->stars == 2;
    }
    return true;
}

static jinja_node *parse_call(jinja_compile *c, jinja_node *callee) {
    jinja_node *n = mn_jinja_node(c, JINJA_N_CALL, callee->line);
    if (!n) return NULL;
    n->call.callee = callee;
    return mn_jinja_parse_arguments(c, &n->call.arguments) ? n : NULL;
}

/* "." has been passed: a name, or a number, which is an index. */
static jinja_node *parse_attribute(jinja_compile *c, jinja_node *object) {
    int line = c->token->line;
    if (c->token->kind == JINJA_T_INT) {
        jinja_node *n = mn_jinja_node(c, JINJA_N_SUBSCRIPT, line);
        if (!n || !(n->subscript.index = parse_number(c))) return NULL;
        n->subscript.object = object;
        return n;
    }
    jinja_node *n = mn_jinja_node(c, JINJA_N_ATTRIBUTE, line);
    if (!n || !(n->attribute.name = mn_jinja_expect_name(c))) return NULL;
    n->attribute.object = object;
    return n;
}

/* One bound of a slice; none before ":" or "]". */
static bool parse_bound(jinja_compile *c, jinja_node **out) {
    if (at_operator(c->token, ":") || at_operator(c->token, "]")) return true;
    return (*out = mn_jinja_parse_expressions(c));
}

/* "[" has been passed, and the index or the first bound of a slice has been parsed. */
static jinja_node *parse_slice(jinja_compile *c, jinja_node *object, jinja_node *start, int line) {
    jinja_node *n = mn_jinja_node(c, JINJA_N_SLICE, line);
    if (!n || !parse_bound(c, &n->slice.stop)) return NULL;
    if (mn_jinja_accept(c, OP, ":") && !parse_bound(c, &n->slice.step)) return NULL;
    n->slice.object = object;
    n->slice.start = start;
    return mn_jinja_expect(c, OP, "]") ? n : NULL;
}

/* "[" has been passed: an index, several (a tuple), or start:stop:step. */
static jinja_node *parse_subscript(jinja_compile *c, jinja_node *object) {
    int line = c->token->line;
    jinja_node *index = NULL;
    if (!parse_bound(c, &index)) return NULL;
    if (mn_jinja_accept(c, OP, ":")) return parse_slice(c, object, index, line);
    if (!index) return mn_jinja_reject(c, MN_ERR_FORMAT, line, "[] has no index.");
    jinja_node *n = mn_jinja_node(c, JINJA_N_SUBSCRIPT, line);
    if (!n || !mn_jinja_expect(c, OP, "]")) return NULL;
    n->subscript.object = object;
    n->subscript.index = index;
    return n;
}

/* Attributes, subscripts and calls of n. */
static jinja_node *parse_access(jinja_compile *c, jinja_node *n) {
    while (n) {
        if (mn_jinja_accept(c, OP, "."))
            n = parse_attribute(c, n);
        else if (mn_jinja_accept(c, OP, "["))
            n = parse_subscript(c, n);
        else if (mn_jinja_accept(c, OP, "("))
            n = parse_call(c, n);
        else
            break;
    }
    return n;
}

/* NAME, or NAME.NAME as extensions have it. */
static const char *parse_dotted_name(jinja_compile *c) {
    const char *name = mn_jinja_expect_name(c);
    while (name && mn_jinja_accept(c, OP, ".")) {
        const char *part = mn_jinja_expect_name(c);
        size_t bytes = part ? strlen(name) + strlen(part) + 2 : 0;
        char *whole = part ? mn_jinja_new(c, bytes, 1) : NULL;
        if (!whole) return NULL;
        snprintf(whole, bytes, "%s.%s", name, part);
        name = whole;
    }
    return name;
}

jinja_node *mn_jinja_parse_filter(jinja_compile *c, jinja_node *input) {
    jinja_node *n = mn_jinja_node(c, JINJA_N_FILTER, c->token->line);
    if (!n || !(n->call.name = parse_dotted_name(c))) return NULL;
    n->call.input = input;
    n->call.builtin = mn_jinja_filter(n->call.name);
    if (mn_jinja_accept(c, OP, "(") && !mn_jinja_parse_arguments(c, &n->call.arguments)) return NULL;
    return n;
}

jinja_node *mn_jinja_parse_filters(jinja_compile *c, jinja_node *input) {
    while (input && mn_jinja_accept(c, OP, "|")) input = mn_jinja_parse_filter(c, input);
    return input;
}

/* Whether what follows a test's name is its argument without parentheses: "is equalto 3". */
static bool at_bare_argument(const jinja_compile *c) {
    static const char *const words[] = {"and", "or", "not", "is", "in", "if", "else"};
    if (c->token->kind == OP) return at_operator(c->token, "[") || at_operator(c->token, "{");
    if (c->token->kind != NAME) return c->token->kind >= JINJA_T_STRING && c->token->kind <= JINJA_T_FLOAT;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(c->token->text, words[i]) == 0) return false;
    return true;
}

/* "is" has been passed. */
static jinja_node *parse_test(jinja_compile *c, jinja_node *input) {
    bool negated = mn_jinja_accept(c, NAME, "not");
    jinja_node *n = mn_jinja_node(c, JINJA_N_TEST, c->token->line);
    if (!n || !(n->call.name = parse_dotted_name(c))) return NULL;
    n->call.input = input;
    n->call.builtin = mn_jinja_test(n->call.name);
    if (mn_jinja_accept(c, OP, "(")) {
        if (!mn_jinja_parse_arguments(c, &n->call.arguments)) return NULL;
    } else if (at_bare_argument(c)) {
        jinja_argument *a = n->call.arguments = mn_jinja_new(c, 1, sizeof *a);
        if (!a || !(a->value = parse_access(c, parse_primary(c)))) return NULL;
    }
    return negated ? unary(c, JINJA_N_NOT, n) : n;
}

static jinja_node *parse_unary(jinja_compile *c, bool with_filters) {
    jinja_node *n;
    if (!mn_jinja_nest(c)) return NULL;
    if (mn_jinja_accept(c, OP, "-"))
        n = unary(c, JINJA_N_NEGATE, parse_unary(c, false));
    else if (mn_jinja_accept(c, OP, "+"))
        n = unary(c, JINJA_N_PLUS, parse_unary(c, false));
    else
        n = parse_access(c, parse_primary(c));
    c->depth--;
    while (n && with_filters) {
        if (at_operator(c->token, "|"))
            n = mn_jinja_parse_filters(c, n);
        else if (mn_jinja_accept(c, NAME, "is"))
            n = parse_test(c, n);
        else
            break;
    }
    return n;
}

typedef struct infix {
    const char *text;
    jinja_operator op;
    int precedence;
} infix;

/* The operator of one of the tables at the cursor, at least as tight as precedence; NULL when none. */
static const infix *find_infix(const jinja_compile *c, const infix *table, size_t n, int precedence) {
    for (size_t i = 0; i < n; i++)
        if (table[i].precedence >= precedence && at_operator(c->token, table[i].text)) return &table[i];
    return NULL;
}

static jinja_node *parse_arithmetic(jinja_compile *c, int precedence) {
    static const infix table[] = {{"+", JINJA_ADD, 1}, {"-", JINJA_SUB, 1}, {"~", JINJA_CONCAT, 2},
                                  {"*", JINJA_MUL, 3}, {"/", JINJA_DIV, 3}, {"//", JINJA_FLOOR_DIV, 3},
                                  {"%", JINJA_MOD, 3}, {"**", JINJA_POW, 4}};
    jinja_node *left = parse_unary(c, true);
    const infix *found;
    while (left && (found = find_infix(c, table, sizeof table / sizeof *table, precedence))) {
        c->token++;
        left = binary(c, found->op, left, parse_arithmetic(c, found->precedence + 1));
    }
    return left;
}

static bool accept_comparison(jinja_compile *c, jinja_operator *op) {
    static const infix table[] = {{"==", JINJA_EQ, 0}, {"!=", JINJA_NE, 0}, {"<", JINJA_LT, 0},
                                  {"<=", JINJA_LE, 0}, {">", JINJA_GT, 0},  {">=", JINJA_GE, 0}};
    const infix *found = find_infix(c, table, sizeof table / sizeof *table, 0);
    if (found) {
        *op = found->op;
        c->token++;
        return true;
    }
    *op = JINJA_IN;
    if (mn_jinja_accept(c, NAME, "in")) return true;
    const jinja_token *next = c->token + 1;
    if (!mn_jinja_at(c, NAME, "not") || next->kind != NAME || strcmp(next->text, "in") != 0) return false;
    *op = JINJA_NOT_IN;
    c->token += 2;
    return true;
}

static jinja_node *parse_comparison(jinja_compile *c) {
    jinja_node *left = parse_arithmetic(c, 0), *n = NULL;
    jinja_comparison **tail = NULL;
    jinja_operator op;
    while (left && accept_comparison(c, &op)) {
        if (!n) {
            if (!(n = mn_jinja_node(c, JINJA_N_COMPARE, left->line))) return NULL;
            n->compare.left = left;
            tail = &n->compare.steps;
        }
        jinja_comparison *step = *tail = mn_jinja_new(c, 1, sizeof *step);
        if (!step || !(step->right = parse_arithmetic(c, 0))) return NULL;
        step->op = op;
        tail = &step->next;
    }
    return n ? n : left;
}

static jinja_node *parse_not(jinja_compile *c) {
    if (!mn_jinja_accept(c, NAME, "not")) return parse_comparison(c);
    if (!mn_jinja_nest(c)) return NULL;
    jinja_node *n = unary(c, JINJA_N_NOT, parse_not(c));
    c->depth--;
    return n;
}

static jinja_node *parse_and(jinja_compile *c) {
    jinja_node *left = parse_not(c);
    while (left && mn_jinja_accept(c, NAME, "and")) left = binary(c, JINJA_AND, left, parse_not(c));
    return left;
}

static jinja_node *parse_or(jinja_compile *c) {
    jinja_node *left = parse_and(c);
    while (left && mn_jinja_accept(c, NAME, "or")) left = binary(c, JINJA_OR, left, parse_and(c));
    return left;
}

static jinja_node *parse_conditional(jinja_compile *c) {
    jinja_node *then = parse_or(c);
    while (then && mn_jinja_accept(c, NAME, "if")) {
        jinja_node *n = mn_jinja_node(c, JINJA_N_CONDITIONAL, then->line);
        if (!n || !(n->branch.condition = parse_or(c))) return NULL;
        n->branch.then = then;
        if (mn_jinja_accept(c, NAME, "else") && !(n->branch.otherwise = mn_jinja_parse_expression(c))) return NULL;
        then = n;
    }
    return then;
}

jinja_node *mn_jinja_parse_expression(jinja_compile *c) {
    if (!mn_jinja_nest(c)) return NULL;
    jinja_node *n = parse_conditional(c);
    c->depth--;
    return n;
}

/* Whether a tuple without parentheses ends here: behind its last comma, or before its first item. */
static bool ends_tuple(const jinja_compile *c) {
    static const char *const closes[] = {")", "]", "=", ":"};
    for (size_t i = 0; i < sizeof closes / sizeof *closes; i++)
        if (at_operator(c->token, closes[i])) return true;
    return c->token->kind == JINJA_T_STMT_END || c->token->kind == JINJA_T_EXPR_END ||
           mn_jinja_at(c, NAME, "recursive") || mn_jinja_at(c, NAME, "if");
}

/* What comes behind the first expression of perhaps several. */
static jinja_node *parse_tuple(jinja_compile *c, jinja_node *first, jinja_node *(*parse)(jinja_compile *)) {
    if (!first || !at_operator(c->token, ",")) return first;
    jinja_node *n = mn_jinja_node(c, JINJA_N_TUPLE, first->line);
    if (!n) return NULL;
    n->items = first;
    for (jinja_node **tail = &first->next; mn_jinja_accept(c, OP, ",") && !ends_tuple(c); tail = &(*tail)->next)
        if (!(*tail = parse(c))) return NULL;
    return n;
}

jinja_node *mn_jinja_parse_expressions(jinja_compile *c) {
    return parse_tuple(c, mn_jinja_parse_expression(c), mn_jinja_parse_expression);
}

jinja_node *mn_jinja_parse_unconditional(jinja_compile *c) { return parse_tuple(c, parse_or(c), parse_or); }
