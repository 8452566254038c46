#include "support/zip_file.h"

#include "support/support.h"

#include <stdlib.h>
#include <string.h>

#ifdef MNEMO_HAVE_LIBARCHIVE
#include <archive.h>
#include <archive_entry.h>

static void add_part(struct archive *a, const zip_part *part) {
    size_t bytes = part->bytes ? part->bytes : strlen(part->text);
    bool store = !strcmp(part->name, "mimetype");
    struct archive_entry *entry = archive_entry_new();
    (store ? archive_write_zip_set_compression_store : archive_write_zip_set_compression_deflate)(a);
    archive_entry_set_pathname_utf8(entry, part->name);
    archive_entry_set_size(entry, (la_int64_t)bytes);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    assert_int_equal(archive_write_header(a, entry), ARCHIVE_OK);
    assert_int_equal(archive_write_data(a, part->text, bytes), bytes);
    archive_entry_free(entry);
}

char *make_zip(const zip_part *parts, size_t *bytes) {
    size_t room = 1 << 16;
    for (const zip_part *p = parts; p->name; p++) room += 1024 + (p->bytes ? p->bytes : strlen(p->text));
    char *data = malloc(room);
    struct archive *a = archive_write_new();
    assert_true(data && a);
    archive_write_set_format_zip(a);
    archive_write_set_format_option(a, "zip", "hdrcharset", "UTF-8");
    archive_write_open_memory(a, data, room, bytes);
    for (const zip_part *p = parts; p->name; p++) add_part(a, p);
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
    return data;
}
#else
char *make_zip(const zip_part *parts, size_t *bytes) {
    (void)parts, (void)bytes;
    fail_msg("built without libarchive");
    return NULL;
}
#endif
