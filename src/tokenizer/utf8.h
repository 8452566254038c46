/* Reading UTF-8 where any byte may be wrong. */
#ifndef MN_TOKENIZER_UTF8_H
#define MN_TOKENIZER_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <utf8proc.h>

/* Invalid bytes are read one at a time as MN_UTF8_INVALID + byte: beyond Unicode, and still told apart. */
#define MN_UTF8_INVALID 0x110000

/* Reads the character at text, which has at least one byte left. Returns its bytes (1 to 4). */
static inline size_t mn_utf8_next(const char *text, size_t bytes, int32_t *code_point) {
    unsigned char first = (unsigned char)text[0];
    if (first < 0x80) {
        *code_point = first;
        return 1;
    }
    utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)text, bytes < 4 ? (utf8proc_ssize_t)bytes : 4, code_point);
    if (n > 0) return (size_t)n;
    *code_point = MN_UTF8_INVALID + first;
    return 1;
}

/* The same of a text that a NUL ends; 0 at its end. */
static inline size_t mn_utf8_next_of(const char *text, int32_t *code_point) {
    size_t bytes = strnlen(text, 4);
    *code_point = 0;
    return bytes ? mn_utf8_next(text, bytes, code_point) : 0;
}

/* Bytes at the start of text that are all valid UTF-8, or all invalid. *valid tells which. bytes >= 1. */
static inline size_t mn_utf8_run(const char *text, size_t bytes, bool *valid) {
    int32_t code_point;
    size_t at = mn_utf8_next(text, bytes, &code_point);
    *valid = code_point < MN_UTF8_INVALID;
    while (at < bytes) {
        size_t n = mn_utf8_next(text + at, bytes - at, &code_point);
        if ((code_point < MN_UTF8_INVALID) != *valid) break;
        at += n;
    }
    return at;
}

#endif
