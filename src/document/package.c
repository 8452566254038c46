#include "document/package.h"

#include "base/checked.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>

enum { CHUNK_BYTES = 1 << 16, ALWAYS_ALLOWED_BYTES = 1 << 20 };

static mn_status damaged(const mn_reading *r, struct archive *a, mn_error *err) {
    const char *why = archive_error_string(a);
    return mn_fail(err, MN_ERR_FORMAT, "%s: the archive inside is damaged or cut (%s); get the file again.", r->name,
                   why ? why : "it does not end as it should");
}

static size_t allowed_bytes(const mn_reading *r) {
    size_t by_ratio;
    if (!mn_mul_size(r->bytes, MN_PACKAGE_MAX_RATIO, &by_ratio)) by_ratio = SIZE_MAX;
    return MN_MIN(r->options.max_bytes, MN_MAX(by_ratio, (size_t)ALWAYS_ALLOWED_BYTES));
}

/* Reads until the member ends; sizes that the archive states are not believed. */
static mn_status read_member(const mn_reading *r, struct archive *a, size_t left_bytes, mn_strbuf *out, mn_error *err) {
    char chunk[CHUNK_BYTES];
    la_ssize_t n;
    while ((n = archive_read_data(a, chunk, sizeof chunk)) > 0) {
        if (out->bytes + (size_t)n > left_bytes)
            return mn_fail(err, MN_ERR_LIMIT, "%s: unpacks to more than %zu bytes, from %zu; that is not read.",
                           r->name, allowed_bytes(r), r->bytes);
        mn_strbuf_put(out, chunk, (size_t)n);
    }
    if (n < 0) return damaged(r, a, err);
    return out->failed ? mn_fail(err, MN_ERR_MEMORY, "%s: no memory to unpack it.", r->name) : MN_OK;
}

static mn_status add_member(const mn_reading *r, mn_package *p, const char *name, mn_strbuf *text, mn_error *err) {
    if (p->n == p->capacity) {
        size_t capacity = p->capacity ? 2 * p->capacity : 16;
        mn_package_member *grown = realloc(p->members, capacity * sizeof *grown);
        if (!grown) return mn_fail(err, MN_ERR_MEMORY, "%s: no memory for its %zu members.", r->name, capacity);
        p->members = grown;
        p->capacity = capacity;
    }
    mn_package_member member = {.name = strdup(name)};
    member.data = mn_strbuf_detach(text, &member.bytes);
    p->members[p->n++] = member;
    p->total_bytes += member.bytes;
    return member.name && member.data ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "%s: no memory for its members.", r->name);
}

static mn_status read_entry(const mn_reading *r, struct archive *a, struct archive_entry *entry,
                            mn_package_wants *wants, mn_package *p, mn_error *err) {
    mn_strbuf text = MN_STRBUF_INIT;
    const char *name = archive_entry_pathname_utf8(entry);
    if (!name) name = archive_entry_pathname(entry);
    if (!name || !wants(name) || archive_entry_filetype(entry) == AE_IFDIR) return MN_OK;
    if (archive_entry_is_encrypted(entry))
        return mn_fail(err, MN_ERR_UNSUPPORTED, "%s: is encrypted; save it without a password first.", r->name);
    mn_status status = read_member(r, a, allowed_bytes(r) - p->total_bytes, &text, err);
    if (status == MN_OK) status = add_member(r, p, name, &text, err);
    mn_strbuf_release(&text);
    return status;
}

static mn_status read_entries(const mn_reading *r, struct archive *a, mn_package_wants *wants, mn_package *p,
                              mn_error *err) {
    struct archive_entry *entry;
    if (archive_read_support_format_zip_seekable(a) < ARCHIVE_WARN ||
        archive_read_open_memory(a, r->data, r->bytes) != ARCHIVE_OK)
        return damaged(r, a, err);
    for (int n = 0;; n++) {
        int result = archive_read_next_header(a, &entry);
        if (result == ARCHIVE_EOF) return MN_OK;
        if (result == ARCHIVE_FATAL || result == ARCHIVE_RETRY) return damaged(r, a, err);
        if (n == MN_PACKAGE_MAX_ENTRIES)
            return mn_fail(err, MN_ERR_LIMIT, "%s: holds more than %d files; that is not read.", r->name, n);
        MN_TRY(read_entry(r, a, entry, wants, p, err));
    }
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const mn_package_member *)a)->name, ((const mn_package_member *)b)->name);
}

mn_status mn_package_open(const mn_reading *r, mn_package_wants *wants, mn_package *out, mn_error *err) {
    *out = (mn_package){0};
    struct archive *a = archive_read_new();
    if (!a) return mn_fail(err, MN_ERR_MEMORY, "%s: no memory to unpack it.", r->name);
    /* libarchive hands out names in the encoding of the thread's locale, and drops those that it lacks letters for. */
    locale_t unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0), before = (locale_t)0;
    if (unicode) before = uselocale(unicode);
    mn_status status = read_entries(r, a, wants, out, err);
    archive_read_free(a);
    if (unicode) {
        uselocale(before);
        freelocale(unicode);
    }
    if (status == MN_OK && out->n) qsort(out->members, out->n, sizeof *out->members, by_name);
    return status;
}

void mn_package_close(mn_package *package) {
    for (size_t i = 0; i < package->n; i++) {
        free(package->members[i].name);
        free(package->members[i].data);
    }
    free(package->members);
    *package = (mn_package){0};
}

const mn_package_member *mn_package_find(const mn_package *package, const char *name) {
    mn_package_member key = {.name = (char *)name};
    if (!package->n) return NULL;
    return bsearch(&key, package->members, package->n, sizeof key, by_name);
}
