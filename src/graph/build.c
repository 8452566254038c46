/* The index of a graph, from the texts of a store into its derived tables. */
#include "graph/build.h"

#include "graph/schema.h"

#include <stdlib.h>
#include <string.h>

typedef struct progress {
    bool (*fn)(void *arg, int64_t done, int64_t all);
    void *arg;
    int64_t done, all;
} progress;

mn_status mn_index_is_stale(mn_store *store, bool *is_stale, mn_error *err) {
    int64_t texts, index, is_missing;
    MN_TRY(mn_graph_state(store, "texts", &texts, err));
    MN_TRY(mn_graph_state(store, "index", &index, err));
    MN_TRY(mn_store_number(store, 0, &is_missing, err,
                           "SELECT 1 WHERE EXISTS (SELECT 1 FROM chunk) AND NOT EXISTS (SELECT 1 FROM derived_array)",
                           ""));
    *is_stale = texts != index || is_missing;
    return MN_OK;
}

mn_status mn_index_drop(mn_store *store, mn_error *err) {
    return mn_store_exec(store, "DELETE FROM derived_array", err);
}

/* ---- gathering ---- */

/* Facts that a model took out of the passage added last. */
static mn_status gather_extracted(mn_store *store, mn_build *b, const char *chunk, size_t bytes, mn_error *err) {
    mn_rows *rows;
    MN_TRY(mn_store_query(store, &rows, err,
                          "SELECT text, keys, first_byte, last_byte FROM extracted_fact WHERE chunk = $1 "
                          "ORDER BY first_byte, id",
                          "t", chunk));
    mn_status status;
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows)) {
        int64_t begin = mn_rows_int(rows, 2), end = mn_rows_int(rows, 3);
        if (begin < 0 || end <= begin || end > (int64_t)bytes) continue; /* nothing that stands there */
        status = mn_build_add_extracted(b, mn_rows_text(rows, 0, NULL), mn_rows_text(rows, 1, NULL), (size_t)begin,
                                        (size_t)end, err);
        if (status != MN_OK) break;
    }
    mn_rows_done(rows);
    return status;
}

static mn_status gather_row(mn_store *store, mn_build *b, mn_rows *rows, mn_error *err) {
    size_t bytes;
    const char *text = mn_rows_text(rows, 2, &bytes);
    MN_TRY(mn_store_run(store, err, "INSERT INTO derived_passage (n, chunk) VALUES ($1, $2)", "it",
                        (int64_t)b->n_passages, mn_rows_text(rows, 0, NULL)));
    MN_TRY(mn_build_add(b, mn_rows_text(rows, 1, NULL), text, bytes, err));
    return gather_extracted(store, b, mn_rows_text(rows, 0, NULL), bytes, err);
}

static mn_status gather(mn_store *store, mn_build *b, progress *p, mn_error *err) {
    mn_rows *rows;
    MN_TRY(mn_store_number(store, 0, &p->all, err, "SELECT sum(last_byte - first_byte) FROM chunk", ""));
    MN_TRY(mn_store_query(store, &rows, err,
                          "SELECT c.id, c.title, c.text, c.last_byte - c.first_byte FROM doc d "
                          "JOIN chunk c ON c.doc = d.id ORDER BY d.seq, c.ord",
                          ""));
    mn_status status;
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows)) {
        status = gather_row(store, b, rows, err);
        p->done += mn_rows_int(rows, 3);
        if (status == MN_OK && p->fn && b->n_passages % 64 == 0 && !p->fn(p->arg, p->done, p->all))
            status =
                mn_fail(err, MN_ERR_CANCELLED, "Indexing was stopped; what was read is kept, index again to go on.");
        if (status != MN_OK) break;
    }
    mn_rows_done(rows);
    return status;
}

/* ---- writing ---- */

static mn_status no_memory(mn_error *err) {
    return mn_fail(err, MN_ERR_MEMORY, "There is no memory to write an index.");
}

/* Packs the low halves of items [begin, end) into set, which is emptied first. */
static bool pack(mn_packed *set, const mn_numbers *list, size_t begin, size_t end) {
    set->bytes = set->last = 0;
    for (size_t i = begin; i < end; i++)
        if (!mn_packed_add(set, (uint32_t)list->items[i])) return false;
    return true;
}

/* The end of the run of items from i on whose high half is `high`. */
static size_t run_of(const mn_numbers *list, size_t i, uint64_t high) {
    while (i < list->n && list->items[i] >> 32 == high) i++;
    return i;
}

static mn_status write_passages(mn_store *store, const mn_build *b, mn_error *err) {
    mn_packed heads = {0};
    mn_status status = MN_OK;
    for (size_t p = 0, h = 0; status == MN_OK && p < b->n_passages; p++) {
        size_t h_end = run_of(&b->head_keys, h, p);
        const mn_link *links = b->links + b->first_links[p];
        size_t n_links = b->first_links[p + 1] - b->first_links[p];
        if (!pack(&heads, &b->head_keys, h, h_end))
            status = no_memory(err);
        else
            status = mn_store_run(store, err, "UPDATE derived_passage SET heads = $1, links = $2 WHERE n = $3", "bbi",
                                  heads.data, (size_t)heads.bytes, links, n_links * sizeof *links, (int64_t)p);
        h = h_end;
    }
    mn_packed_release(&heads);
    return status;
}

static mn_status write_facts(mn_store *store, const mn_build *b, mn_error *err) {
    mn_packed keys = {0};
    mn_status status = MN_OK;
    for (size_t u = 0, k = 0; status == MN_OK && u < b->n_units; u++) {
        size_t k_end = run_of(&b->fact_keys, k, u);
        const mn_unit *unit = &b->units[u];
        if (!pack(&keys, &b->fact_keys, k, k_end))
            status = no_memory(err);
        else if (unit->end)
            status =
                mn_store_run(store, err,
                             "INSERT INTO derived_fact (n, passage, first_byte, last_byte, keys, text) "
                             "VALUES ($1, $2, $3, $4, $5, $6)",
                             "iiiibt", (int64_t)u, (int64_t)unit->passage, (int64_t)unit->begin, (int64_t)unit->end,
                             keys.data, (size_t)keys.bytes, unit->text ? b->fact_texts.data + unit->text - 1 : NULL);
        k = k_end;
    }
    mn_packed_release(&keys);
    return status;
}

static mn_status write_keys(mn_store *store, const mn_build *b, mn_error *err) {
    mn_numbers facts = {0}, heads = {0};
    mn_packed of_facts = {0}, of_heads = {0};
    mn_status status =
        mn_numbers_turn(&b->fact_keys, &facts) && mn_numbers_turn(&b->head_keys, &heads) ? MN_OK : no_memory(err);
    for (size_t key = 0, f = 0, h = 0; status == MN_OK && key < b->keys.n; key++) {
        size_t f_end = run_of(&facts, f, key), h_end = run_of(&heads, h, key), bytes;
        const char *form = mn_intern_text(&b->keys, (uint32_t)key, &bytes);
        const char *text = mn_intern_text(&b->key_texts, (uint32_t)key, NULL);
        if (!pack(&of_facts, &facts, f, f_end) || !pack(&of_heads, &heads, h, h_end))
            status = no_memory(err);
        else if (f_end > f)
            status = mn_store_run(store, err,
                                  "INSERT INTO derived_key (n, form, text, n_facts, facts, heads) "
                                  "VALUES ($1, $2, $3, $4, $5, $6)",
                                  "istibb", (int64_t)key, form, bytes, text, (int64_t)(f_end - f), of_facts.data,
                                  (size_t)of_facts.bytes, of_heads.data, (size_t)of_heads.bytes);
        f = f_end;
        h = h_end;
    }
    free(facts.items);
    free(heads.items);
    mn_packed_release(&of_facts);
    mn_packed_release(&of_heads);
    return status;
}

static _Thread_local const mn_build *sorting;
static int by_text(const void *a, const void *b) {
    return strcmp(mn_intern_text(&sorting->lexicon.terms, *(const uint32_t *)a, NULL),
                  mn_intern_text(&sorting->lexicon.terms, *(const uint32_t *)b, NULL));
}

static mn_status write_array(mn_store *store, const char *name, const uint32_t *data, size_t n, mn_error *err) {
    return mn_store_run(store, err, "INSERT INTO derived_array (name, data) VALUES ($1, $2)", "tb", name, data,
                        n * sizeof *data);
}

static mn_status write_arrays(mn_store *store, const mn_build *b, mn_error *err) {
    static const uint32_t none[1] = {0};
    uint32_t *lengths = malloc((b->n_units + 1) * sizeof *lengths);
    if (!lengths) return no_memory(err);
    for (size_t u = 0; u < b->n_units; u++) lengths[u] = b->units[u].text ? 0 : b->units[u].n_words;
    mn_status status = write_array(store, "unit_words", lengths, b->n_units, err);
    if (status == MN_OK)
        status = write_array(store, "first_units", b->first_units ? b->first_units : none, b->n_passages + 1, err);
    free(lengths);
    return status;
}

/* In the order of the primary key, which a B-tree takes fastest. */
static mn_status write_terms(mn_store *store, const mn_build *b, mn_error *err) {
    uint32_t *order = malloc((b->n_lists + 1) * sizeof *order);
    if (!order) return no_memory(err);
    for (size_t i = 0; i < b->n_lists; i++) order[i] = (uint32_t)i;
    sorting = b;
    qsort(order, b->n_lists, sizeof *order, by_text);
    mn_status status = MN_OK;
    for (size_t i = 0; status == MN_OK && i < b->n_lists; i++) {
        const mn_packed *list = &b->postings[order[i]];
        size_t bytes;
        const char *term = mn_intern_text(&b->lexicon.terms, order[i], &bytes);
        if (!list->bytes) continue;
        status = mn_store_run(store, err, "INSERT INTO derived_term (term, postings) VALUES ($1, $2)", "sb", term,
                              bytes, list->data, (size_t)list->bytes);
    }
    free(order);
    return status;
}

static mn_status rebuild(mn_store *store, mn_build *b, progress *p, mn_error *err) {
    int64_t texts;
    MN_TRY(mn_store_exec(store,
                         "DELETE FROM derived_passage; DELETE FROM derived_fact; DELETE FROM derived_key; "
                         "DELETE FROM derived_term; DELETE FROM derived_array",
                         err));
    MN_TRY(gather(store, b, p, err));
    MN_TRY(mn_build_link(b, err));
    MN_TRY(write_passages(store, b, err));
    MN_TRY(write_facts(store, b, err));
    MN_TRY(write_keys(store, b, err));
    MN_TRY(write_terms(store, b, err));
    MN_TRY(write_arrays(store, b, err));
    MN_TRY(mn_graph_state(store, "texts", &texts, err));
    return mn_graph_set_state(store, "index", texts, err);
}

mn_status mn_index_rebuild(mn_store *store, bool (*fn)(void *arg, int64_t done, int64_t all), void *arg,
                           mn_error *err) {
    mn_build build = {.form = MN_STRBUF_INIT, .fact_texts = MN_STRBUF_INIT};
    progress p = {.fn = fn, .arg = arg};
    MN_TRY(mn_store_begin(store, err));
    mn_status status = mn_store_end(store, rebuild(store, &build, &p, err), err);
    mn_build_release(&build);
    return status;
}
