#include "base/notes.h"

#include "base/safe_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mn_notes_add(mn_notes *notes, const char *format, ...) {
    va_list args;
    if (notes->n == MN_MAX_NOTES) return;
    va_start(args, format);
    if (vasprintf(&notes->texts[notes->n], format, args) >= 0) {
        mn_text_make_safe(notes->texts[notes->n], strlen(notes->texts[notes->n]));
        mn_text_make_utf8(notes->texts[notes->n], strlen(notes->texts[notes->n]));
        notes->n++;
    }
    va_end(args);
}

const char *mn_notes_at(const mn_notes *notes, int index) {
    return index >= 0 && index < notes->n ? notes->texts[index] : NULL;
}

void mn_notes_release(mn_notes *notes) {
    for (int i = 0; i < notes->n; i++) free(notes->texts[i]);
    *notes = (mn_notes){0};
}
