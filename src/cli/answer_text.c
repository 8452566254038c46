#include "cli/answer_text.h"

#include "base/checked.h"
#include "base/safe_text.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Pieces do not end within a control character of two bytes. */
static bool write_safely(const char *text, size_t bytes) {
    char piece[4096];
    for (size_t at = 0, n; at < bytes; at += n) {
        n = MN_MIN(bytes - at, sizeof piece);
        if (at + n < bytes && (unsigned char)text[at + n - 1] == 0xc2 && n > 1) n--;
        memcpy(piece, text + at, n);
        mn_text_make_safe(piece, n);
        if (fwrite(piece, 1, n, stdout) != n) return false;
    }
    return true;
}

bool mn_answer_write(const char *text, size_t bytes) {
    bool written = isatty(STDOUT_FILENO) ? write_safely(text, bytes) : fwrite(text, 1, bytes, stdout) == bytes;
    return written && fflush(stdout) == 0;
}
