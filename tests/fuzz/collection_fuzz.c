/* Fuzz target: any bytes as a collection of texts, indexed and asked. Indexed again, nothing has changed. */
#include "fuzz/store_file.h"

#include "graph/graph.h"
#include "graph/index.h"

static void ask(mn_store *store) {
    static const char question[] = "Who wrote the novel, and where was its author born?";
    mn_graph *graph;
    mn_hit hits[5];
    uint32_t n;
    mn_error err = {0};
    if (mn_graph_open(store, &graph, &err)) abort();
    for (int ranking = MN_RANK_HOP; ranking <= MN_RANK_PAGERANK; ranking++) {
        mn_graph_rank_by(graph, (mn_graph_ranking)ranking);
        if (mn_graph_search(graph, question, 5, hits, &n, &err)) abort();
        for (uint32_t i = 0; i < n; i++) {
            mn_passage p;
            if (mn_graph_passage(graph, hits[i].number, &p, &err) || p.end < p.begin || strlen(p.text) != p.bytes)
                abort();
            mn_passage_release(&p);
        }
        if (mn_graph_search_facts(graph, question, 5, hits, &n, &err)) abort();
        if (mn_graph_search_keys(graph, question, 5, hits, &n, &err)) abort();
    }
    mn_graph_close(graph);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    char path[128];
    mn_error err = {0};
    mn_index_figures first = {0}, second = {0};
    mn_store *store = fuzz_store();
    fuzz_path(path, "c.jsonl");
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, bytes, file) != bytes || fclose(file)) abort();
    if (said(mn_index_path(store, path, NULL, &first, &err), &err) == MN_OK) {
        ask(store);
        if (mn_index_path(store, path, NULL, &second, &err) || second.n_new || second.n_changed || second.n_gone)
            abort();
    }
    mn_store_close(store);
    return 0;
}
