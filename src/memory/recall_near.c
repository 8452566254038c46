#include "memory/recall_near.h"

#include "base/checked.h"
#include "store/fusion.h"

#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 100 };

struct mn_recall_near {
    mn_text_vectors *vectors;
    char space[32], missing[400];
};

mn_status mn_recall_near_open(mn_store *store, int64_t agent, mn_engine *engine, mn_recall_near **out, mn_error *err) {
    *out = NULL;
    mn_recall_near *x = calloc(1, sizeof *x);
    if (!x) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for vectors of messages.");
    snprintf(x->space, sizeof x->space, "message_%lld", (long long)agent);
    snprintf(x->missing, sizeof x->missing,
             "SELECT CAST(m.id AS TEXT), m.text FROM message m LEFT JOIN vector_item v ON v.space = $1 AND "
             "v.item = CAST(m.id AS TEXT) WHERE m.agent = %lld AND m.role IN ('user', 'assistant') AND "
             "v.data IS NULL AND m.id > CAST(COALESCE(NULLIF($2, ''), '0') AS BIGINT) ORDER BY m.id",
             (long long)agent);
    const mn_text_vectors_spec spec = {.space = x->space, .missing = x->missing};
    mn_status status = mn_text_vectors_open(store, engine, &spec, &x->vectors, err);
    if (status == MN_OK)
        *out = x;
    else
        mn_recall_near_close(x);
    return status;
}

void mn_recall_near_close(mn_recall_near *x) {
    if (!x) return;
    mn_text_vectors_close(x->vectors);
    free(x);
}

mn_status mn_recall_near_fill(mn_recall_near *x, mn_text_vectors_fn *progress, void *arg, int64_t *n, mn_error *err) {
    return mn_text_vectors_fill(x->vectors, progress, arg, n, err);
}

static mn_status search_vectors(mn_recall_near *x, const char *question, uint32_t *ids, uint32_t *n, mn_error *err) {
    mn_vector_hit hits[DEEPEST];
    MN_TRY(mn_text_vectors_search(x->vectors, question, DEEPEST, hits, n, err));
    for (uint32_t i = 0; i < *n; i++) ids[i] = (uint32_t)strtoul(hits[i].item, NULL, 10);
    return MN_OK;
}

mn_status mn_recall_near_search(mn_recall_near *x, mn_recall_index *index, const char *question, uint32_t k,
                                mn_recall_hit *hits, uint32_t *n_hits, mn_error *err) {
    mn_recall_hit words[DEEPEST];
    uint32_t by_words[DEEPEST], by_meaning[DEEPEST], n_words, n_meaning;
    mn_fused fused[2 * DEEPEST];
    *n_hits = 0;
    MN_TRY(mn_recall_index_search(index, question, DEEPEST, words, &n_words, err));
    MN_TRY(search_vectors(x, question, by_meaning, &n_meaning, err));
    for (uint32_t i = 0; i < n_words; i++) {
        if (words[i].message > UINT32_MAX)
            return mn_fail(err, MN_ERR_LIMIT, "Rankings are joined for 4294967295 messages, no more.");
        by_words[i] = (uint32_t)words[i].message;
    }
    const mn_ranking lists[] = {{by_words, n_words, 1}, {by_meaning, n_meaning, 1}};
    MN_TRY(mn_fuse_ranks(lists, 2, MN_MIN(k, 2U * DEEPEST), fused, n_hits, err));
    for (uint32_t i = 0; i < *n_hits; i++) hits[i] = (mn_recall_hit){fused[i].id, (double)fused[i].score};
    return MN_OK;
}
