/* The store in PostgreSQL, for many machines: libpq. Full text by tsvector. */
#include "store/driver.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PARAMETERS = 32 };
enum {
    OID_BYTEA = 17,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_NUMERIC = 1700
};

typedef struct server {
    PGconn *connection;
    int n_statements;
} server;

/* One finished sentence of what the server said: its first line. */
static mn_status fail(const server *s, const PGresult *result, mn_error *err) {
    char text[256];
    const char *said = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    if (!said) said = result ? PQresultErrorMessage(result) : PQerrorMessage(s->connection);
    snprintf(text, sizeof text, "%.*s", (int)strcspn(said, "\n"), said);
    /* What the server did not say, libpq did: the line is cut, also where its state does not tell yet. */
    if (!state || PQstatus(s->connection) != CONNECTION_OK)
        return mn_fail(err, MN_ERR_IO,
                       "The connection to PostgreSQL is lost: %s. What was committed is kept; try again.", text);
    if (state && !strncmp(state, "53", 2)) /* no room, no memory */
        return mn_fail(err, MN_ERR_IO, "PostgreSQL is out of room: %s. What was committed is kept.", text);
    if (state && !strcmp(state, "55P03")) /* lock_timeout */
        return mn_fail(err, MN_ERR_IO, "Another process is writing to this store; try again when it is done.");
    if (state && !strncmp(state, "42", 2)) return mn_fail(err, MN_ERR_ARGUMENT, "PostgreSQL says: %s.", text);
    return mn_fail(err, MN_ERR_IO, "PostgreSQL says: %s.", text);
}

static mn_status exec(void *self, const char *sql, mn_error *err) {
    server *s = self;
    PGresult *result = PQexec(s->connection, sql);
    ExecStatusType status = PQresultStatus(result);
    mn_status out = MN_OK;
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) out = fail(s, result, err);
    PQclear(result);
    return out;
}

static void close_server(void *self) {
    server *s = self;
    PQfinish(s->connection);
    free(s);
}

static void quiet(void *arg, const char *message) { (void)arg, (void)message; }

static mn_status open_server(const char *where, const mn_store_options *options, void **self, mn_error *err) {
    char sql[96];
    server *s = calloc(1, sizeof *s);
    if (!s) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a connection to PostgreSQL.");
    s->connection = PQconnectdb(where);
    mn_status status = MN_OK;
    if (PQstatus(s->connection) != CONNECTION_OK) {
        char text[256];
        const char *said = PQerrorMessage(s->connection);
        snprintf(text, sizeof text, "%.*s", (int)strcspn(said, "\n"), said);
        status = mn_fail(err, MN_ERR_IO, "PostgreSQL cannot be reached: %s.", text);
    } else {
        PQsetNoticeProcessor(s->connection, quiet, NULL);
        snprintf(sql, sizeof sql, "SET lock_timeout = %d; SET synchronous_commit = %s",
                 options->busy_ms > 0 ? options->busy_ms : 10000, options->durable ? "on" : "local");
        status = exec(s, sql, err);
        /* A plan that is kept for any words takes frequent ones for rare. Servers before 12 do not know the setting. */
        if (status == MN_OK) exec(s, "SET plan_cache_mode = force_custom_plan", NULL);
    }
    if (status != MN_OK) {
        close_server(s);
        return status;
    }
    *self = s;
    return MN_OK;
}

/* ---- statements ---- */

typedef struct parameter {
    char *data;
    int bytes, is_binary;
} parameter;

typedef struct statement {
    server *server;
    char name[24];
    parameter parameters[MAX_PARAMETERS];
    int n_bound, row;
    bool streams, is_sent; /* rows come one by one; and are under way */
    PGresult *result;      /* NULL: not executed */
    unsigned char *bytes;  /* of the blob that was asked for last */
} statement;

static void finalize(void *self) {
    statement *s = self;
    char sql[40];
    for (int i = 0; i < MAX_PARAMETERS; i++) free(s->parameters[i].data);
    PQclear(s->result);
    if (s->bytes) PQfreemem(s->bytes);
    snprintf(sql, sizeof sql, "DEALLOCATE %s", s->name);
    PQclear(PQexec(s->server->connection, sql));
    free(s);
}

static mn_status prepare(void *self, const char *sql, void **out, mn_error *err) {
    server *server_ = self;
    statement *s = calloc(1, sizeof *s);
    if (!s) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a statement.");
    s->server = server_;
    s->row = -1;
    snprintf(s->name, sizeof s->name, "mn%d", server_->n_statements++);
    PGresult *result = PQprepare(server_->connection, s->name, sql, 0, NULL);
    mn_status status = PQresultStatus(result) == PGRES_COMMAND_OK ? MN_OK : fail(server_, result, err);
    PQclear(result);
    if (status != MN_OK) {
        free(s);
        return status;
    }
    *out = s;
    return MN_OK;
}

static mn_status bind(void *self, int index, const mn_value *v, mn_error *err) {
    statement *s = self;
    char number[40];
    const void *data = v->data;
    size_t bytes = v->bytes;
    if (index < 1 || index > MAX_PARAMETERS || bytes > INT32_MAX)
        return mn_fail(err, MN_ERR_ARGUMENT, "A statement has no parameter $%d of %zu bytes.", index, bytes);
    parameter *p = &s->parameters[index - 1];
    free(p->data);
    *p = (parameter){.is_binary = v->kind == MN_VALUE_BLOB};
    if (s->n_bound < index) s->n_bound = index;
    if (v->kind == MN_VALUE_NULL) return MN_OK;
    if (v->kind == MN_VALUE_INT || v->kind == MN_VALUE_REAL) {
        bytes = (size_t)(v->kind == MN_VALUE_INT ? snprintf(number, sizeof number, "%lld", (long long)v->integer)
                                                 : snprintf(number, sizeof number, "%.17g", v->real));
        data = number;
    }
    p->data = malloc(bytes + 1);
    if (!p->data) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a value of %zu bytes.", bytes);
    memcpy(p->data, data, bytes);
    p->data[bytes] = '\0';
    p->bytes = (int)bytes;
    return MN_OK;
}

/* The next row, or none, of a statement whose rows come one by one. */
static mn_status receive(statement *s, bool *has_row, mn_error *err) {
    PQclear(s->result);
    s->result = PQgetResult(s->server->connection);
    ExecStatusType status = PQresultStatus(s->result);
    *has_row = status == PGRES_SINGLE_TUPLE;
    s->row = 0;
    return *has_row || status == PGRES_TUPLES_OK ? MN_OK : fail(s->server, s->result, err);
}

/* Lets the server stop, and drops what is on its way. */
static void end_stream(statement *s) {
    PGconn *connection = s->server->connection;
    char why[256];
    PGcancel *cancel = PQtransactionStatus(connection) == PQTRANS_ACTIVE ? PQgetCancel(connection) : NULL;
    if (cancel) PQcancel(cancel, why, sizeof why);
    PQfreeCancel(cancel);
    for (PGresult *rest; (rest = PQgetResult(connection));) PQclear(rest);
}

static mn_status execute(statement *s, mn_error *err) {
    const char *values[MAX_PARAMETERS];
    int lengths[MAX_PARAMETERS], formats[MAX_PARAMETERS];
    for (int i = 0; i < s->n_bound; i++) {
        values[i] = s->parameters[i].data;
        lengths[i] = s->parameters[i].bytes;
        formats[i] = s->parameters[i].is_binary;
    }
    if (s->streams) {
        PGconn *c = s->server->connection;
        s->is_sent = PQsendQueryPrepared(c, s->name, s->n_bound, values, lengths, formats, 0);
        return s->is_sent && PQsetSingleRowMode(c) ? MN_OK : fail(s->server, NULL, err);
    }
    s->result = PQexecPrepared(s->server->connection, s->name, s->n_bound, values, lengths, formats, 0);
    ExecStatusType status = PQresultStatus(s->result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? MN_OK : fail(s->server, s->result, err);
}

static mn_status step(void *self, bool *has_row, mn_error *err) {
    statement *s = self;
    *has_row = false;
    if (!s->result && !s->is_sent) MN_TRY(execute(s, err));
    if (s->streams) return receive(s, has_row, err);
    *has_row = ++s->row < PQntuples(s->result);
    return MN_OK;
}

static void stream(void *self) { ((statement *)self)->streams = true; }

static void reset(void *self) {
    statement *s = self;
    PQclear(s->result);
    if (s->is_sent) end_stream(s);
    s->streams = s->is_sent = false;
    s->result = NULL;
    s->row = -1;
    s->n_bound = 0;
}

static int n_columns(void *self) { return PQnfields(((statement *)self)->result); }
static const char *column_name(void *self, int i) { return PQfname(((statement *)self)->result, i); }

static void column(void *self, int i, mn_value *out) {
    statement *s = self;
    *out = (mn_value){.kind = MN_VALUE_NULL, .data = ""};
    if (!s->result || s->row < 0 || s->row >= PQntuples(s->result) || PQgetisnull(s->result, s->row, i)) return;
    const char *text = PQgetvalue(s->result, s->row, i);
    switch (PQftype(s->result, i)) {
    case OID_INT2:
    case OID_INT4:
    case OID_INT8: *out = (mn_value){.kind = MN_VALUE_INT, .integer = strtoll(text, NULL, 10)}; return;
    case OID_FLOAT4:
    case OID_FLOAT8: *out = (mn_value){.kind = MN_VALUE_REAL, .real = strtod(text, NULL)}; return;
    case OID_NUMERIC: /* sums of integers */
        *out = strpbrk(text, ".eN") ? (mn_value){.kind = MN_VALUE_REAL, .real = strtod(text, NULL)}
                                    : (mn_value){.kind = MN_VALUE_INT, .integer = strtoll(text, NULL, 10)};
        return;
    case OID_BYTEA: {
        size_t bytes = 0;
        if (s->bytes) PQfreemem(s->bytes);
        s->bytes = PQunescapeBytea((const unsigned char *)text, &bytes);
        *out = (mn_value){.kind = MN_VALUE_BLOB, .data = s->bytes ? (const void *)s->bytes : "", .bytes = bytes};
        return;
    }
    default: *out = (mn_value){.kind = MN_VALUE_TEXT, .data = text, .bytes = (size_t)PQgetlength(s->result, s->row, i)};
    }
}

static mn_status after_import(void *self, const char *table, mn_error *err) {
    server *s = self;
    char sql[256];
    snprintf(sql, sizeof sql,
             "SELECT 1 FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = '%s' "
             "AND column_name = 'id' AND column_default LIKE 'nextval%%'",
             table);
    PGresult *result = PQexec(s->connection, sql);
    bool counts = PQntuples(result) == 1;
    PQclear(result);
    if (!counts) return MN_OK;
    snprintf(sql, sizeof sql, "SELECT setval(pg_get_serial_sequence('%s', 'id'), (SELECT max(id) FROM %s))", table,
             table);
    return exec(self, sql, err);
}

/* ---- full text ---- */

/* The words of a text in a table of their own, kept in step by a trigger: what ranks reads them, and need not parse the
 * text again. Stores of before had an index over the parsed text alone. */
static mn_status index_text(void *self, const char *table, const char *column_, mn_error *err) {
    mn_strbuf sql = MN_STRBUF_INIT;
    mn_strbuf_printf(
        &sql,
        "DROP INDEX IF EXISTS derived_text_%1$s;"
        "CREATE TABLE derived_words_%1$s (id BIGINT PRIMARY KEY, words TSVECTOR);"
        "INSERT INTO derived_words_%1$s SELECT id, to_tsvector('english', coalesce(%2$s, '')) FROM %1$s;"
        "CREATE INDEX derived_words_%1$s_words ON derived_words_%1$s USING GIN (words);"
        "CREATE OR REPLACE FUNCTION derived_words_%1$s() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN"
        "  IF TG_OP <> 'INSERT' THEN DELETE FROM derived_words_%1$s WHERE id = OLD.id; END IF;"
        "  IF TG_OP <> 'DELETE' THEN"
        "    INSERT INTO derived_words_%1$s VALUES (NEW.id, to_tsvector('english', coalesce(NEW.%2$s, '')));"
        "  END IF; RETURN NULL; END $body$;"
        "CREATE TRIGGER derived_words_%1$s AFTER INSERT OR DELETE OR UPDATE OF %2$s ON %1$s "
        "FOR EACH ROW EXECUTE FUNCTION derived_words_%1$s()",
        table, column_);
    mn_status status =
        sql.failed ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for a statement.") : exec(self, sql.data, err);
    mn_strbuf_release(&sql);
    return status;
}

static mn_status has_text(void *self, const char *table, bool *has, mn_error *err) {
    server *s = self;
    char sql[160];
    snprintf(sql, sizeof sql, "SELECT to_regclass('derived_words_%.64s') IS NOT NULL", table);
    PGresult *result = PQexec(s->connection, sql);
    mn_status status = PQresultStatus(result) == PGRES_TUPLES_OK ? MN_OK : fail(s, result, err);
    *has = status == MN_OK && PQntuples(result) == 1 && PQgetvalue(result, 0, 0)[0] == 't';
    PQclear(result);
    return status;
}

static void match_sql(mn_strbuf *out, const char *table, int at, const char *conditions) {
    mn_strbuf_printf(out,
                     "SELECT t.id AS id, ts_rank_cd(f.words, q)::float8 AS score FROM to_tsquery('english', $%2$d) q, "
                     "derived_words_%1$s f JOIN %1$s t ON t.id = f.id WHERE f.words @@ q %3$s",
                     table, at, conditions);
}

static void match_count_sql(mn_strbuf *out, const char *table, int most) {
    mn_strbuf_printf(out,
                     "SELECT count(*) FROM (SELECT 1 FROM derived_words_%s WHERE words @@ to_tsquery('english', $1) "
                     "LIMIT %d) m",
                     table, most);
}

/* Words as 'a' | 'b': quoted, none is an operator. */
static void put_words(mn_strbuf *out, const char *words) {
    size_t begin = out->bytes;
    bool inside = false;
    for (const unsigned char *p = (const unsigned char *)words; *p; p++) {
        bool is_word = (*p >= '0' && *p <= '9') || ((*p | 32) >= 'a' && (*p | 32) <= 'z') || *p >= 0x80;
        if (is_word && !inside) mn_strbuf_puts(out, out->bytes > begin ? " | '" : "'");
        if (!is_word && inside) mn_strbuf_putc(out, '\'');
        if (is_word) mn_strbuf_putc(out, (char)*p);
        inside = is_word;
    }
    if (inside) mn_strbuf_putc(out, '\'');
}

static void match_words(mn_strbuf *out, const char *words, const char *without) {
    if (without) mn_strbuf_putc(out, '(');
    put_words(out, words);
    if (!without) return;
    mn_strbuf_puts(out, ") & !(");
    put_words(out, without);
    mn_strbuf_putc(out, ')');
}

const mn_driver mn_driver_postgres = {
    .open = open_server,
    .close = close_server,
    .exec = exec,
    .prepare = prepare,
    .finalize = finalize,
    .bind = bind,
    .step = step,
    .stream = stream,
    .reset = reset,
    .n_columns = n_columns,
    .column_name = column_name,
    .column = column,
    .after_import = after_import,
    .index_text = index_text,
    .has_text = has_text,
    .match_sql = match_sql,
    .newest = "f.id DESC",
    .match_count_sql = match_count_sql,
    .match_words = match_words,
    .is_postgres = true,
    /* One writes at a time, as in SQLite: what is read before it is written is still so then. */
    .begin = "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('mnemo ' || coalesce(current_schema(), ''), 0))",
    .begin_reading = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    .blob = "BYTEA",
    .serial = "BIGSERIAL PRIMARY KEY",
    .id = "BIGINT PRIMARY KEY",
    .tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema() "
              "ORDER BY tablename::text COLLATE \"C\"",
    .columns = "SELECT column_name::text FROM information_schema.columns WHERE table_schema = current_schema() "
               "AND table_name = $1 ORDER BY ordinal_position",
    .key = "SELECT a.attname || CASE WHEN a.atttypid = 'text'::regtype THEN ' COLLATE \"C\"' ELSE '' END "
           "FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) WHERE "
           "i.indrelid = to_regclass($1) AND i.indisprimary ORDER BY array_position(i.indkey::int2[], a.attnum)",
};
