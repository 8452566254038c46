/* Files: a read-only mapping (file.c), and a writer that never leaves half a file under the final name (writer.c). */
#ifndef MN_BASE_FILE_H
#define MN_BASE_FILE_H

#include "base/status.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* A whole file, mapped read-only. data is NULL and bytes 0 for an empty file. */
typedef struct mn_mapfile {
    const unsigned char *data;
    size_t bytes;
} mn_mapfile;

/* Errors name the path. Sizes are checked once, at open: a file that is cut later raises SIGBUS on access, whose
 * handler asks mn_mapfile_path_at. */
mn_status mn_mapfile_open(const char *path, mn_mapfile *out, mn_error *err);
void mn_mapfile_close(mn_mapfile *map);
/* The path of the file that is mapped at an address; NULL: none, or more are mapped than are kept track of (64).
 * Async-signal-safe. */
const char *mn_mapfile_path_at(const void *address);

/* Bytes from the beginning of the mapping that lie in memory, at most max_bytes; to touch them waits for no disk. */
size_t mn_mapfile_resident_bytes(const mn_mapfile *map, size_t max_bytes);

/* Reads a whole file, of at most max_bytes, into *out: the caller frees it. "-" is standard input. A NUL is appended
 * after the last byte and not counted. */
mn_status mn_file_read(const char *path, size_t max_bytes, char **out, size_t *out_bytes, mn_error *err);

/* Writes a file without a name, which gets PATH on commit, after fsync: PATH holds the old content or all of the new
 * one, and whoever is killed before leaves nothing. Where the file system has no such files, "PATH.tmp.RANDOM" is
 * written and renamed; what writers that are gone left under such names is removed by the next that opens PATH. Writes
 * after a failure do nothing; the first failure is what commit reports. Targets that are no regular files (/dev/stdout,
 * a pipe) are written in place; links are followed. */
typedef struct mn_writer {
    FILE *file;
    char *path, *temp_path; /* temp_path NULL: in place, or without a name */
    bool nameless;
    size_t offset; /* bytes written so far */
    int error;     /* errno of the first failure, 0 = none */
} mn_writer;

/* Errors name the path. The caller commits or aborts it. */
mn_status mn_writer_open(const char *path, mn_writer *out, mn_error *err);
/* The same under a temporary name from the start, as where the file system has no files without one. */
mn_status mn_writer_open_named(const char *path, mn_writer *out, mn_error *err);
void mn_writer_put(mn_writer *writer, const void *data, size_t bytes);
/* Zero bytes up to the next multiple of align. */
void mn_writer_pad(mn_writer *writer, size_t align);
mn_status mn_writer_commit(mn_writer *writer, mn_error *err);
/* Drops what was written. Safe after commit and on a zeroed writer. */
void mn_writer_abort(mn_writer *writer);
/* The whole of it for one text, which is released; MN_ERR_MEMORY where it could not be put together. */
mn_status mn_file_write(const char *path, mn_strbuf *text, mn_error *err);
/* Removes the temporary names of all open writers. Async-signal-safe: for handlers of signals that end the program. */
void mn_writer_remove_all(void);

/* For bytes of a mapped file: that they will be read soon, so that the system fetches them while others are used; that
 * they will be read in any order, so that it fetches no neighbours; that they were read, so that they and what came
 * with them (MN_MAPPED_AROUND_BYTES) no longer count as this process's memory. The system's cache keeps them, and
 * whoever touches them has them again. Advice: nothing fails. */
enum { MN_MAPPED_AROUND_BYTES = 1 << 16 };
void mn_mapping_will_need(const void *data, size_t bytes);
void mn_mapping_random(const void *data, size_t bytes);
void mn_mapping_was_read(const mn_mapfile *map, size_t begin, size_t bytes);
/* For measurements: the whole pages inside are given back, and leave the system's cache too where no other process has
 * them mapped and the file system keeps them on a disk; to touch them waits for it again. Returns how many bytes of
 * these pages are in memory afterwards. Not beside threads that read them. */
size_t mn_mapping_drop(const void *data, size_t bytes);

/* Whether `bytes` bytes can be written beside PATH: asks the file system (room, quota) and the limits of this process.
 * MN_ERR_IO with a sentence that names what is needed and what there is. Nothing is left behind; others may take the
 * room meanwhile. Special files have room. */
mn_status mn_file_check_room(const char *path, size_t bytes, mn_error *err);

#endif
