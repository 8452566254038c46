/* mnemo read ask: an answer with the places it comes from. */
#include "cli/read.h"

#ifdef MNEMO_HAVE_GRAPH
#include "cli/terminal.h"

#include <stdio.h>
#include <stdlib.h>

/* A fact with its place: bytes of the document's text. */
static json_t *fact_json(const mn_fact *f, const mn_passage *p, double score) {
    return json_pack("{s:s, s:I, s:I, s:f, s:s}", "file", p->file, "begin", (json_int_t)(p->begin + f->begin), "end",
                     (json_int_t)(p->begin + f->end), "score", score, "text", f->text);
}

static mn_status take_fact(mn_graph *graph, const mn_hit *hit, json_t *rows, mn_error *err) {
    mn_fact fact;
    mn_passage passage = {0};
    mn_status status = mn_graph_fact(graph, hit->number, &fact, err);
    if (status == MN_OK) status = mn_graph_passage(graph, fact.passage, &passage, err);
    if (status == MN_OK) json_array_append_new(rows, fact_json(&fact, &passage, (double)hit->score));
    mn_fact_release(&fact);
    mn_passage_release(&passage);
    return status;
}

static void print_facts(const json_t *rows) {
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) {
        mn_print_line(stdout, 3, "[%zu] %s", i + 1, json_string_value(json_object_get(row, "text")));
        mn_print_line(stdout, 3, "    %s, bytes %lld to %lld", json_string_value(json_object_get(row, "file")),
                      (long long)json_integer_value(json_object_get(row, "begin")),
                      (long long)json_integer_value(json_object_get(row, "end")));
    }
}

mn_status read_ask(mn_graph *graph, mn_store *store, mn_error *err) {
    uint32_t n, k = (uint32_t)read_given.k;
    (void)store;
    mn_hit *hits = malloc(k * sizeof *hits);
    json_t *rows = json_array();
    mn_status status = hits ? mn_graph_search_facts(graph, read_given.question, k, hits, &n, err)
                            : mn_fail(err, MN_ERR_MEMORY, "There is no memory for %u facts.", k);
    for (uint32_t i = 0; status == MN_OK && i < n; i++) status = take_fact(graph, &hits[i], rows, err);
    if (status == MN_OK && read_given.json) {
        json_t *object = json_pack("{s:s, s:O}", "question", read_given.question, "citations", rows);
        json_dumpf(object, stdout, JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(object);
    } else if (status == MN_OK && !n) {
        mn_print_line(stdout, 0, "Nothing in the store holds a word of the question.");
    } else if (status == MN_OK) {
        print_facts(rows);
    }
    json_decref(rows);
    free(hits);
    return status;
}
#endif
