/* The store: statements kept prepared, transactions, schemas, ids. */
#include "store/driver.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { MAX_KEPT = 64, MAX_VALUES = 32 };

struct mn_rows {
    mn_store *store;
    char *sql;
    void *statement;
    bool busy, has;
};

struct mn_store {
    const mn_driver *driver;
    void *self;
    char *name;
    bool in_transaction;
    mn_rows *kept[MAX_KEPT];
    int n_kept;
};

const mn_driver *mn_store_driver(const mn_store *store) { return store->driver; }
const char *mn_store_name(const mn_store *store) { return store->name; }

mn_status mn_store_after_import(mn_store *store, const char *table, mn_error *err) {
    return store->driver->after_import ? store->driver->after_import(store->self, table, err) : MN_OK;
}

/* A URL without its password. */
static char *name_of(const char *where) {
    char *name = strdup(where), *scheme = name ? strstr(name, "://") : NULL, *at = scheme ? strrchr(name, '@') : NULL;
    char *colon = scheme ? strchr(scheme + 3, ':') : NULL;
    if (at && colon && colon < at) memmove(colon, at, strlen(at) + 1);
    char *query = scheme ? strchr(name, '?') : NULL;
    if (query) *query = '\0';
    return name;
}

static bool is_server(const char *where) {
    return !strncmp(where, "postgresql://", 13) || !strncmp(where, "postgres://", 11);
}

/* What is behind `where`; NULL with a sentence where this build has not got it. */
static const mn_driver *driver_of(const char *where, mn_error *err) {
    const mn_driver *driver = NULL;
#ifdef MNEMO_HAVE_POSTGRES
    if (is_server(where)) driver = &mn_driver_postgres;
#endif
#ifdef MNEMO_HAVE_SQLITE
    if (!is_server(where)) driver = &mn_driver_sqlite;
#endif
    if (!driver)
        mn_fail(err, MN_ERR_UNSUPPORTED, "This build cannot open %s: install %s and build again.",
                is_server(where) ? "PostgreSQL" : "a file as a store",
                is_server(where) ? "libpq-dev" : "libsqlite3-dev");
    return driver;
}

mn_status mn_store_open(const char *where, const mn_store_options *options, mn_store **out, mn_error *err) {
    static const mn_store_options defaults = {0};
    *out = NULL;
    mn_store *store = calloc(1, sizeof *store);
    char *name = name_of(where);
    if (!store || !name) {
        free(store);
        free(name);
        return mn_fail(err, MN_ERR_MEMORY, "There is no memory to open the store %s.", where);
    }
    store->name = name;
    store->driver = driver_of(where, err);
    mn_status status = store->driver ? MN_OK : MN_ERR_UNSUPPORTED;
    if (status == MN_OK) status = store->driver->open(where, options ? options : &defaults, &store->self, err);
    if (status != MN_OK) {
        free(name);
        free(store);
        return status;
    }
    *out = store;
    return MN_OK;
}

static void forget(mn_rows *rows) {
    if (!rows) return;
    rows->store->driver->finalize(rows->statement);
    free(rows->sql);
    free(rows);
}

void mn_store_close(mn_store *store) {
    if (!store) return;
    mn_store_rollback(store);
    for (int i = 0; i < store->n_kept; i++) forget(store->kept[i]);
    store->driver->close(store->self);
    free(store->name);
    free(store);
}

/* ---- statements ---- */

static mn_rows *find_kept(mn_store *store, const char *sql) {
    for (int i = 0; i < store->n_kept; i++)
        if (!store->kept[i]->busy && !strcmp(store->kept[i]->sql, sql)) return store->kept[i];
    return NULL;
}

static mn_status prepare(mn_store *store, const char *sql, mn_rows **out, mn_error *err) {
    *out = find_kept(store, sql);
    if (*out) {
        (*out)->busy = true;
        (*out)->has = false;
        return MN_OK;
    }
    mn_rows *rows = calloc(1, sizeof *rows);
    char *copy = strdup(sql);
    if (!rows || !copy) {
        free(rows);
        free(copy);
        return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a statement of the store %s.", store->name);
    }
    *rows = (mn_rows){.store = store, .sql = copy, .busy = true};
    mn_status status = store->driver->prepare(store->self, sql, &rows->statement, err);
    if (status != MN_OK) {
        free(copy);
        free(rows);
        return status;
    }
    if (store->n_kept < MAX_KEPT) store->kept[store->n_kept++] = rows;
    *out = rows;
    return MN_OK;
}

static bool is_kept(const mn_rows *rows) {
    for (int i = 0; i < rows->store->n_kept; i++)
        if (rows->store->kept[i] == rows) return true;
    return false;
}

void mn_rows_done(mn_rows *rows) {
    if (!rows) return;
    rows->store->driver->reset(rows->statement);
    rows->busy = false;
    if (!is_kept(rows)) forget(rows);
}

mn_status mn_store_query_values(mn_store *store, mn_rows **out, mn_error *err, const char *sql, const mn_value *values,
                                int n_values) {
    *out = NULL;
    mn_rows *rows;
    MN_TRY(prepare(store, sql, &rows, err));
    mn_status status = MN_OK;
    for (int i = 0; i < n_values && status == MN_OK; i++)
        status = store->driver->bind(rows->statement, i + 1, &values[i], err);
    if (status == MN_OK)
        *out = rows;
    else
        mn_rows_done(rows);
    return status;
}

mn_status mn_store_stream(mn_store *store, mn_rows **out, mn_error *err, const char *sql) {
    MN_TRY(mn_store_query_values(store, out, err, sql, NULL, 0));
    if (store->driver->stream) store->driver->stream((*out)->statement);
    return MN_OK;
}

static mn_value next_value(char type, va_list *args) {
    mn_value v = {.kind = MN_VALUE_NULL};
    switch (type) {
    case 'i': v = (mn_value){.kind = MN_VALUE_INT, .integer = va_arg(*args, int64_t)}; break;
    case 'r': v = (mn_value){.kind = MN_VALUE_REAL, .real = va_arg(*args, double)}; break;
    case 't': {
        const char *text = va_arg(*args, const char *);
        if (text) v = (mn_value){.kind = MN_VALUE_TEXT, .data = text, .bytes = strlen(text)};
        break;
    }
    default:
        v.kind = type == 's' ? MN_VALUE_TEXT : MN_VALUE_BLOB;
        v.data = va_arg(*args, const void *);
        v.bytes = va_arg(*args, size_t);
        if (!v.data) v.data = "";
    }
    return v;
}

/* Appends to values[*n...]. */
static mn_status take_values(const char *types, va_list *args, mn_value values[MAX_VALUES], int *n, mn_error *err) {
    for (const char *t = types; *t; t++) {
        if (*n == MAX_VALUES || !strchr("irtsb", *t))
            return mn_fail(err, MN_ERR_ARGUMENT, "A statement takes %d parameters of the kinds irtsb, not \"%s\".",
                           MAX_VALUES, types);
        values[(*n)++] = next_value(*t, args);
    }
    return MN_OK;
}

static mn_status query_list(mn_store *store, mn_rows **out, mn_error *err, const char *sql, const char *types,
                            va_list *args) {
    mn_value values[MAX_VALUES];
    int n = 0;
    *out = NULL;
    MN_TRY(take_values(types, args, values, &n, err));
    return mn_store_query_values(store, out, err, sql, values, n);
}

mn_status mn_store_query(mn_store *store, mn_rows **out, mn_error *err, const char *sql, const char *types, ...) {
    va_list args;
    va_start(args, types);
    mn_status status = query_list(store, out, err, sql, types, &args);
    va_end(args);
    return status;
}

mn_status mn_store_run(mn_store *store, mn_error *err, const char *sql, const char *types, ...) {
    mn_rows *rows;
    va_list args;
    va_start(args, types);
    mn_status status = query_list(store, &rows, err, sql, types, &args);
    va_end(args);
    MN_TRY(status);
    do status = mn_rows_next(rows, err);
    while (status == MN_OK && rows->has);
    mn_rows_done(rows);
    return status;
}

mn_status mn_store_number(mn_store *store, int64_t otherwise, int64_t *out, mn_error *err, const char *sql,
                          const char *types, ...) {
    mn_rows *rows;
    va_list args;
    va_start(args, types);
    mn_status status = query_list(store, &rows, err, sql, types, &args);
    va_end(args);
    MN_TRY(status);
    status = mn_rows_next(rows, err);
    *out = status == MN_OK && rows->has && !mn_rows_is_null(rows, 0) ? mn_rows_int(rows, 0) : otherwise;
    mn_rows_done(rows);
    return status;
}

mn_status mn_store_match(mn_store *store, mn_rows **out, mn_error *err, const char *table, const char *words,
                         const char *conditions, int limit, const char *types, ...) {
    mn_value values[MAX_VALUES + 1];
    int n = 1;
    va_list args;
    va_start(args, types);
    mn_status status = take_values(types, &args, values, &n, err);
    va_end(args);
    *out = NULL;
    return status == MN_OK ? mn_store_match_values(store, out, err, table, words, conditions, limit, values, n)
                           : status;
}

mn_status mn_rows_next(mn_rows *rows, mn_error *err) {
    return rows->store->driver->step(rows->statement, &rows->has, err);
}

bool mn_rows_has(const mn_rows *rows) { return rows->has; }
int mn_rows_n_columns(mn_rows *rows) { return rows->store->driver->n_columns(rows->statement); }

const char *mn_rows_column_name(mn_rows *rows, int column) {
    return rows->store->driver->column_name(rows->statement, column);
}

mn_value mn_rows_value(mn_rows *rows, int column) {
    mn_value value = {.kind = MN_VALUE_NULL, .data = ""};
    rows->store->driver->column(rows->statement, column, &value);
    return value;
}

int64_t mn_rows_int(mn_rows *rows, int column) {
    mn_value v = mn_rows_value(rows, column);
    if (v.kind == MN_VALUE_TEXT) return strtoll(v.data, NULL, 10);
    return v.kind == MN_VALUE_REAL ? (int64_t)v.real : v.integer;
}

double mn_rows_real(mn_rows *rows, int column) {
    mn_value v = mn_rows_value(rows, column);
    if (v.kind == MN_VALUE_TEXT) return strtod(v.data, NULL);
    return v.kind == MN_VALUE_INT ? (double)v.integer : v.real;
}

const char *mn_rows_text(mn_rows *rows, int column, size_t *bytes) {
    mn_value v = mn_rows_value(rows, column);
    bool is_text = v.kind == MN_VALUE_TEXT;
    if (bytes) *bytes = is_text ? v.bytes : 0;
    return is_text ? v.data : "";
}

const void *mn_rows_blob(mn_rows *rows, int column, size_t *bytes) {
    mn_value v = mn_rows_value(rows, column);
    bool has = v.kind == MN_VALUE_BLOB || v.kind == MN_VALUE_TEXT;
    *bytes = has ? v.bytes : 0;
    return has && v.data ? v.data : "";
}

bool mn_rows_is_null(mn_rows *rows, int column) { return mn_rows_value(rows, column).kind == MN_VALUE_NULL; }

/* Puts the driver's types in the place of {blob}, {serial} and {id}. */
mn_status mn_store_exec(mn_store *store, const char *sql, mn_error *err) {
    mn_strbuf text = MN_STRBUF_INIT;
    for (const char *p = sql; *p; p++) {
        if (!strncmp(p, "{blob}", 6)) {
            mn_strbuf_puts(&text, store->driver->blob);
            p += 5;
        } else if (!strncmp(p, "{serial}", 8)) {
            mn_strbuf_puts(&text, store->driver->serial);
            p += 7;
        } else if (!strncmp(p, "{id}", 4)) {
            mn_strbuf_puts(&text, store->driver->id);
            p += 3;
        } else {
            mn_strbuf_putc(&text, *p);
        }
    }
    mn_status status = text.failed ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for a statement.")
                                   : store->driver->exec(store->self, text.data, err);
    mn_strbuf_release(&text);
    return status;
}

static mn_status begin(mn_store *store, const char *sql, mn_error *err) {
    if (store->in_transaction)
        return mn_fail(err, MN_ERR_ARGUMENT, "The store %s has a transaction open already.", store->name);
    mn_status status = store->driver->exec(store->self, sql, err);
    store->in_transaction = true;
    if (status != MN_OK) mn_store_rollback(store); /* one that waited in vain for the right to write has begun */
    return status;
}

mn_status mn_store_begin(mn_store *store, mn_error *err) { return begin(store, store->driver->begin, err); }

mn_status mn_store_begin_reading(mn_store *store, mn_error *err) {
    return begin(store, store->driver->begin_reading, err);
}

mn_status mn_store_commit(mn_store *store, mn_error *err) {
    mn_status status = store->driver->exec(store->self, "COMMIT", err);
    if (status != MN_OK)
        mn_store_rollback(store);
    else
        store->in_transaction = false;
    return status;
}

void mn_store_rollback(mn_store *store) {
    if (store->in_transaction) store->driver->exec(store->self, "ROLLBACK", NULL);
    store->in_transaction = false;
}

mn_status mn_store_end(mn_store *store, mn_status status, mn_error *err) {
    if (status == MN_OK) return mn_store_commit(store, err);
    mn_store_rollback(store);
    return status;
}

mn_status mn_store_join(mn_store *store, bool *own, mn_error *err) {
    *own = !store->in_transaction;
    return *own ? mn_store_begin(store, err) : MN_OK;
}

mn_status mn_store_leave(mn_store *store, bool own, mn_status status, mn_error *err) {
    return own ? mn_store_end(store, status, err) : status;
}

/* ---- schemas ---- */

static mn_status migrate_one(mn_store *store, const char *room, const mn_migration *step, int version, mn_error *err) {
    MN_TRY(mn_store_exec(store, step->sql, err));
    if (step->text_table) MN_TRY(store->driver->index_text(store->self, step->text_table, step->text_column, err));
    return mn_store_run(store, err,
                        "INSERT INTO mnemo_room (room, version) VALUES ($1, $2) "
                        "ON CONFLICT (room) DO UPDATE SET version = excluded.version",
                        "ti", room, (int64_t)version);
}

/* A column that an older program made searchable in its way. */
static mn_status renew_text(mn_store *store, const mn_migration *step, mn_error *err) {
    bool has = true;
    MN_TRY(store->driver->has_text(store->self, step->text_table, &has, err));
    if (has) return MN_OK;
    MN_TRY(mn_store_begin(store, err));
    mn_status status = store->driver->has_text(store->self, step->text_table, &has, err);
    if (status == MN_OK && !has)
        status = store->driver->index_text(store->self, step->text_table, step->text_column, err);
    return mn_store_end(store, status, err);
}

static mn_status renew_texts(mn_store *store, const mn_migration *steps, int64_t n_steps, mn_error *err) {
    for (int64_t i = 0; i < n_steps && store->driver->has_text; i++)
        if (steps[i].text_table) MN_TRY(renew_text(store, &steps[i], err));
    return MN_OK;
}

/* The table of rooms, begun where there is none. Two processes cannot begin it at once in PostgreSQL. */
static mn_status find_rooms(mn_store *store, mn_error *err) {
    static const char sql[] = "CREATE TABLE IF NOT EXISTS mnemo_room (room TEXT PRIMARY KEY, version BIGINT)";
    int64_t n;
    if (!store->driver->is_postgres || store->in_transaction) return mn_store_exec(store, sql, err);
    MN_TRY(mn_store_number(store, 0, &n, err,
                           "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND "
                           "tablename = 'mnemo_room'",
                           ""));
    if (n) return MN_OK;
    MN_TRY(mn_store_begin(store, err));
    return mn_store_end(store, mn_store_exec(store, sql, err), err);
}

mn_status mn_store_version(mn_store *store, const char *room, int64_t *version, mn_error *err) {
    *version = 0;
    MN_TRY(find_rooms(store, err));
    return mn_store_number(store, 0, version, err, "SELECT version FROM mnemo_room WHERE room = $1", "t", room);
}

mn_status mn_store_migrate(mn_store *store, const char *room, const mn_migration *steps, int n_steps, mn_error *err) {
    int64_t version;
    MN_TRY(mn_store_version(store, room, &version, err));
    if (version > n_steps)
        return mn_fail(err, MN_ERR_UNSUPPORTED,
                       "The store %s was written by a newer program (tables of %s in version %lld, known here: %d); "
                       "update this one.",
                       store->name, room, (long long)version, n_steps);
    MN_TRY(renew_texts(store, steps, version, err));
    for (int64_t i = version; i < n_steps; i++) {
        MN_TRY(mn_store_begin(store, err));
        /* Another process may have done it while this one waited for the right to write. */
        mn_status status =
            mn_store_number(store, 0, &version, err, "SELECT version FROM mnemo_room WHERE room = $1", "t", room);
        if (status == MN_OK && version <= i) status = migrate_one(store, room, &steps[i], (int)i + 1, err);
        MN_TRY(mn_store_end(store, status, err));
    }
    return MN_OK;
}

/* ---- ids ---- */

void mn_store_id(char out[MN_ID_BYTES], const void *part, size_t bytes, ...) {
    uint64_t high = 0, low = 0;
    va_list args;
    va_start(args, bytes);
    while (part) {
        /* Each part is hashed on its own, with what came before as the seed. */
        XXH128_hash_t hash = XXH3_128bits_withSeed(part, bytes, low);
        high = XXH64(&hash.high64, sizeof hash.high64, high ^ bytes);
        low = hash.low64;
        part = va_arg(args, const void *);
        if (part) bytes = va_arg(args, size_t);
    }
    va_end(args);
    snprintf(out, MN_ID_BYTES, "%016llx%016llx", (unsigned long long)high, (unsigned long long)low);
}
