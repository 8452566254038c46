/* The walk: paths, their stages, and the journal. */
#include "graph/walk_inside.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CANDIDATE_KEYS = 200, CANDIDATE_NEIGHBOURS = 200 };

static const mn_migration steps[] = {
    {.sql = "CREATE TABLE walk_run (id TEXT PRIMARY KEY, at BIGINT, question TEXT, model TEXT, texts BIGINT, "
            "  answer TEXT);"
            "CREATE TABLE walk_step (run TEXT, seq BIGINT, path BIGINT, stage TEXT, about TEXT, action TEXT, "
            "  prompt_tokens BIGINT, completion_tokens BIGINT, PRIMARY KEY (run, seq))"},
};

mn_status mn_walk_migrate(mn_store *store, mn_error *err) {
    return mn_store_migrate(store, "walk", steps, sizeof steps / sizeof *steps, err);
}

const char *mn_walk_stage_name(mn_walk_stage stage) {
    static const char *const names[] = {"plan", "select", "facts", "chunk", "neighbour", "compact", "answer"};
    return names[stage];
}

const char *mn_move_name(mn_move move) {
    static const char *const names[] = {"read_chunk",          "read_neighbor_node",    "search_more",
                                        "read_previous_chunk", "read_subsequent_chunk", "termination"};
    return names[move];
}

bool mn_met_has(const mn_met *met, uint32_t number) {
    for (uint32_t i = 0; i < met->n; i++)
        if (met->items[i] == number) return true;
    return false;
}

void mn_met_add(mn_met *met, uint32_t number) {
    if (met->n < MN_WALK_LIST && !mn_met_has(met, number)) met->items[met->n++] = number;
}

/* ---- the journal ---- */

static mn_status begin_run(mn_walker *w, mn_error *err) {
    char settings[128];
    int64_t texts;
    mn_store *store = w->graph->store;
    const char *model = w->llm ? mn_llm_name(w->llm) : "";
    MN_TRY(mn_walk_migrate(store, err));
    MN_TRY(mn_store_number(store, 0, &texts, err, "SELECT value FROM graph_state WHERE name = 'index'", ""));
    int n = snprintf(settings, sizeof settings, "%d %d %lld %g %lld%s", w->params.n_paths, w->params.max_calls,
                     (long long)w->params.window_tokens, w->params.temperature, (long long)texts,
                     w->graph->near ? " near" : "");
    mn_store_id(w->run, w->walk->question, strlen(w->walk->question), model, strlen(model), settings, (size_t)n, NULL);
    return mn_store_run(store, err,
                        "INSERT INTO walk_run (id, at, question, model, texts) VALUES ($1, $2, $3, $4, $5) "
                        "ON CONFLICT (id) DO NOTHING",
                        "titti", w->run, (int64_t)time(NULL), w->walk->question, model, texts);
}

static mn_status add_step(mn_walker *w, int path, mn_walk_stage stage, const char *about, const char *action,
                          mn_error *err) {
    mn_walk *walk = w->walk;
    if (walk->n_steps == walk->steps_capacity) {
        size_t capacity = walk->steps_capacity ? 2 * walk->steps_capacity : 64;
        mn_walk_step *more = realloc(walk->steps, capacity * sizeof *more);
        if (!more) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for the steps of a walk.");
        walk->steps = more;
        walk->steps_capacity = capacity;
    }
    mn_walk_step *s = &walk->steps[walk->n_steps++];
    *s = (mn_walk_step){.path = path, .stage = stage, .about = strdup(about), .action = strdup(action)};
    if (!s->about || !s->action) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for the steps of a walk.");
    if (w->was_asked) {
        s->prompt_tokens = w->last.prompt_tokens;
        s->completion_tokens = w->last.completion_tokens;
        s->is_cached = w->last.is_cached;
    }
    w->was_asked = false;
    MN_TRY(
        mn_store_run(w->graph->store, err,
                     "INSERT INTO walk_step (run, seq, path, stage, about, action, prompt_tokens, completion_tokens) "
                     "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (run, seq) DO UPDATE SET path = "
                     "excluded.path, stage = excluded.stage, about = excluded.about, action = excluded.action",
                     "tiitttii", w->run, (int64_t)walk->n_steps, (int64_t)path, mn_walk_stage_name(stage), about,
                     action, s->prompt_tokens, s->completion_tokens));
    if (w->params.progress && !w->params.progress(w->params.arg, path, stage, about))
        return mn_fail(err, MN_ERR_CANCELLED, "The walk was stopped; asked again, the question goes on from here.");
    return MN_OK;
}

/* "read_chunk 4 7", "default: termination" */
static void action_text(const mn_decision *d, char out[128]) {
    int used = snprintf(out, 128, "%s%s", d->is_default ? "default: " : "", mn_move_name(d->move));
    for (uint32_t i = 0; i < d->n && used < 110; i++)
        used += snprintf(out + used, 128 - (size_t)used, " %u", d->numbers[i]);
}

/* Counts the call, and ends a path that has no calls left or does the same twice. */
static mn_status decided(mn_walker *w, mn_walk_path *p, mn_walk_stage stage, const char *about, const mn_decision *d,
                         mn_error *err) {
    char action[128], line[256];
    action_text(d, action);
    snprintf(line, sizeof line, "%s %.60s: %.100s", mn_walk_stage_name(stage), about, action);
    mn_strbuf_printf(&p->actions, "%s\n", line);
    bool repeats = !strncmp(line, p->last_action, sizeof p->last_action - 1);
    snprintf(p->last_action, sizeof p->last_action, "%.127s", line);
    p->n_calls++;
    if (repeats || p->n_calls >= w->params.max_calls || d->move == MN_MOVE_END) p->is_over = true;
    return add_step(w, p->number, stage, about, action, err);
}

/* ---- one path ---- */

typedef struct scored {
    uint32_t fact;
    float score;
    bool is_read;
} scored;

/* Facts of passages that were not read come first, then the better ones. */
static int by_worth(const void *a, const void *b) {
    const scored *x = a, *y = b;
    if (x->is_read != y->is_read) return x->is_read ? 1 : -1;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->fact < y->fact ? -1 : x->fact > y->fact;
}

static void push_front(mn_walk_path *p, uint32_t passage) {
    if (passage == UINT32_MAX || mn_met_has(&p->passages, passage) || p->n_queue == MN_WALK_LIST) return;
    memmove(p->queue + 1, p->queue, p->n_queue * sizeof *p->queue);
    p->queue[0] = passage;
    p->n_queue++;
}

static mn_status read_chunks(mn_walker *w, const mn_walk_policy *policy, mn_walk_path *p, mn_error *err) {
    while (!p->is_over && p->n_queue) {
        mn_passage passage;
        mn_decision d = {0};
        uint32_t number = p->queue[0], before, after;
        memmove(p->queue, p->queue + 1, --p->n_queue * sizeof *p->queue);
        if (mn_met_has(&p->passages, number)) continue;
        mn_met_add(&p->passages, number);
        MN_TRY(mn_graph_passage(w->graph, number, &passage, err));
        mn_status status = policy->chunk(w, p, &passage, &d, err);
        if (status == MN_OK) status = decided(w, p, MN_WALK_CHUNK, passage.file, &d, err);
        mn_passage_release(&passage);
        MN_TRY(status);
        if (d.move != MN_MOVE_PREVIOUS && d.move != MN_MOVE_SUBSEQUENT) continue;
        MN_TRY(mn_graph_beside(w->graph, number, &before, &after, err));
        push_front(p, d.move == MN_MOVE_PREVIOUS ? before : after);
    }
    return MN_OK;
}

static mn_status read_facts(mn_walker *w, const mn_walk_policy *policy, mn_walk_path *p, mn_error *err) {
    uint32_t n = p->key.n_facts, *list = malloc((n + (size_t)1) * sizeof *list);
    scored *order = malloc((n + (size_t)1) * sizeof *order);
    mn_decision d = {0};
    mn_status status = list && order ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory for %u facts.", n);
    for (uint32_t i = 0; status == MN_OK && i < n; i++)
        order[i] = (scored){p->key.facts[i], w->fact_scores[p->key.facts[i]],
                            mn_met_has(&p->passages, w->graph->passage_of[p->key.facts[i]])};
    if (status == MN_OK) {
        qsort(order, n, sizeof *order, by_worth);
        for (uint32_t i = 0; i < n; i++) list[i] = order[i].fact;
        status = policy->facts(w, p, list, MN_MIN(n, MN_WALK_PAGE), &d, err);
    }
    if (status == MN_OK) status = decided(w, p, MN_WALK_FACTS, p->key.text, &d, err);
    for (uint32_t i = 0; status == MN_OK && d.move == MN_MOVE_READ && i < d.n; i++)
        if (p->n_queue < MN_WALK_LIST) p->queue[p->n_queue++] = d.numbers[i];
    free(list);
    free(order);
    return status;
}

/* To a neighbour that was not visited, or the path is over. */
static mn_status go_on(mn_walker *w, const mn_walk_policy *policy, mn_walk_path *p, mn_error *err) {
    mn_neighbour all[CANDIDATE_NEIGHBOURS], fresh[MN_WALK_PAGE];
    uint32_t n, n_all, n_fresh = 0;
    mn_decision d = {0};
    MN_TRY(mn_graph_neighbours(w->graph, &p->key, CANDIDATE_NEIGHBOURS, all, &n, &n_all, err));
    for (uint32_t i = 0; i < n && n_fresh < MN_WALK_PAGE; i++)
        if (!mn_met_has(&p->keys, all[i].key)) fresh[n_fresh++] = all[i];
    if (!n_fresh) {
        p->is_over = true;
        return MN_OK;
    }
    MN_TRY(policy->neighbour(w, p, fresh, n_fresh, &d, err));
    MN_TRY(decided(w, p, MN_WALK_NEIGHBOUR, p->key.text, &d, err));
    if (p->is_over || d.move != MN_MOVE_NEIGHBOUR || !d.n) return MN_OK;
    mn_key_release(&p->key);
    mn_met_add(&p->keys, d.numbers[0]);
    return mn_graph_key(w->graph, d.numbers[0], &p->key, err);
}

static mn_status walk_path(mn_walker *w, const mn_walk_policy *policy, mn_walk_path *p, uint32_t key, mn_error *err) {
    mn_met_add(&p->keys, key);
    MN_TRY(mn_graph_key(w->graph, key, &p->key, err));
    while (!p->is_over) {
        MN_TRY(read_facts(w, policy, p, err));
        MN_TRY(read_chunks(w, policy, p, err));
        if (!p->is_over) MN_TRY(go_on(w, policy, p, err));
    }
    return MN_OK;
}

/* ---- all of it ---- */

/* What the paths have seen, ranked as a direct search ranks it, and what the search itself finds. */
static mn_status collect(mn_walker *w, const mn_met *seen, mn_error *err) {
    mn_walk *walk = w->walk;
    uint32_t max = w->params.max_facts;
    walk->evidence = calloc(max, sizeof *walk->evidence);
    if (!walk->evidence) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for %u facts.", max);
    MN_TRY(mn_graph_search_facts(w->graph, walk->question, max, walk->evidence, &walk->n_evidence, err));
    for (uint32_t i = 0; i < seen->n; i++) {
        bool known = w->fact_scores[seen->items[i]] <= 0.0F;
        for (uint32_t k = 0; k < walk->n_evidence; k++) known = known || walk->evidence[k].number == seen->items[i];
        if (!known)
            mn_hits_insert(walk->evidence, &walk->n_evidence, max,
                           (mn_hit){seen->items[i], w->fact_scores[seen->items[i]]});
    }
    return MN_OK;
}

static mn_status walk_all(mn_walker *w, const mn_walk_policy *policy, const mn_decision *starts, mn_met *seen,
                          mn_error *err) {
    mn_walk *walk = w->walk;
    mn_status status = MN_OK;
    walk->notebooks = calloc((size_t)w->params.n_paths, sizeof *walk->notebooks);
    mn_walk_path *p = malloc(sizeof *p);
    if (!walk->notebooks || !p) status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for the paths of a walk.");
    for (uint32_t i = 0; status == MN_OK && i < starts->n; i++) {
        *p = (mn_walk_path){.number = (int)i, .notebook = MN_STRBUF_INIT, .actions = MN_STRBUF_INIT};
        status = walk_path(w, policy, p, starts->numbers[i], err);
        for (uint32_t f = 0; f < p->facts.n; f++) mn_met_add(seen, p->facts.items[f]);
        walk->notebooks[walk->n_paths] = mn_strbuf_detach(&p->notebook, NULL);
        if (walk->notebooks[walk->n_paths]) walk->n_paths++;
        mn_strbuf_release(&p->notebook);
        mn_strbuf_release(&p->actions);
        mn_key_release(&p->key);
    }
    free(p);
    return status;
}

static mn_status explore(mn_walker *w, const mn_walk_policy *policy, mn_error *err) {
    mn_hit keys[CANDIDATE_KEYS];
    uint32_t n_keys;
    mn_decision starts = {0};
    mn_met seen = {0};
    MN_TRY(begin_run(w, err));
    MN_TRY(mn_graph_score_facts(w->graph, w->walk->question, &w->fact_scores, err));
    MN_TRY(policy->plan(w, err));
    MN_TRY(add_step(w, -1, MN_WALK_PLAN, "", w->walk->plan, err));
    MN_TRY(mn_graph_search_keys(w->graph, w->walk->question, CANDIDATE_KEYS, keys, &n_keys, err));
    if (n_keys) MN_TRY(policy->select(w, keys, n_keys, (uint32_t)w->params.n_paths, &starts, err));
    char text[32];
    snprintf(text, sizeof text, "%u of %u keys", starts.n, n_keys);
    MN_TRY(add_step(w, -1, MN_WALK_SELECT, "", text, err));
    MN_TRY(walk_all(w, policy, &starts, &seen, err));
    return collect(w, &seen, err);
}

/* Without a model: the fact that answers best. */
static mn_status answer_by_fact(mn_walker *w, mn_error *err) {
    mn_fact fact = {0};
    if (w->walk->n_evidence) MN_TRY(mn_graph_fact(w->graph, w->walk->evidence[0].number, &fact, err));
    w->walk->answer = strdup(fact.text ? fact.text : "Nothing in the texts holds a word of the question.");
    mn_fact_release(&fact);
    return w->walk->answer ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory for an answer.");
}

static mn_status run(mn_walker *w, mn_error *err) {
    bool by_model = w->llm && !w->params.reads_only;
    MN_TRY(explore(w, by_model ? &mn_walk_by_model : &mn_walk_lexical, err));
    MN_TRY(w->llm && w->walk->n_evidence ? mn_walk_answer_by_model(w, err) : answer_by_fact(w, err));
    MN_TRY(add_step(w, -1, MN_WALK_ANSWER, "", w->walk->answer, err));
    return mn_store_run(w->graph->store, err, "UPDATE walk_run SET answer = $1 WHERE id = $2", "tt", w->walk->answer,
                        w->run);
}

mn_status mn_walk_run(mn_graph *graph, const char *question, const mn_walk_params *params, mn_llm *llm, mn_walk *out,
                      mn_error *err) {
    mn_walker w = {.graph = graph, .walk = out, .llm = llm};
    *out = (mn_walk){.question = strdup(question)};
    if (params) w.params = *params;
    if (w.params.n_paths <= 0) w.params.n_paths = 5;
    if (w.params.max_calls <= 0) w.params.max_calls = 10;
    if (w.params.window_tokens <= 0) w.params.window_tokens = 4096;
    if (llm && mn_llm_n_ctx(llm) > 0) w.params.window_tokens = MN_MIN(w.params.window_tokens, mn_llm_n_ctx(llm));
    if (w.params.reply_tokens <= 0) w.params.reply_tokens = 512;
    if (w.params.max_facts == 0) w.params.max_facts = 10;
    if (w.params.n_paths > MN_WALK_PAGE)
        return mn_fail(err, MN_ERR_ARGUMENT, "A walk has at most %d paths.", MN_WALK_PAGE);
    mn_status status = out->question ? run(&w, err) : mn_fail(err, MN_ERR_MEMORY, "There is no memory for a walk.");
    free(w.fact_scores);
    return status;
}

void mn_walk_release(mn_walk *walk) {
    for (size_t i = 0; i < walk->n_steps; i++) {
        free(walk->steps[i].about);
        free(walk->steps[i].action);
    }
    for (int i = 0; i < walk->n_paths; i++) free(walk->notebooks[i]);
    free(walk->steps);
    free(walk->notebooks);
    free(walk->evidence);
    free(walk->question);
    free(walk->plan);
    free(walk->answer);
    *walk = (mn_walk){0};
}
