/* Search of a graph: BM25 by term, seeds from titles, one hop along links by what it adds. */
#include "graph/inside.h"
#include "graph/walk_inside.h"

#include "base/checked.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TERMS = 64, HOP_FROM = 50, MAX_QUESTION_KEYS = 64, SEED_FACTS = 10, FACT_PASSAGES = 200 };

static const float k1 = 1.2F, b = 0.75F;
static const float title_seed = 0.4F, hop_score = 0.5F, hop_gain = 0.8F, shared_share = 0.5F, least_gain = 0.05F;

/* A key that stands in the question. */
typedef struct question_key {
    mn_key key;
    uint32_t n_words;
    bool is_seed; /* with a capital, or three words and more */
} question_key;

typedef struct query {
    mn_graph *graph;
    mn_postings terms[MAX_TERMS];
    float *by_term; /* [n_terms][n_passages], shares of the best passage's sum */
    float *score;   /* [n_passages] s(p), then f(p) */
    int n_terms;
    question_key keys[MAX_QUESTION_KEYS];
    int n_keys;
} query;

static mn_status no_memory(const mn_graph *g, mn_error *err) {
    return mn_fail(err, MN_ERR_MEMORY, "There is no memory to search %u passages.", g->n_passages);
}

void mn_graph_rank_by(mn_graph *g, mn_graph_ranking ranking) { g->ranking = ranking; }

static void release(query *q) {
    for (int i = 0; i < q->n_terms; i++) mn_postings_release(&q->terms[i]);
    for (int i = 0; i < q->n_keys; i++) mn_key_release(&q->keys[i].key);
    free(q->by_term);
    free(q->score);
}

/* ---- the question ---- */

static mn_status add_term(query *q, const char *term, mn_error *err) {
    mn_rows *rows;
    MN_TRY(mn_store_query(q->graph->store, &rows, err, "SELECT postings FROM derived_term WHERE term = $1", "t", term));
    mn_status status = mn_rows_next(rows, err);
    if (status == MN_OK && mn_rows_has(rows)) {
        size_t bytes;
        const void *data = mn_rows_blob(rows, 0, &bytes);
        status = mn_postings_unpack(data, bytes, q->graph->n_units, &q->terms[q->n_terms], err);
        if (status == MN_ERR_FORMAT) status = mn_graph_damaged(q->graph, err);
        if (status == MN_OK) q->n_terms++;
    }
    mn_rows_done(rows);
    return status;
}

static mn_status add_terms(query *q, mn_error *err) {
    const mn_graph *g = q->graph;
    for (size_t i = 0; i < g->words.n && q->n_terms < MAX_TERMS; i++) {
        bool seen = g->words.items[i].traits & MN_WORD_STOP;
        uint32_t term = mn_word_term(&g->lexicon, &g->words.items[i]);
        for (size_t k = 0; k < i && !seen; k++) seen = mn_word_term(&g->lexicon, &g->words.items[k]) == term;
        if (!seen) MN_TRY(add_term(q, mn_intern_text(&g->lexicon.terms, term, NULL), err));
    }
    return MN_OK;
}

/* The key that words [first, end) of the question are, if they are one that is not noted yet. */
static mn_status add_key(query *q, size_t first, size_t end, mn_error *err) {
    mn_graph *g = q->graph;
    mn_rows *rows;
    bool capital = false, known = false;
    if (!mn_key_form(&g->lexicon, &g->words, first, end, &g->form)) return MN_OK;
    for (int i = 0; i < q->n_keys; i++) known = known || !strcmp(q->keys[i].key.form, g->form.data);
    for (size_t i = first; i < end; i++)
        capital = capital || (g->words.items[i].traits & (MN_WORD_CAPITAL | MN_WORD_STOP)) == MN_WORD_CAPITAL;
    if (known) return MN_OK;
    MN_TRY(mn_store_query(g->store, &rows, err, "SELECT n FROM derived_key WHERE form = $1", "t", g->form.data));
    mn_status status = mn_rows_next(rows, err);
    bool found = status == MN_OK && mn_rows_has(rows);
    uint32_t number = found ? (uint32_t)mn_rows_int(rows, 0) : 0;
    mn_rows_done(rows);
    if (found) {
        status = mn_graph_key(g, number, &q->keys[q->n_keys].key, err);
        q->keys[q->n_keys].n_words = (uint32_t)(end - first);
        q->keys[q->n_keys].is_seed = capital || end - first >= 3;
        if (status == MN_OK) q->n_keys++;
    }
    return status;
}

static mn_status add_keys(query *q, mn_error *err) {
    size_t n = q->graph->words.n;
    for (size_t i = 0; i < n; i++)
        for (size_t end = i + 1; end <= n && end <= i + MN_KEY_WORDS && q->n_keys < MAX_QUESTION_KEYS; end++)
            MN_TRY(add_key(q, i, end, err));
    return MN_OK;
}

/* ---- BM25 ---- */

static void score_term(query *q, int t) {
    const mn_graph *g = q->graph;
    const mn_postings *p = &q->terms[t];
    float *w = q->by_term + (size_t)t * g->n_passages;
    uint32_t df = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        uint32_t passage = g->passage_of[p->units[i]];
        bool is_title = p->units[i] == g->first_units[passage];
        df += w[passage] == 0.0F;
        w[passage] += (float)p->counts[i] * (is_title ? 2.0F : 1.0F);
    }
    float idf = logf(1.0F + ((float)(g->n_passages - df) + 0.5F) / ((float)df + 0.5F));
    for (uint32_t i = 0, last = UINT32_MAX; i < p->n; i++) {
        uint32_t passage = g->passage_of[p->units[i]];
        if (passage == last) continue;
        last = passage;
        float tf = w[passage], norm = mn_passage_words(g, passage) / (float)g->mean_passage_words;
        w[passage] = idf * tf * (k1 + 1.0F) / (tf + k1 * (1.0F - b + b * norm));
        q->score[passage] += w[passage];
    }
}

/* Scores by words as shares of the best; false where nothing is found. */
static bool score_words(query *q) {
    float most = 0.0F;
    uint32_t n = q->graph->n_passages;
    for (int t = 0; t < q->n_terms; t++) score_term(q, t);
    for (uint32_t p = 0; p < n; p++) most = fmaxf(most, q->score[p]);
    if (most <= 0.0F) return false;
    for (uint32_t p = 0; p < n; p++) q->score[p] /= most;
    for (size_t i = 0; i < (size_t)q->n_terms * n; i++) q->by_term[i] /= most;
    return true;
}

static mn_status seed_titles(query *q, mn_error *err) {
    uint8_t *seeded = calloc(q->graph->n_passages + (size_t)1, 1);
    if (!seeded) return no_memory(q->graph, err);
    for (int i = 0; i < q->n_keys; i++)
        for (uint32_t k = 0; q->keys[i].is_seed && k < q->keys[i].key.n_passages; k++) {
            uint32_t passage = q->keys[i].key.passages[k];
            if (!seeded[passage]) q->score[passage] += title_seed;
            seeded[passage] = 1;
        }
    free(seeded);
    return MN_OK;
}

/* ln(1 + F / df): rare keys say more. */
static float rarity(const mn_graph *g, uint32_t n_facts) {
    return logf(1.0F + (float)(g->n_units - g->n_passages) / (float)MN_MAX(n_facts, 1U));
}

/* ---- one hop ---- */

/* What passage `to` adds to the question's words beyond `from`. */
static float gain(const query *q, uint32_t to, uint32_t from) {
    float sum = 0.0F;
    size_t n = q->graph->n_passages;
    for (size_t t = 0; t < (size_t)q->n_terms; t++)
        sum += fmaxf(q->by_term[t * n + to] - q->by_term[t * n + from], 0.0F);
    return sum;
}

static void follow(const query *q, uint32_t from, const mn_link *links, size_t n_links, float *hop) {
    for (size_t i = 0; i < n_links; i++) {
        uint32_t to = links[i].to;
        if (to >= q->graph->n_passages) continue;
        float g = gain(q, to, from), value = hop_score * q->score[from] + hop_gain * g;
        float best = links[i].defines * value;
        if (g > least_gain) best = fmaxf(best, shared_share * links[i].shares * value);
        hop[to] = fmaxf(hop[to], best);
    }
}

static mn_status follow_links(const query *q, uint32_t from, float *hop, mn_error *err) {
    mn_rows *rows;
    MN_TRY(mn_store_query(q->graph->store, &rows, err, "SELECT links FROM derived_passage WHERE n = $1", "i",
                          (int64_t)from));
    mn_status status = mn_rows_next(rows, err);
    if (status == MN_OK && mn_rows_has(rows)) {
        size_t bytes;
        const void *data = mn_rows_blob(rows, 0, &bytes);
        mn_link *links = malloc(bytes + 1);
        if (links) {
            memcpy(links, data, bytes);
            follow(q, from, links, bytes / sizeof *links, hop);
        } else {
            status = no_memory(q->graph, err);
        }
        free(links);
    }
    mn_rows_done(rows);
    return status;
}

static mn_status hop_once(query *q, mn_error *err) {
    mn_hit from[HOP_FROM];
    uint32_t n_from = 0, n = q->graph->n_passages;
    float *hop = calloc(n + (size_t)1, sizeof *hop);
    if (!hop) return no_memory(q->graph, err);
    for (uint32_t p = 0; p < n; p++)
        if (q->score[p] > 0.0F) mn_hits_insert(from, &n_from, HOP_FROM, (mn_hit){p, q->score[p]});
    mn_status status = MN_OK;
    for (uint32_t i = 0; status == MN_OK && i < n_from; i++) status = follow_links(q, from[i].number, hop, err);
    for (uint32_t p = 0; p < n; p++) q->score[p] += hop[p];
    free(hop);
    return status;
}

/* ---- personalised PageRank ---- */

/* Where walks begin: at the best passages by words, and at the question's keys, rare ones first. */
static void put_starts(const query *q, float *start) {
    mn_hit best[HOP_FROM];
    uint32_t n_best = 0, n = q->graph->n_passages;
    for (uint32_t p = 0; p < n; p++)
        if (q->score[p] > 0.0F) mn_hits_insert(best, &n_best, HOP_FROM, (mn_hit){p, q->score[p]});
    for (uint32_t i = 0; i < n_best; i++) start[best[i].number] = best[i].score;
    for (int i = 0; i < q->n_keys; i++) {
        uint32_t key = n + q->keys[i].key.number;
        if (key < q->graph->links.n) start[key] = rarity(q->graph, q->keys[i].key.n_facts) / 10;
    }
}

static mn_status spread(query *q, mn_error *err) {
    mn_graph *g = q->graph;
    float most = 0.0F;
    if (!g->links.n) MN_TRY(mn_graph_links(g, &g->links, err));
    float *start = calloc(g->links.n, sizeof *start), *ranks = calloc(g->links.n, sizeof *ranks);
    mn_status status = start && ranks ? MN_OK : no_memory(g, err);
    if (status == MN_OK) {
        put_starts(q, start);
        status = mn_pagerank(&g->links, start, 0.5F, 1e-6F, ranks, err);
    }
    for (uint32_t p = 0; status == MN_OK && p < g->n_passages; p++) most = fmaxf(most, ranks[p]);
    for (uint32_t p = 0; status == MN_OK && p < g->n_passages; p++) q->score[p] = ranks[p] / most;
    free(start);
    free(ranks);
    return status;
}

/* Everything up to the passages' scores by words; *found false where no word of the question is there. */
static mn_status run_words(mn_graph *g, const char *question, query *q, bool *found, mn_error *err) {
    *q = (query){.graph = g};
    *found = false;
    if (!g->n_passages) return MN_OK;
    MN_TRY(mn_words_find(&g->lexicon, question, strlen(question), &g->words, err));
    MN_TRY(add_terms(q, err));
    MN_TRY(add_keys(q, err));
    q->by_term = calloc((size_t)g->n_passages * (size_t)MN_MAX(q->n_terms, 1), sizeof *q->by_term);
    q->score = calloc(g->n_passages, sizeof *q->score);
    if (!q->by_term || !q->score) return no_memory(g, err);
    *found = score_words(q);
    if (!*found) return MN_OK;
    MN_TRY(seed_titles(q, err));
    return g->ranking == MN_RANK_PAGERANK ? spread(q, err) : hop_once(q, err);
}

static void best_passages(const query *q, uint32_t k, mn_hit *hits, uint32_t *n_hits) {
    for (uint32_t p = 0; p < q->graph->n_passages; p++)
        if (q->score[p] > 0.0F) mn_hits_insert(hits, n_hits, k, (mn_hit){p, q->score[p]});
}

/* The passages' scores by words, or by words and vectors. */
static mn_status run(mn_graph *g, const char *question, query *q, bool *found, mn_error *err) {
    mn_hit words[MN_NEAR_DEPTH], joined[2 * MN_NEAR_DEPTH];
    uint32_t n_words = 0, n;
    MN_TRY(run_words(g, question, q, found, err));
    if (!g->near || !g->n_passages) return MN_OK;
    if (*found) best_passages(q, MN_NEAR_DEPTH, words, &n_words);
    MN_TRY(mn_near_join(g, question, words, n_words, 2 * MN_NEAR_DEPTH, joined, &n, err));
    memset(q->score, 0, g->n_passages * sizeof *q->score);
    for (uint32_t i = 0; i < n; i++) q->score[joined[i].number] = joined[i].score;
    *found = n > 0;
    return MN_OK;
}

/* ---- conversations ---- */

static mn_status load_turns(mn_graph *g, mn_error *err) {
    mn_rows *rows;
    if (g->turns) return MN_OK;
    MN_TRY(mn_turns_create(&g->turns, err));
    g->turn_passages = malloc((g->n_passages + (size_t)1) * sizeof *g->turn_passages);
    if (!g->turn_passages) return no_memory(g, err);
    MN_TRY(mn_store_query(g->store, &rows, err,
                          "SELECT p.n, d.source, c.session, c.speaker, c.time, c.text FROM derived_passage p "
                          "JOIN chunk c ON c.id = p.chunk JOIN doc d ON d.id = c.doc WHERE d.kind = 'conversation' "
                          "ORDER BY p.n",
                          ""));
    mn_status status;
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows)) {
        mn_turn turn = {.conversation = mn_rows_text(rows, 1, NULL),
                        .session = mn_rows_text(rows, 2, NULL),
                        .speaker = mn_rows_text(rows, 3, NULL),
                        .time = mn_rows_is_null(rows, 4) ? MN_NO_TIME : mn_rows_int(rows, 4)};
        turn.text = mn_rows_text(rows, 5, &turn.bytes);
        g->turn_passages[mn_turns_n(g->turns)] = (uint32_t)mn_rows_int(rows, 0);
        status = mn_turns_add(g->turns, &turn, err);
        if (status != MN_OK) break;
    }
    mn_rows_done(rows);
    return status;
}

/* Turns of conversations, by the rules for them; those of documents fade away. */
static mn_status search_turns(mn_graph *g, const char *question, uint32_t k, mn_hit *hits, uint32_t *n_hits,
                              mn_error *err) {
    mn_turn_hit *found = malloc((k + (size_t)1) * sizeof *found);
    uint32_t n = 0;
    mn_status status = found ? load_turns(g, err) : no_memory(g, err);
    if (status == MN_OK) status = mn_turns_search(g->turns, question, k, found, &n, err);
    for (uint32_t i = 0; status == MN_OK && i < n; i++)
        mn_hits_insert(hits, n_hits, k, (mn_hit){g->turn_passages[found[i].turn], found[i].score / found[0].score});
    free(found);
    return status;
}

static mn_status search_words(mn_graph *g, const char *question, uint32_t k, mn_hit *hits, uint32_t *n_hits,
                              mn_error *err) {
    query q = {.graph = g};
    bool found = false;
    *n_hits = 0;
    mn_status status = MN_OK;
    if (g->has_documents) status = run_words(g, question, &q, &found, err);
    if (status == MN_OK && found) {
        if (g->has_turns) status = load_turns(g, err);
        for (uint32_t i = 0; status == MN_OK && g->has_turns && i < mn_turns_n(g->turns); i++)
            q.score[g->turn_passages[i]] = 0.0F;
        best_passages(&q, k, hits, n_hits);
        for (uint32_t i = *n_hits; g->has_turns && i-- > 0;) hits[i].score /= hits[0].score;
    }
    if (status == MN_OK && g->has_turns) status = search_turns(g, question, k, hits, n_hits, err);
    release(&q);
    return status;
}

mn_status mn_graph_search(mn_graph *g, const char *question, uint32_t k, mn_hit *hits, uint32_t *n_hits,
                          mn_error *err) {
    mn_hit words[MN_NEAR_DEPTH];
    uint32_t n_words;
    if (!g->near) return search_words(g, question, k, hits, n_hits, err);
    MN_TRY(search_words(g, question, MN_NEAR_DEPTH, words, &n_words, err));
    return mn_near_join(g, question, words, n_words, k, hits, n_hits, err);
}

/* ---- facts ---- */

/* Unit of count i, or of the title of its passage: adds to all facts of the passage. */
static void score_fact_term(const query *q, const mn_postings *p, float *tf, float *score) {
    const mn_graph *g = q->graph;
    uint32_t df = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        uint32_t unit = p->units[i], passage = g->passage_of[unit], end = g->first_units[passage + 1];
        bool is_title = unit == g->first_units[passage];
        for (uint32_t u = is_title ? unit + 1 : unit; u < (is_title ? end : unit + 1); u++) {
            df += tf[u] == 0.0F;
            tf[u] += (float)p->counts[i];
        }
    }
    uint32_t n_facts = g->n_units - g->n_passages;
    float idf = logf(1.0F + ((float)(n_facts - df) + 0.5F) / ((float)df + 0.5F));
    for (uint32_t i = 0; i < p->n; i++) {
        uint32_t unit = p->units[i], passage = g->passage_of[unit], title = g->first_units[passage];
        uint32_t end = unit == title ? g->first_units[passage + 1] : unit + 1;
        for (uint32_t u = unit == title ? unit + 1 : unit; u < end; u++) {
            float norm = (float)(g->unit_words[u] + g->unit_words[title]) / (float)g->mean_fact_words;
            if (tf[u] > 0.0F) score[u] += idf * tf[u] * (k1 + 1.0F) / (tf[u] + k1 * (1.0F - b + b * norm));
            tf[u] = 0.0F;
        }
    }
}

static void pick_facts(const query *q, const float *words, uint32_t k, mn_hit *hits, uint32_t *n_hits) {
    const mn_graph *g = q->graph;
    mn_hit passages[FACT_PASSAGES];
    uint32_t n = 0;
    float most = 0.0F;
    best_passages(q, FACT_PASSAGES, passages, &n);
    for (uint32_t u = 0; u < g->n_units; u++) most = fmaxf(most, words[u]);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t first = g->first_units[passages[i].number];
        for (uint32_t u = first + 1; u < g->first_units[passages[i].number + 1]; u++) {
            float score = passages[i].score / passages[0].score + 0.3F * words[u] / fmaxf(most, 1e-9F);
            mn_hits_insert(hits, n_hits, k, (mn_hit){u, score + (u == first + 1 ? 0.1F : 0.0F)});
        }
    }
}

static mn_status search_facts(const query *q, uint32_t k, mn_hit *hits, uint32_t *n_hits, mn_error *err) {
    float *tf = calloc(2 * (size_t)q->graph->n_units, sizeof *tf);
    if (!tf) return no_memory(q->graph, err);
    float *words = tf + q->graph->n_units;
    for (int t = 0; t < q->n_terms; t++) score_fact_term(q, &q->terms[t], tf, words);
    pick_facts(q, words, k, hits, n_hits);
    free(tf);
    return MN_OK;
}

mn_status mn_graph_search_facts(mn_graph *g, const char *question, uint32_t k, mn_hit *hits, uint32_t *n_hits,
                                mn_error *err) {
    query q;
    bool found;
    *n_hits = 0;
    mn_status status = run(g, question, &q, &found, err);
    if (status == MN_OK && found) status = search_facts(&q, k, hits, n_hits, err);
    release(&q);
    return status;
}

/* The rank of pick_facts for every fact of a passage that is found. */
static void rank_all(const query *q, float *words) {
    const mn_graph *g = q->graph;
    float most = 0.0F, best = 0.0F;
    for (uint32_t u = 0; u < g->n_units; u++) most = fmaxf(most, words[u]);
    for (uint32_t p = 0; p < g->n_passages; p++) best = fmaxf(best, q->score[p]);
    for (uint32_t u = 0; u < g->n_units; u++) {
        uint32_t passage = g->passage_of[u];
        float score = q->score[passage] / fmaxf(best, 1e-9F) + 0.3F * words[u] / fmaxf(most, 1e-9F);
        words[u] = q->score[passage] > 0.0F ? score + (u == g->first_units[passage] + 1 ? 0.1F : 0.0F) : 0.0F;
    }
}

mn_status mn_graph_score_facts(mn_graph *g, const char *question, float **out, mn_error *err) {
    query q;
    bool found;
    float *tf = calloc(g->n_units + (size_t)1, sizeof *tf);
    *out = calloc(g->n_units + (size_t)1, sizeof **out);
    mn_status status = tf && *out ? run(g, question, &q, &found, err) : no_memory(g, err);
    if (tf && *out) {
        for (int t = 0; status == MN_OK && found && t < q.n_terms; t++) score_fact_term(&q, &q.terms[t], tf, *out);
        if (status == MN_OK && found) rank_all(&q, *out);
        release(&q);
    }
    free(tf);
    return status;
}

/* ---- keys ---- */

static mn_status score_key(const query *q, uint32_t key, float fact_score, mn_hit *out, mn_error *err) {
    int64_t n_facts;
    MN_TRY(mn_store_number(q->graph->store, 1, &n_facts, err, "SELECT n_facts FROM derived_key WHERE n = $1", "i",
                           (int64_t)key));
    float rare = rarity(q->graph, (uint32_t)n_facts), score = 0.8F * fact_score * rare;
    for (int i = 0; i < q->n_keys; i++)
        if (q->keys[i].key.number == key) score += rare * (1.0F + 0.3F * (float)(q->keys[i].n_words - 1));
    *out = (mn_hit){key, score};
    return MN_OK;
}

static bool is_hit(const mn_hit *hits, uint32_t n, uint32_t number) {
    for (uint32_t i = 0; i < n; i++)
        if (hits[i].number == number) return true;
    return false;
}

/* Keys of the question, then of its best facts from the best down: the first time a key is met counts most. */
static mn_status search_keys(const query *q, const mn_hit *facts, uint32_t n_facts, uint32_t k, mn_hit *hits,
                             uint32_t *n_hits, mn_error *err) {
    mn_numbers seen = {0};
    mn_status status = MN_OK;
    for (uint32_t f = 0; status == MN_OK && f < n_facts; f++) {
        mn_fact fact;
        status = mn_graph_fact(q->graph, facts[f].number, &fact, err);
        for (uint32_t i = 0; status == MN_OK && i < fact.n_keys; i++) {
            bool known = false;
            mn_hit hit;
            for (size_t s = 0; s < seen.n; s++) known = known || seen.items[s] == fact.keys[i];
            if (known) continue;
            if (!mn_numbers_add(&seen, fact.keys[i])) status = no_memory(q->graph, err);
            if (status == MN_OK) status = score_key(q, fact.keys[i], facts[f].score / facts[0].score, &hit, err);
            if (status == MN_OK) mn_hits_insert(hits, n_hits, k, hit);
        }
        mn_fact_release(&fact);
    }
    for (int i = 0; status == MN_OK && i < q->n_keys; i++) {
        mn_hit hit;
        if (is_hit(hits, *n_hits, q->keys[i].key.number)) continue;
        status = score_key(q, q->keys[i].key.number, 0.0F, &hit, err);
        if (status == MN_OK) mn_hits_insert(hits, n_hits, k, hit);
    }
    free(seen.items);
    return status;
}

mn_status mn_graph_search_keys(mn_graph *g, const char *question, uint32_t k, mn_hit *hits, uint32_t *n_hits,
                               mn_error *err) {
    query q;
    bool found;
    mn_hit facts[SEED_FACTS];
    uint32_t n_facts = 0;
    *n_hits = 0;
    mn_status status = run(g, question, &q, &found, err);
    if (status == MN_OK && found) status = search_facts(&q, SEED_FACTS, facts, &n_facts, err);
    if (status == MN_OK) status = search_keys(&q, facts, n_facts, k, hits, n_hits, err);
    release(&q);
    return status;
}
