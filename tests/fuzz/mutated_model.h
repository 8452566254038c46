/* A tiny model of tests/data/golden with some of its header changed, for targets that take models: random bytes seldom
 * are one. The input says which model, and what is changed, three bytes a change.
 */
#ifndef MN_TESTS_MUTATED_MODEL_H
#define MN_TESTS_MUTATED_MODEL_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "fuzz/tiny_model.h"
#include "model/gguf.h"

typedef struct mutated_model {
    unsigned char *data;
    size_t bytes;
} mutated_model;

/* Counts that have been a border somewhere, and the bits of floats that are none. */
static const uint32_t mutated_numbers[] = {
    0,    1,    2,    3,     4,     5,         6,          7,          8,          15,         16,         17,
    31,   32,   33,   48,    63,    64,        65,         127,        128,        255,        256,        512,
    1023, 1024, 1025, 65535, 65536, INT32_MAX, 0x80000000, UINT32_MAX, 0x7fc00000, 0x7f800000, 0x3f800000, 0xbf800000};

/* Another number for the model's i-th key of its architecture, where that is a scalar of 4 bytes. */
static inline void mutate_key(mutated_model *m, const mn_gguf *whole, const unsigned char *base, unsigned i,
                              unsigned n) {
    unsigned seen = 0;
    for (int64_t k = 0; k < mn_gguf_n_kv(whole); k++) {
        const mn_gguf_kv *kv = mn_gguf_kv_at(whole, k);
        bool is_other =
            kv->key.bytes > 8 && (!memcmp(kv->key.data, "general.", 8) || !memcmp(kv->key.data, "tokenize", 8));
        if (is_other || kv->bytes != 4 || kv->type == MN_GGUF_ARRAY || seen++ != i) continue;
        memcpy(m->data + (kv->data - base), &mutated_numbers[n % (sizeof mutated_numbers / sizeof *mutated_numbers)],
               4);
    }
}

/* Values of a tensor that are no numbers, or huge, or nothing. */
static inline void mutate_values(mutated_model *m, const mn_gguf *whole, const unsigned char *base, unsigned i,
                                 unsigned n) {
    static const unsigned char fills[] = {0, 0xff, 0x7f, 0x80, 0x7c};
    const mn_tensor *t = mn_gguf_tensor_at(whole, i % mn_gguf_n_tensors(whole));
    memset(m->data + ((const unsigned char *)t->data - base), fills[n % sizeof fills], t->bytes);
}

/* Reads a model of `names` and changes it as the input says. The caller frees m->data. */
static inline bool mutated_model_make(const char *const *names, size_t n_names, const uint8_t *data, size_t bytes,
                                      mutated_model *m) {
    char path[512];
    mn_error err;
    mn_gguf *whole;
    if (bytes < 1) return false;
    const char *name = names[data[0] % n_names];
    snprintf(path, sizeof path, "%s/tests/data/golden/tiny-%s.gguf", MNEMO_SOURCE_DIR, name);
    bool is_made = !strcmp(name, "mnemo"); /* there is no golden file of it */
    if (is_made) tiny_model_write(name, path);
    if (mn_file_read(path, 1 << 22, (char **)&m->data, &m->bytes, &err)) abort();
    if (is_made) unlink(path);
    unsigned char *copy = malloc(m->bytes);
    memcpy(copy, m->data, m->bytes);
    if (mn_gguf_parse(path, copy, m->bytes, &whole, &err)) abort();
    size_t header_bytes = (size_t)((const unsigned char *)mn_gguf_tensor_at(whole, 0)->data - copy);
    for (size_t at = 1; at + 3 <= bytes && at < 1 + 3 * 8; at += 3) {
        unsigned i = data[at + 1], n = data[at + 2];
        /* Names, dimensions and types of tensors stand at the header's end. */
        size_t back = ((size_t)(data[at] & 0x1f) << 8 | i) + 1;
        if (data[at] < 0x80)
            mutate_key(m, whole, copy, i % 64, n);
        else if (data[at] < 0xa0)
            mutate_values(m, whole, copy, i, n);
        else if (back < header_bytes - 24)
            m->data[header_bytes - back] = (unsigned char)n;
    }
    mn_gguf_close(whole);
    free(copy);
    return true;
}

#endif
