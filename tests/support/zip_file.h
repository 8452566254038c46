/* Zip archives made in memory, for documents that are packages. */
#ifndef MN_TESTS_ZIP_FILE_H
#define MN_TESTS_ZIP_FILE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct zip_part {
    const char *name, *text; /* a NULL name ends a list */
    size_t bytes;            /* 0 = the text ends with its NUL */
} zip_part;

/* The archive (the caller frees it), members in the order of the list; deflated, but "mimetype" stored. Fails the test
 * where libarchive is not there. */
char *make_zip(const zip_part *parts, size_t *bytes);

#endif
