/* Fuzz target: any bytes as messages to import. Each line is a message, known, or the one that is named as broken; a
 * second import takes nothing. */
#include "fuzz/store_file.h"

#include "memory/import.h"
#include "memory/recall_index.h"

static mn_status import(mn_store *store, int64_t agent, const uint8_t *data, size_t bytes, mn_import_figures *f) {
    const mn_import_options options = {.name = "fuzz"};
    mn_error err = {0};
    FILE *in = fuzz_input(data, bytes);
    *f = (mn_import_figures){0};
    mn_status status = said(mn_messages_import(store, agent, in, &options, f, &err), &err);
    fclose(in);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    int64_t agent, n;
    mn_error err = {0};
    mn_import_figures first, second;
    mn_recall_index *index;
    mn_recall_hit hits[3];
    uint32_t n_hits;
    mn_store *store = fuzz_store();
    if (mn_agent_find_or_add(store, "a", &agent, &err)) abort();
    mn_status status = import(store, agent, data, bytes, &first);
    if (first.n_new + first.n_known > first.n_lines) abort();
    if (mn_store_number(store, -1, &n, &err, "SELECT count(*) FROM message", "") || n != first.n_new) abort();
    if (import(store, agent, data, bytes, &second) != status || second.n_new != 0) abort();
    if (mn_recall_check(store, agent, &n, &err) || n != first.n_new) abort();
    if (mn_recall_index_open(store, agent, &index, &err)) abort();
    if (mn_recall_index_search(index, "Where did Ann go in May 2023?", 3, hits, &n_hits, &err)) abort();
    mn_recall_index_close(index);
    mn_store_close(store);
    return 0;
}
