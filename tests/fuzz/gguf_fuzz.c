/* Fuzz target: any bytes taken for a GGUF file, then everything that reads keys and tensors of an opened one. */
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "model/gguf.h"

/* Every typed read of one key, whatever its type; reads that do not fit it fail and allocate nothing. */
static void read_key(const mn_gguf *gguf, const char *key) {
    int64_t integer;
    double number;
    bool truth, found;
    mn_gguf_string string, *strings = NULL;
    float *floats = NULL;
    int32_t *ints = NULL;
    size_t n;
    mn_error err;
    mn_gguf_get_i64(gguf, key, &integer, &found, &err);
    mn_gguf_get_f64(gguf, key, &number, &found, &err);
    mn_gguf_get_bool(gguf, key, &truth, &found, &err);
    if (!mn_gguf_get_string(gguf, key, &string, &found, &err) && found) mn_gguf_show(string);
    mn_gguf_get_strings(gguf, key, &strings, &n, &found, &err);
    mn_gguf_get_f32s(gguf, key, &floats, &n, &found, &err);
    mn_gguf_get_i32s(gguf, key, &ints, &n, &found, &err);
    free(strings);
    free(floats);
    free(ints);
}

static void read_keys(const mn_gguf *gguf) {
    for (int64_t i = 0; i < mn_gguf_n_kv(gguf); i++) {
        const mn_gguf_kv *kv = mn_gguf_kv_at(gguf, i);
        char number[32], *key = strndup(kv->key.data, kv->key.bytes);
        if (mn_gguf_type_bytes(kv->type)) mn_gguf_number_text(kv->type, kv->data, number);
        if (key) read_key(gguf, key);
        free(key);
    }
}

static void read_tensors(const mn_gguf *gguf) {
    for (int64_t i = 0; i < mn_gguf_n_tensors(gguf); i++) {
        const mn_tensor *t = mn_gguf_tensor_at(gguf, i);
        if (mn_gguf_tensor(gguf, t->name) != t) abort();
        float *row = malloc((size_t)t->ne[0] * sizeof *row);
        size_t last = t->bytes - mn_tensor_row_bytes(t);
        if (row) mn_to_f32(t->type, (const char *)t->data + last, row, t->ne[0]);
        free(row);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    mn_gguf *gguf = NULL;
    mn_error err;
    if (mn_gguf_parse("fuzz", data, bytes, &gguf, &err)) {
        if (!err.text[0]) abort();
        return 0;
    }
    read_keys(gguf);
    read_tensors(gguf);
    mn_gguf_close(gguf);
    return 0;
}
