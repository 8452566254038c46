/* Archival memory. */
#include "memory/archival.h"

#include "base/strbuf.h"

#include <stdlib.h>
#include <string.h>

enum { COUNTED = 1000, MAX_TAGS = 16 };

static mn_status add_tags(mn_store *store, int64_t id, const mn_archival_text *text, mn_error *err) {
    for (size_t i = 0; i < text->n_tags; i++)
        MN_TRY(mn_store_run(store, err,
                            "INSERT INTO archival_tag (archival, tag) VALUES ($1, $2) ON CONFLICT DO NOTHING", "it", id,
                            text->tags[i]));
    return MN_OK;
}

static mn_status add(mn_store *store, const char *archive, const mn_archival_text *text, int64_t *id, mn_error *err) {
    char hash[MN_ID_BYTES];
    mn_store_id(hash, archive, strlen(archive), text->text, text->bytes, NULL);
    const char *uid = text->uid ? text->uid : hash;
    MN_TRY(mn_store_number(store, 0, id, err,
                           "INSERT INTO archival (uid, archive, text, source, time) VALUES ($1, $2, $3, $4, $5) "
                           "ON CONFLICT DO NOTHING RETURNING id",
                           "ttsti", uid, archive, text->text, text->bytes, text->source ? text->source : "",
                           text->time));
    if (!*id) MN_TRY(mn_store_number(store, 0, id, err, "SELECT id FROM archival WHERE uid = $1", "t", uid));
    return add_tags(store, *id, text, err);
}

mn_status mn_archival_add(mn_store *store, const char *archive, const mn_archival_text *text, int64_t *id,
                          mn_error *err) {
    bool own;
    *id = 0;
    MN_TRY(mn_store_join(store, &own, err));
    return mn_store_leave(store, own, add(store, archive, text, id, err), err);
}

mn_status mn_archival_count(mn_store *store, const char *archive, int64_t most, int64_t *n, mn_error *err) {
    return mn_store_number(store, 0, n, err,
                           "SELECT count(*) FROM (SELECT 1 FROM archival WHERE archive = $1 LIMIT $2) t", "ti", archive,
                           most);
}

/* ---- search ---- */

/* A text as SQL writes it. */
static void put_quoted(mn_strbuf *sql, const char *text) {
    mn_strbuf_putc(sql, '\'');
    for (const char *p = text; *p; p++) {
        if (*p == '\'') mn_strbuf_putc(sql, '\'');
        mn_strbuf_putc(sql, *p);
    }
    mn_strbuf_putc(sql, '\'');
}

static void put_tags(mn_strbuf *sql, const mn_archival_query *q) {
    size_t n = q->n_tags < MAX_TAGS ? q->n_tags : MAX_TAGS;
    if (!n) return;
    mn_strbuf_puts(sql, " AND (SELECT count(*) FROM archival_tag g WHERE g.archival = t.id AND g.tag IN (");
    for (size_t i = 0; i < n; i++) {
        if (i) mn_strbuf_puts(sql, ", ");
        put_quoted(sql, q->tags[i]);
    }
    mn_strbuf_printf(sql, ")) >= %zu", q->all_tags ? n : 1);
}

static mn_status open_search(mn_store *store, const char *archive, const mn_archival_query *q, mn_rows **rows,
                             mn_error *err) {
    mn_strbuf rest = MN_STRBUF_INIT, sql = MN_STRBUF_INIT;
    bool by_words = q->words && *q->words;
    int64_t since = q->since ? q->since : INT64_MIN, until = q->until ? q->until : INT64_MAX;
    mn_strbuf_puts(&rest, "AND t.archive = $2 AND t.time >= $3 AND t.time <= $4");
    put_tags(&rest, q);
    mn_strbuf_printf(&sql,
                     "SELECT t.id AS id, 0.0 AS score FROM archival t WHERE t.archive = $1 %s ORDER BY id DESC "
                     "LIMIT %d",
                     rest.data, COUNTED);
    mn_status status;
    if (rest.failed || sql.failed)
        status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for a search.");
    else if (by_words)
        status =
            mn_store_match(store, rows, err, "archival", q->words, rest.data, COUNTED, "tii", archive, since, until);
    else
        status = mn_store_query(store, rows, err, sql.data, "ttii", archive, archive, since, until);
    mn_strbuf_release(&rest);
    mn_strbuf_release(&sql);
    return status;
}

static mn_status take_tags(mn_store *store, mn_archival_hit *hit, mn_error *err) {
    mn_rows *rows;
    mn_strbuf tags = MN_STRBUF_INIT;
    MN_TRY(mn_store_query(store, &rows, err, "SELECT tag FROM archival_tag WHERE archival = $1 ORDER BY tag", "i",
                          hit->id));
    mn_status status;
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows))
        mn_strbuf_printf(&tags, "%s%s", tags.bytes ? ", " : "", mn_rows_text(rows, 0, NULL));
    mn_rows_done(rows);
    hit->tags = mn_strbuf_detach(&tags, NULL);
    return status == MN_OK && !hit->tags ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for tags.") : status;
}

static mn_status fill_hit(mn_store *store, mn_archival_hit *hit, mn_error *err) {
    mn_rows *rows;
    MN_TRY(mn_store_query(store, &rows, err, "SELECT text, source, time FROM archival WHERE id = $1", "i", hit->id));
    mn_status status = mn_rows_next(rows, err);
    if (status == MN_OK && mn_rows_has(rows)) {
        hit->text = strdup(mn_rows_text(rows, 0, NULL));
        hit->source = strdup(mn_rows_text(rows, 1, NULL));
        hit->time = mn_rows_int(rows, 2);
    }
    mn_rows_done(rows);
    if (status == MN_OK && (!hit->text || !hit->source))
        status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for a text of the archive.");
    return status == MN_OK ? take_tags(store, hit, err) : status;
}

void mn_archival_hit_release(mn_archival_hit *hit) {
    free(hit->text);
    free(hit->source);
    free(hit->tags);
    *hit = (mn_archival_hit){0};
}

mn_status mn_archival_search(mn_store *store, const char *archive, const mn_archival_query *q, mn_archival_hit *hits,
                             uint32_t *n_hits, int64_t *n_all, mn_error *err) {
    mn_rows *rows = NULL;
    int64_t at = 0, limit = q->limit ? q->limit : 10, first = (int64_t)q->page * limit;
    uint32_t n = 0;
    *n_hits = 0;
    mn_status status = open_search(store, archive, q, &rows, err);
    while (status == MN_OK && (status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows)) {
        if (at >= first && at < first + limit)
            hits[n++] = (mn_archival_hit){.id = mn_rows_int(rows, 0), .score = mn_rows_real(rows, 1)};
        at++;
        if (!n_all && at == first + limit) break;
    }
    mn_rows_done(rows);
    if (n_all) *n_all = at;
    for (uint32_t i = 0; i < n && status == MN_OK; i++) status = fill_hit(store, &hits[i], err);
    *n_hits = n;
    if (status == MN_OK) return MN_OK;
    for (uint32_t i = 0; i < n; i++) mn_archival_hit_release(&hits[i]);
    *n_hits = 0;
    return status;
}
