#include "document/kind.h"

#include "base/checked.h"
#include "document/html.h"

#include <string.h>
#include <strings.h>

#ifdef MNEMO_HAVE_LIBXML2
#define WITH_XML(format) format
#else
#define WITH_XML(format) NULL
#endif
#if defined MNEMO_HAVE_LIBXML2 && defined MNEMO_HAVE_LIBARCHIVE
#define WITH_ARCHIVE(format) format
#else
#define WITH_ARCHIVE(format) NULL
#endif

enum { PDF_MARK_WITHIN = 1024 };

#define PACKAGES "libxml2-dev libarchive-dev"

static const mn_document_kind text = {.name = "text", .read = mn_document_plain, .is_plain = true},
                              markdown = {.name = "Markdown", .read = mn_document_markdown, .is_plain = true},
                              html = {.name = "HTML", .read = WITH_XML(mn_document_html), .needs = "libxml2-dev"},
                              pdf = {.name = "PDF", .read = mn_document_pdf},
                              docx = {.name = "docx", .read = WITH_ARCHIVE(mn_document_docx), .needs = PACKAGES},
                              odt = {.name = "odt", .read = WITH_ARCHIVE(mn_document_odt), .needs = PACKAGES},
                              epub = {.name = "EPUB", .read = WITH_ARCHIVE(mn_document_epub), .needs = PACKAGES};

/* ---- what others read ---- */

#define TO_DOCX "soffice --headless --convert-to docx FILE"
#define OCR "tesseract FILE -"

static const struct {
    size_t offset;
    const char *mark;
    size_t mark_bytes;
    const char *what, *remedy;
} foreign[] = {
#define MARK(offset, mark, what, remedy)                                                                               \
    { offset, mark, sizeof mark - 1, what, remedy }
    MARK(0, "{\\rtf", "RTF", "convert it first: " TO_DOCX),
    MARK(0, "\x89PNG\r\n\x1a\n", "a picture (PNG)", "take its text out first: " OCR),
    MARK(0, "\xff\xd8\xff", "a picture (JPEG)", "take its text out first: " OCR),
    MARK(0, "GIF8", "a picture (GIF)", "take its text out first: " OCR),
    MARK(0, "II*\0", "a picture (TIFF)", "take its text out first: " OCR),
    MARK(0, "MM\0*", "a picture (TIFF)", "take its text out first: " OCR),
    MARK(8, "WEBPVP8", "a picture (WebP)", "take its text out first: " OCR),
    MARK(4, "ftyphei", "a picture (HEIC)", "make a PNG of it (heif-convert IN OUT.png), then: " OCR),
    MARK(4, "ftyp", "a film or sound (MP4)", "give a text of what is said in it"),
    MARK(8, "WAVEfmt ", "a sound (WAV)", "give a text of what is said in it"),
    MARK(0, "OggS\0", "a sound (Ogg)", "give a text of what is said in it"),
    MARK(0, "fLaC\0", "a sound (FLAC)", "give a text of what is said in it"),
    MARK(0, "ID3\3", "a sound (MP3)", "give a text of what is said in it"),
    MARK(0, "ID3\4", "a sound (MP3)", "give a text of what is said in it"),
    MARK(0, "\x1a\x45\xdf\xa3", "a film (Matroska)", "give a text of what is said in it"),
    MARK(0, "%!PS", "PostScript", "take its text out first: ps2ascii FILE OUT.txt"),
    MARK(0, "AT&TFORM", "DjVu", "take its text out first: djvutxt FILE OUT.txt"),
    MARK(60, "BOOKMOBI", "a Kindle book", "convert it first: ebook-convert FILE OUT.epub"),
    MARK(0, "ITSF\3", "compiled HTML help (CHM)", "unpack it first: extract_chmLib FILE FOLDER"),
    MARK(0, "\x1f\x8b", "compressed (gzip)", "unpack it first: gunzip FILE"),
    MARK(4, "1AY&SY", "compressed (bzip2)", "unpack it first: bunzip2 FILE"),
    MARK(0,
         "\xfd"
         "7zXZ",
         "compressed (xz)", "unpack it first: unxz FILE"),
    MARK(0, "\x28\xb5\x2f\xfd", "compressed (zstd)", "unpack it first: unzstd FILE"),
    MARK(0, "7z\xbc\xaf\x27\x1c", "an archive (7z)", "unpack it and name the documents in it: 7z x FILE"),
    MARK(0, "Rar!\x1a\x07", "an archive (RAR)", "unpack it and name the documents in it: unar FILE"),
    MARK(257, "ustar", "an archive (tar)", "unpack it and name the documents in it: tar xf FILE"),
    MARK(0, "GGUF\2\0", "a model (GGUF), not a document", "name it as the model"),
    MARK(0, "GGUF\3\0", "a model (GGUF), not a document", "name it as the model"),
    MARK(0, "SQLite format 3", "a database (SQLite)", "write out what is to be read: sqlite3 FILE .dump"),
    MARK(0,
         "\x7f"
         "ELF",
         "a program (ELF)", "name a document"),
    MARK(0, "\0asm", "a program (WebAssembly)", "name a document"),
    MARK(0, "PAR1\x15", "a table (Parquet)", "write it out as CSV first"),
#undef MARK
};

static bool has_mark(const mn_reading *r, size_t offset, const char *mark, size_t mark_bytes) {
    return r->bytes >= mark_bytes && offset <= r->bytes - mark_bytes && !memcmp(r->data + offset, mark, mark_bytes);
}

static mn_status unsupported(const mn_reading *r, const char *what, const char *remedy, mn_error *err) {
    return mn_fail(err, MN_ERR_UNSUPPORTED, "%s: is %s, which is not read here; %s.", r->name, what, remedy);
}

static mn_status check_foreign(const mn_reading *r, mn_error *err) {
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (has_mark(r, foreign[i].offset, foreign[i].mark, foreign[i].mark_bytes))
            return unsupported(r, foreign[i].what, foreign[i].remedy, err);
    return MN_OK;
}

static bool holds(const mn_reading *r, const char *word, size_t bytes) {
    return memmem(r->data, r->bytes, word, bytes) != NULL;
}
#define HOLDS(r, word) holds(r, word, sizeof word - 1)

/* Files of Office before 2007, and encrypted ones since, are file systems whose names are UTF-16. */
static mn_status refuse_compound(const mn_reading *r, mn_error *err) {
    if (HOLDS(r, "E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e\0"))
        return unsupported(r, "encrypted (Office)", "save it without a password first", err);
    if (HOLDS(r, "W\0o\0r\0d\0D\0o\0c\0u\0m\0e\0n\0t\0"))
        return unsupported(r, "an old Word document (doc)", "convert it first: " TO_DOCX ", or antiword FILE", err);
    if (HOLDS(r, "W\0o\0r\0k\0b\0o\0o\0k\0"))
        return unsupported(r, "an old Excel table (xls)", "convert it first: soffice --headless --convert-to csv FILE",
                           err);
    if (HOLDS(r, "P\0o\0w\0e\0r\0P\0o\0i\0n\0t\0"))
        return unsupported(r, "an old PowerPoint file (ppt)",
                           "convert it first: soffice --headless --convert-to pdf FILE", err);
    return unsupported(r, "an old Office file", "convert it first: soffice --headless --convert-to pdf FILE", err);
}

/* ---- archives that are documents ---- */

static bool has_mimetype(const mn_reading *r, const char *mimetype) {
    return has_mark(r, 30, "mimetype", 8) && has_mark(r, 38, mimetype, strlen(mimetype));
}

/* The names of members stand in a zip as they are. */
static mn_status find_package(const mn_reading *r, const mn_document_kind **out, mn_error *err) {
    *out = NULL;
    if (has_mimetype(r, "application/epub+zip") || HOLDS(r, "META-INF/container.xml"))
        *out = &epub;
    else if (has_mimetype(r, "application/vnd.oasis.opendocument.text"))
        *out = &odt;
    else if (has_mimetype(r, "application/vnd.oasis.opendocument.spreadsheet"))
        return unsupported(r, "a table (ods)", "convert it first: soffice --headless --convert-to csv FILE", err);
    else if (has_mimetype(r, "application/vnd.oasis.opendocument."))
        return unsupported(r, "an OpenDocument file without running text",
                           "convert it first: soffice --headless --convert-to pdf FILE", err);
    else if (HOLDS(r, "xl/workbook."))
        return unsupported(r, "an Excel table (xlsx)", "convert it first: soffice --headless --convert-to csv FILE",
                           err);
    else if (HOLDS(r, "ppt/presentation."))
        return unsupported(r, "a PowerPoint file (pptx)", "convert it first: soffice --headless --convert-to pdf FILE",
                           err);
    else if (HOLDS(r, "word/document.xml") || (HOLDS(r, "[Content_Types].xml") && HOLDS(r, "word/")))
        *out = &docx;
    else if (HOLDS(r, "META-INF/manifest.xml") && HOLDS(r, "content.xml"))
        *out = &odt;
    else
        return unsupported(r, "an archive (zip)", "unpack it and name the documents in it: unzip FILE", err);
    return MN_OK;
}

/* ---- kinds of text ---- */

static bool ends_with(const char *name, const char *ending) {
    size_t n = strlen(name), m = strlen(ending);
    return n > m && !strcasecmp(name + n - m, ending);
}

static bool looks_like_html(const mn_reading *r) {
    if (mn_document_looks_like_html(r->data, r->bytes)) return true;
    return (ends_with(r->name, ".html") || ends_with(r->name, ".htm") || ends_with(r->name, ".xhtml")) &&
           memchr(r->data, '<', r->bytes);
}

/* The mark may stand behind other bytes, and in a text that speaks of it. */
static bool is_pdf(const mn_reading *r) {
    const char *mark = r->bytes ? memmem(r->data, MN_MIN(r->bytes, (size_t)PDF_MARK_WITHIN), "%PDF-", 5) : NULL;
    return mark && (mark == r->data || HOLDS(r, "endobj") || HOLDS(r, "/Type/ObjStm") || HOLDS(r, "/Type /ObjStm"));
}

mn_status mn_document_find_kind(const mn_reading *r, const mn_document_kind **out, mn_error *err) {
    *out = &text;
    MN_TRY(check_foreign(r, err));
    if (has_mark(r, 0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 8)) return refuse_compound(r, err);
    if (has_mark(r, 0, "PK\3\4", 4) || has_mark(r, 0, "PK\5\6", 4)) return find_package(r, out, err);
    if (is_pdf(r))
        *out = &pdf;
    else if (!r->options.verbatim && looks_like_html(r))
        *out = &html;
    else if (ends_with(r->name, ".md") || ends_with(r->name, ".markdown"))
        *out = &markdown;
    return MN_OK;
}
