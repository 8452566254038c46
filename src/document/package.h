/* Files that are zip archives of XML (docx, odt, EPUB): the members that a reader wants, in memory, by libarchive.
 *
 * Names are keys and never paths. Bounded: MN_PACKAGE_MAX_ENTRIES entries, max_bytes of wanted members in all, and
 * MN_PACKAGE_MAX_RATIO times the archive's own bytes (a mebibyte is always allowed), whatever the sizes that it states.
 */
#ifndef MN_DOCUMENT_PACKAGE_H
#define MN_DOCUMENT_PACKAGE_H

#include "document/reading.h"

enum { MN_PACKAGE_MAX_ENTRIES = 100000, MN_PACKAGE_MAX_RATIO = 300 };

typedef struct mn_package_member {
    char *name, *data;
    size_t bytes;
} mn_package_member;

typedef struct mn_package {
    mn_package_member *members; /* sorted by name */
    size_t n, capacity, total_bytes;
} mn_package;

/* Whether a member is to be kept. */
typedef bool mn_package_wants(const char *name);

/* The caller closes *out, after errors too. Errors: a damaged, encrypted or overgrown archive. */
mn_status mn_package_open(const mn_reading *r, mn_package_wants *wants, mn_package *out, mn_error *err);
void mn_package_close(mn_package *package);

/* The member of this name, NULL where there is none. */
const mn_package_member *mn_package_find(const mn_package *package, const char *name);

#endif
