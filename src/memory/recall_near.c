#include "memory/recall_near.h"

#include "base/checked.h"
#include "base/strbuf.h"
#include "store/fusion.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE = 64, DEEPEST = 100 };

struct mn_recall_near {
    mn_store *store;
    int64_t agent;
    mn_engine *engine;
    mn_vectors *vectors;
    char space[32];
    int n_dims;
    bool wants_prefix; /* Nomic's models were trained with a word for what a text is */
};

mn_status mn_recall_near_open(mn_store *store, int64_t agent, mn_engine *engine, mn_recall_near **out, mn_error *err) {
    mn_model_info info = mn_engine_info(engine);
    char model[256];
    *out = NULL;
    mn_recall_near *x = calloc(1, sizeof *x);
    if (!x) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for vectors of messages.");
    *x = (mn_recall_near){.store = store, .agent = agent, .engine = engine, .n_dims = info.n_embd};
    x->wants_prefix = !strcmp(info.architecture, "nomic-bert");
    snprintf(x->space, sizeof x->space, "message_%lld", (long long)agent);
    snprintf(model, sizeof model, "%.100s (%s, %lld parameters)", info.name, info.architecture,
             (long long)info.n_params);
    const mn_vectors_spec spec = {.space = x->space, .model = model, .n_dims = info.n_embd, .type = MN_Q8_0};
    mn_status status = mn_vectors_open(store, &spec, &x->vectors, err);
    if (status == MN_OK)
        *out = x;
    else
        mn_recall_near_close(x);
    return status;
}

void mn_recall_near_close(mn_recall_near *x) {
    if (!x) return;
    mn_vectors_close(x->vectors);
    free(x);
}

/* ---- filling ---- */

typedef struct page {
    char ids[PAGE][24];
    char *texts[PAGE];
    int n;
} page;

static char *with_prefix(const mn_recall_near *x, const char *prefix, const char *text) {
    mn_strbuf out = MN_STRBUF_INIT;
    if (x->wants_prefix) mn_strbuf_puts(&out, prefix);
    mn_strbuf_puts(&out, text);
    return mn_strbuf_detach(&out, NULL);
}

static mn_status next_page(mn_recall_near *x, page *p, mn_error *err) {
    mn_rows *rows;
    p->n = 0;
    MN_TRY(mn_store_query(x->store, &rows, err,
                          "SELECT m.id, m.text FROM message m LEFT JOIN vector_item v ON v.space = $1 AND "
                          "v.item = CAST(m.id AS TEXT) WHERE m.agent = $2 AND m.role IN ('user', 'assistant') AND "
                          "v.item IS NULL ORDER BY m.id LIMIT 64",
                          "ti", x->space, x->agent));
    mn_status status;
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows) && p->n < PAGE) {
        snprintf(p->ids[p->n], sizeof p->ids[0], "%lld", (long long)mn_rows_int(rows, 0));
        p->texts[p->n] = with_prefix(x, "search_document: ", mn_rows_text(rows, 1, NULL));
        if (!p->texts[p->n++]) {
            status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for a message.");
            break;
        }
    }
    mn_rows_done(rows);
    return status;
}

static mn_status put_page(mn_recall_near *x, const page *p, mn_error *err) {
    const mn_embed_params params = {.cut = true};
    mn_embed_text texts[PAGE];
    const char *items[PAGE];
    float *vectors = calloc((size_t)p->n, (size_t)x->n_dims * sizeof *vectors);
    if (!vectors) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for %d vectors.", p->n);
    for (int i = 0; i < p->n; i++) {
        texts[i] = (mn_embed_text){.text = p->texts[i], .bytes = strlen(p->texts[i])};
        items[i] = p->ids[i];
    }
    mn_status status = mn_embed(x->engine, &params, texts, p->n, vectors, err);
    if (status == MN_OK) status = mn_vectors_put(x->vectors, items, p->n, vectors, err);
    free(vectors);
    return status;
}

mn_status mn_recall_near_fill(mn_recall_near *x, bool (*progress)(void *arg, int64_t done, int64_t all), void *arg,
                              int64_t *n, mn_error *err) {
    int64_t all;
    *n = 0;
    MN_TRY(mn_store_number(x->store, 0, &all, err, "SELECT count(*) FROM message WHERE agent = $1", "i", x->agent));
    for (;;) {
        page p = {.n = 0};
        mn_status status = next_page(x, &p, err);
        if (status == MN_OK && p.n) status = put_page(x, &p, err);
        for (int i = 0; i < p.n; i++) free(p.texts[i]);
        if (status != MN_OK || p.n == 0) return status;
        *n += p.n;
        if (progress && !progress(arg, *n, all))
            return mn_fail(err, MN_ERR_CANCELLED, "The vectors of %lld messages were made; start again to go on.",
                           (long long)*n);
    }
}

/* ---- searching ---- */

static mn_status search_vectors(mn_recall_near *x, const char *question, uint32_t *ids, uint32_t *n, mn_error *err) {
    const mn_embed_params params = {.cut = true};
    mn_vector_hit hits[DEEPEST];
    char *text = with_prefix(x, "search_query: ", question);
    float *vector = calloc((size_t)x->n_dims, sizeof *vector);
    *n = 0;
    mn_status status =
        text && vector ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory for a vector of %d.", x->n_dims);
    mn_embed_text asked = {.text = text, .bytes = text ? strlen(text) : 0};
    if (status == MN_OK) status = mn_embed(x->engine, &params, &asked, 1, vector, err);
    if (status == MN_OK) status = mn_vectors_search(x->vectors, vector, DEEPEST, hits, n, err);
    for (uint32_t i = 0; status == MN_OK && i < *n; i++) ids[i] = (uint32_t)strtoul(hits[i].item, NULL, 10);
    free(vector);
    free(text);
    return status;
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
