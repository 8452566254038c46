#include "graph/turns_saved.h"

#include "graph/turns_index.h"

#include <stdlib.h>
#include <string.h>

/* Counts up when words, stems or what is noted of a turn change. */
enum { RULES = 1 };

static const char room[] = "derived_turns";
static const mn_migration steps[] = {
    {.sql = "CREATE TABLE derived_turns_part (owner TEXT, first BIGINT, n BIGINT, upto BIGINT, rules BIGINT, "
            "  names {blob}, items {blob}, PRIMARY KEY (owner, first));"
            "CREATE TABLE derived_turns_term (owner TEXT, term TEXT, first BIGINT, postings {blob}, "
            "  PRIMARY KEY (owner, term, first))"},
};

enum { N_STEPS = sizeof steps / sizeof *steps };

/* ---- one part as bytes ---- */

/* The names from number `from` on. */
static bool put_names(mn_packed *out, const mn_intern *set, uint32_t from) {
    bool ok = mn_packed_put(out, set->n - from);
    for (uint32_t i = from; ok && i < set->n; i++) {
        size_t bytes;
        const char *text = mn_intern_text(set, i, &bytes);
        ok = mn_packed_put(out, (uint32_t)bytes) && mn_packed_put_bytes(out, text, bytes);
    }
    return ok;
}

static bool get_names(const uint8_t **at, const uint8_t *end, mn_intern *set) {
    uint32_t n, bytes;
    if (!mn_packed_get(at, end, &n)) return false;
    for (uint32_t i = 0; i < n; i++) {
        if (!mn_packed_get(at, end, &bytes) || bytes > (size_t)(end - *at)) return false;
        uint32_t next = set->n;
        if (mn_intern_put(set, (const char *)*at, bytes) != next) return false;
        *at += bytes;
    }
    return true;
}

static bool put_item(mn_packed *out, const mn_turn_item *item, uint64_t distance) {
    return mn_packed_put(out, (uint32_t)(distance >> 32)) && mn_packed_put(out, (uint32_t)distance) &&
           mn_packed_put(out, item->session) && mn_packed_put(out, item->speaker + 1) &&
           mn_packed_put(out, item->n_words) && mn_packed_put(out, item->n_content) &&
           mn_packed_put(out, (uint32_t)(item->month + 1)) &&
           mn_packed_put(out, (item->asks ? 1U : 0U) | (item->ends_asking ? 2U : 0U));
}

static bool get_item(const mn_turns *t, const uint8_t **at, const uint8_t *end, mn_turn_item *item) {
    uint32_t high, low, speaker, month, flags;
    if (!mn_packed_get(at, end, &high) || !mn_packed_get(at, end, &low) || !mn_packed_get(at, end, &item->session) ||
        !mn_packed_get(at, end, &speaker) || !mn_packed_get(at, end, &item->n_words) ||
        !mn_packed_get(at, end, &item->n_content) || !mn_packed_get(at, end, &month) || !mn_packed_get(at, end, &flags))
        return false;
    uint64_t before = t->n ? (uint64_t)t->items[t->n - 1].id : 0, id = before + ((uint64_t)high << 32 | low);
    item->id = (int64_t)id;
    item->speaker = speaker - 1;
    item->month = (int32_t)month - 1;
    item->asks = flags & 1;
    item->ends_asking = flags & 2;
    return id <= INT64_MAX && id >= before && item->session < t->session_names.n && speaker <= t->speakers.n &&
           item->n_content <= item->n_words && month < 1U << 20;
}

static void note_saved(mn_turns *t) {
    t->saved.n = t->n;
    t->saved.n_conversations = t->conversations.n;
    t->saved.n_sessions = t->session_names.n;
    t->saved.n_speakers = t->speakers.n;
}

/* ---- loading ---- */

/* False where the part is not what mn_turns_save writes behind the others. */
static bool take_part(mn_turns *t, mn_rows *rows) {
    size_t name_bytes, item_bytes;
    int64_t n = mn_rows_int(rows, 1);
    if (mn_rows_int(rows, 0) != t->n || n < 1 || n > UINT32_MAX / 2 - t->n || mn_rows_int(rows, 3) != RULES)
        return false;
    const uint8_t *at = mn_rows_blob(rows, 4, &name_bytes), *end = at + name_bytes;
    if (!get_names(&at, end, &t->conversations) || !get_names(&at, end, &t->session_names) ||
        !get_names(&at, end, &t->speakers) || at != end)
        return false;
    at = mn_rows_blob(rows, 5, &item_bytes);
    end = at + item_bytes;
    for (int64_t i = 0; i < n; i++) {
        mn_turn_item item = {0};
        if (!get_item(t, &at, end, &item) || !mn_turns_place(t, &item)) return false;
    }
    return at == end;
}

/* As mn_turns_create leaves it. */
static void empty(mn_turns *t) {
    mn_intern_release(&t->conversations);
    mn_intern_release(&t->session_names);
    mn_intern_release(&t->speakers);
    if (t->sessions) memset(t->sessions, 0, t->sessions_capacity * sizeof *t->sessions);
    t->n = 0;
}

static mn_status forget_owner(mn_store *store, const char *owner, mn_error *err) {
    bool own;
    MN_TRY(mn_store_join(store, &own, err));
    mn_status status = mn_store_run(store, err, "DELETE FROM derived_turns_term WHERE owner = $1", "t", owner);
    if (status == MN_OK)
        status = mn_store_run(store, err, "DELETE FROM derived_turns_part WHERE owner = $1", "t", owner);
    return mn_store_leave(store, own, status, err);
}

mn_status mn_turns_load(mn_turns *t, mn_store *store, const char *owner, int64_t *upto, mn_error *err) {
    mn_rows *rows;
    int64_t version;
    bool is_sound = true;
    *upto = 0;
    MN_TRY(mn_store_version(store, room, &version, err));
    if (version > N_STEPS) return MN_OK; /* a newer program's */
    t->saved.store = store;
    snprintf(t->saved.owner, sizeof t->saved.owner, "%s", owner);
    if (version < N_STEPS) return MN_OK;
    MN_TRY(mn_store_query(store, &rows, err,
                          "SELECT first, n, upto, rules, names, items FROM derived_turns_part WHERE owner = $1 "
                          "ORDER BY first",
                          "t", owner));
    mn_status status;
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows) && is_sound) {
        is_sound = take_part(t, rows);
        *upto = mn_rows_int(rows, 2);
    }
    mn_rows_done(rows);
    MN_TRY(status);
    if (is_sound) {
        note_saved(t);
        return MN_OK;
    }
    empty(t);
    *upto = 0;
    return forget_owner(store, owner, err);
}

mn_status mn_turns_forget(mn_store *store, mn_error *err) {
    int64_t version;
    MN_TRY(mn_store_version(store, room, &version, err));
    return version ? mn_store_exec(store, "DELETE FROM derived_turns_term; DELETE FROM derived_turns_part", err)
                   : MN_OK;
}

/* ---- saving ---- */

uint32_t mn_turns_unsaved(const mn_turns *t) { return t->n - t->saved.n; }

static mn_status no_memory(mn_error *err) {
    return mn_fail(err, MN_ERR_MEMORY, "There is no memory to keep an index of turns.");
}

static mn_status write_part(mn_turns *t, int64_t upto, mn_error *err) {
    mn_packed names = {0}, items = {0};
    const mn_turns_saved *s = &t->saved;
    int64_t is_new = 0;
    bool ok = put_names(&names, &t->conversations, s->n_conversations) &&
              put_names(&names, &t->session_names, s->n_sessions) && put_names(&names, &t->speakers, s->n_speakers);
    for (uint32_t i = s->n; ok && i < t->n; i++)
        ok = put_item(&items, &t->items[i], (uint64_t)(t->items[i].id - (i ? t->items[i - 1].id : 0)));
    mn_status status =
        ok ? mn_store_number(s->store, 0, &is_new, err,
                             "INSERT INTO derived_turns_part (owner, first, n, upto, rules, names, items) "
                             "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING 1",
                             "tiiiibb", s->owner, (int64_t)s->n, (int64_t)(t->n - s->n), upto, (int64_t)RULES,
                             names.data, (size_t)names.bytes, items.data, (size_t)items.bytes)
           : no_memory(err);
    if (status == MN_OK && !is_new) status = mn_fail(err, MN_ERR_IO, "Another process has kept these turns.");
    mn_packed_release(&names);
    mn_packed_release(&items);
    return status;
}

static _Thread_local const mn_turns *sorting;
static int by_text(const void *a, const void *b) {
    return strcmp(mn_intern_text(&sorting->lexicon.terms, *(const uint32_t *)a, NULL),
                  mn_intern_text(&sorting->lexicon.terms, *(const uint32_t *)b, NULL));
}

/* In the order of the primary key, which a B-tree takes fastest. */
static mn_status write_terms(mn_turns *t, mn_error *err) {
    uint32_t *order = malloc((t->n_lists + 1) * sizeof *order), n = 0;
    if (!order) return no_memory(err);
    for (size_t i = 0; i < t->n_lists; i++)
        if (t->lists[i].bytes) order[n++] = (uint32_t)i;
    sorting = t;
    qsort(order, n, sizeof *order, by_text);
    mn_status status = MN_OK;
    for (uint32_t i = 0; status == MN_OK && i < n; i++) {
        const mn_packed *list = &t->lists[order[i]];
        status = mn_store_run(t->saved.store, err,
                              "INSERT INTO derived_turns_term (owner, term, first, postings) VALUES ($1, $2, $3, $4)",
                              "ttib", t->saved.owner, mn_intern_text(&t->lexicon.terms, order[i], NULL),
                              (int64_t)t->saved.n, list->data, (size_t)list->bytes);
    }
    free(order);
    return status;
}

void mn_turns_save(mn_turns *t, int64_t upto) {
    mn_error ignored;
    mn_store *store = t->saved.store;
    if (!store || t->saved.failed || !mn_turns_unsaved(t) ||
        mn_store_migrate(store, room, steps, N_STEPS, &ignored) != MN_OK || mn_store_begin(store, &ignored) != MN_OK)
        return;
    mn_status status = write_part(t, upto, &ignored);
    if (status == MN_OK) status = write_terms(t, &ignored);
    t->saved.failed = mn_store_end(store, status, &ignored) != MN_OK;
    if (t->saved.failed) return;
    for (size_t i = 0; i < t->n_lists; i++) mn_packed_release(&t->lists[i]);
    note_saved(t);
}

/* ---- asking ---- */

mn_status mn_turns_postings(const mn_turns *t, uint32_t term, mn_postings *out, mn_error *err) {
    static const mn_packed none = {0};
    const mn_packed *recent = term < t->n_lists ? &t->lists[term] : &none;
    mn_rows *rows;
    if (!t->saved.n) return mn_postings_unpack(recent->data, recent->bytes, t->n, out, err);
    *out = (mn_postings){0};
    /* What another process has kept behind these is in memory here. */
    MN_TRY(mn_store_query(t->saved.store, &rows, err,
                          "SELECT postings FROM derived_turns_term WHERE owner = $1 AND term = $2 AND first < $3 "
                          "ORDER BY first",
                          "tti", t->saved.owner, mn_intern_text(&t->lexicon.terms, term, NULL), (int64_t)t->saved.n));
    mn_status status;
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows)) {
        size_t bytes;
        const void *data = mn_rows_blob(rows, 0, &bytes);
        status = mn_postings_append(data, bytes, t->n, out, err);
        if (status != MN_OK) break;
    }
    mn_rows_done(rows);
    if (status == MN_OK) return mn_postings_append(recent->data, recent->bytes, t->n, out, err);
    mn_postings_release(out);
    return status;
}
