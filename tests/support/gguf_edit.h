/* Model files with some of their keys changed, and small random ones to change. */
#ifndef MN_TESTS_GGUF_EDIT_H
#define MN_TESTS_GGUF_EDIT_H

#include "model/gguf.h"

/* A key of the file that is written, in the place of one of that name or behind all. value NULL: the key is left out.
 */
typedef struct gguf_edit {
    const char *key;
    mn_gguf_type type; /* of the value, or of the items of an array */
    const void *value; /* a string: char *, NUL-terminated */
    size_t n_items;    /* > 0: an array of numbers */
} gguf_edit;

#define EDIT_U32(key, number) ((gguf_edit){key, MN_GGUF_U32, &(uint32_t){number}, 0})
#define EDIT_U64(key, number) ((gguf_edit){key, MN_GGUF_U64, &(uint64_t){number}, 0})
#define EDIT_F32(key, number) ((gguf_edit){key, MN_GGUF_F32, &(float){number}, 0})
#define EDIT_BOOL(key, is) ((gguf_edit){key, MN_GGUF_BOOL, &(uint8_t){is}, 0})
#define EDIT_TEXT(key, text) ((gguf_edit){key, MN_GGUF_STRING, text, 0})
#define EDIT_DROP(key) ((gguf_edit){key, MN_GGUF_U8, NULL, 0})
/* EDIT_I32S("llama.attention.head_count", 4, 2, 4) */
#define EDIT_I32S(key, ...)                                                                                            \
    ((gguf_edit){key, MN_GGUF_I32, (int32_t[]){__VA_ARGS__}, sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t)})
#define EDIT_BOOLS(key, ...)                                                                                           \
    ((gguf_edit){key, MN_GGUF_BOOL, (uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__})})

/* Writes `in` to `path` with the edits applied. arch: general.architecture, and the first part of all keys of the old
 * architecture; NULL = as it was. */
void gguf_edit_write(const mn_gguf *in, const char *path, const char *arch, const gguf_edit *edits, size_t n);
/* A random llama of 3 layers, 4 heads of 16, 2 of them for keys, n_embd 64, n_ff 96, window 512, an output matrix of
 * its own. The caller closes it; its file has no name. */
mn_gguf *gguf_small_llama(void);

#endif
