/* Vocabularies written by hand: a GGUF file in memory, key by key, for tests that must not depend on real ones. */
#ifndef MN_TESTS_VOCAB_FILE_H
#define MN_TESTS_VOCAB_FILE_H

#include "base/strbuf.h"
#include "tokenizer/tokenizer.h"

typedef struct vocab_file {
    mn_strbuf keys;
    uint64_t n_keys;
} vocab_file;

/* Starts a file with tokenizer.ggml.model. Keys are given without "tokenizer.ggml.". */
vocab_file vocab_file_begin(const char *model);
void vocab_file_text(vocab_file *file, const char *key, const char *value);
/* A key of its own full name: "general.name". */
void vocab_file_foreign_text(vocab_file *file, const char *key, const char *value);
void vocab_file_u32(vocab_file *file, const char *key, uint32_t value);
void vocab_file_bool(vocab_file *file, const char *key, bool value);
void vocab_file_texts(vocab_file *file, const char *key, const char *const *values, size_t n);
void vocab_file_i32s(vocab_file *file, const char *key, const int32_t *values, size_t n);
void vocab_file_f32s(vocab_file *file, const char *key, const float *values, size_t n);

/* The file's bytes, which the caller frees; the vocab_file is empty then. */
char *vocab_file_finish(vocab_file *file, size_t *bytes);
/* Finishes the file and builds its tokenizer. */
mn_status vocab_file_load(vocab_file *file, mn_tokenizer **out, mn_error *err);

#endif
