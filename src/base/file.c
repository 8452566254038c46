#include "base/file.h"

#include "base/checked.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LARGE_FILE_BYTES = 1 << 24 };

static mn_status map_descriptor(int fd, const char *path, mn_mapfile *out, mn_error *err) {
    struct stat st;
    if (fstat(fd, &st)) return mn_fail(err, MN_ERR_IO, "%s: cannot be examined: %s.", path, strerror(errno));
    if (S_ISDIR(st.st_mode)) return mn_fail(err, MN_ERR_IO, "%s: is a directory; name a file.", path);
    if (!S_ISREG(st.st_mode))
        return mn_fail(err, MN_ERR_IO, "%s: is not a regular file, so it cannot be mapped.", path);
    *out = (mn_mapfile){.bytes = (size_t)st.st_size};
    if (st.st_size == 0) return MN_OK;
    void *data = mmap(NULL, out->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return mn_fail(err, MN_ERR_MEMORY, "%s: cannot map %zu bytes: %s.", path, out->bytes, strerror(errno));
    /* Large pages, where the file system has them (ext4 and others since Linux 6.16) and the file is not cached in
     * small ones already: beside a deep cache, finding small ones cost as much as reading them. Elsewhere the wish is
     * refused. */
    if (out->bytes >= LARGE_FILE_BYTES) madvise(data, out->bytes, MADV_HUGEPAGE);
    out->data = data;
    return MN_OK;
}

mn_status mn_mapfile_open(const char *path, mn_mapfile *out, mn_error *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return mn_fail(err, MN_ERR_IO, "%s: cannot open: %s.", path, strerror(errno));
    mn_status status = map_descriptor(fd, path, out, err);
    close(fd);
    return status;
}

void mn_mapfile_close(mn_mapfile *map) {
    if (map->data) munmap((void *)map->data, map->bytes);
    *map = (mn_mapfile){0};
}

/* Reads until end of file; a file that does not tell its size (a pipe) grows the buffer by doubling. */
static mn_status read_stream(FILE *in, const char *path, size_t max_bytes, char **out, size_t *out_bytes,
                             mn_error *err) {
    size_t capacity = 1 << 16, used = 0;
    char *data = malloc(capacity);
    while (data) {
        used += fread(data + used, 1, capacity - 1 - used, in);
        if (used < capacity - 1) break;
        if (used > max_bytes) break;
        char *grown = realloc(data, capacity *= 2);
        if (!grown) free(data);
        data = grown;
    }
    if (!data) return mn_fail(err, MN_ERR_MEMORY, "%s: no memory for more than %zu bytes.", path, used);
    if (ferror(in) || used > max_bytes) {
        free(data);
        if (used > max_bytes)
            return mn_fail(err, MN_ERR_LIMIT, "%s: is longer than the %zu bytes allowed here.", path, max_bytes);
        return mn_fail(err, MN_ERR_IO, "%s: cannot read: %s.", path, strerror(errno));
    }
    data[used] = 0;
    *out = data;
    *out_bytes = used;
    return MN_OK;
}

mn_status mn_file_read(const char *path, size_t max_bytes, char **out, size_t *out_bytes, mn_error *err) {
    if (strcmp(path, "-") == 0) return read_stream(stdin, "standard input", max_bytes, out, out_bytes, err);
    FILE *in = fopen(path, "rbe");
    if (!in) return mn_fail(err, MN_ERR_IO, "%s: cannot open: %s.", path, strerror(errno));
    mn_status status = read_stream(in, path, max_bytes, out, out_bytes, err);
    fclose(in);
    return status;
}

static int is_special(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

mn_status mn_writer_open(const char *path, mn_writer *out, mn_error *err) {
    *out = (mn_writer){.path = strdup(path)};
    if (!out->path) return mn_fail(err, MN_ERR_MEMORY, "%s: no memory for its name.", path);
    if (!is_special(path) && asprintf(&out->temp_path, "%s.tmp.%ld", path, (long)getpid()) < 0) {
        out->temp_path = NULL;
        mn_writer_abort(out);
        return mn_fail(err, MN_ERR_MEMORY, "%s: no memory for its name.", path);
    }
    out->file = fopen(out->temp_path ? out->temp_path : path, "wbe");
    if (out->file) return MN_OK;
    int error = errno;
    mn_writer_abort(out);
    return mn_fail(err, MN_ERR_IO, "%s: cannot write here: %s.", path, strerror(error));
}

void mn_writer_put(mn_writer *writer, const void *data, size_t bytes) {
    if (writer->error || bytes == 0) return;
    if (fwrite(data, 1, bytes, writer->file) != bytes) writer->error = errno ? errno : EIO;
    writer->offset += bytes;
}

void mn_writer_pad(mn_writer *writer, size_t align) {
    static const char zeros[64];
    size_t rest = (align - writer->offset % align) % align;
    for (; rest > 0; rest -= MN_MIN(rest, sizeof zeros)) mn_writer_put(writer, zeros, MN_MIN(rest, sizeof zeros));
}

static int finish(mn_writer *writer) {
    if (writer->error) return writer->error;
    if (fflush(writer->file)) return errno;
    if (writer->temp_path && fsync(fileno(writer->file))) return errno;
    int failed = fclose(writer->file);
    writer->file = NULL;
    if (failed) return errno;
    if (writer->temp_path && rename(writer->temp_path, writer->path)) return errno;
    free(writer->temp_path);
    writer->temp_path = NULL;
    return 0;
}

mn_status mn_writer_commit(mn_writer *writer, mn_error *err) {
    mn_status status = MN_OK;
    int error = finish(writer);
    if (error)
        status =
            mn_fail(err, MN_ERR_IO, "%s: cannot write: %s; nothing was left there.", writer->path, strerror(error));
    mn_writer_abort(writer);
    return status;
}

void mn_writer_abort(mn_writer *writer) {
    if (writer->file) fclose(writer->file);
    if (writer->temp_path) unlink(writer->temp_path);
    free(writer->temp_path);
    free(writer->path);
    *writer = (mn_writer){0};
}
