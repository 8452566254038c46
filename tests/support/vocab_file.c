#include "support/vocab_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(mn_strbuf *buf, const void *data, size_t bytes) { mn_strbuf_put(buf, data, bytes); }

static void put_u32(mn_strbuf *buf, uint32_t value) { put(buf, &value, sizeof value); }

static void put_u64(mn_strbuf *buf, uint64_t value) { put(buf, &value, sizeof value); }

static void put_text(mn_strbuf *buf, const char *text) {
    put_u64(buf, strlen(text));
    put(buf, text, strlen(text));
}

static void put_key(vocab_file *file, const char *key, mn_gguf_type type) {
    char name[128];
    snprintf(name, sizeof name, "tokenizer.ggml.%s", key);
    put_text(&file->keys, name);
    put_u32(&file->keys, type);
    file->n_keys++;
}

static void put_array(vocab_file *file, const char *key, mn_gguf_type item_type, size_t n) {
    put_key(file, key, MN_GGUF_ARRAY);
    put_u32(&file->keys, item_type);
    put_u64(&file->keys, n);
}

vocab_file vocab_file_begin(const char *model) {
    vocab_file file = {.keys = MN_STRBUF_INIT};
    vocab_file_text(&file, "model", model);
    return file;
}

void vocab_file_text(vocab_file *file, const char *key, const char *value) {
    put_key(file, key, MN_GGUF_STRING);
    put_text(&file->keys, value);
}

void vocab_file_foreign_text(vocab_file *file, const char *key, const char *value) {
    put_text(&file->keys, key);
    put_u32(&file->keys, MN_GGUF_STRING);
    put_text(&file->keys, value);
    file->n_keys++;
}

void vocab_file_u32(vocab_file *file, const char *key, uint32_t value) {
    put_key(file, key, MN_GGUF_U32);
    put_u32(&file->keys, value);
}

void vocab_file_bool(vocab_file *file, const char *key, bool value) {
    put_key(file, key, MN_GGUF_BOOL);
    mn_strbuf_putc(&file->keys, value);
}

void vocab_file_texts(vocab_file *file, const char *key, const char *const *values, size_t n) {
    put_array(file, key, MN_GGUF_STRING, n);
    for (size_t i = 0; i < n; i++) put_text(&file->keys, values[i]);
}

void vocab_file_i32s(vocab_file *file, const char *key, const int32_t *values, size_t n) {
    put_array(file, key, MN_GGUF_I32, n);
    put(&file->keys, values, n * sizeof *values);
}

void vocab_file_f32s(vocab_file *file, const char *key, const float *values, size_t n) {
    put_array(file, key, MN_GGUF_F32, n);
    put(&file->keys, values, n * sizeof *values);
}

char *vocab_file_finish(vocab_file *file, size_t *bytes) {
    mn_strbuf all = MN_STRBUF_INIT;
    put(&all, "GGUF", 4);
    put_u32(&all, 3);
    put_u64(&all, 0);
    put_u64(&all, file->n_keys);
    put(&all, file->keys.data, file->keys.bytes);
    mn_strbuf_release(&file->keys);
    return mn_strbuf_detach(&all, bytes);
}

mn_status vocab_file_load(vocab_file *file, mn_tokenizer **out, mn_error *err) {
    mn_gguf *gguf;
    size_t bytes;
    char *data = vocab_file_finish(file, &bytes);
    mn_status status = mn_gguf_parse("test", data, bytes, &gguf, err);
    if (status == MN_OK) {
        status = mn_tokenizer_create(gguf, out, err);
        mn_gguf_close(gguf);
    }
    free(data);
    return status;
}
