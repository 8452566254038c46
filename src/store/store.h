/* A store: tables of texts, facts and messages in one SQLite file, or in PostgreSQL for many machines, behind one
 * interface and one SQL.
 *
 *     mn_store *store;
 *     MN_TRY(mn_store_open("notes.db", NULL, &store, err));
 *     MN_TRY(mn_store_migrate(store, "graph", steps, n_steps, err));
 *     MN_TRY(mn_store_run(store, err, "INSERT INTO note (id, text) VALUES ($1, $2)", "it", id, text));
 *     MN_TRY(mn_store_query(store, &rows, err, "SELECT text FROM note WHERE id = $1", "i", id));
 *     while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows)) ... mn_rows_text(rows, 0, &bytes) ...
 *     mn_rows_done(rows);
 *
 * SQL is what SQLite and PostgreSQL both execute: parameters $1, $2, ..., INSERT ... ON CONFLICT, RETURNING; types
 * BIGINT, DOUBLE PRECISION, TEXT, and in what mn_store_exec and migrations execute {blob}, {id} (a number as primary
 * key) and {serial} (one that counts up by itself). Texts hold no zero bytes.
 *
 * SQLite is opened with a write-ahead log. In both readers never wait, and one process writes at a time: a transaction
 * (of mn_store_begin) that finds another waits for it up to busy_ms, and then sees what that one committed. What was
 * committed survives the end of the process at any point; with `durable` also the machine's. Every failure of the
 * database (no room, a damaged file, a lost server) is a sentence, and leaves what was committed.
 *
 * Threads: one store is used by one thread at a time; several stores may be open on one file.
 */
#ifndef MN_STORE_STORE_H
#define MN_STORE_STORE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct mn_store mn_store;
typedef struct mn_rows mn_rows;

typedef struct mn_store_options {
    bool must_exist; /* an error where there is no such file, instead of a new store */
    bool durable;    /* wait for the disk at each commit, so that even a power failure loses nothing committed */
    int busy_ms;     /* how long to wait for another writer; 0 = 10000 */
} mn_store_options;

/* where: a file, or "postgresql://..." as libpq reads it. options may be NULL. A file that is no store of this program
 * is refused and left alone. The caller closes it. */
mn_status mn_store_open(const char *where, const mn_store_options *options, mn_store **out, mn_error *err);
/* Rolls back what was not committed. */
void mn_store_close(mn_store *store);
/* The path or the server (without a password), for sentences; borrowed. */
const char *mn_store_name(const mn_store *store);

/* ---- statements ---- */

/* Executes a statement to its end. types: a letter for each parameter, and the values behind it:
 *     i  int64_t           r  double
 *     t  const char *, NULL = SQL's NULL
 *     s  const char *, size_t: a text of so many bytes
 *     b  const void *, size_t: bytes
 * An int literal is no int64_t: cast it. Statements are kept prepared. */
mn_status mn_store_run(mn_store *store, mn_error *err, const char *sql, const char *types, ...);
/* Begins a statement whose rows are wanted; the caller gives *out back with mn_rows_done before the transaction ends.
 * After an error *out is NULL. */
mn_status mn_store_query(mn_store *store, mn_rows **out, mn_error *err, const char *sql, const char *types, ...);
/* Steps to the next row, the first included; mn_rows_has tells whether there is one. */
mn_status mn_rows_next(mn_rows *rows, mn_error *err);
bool mn_rows_has(const mn_rows *rows);
void mn_rows_done(mn_rows *rows); /* NULL is fine */

/* The column's value, converted where the kinds differ: NULL is 0, "" and no bytes. Borrowed until the next step. */
int64_t mn_rows_int(mn_rows *rows, int column);
double mn_rows_real(mn_rows *rows, int column);
/* NUL-terminated; bytes may be NULL. */
const char *mn_rows_text(mn_rows *rows, int column, size_t *bytes);
const void *mn_rows_blob(mn_rows *rows, int column, size_t *bytes);
bool mn_rows_is_null(mn_rows *rows, int column);

/* One number from one row: of the first column, `otherwise` where there is no row or it is NULL. */
mn_status mn_store_number(mn_store *store, int64_t otherwise, int64_t *out, mn_error *err, const char *sql,
                          const char *types, ...);

/* Executes statements without parameters, separated by semicolons. */
mn_status mn_store_exec(mn_store *store, const char *sql, mn_error *err);

/* Transactions. They do not nest. A statement outside of one is one. */
mn_status mn_store_begin(mn_store *store, mn_error *err);
mn_status mn_store_commit(mn_store *store, mn_error *err);
void mn_store_rollback(mn_store *store);
/* A part of a transaction: joins the one that is open, or begins one of its own; leaving ends it where it is its own,
 * and hands status on. */
mn_status mn_store_join(mn_store *store, bool *own, mn_error *err);
mn_status mn_store_leave(mn_store *store, bool own, mn_status status, mn_error *err);
/* Commits, or rolls back where status is a failure, which it returns. */
mn_status mn_store_end(mn_store *store, mn_status status, mn_error *err);

/* ---- schemas ---- */

/* A step of a room's schema. Published steps never change; new ones are added behind them. */
typedef struct mn_migration {
    const char *sql;         /* as for mn_store_exec */
    const char *text_table;  /* NULL, or a table whose column text_column becomes searchable (mn_store_match); the */
    const char *text_column; /* table has an integer primary key "id" */
} mn_migration;

/* Executes the steps of a room that this store has not seen, each in a transaction. A store that a newer program wrote
 * is MN_ERR_UNSUPPORTED. */
mn_status mn_store_migrate(mn_store *store, const char *room, const mn_migration *steps, int n_steps, mn_error *err);

/* The version of a room's tables in this store; 0 = it has none. */
mn_status mn_store_version(mn_store *store, const char *room, int64_t *version, mn_error *err);

/* Rows of `table` whose searchable column holds any word of `words` (plain text, no query language; English stems):
 * columns id and score (BM25 in SQLite, ts_rank_cd in PostgreSQL; larger is better). The best `limit` come best
 * first, of equals the newest. conditions: more of them, with t for the table and parameters from $2 on:
 * "AND t.agent = $2". Words without any letter or digit give no rows.
 *
 * Words that stand in more than MN_MATCH_FREQUENT rows tell little and cost much: where there are such, rows with
 * another word come first, ranked by those; then, of the rows that hold frequent ones alone, the best of the newest
 * MN_MATCH_FREQUENT. */
enum { MN_MATCH_FREQUENT = 5000 };
mn_status mn_store_match(mn_store *store, mn_rows **out, mn_error *err, const char *table, const char *words,
                         const char *conditions, int limit, const char *types, ...);

/* ---- everything as JSONL (jsonl.c) ---- */

/* A line for the store and its rooms' versions, then one object a row: {"table": NAME, COLUMN: VALUE, ...}, bytes as
 * {"hex": "..."}, a text that is no UTF-8 as {"text_hex": "..."}. Tables and rooms named derived_* are left out: they
 * are made anew. Tables come by their names, rows by their primary keys, the same in every store. One transaction sees
 * it all. */
mn_status mn_store_export(mn_store *store, FILE *out, mn_error *err);

/* A room, and what makes its tables. */
typedef struct mn_store_room {
    const char *name; /* as mn_store_migrate has it */
    mn_status (*migrate)(mn_store *store, mn_error *err);
} mn_store_room;

/* Inserts the rows of an export, in one transaction, and leaves alone what is there already (by primary key), so that a
 * second import changes nothing. Of the rooms [n_rooms] those are made first that the export's first line names; all
 * that it names must be there then, in the export's versions. *n_rows: how many rows were new. Lines are hostile: names
 * of tables and columns must be the store's. */
mn_status mn_store_import(mn_store *store, const mn_store_room *rooms, size_t n_rooms, FILE *in, int64_t *n_rows,
                          mn_error *err);

/* ---- ids by content ---- */

enum { MN_ID_BYTES = 33 };
/* 128 bits of XXH3 over parts with their lengths, in hexadecimal: the same parts, the same id. Ends with NULL:
 * mn_store_id(id, text, bytes, "v1", (size_t)2, NULL). */
void mn_store_id(char out[MN_ID_BYTES], const void *part, size_t bytes, ...) __attribute__((sentinel));

#endif
