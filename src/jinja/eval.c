#include "jinja/eval.h"

#include "jinja/builtins.h"
#include "jinja/format.h"

#include <string.h>

/* How a statement ended: what comes next, or which way the loop around it goes. */
typedef enum flow { FAILED, NEXT, BREAK, CONTINUE } flow;

static bool eval(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out);
static flow run_body(jinja_render *r, jinja_scope *scope, const jinja_node *body);

static jinja_scope *open_scope(jinja_render *r, jinja_scope *parent) {
    jinja_scope *scope = mn_jinja_alloc(r, 1, sizeof *scope);
    if (scope) *scope = (jinja_scope){.parent = parent};
    return scope;
}

static bool define(jinja_render *r, jinja_scope *scope, const char *name, jinja_value value) {
    return mn_jinja_dict_set(r, &scope->names, mn_jinja_text(mn_jinja_borrow(name)), value);
}

static bool look_up(jinja_render *r, const jinja_scope *scope, const char *name, jinja_value *out) {
    const jinja_value key = mn_jinja_text(mn_jinja_borrow(name));
    jinja_value *found = NULL;
    for (; scope && !found; scope = scope->parent)
        if (!mn_jinja_dict_find(r, &scope->names, &key, &found)) return false;
    const jinja_builtin *function = found ? NULL : mn_jinja_function(name);
    *out = found      ? *found
           : function ? (jinja_value){.kind = JINJA_FUNCTION, .function = function}
                      : mn_jinja_undefined(name);
    return true;
}

static bool eval_items(jinja_render *r, jinja_scope *scope, const jinja_node *item, jinja_list **out) {
    if (!mn_jinja_new_list(r, 0, out)) return false;
    for (; item; item = item->next) {
        jinja_value value;
        if (!eval(r, scope, item, &value) || !mn_jinja_push(r, *out, value)) return false;
    }
    return true;
}

static bool eval_dict(jinja_render *r, jinja_scope *scope, const jinja_node *item, jinja_value *out) {
    *out = (jinja_value){.kind = JINJA_DICT};
    if (!mn_jinja_new_dict(r, &out->dict)) return false;
    for (; item; item = item->next->next) {
        jinja_value key, value;
        if (!eval(r, scope, item, &key) || !eval(r, scope, item->next, &value)) return false;
        if (key.kind > JINJA_STRING_KIND)
            return mn_jinja_fail(r, MN_ERR_ARGUMENT, "a %s cannot be a key.", mn_jinja_kind_name(&key));
        if (!mn_jinja_dict_set(r, out->dict, key, value)) return false;
    }
    return true;
}

static bool eval_binary(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value left, right;
    if (!eval(r, scope, n->binary.left, &left)) return false;
    if (n->binary.op == JINJA_AND || n->binary.op == JINJA_OR) {
        if (mn_jinja_truth(&left) == (n->binary.op == JINJA_AND)) return eval(r, scope, n->binary.right, out);
        *out = left;
        return true;
    }
    return eval(r, scope, n->binary.right, &right) && mn_jinja_operate(r, n->binary.op, &left, &right, out);
}

static bool eval_conditional(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value condition;
    if (!eval(r, scope, n->branch.condition, &condition)) return false;
    const jinja_node *chosen = mn_jinja_truth(&condition) ? n->branch.then : n->branch.otherwise;
    *out = mn_jinja_undefined(NULL);
    return !chosen || eval(r, scope, chosen, out);
}

static bool eval_attribute(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value object;
    return eval(r, scope, n->attribute.object, &object) &&
           mn_jinja_attribute(r, &object, mn_jinja_borrow(n->attribute.name), out);
}

static bool eval_subscript(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value object, index;
    return eval(r, scope, n->subscript.object, &object) && eval(r, scope, n->subscript.index, &index) &&
           mn_jinja_subscript(r, &object, &index, out);
}

static bool eval_slice(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    const jinja_node *nodes[3] = {n->slice.start, n->slice.stop, n->slice.step};
    jinja_value object, bounds[3];
    if (!eval(r, scope, n->slice.object, &object)) return false;
    for (int i = 0; i < 3; i++) {
        bounds[i] = mn_jinja_undefined(NULL);
        if (nodes[i] && !eval(r, scope, nodes[i], &bounds[i])) return false;
    }
    return mn_jinja_slice(r, &object, bounds, out);
}

static int find_parameter(const jinja_builtin *builtin, const char *name) {
    for (int i = 0; i < JINJA_MAX_PARAMS && builtin->params[i]; i++)
        if (strcmp(builtin->params[i], name) == 0) return i;
    return -1;
}

/* Evaluates the arguments and puts each where the builtin expects it. */
static bool bind(jinja_render *r, jinja_scope *scope, const jinja_builtin *builtin, const jinja_argument *a,
                 jinja_args *args) {
    for (int i = 0; i < JINJA_MAX_PARAMS; i++) args->values[i] = mn_jinja_undefined(NULL);
    if (builtin->any_keywords && !mn_jinja_new_dict(r, &args->keywords)) return false;
    int n_given = 0;
    for (int place = 0; a; a = a->next, n_given++) {
        jinja_value value;
        if (!eval(r, scope, a->value, &value)) return false;
        int at = a->name ? find_parameter(builtin, a->name) : place++;
        if (at >= 0 && at < JINJA_MAX_PARAMS && builtin->params[at])
            args->values[at] = value;
        else if (!a->name)
            return mn_jinja_fail(r, MN_ERR_UNSUPPORTED, "%s takes no argument number %d.", builtin->name, place);
        else if (!builtin->any_keywords)
            return mn_jinja_fail(r, MN_ERR_UNSUPPORTED, "%s takes no argument \"%s\".", builtin->name, a->name);
        else if (!mn_jinja_dict_set(r, args->keywords, mn_jinja_text(mn_jinja_borrow(a->name)), value))
            return false;
    }
    if (n_given >= builtin->n_required) return true;
    return mn_jinja_fail(r, MN_ERR_ARGUMENT, "%s needs %d arguments, not %d.", builtin->name, builtin->n_required,
                         n_given);
}

static bool call_builtin(jinja_render *r, jinja_scope *scope, const jinja_builtin *builtin, const jinja_value *self,
                         const jinja_argument *arguments, jinja_value *out) {
    jinja_args args = {.self = self ? *self : mn_jinja_undefined(NULL)};
    return bind(r, scope, builtin, arguments, &args) && builtin->call(r, &args, out);
}

static const jinja_argument *parameter_at(const jinja_argument *parameters, const jinja_argument *a, int place) {
    for (; parameters; parameters = parameters->next, place--)
        if (a->name ? strcmp(a->name, parameters->name) == 0 : place == 0) return parameters;
    return NULL;
}

/* Puts arguments, then defaults, into the macro's own scope. */
static bool bind_macro(jinja_render *r, jinja_scope *scope, const jinja_node *macro, const jinja_argument *a,
                       jinja_scope *inner) {
    const jinja_argument *parameters = macro->macro.parameters;
    for (int place = 0; a; a = a->next, place++) {
        const jinja_argument *p = parameter_at(parameters, a, place);
        const char *name = p ? p->name : a->name && strcmp(a->name, "caller") == 0 ? a->name : NULL;
        jinja_value value;
        if (!name)
            return mn_jinja_fail(r, MN_ERR_ARGUMENT, "the macro \"%s\" takes no such argument: %s.", macro->macro.name,
                                 a->name ? a->name : "one too many");
        if (!eval(r, scope, a->value, &value) || !define(r, inner, name, value)) return false;
    }
    for (const jinja_argument *p = parameters; p; p = p->next) {
        jinja_value value = mn_jinja_undefined(p->name);
        if (mn_jinja_dict_get(&inner->names, mn_jinja_borrow(p->name))) continue;
        if (p->value && !eval(r, inner, p->value, &value)) return false;
        if (!define(r, inner, p->name, value)) return false;
    }
    return true;
}

/* What the body prints, as a string. */
static bool capture(jinja_render *r, jinja_scope *scope, const jinja_node *body, jinja_value *out) {
    jinja_builder b = mn_jinja_build(r), *outer = r->out;
    r->out = &b;
    flow ended = run_body(r, scope, body);
    r->out = outer;
    *out = mn_jinja_text((jinja_string){0});
    return ended != FAILED && mn_jinja_built(&b, &out->string);
}

static bool call_macro(jinja_render *r, jinja_scope *scope, const jinja_value *macro, const jinja_argument *arguments,
                       jinja_value *out) {
    const jinja_node *n = macro->macro.node;
    jinja_scope *inner = open_scope(r, macro->macro.scope);
    return inner && bind_macro(r, scope, n, arguments, inner) && capture(r, inner, n->macro.body, out);
}

static bool eval_call(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value callee;
    if (!eval(r, scope, n->call.callee, &callee)) return false;
    r->line = n->line;
    switch (callee.kind) {
    case JINJA_MACRO: return call_macro(r, scope, &callee, n->call.arguments, out);
    case JINJA_FUNCTION: return call_builtin(r, scope, callee.function, NULL, n->call.arguments, out);
    case JINJA_METHOD: return call_builtin(r, scope, callee.method.builtin, callee.method.self, n->call.arguments, out);
    default:
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "\"%s\" is %s and cannot be called.",
                             callee.kind == JINJA_UNDEFINED && callee.name ? callee.name : "the value",
                             mn_jinja_kind_name(&callee));
    }
}

static bool eval_applied(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value self;
    if (!eval(r, scope, n->call.input, &self)) return false;
    r->line = n->line;
    return call_builtin(r, scope, n->call.builtin, &self, n->call.arguments, out);
}

static bool eval_not(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value value;
    if (!eval(r, scope, n->operand, &value)) return false;
    *out = mn_jinja_bool(!mn_jinja_truth(&value));
    return true;
}

static bool eval_sign(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value value;
    if (!eval(r, scope, n->operand, &value)) return false;
    return mn_jinja_negate(r, &value, out) && (n->kind == JINJA_N_NEGATE || mn_jinja_negate(r, out, out));
}

static bool eval_capture(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_scope *inner = open_scope(r, scope);
    return inner && capture(r, inner, n->items, out);
}

static bool eval_inner(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    switch (n->kind) {
    case JINJA_N_LITERAL: *out = n->literal; return true;
    case JINJA_N_NAME: return look_up(r, scope, n->name, out);
    case JINJA_N_LIST: out->kind = JINJA_LIST; return eval_items(r, scope, n->items, &out->list);
    case JINJA_N_DICT: return eval_dict(r, scope, n->items, out);
    case JINJA_N_NOT: return eval_not(r, scope, n, out);
    case JINJA_N_NEGATE:
    case JINJA_N_PLUS: return eval_sign(r, scope, n, out);
    case JINJA_N_BINARY: return eval_binary(r, scope, n, out);
    case JINJA_N_CONDITIONAL: return eval_conditional(r, scope, n, out);
    case JINJA_N_ATTRIBUTE: return eval_attribute(r, scope, n, out);
    case JINJA_N_SUBSCRIPT: return eval_subscript(r, scope, n, out);
    case JINJA_N_SLICE: return eval_slice(r, scope, n, out);
    case JINJA_N_CALL: return eval_call(r, scope, n, out);
    case JINJA_N_FILTER:
    case JINJA_N_TEST: return eval_applied(r, scope, n, out);
    case JINJA_N_CAPTURE: return eval_capture(r, scope, n, out);
    default: *out = (jinja_value){.kind = JINJA_MACRO, .macro = {n, scope}}; return true;
    }
}

static bool eval(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    r->line = n->line;
    if (!mn_jinja_enter(r) || !mn_jinja_spend(r, 1)) return false;
    bool done = eval_inner(r, scope, n, out);
    r->depth--;
    return done;
}

static bool assign_one(jinja_render *r, jinja_scope *scope, const jinja_target *t, jinja_value value) {
    if (!t->attribute) return define(r, scope, t->name, value);
    jinja_value object;
    if (!look_up(r, scope, t->name, &object)) return false;
    if (object.kind != JINJA_NAMESPACE)
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "\"%s\" is %s, not a namespace: it cannot be changed.", t->name,
                             mn_jinja_kind_name(&object));
    return mn_jinja_dict_set(r, object.dict, mn_jinja_text(mn_jinja_borrow(t->attribute)), value);
}

static bool assign(jinja_render *r, jinja_scope *scope, const jinja_target *t, jinja_value value) {
    if (!t->next) return assign_one(r, scope, t, value);
    jinja_list *parts;
    if (!mn_jinja_iterate(r, &value, &parts)) return false;
    size_t n_targets = 0;
    for (const jinja_target *counted = t; counted; counted = counted->next) n_targets++;
    if (parts->n != n_targets)
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "%zu values cannot be given to %zu names.", parts->n, n_targets);
    for (size_t i = 0; t; t = t->next, i++)
        if (!assign_one(r, scope, t, parts->items[i])) return false;
    return true;
}

/* The items of a for that pass its `if`. */
static bool loop_items(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_list **out) {
    jinja_value iterable, keep;
    jinja_list *all;
    if (!eval(r, scope, n->loop.iterable, &iterable) || !mn_jinja_iterate(r, &iterable, &all)) return false;
    *out = all;
    if (!n->loop.condition) return true;
    if (!mn_jinja_new_list(r, all->n, out)) return false;
    for (size_t i = 0; i < all->n; i++) {
        jinja_scope *inner = open_scope(r, scope);
        if (!inner || !assign(r, inner, n->loop.targets, all->items[i])) return false;
        if (!eval(r, inner, n->loop.condition, &keep)) return false;
        if (mn_jinja_truth(&keep)) (*out)->items[(*out)->n++] = all->items[i];
    }
    return true;
}

static flow run_for(jinja_render *r, jinja_scope *scope, const jinja_node *n) {
    jinja_list *items;
    if (!loop_items(r, scope, n, &items)) return FAILED;
    if (items->n == 0) {
        jinja_scope *inner = open_scope(r, scope);
        return inner ? run_body(r, inner, n->loop.otherwise) : FAILED;
    }
    for (size_t i = 0; i < items->n; i++) {
        jinja_scope *inner = open_scope(r, scope);
        jinja_loop *loop = inner ? mn_jinja_alloc(r, 1, sizeof *loop) : NULL;
        if (!loop || !assign(r, inner, n->loop.targets, items->items[i])) return FAILED;
        *loop = (jinja_loop){items, i};
        if (!define(r, inner, "loop", (jinja_value){.kind = JINJA_LOOP, .loop = loop})) return FAILED;
        flow ended = run_body(r, inner, n->loop.body);
        if (ended == FAILED) return FAILED;
        if (ended == BREAK) break;
    }
    return NEXT;
}

/* A chain of elif is a list, not a nesting. */
static flow run_if(jinja_render *r, jinja_scope *scope, const jinja_node *n) {
    for (;;) {
        jinja_value condition;
        if (!eval(r, scope, n->branch.condition, &condition)) return FAILED;
        if (mn_jinja_truth(&condition)) return run_body(r, scope, n->branch.then);
        const jinja_node *otherwise = n->branch.otherwise;
        if (!otherwise || otherwise->kind != JINJA_N_IF || otherwise->next) return run_body(r, scope, otherwise);
        n = otherwise;
    }
}

static flow run_statement(jinja_render *r, jinja_scope *scope, const jinja_node *n) {
    jinja_value value;
    switch (n->kind) {
    case JINJA_N_TEXT: mn_jinja_put(r->out, n->text); break;
    case JINJA_N_OUTPUT:
        if (!eval(r, scope, n->operand, &value)) return FAILED;
        r->line = n->line;
        mn_jinja_print(r->out, &value);
        break;
    case JINJA_N_IF: return run_if(r, scope, n);
    case JINJA_N_FOR: return run_for(r, scope, n);
    case JINJA_N_SET:
        if (!eval(r, scope, n->set.value, &value) || !assign(r, scope, n->set.targets, value)) return FAILED;
        break;
    case JINJA_N_BREAK: return BREAK;
    default: return CONTINUE;
    }
    return r->status == MN_OK ? NEXT : FAILED;
}

static flow run_body(jinja_render *r, jinja_scope *scope, const jinja_node *body) {
    flow ended = NEXT;
    if (!mn_jinja_enter(r)) return FAILED;
    for (; body && ended == NEXT; body = body->next) {
        r->line = body->line;
        ended = mn_jinja_spend(r, 1) ? run_statement(r, scope, body) : FAILED;
    }
    r->depth--;
    return ended;
}

bool mn_jinja_run(jinja_render *r, const jinja_node *body, const jinja_dict *variables, jinja_string *out) {
    jinja_scope given = {.names = *variables};
    jinja_scope *scope = open_scope(r, &given);
    jinja_value text;
    if (!scope || !capture(r, scope, body, &text)) return false;
    *out = text.string;
    return true;
}
