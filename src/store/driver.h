/* What stands behind a store: SQLite (sqlite.c) or PostgreSQL (postgres.c). store.c alone calls it. */
#ifndef MN_STORE_DRIVER_H
#define MN_STORE_DRIVER_H

#include "base/strbuf.h"
#include "store/store.h"

typedef enum mn_value_kind { MN_VALUE_NULL, MN_VALUE_INT, MN_VALUE_REAL, MN_VALUE_TEXT, MN_VALUE_BLOB } mn_value_kind;

typedef struct mn_value {
    mn_value_kind kind;
    int64_t integer;
    double real;
    const void *data; /* of texts (NUL-terminated where a column gives them) and blobs */
    size_t bytes;
} mn_value;

typedef struct mn_driver {
    mn_status (*open)(const char *where, const mn_store_options *options, void **self, mn_error *err);
    void (*close)(void *self);
    mn_status (*exec)(void *self, const char *sql, mn_error *err);
    mn_status (*prepare)(void *self, const char *sql, void **statement, mn_error *err);
    void (*finalize)(void *statement);
    /* index from 1; bytes are copied. */
    mn_status (*bind)(void *statement, int index, const mn_value *value, mn_error *err);
    mn_status (*step)(void *statement, bool *has_row, mn_error *err);
    /* Lets rows come one by one from now to the reset, without others in memory; NULL = they do. */
    void (*stream)(void *statement);
    void (*reset)(void *statement);
    int (*n_columns)(void *statement);
    const char *(*column_name)(void *statement, int column);
    void (*column)(void *statement, int column, mn_value *out);
    /* Makes a column searchable; then the statement that searches it. */
    mn_status (*index_text)(void *self, const char *table, const char *column, mn_error *err);
    /* Whether it is, in the way of index_text; one that was made in an older way is made anew. NULL = there is none. */
    mn_status (*has_text)(void *self, const char *table, bool *has, mn_error *err);
    void (*match_sql)(mn_strbuf *out, const char *table, int at, const char *conditions); /* the query is $at */
    const char *newest; /* order of what match_sql finds: the newest rows first, as cheaply as that can be had */
    /* How many rows hold what $1 asks for, counted up to `most`. */
    void (*match_count_sql)(mn_strbuf *out, const char *table, int most);
    /* Plain words as the query that match_sql takes: rows with any of them, and with none of `without` (NULL = any);
     * empty = nothing to look for. */
    void (*match_words)(mn_strbuf *out, const char *words, const char *without);
    /* Lets ids that count up by themselves go on behind what was inserted with its id; NULL = they do. */
    mn_status (*after_import)(void *self, const char *table, mn_error *err);
    const char *begin, *begin_reading; /* SQL: the one transaction that writes; one that sees the store as it is now */
    const char *blob, *serial, *id;    /* the types {blob}, {serial} and {id} */
    bool is_postgres;
    const char *tables, *columns; /* SQL: names of all tables; of the columns of table $1, in order */
    const char *key;              /* SQL: of its primary key, in order, as ORDER BY takes them: texts by their bytes */
} mn_driver;

extern const mn_driver mn_driver_sqlite;
extern const mn_driver mn_driver_postgres;

/* mn_store_match (match.c). values[0] is free for the query, one behind values[n_values - 1] too. */
mn_status mn_store_match_values(mn_store *store, mn_rows **out, mn_error *err, const char *table, const char *words,
                                const char *conditions, int limit, mn_value *values, int n_values);

/* ---- for jsonl.c ---- */

/* mn_store_query with values in a list. */
mn_status mn_store_query_values(mn_store *store, mn_rows **out, mn_error *err, const char *sql, const mn_value *values,
                                int n_values);
/* The same for any number of rows, one of which is in memory at a time: until mn_rows_done the store can do nothing
 * else, and if that comes before the last row the transaction is lost. */
mn_status mn_store_stream(mn_store *store, mn_rows **out, mn_error *err, const char *sql);
/* A transaction that only reads, and keeps nobody from writing. */
mn_status mn_store_begin_reading(mn_store *store, mn_error *err);
mn_value mn_rows_value(mn_rows *rows, int column);
int mn_rows_n_columns(mn_rows *rows);
const char *mn_rows_column_name(mn_rows *rows, int column);
const mn_driver *mn_store_driver(const mn_store *store);
/* The driver's after_import for a table. */
mn_status mn_store_after_import(mn_store *store, const char *table, mn_error *err);

#endif
