/* Statements. */
#include "jinja/builtins.h"
#include "jinja/eval.h"
#include "jinja/format.h"

/* How a statement ended: what comes next, or which way the loop around it goes. */
typedef enum flow { FAILED, NEXT, BREAK, CONTINUE } flow;

static flow run_body(jinja_render *r, jinja_scope *scope, const jinja_node *body);

bool mn_jinja_capture(jinja_render *r, jinja_scope *scope, const jinja_node *body, jinja_value *out) {
    jinja_builder b = mn_jinja_build(r), *outer = r->out;
    r->out = &b;
    flow ended = run_body(r, scope, body);
    r->out = outer;
    *out = mn_jinja_text((jinja_string){0});
    return ended != FAILED && mn_jinja_built(&b, &out->string);
}

static jinja_value *find_name(jinja_scope *scope, const char *name) {
    jinja_value *found = NULL;
    for (; scope && !found; scope = scope->parent) found = mn_jinja_dict_get(&scope->names, mn_jinja_borrow(name));
    return found;
}

static bool assign_attribute(jinja_render *r, jinja_scope *scope, const jinja_target *t, jinja_value value) {
    const jinja_value *object = find_name(scope, t->name);
    if (!object || object->kind != JINJA_NAMESPACE)
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "\"%s\" is %s, not a namespace: it cannot be changed.", t->name,
                             object ? mn_jinja_kind_name(object) : "undefined");
    return mn_jinja_dict_set(r, object->dict, mn_jinja_text(mn_jinja_borrow(t->attribute)), value);
}

static bool assign(jinja_render *r, jinja_scope *scope, const jinja_target *t, jinja_value value) {
    if (t->attribute) return assign_attribute(r, scope, t, value);
    if (t->name) return mn_jinja_define(r, scope, t->name, value);
    jinja_list *parts;
    if (!mn_jinja_iterate(r, &value, &parts)) return false;
    size_t n_targets = 0, i = 0;
    for (const jinja_target *item = t->items; item; item = item->next) n_targets++;
    if (parts->n != n_targets)
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "%zu values cannot be given to %zu names.", parts->n, n_targets);
    for (const jinja_target *item = t->items; item; item = item->next)
        if (!assign(r, scope, item, parts->items[i++])) return false;
    return true;
}

/* The items of a for that pass its `if`. */
static bool filter_items(jinja_render *r, jinja_scope *scope, const jinja_node *n, const jinja_value *iterable,
                         jinja_list **out) {
    jinja_value keep;
    jinja_list *all;
    if (!mn_jinja_iterate(r, iterable, &all)) return false;
    *out = all;
    if (!n->loop.condition) return true;
    if (!mn_jinja_new_list(r, all->n, out)) return false;
    for (size_t i = 0; i < all->n; i++) {
        jinja_scope *inner = mn_jinja_open_scope(r, scope);
        if (!inner || !assign(r, inner, n->loop.target, all->items[i])) return false;
        if (!mn_jinja_eval(r, inner, n->loop.condition, &keep)) return false;
        if (mn_jinja_truth(&keep)) (*out)->items[(*out)->n++] = all->items[i];
    }
    return true;
}

static flow loop_over(jinja_render *r, jinja_scope *scope, const jinja_node *n, const jinja_value *iterable,
                      int depth) {
    jinja_list *items;
    if (!filter_items(r, scope, n, iterable, &items)) return FAILED;
    if (items->n == 0) {
        jinja_scope *inner = mn_jinja_open_scope(r, scope);
        return inner ? run_body(r, inner, n->loop.otherwise) : FAILED;
    }
    jinja_loop *loop = mn_jinja_alloc(r, 1, sizeof *loop);
    if (!loop) return FAILED;
    *loop = (jinja_loop){.items = items, .depth = depth, .node = n, .scope = scope};
    for (; loop->index < items->n; loop->index++) {
        jinja_scope *inner = mn_jinja_open_scope(r, scope);
        if (!inner || !assign(r, inner, n->loop.target, items->items[loop->index])) return FAILED;
        if (!mn_jinja_define(r, inner, "loop", (jinja_value){.kind = JINJA_LOOP, .loop = loop})) return FAILED;
        flow ended = run_body(r, inner, n->loop.body);
        if (ended == FAILED) return FAILED;
        if (ended == BREAK) break;
    }
    return NEXT;
}

bool mn_jinja_recurse(jinja_render *r, const jinja_loop *loop, const jinja_value *items, jinja_value *out) {
    jinja_builder b = mn_jinja_build(r), *outer = r->out;
    if (!mn_jinja_enter(r)) return false;
    r->out = &b;
    flow ended = loop_over(r, loop->scope, loop->node, items, loop->depth + 1);
    r->out = outer;
    r->depth--;
    *out = mn_jinja_text((jinja_string){0});
    return ended != FAILED && mn_jinja_built(&b, &out->string);
}

static flow run_for(jinja_render *r, jinja_scope *scope, const jinja_node *n) {
    jinja_value iterable;
    return mn_jinja_eval(r, scope, n->loop.iterable, &iterable) ? loop_over(r, scope, n, &iterable, 0) : FAILED;
}

/* A chain of elif is a list, not a nesting. */
static flow run_if(jinja_render *r, jinja_scope *scope, const jinja_node *n) {
    for (;;) {
        jinja_value condition;
        if (!mn_jinja_eval(r, scope, n->branch.condition, &condition)) return FAILED;
        if (mn_jinja_truth(&condition)) return run_body(r, scope, n->branch.then);
        const jinja_node *otherwise = n->branch.otherwise;
        if (!otherwise || otherwise->kind != JINJA_N_IF || otherwise->next) return run_body(r, scope, otherwise);
        n = otherwise;
    }
}

/* The values see what is around the block, not each other. */
static flow run_with(jinja_render *r, jinja_scope *scope, const jinja_node *n) {
    jinja_scope *inner = mn_jinja_open_scope(r, scope);
    jinja_value value;
    if (!inner) return FAILED;
    for (const jinja_node *set = n->with.sets; set; set = set->next)
        if (!mn_jinja_eval(r, scope, set->set.value, &value) || !assign(r, inner, set->set.target, value))
            return FAILED;
    return run_body(r, inner, n->with.body);
}

static bool run_set(jinja_render *r, jinja_scope *scope, const jinja_node *n) {
    jinja_value value;
    return mn_jinja_eval(r, scope, n->set.value, &value) && assign(r, scope, n->set.target, value);
}

/* A block is its body with the names of the template, not those of the loops around it. */
static flow run_block(jinja_render *r, jinja_scope *scope, const jinja_node *n) {
    while (scope->parent && scope->parent->parent) scope = scope->parent;
    jinja_scope *inner = mn_jinja_open_scope(r, scope);
    return inner ? run_body(r, inner, n->items) : FAILED;
}

static flow run_statement(jinja_render *r, jinja_scope *scope, const jinja_node *n) {
    jinja_value value;
    switch (n->kind) {
    case JINJA_N_TEXT: mn_jinja_put(r->out, n->text); break;
    case JINJA_N_OUTPUT:
        if (!mn_jinja_eval(r, scope, n->operand, &value)) return FAILED;
        r->line = n->line;
        mn_jinja_print(r->out, &value);
        break;
    case JINJA_N_IF: return run_if(r, scope, n);
    case JINJA_N_FOR: return run_for(r, scope, n);
    case JINJA_N_WITH: return run_with(r, scope, n);
    case JINJA_N_BLOCK: return run_block(r, scope, n);
    case JINJA_N_SET: run_set(r, scope, n); break;
    case JINJA_N_REFUSED: mn_jinja_fail(r, n->refused.status, "%s", n->refused.sentence); break;
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
    jinja_scope *scope = mn_jinja_open_scope(r, &given);
    jinja_value text;
    if (!scope || !mn_jinja_capture(r, scope, body, &text)) return false;
    *out = text.string;
    return true;
}
