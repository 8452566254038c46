#include "base/safe_text.h"

void mn_text_make_safe(char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i], next = i + 1 < bytes ? (unsigned char)text[i + 1] : 0;
        if ((c < ' ' && c != '\n' && c != '\t') || c == 0x7f) text[i] = '?';
        if (c == 0xc2 && next >= 0x80 && next <= 0x9f) text[i] = text[i + 1] = '?';
    }
}
