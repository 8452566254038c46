#include "base/file.h"

#include "base/checked.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <stdint.h>
#include <unistd.h>

enum { LARGE_FILE_BYTES = 1 << 24, MAX_LIVE = 64 };

/* Mappings that exist now. A handler reads it at any moment: a slot counts only while `bytes` is not 0. */
static struct {
    char path[PATH_MAX];
    const unsigned char *data;
    atomic_size_t bytes;
} live[MAX_LIVE];
static pthread_mutex_t live_mutex = PTHREAD_MUTEX_INITIALIZER;

static void remember(const char *path, const mn_mapfile *map) {
    pthread_mutex_lock(&live_mutex);
    for (int i = 0; i < MAX_LIVE && strlen(path) < PATH_MAX; i++)
        if (live[i].bytes == 0) {
            strcpy(live[i].path, path);
            live[i].data = map->data;
            live[i].bytes = map->bytes;
            break;
        }
    pthread_mutex_unlock(&live_mutex);
}

static void forget(const mn_mapfile *map) {
    pthread_mutex_lock(&live_mutex);
    for (int i = 0; i < MAX_LIVE; i++)
        if (live[i].bytes && live[i].data == map->data) live[i].bytes = 0;
    pthread_mutex_unlock(&live_mutex);
}

/* Where the mapping begins that holds an address, and its file; NULL: none that is kept track of. */
static const unsigned char *mapping_of(const unsigned char *at, const char **path) {
    for (int i = 0; i < MAX_LIVE; i++) {
        size_t bytes = live[i].bytes; /* read first: what was written before it is there then */
        if (bytes == 0 || at < live[i].data || at >= live[i].data + bytes) continue;
        *path = live[i].path;
        return live[i].data;
    }
    return NULL;
}

const char *mn_mapfile_path_at(const void *address) {
    const char *path = NULL;
    mapping_of(address, &path);
    return path;
}

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
    remember(path, out);
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
    if (map->data) {
        forget(map);
        munmap((void *)map->data, map->bytes);
    }
    *map = (mn_mapfile){0};
}

enum { MINCORE_PAGES = 4096 };

size_t mn_mapfile_resident_bytes(const mn_mapfile *map, size_t max_bytes) {
    unsigned char in_memory[MINCORE_PAGES];
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = map->bytes < max_bytes ? map->bytes : max_bytes;
    for (size_t at = 0; at < bytes; at += MINCORE_PAGES * page) {
        size_t n = (bytes - at + page - 1) / page;
        if (n > MINCORE_PAGES) n = MINCORE_PAGES;
        if (mincore((void *)(map->data + at), n * page, in_memory)) return at;
        for (size_t i = 0; i < n; i++)
            if (!(in_memory[i] & 1)) return at + i * page;
    }
    return bytes;
}

/* Of whole pages, as the system wants them. */
static void advise(const void *data, size_t bytes, int advice) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)data / page * page;
    if (bytes) madvise((void *)begin, (uintptr_t)data + bytes - begin, advice);
}

void mn_mapping_will_need(const void *data, size_t bytes) { advise(data, bytes, MADV_WILLNEED); }
void mn_mapping_random(const void *data, size_t bytes) { advise(data, bytes, MADV_RANDOM); }

void mn_mapping_was_read(const mn_mapfile *map, size_t begin, size_t bytes) {
    size_t first = begin / MN_MAPPED_AROUND_BYTES * MN_MAPPED_AROUND_BYTES;
    size_t last = MN_MIN(map->bytes - begin, bytes) + begin;
    size_t end = MN_MIN((last / MN_MAPPED_AROUND_BYTES + 1) * MN_MAPPED_AROUND_BYTES, map->bytes);
    advise(map->data + first, end - first, MADV_DONTNEED);
}

/* Bytes of whole pages that are in memory. */
static size_t count_resident(const unsigned char *data, size_t bytes, size_t page) {
    unsigned char in_memory[MINCORE_PAGES];
    size_t count = 0;
    for (size_t at = 0; at < bytes; at += MINCORE_PAGES * page) {
        size_t n = (bytes - at) / page;
        if (n > MINCORE_PAGES) n = MINCORE_PAGES;
        if (mincore((void *)(data + at), n * page, in_memory)) return bytes;
        for (size_t i = 0; i < n; i++) count += in_memory[i] & 1 ? page : 0;
    }
    return count;
}

size_t mn_mapping_drop(const void *data, size_t bytes) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = ((uintptr_t)data + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)data + bytes) / page * page;
    const char *path = NULL;
    const unsigned char *mapping = mapping_of(data, &path);
    if (end <= begin) return 0;
    int fd = mapping ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    /* Pages that a process has mapped stay in the cache, so this one lets go of them first. */
    madvise((void *)begin, end - begin, MADV_DONTNEED);
    if (fd >= 0) {
        posix_fadvise(fd, (off_t)(begin - (uintptr_t)mapping), (off_t)(end - begin), POSIX_FADV_DONTNEED);
        close(fd);
    }
    return count_resident((const unsigned char *)begin, end - begin, page);
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
