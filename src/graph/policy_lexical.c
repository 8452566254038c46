/* The walk without a model: words decide. */
#include "graph/walk_inside.h"

#include "base/checked.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NOTES_OF_KEY = 4 };

static mn_status plan(mn_walker *w, mn_error *err) {
    w->walk->plan = strdup("Look for the words of the question, in rare facts first.");
    return w->walk->plan ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory for a plan.");
}

static mn_status select_keys(mn_walker *w, const mn_hit *keys, uint32_t n, uint32_t max, mn_decision *out,
                             mn_error *err) {
    (void)w, (void)err;
    out->n = MN_MIN(n, MN_MIN(max, MN_WALK_PAGE));
    for (uint32_t i = 0; i < out->n; i++) out->numbers[i] = keys[i].number;
    return MN_OK;
}

/* Notes a fact of the graph in the path's notebook. */
static mn_status note(mn_walker *w, mn_walk_path *p, uint32_t number, mn_error *err) {
    mn_fact fact;
    if (mn_met_has(&p->facts, number)) return MN_OK;
    mn_met_add(&p->facts, number);
    MN_TRY(mn_graph_fact(w->graph, number, &fact, err));
    mn_strbuf_printf(&p->notebook, "- %s\n", fact.text);
    mn_fact_release(&fact);
    return MN_OK;
}

/* Notes the best facts, which come best first, and reads the passage of the best one that was not read. */
static mn_status facts(mn_walker *w, mn_walk_path *p, const uint32_t *list, uint32_t n, mn_decision *out,
                       mn_error *err) {
    out->move = MN_MOVE_NEIGHBOUR;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t passage = w->graph->passage_of[list[i]];
        if (i < NOTES_OF_KEY && w->fact_scores[list[i]] > 0.0F) MN_TRY(note(w, p, list[i], err));
        if (out->n || mn_met_has(&p->passages, passage)) continue;
        out->move = MN_MOVE_READ;
        out->numbers[out->n++] = passage;
    }
    return MN_OK;
}

static mn_status chunk(mn_walker *w, mn_walk_path *p, const mn_passage *passage, mn_decision *out, mn_error *err) {
    uint32_t best = passage->first_fact;
    for (uint32_t f = passage->first_fact; f < passage->end_fact; f++)
        if (w->fact_scores[f] > w->fact_scores[best]) best = f;
    out->move = MN_MOVE_MORE;
    return best < passage->end_fact && w->fact_scores[best] > 0.0F ? note(w, p, best, err) : MN_OK;
}

/* The best fact that a key would add, less for keys of many facts. */
static mn_status worth(mn_walker *w, mn_walk_path *p, uint32_t number, float *out, mn_error *err) {
    mn_key key;
    float best = 0.0F;
    MN_TRY(mn_graph_key(w->graph, number, &key, err));
    for (uint32_t i = 0; i < MN_MIN(key.n_facts, 1000U); i++)
        if (!mn_met_has(&p->facts, key.facts[i])) best = fmaxf(best, w->fact_scores[key.facts[i]]);
    *out = best / sqrtf(log2f(1.0F + (float)key.n_facts)) + (key.n_passages ? 0.15F : 0.0F);
    mn_key_release(&key);
    return MN_OK;
}

static mn_status neighbour(mn_walker *w, mn_walk_path *p, const mn_neighbour *keys, uint32_t n, mn_decision *out,
                           mn_error *err) {
    float most = 0.0F;
    out->move = MN_MOVE_END;
    for (uint32_t i = 0; i < n; i++) {
        float value;
        MN_TRY(worth(w, p, keys[i].key, &value, err));
        if (value <= most) continue;
        most = value;
        out->move = MN_MOVE_NEIGHBOUR;
        out->numbers[0] = keys[i].key;
        out->n = 1;
    }
    return MN_OK;
}

const mn_walk_policy mn_walk_lexical = {
    .plan = plan, .select = select_keys, .facts = facts, .chunk = chunk, .neighbour = neighbour};
