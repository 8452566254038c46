#include "document/reading.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_note(const mn_document *d, const char *note) {
    for (size_t i = 0; i < d->n_notes; i++)
        if (!strcmp(d->notes[i], note)) return true;
    return false;
}

void mn_reading_note(mn_reading *r, const char *format, ...) {
    mn_document *d = r->document;
    char *note;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&note, format, args);
    va_end(args);
    if (n < 0) {
        r->no_memory = true;
        return;
    }
    if (!d->notes) d->notes = calloc(MN_DOCUMENT_MAX_NOTES, sizeof *d->notes);
    if (!d->notes) r->no_memory = true;
    if (d->notes && d->n_notes < MN_DOCUMENT_MAX_NOTES && !has_note(d, note))
        d->notes[d->n_notes++] = note;
    else
        free(note);
}

static bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f'; }

/* A copy with runs of blanks as one space, none at the ends; NULL when memory ends. */
static char *tidy(const char *text, size_t bytes) {
    char *out = malloc(MN_DOCUMENT_MAX_TITLE_BYTES + 1);
    size_t n = 0;
    if (!out) return NULL;
    for (size_t i = 0; i < bytes; i++) {
        bool begins_word = n > 0 && i > 0 && is_blank(text[i - 1]);
        if (is_blank(text[i])) continue;
        if (n + begins_word >= MN_DOCUMENT_MAX_TITLE_BYTES) {
            while (n > 0 && ((unsigned char)text[i] & 0xc0) == 0x80 && ((unsigned char)out[--n] & 0xc0) == 0x80) {
            }
            break;
        }
        if (begins_word) out[n++] = ' ';
        out[n++] = text[i];
    }
    out[n] = 0;
    return out;
}

static bool grow_sections(mn_reading *r) {
    if (r->document->n_sections < r->section_capacity) return true;
    size_t capacity = r->section_capacity ? 2 * r->section_capacity : 16;
    mn_document_section *grown = realloc(r->document->sections, capacity * sizeof *grown);
    if (!grown) return false;
    r->document->sections = grown;
    r->section_capacity = capacity;
    return true;
}

void mn_reading_section(mn_reading *r, int level, size_t begin, const char *title, size_t title_bytes) {
    char *copy = grow_sections(r) ? tidy(title, title_bytes) : NULL;
    if (!copy) {
        r->no_memory = true;
        return;
    }
    r->document->sections[r->document->n_sections++] = (mn_document_section){copy, level, begin};
}

void mn_reading_title(mn_reading *r, const char *title, size_t bytes) {
    if (r->document->title) return;
    char *copy = tidy(title, bytes);
    if (!copy)
        r->no_memory = true;
    else if (*copy)
        r->document->title = copy;
    else
        free(copy);
}
