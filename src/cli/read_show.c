/* mnemo read show: figures, a key with its facts, and pictures of keys and walks. */
#include "cli/read.h"

#ifdef MNEMO_HAVE_GRAPH
#include "cli/terminal.h"

#include "base/file.h"
#include "base/human.h"
#include "base/xml_text.h"
#include "graph/picture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SHOWN = 20 };

/* Calls for each of a key's first facts. */
typedef void fact_fn(void *arg, const mn_fact *fact, const mn_passage *passage);
static mn_status each_fact(mn_graph *graph, const mn_key *key, fact_fn *fn, void *arg, mn_error *err) {
    mn_status status = MN_OK;
    for (uint32_t i = 0; status == MN_OK && i < key->n_facts && i < MAX_SHOWN; i++) {
        mn_fact fact;
        mn_passage passage = {0};
        status = mn_graph_fact(graph, key->facts[i], &fact, err);
        if (status == MN_OK) status = mn_graph_passage(graph, fact.passage, &passage, err);
        if (status == MN_OK) fn(arg, &fact, &passage);
        mn_fact_release(&fact);
        mn_passage_release(&passage);
    }
    return status;
}

static void print_fact(void *arg, const mn_fact *fact, const mn_passage *passage) {
    (void)arg;
    mn_print_line(stdout, 4, "  %s [%s]", fact->text, passage->file);
}

static mn_status print_key(mn_graph *graph, const mn_key *key, mn_error *err) {
    mn_neighbour beside[MAX_SHOWN];
    uint32_t n, n_all;
    printf("%s: %u facts\n", key->text, key->n_facts);
    MN_TRY(each_fact(graph, key, print_fact, NULL, err));
    if (key->n_facts > MAX_SHOWN) printf("  and %u more\n", key->n_facts - MAX_SHOWN);
    MN_TRY(mn_graph_neighbours(graph, key, MAX_SHOWN, beside, &n, &n_all, err));
    printf("neighbours: %u\n", n_all);
    for (uint32_t i = 0; i < n; i++) {
        mn_key other;
        MN_TRY(mn_graph_key(graph, beside[i].key, &other, err));
        printf("  %s (%u)\n", other.text, beside[i].n_shared);
        mn_key_release(&other);
    }
    return MN_OK;
}

static mn_status print_figures(mn_graph *graph, mn_error *err) {
    mn_graph_figures f;
    mn_human bytes;
    MN_TRY(mn_graph_count(graph, &f, err));
    mn_print_line(stdout, 2, "%lld documents (%s), %lld passages, %lld facts, %lld keys, %lld terms",
                  (long long)f.n_documents, mn_human_bytes(bytes, (size_t)f.text_bytes), (long long)f.n_passages,
                  (long long)f.n_facts, (long long)f.n_keys, (long long)f.n_terms);
    return MN_OK;
}

/* ---- pictures ---- */

static void put_fact(void *arg, const mn_fact *fact, const mn_passage *passage) {
    mn_strbuf *out = arg;
    mn_strbuf_puts(out, "<li>");
    mn_xml_text_put(out, fact->text, SIZE_MAX);
    mn_strbuf_puts(out, " <small>");
    mn_xml_text_put(out, passage->file, 200);
    mn_strbuf_puts(out, "</small></li>\n");
}

static mn_status draw(mn_graph *graph, const mn_key *key, mn_strbuf *out, mn_error *err) {
    mn_walk walk = {0};
    if (key) return mn_picture_key(graph, key, out, err);
    mn_status status = mn_walk_run(graph, read_given.question, NULL, NULL, &walk, err);
    if (status == MN_OK) status = mn_picture_walk(&walk, out, err);
    mn_walk_release(&walk);
    return status;
}

static mn_status make_page(mn_graph *graph, const mn_key *key, mn_strbuf *out, mn_error *err) {
    mn_strbuf_puts(out,
                   "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>mnemo read</title></head><body>\n");
    MN_TRY(draw(graph, key, out, err));
    if (key) {
        mn_strbuf_puts(out, "<ul>\n");
        MN_TRY(each_fact(graph, key, put_fact, out, err));
        mn_strbuf_puts(out, "</ul>\n");
    }
    mn_strbuf_puts(out, "</body></html>\n");
    return out->failed ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for a page.") : MN_OK;
}

static mn_status write_text(const char *path, const mn_strbuf *text, mn_error *err) {
    mn_writer writer;
    MN_TRY(mn_writer_open(path, &writer, err));
    mn_writer_put(&writer, text->data, text->bytes);
    return mn_writer_commit(&writer, err);
}

static mn_status write_pictures(mn_graph *graph, const mn_key *key, mn_error *err) {
    mn_strbuf text = MN_STRBUF_INIT;
    mn_status status = MN_OK;
    if (read_given.svg) {
        status = draw(graph, key, &text, err);
        if (status == MN_OK) status = write_text(read_given.svg, &text, err);
        mn_strbuf_reset(&text);
    }
    if (status == MN_OK && read_given.html) {
        status = make_page(graph, key, &text, err);
        if (status == MN_OK) status = write_text(read_given.html, &text, err);
    }
    mn_strbuf_release(&text);
    return status;
}

mn_status read_show(mn_graph *graph, const char *text, mn_error *err) {
    mn_key key;
    bool found, draws = read_given.svg || read_given.html;
    if (!text) return draws && read_given.question ? write_pictures(graph, NULL, err) : print_figures(graph, err);
    MN_TRY(mn_graph_find_key(graph, text, &key, &found, err));
    if (!found) return mn_fail(err, MN_ERR_FORMAT, "There is no key \"%.100s\"; search finds texts by words.", text);
    mn_status status = draws ? write_pictures(graph, &key, err) : print_key(graph, &key, err);
    mn_key_release(&key);
    return status;
}
#endif
