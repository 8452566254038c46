/* Files: a read-only mapping, and a writer that never leaves half a file under the final name. */
#ifndef MN_BASE_FILE_H
#define MN_BASE_FILE_H

#include "base/status.h"

#include <stddef.h>
#include <stdio.h>

/* A whole file, mapped read-only. data is NULL and bytes 0 for an empty file. */
typedef struct mn_mapfile {
    const unsigned char *data;
    size_t bytes;
} mn_mapfile;

/* Errors name the path. A file cut after the mapping raises SIGBUS on access: sizes are checked once, at open. */
mn_status mn_mapfile_open(const char *path, mn_mapfile *out, mn_error *err);
void mn_mapfile_close(mn_mapfile *map);

/* Reads a whole file, of at most max_bytes, into *out: the caller frees it. "-" is standard input. A NUL is appended
 * after the last byte and not counted. */
mn_status mn_file_read(const char *path, size_t max_bytes, char **out, size_t *out_bytes, mn_error *err);

/* Writes to "PATH.tmp.PID" and renames on commit, after fsync: PATH holds the old content or all of the new one.
 * Writes after a failure do nothing; the first failure is what commit reports. Targets that are not regular files
 * (/dev/stdout, a pipe) are written in place. */
typedef struct mn_writer {
    FILE *file;
    char *path, *temp_path; /* temp_path NULL: written in place */
    size_t offset;          /* bytes written so far */
    int error;              /* errno of the first failure, 0 = none */
} mn_writer;

mn_status mn_writer_open(const char *path, mn_writer *out, mn_error *err);
void mn_writer_put(mn_writer *writer, const void *data, size_t bytes);
/* Zero bytes up to the next multiple of align. */
void mn_writer_pad(mn_writer *writer, size_t align);
mn_status mn_writer_commit(mn_writer *writer, mn_error *err);
/* Drops what was written. Safe after commit and on a zeroed writer. */
void mn_writer_abort(mn_writer *writer);

#endif
