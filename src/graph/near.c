#include "graph/near.h"

#include "base/checked.h"
#include "graph/inside.h"
#include "store/fusion.h"

#include <stdlib.h>
#include <string.h>

static const char space[] = "passage";
static const char missing[] =
    "SELECT c.id, CASE WHEN coalesce(c.title, '') = '' THEN c.text ELSE c.title || '\n' || c.text END FROM chunk c "
    "LEFT JOIN vector_item v ON v.space = $1 AND v.item = c.id WHERE v.data IS NULL AND c.id > $2 ORDER BY c.id";
static const char gone[] = "SELECT v.item FROM vector_item v LEFT JOIN chunk c ON c.id = v.item "
                           "WHERE v.space = $1 AND v.data IS NOT NULL AND c.id IS NULL";

/* The passages' chunks by number: what vectors are known by. */
static mn_status load_chunks(mn_graph *g, mn_error *err) {
    mn_rows *rows;
    mn_intern_release(&g->chunks);
    MN_TRY(mn_store_query(g->store, &rows, err, "SELECT chunk FROM derived_passage ORDER BY n", ""));
    mn_status status;
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows)) {
        size_t bytes;
        const char *chunk = mn_rows_text(rows, 0, &bytes);
        if (mn_intern_put(&g->chunks, chunk, bytes) != MN_INTERN_NONE) continue;
        status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for the names of %u passages.", g->n_passages);
        break;
    }
    mn_rows_done(rows);
    return status;
}

mn_status mn_graph_rank_near(mn_graph *g, mn_engine *engine, const mn_dtype *type, mn_text_vectors_fn *progress,
                             void *arg, int64_t *n, mn_error *err) {
    const mn_text_vectors_spec spec = {.space = space, .missing = missing, .gone = gone, .type = type};
    mn_text_vectors *near;
    *n = 0;
    MN_TRY(mn_text_vectors_open(g->store, engine, &spec, &near, err));
    mn_status status = mn_text_vectors_fill(near, progress, arg, n, err);
    if (status == MN_OK) status = load_chunks(g, err);
    if (status != MN_OK) {
        mn_text_vectors_close(near);
        return status;
    }
    mn_text_vectors_close(g->near);
    g->near = near;
    return MN_OK;
}

mn_status mn_near_join(mn_graph *g, const char *question, const mn_hit *words, uint32_t n_words, uint32_t k,
                       mn_hit *hits, uint32_t *n_hits, mn_error *err) {
    mn_vector_hit found[MN_NEAR_DEPTH];
    mn_fused fused[2 * MN_NEAR_DEPTH];
    uint32_t by_words[MN_NEAR_DEPTH], by_meaning[MN_NEAR_DEPTH], n_found, n_meaning = 0;
    *n_hits = 0;
    MN_TRY(mn_text_vectors_search(g->near, question, MN_NEAR_DEPTH, found, &n_found, err));
    for (uint32_t i = 0; i < n_found; i++) {
        uint32_t passage = mn_intern_find(&g->chunks, found[i].item, strlen(found[i].item));
        if (passage < g->n_passages) by_meaning[n_meaning++] = passage;
    }
    for (uint32_t i = 0; i < n_words; i++) by_words[i] = words[i].number;
    const mn_ranking lists[] = {{by_words, n_words, 1}, {by_meaning, n_meaning, 1}};
    MN_TRY(mn_fuse_ranks(lists, 2, MN_MIN(k, 2U * MN_NEAR_DEPTH), fused, n_hits, err));
    for (uint32_t i = 0; i < *n_hits; i++) hits[i] = (mn_hit){fused[i].id, fused[i].score};
    return MN_OK;
}
