/* Parsing statements. One that is not in the table at the end becomes a node that fails when it is reached. */
#include "jinja/ast.h"
#include "jinja/builtins.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAX_NESTING = 100 };

static const jinja_token_kind OP = JINJA_T_OPERATOR, NAME = JINJA_T_NAME;

void *mn_jinja_reject(jinja_compile *c, mn_status status, int line, const char *format, ...) {
    if (c->status != MN_OK) return NULL;
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    c->status = mn_fail(c->err, status, "the chat template, line %d: %s", line, text);
    return NULL;
}

void *mn_jinja_new(jinja_compile *c, size_t n_items, size_t item_bytes) {
    void *block = mn_arena_zalloc(c->arena, n_items, item_bytes);
    return block ? block : mn_jinja_reject(c, MN_ERR_MEMORY, 0, "no memory to compile it.");
}

jinja_node *mn_jinja_node(jinja_compile *c, jinja_node_kind kind, int line) {
    jinja_node *n = mn_jinja_new(c, 1, sizeof *n);
    if (!n) return NULL;
    n->kind = kind;
    n->line = line;
    return n;
}

bool mn_jinja_at(const jinja_compile *c, jinja_token_kind kind, const char *text) {
    return c->token->kind == kind && strcmp(c->token->text, text) == 0;
}

bool mn_jinja_accept(jinja_compile *c, jinja_token_kind kind, const char *text) {
    if (!mn_jinja_at(c, kind, text)) return false;
    c->token++;
    return true;
}

bool mn_jinja_expect(jinja_compile *c, jinja_token_kind kind, const char *text) {
    if (mn_jinja_accept(c, kind, text)) return true;
    const char *found = c->token->kind == JINJA_T_TEXT ? "text" : c->token->text;
    return mn_jinja_reject(c, MN_ERR_FORMAT, c->token->line, "\"%s\" stands where \"%s\" should.", found, text);
}

const char *mn_jinja_expect_name(jinja_compile *c) {
    if (c->token->kind == NAME) return c->token++->text;
    return mn_jinja_reject(c, MN_ERR_FORMAT, c->token->line, "\"%s\" stands where a name should.", c->token->text);
}

bool mn_jinja_nest(jinja_compile *c) {
    if (c->depth < MAX_NESTING) return ++c->depth;
    return mn_jinja_reject(c, MN_ERR_LIMIT, c->token->line, "it is nested more than %d levels deep.", MAX_NESTING);
}

jinja_node *mn_jinja_refuse(jinja_compile *c, mn_status status, int line, const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    jinja_node *n = mn_jinja_node(c, JINJA_N_REFUSED, line);
    char *sentence = n ? mn_jinja_new(c, strlen(text) + 1, 1) : NULL;
    if (!sentence) return NULL;
    strcpy(sentence, text);
    n->refused.status = status;
    n->refused.sentence = sentence;
    return n;
}

/* Statements up to one of `ends` (NULL-terminated), whose name is passed and left in *end; at the top level, where
 * ends is NULL, up to the end of the source. */
static bool parse_body(jinja_compile *c, const char *const *ends, jinja_node **body, const char **end);

static bool end_statement(jinja_compile *c) { return mn_jinja_expect(c, JINJA_T_STMT_END, "%}"); }

/* A body that only `end` closes, and the close of its last tag. */
static bool parse_block(jinja_compile *c, const char *end, jinja_node **body) {
    const char *const ends[] = {end, NULL};
    const char *passed;
    return parse_body(c, ends, body, &passed) && end_statement(c);
}

static bool parse_if(jinja_compile *c, jinja_node **out) {
    static const char *const ends[] = {"elif", "else", "endif", NULL}, *const last[] = {"endif", NULL};
    const char *end = "elif";
    while (strcmp(end, "elif") == 0) {
        jinja_node *n = *out = mn_jinja_node(c, JINJA_N_IF, c->token->line);
        if (!n || !(n->branch.condition = mn_jinja_parse_expressions(c)) || !end_statement(c)) return false;
        if (!parse_body(c, ends, &n->branch.then, &end)) return false;
        out = &n->branch.otherwise;
    }
    if (strcmp(end, "else") == 0 && (!end_statement(c) || !parse_body(c, last, out, &end))) return false;
    return end_statement(c);
}

static jinja_target *parse_targets(jinja_compile *c, bool attributes);

/* NAME, NAME.NAME (where attributes may be set), or targets in parentheses or brackets. */
static jinja_target *parse_one_target(jinja_compile *c, bool attributes) {
    const char *close = mn_jinja_accept(c, OP, "(") ? ")" : mn_jinja_accept(c, OP, "[") ? "]" : NULL;
    if (close) {
        if (!mn_jinja_nest(c)) return NULL;
        jinja_target *inner = parse_targets(c, attributes);
        c->depth--;
        return inner && mn_jinja_expect(c, OP, close) ? inner : NULL;
    }
    jinja_target *t = mn_jinja_new(c, 1, sizeof *t);
    if (!t || !(t->name = mn_jinja_expect_name(c))) return NULL;
    bool dotted = attributes && mn_jinja_accept(c, OP, ".");
    return !dotted || (t->attribute = mn_jinja_expect_name(c)) ? t : NULL;
}

static bool at_target(const jinja_compile *c) {
    bool opens = mn_jinja_at(c, OP, "(") || mn_jinja_at(c, OP, "[");
    return opens || (c->token->kind == NAME && !mn_jinja_at(c, NAME, "in"));
}

/* One target, or several with commas between them, which unpack. */
static jinja_target *parse_targets(jinja_compile *c, bool attributes) {
    jinja_target *first = parse_one_target(c, attributes);
    if (!first || !mn_jinja_at(c, OP, ",")) return first;
    jinja_target *all = mn_jinja_new(c, 1, sizeof *all);
    if (!all) return NULL;
    all->items = first;
    for (jinja_target **tail = &first->next; mn_jinja_accept(c, OP, ",") && at_target(c); tail = &(*tail)->next)
        if (!(*tail = parse_one_target(c, attributes))) return NULL;
    return all;
}

static bool parse_for(jinja_compile *c, jinja_node **out) {
    static const char *const ends[] = {"else", "endfor", NULL};
    const char *end;
    jinja_node *n = *out = mn_jinja_node(c, JINJA_N_FOR, c->token->line);
    if (!n || !(n->loop.target = parse_targets(c, false)) || !mn_jinja_expect(c, NAME, "in")) return false;
    if (!(n->loop.iterable = mn_jinja_parse_unconditional(c))) return false;
    if (mn_jinja_accept(c, NAME, "if") && !(n->loop.condition = mn_jinja_parse_expression(c))) return false;
    n->loop.recursive = mn_jinja_accept(c, NAME, "recursive");
    c->loops++;
    bool parsed = end_statement(c) && parse_body(c, ends, &n->loop.body, &end);
    c->loops--;
    if (!parsed) return false;
    if (strcmp(end, "else") == 0) return end_statement(c) && parse_block(c, "endfor", &n->loop.otherwise);
    return end_statement(c);
}

/* The rest of a tag and a body that becomes a string: no loop around it can be left from inside. */
static bool parse_captured(jinja_compile *c, const char *end, jinja_node **body) {
    int loops = c->loops;
    c->loops = 0;
    bool parsed = end_statement(c) && parse_block(c, end, body);
    c->loops = loops;
    return parsed;
}

static bool parse_set(jinja_compile *c, jinja_node **out) {
    jinja_node *n = *out = mn_jinja_node(c, JINJA_N_SET, c->token->line);
    if (!n || !(n->set.target = parse_targets(c, true))) return false;
    if (mn_jinja_accept(c, OP, "=")) return (n->set.value = mn_jinja_parse_expressions(c)) && end_statement(c);
    jinja_node *body = mn_jinja_node(c, JINJA_N_CAPTURE, n->line);
    return body && (n->set.value = mn_jinja_parse_filters(c, body)) && parse_captured(c, "endset", &body->items);
}

static bool parse_filter_block(jinja_compile *c, jinja_node **out) {
    jinja_node *n = *out = mn_jinja_node(c, JINJA_N_OUTPUT, c->token->line);
    jinja_node *body = n ? mn_jinja_node(c, JINJA_N_CAPTURE, n->line) : NULL;
    if (!body || !(n->operand = mn_jinja_parse_filter(c, body))) return false;
    return (n->operand = mn_jinja_parse_filters(c, n->operand)) && parse_captured(c, "endfilter", &body->items);
}

/* "(" has been passed: names, each perhaps with a default. */
static bool parse_parameters(jinja_compile *c, jinja_argument **out) {
    for (*out = NULL; !mn_jinja_accept(c, OP, ")"); out = &(*out)->next) {
        jinja_argument *a = *out = mn_jinja_new(c, 1, sizeof *a);
        if (!a || !(a->name = mn_jinja_expect_name(c))) return false;
        if (mn_jinja_accept(c, OP, "=") && !(a->value = mn_jinja_parse_expression(c))) return false;
        if (!mn_jinja_at(c, OP, ")") && !mn_jinja_expect(c, OP, ",")) return false;
    }
    return true;
}

/* The body of a macro, up to `end`. It takes arguments beyond its parameters if it names varargs or kwargs. */
static bool parse_macro_body(jinja_compile *c, const char *end, jinja_node *macro) {
    bool uses_varargs = c->uses_varargs, uses_kwargs = c->uses_kwargs;
    c->uses_varargs = c->uses_kwargs = false;
    bool parsed = parse_captured(c, end, &macro->macro.body);
    macro->macro.uses_varargs = c->uses_varargs;
    macro->macro.uses_kwargs = c->uses_kwargs;
    c->uses_varargs |= uses_varargs;
    c->uses_kwargs |= uses_kwargs;
    return parsed;
}

static bool parse_macro(jinja_compile *c, jinja_node **out) {
    jinja_node *n = *out = mn_jinja_node(c, JINJA_N_SET, c->token->line);
    jinja_node *macro = n ? n->set.value = mn_jinja_node(c, JINJA_N_MACRO, n->line) : NULL;
    jinja_target *target = macro ? n->set.target = mn_jinja_new(c, 1, sizeof *target) : NULL;
    if (!target || !(target->name = macro->macro.name = mn_jinja_expect_name(c))) return false;
    return mn_jinja_expect(c, OP, "(") && parse_parameters(c, &macro->macro.parameters) &&
           parse_macro_body(c, "endmacro", macro);
}

/* {% call(PARAMETERS) MACRO(ARGUMENTS) %}: the body becomes the macro's argument `caller`. */
static bool parse_call_block(jinja_compile *c, jinja_node **out) {
    jinja_node *n = *out = mn_jinja_node(c, JINJA_N_OUTPUT, c->token->line);
    jinja_node *caller = n ? mn_jinja_node(c, JINJA_N_MACRO, n->line) : NULL;
    if (!caller || (mn_jinja_accept(c, OP, "(") && !parse_parameters(c, &caller->macro.parameters))) return false;
    caller->macro.name = "caller";
    jinja_node *call = n->operand = mn_jinja_parse_expression(c);
    if (!call) return false;
    if (call->kind != JINJA_N_CALL) return mn_jinja_reject(c, MN_ERR_FORMAT, n->line, "\"call\" needs a call.");
    jinja_argument **tail = &call->call.arguments;
    while (*tail) tail = &(*tail)->next;
    if (!(*tail = mn_jinja_new(c, 1, sizeof **tail))) return false;
    **tail = (jinja_argument){.name = "caller", .value = caller};
    return parse_macro_body(c, "endcall", caller);
}

/* {% with A = 1, B = 2 %} */
static bool parse_with(jinja_compile *c, jinja_node **out) {
    jinja_node *n = *out = mn_jinja_node(c, JINJA_N_WITH, c->token->line);
    if (!n) return false;
    for (jinja_node **tail = &n->with.sets; c->token->kind != JINJA_T_STMT_END; tail = &(*tail)->next) {
        if (n->with.sets && !mn_jinja_expect(c, OP, ",")) return false;
        jinja_node *set = *tail = mn_jinja_node(c, JINJA_N_SET, c->token->line);
        if (!set || !(set->set.target = parse_one_target(c, false)) || !mn_jinja_expect(c, OP, "=")) return false;
        if (!(set->set.value = mn_jinja_parse_expression(c))) return false;
    }
    return end_statement(c) && parse_block(c, "endwith", &n->with.body);
}

/* {% block NAME scoped %}: a template that extends no other shows it where it stands. */
static bool parse_named_block(jinja_compile *c, jinja_node **out) {
    jinja_node *n = *out = mn_jinja_node(c, JINJA_N_BLOCK, c->token->line);
    const char *name = n ? mn_jinja_expect_name(c) : NULL;
    static const char *const ends[] = {"endblock", NULL};
    const char *end;
    int loops = c->loops;
    if (!name) return false;
    if (mn_jinja_accept(c, NAME, "scoped")) n->kind = JINJA_N_WITH;
    mn_jinja_accept(c, NAME, "required");
    c->loops = 0;
    jinja_node **body = n->kind == JINJA_N_WITH ? &n->with.body : &n->items;
    bool parsed = end_statement(c) && parse_body(c, ends, body, &end);
    c->loops = loops;
    if (parsed && mn_jinja_at(c, NAME, name)) c->token++;
    return parsed && end_statement(c);
}

/* {% print A, B %}: one after the other. */
static bool parse_print(jinja_compile *c, jinja_node **out) {
    do {
        jinja_node *n = *out = mn_jinja_node(c, JINJA_N_OUTPUT, c->token->line);
        if (!n || !(n->operand = mn_jinja_parse_expression(c))) return false;
        out = &n->next;
    } while (mn_jinja_accept(c, OP, ","));
    return end_statement(c);
}

/* Nothing is escaped here, so that "false" is all it can ask for. */
static bool parse_autoescape(jinja_compile *c, jinja_node **out) {
    int line = c->token->line;
    jinja_node *body = NULL, *asked = mn_jinja_parse_expression(c);
    if (!asked || !end_statement(c) || !parse_block(c, "endautoescape", &body)) return false;
    bool off = asked->kind == JINJA_N_LITERAL && !mn_jinja_truth(&asked->literal);
    *out = off ? body : mn_jinja_refuse(c, MN_ERR_UNSUPPORTED, line, "there is no \"autoescape\" but false here.");
    return off || *out;
}

/* {% generation %} marks what training learns from; for rendering it is only its body. */
static bool parse_generation(jinja_compile *c, jinja_node **out) {
    return end_statement(c) && parse_block(c, "endgeneration", out);
}

static bool parse_jump(jinja_compile *c, jinja_node **out) {
    bool is_break = strcmp(c->token[-1].text, "break") == 0;
    *out = mn_jinja_node(c, is_break ? JINJA_N_BREAK : JINJA_N_CONTINUE, c->token->line);
    if (c->loops == 0)
        return mn_jinja_reject(c, MN_ERR_FORMAT, c->token->line, "\"%s\" stands outside a loop.", c->token[-1].text);
    return *out && end_statement(c);
}

static bool is_tag(const jinja_token *t, const char *prefix, const char *name) {
    size_t n = strlen(prefix);
    return t->kind == JINJA_T_STMT_BEGIN && t[1].kind == NAME && strncmp(t[1].text, prefix, n) == 0 &&
           strcmp(t[1].text + n, name) == 0;
}

/* The tag {% endNAME %} that closes the one before t, NULL when there is none. */
static const jinja_token *find_end(const jinja_token *t, const char *name) {
    for (int depth = 0; t->kind != JINJA_T_END; t++) {
        if (is_tag(t, "", name)) depth++;
        if (is_tag(t, "end", name) && depth-- == 0) return t;
    }
    return NULL;
}

/* Passes a statement that there is not, with its body if it has one: it fails when it is reached. */
static bool pass_unknown(jinja_compile *c, const char *name, jinja_node **out) {
    *out = mn_jinja_refuse(c, MN_ERR_UNSUPPORTED, c->token[-1].line, "there is no statement \"%.64s\" here.", name);
    const jinja_token *end = find_end(c->token, name);
    if (end) c->token = end;
    while (c->token->kind != JINJA_T_STMT_END && c->token->kind != JINJA_T_END) c->token++;
    return *out && end_statement(c);
}

/* The statement's name has been passed. */
static bool parse_statement(jinja_compile *c, const char *name, jinja_node **out) {
    static const struct {
        const char *name;
        bool (*parse)(jinja_compile *, jinja_node **);
    } statements[] = {{"if", parse_if},
                      {"for", parse_for},
                      {"set", parse_set},
                      {"macro", parse_macro},
                      {"call", parse_call_block},
                      {"filter", parse_filter_block},
                      {"with", parse_with},
                      {"print", parse_print},
                      {"block", parse_named_block},
                      {"break", parse_jump},
                      {"continue", parse_jump},
                      {"autoescape", parse_autoescape},
                      {"generation", parse_generation}};
    int line = c->token[-1].line;
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        if (strcmp(statements[i].name, name) != 0) continue;
        if (!mn_jinja_nest(c)) return false;
        bool parsed = statements[i].parse(c, out);
        c->depth--;
        return parsed;
    }
    if (strncmp(name, "end", 3) == 0 || strcmp(name, "else") == 0 || strcmp(name, "elif") == 0)
        return mn_jinja_reject(c, MN_ERR_FORMAT, line, "\"%s\" closes nothing.", name);
    return pass_unknown(c, name, out);
}

static bool parse_text(jinja_compile *c, jinja_node **out) {
    jinja_node *n = *out = mn_jinja_node(c, JINJA_N_TEXT, c->token->line);
    if (n) n->text = (jinja_string){c->token->text, NULL, c->token->bytes, false};
    c->token++;
    return n;
}

static bool parse_output(jinja_compile *c, jinja_node **out) {
    jinja_node *n = *out = mn_jinja_node(c, JINJA_N_OUTPUT, c->token->line);
    c->token++;
    return n && (n->operand = mn_jinja_parse_expressions(c)) && mn_jinja_expect(c, JINJA_T_EXPR_END, "}}");
}

static bool is_one_of(const char *name, const char *const *names) {
    for (; names && *names; names++)
        if (strcmp(*names, name) == 0) return true;
    return false;
}

static bool parse_body(jinja_compile *c, const char *const *ends, jinja_node **body, const char **end) {
    int line = c->token->line;
    while (c->token->kind != JINJA_T_END) {
        bool parsed;
        if (c->token->kind == JINJA_T_TEXT)
            parsed = parse_text(c, body);
        else if (c->token->kind == JINJA_T_EXPR_BEGIN)
            parsed = parse_output(c, body);
        else {
            c->token++;
            const char *name = mn_jinja_expect_name(c);
            if (name && is_one_of(name, ends)) {
                *end = name;
                return true;
            }
            parsed = name && parse_statement(c, name, body);
        }
        if (!parsed) return false;
        while (*body) body = &(*body)->next;
    }
    return !ends || mn_jinja_reject(c, MN_ERR_FORMAT, line, "\"%s\" is missing.", ends[0]);
}

jinja_node *mn_jinja_parse(jinja_compile *c, const char *source, size_t bytes) {
    jinja_node *body = NULL;
    c->token = mn_jinja_tokenize(c, source, bytes);
    const char *end;
    return c->token && parse_body(c, NULL, &body, &end) ? body : NULL;
}
