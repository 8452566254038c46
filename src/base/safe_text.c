#include "base/safe_text.h"

void mn_text_make_safe(char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i], next = i + 1 < bytes ? (unsigned char)text[i + 1] : 0;
        if ((c < ' ' && c != '\n' && c != '\t') || c == 0x7f) text[i] = '?';
        if (c == 0xc2 && next >= 0x80 && next <= 0x9f) text[i] = text[i + 1] = '?';
    }
}

/* Bytes of the character at p, of which n are left; 0: none begins here that is whole, in its shortest form, and within
 * Unicode. */
static size_t character(const unsigned char *p, size_t n) {
    size_t length = *p < 0x80 ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf5 ? 4 : 0;
    if (length > n) return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xf0 && p[1] < 0x90)) return 0; /* a longer form */
    if ((*p == 0xed && p[1] > 0x9f) || (*p == 0xf4 && p[1] > 0x8f)) return 0; /* a half of a pair; beyond U+10FFFF */
    return length;
}

void mn_text_make_utf8(char *text, size_t bytes) {
    for (size_t i = 0, n; i < bytes; i += n ? n : 1)
        if (!(n = character((const unsigned char *)text + i, bytes - i))) text[i] = '?';
}
