/* GGUF files: read (versions 1 to 3, split files, mapped) and written (version 3).
 *
 * Format: docs/formats/gguf.md. Every count, offset and size in the file is checked at open; after mn_gguf_open
 * succeeds, every tensor's data lies inside its mapping and every string and array inside the header.
 */
#ifndef MN_MODEL_GGUF_H
#define MN_MODEL_GGUF_H

#include "base/status.h"
#include "tensor/tensor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum mn_gguf_type {
    MN_GGUF_U8,
    MN_GGUF_I8,
    MN_GGUF_U16,
    MN_GGUF_I16,
    MN_GGUF_U32,
    MN_GGUF_I32,
    MN_GGUF_F32,
    MN_GGUF_BOOL,
    MN_GGUF_STRING,
    MN_GGUF_ARRAY,
    MN_GGUF_U64,
    MN_GGUF_I64,
    MN_GGUF_F64,
    MN_GGUF_TYPE_COUNT
} mn_gguf_type;

typedef struct mn_gguf mn_gguf;

/* A view into the mapped file; not NUL-terminated. */
typedef struct mn_gguf_string {
    const char *data;
    size_t bytes;
} mn_gguf_string;

typedef struct mn_gguf_kv {
    mn_gguf_string key;
    mn_gguf_type type;         /* of the value, or MN_GGUF_ARRAY */
    mn_gguf_type item_type;    /* of an array's items */
    uint64_t n_items;          /* of an array */
    const unsigned char *data; /* encoded value, or an array's first item; unaligned */
    size_t bytes;
    int length_bytes; /* width of the string lengths in data: 4 in version 1, else 8 */
} mn_gguf_kv;

/* Opens PATH; for "NAME-00001-of-0000N.gguf" (any part may be named) all N parts. The caller closes it. */
mn_status mn_gguf_open(const char *path, mn_gguf **out, mn_error *err);
/* The same over bytes, aligned as malloc does, that the caller keeps until close (tests, fuzzing). name is for
 * messages. */
mn_status mn_gguf_parse(const char *name, const void *data, size_t bytes, mn_gguf **out, mn_error *err);
void mn_gguf_close(mn_gguf *gguf);

const char *mn_gguf_path(const mn_gguf *gguf);
int mn_gguf_version(const mn_gguf *gguf);
size_t mn_gguf_file_bytes(const mn_gguf *gguf); /* of all parts */
/* The file (of several parts the first) as far as it lies in memory, from its beginning: see mn_mapfile_resident_bytes.
 */
const void *mn_gguf_resident(const mn_gguf *gguf, size_t max_bytes, size_t *bytes);
int64_t mn_gguf_n_kv(const mn_gguf *gguf);
const mn_gguf_kv *mn_gguf_kv_at(const mn_gguf *gguf, int64_t i);
const mn_gguf_kv *mn_gguf_find(const mn_gguf *gguf, const char *key); /* NULL when missing */
/* Whether one of the typed reads below has read the i-th key. */
bool mn_gguf_was_read(const mn_gguf *gguf, int64_t i);
int64_t mn_gguf_n_tensors(const mn_gguf *gguf);
const mn_tensor *mn_gguf_tensor_at(const mn_gguf *gguf, int64_t i);
const mn_tensor *mn_gguf_tensor(const mn_gguf *gguf, const char *name); /* NULL when missing; O(1) */

const char *mn_gguf_type_name(uint32_t type); /* "u8", "string"; "unknown type" */
/* Encoded bytes of one value; 0 for strings, arrays and numbers that are no type. */
size_t mn_gguf_type_bytes(uint32_t type);
/* The string whose length stands at *at; *at moves behind it: walks a string value or the items of an array of
 * strings, kv->n_items times from kv->data. */
mn_gguf_string mn_gguf_next_string(const unsigned char **at, int length_bytes);
/* One encoded number or bool as text: "-7", "0.5", "true". */
void mn_gguf_number_text(mn_gguf_type type, const unsigned char *data, char out[32]);
/* A file's string for a message or a terminal: at most 64 bytes, what is not printable ASCII shown as '?'. */
typedef struct mn_gguf_shown {
    char text[72];
} mn_gguf_shown;
mn_gguf_shown mn_gguf_show(mn_gguf_string string);

/* Typed reads. `found` false and *out unchanged when the key is missing; a key of the wrong type is an error naming
 * key, type found and type wanted. Integers convert between widths when the value fits; floats between f32 and f64; an
 * array of one value is that value. One thread at a time: they note what was read. */
mn_status mn_gguf_get_i64(const mn_gguf *gguf, const char *key, int64_t *out, bool *found, mn_error *err);
mn_status mn_gguf_get_f64(const mn_gguf *gguf, const char *key, double *out, bool *found, mn_error *err);
mn_status mn_gguf_get_bool(const mn_gguf *gguf, const char *key, bool *out, bool *found, mn_error *err);
mn_status mn_gguf_get_string(const mn_gguf *gguf, const char *key, mn_gguf_string *out, bool *found, mn_error *err);
/* Array of strings: *out is [n] and the caller frees it; its items point into the mapping. */
mn_status mn_gguf_get_strings(const mn_gguf *gguf, const char *key, mn_gguf_string **out, size_t *n, bool *found,
                              mn_error *err);
/* Array of numbers, converted: *out is [n], freed by the caller. */
mn_status mn_gguf_get_f32s(const mn_gguf *gguf, const char *key, float **out, size_t *n, bool *found, mn_error *err);
mn_status mn_gguf_get_i32s(const mn_gguf *gguf, const char *key, int32_t **out, size_t *n, bool *found, mn_error *err);

/* Writing: put keys and tensors in order, then write; data is asked for tensor by tensor, so no model is ever held
 * whole. Strings and data passed by pointer are copied at once (keys) or borrowed until write (tensor data). */
typedef struct mn_gguf_writer mn_gguf_writer;
/* Produces tensor data: fills dst with all bytes of tensor `t`. */
typedef mn_status mn_gguf_fill(void *arg, const mn_tensor *t, void *dst, mn_error *err);

mn_status mn_gguf_writer_create(mn_gguf_writer **out, mn_error *err);
void mn_gguf_writer_destroy(mn_gguf_writer *writer);
/* The keys and tensors put so far, as a file of theirs would show them, but without data. The caller closes it before
 * the writer is put to or destroyed. */
mn_status mn_gguf_writer_view(const mn_gguf_writer *writer, mn_gguf **out, mn_error *err);
void mn_gguf_put_u32(mn_gguf_writer *writer, const char *key, uint32_t value);
void mn_gguf_put_f32(mn_gguf_writer *writer, const char *key, float value);
void mn_gguf_put_bool(mn_gguf_writer *writer, const char *key, bool value);
void mn_gguf_put_string(mn_gguf_writer *writer, const char *key, const char *value);
void mn_gguf_put_i32s(mn_gguf_writer *writer, const char *key, const int32_t *items, int64_t n);
/* Copies a key as it stands in another file, under its own name. Keys that describe that file's layout
 * (general.alignment, split.*) are left out. */
void mn_gguf_put_kv(mn_gguf_writer *writer, const mn_gguf_kv *kv);
/* Adds a tensor; name, type, n_dims and ne of *t are copied, its bytes computed. t->data is borrowed until write; when
 * it is NULL, `fill` makes it. */
void mn_gguf_put_tensor(mn_gguf_writer *writer, const mn_tensor *t);
/* Writes PATH (see mn_writer: all or nothing), asking `fill` in the order of the puts, into one buffer of the size of
 * the largest tensor. A failed put, or a name put twice, is reported here. */
mn_status mn_gguf_write(mn_gguf_writer *writer, const char *path, mn_gguf_fill *fill, void *arg, mn_error *err);

#endif
