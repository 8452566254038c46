/* A document while it is being read: what every format fills. */
#ifndef MN_DOCUMENT_READING_H
#define MN_DOCUMENT_READING_H

#include "base/status.h"
#include "base/strbuf.h"

#include <mnemo/document.h>

#include <stdbool.h>

enum { MN_DOCUMENT_MAX_TITLE_BYTES = 200, MN_DOCUMENT_MAX_NOTES = 64 };

typedef struct mn_reading {
    const char *name; /* of the file, for sentences */
    mn_document_options options;
    double deadline;  /* of mn_clock_seconds, by options.max_seconds */
    const char *data; /* the file */
    size_t bytes;
    mn_strbuf text; /* bounded by options.max_bytes */
    mn_document *document;
    size_t section_capacity;
    bool no_memory; /* for a note, a section or a title; told when the reading ends */
} mn_reading;

/* Adds a note; the same note twice is one, and after MN_DOCUMENT_MAX_NOTES no more are kept. */
void mn_reading_note(mn_reading *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Adds a section that begins at an offset of the text. Blanks of the title become one space each; it is cut to
 * MN_DOCUMENT_MAX_TITLE_BYTES at a character's end. */
void mn_reading_section(mn_reading *r, int level, size_t begin, const char *title, size_t title_bytes);

/* The document's title, tidied as a section's. The first one that is not blank counts. */
void mn_reading_title(mn_reading *r, const char *title, size_t bytes);

/* Whether the text is as long as it may be: nothing more needs to be read, and the reading will fail. */
static inline bool mn_reading_full(const mn_reading *r) { return r->text.failed || r->no_memory; }

/* One format: fills r->text, and what it finds of sections, title and notes. The caller tells of full texts and of
 * missing memory. */
typedef mn_status mn_document_format(mn_reading *r, mn_error *err);

mn_document_format mn_document_plain, mn_document_markdown, mn_document_html, mn_document_pdf, mn_document_docx,
    mn_document_odt, mn_document_epub;

#endif
