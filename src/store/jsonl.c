/* All rows of a store as lines of JSON, and back. */
#include "store/driver.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COLUMNS = 32 };

/* ---- out ---- */

static json_t *hex(const unsigned char *data, size_t bytes) {
    static const char digits[] = "0123456789abcdef";
    char *text = malloc(2 * bytes + 1);
    if (!text) return NULL;
    for (size_t i = 0; i < bytes; i++) {
        text[2 * i] = digits[data[i] >> 4];
        text[2 * i + 1] = digits[data[i] & 15];
    }
    json_t *object = json_pack("{s:s%}", "hex", text, 2 * bytes);
    free(text);
    return object;
}

static json_t *json_of(mn_value v) {
    switch (v.kind) {
    case MN_VALUE_INT: return json_integer(v.integer);
    case MN_VALUE_REAL: return json_real(v.real);
    case MN_VALUE_TEXT: {
        json_t *text = json_stringn(v.data, v.bytes);
        return text ? text : hex(v.data, v.bytes);
    }
    case MN_VALUE_BLOB: return hex(v.data, v.bytes);
    default: return json_null();
    }
}

static mn_status put_line(json_t *object, FILE *out, mn_error *err) {
    bool failed = !object || json_dumpf(object, out, JSON_COMPACT) || putc('\n', out) == EOF;
    json_decref(object);
    return failed ? mn_fail(err, MN_ERR_IO, "The export cannot be written; is the disk full?") : MN_OK;
}

static mn_status export_table(mn_store *store, const char *table, FILE *out, mn_error *err) {
    char sql[128];
    mn_rows *rows;
    snprintf(sql, sizeof sql, "SELECT * FROM %s ORDER BY 1", table);
    MN_TRY(mn_store_query(store, &rows, err, sql, ""));
    mn_status status;
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows)) {
        json_t *object = json_pack("{s:s}", "table", table);
        for (int i = 0; object && i < mn_rows_n_columns(rows); i++)
            json_object_set_new(object, mn_rows_column_name(rows, i), json_of(mn_rows_value(rows, i)));
        status = put_line(object, out, err);
        if (status != MN_OK) break;
    }
    mn_rows_done(rows);
    return status;
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

static bool is_exported(const char *table) {
    return strncmp(table, "derived_", 8) && strncmp(table, "mnemo_", 6) && strlen(table) < 64;
}

static mn_status export_head(mn_store *store, FILE *out, mn_error *err) {
    json_t *rooms = json_object();
    mn_rows *rows;
    mn_status status = mn_store_query(store, &rows, err, "SELECT room, version FROM mnemo_room ORDER BY room", "");
    while (status == MN_OK && (status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows))
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
    MN_TRY(mn_store_begin(store, err));
    mn_status status = names(store, tables, err, mn_store_driver(store)->tables, NULL);
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
typedef struct import {
    mn_store *store;
    json_t *tables; /* name -> list of columns */
    int64_t line, n_rows;
    char *bytes; /* of blobs, decoded */
    size_t capacity;
} import;

static mn_status bad(const import *in, const char *what, mn_error *err) {
    return mn_fail(err, MN_ERR_FORMAT, "Line %lld of the import %s; nothing was imported.", (long long)in->line, what);
}

static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Appends the bytes of hexadecimal text at *used of in->bytes, which holds all of the line. */
static bool unhex(import *in, const char *text, size_t chars, size_t *used, mn_value *v) {
    *v = (mn_value){.kind = MN_VALUE_BLOB, .data = in->bytes + *used, .bytes = chars / 2};
    if (chars % 2) return false;
    for (size_t i = 0; i < chars; i += 2) {
        int high = digit(text[i]), low = digit(text[i + 1]);
        if (high < 0 || low < 0) return false;
        in->bytes[(*used)++] = (char)(high << 4 | low);
    }
    return true;
}

static bool value_of(import *in, const json_t *json, size_t *used, mn_value *v) {
    const json_t *text = json_object_get(json, "hex");
    if (json_is_integer(json))
        *v = (mn_value){.kind = MN_VALUE_INT, .integer = json_integer_value(json)};
    else if (json_is_real(json))
        *v = (mn_value){.kind = MN_VALUE_REAL, .real = json_real_value(json)};
    else if (json_is_string(json))
        *v = (mn_value){.kind = MN_VALUE_TEXT, .data = json_string_value(json), .bytes = json_string_length(json)};
    else if (json_is_null(json))
        *v = (mn_value){.kind = MN_VALUE_NULL};
    else
        return json_is_string(text) && unhex(in, json_string_value(text), json_string_length(text), used, v);
    return true;
}

static bool has_name(const json_t *list, const char *name) {
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!strcmp(json_string_value(json_array_get(list, i)), name)) return true;
    return false;
}

static mn_status insert(import *in, const char *table, const json_t *columns, json_t *row, mn_error *err) {
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

static mn_status check_head(import *in, const json_t *head, mn_error *err) {
    const char *room;
    json_t *version;
    json_t *rooms = json_object_get(head, "rooms");
    if (json_integer_value(json_object_get(head, "mnemo_store")) != 1 || !json_is_object(rooms))
        return bad(in, "is not the first line of a store's export", err);
    json_object_foreach(rooms, room, version) {
        int64_t here;
        MN_TRY(mn_store_number(in->store, 0, &here, err, "SELECT version FROM mnemo_room WHERE room = $1", "t", room));
        if (here != json_integer_value(version))
            return mn_fail(err, MN_ERR_UNSUPPORTED,
                           "The export has tables of \"%.40s\" in version %lld, this store in %lld; export and import "
                           "with the same program.",
                           room, (long long)json_integer_value(version), (long long)here);
    }
    return MN_OK;
}

static mn_status import_line(import *in, const char *text, size_t bytes, mn_error *err) {
    if (in->capacity < bytes) {
        char *more = realloc(in->bytes, bytes);
        if (!more) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a line of %zu bytes.", bytes);
        in->bytes = more;
        in->capacity = bytes;
    }
    json_t *row = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(row)) {
        json_decref(row);
        return bad(in, "is no JSON object", err);
    }
    mn_status status;
    const char *table = json_string_value(json_object_get(row, "table"));
    const json_t *columns = table ? json_object_get(in->tables, table) : NULL;
    if (in->line == 1)
        status = check_head(in, row, err);
    else if (!columns)
        status = bad(in, "names no table of this store", err);
    else
        status = insert(in, table, columns, row, err);
    json_decref(row);
    return status;
}

static mn_status find_tables(import *in, mn_error *err) {
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

mn_status mn_store_import(mn_store *store, FILE *file, int64_t *n_rows, mn_error *err) {
import in = {.store = store, .tables = json_object() };
    char *line = NULL;
    size_t capacity = 0;
    ssize_t bytes;
    mn_status status = mn_store_begin(store, err);
    if (status == MN_OK) {
        status = find_tables(&in, err);
        while (status == MN_OK && (bytes = getline(&line, &capacity, file)) > 0) {
            in.line++;
            status = import_line(&in, line, (size_t)bytes, err);
        }
        if (status == MN_OK && ferror(file)) status = bad(&in, "cannot be read", err);
        if (status == MN_OK && in.line == 0) status = bad(&in, "is missing: the file is empty", err);
        const char *table;
        json_t *columns;
        json_object_foreach(in.tables, table, columns) {
            if (status == MN_OK) status = mn_store_after_import(store, table, err);
        }
        status = mn_store_end(store, status, err);
    }
    *n_rows = status == MN_OK ? in.n_rows : 0;
    json_decref(in.tables);
    free(in.bytes);
    free(line);
    return status;
}
