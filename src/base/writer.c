/* Writing whole files or nothing. */
#include "base/file.h"

#include "base/checked.h"
#include "base/human.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { MAX_LIVE = 16, RANDOM_DIGITS = 16, MAX_TRIES = 16 };

/* Temporary names that exist now. A handler reads it at any moment: a slot counts only while `used` is set. */
static struct {
    char path[PATH_MAX];
    volatile sig_atomic_t used;
} live[MAX_LIVE];
static pthread_mutex_t live_mutex = PTHREAD_MUTEX_INITIALIZER;

static void remember(const char *path) {
    pthread_mutex_lock(&live_mutex);
    for (int i = 0; i < MAX_LIVE; i++)
        if (!live[i].used && strlen(path) < PATH_MAX) {
            strcpy(live[i].path, path);
            live[i].used = 1;
            break;
        }
    pthread_mutex_unlock(&live_mutex);
}

static void forget(const char *path) {
    pthread_mutex_lock(&live_mutex);
    for (int i = 0; i < MAX_LIVE; i++)
        if (live[i].used && !strcmp(live[i].path, path)) live[i].used = 0;
    pthread_mutex_unlock(&live_mutex);
}

void mn_writer_remove_all(void) {
    for (int i = 0; i < MAX_LIVE; i++)
        if (live[i].used) unlink(live[i].path);
}

/* ---- names ---- */

static char *directory_of(const char *path) {
    char *copy = strdup(path), *directory = copy ? strdup(dirname(copy)) : NULL;
    free(copy);
    return directory;
}

static char *temporary_name(const char *path) {
    uint64_t number = 0;
    char *name;
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number) return NULL;
    return asprintf(&name, "%s.tmp.%0*llx", path, RANDOM_DIGITS, (unsigned long long)number) < 0 ? NULL : name;
}

/* Whether nobody writes the file any more: writers hold a lock on it. */
static bool is_abandoned(int directory, const char *name) {
    struct stat st;
    int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return false;
    bool abandoned = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && flock(fd, LOCK_EX | LOCK_NB) == 0;
    close(fd);
    return abandoned;
}

/* Whether the name's end is one of ours: random digits, or, until version 0.1, the number of a process that is gone. */
static bool is_ours(const char *end) {
    size_t digits = strspn(end, "0123456789"), hex = strspn(end, "0123456789abcdef");
    if (!end[hex] && hex == RANDOM_DIGITS) return true;
    if (end[digits] || digits < 1 || digits > 7) return false;
    long pid = strtol(end, NULL, 10);
    return pid > 0 && kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

/* Removes what earlier writers of the same path left when they were killed. */
static void remove_abandoned(const char *path) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    char *directory = directory_of(path);
    DIR *dir = directory ? opendir(directory) : NULL;
    size_t n = strlen(base);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        const char *name = entry->d_name;
        if (strncmp(name, base, n) || strncmp(name + n, ".tmp.", 5) || !is_ours(name + n + 5)) continue;
        if (is_abandoned(dirfd(dir), name)) unlinkat(dirfd(dir), name, 0);
    }
    if (dir) closedir(dir);
    free(directory);
}

static bool is_special(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

/* ---- opening ---- */

/* A descriptor of a file without a name beside path, -1 where there are none, or where none could get a name later. */
static int open_nameless(const char *path) {
    char *directory = directory_of(path);
    int fd = -1;
    if (directory && access("/proc/self/fd", X_OK) == 0) fd = open(directory, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
    free(directory);
    return fd;
}

/* A new file with a name that is *name then, held by a lock. */
static int open_named(const char *path, char **name) {
    for (int i = 0; i < MAX_TRIES; i++) {
        struct stat st;
        if (!(*name = temporary_name(path))) return -1;
        int fd = open(*name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0) remember(*name);
        /* Somebody may have taken it for abandoned before the lock was there. */
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0) return fd;
        int error = errno;
        if (fd >= 0) forget(*name);
        if (fd >= 0) close(fd);
        free(*name);
        *name = NULL;
        errno = error;
        if (fd < 0 && error != EEXIST) return -1;
    }
    return -1;
}

static int open_target(mn_writer *w, bool named) {
    if (is_special(w->path)) return open(w->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    remove_abandoned(w->path);
    int fd = named ? -1 : open_nameless(w->path);
    w->nameless = fd >= 0;
    return w->nameless ? fd : open_named(w->path, &w->temp_path);
}

static mn_status open_writer(const char *path, bool named, mn_writer *out, mn_error *err) {
    char *target = is_special(path) ? NULL : realpath(path, NULL);
    *out = (mn_writer){.path = target ? target : strdup(path)};
    if (!out->path) return mn_fail(err, MN_ERR_MEMORY, "%s: no memory for its name.", path);
    int fd = open_target(out, named);
    out->file = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (out->file) return MN_OK;
    int error = errno;
    if (fd >= 0) close(fd);
    mn_writer_abort(out);
    return mn_fail(err, MN_ERR_IO, "%s: cannot write here: %s.", path, strerror(error));
}

mn_status mn_writer_open(const char *path, mn_writer *out, mn_error *err) { return open_writer(path, false, out, err); }

mn_status mn_writer_open_named(const char *path, mn_writer *out, mn_error *err) {
    return open_writer(path, true, out, err);
}

/* ---- writing ---- */

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

/* Gives the file without a name its own one: directly, or by way of a temporary one where another file has it. */
static int name_it(mn_writer *w) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fileno(w->file));
    if (linkat(AT_FDCWD, link, AT_FDCWD, w->path, AT_SYMLINK_FOLLOW) == 0) return 0;
    if (errno != EEXIST) return errno;
    for (int i = 0; i < MAX_TRIES; i++) {
        if (!(w->temp_path = temporary_name(w->path))) return ENOMEM;
        remember(w->temp_path);
        if (linkat(AT_FDCWD, link, AT_FDCWD, w->temp_path, AT_SYMLINK_FOLLOW) == 0) break;
        int error = errno;
        forget(w->temp_path);
        free(w->temp_path);
        w->temp_path = NULL;
        if (error != EEXIST) return error;
    }
    return w->temp_path ? 0 : EEXIST;
}

static int finish(mn_writer *w) {
    bool whole = w->temp_path || w->nameless;
    if (w->error) return w->error;
    if (fflush(w->file)) return errno;
    if (whole && fsync(fileno(w->file))) return errno;
    if (w->nameless) {
        int error = name_it(w);
        if (error) return error;
    }
    if (w->temp_path && rename(w->temp_path, w->path)) return errno;
    if (w->temp_path) forget(w->temp_path);
    free(w->temp_path);
    w->temp_path = NULL;
    int failed = fclose(w->file);
    w->file = NULL;
    return failed ? errno : 0;
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
    if (writer->temp_path) {
        unlink(writer->temp_path);
        forget(writer->temp_path);
    }
    if (writer->file) fclose(writer->file);
    free(writer->temp_path);
    free(writer->path);
    *writer = (mn_writer){0};
}

mn_status mn_file_write(const char *path, mn_strbuf *text, mn_error *err) {
    mn_writer w;
    mn_status status = text->failed ? mn_fail(err, MN_ERR_MEMORY, "%s: no memory left for it.", path) : MN_OK;
    if (status == MN_OK) status = mn_writer_open(path, &w, err);
    if (status == MN_OK) {
        mn_writer_put(&w, text->data, text->bytes);
        status = mn_writer_commit(&w, err);
    }
    mn_strbuf_release(text);
    return status;
}

/* ---- room ---- */

static mn_status fail_room(const char *path, size_t needed, size_t there, mn_error *err) {
    mn_human needed_text, there_text;
    return mn_fail(err, MN_ERR_IO, "%s: needs %s of room, and %s are free there.", path,
                   mn_human_bytes(needed_text, needed), mn_human_bytes(there_text, there));
}

/* Takes the room for a moment: quotas show only then. */
static mn_status try_room(const char *path, size_t bytes, mn_error *err) {
    mn_human needed;
    char *name = NULL;
    int fd = open_nameless(path);
    if (fd < 0) fd = open_named(path, &name);
    if (fd < 0) return mn_fail(err, MN_ERR_IO, "%s: cannot write here: %s.", path, strerror(errno));
    int error = fallocate(fd, 0, 0, (off_t)bytes) ? errno : 0;
    if (name) unlink(name);
    if (name) forget(name);
    free(name);
    close(fd);
    if (error != ENOSPC && error != EDQUOT && error != EFBIG) return MN_OK; /* not every file system can be asked */
    return mn_fail(err, MN_ERR_IO, "%s: needs %s of room: %s.", path, mn_human_bytes(needed, bytes), strerror(error));
}

mn_status mn_file_check_room(const char *path, size_t bytes, mn_error *err) {
    struct rlimit limit;
    struct statvfs fs;
    mn_human needed, limited;
    char *directory;
    if (is_special(path) || bytes == 0) return MN_OK;
    if (bytes > INT64_MAX) return fail_room(path, bytes, 0, err);
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < bytes)
        return mn_fail(err, MN_ERR_IO, "%s: needs %s, and files of this process are limited to %s.", path,
                       mn_human_bytes(needed, bytes), mn_human_bytes(limited, (size_t)limit.rlim_cur));
    if (!(directory = directory_of(path))) return mn_fail(err, MN_ERR_MEMORY, "%s: no memory for its name.", path);
    bool known = statvfs(directory, &fs) == 0;
    free(directory);
    if (known && (double)fs.f_bavail * (double)fs.f_frsize < (double)bytes)
        return fail_room(path, bytes, (size_t)fs.f_bavail * (size_t)fs.f_frsize, err);
    return try_room(path, bytes, err);
}
