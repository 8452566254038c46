/* Electronic books (EPUB 2 and 3): the chapters in the order of the spine, each a web page. */
#include "base/checked.h"
#include "document/dublin_core.h"
#include "document/html.h"
#include "document/markup.h"
#include "document/package.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A file of the book, and whether it was read already: a spine that names one again does not double it. */
typedef struct item {
    char *id, *path;
    bool is_page, is_read, is_locked;
} item;

typedef struct book {
    mn_flow flow;
    mn_package package;
    char root[MN_MARKUP_MAX_VALUE_BYTES]; /* the package document, "" = not found */
    item *items;
    size_t n_items, item_capacity;
    char **spine; /* ids */
    size_t n_spine, spine_capacity;
    size_t n_missing, n_repeated, n_no_pages;
} book;

static bool ends_with(const char *name, const char *ending) {
    size_t n = strlen(name), m = strlen(ending);
    return n >= m && !strcasecmp(name + n - m, ending);
}

static bool wants(const char *name) {
    static const char *const endings[] = {".xhtml", ".html", ".htm", ".xml", ".opf"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ends_with(name, endings[i])) return true;
    return false;
}

/* ---- names ---- */

static int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return isxdigit((unsigned char)c) ? (c | 32) - 'a' + 10 : -1;
}

/* In place: %20 and its kin become bytes, what follows # goes. */
static void unescape(char *path) {
    char *out = path;
    for (const char *p = path; *p && *p != '#'; p++) {
        bool is_escape = *p == '%' && hex(p[1]) >= 0 && hex(p[2]) >= 0;
        *out++ = is_escape ? (char)(hex(p[1]) << 4 | hex(p[2])) : *p;
        if (is_escape) p += 2;
    }
    *out = 0;
}

/* The member that a relative name means, seen from the member `from`; "." and ".." are resolved and never lead out.
 * NULL when memory ends. */
static char *resolve(const char *from, const char *name) {
    const char *slash = strrchr(from, '/');
    size_t base_bytes = slash && *name != '/' ? (size_t)(slash - from) + 1 : 0, n = 0;
    char *joined = malloc(base_bytes + strlen(name) + 1);
    if (!joined) return NULL;
    memcpy(joined, from, base_bytes);
    strcpy(joined + base_bytes, name);
    unescape(joined + base_bytes);
    for (const char *p = joined; *p;) {
        size_t k = strcspn(p, "/");
        const char *next = p + k + (p[k] == '/');
        if (k == 2 && p[0] == '.' && p[1] == '.') {
            while (n > 0 && joined[--n] != '/') {
            }
        } else if (k > 0 && !(k == 1 && p[0] == '.')) {
            if (n > 0) joined[n++] = '/';
            memmove(joined + n, p, k);
            n += k;
        }
        p = next;
    }
    joined[n] = 0;
    return joined;
}

/* ---- the package document ---- */

static bool on_container(void *arg, const mn_element *element, int depth) {
    book *b = arg;
    (void)depth;
    if (!b->root[0] && !strcmp(element->name, "rootfile")) mn_element_attribute(element, "full-path", b->root);
    return true;
}

/* Room for one more; NULL, and noted, when memory ends. */
static void *grow(book *b, void *items, size_t n, size_t *capacity, size_t item_bytes) {
    if (n < *capacity) return items;
    size_t more = *capacity ? 2 * *capacity : 32;
    void *grown = realloc(items, more * item_bytes);
    if (!grown)
        b->flow.reading->no_memory = true;
    else
        *capacity = more;
    return grown;
}

static void add_item(book *b, const mn_element *element) {
    char id[MN_MARKUP_MAX_VALUE_BYTES], href[MN_MARKUP_MAX_VALUE_BYTES], type[MN_MARKUP_MAX_VALUE_BYTES];
    if (!mn_element_attribute(element, "id", id) || !mn_element_attribute(element, "href", href)) return;
    item *items = grow(b, b->items, b->n_items, &b->item_capacity, sizeof *items);
    if (!items) return;
    b->items = items;
    bool has_type = mn_element_attribute(element, "media-type", type);
    bool is_page = has_type ? !strcmp(type, "application/xhtml+xml") || !strcmp(type, "text/html") : wants(href);
    item new_item = {.id = strdup(id), .path = resolve(b->root, href), .is_page = is_page};
    if (new_item.id && new_item.path) {
        b->items[b->n_items++] = new_item;
        return;
    }
    b->flow.reading->no_memory = true;
    free(new_item.id);
    free(new_item.path);
}

static void add_to_spine(book *b, const mn_element *element) {
    char id[MN_MARKUP_MAX_VALUE_BYTES];
    if (!mn_element_attribute(element, "idref", id)) return;
    char **spine = grow(b, b->spine, b->n_spine, &b->spine_capacity, sizeof *spine), *copy = strdup(id);
    if (spine) b->spine = spine;
    if (spine && copy) {
        b->spine[b->n_spine++] = copy;
    } else {
        b->flow.reading->no_memory = true;
        free(copy);
    }
}

static bool on_start(void *arg, const mn_element *element, int depth) {
    book *b = arg;
    (void)depth;
    if (!strcmp(element->name, "item")) add_item(b, element);
    if (!strcmp(element->name, "itemref")) add_to_spine(b, element);
    return true;
}

static bool is_done(void *arg) { return mn_reading_full(((book *)arg)->flow.reading); }

/* ---- the chapters ---- */

static int by_id(const void *a, const void *b) { return strcmp(((const item *)a)->id, ((const item *)b)->id); }
static int by_path(const void *a, const void *b) { return strcmp(((const item *)a)->path, ((const item *)b)->path); }

static bool on_lock(void *arg, const mn_element *element, int depth) {
    book *b = arg;
    char uri[MN_MARKUP_MAX_VALUE_BYTES];
    (void)depth;
    if (strcmp(element->name, "CipherReference") || !mn_element_attribute(element, "URI", uri)) return true;
    item key = {.path = resolve("", uri)};
    item *found = key.path && b->n_items ? bsearch(&key, b->items, b->n_items, sizeof key, by_path) : NULL;
    if (found) found->is_locked = true;
    free(key.path);
    return true;
}

/* Books sold under a lock state which of their files are encrypted; fonts, often obscured so, do not matter here. */
static mn_status find_locks(book *b, mn_error *err) {
    const mn_package_member *locks = mn_package_find(&b->package, "META-INF/encryption.xml");
    mn_markup_handler handler = {.arg = b, .start = on_lock};
    if (!locks) return MN_OK;
    if (b->n_items) qsort(b->items, b->n_items, sizeof *b->items, by_path);
    return mn_markup_xml(b->flow.reading, locks->data, locks->bytes, &handler, err);
}

static mn_status read_chapter(book *b, const char *id, mn_error *err) {
    item key = {.id = (char *)id};
    item *found = b->n_items ? bsearch(&key, b->items, b->n_items, sizeof key, by_id) : NULL;
    const mn_package_member *page = found ? mn_package_find(&b->package, found->path) : NULL;
    if (found && !found->is_page) {
        b->n_no_pages++;
    } else if (!page) {
        b->n_missing++;
    } else if (found->is_locked) {
        return mn_fail(err, MN_ERR_UNSUPPORTED,
                       "%s: is locked (its chapters are encrypted); only a program of its seller can read it.",
                       b->flow.reading->name);
    } else if (found->is_read) {
        b->n_repeated++;
    } else {
        found->is_read = true;
        mn_flow_paragraph(&b->flow);
        return mn_document_html_into(&b->flow, page->data, page->bytes, err);
    }
    return MN_OK;
}

static mn_status read_package(book *b, mn_error *err) {
    const char *name = b->flow.reading->name;
    mn_markup_handler container = {.arg = b, .start = on_container};
    mn_markup_handler package = {.arg = b, .start = on_start, .is_done = is_done};
    const mn_package_member *part = mn_package_find(&b->package, "META-INF/container.xml");
    if (part) MN_TRY(mn_markup_xml(b->flow.reading, part->data, part->bytes, &container, err));
    part = mn_package_find(&b->package, b->root);
    if (!part)
        return mn_fail(err, MN_ERR_FORMAT, "%s: is no EPUB: the list of its chapters is not in the archive.", name);
    MN_TRY(mn_markup_xml(b->flow.reading, part->data, part->bytes, &package, err));
    MN_TRY(mn_dublin_core_title(b->flow.reading, part, err));
    MN_TRY(find_locks(b, err));
    if (b->n_items) qsort(b->items, b->n_items, sizeof *b->items, by_id);
    return MN_OK;
}

static mn_status read_book(book *b, mn_error *err) {
    MN_TRY(mn_package_open(b->flow.reading, wants, &b->package, err));
    MN_TRY(read_package(b, err));
    for (size_t i = 0; i < b->n_spine && !is_done(b); i++) MN_TRY(read_chapter(b, b->spine[i], err));
    return MN_OK;
}

static void note_spine(book *b) {
    mn_reading *r = b->flow.reading;
    if (b->n_missing) mn_reading_note(r, "%zu chapters that the book lists are not in the file", b->n_missing);
    if (b->n_repeated) mn_reading_note(r, "%zu chapters that the book lists again are read once", b->n_repeated);
    if (b->n_no_pages) mn_reading_note(r, "%zu chapters are no text and left out", b->n_no_pages);
}

mn_status mn_document_epub(mn_reading *r, mn_error *err) {
    book b = {.flow = {.reading = r}};
    mn_status status = read_book(&b, err);
    note_spine(&b);
    mn_flow_finish(&b.flow);
    for (size_t i = 0; i < b.n_items; i++) free(b.items[i].id), free(b.items[i].path);
    for (size_t i = 0; i < b.n_spine; i++) free(b.spine[i]);
    free(b.items);
    free(b.spine);
    mn_package_close(&b.package);
    return status;
}
