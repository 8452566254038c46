/* What the parts of the GGUF reader share: the open file, and the way from header bytes to its tables. */
#ifndef MN_MODEL_GGUF_FILE_H
#define MN_MODEL_GGUF_FILE_H

#include "base/arena.h"
#include "base/file.h"
#include "model/gguf.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "GGUF values are read in place and are little-endian");

/* Rows by name. Open addressing: slot = row + 1, 0 = free. */
typedef struct mn_gguf_index {
    uint32_t *slots;
    size_t mask; /* slots - 1; their number is a power of two */
    const mn_gguf_string *names;
} mn_gguf_index;

struct mn_gguf {
    char *path;
    mn_mapfile map; /* data NULL when the bytes are the caller's (mn_gguf_parse) */
    const unsigned char *data;
    size_t bytes;
    int version;
    mn_gguf_kv *kvs;
    int64_t n_kv;
    bool *was_read;     /* [n_kv] by a typed read */
    mn_tensor *tensors; /* of all parts, in their order */
    int64_t n_tensors;
    mn_gguf_index key_index, tensor_index;
    mn_arena arena; /* tables and names */
    mn_gguf *next;  /* the next part of a split file */
};

/* Reads the header of gguf->data into its tables. Errors do not name the file. */
mn_status mn_gguf_read_header(mn_gguf *gguf, mn_error *err);
/* Indexes a table by name; the arena owns the slots. A name that stands there twice is an error. */
mn_status mn_gguf_index_keys(mn_gguf_index *index, mn_arena *arena, const mn_gguf_kv *kvs, int64_t n, mn_error *err);
mn_status mn_gguf_index_tensors(mn_gguf_index *index, mn_arena *arena, const mn_tensor *tensors, int64_t n,
                                mn_error *err);
/* Row of the name, -1 when missing. */
int64_t mn_gguf_index_find(const mn_gguf_index *index, const char *name);

#endif
