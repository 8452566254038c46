/* All rows of a store as lines of JSON, and back. */
#include "store/driver.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COLUMNS = 32 };

/* Of bytes, and of texts that are no UTF-8 (names of files). */
static const char blob_key[] = "hex", text_key[] = "text_hex";

/* ---- out ---- */

/* {key: the bytes in hexadecimal}. */
static json_t *hex(const char *key, const unsigned char *data, size_t bytes) {
    static const char digits[] = "0123456789abcdef";
    char *text = malloc(2 * bytes + 1);
    if (!text) return NULL;
    for (size_t i = 0; i < bytes; i++) {
        text[2 * i] = digits[data[i] >> 4];
        text[2 * i + 1] = digits[data[i] & 15];
    }
    json_t *object = json_pack("{s:s%}", key, text, 2 * bytes);
    free(text);
    return object;
}

static json_t *json_of(mn_value v) {
    switch (v.kind) {
    case MN_VALUE_INT: return json_integer(v.integer);
    case MN_VALUE_REAL: return json_real(v.real);
    case MN_VALUE_TEXT: {
        json_t *text = json_stringn(v.data, v.bytes);
        return text ? text : hex(text_key, v.data, v.bytes);
    }
    case MN_VALUE_BLOB: return hex(blob_key, v.data, v.bytes);
    default: return json_null();
    }
}

static mn_status put_line(json_t *object, FILE *out, mn_error *err) {
    bool failed = !object || json_dumpf(object, out, JSON_COMPACT) || putc('\n', out) == EOF;
    json_decref(object);
    return failed ? mn_fail(err, MN_ERR_IO, "The export cannot be written; is the disk full?") : MN_OK;
}

/* Names of one column as a list of strings. */
static mn_status names(mn_store *store, json_t *list, mn_error *err, const char *sql, const char *about) {
    mn_rows *rows;
    MN_TRY(mn_store_query(store, &rows, err, sql, about ? "t" : "", about));
    mn_status status;
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows))
        json_array_append_new(list, json_string(mn_rows_text(rows, 0, NULL)));
    mn_rows_done(rows);
    return status;
}

/* All of a table by its primary key. */
static mn_status put_select(mn_store *store, const char *table, mn_strbuf *sql, mn_error *err) {
    json_t *key = json_array();
    mn_status status = names(store, key, err, mn_store_driver(store)->key, table);
    mn_strbuf_printf(sql, "SELECT * FROM %s ORDER BY ", table);
    for (size_t i = 0; i < json_array_size(key); i++)
        mn_strbuf_printf(sql, "%s%s", i ? ", " : "", json_string_value(json_array_get(key, i)));
    if (!json_array_size(key)) mn_strbuf_putc(sql, '1');
    json_decref(key);
    return status == MN_OK && sql->failed ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for a statement.") : status;
}

static mn_status export_table(mn_store *store, const char *table, FILE *out, mn_error *err) {
    mn_strbuf sql = MN_STRBUF_INIT;
    mn_rows *rows = NULL;
    mn_status status = put_select(store, table, &sql, err);
    if (status == MN_OK) status = mn_store_stream(store, &rows, err, sql.data);
    mn_strbuf_release(&sql);
    while (status == MN_OK && (status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows)) {
        json_t *object = json_pack("{s:s}", "table", table);
        for (int i = 0; object && i < mn_rows_n_columns(rows); i++)
            json_object_set_new(object, mn_rows_column_name(rows, i), json_of(mn_rows_value(rows, i)));
        status = put_line(object, out, err);
        if (status != MN_OK) break;
    }
    mn_rows_done(rows);
    return status;
}

static bool is_derived(const char *name) { return !strncmp(name, "derived_", 8); }

static bool is_exported(const char *table) {
    return !is_derived(table) && strncmp(table, "mnemo_", 6) && strlen(table) < 64;
}

static mn_status export_head(mn_store *store, FILE *out, mn_error *err) {
    json_t *rooms = json_object();
    mn_rows *rows;
    mn_status status = mn_store_query(store, &rows, err, "SELECT room, version FROM mnemo_room ORDER BY room", "");
    while (status == MN_OK && (status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows))
        if (!is_derived(mn_rows_text(rows, 0, NULL)))
            json_object_set_new(rooms, mn_rows_text(rows, 0, NULL), json_integer(mn_rows_int(rows, 1)));
    mn_rows_done(rows);
    if (status != MN_OK) {
        json_decref(rooms);
        return status;
    }
    return put_line(json_pack("{s:i, s:o}", "mnemo_store", 1, "rooms", rooms), out, err);
}

mn_status mn_store_export(mn_store *store, FILE *out, mn_error *err) {
    json_t *tables = json_array();
    mn_status status = mn_store_begin_reading(store, err);
    if (status != MN_OK) {
        json_decref(tables);
        return status;
    }
    status = names(store, tables, err, mn_store_driver(store)->tables, NULL);
    if (status == MN_OK) status = export_head(store, out, err);
    for (size_t i = 0; status == MN_OK && i < json_array_size(tables); i++) {
        const char *table = json_string_value(json_array_get(tables, i));
        if (is_exported(table)) status = export_table(store, table, out, err);
    }
    json_decref(tables);
    status = mn_store_end(store, status, err);
    if (status == MN_OK && fflush(out)) status = mn_fail(err, MN_ERR_IO, "The export cannot be written whole.");
    return status;
}

/* ---- in ---- */

/* What is known while lines come in: the columns of the tables, and room for a row's bytes. */
typedef struct importing {
    mn_store *store;
    FILE *file;
    json_t *tables; /* name -> list of columns */
    int64_t line, n_rows;
    char *text, *bytes; /* a line; its blobs, decoded */
    size_t text_capacity, bytes_capacity;
} importing;

static mn_status bad(const importing *in, const char *what, mn_error *err) {
    return mn_fail(err, MN_ERR_FORMAT, "Line %lld of the import %s; nothing was imported.", (long long)in->line, what);
}

static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Appends the bytes of hexadecimal text at *used of in->bytes, which holds all of the line. */
static bool unhex(importing *in, mn_value_kind kind, const json_t *string, size_t *used, mn_value *v) {
    const char *text = json_string_value(string);
    size_t chars = json_string_length(string);
    *v = (mn_value){.kind = kind, .data = in->bytes + *used, .bytes = chars / 2};
    if (!text || chars % 2) return false;
    for (size_t i = 0; i < chars; i += 2) {
        int high = digit(text[i]), low = digit(text[i + 1]);
        if (high < 0 || low < 0) return false;
        in->bytes[(*used)++] = (char)(high << 4 | low);
    }
    return kind == MN_VALUE_BLOB || !memchr(v->data, 0, v->bytes);
}

static bool value_of(importing *in, const json_t *json, size_t *used, mn_value *v) {
    const json_t *text = json_object_get(json, text_key);
    if (json_is_integer(json))
        *v = (mn_value){.kind = MN_VALUE_INT, .integer = json_integer_value(json)};
    else if (json_is_real(json))
        *v = (mn_value){.kind = MN_VALUE_REAL, .real = json_real_value(json)};
    else if (json_is_string(json))
        *v = (mn_value){.kind = MN_VALUE_TEXT, .data = json_string_value(json), .bytes = json_string_length(json)};
    else if (json_is_null(json))
        *v = (mn_value){.kind = MN_VALUE_NULL};
    else
        return text ? unhex(in, MN_VALUE_TEXT, text, used, v)
                    : unhex(in, MN_VALUE_BLOB, json_object_get(json, blob_key), used, v);
    return true;
}

static bool has_name(const json_t *list, const char *name) {
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!strcmp(json_string_value(json_array_get(list, i)), name)) return true;
    return false;
}

static mn_status insert(importing *in, const char *table, const json_t *columns, json_t *row, mn_error *err) {
    mn_strbuf sql = MN_STRBUF_INIT, marks = MN_STRBUF_INIT;
    mn_value values[MAX_COLUMNS];
    int n = 0;
    size_t used = 0;
    const char *key;
    json_t *json;
    mn_status status = MN_OK;
    mn_strbuf_printf(&sql, "INSERT INTO %s (", table);
    json_object_foreach(row, key, json) {
        if (!strcmp(key, "table")) continue;
        if (n == MAX_COLUMNS || !has_name(columns, key) || !value_of(in, json, &used, &values[n])) {
            status = bad(in, "has a column or value that its table does not take", err);
            break;
        }
        mn_strbuf_printf(&sql, "%s%s", n ? ", " : "", key);
        mn_strbuf_printf(&marks, "%s$%d", n ? ", " : "", n + 1);
        n++;
    }
    mn_strbuf_printf(&sql, ") VALUES (%s) ON CONFLICT DO NOTHING RETURNING 1", marks.data);
    if (status == MN_OK && (n == 0 || sql.failed)) status = bad(in, "has no columns", err);
    mn_rows *rows = NULL;
    if (status == MN_OK) status = mn_store_query_values(in->store, &rows, err, sql.data, values, n);
    while (status == MN_OK && (status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows)) in->n_rows++;
    mn_rows_done(rows);
    mn_strbuf_release(&sql);
    mn_strbuf_release(&marks);
    return status;
}

static mn_status check_versions(importing *in, const json_t *rooms, mn_error *err) {
    const char *room;
    json_t *version;
    json_object_foreach((json_t *)rooms, room, version) {
        int64_t here;
        MN_TRY(mn_store_version(in->store, room, &here, err));
        if (here != json_integer_value(version))
            return mn_fail(err, MN_ERR_UNSUPPORTED,
                           "The export has tables of \"%.40s\" in version %lld, this store in %lld; export and import "
                           "with the same program.",
                           room, (long long)json_integer_value(version), (long long)here);
    }
    return MN_OK;
}

/* *row NULL: there is no further line. */
static mn_status next_line(importing *in, json_t **row, mn_error *err) {
    ssize_t bytes = getline(&in->text, &in->text_capacity, in->file);
    *row = NULL;
    if (bytes <= 0) return ferror(in->file) ? bad(in, "cannot be read", err) : MN_OK;
    in->line++;
    if (in->bytes_capacity < (size_t)bytes) {
        char *more = realloc(in->bytes, (size_t)bytes);
        if (!more) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a line of %zd bytes.", bytes);
        in->bytes = more;
        in->bytes_capacity = (size_t)bytes;
    }
    *row = json_loadb(in->text, (size_t)bytes, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(*row)) return MN_OK;
    json_decref(*row);
    *row = NULL;
    return bad(in, "is no JSON object", err);
}

/* The export's first line, with the tables of the rooms that it names. */
static mn_status take_head(importing *in, const mn_store_room *known, size_t n_known, mn_error *err) {
    json_t *head;
    MN_TRY(next_line(in, &head, err));
    if (!head) return bad(in, "is missing: the file is empty", err);
    const json_t *rooms = json_object_get(head, "rooms");
    mn_status status = MN_OK;
    if (json_integer_value(json_object_get(head, "mnemo_store")) != 1 || !json_is_object(rooms))
        status = bad(in, "is not the first line of a store's export", err);
    for (size_t i = 0; status == MN_OK && i < n_known; i++)
        if (json_object_get(rooms, known[i].name)) status = known[i].migrate(in->store, err);
    if (status == MN_OK) status = check_versions(in, rooms, err);
    json_decref(head);
    return status;
}

static mn_status take_rows(importing *in, mn_error *err) {
    json_t *row;
    mn_status status;
    while ((status = next_line(in, &row, err)) == MN_OK && row) {
        const char *table = json_string_value(json_object_get(row, "table"));
        const json_t *columns = table ? json_object_get(in->tables, table) : NULL;
        status = columns ? insert(in, table, columns, row, err) : bad(in, "names no table of this store", err);
        json_decref(row);
        if (status != MN_OK) break;
    }
    return status;
}

static mn_status find_tables(importing *in, mn_error *err) {
    json_t *list = json_array();
    mn_status status = names(in->store, list, err, mn_store_driver(in->store)->tables, NULL);
    for (size_t i = 0; status == MN_OK && i < json_array_size(list); i++) {
        const char *table = json_string_value(json_array_get(list, i));
        if (!is_exported(table)) continue;
        json_t *columns = json_array();
        status = names(in->store, columns, err, mn_store_driver(in->store)->columns, table);
        json_object_set_new(in->tables, table, columns);
    }
    json_decref(list);
    return status;
}

static mn_status import_all(importing *in, mn_error *err) {
    const char *table;
    json_t *columns;
    MN_TRY(find_tables(in, err));
    MN_TRY(take_rows(in, err));
    json_object_foreach(in->tables, table, columns) MN_TRY(mn_store_after_import(in->store, table, err));
    return MN_OK;
}

mn_status mn_store_import(mn_store *store, const mn_store_room *rooms, size_t n_rooms, FILE *file, int64_t *n_rows,
                          mn_error *err) {
    importing in = {.store = store, .file = file, .tables = json_object()};
    mn_status status = take_head(&in, rooms, n_rooms, err);
    if (status == MN_OK) status = mn_store_begin(store, err);
    if (status == MN_OK) status = mn_store_end(store, import_all(&in, err), err);
    *n_rows = status == MN_OK ? in.n_rows : 0;
    json_decref(in.tables);
    free(in.bytes);
    free(in.text);
    return status;
}
