/* An open graph: passages, facts, keys, neighbours. */
#include "graph/inside.h"

#include "base/checked.h"
#include "graph/schema.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_FACTS_OF_HUB = 20000 };

mn_status mn_graph_damaged(const mn_graph *g, mn_error *err) {
    mn_error ignored;
    mn_index_drop(g->store, &ignored);
    return mn_fail(err, MN_ERR_FORMAT,
                   "The index of the store %s is damaged, and was taken away; ask again, and it is made anew.",
                   mn_store_name(g->store));
}

static mn_status no_memory(const mn_graph *g, mn_error *err) {
    return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a part of the graph of %u passages.", g->n_passages);
}

void mn_hits_insert(mn_hit *hits, uint32_t *n, uint32_t k, mn_hit hit) {
    if (!k || (*n == k && hits[k - 1].score >= hit.score)) return;
    uint32_t at = *n < k ? (*n)++ : k - 1;
    for (; at > 0 && hits[at - 1].score < hit.score; at--) hits[at] = hits[at - 1];
    hits[at] = hit;
}

/* ---- opening ---- */

static mn_status load_array(mn_graph *g, const char *name, uint32_t **out, uint32_t *n, mn_error *err) {
    mn_rows *rows;
    MN_TRY(mn_store_query(g->store, &rows, err, "SELECT data FROM derived_array WHERE name = $1", "t", name));
    mn_status status = mn_rows_next(rows, err);
    if (status == MN_OK && mn_rows_has(rows)) {
        size_t bytes;
        const void *data = mn_rows_blob(rows, 0, &bytes);
        *n = (uint32_t)MN_MIN(bytes / sizeof **out, UINT32_MAX);
        *out = malloc(bytes + sizeof **out);
        if (*out)
            memcpy(*out, data, bytes);
        else
            status = no_memory(g, err);
        if (bytes % sizeof **out) status = mn_graph_damaged(g, err);
    }
    mn_rows_done(rows);
    return status;
}

/* Checks the arrays against each other, and fills in what follows from them. */
static mn_status derive(mn_graph *g, uint32_t n_firsts, mn_error *err) {
    double words = 0.0, fact_words = 0.0;
    if (!n_firsts && !g->n_units) return MN_OK;
    if (!n_firsts || g->first_units[0] != 0 || g->first_units[n_firsts - 1] != g->n_units)
        return mn_graph_damaged(g, err);
    g->n_passages = n_firsts - 1;
    g->passage_of = malloc((g->n_units + (size_t)1) * sizeof *g->passage_of);
    if (!g->passage_of) return no_memory(g, err);
    for (uint32_t p = 0; p < g->n_passages; p++) {
        uint32_t begin = g->first_units[p], end = g->first_units[p + 1];
        if (begin >= end || end > g->n_units) return mn_graph_damaged(g, err);
        for (uint32_t u = begin; u < end; u++) {
            g->passage_of[u] = p;
            if (u > begin) fact_words += g->unit_words[u] + g->unit_words[begin];
        }
        words += (double)mn_passage_words(g, p);
    }
    g->mean_passage_words = g->n_passages ? MN_MAX(words / g->n_passages, 1.0) : 1.0;
    g->mean_fact_words = g->n_units > g->n_passages ? MN_MAX(fact_words / (g->n_units - g->n_passages), 1.0) : 1.0;
    return MN_OK;
}

static mn_status load(mn_graph *g, mn_error *err) {
    uint32_t n_firsts = 0;
    int64_t n_turns, n_documents;
    MN_TRY(load_array(g, "first_units", &g->first_units, &n_firsts, err));
    MN_TRY(load_array(g, "unit_words", &g->unit_words, &g->n_units, err));
    MN_TRY(derive(g, n_firsts, err));
    MN_TRY(mn_store_number(g->store, 0, &n_turns, err, "SELECT count(*) FROM doc WHERE kind = 'conversation'", ""));
    MN_TRY(
        mn_store_number(g->store, 0, &n_documents, err, "SELECT count(*) FROM doc WHERE kind <> 'conversation'", ""));
    g->has_turns = n_turns > 0;
    g->has_documents = n_documents > 0;
    return MN_OK;
}

static void unload(mn_graph *g) {
    free(g->first_units);
    free(g->unit_words);
    free(g->passage_of);
    g->first_units = g->unit_words = g->passage_of = NULL;
    g->n_passages = g->n_units = 0;
}

mn_status mn_graph_open(mn_store *store, mn_graph **out, mn_error *err) {
    bool is_stale;
    *out = NULL;
    MN_TRY(mn_graph_migrate(store, err));
    MN_TRY(mn_index_is_stale(store, &is_stale, err));
    if (is_stale) MN_TRY(mn_index_rebuild(store, NULL, NULL, err));
    mn_graph *g = calloc(1, sizeof *g);
    if (!g) return mn_fail(err, MN_ERR_MEMORY, "There is no memory to open a graph.");
    *g = (mn_graph){.store = store, .form = MN_STRBUF_INIT};
    mn_status status = load(g, err);
    if (status == MN_ERR_FORMAT) { /* damaged: made anew, once */
        unload(g);
        status = mn_index_rebuild(store, NULL, NULL, err);
        if (status == MN_OK) status = load(g, err);
    }
    if (status == MN_OK)
        *out = g;
    else
        mn_graph_close(g);
    return status;
}

void mn_graph_close(mn_graph *g) {
    if (!g) return;
    unload(g);
    free(g->turn_passages);
    mn_turns_destroy(g->turns);
    mn_link_matrix_release(&g->links);
    mn_text_vectors_close(g->near);
    mn_intern_release(&g->chunks);
    mn_lexicon_release(&g->lexicon);
    mn_word_list_release(&g->words);
    mn_strbuf_release(&g->form);
    free(g);
}

uint32_t mn_graph_n_passages(const mn_graph *g) { return g->n_passages; }

mn_status mn_graph_count(mn_graph *g, mn_graph_figures *out, mn_error *err) {
    *out = (mn_graph_figures){.n_passages = g->n_passages, .n_facts = g->n_units - g->n_passages};
    MN_TRY(mn_store_number(g->store, 0, &out->n_documents, err, "SELECT count(*) FROM doc", ""));
    MN_TRY(mn_store_number(g->store, 0, &out->text_bytes, err, "SELECT sum(last_byte - first_byte) FROM chunk", ""));
    MN_TRY(mn_store_number(g->store, 0, &out->n_keys, err, "SELECT count(*) FROM derived_key", ""));
    return mn_store_number(g->store, 0, &out->n_terms, err, "SELECT count(*) FROM derived_term", "");
}

/* ---- passages ---- */

static char *copy_text(mn_rows *rows, int column, bool *ok) {
    char *copy = strdup(mn_rows_text(rows, column, NULL));
    *ok = *ok && copy;
    return copy;
}

mn_status mn_graph_passage(mn_graph *g, uint32_t number, mn_passage *out, mn_error *err) {
    mn_rows *rows;
    *out = (mn_passage){.number = number};
    if (number >= g->n_passages)
        return mn_fail(err, MN_ERR_ARGUMENT, "There is no passage %u; the last is %u.", number, g->n_passages - 1);
    MN_TRY(mn_store_query(g->store, &rows, err,
                          "SELECT d.name, c.title, c.speaker, c.session, c.time, c.id, c.first_byte, c.last_byte, "
                          "c.text FROM derived_passage p JOIN chunk c ON c.id = p.chunk JOIN doc d ON d.id = c.doc "
                          "WHERE p.n = $1",
                          "i", (int64_t)number));
    mn_status status = mn_rows_next(rows, err);
    bool ok = true;
    if (status == MN_OK && mn_rows_has(rows)) {
        out->file = copy_text(rows, 0, &ok);
        out->title = copy_text(rows, 1, &ok);
        out->speaker = copy_text(rows, 2, &ok);
        out->session = copy_text(rows, 3, &ok);
        out->time = mn_rows_is_null(rows, 4) ? MN_NO_TIME : mn_rows_int(rows, 4);
        out->id = copy_text(rows, 5, &ok);
        out->begin = mn_rows_int(rows, 6);
        out->end = mn_rows_int(rows, 7);
        out->text = copy_text(rows, 8, &ok);
        out->bytes = ok ? strlen(out->text) : 0;
        out->first_fact = g->first_units[number] + 1;
        out->end_fact = g->first_units[number + 1];
        if (!ok) status = no_memory(g, err);
    } else if (status == MN_OK) {
        status = mn_graph_damaged(g, err);
    }
    mn_rows_done(rows);
    if (status != MN_OK) mn_passage_release(out);
    return status;
}

void mn_passage_release(mn_passage *p) {
    free(p->file);
    free(p->title);
    free(p->speaker);
    free(p->session);
    free(p->id);
    free(p->text);
    *p = (mn_passage){0};
}

/* The document of a passage into name; "" beyond the ends. */
static mn_status document_of(mn_graph *g, int64_t passage, char name[MN_ID_BYTES], mn_error *err) {
    mn_rows *rows;
    *name = '\0';
    MN_TRY(mn_store_query(g->store, &rows, err,
                          "SELECT c.doc FROM derived_passage p JOIN chunk c ON c.id = p.chunk WHERE p.n = $1", "i",
                          passage));
    mn_status status = mn_rows_next(rows, err);
    if (status == MN_OK && mn_rows_has(rows)) snprintf(name, MN_ID_BYTES, "%s", mn_rows_text(rows, 0, NULL));
    mn_rows_done(rows);
    return status;
}

mn_status mn_graph_beside(mn_graph *g, uint32_t passage, uint32_t *before, uint32_t *after, mn_error *err) {
    char here[MN_ID_BYTES], there[MN_ID_BYTES];
    MN_TRY(document_of(g, passage, here, err));
    MN_TRY(document_of(g, (int64_t)passage - 1, there, err));
    *before = *there && !strcmp(here, there) ? passage - 1 : UINT32_MAX;
    MN_TRY(document_of(g, (int64_t)passage + 1, there, err));
    *after = *there && !strcmp(here, there) ? passage + 1 : UINT32_MAX;
    return MN_OK;
}

/* ---- facts ---- */

/* A packed set of numbers below limit as a list. */
static mn_status unpack(const mn_graph *g, const void *data, size_t bytes, uint32_t limit, uint32_t **out, uint32_t *n,
                        mn_error *err) {
    mn_packed_walk walk = mn_packed_begin(data, bytes, limit);
    *n = 0;
    *out = malloc((bytes + 1) * sizeof **out);
    if (!*out) return no_memory(g, err);
    while (mn_packed_next(&walk, &(*out)[*n])) ++*n;
    return walk.at == walk.end ? MN_OK : mn_graph_damaged(g, err);
}

/* The quote, and the fact in its own words where it has some. */
static bool take_texts(mn_fact *out, mn_rows *rows, const char *quote, size_t bytes) {
    out->quote = strndup(quote, bytes);
    out->text = mn_rows_is_null(rows, 5) ? strndup(quote, bytes) : strdup(mn_rows_text(rows, 5, NULL));
    return out->quote && out->text;
}

/* Whether the number is that of a fact, not of a passage's title. */
static bool is_fact(const mn_graph *g, uint32_t number) {
    return number < g->n_units && number != g->first_units[g->passage_of[number]];
}

mn_status mn_graph_fact(mn_graph *g, uint32_t number, mn_fact *out, mn_error *err) {
    mn_rows *rows;
    *out = (mn_fact){.number = number};
    MN_TRY(mn_store_query(g->store, &rows, err,
                          "SELECT f.passage, f.first_byte, f.last_byte, f.keys, c.text, f.text FROM derived_fact f "
                          "JOIN derived_passage p ON p.n = f.passage JOIN chunk c ON c.id = p.chunk WHERE f.n = $1",
                          "i", (int64_t)number));
    mn_status status = mn_rows_next(rows, err);
    if (status == MN_OK && !mn_rows_has(rows))
        status = is_fact(g, number) ? mn_graph_damaged(g, err)
                                    : mn_fail(err, MN_ERR_ARGUMENT, "There is no fact %u.", number);
    if (status == MN_OK) {
        size_t bytes, key_bytes;
        const char *text = mn_rows_text(rows, 4, &bytes);
        out->passage = (uint32_t)mn_rows_int(rows, 0);
        int64_t begin = mn_rows_int(rows, 1), end = mn_rows_int(rows, 2);
        const void *keys = mn_rows_blob(rows, 3, &key_bytes);
        if (begin < 0 || end < begin || end > (int64_t)bytes || out->passage >= g->n_passages)
            status = mn_graph_damaged(g, err);
        else if (!take_texts(out, rows, text + begin, (size_t)(end - begin)))
            status = no_memory(g, err);
        else
            status = unpack(g, keys, key_bytes, UINT32_MAX, &out->keys, &out->n_keys, err);
        out->begin = (uint32_t)begin;
        out->end = (uint32_t)end;
    }
    mn_rows_done(rows);
    if (status != MN_OK) mn_fact_release(out);
    return status;
}

void mn_fact_release(mn_fact *f) {
    free(f->text);
    free(f->quote);
    free(f->keys);
    *f = (mn_fact){0};
}

/* ---- keys ---- */

/* The key of the row that the statement gives; *found false where it gives none. */
static mn_status take_key(mn_graph *g, mn_rows *rows, mn_key *out, bool *found, mn_error *err) {
    mn_status status = mn_rows_next(rows, err);
    *found = status == MN_OK && mn_rows_has(rows);
    if (*found) {
        bool ok = true;
        size_t n_facts, n_heads;
        out->number = (uint32_t)mn_rows_int(rows, 0);
        out->form = copy_text(rows, 1, &ok);
        out->text = copy_text(rows, 2, &ok);
        const void *facts = mn_rows_blob(rows, 3, &n_facts);
        status = ok ? unpack(g, facts, n_facts, g->n_units, &out->facts, &out->n_facts, err) : no_memory(g, err);
        if (status == MN_OK) {
            const void *heads = mn_rows_blob(rows, 4, &n_heads);
            status = unpack(g, heads, n_heads, g->n_passages, &out->passages, &out->n_passages, err);
        }
    }
    mn_rows_done(rows);
    if (status != MN_OK) mn_key_release(out);
    return status;
}

mn_status mn_graph_key(mn_graph *g, uint32_t number, mn_key *out, mn_error *err) {
    mn_rows *rows;
    bool found;
    *out = (mn_key){0};
    MN_TRY(mn_store_query(g->store, &rows, err, "SELECT n, form, text, facts, heads FROM derived_key WHERE n = $1", "i",
                          (int64_t)number));
    MN_TRY(take_key(g, rows, out, &found, err));
    return found ? MN_OK : mn_fail(err, MN_ERR_ARGUMENT, "There is no key %u.", number);
}

mn_status mn_graph_find_key(mn_graph *g, const char *text, mn_key *out, bool *found, mn_error *err) {
    mn_rows *rows;
    *out = (mn_key){0};
    *found = false;
    MN_TRY(mn_words_find(&g->lexicon, text, strlen(text), &g->words, err));
    if (!mn_key_form(&g->lexicon, &g->words, 0, g->words.n, &g->form)) return MN_OK;
    MN_TRY(mn_store_query(g->store, &rows, err, "SELECT n, form, text, facts, heads FROM derived_key WHERE form = $1",
                          "t", g->form.data));
    return take_key(g, rows, out, found, err);
}

void mn_key_release(mn_key *k) {
    free(k->form);
    free(k->text);
    free(k->facts);
    free(k->passages);
    *k = (mn_key){0};
}

/* ---- neighbours ---- */

static int most_shared_first(const void *a, const void *b) {
    const mn_neighbour *x = a, *y = b;
    if (x->n_shared != y->n_shared) return x->n_shared > y->n_shared ? -1 : 1;
    return x->key < y->key ? -1 : x->key > y->key;
}

static mn_status add_keys_of(mn_graph *g, uint32_t fact, uint32_t self, mn_numbers *out, mn_error *err) {
    mn_rows *rows;
    MN_TRY(mn_store_query(g->store, &rows, err, "SELECT keys FROM derived_fact WHERE n = $1", "i", (int64_t)fact));
    mn_status status = mn_rows_next(rows, err);
    if (status == MN_OK && mn_rows_has(rows)) {
        size_t bytes;
        const void *data = mn_rows_blob(rows, 0, &bytes);
        mn_packed_walk walk = mn_packed_begin(data, bytes, UINT32_MAX);
        uint32_t key;
        while (status == MN_OK && mn_packed_next(&walk, &key))
            if (key != self && !mn_numbers_add(out, (uint64_t)key << 32 | fact)) status = no_memory(g, err);
    }
    mn_rows_done(rows);
    return status;
}

mn_status mn_graph_neighbours(mn_graph *g, const mn_key *key, uint32_t max, mn_neighbour *out, uint32_t *n,
                              uint32_t *n_all, mn_error *err) {
    mn_numbers pairs = {0};
    mn_status status = MN_OK;
    *n = *n_all = 0;
    for (uint32_t i = 0; status == MN_OK && i < MN_MIN(key->n_facts, MAX_FACTS_OF_HUB); i++)
        status = add_keys_of(g, key->facts[i], key->number, &pairs, err);
    mn_neighbour *all = status == MN_OK ? malloc((pairs.n + 1) * sizeof *all) : NULL;
    if (status == MN_OK && !all) status = no_memory(g, err);
    if (status == MN_OK) {
        mn_numbers_sort(&pairs);
        for (size_t i = 0; i < pairs.n; i++) {
            uint32_t other = (uint32_t)(pairs.items[i] >> 32);
            if (!*n_all || all[*n_all - 1].key != other) all[(*n_all)++] = (mn_neighbour){other, 0};
            all[*n_all - 1].n_shared++;
        }
        qsort(all, *n_all, sizeof *all, most_shared_first);
        *n = MN_MIN(*n_all, max);
        memcpy(out, all, *n * sizeof *all);
    }
    free(all);
    free(pairs.items);
    return status;
}
