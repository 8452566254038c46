/* Documents: the text of a file that people keep texts in, as UTF-8.
 *
 * Plain text and Markdown stay as they are; HTML, PDF, Word (docx), OpenDocument (odt) and EPUB give their text, with
 * headings marked as Markdown marks them, one line a table row, blank lines between paragraphs. The kind is found from
 * the content; the name's ending decides only between kinds of plain text. UTF-16, UTF-32 and 8-bit encodings are
 * converted, and a note says so. Line ends become LF, a byte order mark goes.
 *
 * HTML needs libxml2, docx, odt and EPUB libarchive too, PDF the program pdftotext (poppler-utils) when it is read;
 * what is missing is an error that names it. Files are hostile: entries, nesting, expansion and time are bounded.
 */
#ifndef MNEMO_DOCUMENT_H
#define MNEMO_DOCUMENT_H

#include <mnemo/status.h>

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zero takes the default. */
typedef struct mn_document_options {
    size_t max_bytes; /* of the file, and of its text (1 GiB) */
    int max_seconds;  /* that markup may take to parse, or a PDF (300) */
    bool verbatim;    /* plain text, Markdown and HTML stay as they are, line ends too, be they nothing but blanks */
} mn_document_options;

/* A heading, or a page of a PDF. It ends where the next one begins. */
typedef struct mn_document_section {
    char *title;
    int level;    /* 1 = the highest; a page: 1 */
    size_t begin; /* offset in the text */
} mn_document_section;

typedef struct mn_document {
    char *text; /* UTF-8 without zero bytes, then a NUL that `bytes` does not count */
    size_t bytes;
    const char *kind; /* "text", "Markdown", "HTML", "PDF", "docx", "odt", "EPUB"; a constant */
    char *title;      /* NULL = the document states none */
    char **notes;     /* what was converted or left out, a phrase each */
    size_t n_notes;
    mn_document_section *sections; /* in the order of the text */
    size_t n_sections;
} mn_document;

/* Reads a file; "-" is standard input. The caller releases *out with mn_document_release; after an error it holds
 * nothing. options may be NULL. A document without text is an error (MN_ERR_FORMAT); so is one that nothing here can
 * read (MN_ERR_UNSUPPORTED), with the tool that converts it. Linear in the bytes of the file and of the text.
 * Any thread may call it. For a PDF a child process is started and waited for. */
mn_status mn_document_read(const char *path, const mn_document_options *options, mn_document *out, mn_error *err);

/* The same from memory. name: for sentences, and for its ending. */
mn_status mn_document_read_bytes(const char *name, const void *data, size_t bytes, const mn_document_options *options,
                                 mn_document *out, mn_error *err);

/* Safe on a zeroed document. */
void mn_document_release(mn_document *document);

#ifdef __cplusplus
}
#endif
#endif
