/* Search by words. */
#include "store/driver.h"

#include <string.h>

/* Words that are counted; more of them are taken for frequent. */
enum { MAX_COUNTED = 64 };

/* The words of a search, those of each kind with blanks between them. */
typedef struct match {
    mn_store *store;
    const char *table;
    mn_strbuf rare, frequent;
    int n_counted;
} match;

static bool is_word(unsigned char c) {
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c >= 0x80;
}

static mn_status no_memory(mn_error *err) { return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a search."); }

/* How many rows of the table hold a word, or how many it has (word NULL), counted to just above what is frequent. */
static mn_status count_rows(const match *m, const char *word, int64_t *n, mn_error *err) {
    const mn_driver *driver = mn_store_driver(m->store);
    mn_strbuf sql = MN_STRBUF_INIT, query = MN_STRBUF_INIT;
    int most = MN_MATCH_FREQUENT + 1;
    if (word) {
        driver->match_words(&query, word, NULL);
        driver->match_count_sql(&sql, m->table, most);
    } else {
        mn_strbuf_printf(&sql, "SELECT count(*) FROM (SELECT 1 FROM %s LIMIT %d) t", m->table, most);
    }
    mn_status status = sql.failed || query.failed ? no_memory(err) : MN_OK;
    if (status == MN_OK)
        status = word ? mn_store_number(m->store, 0, n, err, sql.data, "s", query.data, query.bytes)
                      : mn_store_number(m->store, 0, n, err, sql.data, "");
    mn_strbuf_release(&sql);
    mn_strbuf_release(&query);
    return status;
}

static mn_status sort_word(match *m, const char *word, size_t bytes, mn_error *err) {
    mn_strbuf text = MN_STRBUF_INIT;
    int64_t n = MN_MATCH_FREQUENT + 1;
    mn_strbuf_put(&text, word, bytes);
    mn_status status = text.failed ? no_memory(err) : MN_OK;
    if (status == MN_OK && m->n_counted++ < MAX_COUNTED) status = count_rows(m, text.data, &n, err);
    mn_strbuf *kind = n > MN_MATCH_FREQUENT ? &m->frequent : &m->rare;
    mn_strbuf_put(kind, word, bytes);
    mn_strbuf_putc(kind, ' ');
    mn_strbuf_release(&text);
    return status;
}

/* In a table of few rows no word is frequent. */
static mn_status sort_words(match *m, const char *words, mn_error *err) {
    int64_t n;
    MN_TRY(count_rows(m, NULL, &n, err));
    if (n <= MN_MATCH_FREQUENT) {
        mn_strbuf_puts(&m->rare, words);
        return MN_OK;
    }
    for (const char *p = words; *p;) {
        size_t bytes = 0;
        while (is_word((unsigned char)p[bytes])) bytes++;
        if (bytes) MN_TRY(sort_word(m, p, bytes, err));
        p += bytes ? bytes : 1;
    }
    return MN_OK;
}

/* Rows with rare words, then the newest of those that hold frequent words alone. */
static void put_sql(const match *m, mn_strbuf *sql, const char *conditions, int limit, int parameter) {
    const mn_driver *driver = mn_store_driver(m->store);
    mn_strbuf_puts(sql, "SELECT id, score FROM (");
    if (m->rare.bytes || !m->frequent.bytes) {
        mn_strbuf_puts(sql, "SELECT id, score, 1 AS is_rare FROM (");
        driver->match_sql(sql, m->table, 1, conditions);
        mn_strbuf_puts(sql, ") r");
    }
    if (m->rare.bytes && m->frequent.bytes) mn_strbuf_puts(sql, " UNION ALL ");
    if (m->frequent.bytes) {
        mn_strbuf_puts(sql, "SELECT id, score, 0 AS is_rare FROM (");
        driver->match_sql(sql, m->table, parameter, conditions);
        mn_strbuf_printf(sql, " ORDER BY %s LIMIT %d) n", driver->newest, MN_MATCH_FREQUENT);
    }
    mn_strbuf_printf(sql, ") m ORDER BY is_rare DESC, score DESC, id DESC LIMIT %d", limit);
}

static mn_value text_value(const mn_strbuf *text) {
    return (mn_value){.kind = MN_VALUE_TEXT, .data = text->data, .bytes = text->bytes};
}

static mn_status search(const match *m, mn_rows **out, const char *conditions, int limit, mn_value *values, int n,
                        mn_error *err) {
    const mn_driver *driver = mn_store_driver(m->store);
    mn_strbuf sql = MN_STRBUF_INIT, rare = MN_STRBUF_INIT, frequent = MN_STRBUF_INIT;
    bool both = m->rare.bytes && m->frequent.bytes;
    driver->match_words(&rare, m->rare.data, NULL);
    driver->match_words(&frequent, m->frequent.data, both ? m->rare.data : NULL);
    put_sql(m, &sql, conditions, limit, both ? n + 1 : 1);
    values[0] = text_value(m->frequent.bytes && !both ? &frequent : &rare);
    if (both) values[n++] = text_value(&frequent);
    mn_status status = sql.failed || rare.failed || frequent.failed
                           ? no_memory(err)
                           : mn_store_query_values(m->store, out, err, sql.data, values, n);
    mn_strbuf_release(&sql);
    mn_strbuf_release(&rare);
    mn_strbuf_release(&frequent);
    return status;
}

mn_status mn_store_match_values(mn_store *store, mn_rows **out, mn_error *err, const char *table, const char *words,
                                const char *conditions, int limit, mn_value *values, int n_values) {
    match m = {.store = store, .table = table, .rare = MN_STRBUF_INIT, .frequent = MN_STRBUF_INIT};
    mn_status status = sort_words(&m, words, err);
    if (status == MN_OK && (m.rare.failed || m.frequent.failed)) status = no_memory(err);
    if (status == MN_OK) status = search(&m, out, conditions, limit, values, n_values, err);
    mn_strbuf_release(&m.rare);
    mn_strbuf_release(&m.frequent);
    return status;
}
