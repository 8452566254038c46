#include "memory/restore.h"

#include "graph/build.h"
#include "graph/schema.h"
#include "graph/turns_saved.h"
#include "graph/walk.h"
#include "llm/llm.h"
#include "memory/memory.h"
#include "store/vectors.h"

static const mn_store_room rooms[] = {
    {"graph", mn_graph_migrate},     {"llm", mn_llm_migrate},   {"memory", mn_memory_migrate},
    {"vectors", mn_vectors_migrate}, {"walk", mn_walk_migrate},
};

mn_status mn_restore(mn_store *store, FILE *in, int64_t *n_rows, mn_error *err) {
    int64_t has_graph;
    MN_TRY(mn_store_import(store, rooms, sizeof rooms / sizeof *rooms, in, n_rows, err));
    if (!*n_rows) return MN_OK;
    MN_TRY(mn_turns_forget(store, err));
    MN_TRY(mn_store_version(store, "graph", &has_graph, err));
    return has_graph ? mn_index_drop(store, err) : MN_OK;
}
