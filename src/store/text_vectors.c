#include "store/text_vectors.h"

#include "base/strbuf.h"
#include "session/engine.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE = 64, ITEM_BYTES = 64 };

struct mn_text_vectors {
    mn_store *store;
    mn_engine *engine;
    mn_text_vectors_spec spec;
    mn_vectors *vectors;
    int n_dims;
    bool wants_prefix; /* Nomic's models were trained with a word for what a text is */
};

/* ---- opening ---- */

/* What makes the vectors, as the store keeps it: a name to read, and the hash of all that computes. */
static mn_status name_model(mn_engine *engine, char out[192], mn_error *err) {
    mn_model_info info = mn_engine_info(engine);
    mn_identity identity;
    MN_TRY(mn_engine_identity(engine, &identity, err));
    snprintf(out, 192, "%.100s (%.30s, %016llx%016llx)", info.name, info.architecture,
             (unsigned long long)identity.high, (unsigned long long)identity.low);
    return MN_OK;
}

mn_status mn_text_vectors_open(mn_store *store, mn_engine *engine, const mn_text_vectors_spec *spec,
                               mn_text_vectors **out, mn_error *err) {
    mn_model_info info = mn_engine_info(engine);
    char model[192];
    mn_dtype type = MN_Q8_0;
    *out = NULL;
    MN_TRY(name_model(engine, model, err));
    MN_TRY(mn_vectors_type(store, spec->space, &type, err));
    mn_text_vectors *v = calloc(1, sizeof *v);
    if (!v) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for vectors of texts.");
    *v = (mn_text_vectors){.store = store, .engine = engine, .spec = *spec, .n_dims = info.n_embd};
    v->wants_prefix = !strcmp(info.architecture, "nomic-bert");
    const mn_vectors_spec vectors = {
        .space = spec->space, .model = model, .n_dims = info.n_embd, .type = spec->type ? *spec->type : type};
    mn_status status = mn_vectors_open(store, &vectors, &v->vectors, err);
    if (status == MN_OK)
        *out = v;
    else
        mn_text_vectors_close(v);
    return status;
}

void mn_text_vectors_close(mn_text_vectors *v) {
    if (!v) return;
    mn_vectors_close(v->vectors);
    free(v);
}

/* ---- filling ---- */

typedef struct page {
    char items[PAGE][ITEM_BYTES];
    char *texts[PAGE];
    int n;
} page;

static char *with_prefix(const mn_text_vectors *v, const char *prefix, const char *text) {
    mn_strbuf out = MN_STRBUF_INIT;
    if (v->wants_prefix) mn_strbuf_puts(&out, prefix);
    mn_strbuf_puts(&out, text);
    return mn_strbuf_detach(&out, NULL);
}

static mn_status take_rows(const mn_text_vectors *v, mn_rows *rows, page *p, mn_error *err) {
    mn_status status;
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows) && p->n < PAGE) {
        const char *item = mn_rows_text(rows, 0, NULL);
        if (strlen(item) >= ITEM_BYTES)
            return mn_fail(err, MN_ERR_FORMAT, "\"%.64s...\" is too long for the name of a vector.", item);
        snprintf(p->items[p->n], ITEM_BYTES, "%s", item);
        p->texts[p->n] = with_prefix(v, "search_document: ", mn_rows_text(rows, 1, NULL));
        if (!p->texts[p->n++]) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a text.");
    }
    return status;
}

/* The next texts without a vector, behind the item `after`. */
static mn_status next_page(const mn_text_vectors *v, const char *after, page *p, mn_error *err) {
    mn_rows *rows = NULL;
    mn_strbuf sql = MN_STRBUF_INIT;
    p->n = 0;
    mn_strbuf_printf(&sql, "%s LIMIT %d", v->spec.missing, PAGE);
    mn_status status = sql.failed ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for a statement.")
                                  : mn_store_query(v->store, &rows, err, sql.data, "tt", v->spec.space, after);
    if (status == MN_OK) status = take_rows(v, rows, p, err);
    mn_rows_done(rows);
    mn_strbuf_release(&sql);
    return status;
}

static mn_status put_page(mn_text_vectors *v, const page *p, mn_error *err) {
    const mn_embed_params params = {.cut = true};
    mn_embed_text texts[PAGE];
    const char *items[PAGE];
    float *numbers = calloc((size_t)p->n, (size_t)v->n_dims * sizeof *numbers);
    if (!numbers) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for %d vectors.", p->n);
    for (int i = 0; i < p->n; i++) {
        texts[i] = (mn_embed_text){.text = p->texts[i], .bytes = strlen(p->texts[i])};
        items[i] = p->items[i];
    }
    mn_status status = mn_embed(v->engine, &params, texts, p->n, numbers, err);
    if (status == MN_OK) status = mn_vectors_put(v->vectors, items, p->n, numbers, err);
    free(numbers);
    return status;
}

/* Names of items, each ended by a zero. */
static mn_status list_gone(mn_text_vectors *v, mn_strbuf *names, mn_error *err) {
    mn_rows *rows;
    MN_TRY(mn_store_query(v->store, &rows, err, v->spec.gone, "t", v->spec.space));
    mn_status status;
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows)) {
        const char *item = mn_rows_text(rows, 0, NULL);
        mn_strbuf_put(names, item, strlen(item) + 1);
    }
    mn_rows_done(rows);
    return status == MN_OK && names->failed ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for names.") : status;
}

static mn_status remove_gone(mn_text_vectors *v, mn_error *err) {
    mn_strbuf names = MN_STRBUF_INIT;
    if (!v->spec.gone) return MN_OK;
    mn_status status = list_gone(v, &names, err);
    if (status == MN_OK && names.bytes) {
        status = mn_store_begin(v->store, err);
        if (status == MN_OK) {
            for (size_t at = 0; status == MN_OK && at < names.bytes; at += strlen(names.data + at) + 1)
                status = mn_vectors_remove(v->vectors, names.data + at, err);
            status = mn_store_end(v->store, status, err);
        }
    }
    mn_strbuf_release(&names);
    return status;
}

static mn_status count_missing(const mn_text_vectors *v, int64_t *n, mn_error *err) {
    mn_strbuf sql = MN_STRBUF_INIT;
    mn_strbuf_printf(&sql, "SELECT count(*) FROM (%s) AS m", v->spec.missing);
    mn_status status = sql.failed ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for a statement.")
                                  : mn_store_number(v->store, 0, n, err, sql.data, "tt", v->spec.space, "");
    mn_strbuf_release(&sql);
    return status;
}

mn_status mn_text_vectors_fill(mn_text_vectors *v, mn_text_vectors_fn *progress, void *arg, int64_t *n, mn_error *err) {
    int64_t all;
    char after[ITEM_BYTES] = "";
    *n = 0;
    MN_TRY(remove_gone(v, err));
    MN_TRY(count_missing(v, &all, err));
    for (;;) {
        page p = {.n = 0};
        mn_status status = next_page(v, after, &p, err);
        if (status == MN_OK && p.n) status = put_page(v, &p, err);
        for (int i = 0; i < p.n; i++) free(p.texts[i]);
        if (status != MN_OK || p.n == 0) return status;
        *n += p.n;
        memcpy(after, p.items[p.n - 1], sizeof after);
        if (progress && !progress(arg, *n, all))
            return mn_fail(err, MN_ERR_CANCELLED, "%lld of %lld vectors were made and are kept; start again to go on.",
                           (long long)*n, (long long)all);
    }
}

/* ---- searching ---- */

mn_status mn_text_vectors_search(mn_text_vectors *v, const char *question, uint32_t k, mn_vector_hit *hits,
                                 uint32_t *n_hits, mn_error *err) {
    const mn_embed_params params = {.cut = true};
    char *text = with_prefix(v, "search_query: ", question);
    float *numbers = calloc((size_t)v->n_dims, sizeof *numbers);
    *n_hits = 0;
    mn_status status =
        text && numbers ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory for a vector of %d.", v->n_dims);
    mn_embed_text asked = {.text = text, .bytes = text ? strlen(text) : 0};
    if (status == MN_OK) status = mn_embed(v->engine, &params, &asked, 1, numbers, err);
    if (status == MN_OK) status = mn_vectors_search(v->vectors, numbers, k, hits, n_hits, err);
    free(numbers);
    free(text);
    return status;
}
