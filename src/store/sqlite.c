/* The store in one SQLite file: write-ahead log, FTS5. */
#include "store/driver.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { APPLICATION_ID = 0x6d6e656d, CACHE_KIB = 32 * 1024 };

typedef struct database {
    sqlite3 *db;
    char *path;
} database;

static mn_status status_of(int code) {
    switch (code & 0xff) {
    case SQLITE_NOMEM: return MN_ERR_MEMORY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return MN_ERR_FORMAT;
    case SQLITE_TOOBIG: return MN_ERR_LIMIT;
    case SQLITE_ERROR:
    case SQLITE_MISUSE:
    case SQLITE_RANGE: return MN_ERR_ARGUMENT;
    default: return MN_ERR_IO;
    }
}

static const char *remedy_of(int code) {
    switch (code & 0xff) {
    case SQLITE_FULL: return "the disk is full; make room, nothing committed is lost";
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return "another process is writing to it; try again when it is done";
    case SQLITE_CORRUPT: return "the file is damaged; restore a copy, or import an export into a new store";
    case SQLITE_NOTADB: return "it is no SQLite file; name another one";
    case SQLITE_READONLY: return "it cannot be written; check its rights and those of its folder";
    case SQLITE_CANTOPEN: return "it cannot be opened; check that its folder is there and may be written";
    default: return NULL;
    }
}

static mn_status fail(const database *d, int code, mn_error *err) {
    const char *said = d->db ? sqlite3_errmsg(d->db) : sqlite3_errstr(code), *remedy = remedy_of(code);
    if (remedy) return mn_fail(err, status_of(code), "The store %s: %s (SQLite: %s).", d->path, remedy, said);
    return mn_fail(err, status_of(code), "The store %s failed: SQLite says \"%s\".", d->path, said);
}

static mn_status exec(void *self, const char *sql, mn_error *err) {
    database *d = self;
    int code = sqlite3_exec(d->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? MN_OK : fail(d, code, err);
}

static int take_int(void *out, int n, char **values, char **names) {
    (void)n, (void)names;
    *(long long *)out = values[0] ? strtoll(values[0], NULL, 10) : 0;
    return 0;
}

/* Someone else's database is left alone; an empty file becomes a store. */
static mn_status claim(database *d, mn_error *err) {
    long long id = 0, n_tables = 0;
    int code = sqlite3_exec(d->db, "PRAGMA application_id", take_int, &id, NULL);
    if (code == SQLITE_OK) code = sqlite3_exec(d->db, "SELECT count(*) FROM sqlite_master", take_int, &n_tables, NULL);
    if (code != SQLITE_OK) return fail(d, code, err);
    if (id == APPLICATION_ID) return MN_OK;
    if (id != 0 || n_tables != 0)
        return mn_fail(err, MN_ERR_FORMAT, "%s is another program's database; name a new file for the store.", d->path);
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA application_id = %d", APPLICATION_ID);
    return exec(d, sql, err);
}

static mn_status prepare_connection(database *d, const mn_store_options *options, mn_error *err) {
    char sql[160];
    snprintf(sql, sizeof sql, "PRAGMA cache_size = -%d; PRAGMA temp_store = MEMORY; PRAGMA secure_delete = FAST",
             CACHE_KIB);
    sqlite3_busy_timeout(d->db, options->busy_ms > 0 ? options->busy_ms : 10000);
    MN_TRY(exec(d, sql, err));
    MN_TRY(claim(d, err));
    MN_TRY(exec(d, "PRAGMA journal_mode = WAL", err));
    return exec(d, options->durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", err);
}

static void close_database(void *self) {
    database *d = self;
    sqlite3_close_v2(d->db);
    free(d->path);
    free(d);
}

static mn_status open_database(const char *where, const mn_store_options *options, void **self, mn_error *err) {
    database *d = calloc(1, sizeof *d);
    if (!d || !(d->path = strdup(where))) {
        free(d);
        return mn_fail(err, MN_ERR_MEMORY, "There is no memory to open the store %s.", where);
    }
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (options->must_exist ? 0 : SQLITE_OPEN_CREATE);
    int code = sqlite3_open_v2(where, &d->db, flags, NULL);
    mn_status status = MN_OK;
    if (code != SQLITE_OK && options->must_exist && code == SQLITE_CANTOPEN)
        status = mn_fail(err, MN_ERR_IO, "There is no store %s yet; index something into it first.", where);
    else if (code != SQLITE_OK)
        status = fail(d, code, err);
    else
        status = prepare_connection(d, options, err);
    if (status != MN_OK) {
        close_database(d);
        return status;
    }
    *self = d;
    return MN_OK;
}

/* ---- statements ---- */

typedef struct statement {
    database *database;
    sqlite3_stmt *stmt;
} statement;

static mn_status prepare(void *self, const char *sql, void **out, mn_error *err) {
    database *d = self;
    statement *s = calloc(1, sizeof *s);
    if (!s) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a statement of the store %s.", d->path);
    s->database = d;
    int code = sqlite3_prepare_v3(d->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->stmt, NULL);
    if (code != SQLITE_OK) {
        free(s);
        return fail(d, code, err);
    }
    *out = s;
    return MN_OK;
}

static void finalize(void *self) {
    statement *s = self;
    sqlite3_finalize(s->stmt);
    free(s);
}

static mn_status bind(void *self, int index, const mn_value *v, mn_error *err) {
    statement *s = self;
    char name[16];
    snprintf(name, sizeof name, "$%d", index);
    int at = sqlite3_bind_parameter_index(s->stmt, name), code = SQLITE_OK;
    if (!at) return mn_fail(err, MN_ERR_ARGUMENT, "A statement of the store has no parameter %s.", name);
    switch (v->kind) {
    case MN_VALUE_NULL: code = sqlite3_bind_null(s->stmt, at); break;
    case MN_VALUE_INT: code = sqlite3_bind_int64(s->stmt, at, v->integer); break;
    case MN_VALUE_REAL: code = sqlite3_bind_double(s->stmt, at, v->real); break;
    case MN_VALUE_TEXT:
        code = sqlite3_bind_text64(s->stmt, at, v->data, v->bytes, SQLITE_TRANSIENT, SQLITE_UTF8);
        break;
    case MN_VALUE_BLOB: code = sqlite3_bind_blob64(s->stmt, at, v->data, v->bytes, SQLITE_TRANSIENT); break;
    }
    return code == SQLITE_OK ? MN_OK : fail(s->database, code, err);
}

static mn_status step(void *self, bool *has_row, mn_error *err) {
    statement *s = self;
    int code = sqlite3_step(s->stmt);
    *has_row = code == SQLITE_ROW;
    return code == SQLITE_ROW || code == SQLITE_DONE ? MN_OK : fail(s->database, code, err);
}

static void reset(void *self) {
    statement *s = self;
    sqlite3_reset(s->stmt);
    sqlite3_clear_bindings(s->stmt);
}

static int n_columns(void *self) { return sqlite3_column_count(((statement *)self)->stmt); }
static const char *column_name(void *self, int i) { return sqlite3_column_name(((statement *)self)->stmt, i); }

static void column(void *self, int i, mn_value *out) {
    sqlite3_stmt *stmt = ((statement *)self)->stmt;
    switch (sqlite3_column_type(stmt, i)) {
    case SQLITE_INTEGER: *out = (mn_value){.kind = MN_VALUE_INT, .integer = sqlite3_column_int64(stmt, i)}; return;
    case SQLITE_FLOAT: *out = (mn_value){.kind = MN_VALUE_REAL, .real = sqlite3_column_double(stmt, i)}; return;
    case SQLITE_TEXT: *out = (mn_value){.kind = MN_VALUE_TEXT, .data = sqlite3_column_text(stmt, i)}; break;
    case SQLITE_BLOB: *out = (mn_value){.kind = MN_VALUE_BLOB, .data = sqlite3_column_blob(stmt, i)}; break;
    default: *out = (mn_value){.kind = MN_VALUE_NULL}; return;
    }
    out->bytes = (size_t)sqlite3_column_bytes(stmt, i);
    if (!out->data) out->data = "";
}

/* ---- full text: FTS5 over the table's own column, kept in step by triggers ---- */

static mn_status index_text(void *self, const char *table, const char *column_, mn_error *err) {
    mn_strbuf sql = MN_STRBUF_INIT;
    mn_strbuf_printf(
        &sql,
        "CREATE VIRTUAL TABLE derived_text_%1$s USING fts5(%2$s, content='%1$s', content_rowid='id', "
        "tokenize='porter unicode61');"
        "CREATE TRIGGER derived_text_%1$s_in AFTER INSERT ON %1$s BEGIN"
        "  INSERT INTO derived_text_%1$s (rowid, %2$s) VALUES (new.id, new.%2$s); END;"
        "CREATE TRIGGER derived_text_%1$s_out AFTER DELETE ON %1$s BEGIN"
        "  INSERT INTO derived_text_%1$s (derived_text_%1$s, rowid, %2$s) VALUES ('delete', old.id, old.%2$s);"
        " END;"
        "CREATE TRIGGER derived_text_%1$s_new AFTER UPDATE OF %2$s ON %1$s BEGIN"
        "  INSERT INTO derived_text_%1$s (derived_text_%1$s, rowid, %2$s) VALUES ('delete', old.id, old.%2$s);"
        "  INSERT INTO derived_text_%1$s (rowid, %2$s) VALUES (new.id, new.%2$s); END;"
        "INSERT INTO derived_text_%1$s (derived_text_%1$s) VALUES ('rebuild')",
        table, column_);
    mn_status status =
        sql.failed ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for a statement.") : exec(self, sql.data, err);
    mn_strbuf_release(&sql);
    return status;
}

/* CROSS: the index first, as it can be looked up by words alone; the planner may take the table, to sort by its ids. */
static void match_sql(mn_strbuf *out, const char *table, int at, const char *conditions) {
    mn_strbuf_printf(out,
                     "SELECT t.id AS id, -f.rank AS score FROM derived_text_%1$s f CROSS JOIN %1$s t ON t.id = f.rowid "
                     "WHERE derived_text_%1$s MATCH $%2$d %3$s",
                     table, at, conditions);
}

static void match_count_sql(mn_strbuf *out, const char *table, int most) {
    mn_strbuf_printf(out,
                     "SELECT count(*) FROM (SELECT 1 FROM derived_text_%1$s WHERE derived_text_%1$s MATCH $1 LIMIT "
                     "%2$d)",
                     table, most);
}

/* "who's there" -> "who's" OR "there": a string in quotes is never an operator. */
static void put_words(mn_strbuf *out, const char *words) {
    size_t begin = out->bytes;
    bool inside = false;
    for (const unsigned char *p = (const unsigned char *)words; *p; p++) {
        bool is_word = (*p >= '0' && *p <= '9') || ((*p | 32) >= 'a' && (*p | 32) <= 'z') || *p >= 0x80;
        if (is_word && !inside) mn_strbuf_puts(out, out->bytes > begin ? " OR \"" : "\"");
        if (!is_word && inside) mn_strbuf_putc(out, '"');
        if (is_word) mn_strbuf_putc(out, (char)*p);
        inside = is_word;
    }
    if (inside) mn_strbuf_putc(out, '"');
    if (out->bytes == begin) mn_strbuf_puts(out, "\"\"");
}

static void match_words(mn_strbuf *out, const char *words, const char *without) {
    if (without) mn_strbuf_putc(out, '(');
    put_words(out, words);
    if (!without) return;
    mn_strbuf_puts(out, ") NOT (");
    put_words(out, without);
    mn_strbuf_putc(out, ')');
}

const mn_driver mn_driver_sqlite = {
    .open = open_database,
    .close = close_database,
    .exec = exec,
    .prepare = prepare,
    .finalize = finalize,
    .bind = bind,
    .step = step,
    .reset = reset,
    .n_columns = n_columns,
    .column_name = column_name,
    .column = column,
    .index_text = index_text,
    .match_sql = match_sql,
    .newest = "f.rowid DESC",
    .match_count_sql = match_count_sql,
    .match_words = match_words,
    .begin = "BEGIN IMMEDIATE",
    .begin_reading = "BEGIN",
    .blob = "BLOB",
    .serial = "INTEGER PRIMARY KEY AUTOINCREMENT",
    .id = "INTEGER PRIMARY KEY",
    .tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
    .columns = "SELECT name FROM pragma_table_info($1) ORDER BY cid",
    .key = "SELECT name FROM pragma_table_info($1) WHERE pk > 0 ORDER BY pk",
};
