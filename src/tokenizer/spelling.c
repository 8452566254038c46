#include "tokenizer/spelling.h"

#include "tokenizer/utf8.h"

#include <string.h>

size_t mn_spelling_unescape(const char *text, size_t bytes, char *out) {
    static const char space[] = "\xe2\x96\x81";
    size_t n = 0;
    for (size_t i = 0; i < bytes;) {
        if (bytes - i >= 3 && !memcmp(text + i, space, 3)) {
            out[n++] = ' ';
            i += 3;
        } else {
            out[n++] = text[i++];
        }
    }
    return n;
}

/* Bytes that GPT-2 shows as themselves: printable and not a space, in Latin-1. */
static bool is_shown(int byte) {
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
}

/* The byte that a character of the alphabet stands for, or -1. The hidden bytes lie in three ranges: 0x00-0x20,
 * 0x7f-0xa0 and 0xad. */
static int byte_of(int32_t code_point) {
    if (code_point < 0x100) return is_shown(code_point) ? code_point : -1;
    int nth = code_point - 0x100;
    if (nth < 0x21) return nth;
    if (nth < 0x21 + 0x22) return 0x7f + nth - 0x21;
    return nth == 0x21 + 0x22 ? 0xad : -1;
}

bool mn_spelling_decode_bytes(const char *text, size_t bytes, char *out, size_t *out_bytes) {
    size_t n = 0;
    for (size_t i = 0; i < bytes;) {
        int32_t code_point;
        i += mn_utf8_next(text + i, bytes - i, &code_point);
        int byte = byte_of(code_point);
        if (byte < 0) return false;
        out[n++] = (char)byte;
    }
    *out_bytes = n;
    return true;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t mn_spelling_unescape_bytes(const char *text, size_t bytes, char *out) {
    static const char names[] = "tnr", meant[] = "\t\n\r";
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '\\' && i + 1 < bytes) {
            const char *name = memchr(names, text[++i], 3);
            int high = text[i] == 'x' && bytes - i > 2 ? hex_digit(text[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
            out[n++] = low >= 0 ? (char)(high * 16 + low) : name ? meant[name - names] : text[i];
            i += low >= 0 ? 2 : 0;
        } else {
            out[n++] = text[i];
        }
    }
    return n;
}

int mn_spelling_hex_byte(const char *text, size_t bytes) {
    if (bytes != 6 || memcmp(text, "<0x", 3) || text[5] != '>') return -1;
    int high = hex_digit(text[3]), low = hex_digit(text[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}
