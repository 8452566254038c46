/* Expressions. */
#include "jinja/eval.h"

#include "jinja/builtins.h"

jinja_scope *mn_jinja_open_scope(jinja_render *r, jinja_scope *parent) {
    jinja_scope *scope = mn_jinja_alloc(r, 1, sizeof *scope);
    if (scope) *scope = (jinja_scope){.parent = parent};
    return scope;
}

bool mn_jinja_define(jinja_render *r, jinja_scope *scope, const char *name, jinja_value value) {
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
        if (!mn_jinja_eval(r, scope, item, &value) || !mn_jinja_push(r, *out, value)) return false;
    }
    return true;
}

static bool eval_dict(jinja_render *r, jinja_scope *scope, const jinja_node *item, jinja_value *out) {
    *out = (jinja_value){.kind = JINJA_DICT};
    if (!mn_jinja_new_dict(r, &out->dict)) return false;
    for (; item; item = item->next->next) {
        jinja_value key, value;
        if (!mn_jinja_eval(r, scope, item, &key) || !mn_jinja_eval(r, scope, item->next, &value)) return false;
        bool can_be_key = key.kind <= JINJA_STRING_KIND || (key.kind == JINJA_LIST && mn_jinja_is_tuple(key.list));
        if (!can_be_key) return mn_jinja_fail(r, MN_ERR_ARGUMENT, "a %s cannot be a key.", mn_jinja_kind_name(&key));
        if (!mn_jinja_dict_set(r, out->dict, key, value)) return false;
    }
    return true;
}

static bool eval_binary(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value left, right;
    if (!mn_jinja_eval(r, scope, n->binary.left, &left)) return false;
    if (n->binary.op == JINJA_AND || n->binary.op == JINJA_OR) {
        if (mn_jinja_truth(&left) == (n->binary.op == JINJA_AND)) return mn_jinja_eval(r, scope, n->binary.right, out);
        *out = left;
        return true;
    }
    return mn_jinja_eval(r, scope, n->binary.right, &right) && mn_jinja_operate(r, n->binary.op, &left, &right, out);
}

/* Stops at the first step that does not hold; what stands in the middle is evaluated once. */
static bool eval_compare(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value left, right;
    if (!mn_jinja_eval(r, scope, n->compare.left, &left)) return false;
    for (const jinja_comparison *step = n->compare.steps; step; step = step->next, left = right) {
        if (!mn_jinja_eval(r, scope, step->right, &right)) return false;
        if (!mn_jinja_operate(r, step->op, &left, &right, out)) return false;
        if (!mn_jinja_truth(out)) break;
    }
    return true;
}

static bool eval_conditional(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value condition;
    if (!mn_jinja_eval(r, scope, n->branch.condition, &condition)) return false;
    const jinja_node *chosen = mn_jinja_truth(&condition) ? n->branch.then : n->branch.otherwise;
    *out = mn_jinja_undefined(NULL);
    return !chosen || mn_jinja_eval(r, scope, chosen, out);
}

static bool eval_attribute(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value object;
    return mn_jinja_eval(r, scope, n->attribute.object, &object) &&
           mn_jinja_attribute(r, &object, mn_jinja_borrow(n->attribute.name), out);
}

static bool eval_subscript(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value object, index;
    return mn_jinja_eval(r, scope, n->subscript.object, &object) &&
           mn_jinja_eval(r, scope, n->subscript.index, &index) && mn_jinja_subscript(r, &object, &index, out);
}

static bool eval_slice(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    const jinja_node *nodes[3] = {n->slice.start, n->slice.stop, n->slice.step};
    jinja_value object, bounds[3];
    if (!mn_jinja_eval(r, scope, n->slice.object, &object)) return false;
    for (int i = 0; i < 3; i++) {
        bounds[i] = mn_jinja_undefined(NULL);
        if (nodes[i] && !mn_jinja_eval(r, scope, nodes[i], &bounds[i])) return false;
    }
    return mn_jinja_slice(r, &object, bounds, out);
}

static bool call_joiner(jinja_joiner *joiner, jinja_value *out) {
    *out = joiner->used ? joiner->separator : mn_jinja_text(JINJA_STRING(""));
    joiner->used = true;
    return true;
}

static bool call_loop(jinja_render *r, const jinja_loop *loop, const jinja_call *call, jinja_value *out) {
    if (!loop->node->loop.recursive)
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "the loop is called but not marked \"recursive\".");
    if (call->by_place.n != 1) return mn_jinja_fail(r, MN_ERR_ARGUMENT, "a loop is called with what it goes through.");
    return mn_jinja_recurse(r, loop, &call->by_place.items[0], out);
}

static bool cannot_be_called(jinja_render *r, const jinja_node *callee, const jinja_value *value) {
    if (value->kind == JINJA_UNDEFINED && callee->kind == JINJA_N_NAME)
        return mn_jinja_fail(r, MN_ERR_UNSUPPORTED, "there is no function \"%.64s\" here.", callee->name);
    if (value->kind == JINJA_UNDEFINED && callee->kind == JINJA_N_ATTRIBUTE)
        return mn_jinja_fail(r, MN_ERR_UNSUPPORTED, "there is no method \"%.64s\" here.", callee->attribute.name);
    return mn_jinja_fail(r, MN_ERR_ARGUMENT, "a %s cannot be called.", mn_jinja_kind_name(value));
}

static bool eval_call(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value callee;
    jinja_call call;
    if (!mn_jinja_eval(r, scope, n->call.callee, &callee)) return false;
    if (callee.kind < JINJA_LOOP) return cannot_be_called(r, n->call.callee, &callee);
    if (!mn_jinja_eval_call(r, scope, n->call.arguments, &call)) return false;
    r->line = n->line;
    switch (callee.kind) {
    case JINJA_LOOP: return call_loop(r, callee.loop, &call, out);
    case JINJA_MACRO: return mn_jinja_call_macro(r, &callee, &call, out);
    case JINJA_FUNCTION: return mn_jinja_apply(r, callee.function, NULL, &call, out);
    case JINJA_METHOD: return mn_jinja_apply(r, callee.method.builtin, callee.method.self, &call, out);
    case JINJA_JOINER: return call_joiner(callee.joiner, out);
    default: return cannot_be_called(r, n->call.callee, &callee);
    }
}

/* A filter or a test. */
static bool eval_applied(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value self;
    jinja_call call;
    if (!n->call.builtin)
        return mn_jinja_fail(r, MN_ERR_UNSUPPORTED, "there is no %s \"%.64s\" here.",
                             n->kind == JINJA_N_FILTER ? "filter" : "test", n->call.name);
    if (!mn_jinja_eval(r, scope, n->call.input, &self)) return false;
    if (!mn_jinja_eval_call(r, scope, n->call.arguments, &call)) return false;
    r->line = n->line;
    return mn_jinja_apply(r, n->call.builtin, &self, &call, out);
}

static bool eval_not(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value value;
    if (!mn_jinja_eval(r, scope, n->operand, &value)) return false;
    *out = mn_jinja_bool(!mn_jinja_truth(&value));
    return true;
}

static bool eval_sign(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value value;
    if (!mn_jinja_eval(r, scope, n->operand, &value)) return false;
    return mn_jinja_negate(r, &value, out) && (n->kind == JINJA_N_NEGATE || mn_jinja_negate(r, out, out));
}

static bool eval_capture(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_scope *inner = mn_jinja_open_scope(r, scope);
    return inner && mn_jinja_capture(r, inner, n->items, out);
}

static bool eval_list(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    *out = (jinja_value){.kind = JINJA_LIST};
    if (!eval_items(r, scope, n->items, &out->list)) return false;
    out->list->shape = n->kind == JINJA_N_TUPLE ? JINJA_TUPLE : JINJA_PLAIN;
    return true;
}

static bool eval_inner(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    switch (n->kind) {
    case JINJA_N_LITERAL: *out = n->literal; return true;
    case JINJA_N_NAME: return look_up(r, scope, n->name, out);
    case JINJA_N_LIST:
    case JINJA_N_TUPLE: return eval_list(r, scope, n, out);
    case JINJA_N_DICT: return eval_dict(r, scope, n->items, out);
    case JINJA_N_NOT: return eval_not(r, scope, n, out);
    case JINJA_N_NEGATE:
    case JINJA_N_PLUS: return eval_sign(r, scope, n, out);
    case JINJA_N_BINARY: return eval_binary(r, scope, n, out);
    case JINJA_N_COMPARE: return eval_compare(r, scope, n, out);
    case JINJA_N_CONDITIONAL: return eval_conditional(r, scope, n, out);
    case JINJA_N_ATTRIBUTE: return eval_attribute(r, scope, n, out);
    case JINJA_N_SUBSCRIPT: return eval_subscript(r, scope, n, out);
    case JINJA_N_SLICE: return eval_slice(r, scope, n, out);
    case JINJA_N_CALL: return eval_call(r, scope, n, out);
    case JINJA_N_FILTER:
    case JINJA_N_TEST: return eval_applied(r, scope, n, out);
    case JINJA_N_CAPTURE: return eval_capture(r, scope, n, out);
    case JINJA_N_REFUSED: return mn_jinja_fail(r, n->refused.status, "%s", n->refused.sentence);
    default: *out = (jinja_value){.kind = JINJA_MACRO, .macro = {n, scope}}; return true;
    }
}

bool mn_jinja_eval(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    r->line = n->line;
    if (!mn_jinja_enter(r) || !mn_jinja_spend(r, 1)) return false;
    bool done = eval_inner(r, scope, n, out);
    r->depth--;
    return done;
}
