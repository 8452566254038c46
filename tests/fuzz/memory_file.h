/* Files in memory, for functions that take a path. */
#ifndef MN_TESTS_MEMORY_FILE_H
#define MN_TESTS_MEMORY_FILE_H

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct memory_file {
    int fd;
    char path[32];
} memory_file;

static inline memory_file memory_file_new(void) {
    memory_file file = {.fd = memfd_create("fuzz", MFD_CLOEXEC)};
    if (file.fd < 0) abort();
    snprintf(file.path, sizeof file.path, "/proc/self/fd/%d", file.fd);
    return file;
}

/* Makes the file hold exactly these bytes. */
static inline void memory_file_set(const memory_file *file, const void *data, size_t bytes) {
    if (ftruncate(file->fd, 0) || (bytes && pwrite(file->fd, data, bytes, 0) != (ssize_t)bytes)) abort();
}

static inline void memory_file_append(const memory_file *file, const void *data, size_t bytes) {
    off_t at = lseek(file->fd, 0, SEEK_END);
    if (at < 0 || pwrite(file->fd, data, bytes, at) != (ssize_t)bytes) abort();
}

#endif
