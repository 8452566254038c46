/* Fuzz target: any bytes as the export of a store. What was imported comes out and goes in again as nothing new, and
 * rows that nobody wrote here are opened as a graph, as vectors and as an agent's memory, and asked. */
#include "fuzz/store_file.h"

#include "graph/graph.h"
#include "graph/index.h"
#include "memory/core.h"
#include "memory/recall_index.h"

static void import_again(mn_store *store) {
    char *text;
    size_t bytes;
    int64_t n = 0;
    mn_error err = {0};
    FILE *out = open_memstream(&text, &bytes);
    if (said(mn_store_export(store, out, &err), &err) != MN_OK) abort();
    fclose(out);
    FILE *in = fuzz_input((const uint8_t *)text, bytes);
    if (said(mn_store_import(store, NULL, 0, in, &n, &err), &err) == MN_OK && n != 0 && !strstr(text, "null")) abort();
    fclose(in);
    free(text);
}

static void ask_graph(mn_store *store) {
    mn_graph *graph;
    mn_hit hits[5];
    uint32_t n;
    mn_error err = {0};
    if (said(mn_graph_touch(store, &err), &err) != MN_OK) return;
    if (said(mn_graph_open(store, &graph, &err), &err) != MN_OK) return;
    if (said(mn_graph_search(graph, "Who is it, in May 2023?", 5, hits, &n, &err), &err) == MN_OK)
        for (uint32_t i = 0; i < n; i++) {
            mn_passage passage;
            if (said(mn_graph_passage(graph, hits[i].number, &passage, &err), &err) == MN_OK)
                mn_passage_release(&passage);
        }
    mn_graph_close(graph);
}

static void ask_vectors(mn_store *store) {
    static const float question[2] = {1, -1};
    const mn_vectors_spec spec = {.space = "a", .model = "m", .n_dims = 2, .type = MN_F32, .n_threads = 1};
    mn_vectors *vectors;
    mn_vector_hit hits[3];
    uint32_t n;
    mn_error err = {0};
    if (said(mn_vectors_open(store, &spec, &vectors, &err), &err) != MN_OK) return;
    said(mn_vectors_search(vectors, question, 3, hits, &n, &err), &err);
    mn_vectors_close(vectors);
}

static void ask_memory(mn_store *store) {
    mn_recall_index *index;
    mn_recall_hit hits[3];
    mn_block_list blocks;
    uint32_t n;
    int64_t n_checked;
    mn_error err = {0};
    if (said(mn_recall_index_open(store, 1, &index, &err), &err) != MN_OK) return;
    said(mn_recall_index_search(index, "Who is it?", 3, hits, &n, &err), &err);
    mn_recall_index_close(index);
    said(mn_recall_check(store, 1, &n_checked, &err), &err);
    if (said(mn_core_list(store, 1, &blocks, &err), &err) == MN_OK) mn_block_list_release(&blocks);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    int64_t n = 0, n_left;
    mn_error err = {0};
    mn_store *store = fuzz_store();
    FILE *in = fuzz_input(data, bytes);
    mn_status status = said(mn_store_import(store, NULL, 0, in, &n, &err), &err);
    fclose(in);
    if (mn_store_number(store, 0, &n_left, &err, "SELECT count(*) FROM chunk", "")) abort();
    if (status != MN_OK && n_left != 0) abort();
    if (status == MN_OK) {
        import_again(store);
        ask_vectors(store);
        ask_memory(store);
        ask_graph(store);
    }
    mn_store_close(store);
    return 0;
}
