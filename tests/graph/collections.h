/* Question sets over passages, as a collection in a store. */
#ifndef MN_TESTS_COLLECTIONS_H
#define MN_TESTS_COLLECTIONS_H

#include "store/stores.h"

#include "graph/graph.h"
#include "graph/index.h"

#include <jansson.h>

/* Indexes lines of JSON (NAME.jsonl is written for it) and opens the graph. The caller closes both. */
static inline mn_graph *graph_of_lines(const char *name, const char *lines, mn_store **store) {
    char path[4096], db[64];
    mn_error why;
    mn_graph *graph;
    mn_index_figures figures = {0};
    snprintf(db, sizeof db, "%s.db", name);
    *store = new_store(db);
    snprintf(path, sizeof path, "%s.jsonl", temp_path(name));
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(lines, file);
    fclose(file);
    assert_ok(mn_index_path(*store, path, NULL, &figures, &why), why);
    assert_int_equal(figures.n_failed, 0);
    assert_ok(mn_graph_open(*store, &graph, &why), why);
    unlink(path);
    return graph;
}

/* Appends {"id", "title", "text"} as a line. */
static inline void add_line(FILE *out, const char *id, const char *title, const char *text) {
    json_t *line = json_pack("{s:s, s:s, s:s}", "id", id, "title", title, "text", text);
    json_dumpf(line, out, JSON_COMPACT);
    putc('\n', out);
    json_decref(line);
}

#endif
