/* What the parts of the GGUF reader share: the open file, and the way from header bytes to its tables. */
#ifndef MN_MODEL_GGUF_FILE_H
#define MN_MODEL_GGUF_FILE_H

#include "base/arena.h"
#include "base/file.h"
#include "model/gguf.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "GGUF values are read in place and are little-endian");

/* Open addressing over the strings of a table: slot = row + 1, 0 = free. */
typedef struct mn_gguf_index {
    uint32_t *slots;
    size_t mask; /* slots - 1, a power of two minus one */
} mn_gguf_index;

struct mn_gguf {
    char *path;
    mn_mapfile map; /* data NULL when the bytes are the caller's (mn_gguf_parse) */
    const unsigned char *data;
    size_t bytes;
    int version;
    mn_gguf_kv *kvs;
    int64_t n_kv;
    mn_tensor *tensors; /* of all parts, in the order of the parts */
    int64_t n_tensors;
    mn_gguf_index kv_index, tensor_index;
    mn_arena arena;  /* tables and names */
    mn_gguf *next;   /* the next part of a split file */
};

/* Reads the header of gguf->data into its tables. Errors do not name the file. */
mn_status mn_gguf_read_header(mn_gguf *gguf, mn_error *err);
/* Indexes what a duplicate may not share: *duplicate is a row whose string stands at an earlier row, -1 = none. */
mn_status mn_gguf_index_build(mn_gguf *gguf, mn_gguf_index *index, mn_gguf_string (*string_at)(const mn_gguf *, int64_t),
                              int64_t n, int64_t *duplicate, mn_error *err);
/* Row of the string, -1 when missing. */
int64_t mn_gguf_index_find(const mn_gguf *gguf, const mn_gguf_index *index,
                           mn_gguf_string (*string_at)(const mn_gguf *, int64_t), mn_gguf_string key);
mn_gguf_string mn_gguf_key_string(const mn_gguf *gguf, int64_t i);
mn_gguf_string mn_gguf_tensor_string(const mn_gguf *gguf, int64_t i);

/* Encoded bytes of one value; 0 for strings, arrays and numbers that are no type. */
size_t mn_gguf_type_bytes(uint32_t type);
const char *mn_gguf_type_name(uint32_t type);
/* The string whose length stands at *at; *at moves behind it. The bytes were checked at open. */
mn_gguf_string mn_gguf_next_string(const unsigned char **at, int length_bytes);

/* A file's string for a message: at most 64 bytes, what is not printable ASCII shown as '?'. */
typedef struct mn_gguf_shown {
    char text[72];
} mn_gguf_shown;
mn_gguf_shown mn_gguf_show(mn_gguf_string string);

#endif
