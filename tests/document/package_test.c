/* Word, OpenDocument and EPUB files, made here: what they hold comes out in order; damaged and hostile ones end in a
 * sentence. */
#include "support/document.h"
#include "support/zip_file.h"

#include <stdlib.h>
#include <string.h>

/* ---- Word ---- */

#define W "xmlns:w='http://schemas.openxmlformats.org/wordprocessingml/2006/main'"
#define P(text) "<w:p><w:r><w:t>" text "</w:t></w:r></w:p>"
#define STYLED(style, text) "<w:p><w:pPr><w:pStyle w:val='" style "'/></w:pPr><w:r><w:t>" text "</w:t></w:r></w:p>"
#define ITEM(text) "<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>" text "</w:t></w:r></w:p>"
#define CELL(text) "<w:tc>" P(text) "</w:tc>"

static const char word_types[] = "<Types xmlns='http://schemas.openxmlformats.org/package/2006/content-types'/>";
static const char word_relations[] =
    "<Relationships xmlns='http://schemas.openxmlformats.org/package/2006/relationships'><Relationship Id='1' "
    "Type='http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument' "
    "Target='word/document2.xml'/></Relationships>";
static const char word_core[] = "<cp:coreProperties xmlns:cp='c' xmlns:dc='http://purl.org/dc/elements/1.1/'><dc:title>"
                                "Of tea</dc:title><dc:creator>Nobody</dc:creator></cp:coreProperties>";
static const char word_styles[] =
    "<w:styles " W "><w:style w:styleId='berschrift1'><w:name w:val='heading 1'/></w:style>"
    "<w:style w:styleId='Own'><w:name w:val='Own'/><w:pPr><w:outlineLvl w:val='1'/></w:pPr></w:style></w:styles>";
static const char word_body[] =
    "<?xml version='1.0' encoding='UTF-8'?><w:document " W " xmlns:m='http://schemas.openxmlformats.org/officeDocument/"
    "2006/math' xmlns:mc='mc'><w:body>" STYLED(
        "berschrift1",
        "Tea") "<w:p><w:r><w:t xml:space='preserve'>Tea &amp; </w:t></w:r><w:r><w:t>milk</w:t><w:tab/><w:t>1 "
               "\xe2\x82\xac</w:t>"
               "<w:br/><w:t>hot</w:t><w:footnoteReference w:id='2'/></w:r></w:p>" STYLED("Own", "How") ITEM("boil")
                   ITEM("wait") "<w:p><w:del><w:r><w:delText>old</w:delText></w:r></w:del><w:moveFrom><w:r><w:t>moved</"
                                "w:t></w:r></w:moveFrom>"
                                "<w:ins><w:r><w:t>new</w:t><a:p "
                                "xmlns:a='drawing'/></w:r></w:ins><w:r><w:instrText>PAGE</w:instrText></"
                                "w:r><m:oMath><m:r><m:t>x+1</m:t>"
                                "</m:r></m:oMath></w:p><w:tbl><w:tr>" CELL("a") CELL("b") "</w:tr><w:tr>" CELL("c")
                                    CELL("d") "</w:tr></w:tbl><w:p><w:r><mc:AlternateContent><mc:Choice><w:drawing/></"
                                              "mc:Choice><mc:Fallback><w:pict/><w:t>again"
                                              "</w:t></mc:Fallback></mc:AlternateContent></w:r></w:p>" P(
                                                  "End.") "</w:body></w:document>";
static const char word_notes[] = "<w:footnotes " W "><w:footnote w:id='0' w:type='separator'>" P(
    "---") "</w:footnote><w:footnote w:id='2'>" P("Or cold.") "</w:footnote></w:footnotes>";
static const char word_text[] = "# Tea\n\nTea & milk 1 \xe2\x82\xac\nhot[^2]\n\n## How\n\n- boil\n- wait\nnewx+1\n\n"
                                "a | b\nc | d\n\nEnd.\n\n[^2] Or cold.";

static const zip_part word_parts[] = {{"[Content_Types].xml", word_types, 0},
                                      {"_rels/.rels", word_relations, 0},
                                      {"docProps/core.xml", word_core, 0},
                                      {"word/document2.xml", word_body, 0},
                                      {"word/styles.xml", word_styles, 0},
                                      {"word/footnotes.xml", word_notes, 0},
                                      {NULL, NULL, 0}};

static void word_documents_are_read(void **state) {
    (void)state;
    size_t bytes;
    char *zip = make_zip(word_parts, &bytes);
    mn_document document = read_document("letter", zip, bytes);
    assert_string_equal(document.text, word_text);
    assert_string_equal(document.kind, "docx");
    assert_string_equal(document.title, "Of tea");
    assert_int_equal(document.n_sections, 2);
    assert_string_equal(document.sections[1].title, "How");
    assert_note(&document, "tracked changes");
    assert_note(&document, "1 pictures");
    mn_document_release(&document);
    free(zip);
}

/* ---- OpenDocument ---- */

static const char open_type[] = "application/vnd.oasis.opendocument.text";
static const char open_manifest[] = "<manifest xmlns='m'/>";
static const char open_meta[] = "<o:document-meta xmlns:o='o' xmlns:dc='http://purl.org/dc/elements/1.1/'><o:meta>"
                                "<dc:title>Of milk</dc:title></o:meta></o:document-meta>";
static const char open_content[] =
    "<o:document-content xmlns:o='o' xmlns:t='urn:oasis:names:tc:opendocument:xmlns:text:1.0' xmlns:b='b' xmlns:d='d'>"
    "<o:automatic-styles>\n  "
    "</o:automatic-styles><o:body><o:text><t:tracked-changes><t:p>gone</t:p></t:tracked-changes>"
    "<t:h t:outline-level='2'>Milk</t:h><t:p>Fresh<t:s "
    "t:c='3'/>milk<t:tab/>is<t:line-break/>white<t:note><t:note-citation>"
    "1</t:note-citation><t:note-body><t:p>Mostly.</t:p></t:note-body></t:note>, "
    "yes.</t:p>\n<t:list><t:list-item><t:p>cow"
    "</t:p></t:list-item><t:list-item><t:p>goat</t:p></t:list-item></"
    "t:list><b:table><b:table-row><b:table-cell><t:p>a</t:p>"
    "</b:table-cell><b:table-cell><t:p>b</t:p></b:table-cell></b:table-row></b:table><t:p>End<o:annotation><t:p>No!</"
    "t:p>"
    "</o:annotation>.</t:p></o:text></o:body></o:document-content>";
static const char open_text[] =
    "## Milk\n\nFresh milk is\nwhite [note: Mostly.], yes.\n\n- cow\n- goat\n\na | b\n\nEnd.";

static const zip_part open_parts[] = {{"mimetype", open_type, 0},
                                      {"META-INF/manifest.xml", open_manifest, 0},
                                      {"meta.xml", open_meta, 0},
                                      {"content.xml", open_content, 0},
                                      {NULL, NULL, 0}};

static void open_documents_are_read(void **state) {
    (void)state;
    size_t bytes;
    char *zip = make_zip(open_parts, &bytes);
    mn_document document = read_document("letter", zip, bytes);
    assert_string_equal(document.text, open_text);
    assert_string_equal(document.kind, "odt");
    assert_string_equal(document.title, "Of milk");
    assert_note(&document, "1 comments");
    assert_note(&document, "tracked changes");
    mn_document_release(&document);
    free(zip);
}

static void encrypted_ones_are_named(void **state) {
    (void)state;
    static const char manifest[] = "<manifest xmlns='m'><encryption-data/></manifest>";
    const zip_part parts[] = {{"mimetype", open_type, 0},
                              {"META-INF/manifest.xml", manifest, 0},
                              {"content.xml", "\x01\x02\x03", 0},
                              {NULL, NULL, 0}};
    size_t bytes;
    char *zip = make_zip(parts, &bytes);
    assert_refused("a.odt", zip, bytes, MN_ERR_UNSUPPORTED, "password");
    free(zip);
}

/* ---- EPUB ---- */

static const char book_type[] = "application/epub+zip";
static const char book_container[] =
    "<container xmlns='urn:oasis:names:tc:opendocument:xmlns:container'><rootfiles>"
    "<rootfile full-path='OPS/book.opf' media-type='application/oebps-package+xml'/></rootfiles></container>";
static const char chapter_one[] = "<?xml version='1.0' encoding='UTF-8'?><!DOCTYPE html PUBLIC '-//W3C//DTD XHTML "
                                  "1.1//EN' 'http://www.w3.org/TR/xhtml11/"
                                  "DTD/xhtml11.dtd'><html xmlns='http://www.w3.org/1999/xhtml'><head><title/><script "
                                  "src='x'/></head><body><h1>One</h1>"
                                  "<p>It&nbsp;rained.</p></body></html>";
static const char chapter_two[] = "<html><body><h1>Two</h1><p>It snowed.</p></body></html>";

#define ITEM_OF(id, href) "<item id='" id "' href='" href "' media-type='application/xhtml+xml'/>"
#define BOOK(items, spine)                                                                                             \
    "<package xmlns='http://www.idpf.org/2007/opf'><metadata xmlns:dc='http://purl.org/dc/elements/1.1/'><dc:title>"   \
    "Weather</dc:title></metadata><manifest>" items "</manifest><spine>" spine "</spine></package>"

static const char book_package[] = BOOK(
    ITEM_OF("b", "text/zwei%20\xc3\xa4.xhtml")
        ITEM_OF("a", "text/../../OPS/./eins.xhtml#top") "<item id='c' href='cover.svg' media-type='image/svg+xml'/>",
    "<itemref idref='c'/><itemref idref='a'/><itemref idref='b'/><itemref idref='a'/><itemref idref='none'/>");

static const zip_part book_parts[] = {{"mimetype", book_type, 0},
                                      {"OPS/text/zwei \xc3\xa4.xhtml", chapter_two, 0},
                                      {"OPS/eins.xhtml", chapter_one, 0},
                                      {"OPS/book.opf", book_package, 0},
                                      {"META-INF/container.xml", book_container, 0},
                                      {NULL, NULL, 0}};

static void books_are_read_in_the_order_of_the_spine(void **state) {
    (void)state;
    size_t bytes;
    char *zip = make_zip(book_parts, &bytes);
    mn_document document = read_document("book", zip, bytes);
    assert_string_equal(document.text, "# One\n\nIt rained.\n\n# Two\n\nIt snowed.");
    assert_string_equal(document.kind, "EPUB");
    assert_string_equal(document.title, "Weather");
    assert_int_equal(document.n_sections, 2);
    assert_note(&document, "1 chapters that the book lists are not");
    assert_note(&document, "1 chapters that the book lists again");
    assert_note(&document, "1 chapters are no text");
    mn_document_release(&document);
    free(zip);
}

static void names_never_lead_out_of_the_archive(void **state) {
    (void)state;
    static const char package[] =
        BOOK(ITEM_OF("a", "../../../../etc/passwd") ITEM_OF("b", "/etc/passwd") ITEM_OF("c", "file:///etc/passwd"),
             "<itemref idref='a'/><itemref idref='b'/><itemref idref='c'/>");
    const zip_part parts[] = {{"mimetype", book_type, 0},
                              {"OPS/book.opf", package, 0},
                              {"META-INF/container.xml", book_container, 0},
                              {NULL, NULL, 0}};
    size_t bytes;
    char *zip = make_zip(parts, &bytes);
    assert_refused("book", zip, bytes, MN_ERR_FORMAT, "no text");
    free(zip);
}

static void locked_books_are_named(void **state) {
    (void)state;
    static const char locks[] = "<encryption xmlns='e'><CipherReference URI='OPS/eins.xhtml'/></encryption>",
                      fonts[] = "<encryption xmlns='e'><CipherReference URI='OPS/font.otf'/></encryption>";
    zip_part parts[7] = {[5] = {"META-INF/encryption.xml", locks, 0}};
    memcpy(parts, book_parts, 5 * sizeof *parts);
    size_t bytes;
    char *zip = make_zip(parts, &bytes);
    assert_refused("book", zip, bytes, MN_ERR_UNSUPPORTED, "locked");
    free(zip);
    parts[5].text = fonts;
    zip = make_zip(parts, &bytes);
    mn_document document = read_document("book", zip, bytes);
    mn_document_release(&document);
    free(zip);
}

/* ---- hostile ---- */

/* Entities that a file declares are never expanded, and nothing outside is read. */
static void entities_are_not_expanded(void **state) {
    (void)state;
    static const char body[] =
        "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'><!ENTITY c SYSTEM 'file:///etc/passwd'>"
        "<!ENTITY % d SYSTEM 'file:///etc/passwd'>%d;]><w:document " W "><w:body><w:p><w:r><w:t>begin &b;&c; end</w:t>"
        "</w:r></w:p></w:body></w:document>";
    const zip_part parts[] = {{"[Content_Types].xml", word_types, 0}, {"word/document.xml", body, 0}, {NULL, NULL, 0}};
    size_t bytes;
    char *zip = make_zip(parts, &bytes);
    mn_document document;
    mn_error err;
    if (mn_document_read_bytes("a", zip, bytes, NULL, &document, &err) == MN_OK)
        assert_string_equal(document.text, "begin end");
    else
        assert_non_null(strstr(err.text, "damaged at line 1"));
    mn_document_release(&document);
    free(zip);
}

static void bombs_are_stopped(void **state) {
    (void)state;
    enum { BOMB_BYTES = 8 << 20 };
    char *spaces = malloc(BOMB_BYTES + 1);
    memset(spaces, ' ', BOMB_BYTES);
    memcpy(spaces, "<a>", 3);
    spaces[BOMB_BYTES] = 0;
    const zip_part parts[] = {
        {"[Content_Types].xml", word_types, 0}, {"word/document.xml", spaces, BOMB_BYTES}, {NULL, NULL, 0}};
    size_t bytes;
    char *zip = make_zip(parts, &bytes);
    assert_true(bytes < 20000);
    assert_refused("bomb.docx", zip, bytes, MN_ERR_LIMIT, "unpacks to more than");
    free(zip);
    free(spaces);
}

static void deep_xml_is_refused(void **state) {
    (void)state;
    enum { DEPTH = 100000 };
    char *deep = malloc(3 * DEPTH + 1);
    for (size_t i = 0; i < DEPTH; i++) memcpy(deep + 3 * i, "<a>", 4);
    const zip_part parts[] = {
        {"[Content_Types].xml", word_types, 0}, {"word/document.xml", deep, 3 * DEPTH}, {NULL, NULL, 0}};
    size_t bytes;
    char *zip = make_zip(parts, &bytes);
    assert_refused("a", zip, bytes, MN_ERR_FORMAT, "damaged");
    free(zip);
    free(deep);
}

/* Cut anywhere, or with any byte changed, a file gives its text, other text or an error, and nothing worse; cut, it
 * never gives the whole text's beginning as if it were all. */
static void assert_survives(const zip_part *parts, const char *text) {
    size_t bytes;
    char *zip = make_zip(parts, &bytes), *copy = malloc(bytes);
    mn_document document;
    mn_error err;
    for (size_t n = 4; n < bytes; n += 1 + n / 64) { /* less is no archive */
        char *cut = malloc(n + !n);                  /* no byte more, for sanitizers */
        memcpy(cut, zip, n);
        if (mn_document_read_bytes("cut", cut, n, NULL, &document, &err) == MN_OK)
            assert_string_equal(document.text, text);
        mn_document_release(&document);
        free(cut);
    }
    for (size_t i = 0; i < bytes; i += 3) {
        memcpy(copy, zip, bytes);
        copy[i] ^= (char)(1 + i % 255);
        if (mn_document_read_bytes("changed", copy, bytes, NULL, &document, &err) != MN_OK) assert_true(err.text[0]);
        mn_document_release(&document);
    }
    free(copy);
    free(zip);
}

static void damaged_files_do_no_harm(void **state) {
    (void)state;
    assert_survives(word_parts, word_text);
    assert_survives(open_parts, open_text);
    assert_survives(book_parts, "# One\n\nIt rained.\n\n# Two\n\nIt snowed.");
}

static void other_archives_are_named(void **state) {
    (void)state;
    static const struct {
        const char *member, *part;
    } cases[] = {{"xl/workbook.xml", "Excel"}, {"ppt/presentation.xml", "PowerPoint"}, {"a.txt", "unzip"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const zip_part parts[] = {{cases[i].member, "x", 0}, {NULL, NULL, 0}};
        size_t bytes;
        char *zip = make_zip(parts, &bytes);
        assert_refused("a.zip", zip, bytes, MN_ERR_UNSUPPORTED, cases[i].part);
        free(zip);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(word_documents_are_read),
        cmocka_unit_test(open_documents_are_read),
        cmocka_unit_test(encrypted_ones_are_named),
        cmocka_unit_test(books_are_read_in_the_order_of_the_spine),
        cmocka_unit_test(names_never_lead_out_of_the_archive),
        cmocka_unit_test(locked_books_are_named),
        cmocka_unit_test(entities_are_not_expanded),
        cmocka_unit_test(bombs_are_stopped),
        cmocka_unit_test(deep_xml_is_refused),
        cmocka_unit_test(damaged_files_do_no_harm),
        cmocka_unit_test(other_archives_are_named),
    };
#if !defined MNEMO_HAVE_LIBXML2 || !defined MNEMO_HAVE_LIBARCHIVE
    static const char zip[] = "PK\3\4..........................mimetypeapplication/epub+zip";
    assert_refused("a.epub", zip, sizeof zip - 1, MN_ERR_UNSUPPORTED, "libarchive-dev");
    fprintf(stderr, "skipped: documents in archives, as this build is without libxml2 or libarchive\n");
    return 77;
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
