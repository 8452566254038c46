#include "kvcache/disk.h"

#include "base/clock.h"
#include "base/human.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the reader is asked for, and what became of it. */
typedef struct fetch {
    int layer, n;
    const int64_t *pages;
    char *out;
    mn_status status;
    mn_error err;
} fetch;

struct mn_disk {
    int fd;
    char *dir;
    int n_layers;
    size_t *begins; /* [n_layers + 1]: where each layer's page begins in a slab; last, where the slab ends */
    mn_disk_traffic traffic;
    pthread_t reader;
    bool has_reader, is_reading, stop;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    fetch fetch; /* the caller's, until is_reading, then the reader's, until it is not */
};

static size_t page_bytes(const mn_disk *d, int layer) { return d->begins[layer + 1] - d->begins[layer]; }

static off_t offset_of(const mn_disk *d, int layer, int64_t page) {
    int64_t chunk = page / MN_DISK_CHUNK_PAGES, at = page % MN_DISK_CHUNK_PAGES;
    off_t before = chunk * (off_t)d->begins[d->n_layers] + (off_t)d->begins[layer];
    return before * MN_DISK_CHUNK_PAGES + at * (off_t)page_bytes(d, layer);
}

static mn_status read_at(mn_disk *d, off_t offset, char *out, size_t bytes, mn_error *err) {
    double started = mn_clock_seconds();
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pread(d->fd, out + done, bytes - done, offset + (off_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return mn_fail_with(err, MN_ERR_IO, MN_REMEDIES({MN_REMEDY_KV_DISK, 0}),
                                "%s: KV pages cannot be read back: %s; use another directory.", d->dir,
                                n < 0 ? strerror(errno) : "the file has ended");
        done += (size_t)n;
    }
    d->traffic.read_bytes += bytes;
    d->traffic.read_seconds += mn_clock_seconds() - started;
    return MN_OK;
}

static mn_status write_at(mn_disk *d, off_t offset, const char *data, size_t bytes, mn_error *err) {
    mn_human written;
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pwrite(d->fd, data + done, bytes - done, offset + (off_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return mn_fail_with(err, MN_ERR_IO, MN_REMEDIES({MN_REMEDY_KV_DISK, 0}, {MN_REMEDY_KV_RAM, 0}),
                                "%s: cannot write KV pages after %s: %s; make room there, name another directory, or "
                                "let more stay in memory. Nothing of the context is lost.",
                                d->dir, mn_human_bytes(written, (size_t)d->traffic.written_bytes), strerror(errno));
        done += (size_t)n;
    }
    return MN_OK;
}

mn_status mn_disk_write(mn_disk *d, int64_t page, const void *slab, mn_error *err) {
    for (int layer = 0; layer < d->n_layers; layer++)
        MN_TRY(
            write_at(d, offset_of(d, layer, page), (const char *)slab + d->begins[layer], page_bytes(d, layer), err));
    d->traffic.written_bytes += d->begins[d->n_layers];
    return MN_OK;
}

mn_status mn_disk_read(mn_disk *d, int64_t page, void *slab, mn_error *err) {
    for (int layer = 0; layer < d->n_layers; layer++)
        MN_TRY(read_at(d, offset_of(d, layer, page), (char *)slab + d->begins[layer], page_bytes(d, layer), err));
    return MN_OK;
}

static mn_status read_runs(mn_disk *d, const fetch *f, mn_error *err) {
    size_t bytes = page_bytes(d, f->layer);
    for (int i = 0, n; i < f->n; i += n) {
        off_t offset = offset_of(d, f->layer, f->pages[i]);
        for (n = 1; i + n < f->n; n++)
            if (offset_of(d, f->layer, f->pages[i + n]) != offset + n * (off_t)bytes) break;
        MN_TRY(read_at(d, offset, f->out + (size_t)i * bytes, (size_t)n * bytes, err));
    }
    return MN_OK;
}

static void *reader_main(void *arg) {
    mn_disk *d = arg;
    pthread_mutex_lock(&d->mutex);
    for (;;) {
        while (!d->is_reading && !d->stop) pthread_cond_wait(&d->changed, &d->mutex);
        if (d->stop) break;
        pthread_mutex_unlock(&d->mutex);
        d->fetch.status = read_runs(d, &d->fetch, &d->fetch.err);
        pthread_mutex_lock(&d->mutex);
        d->is_reading = false;
        pthread_cond_broadcast(&d->changed);
    }
    pthread_mutex_unlock(&d->mutex);
    return NULL;
}

void mn_disk_fetch(mn_disk *d, int layer, const int64_t *pages, int n, void *out) {
    d->fetch = (fetch){.layer = layer, .n = n, .pages = pages, .out = out, .status = MN_OK};
    if (n == 0) return;
    pthread_mutex_lock(&d->mutex);
    d->is_reading = true;
    pthread_cond_broadcast(&d->changed);
    pthread_mutex_unlock(&d->mutex);
}

mn_status mn_disk_wait(mn_disk *d, mn_error *err) {
    pthread_mutex_lock(&d->mutex);
    while (d->is_reading) pthread_cond_wait(&d->changed, &d->mutex);
    pthread_mutex_unlock(&d->mutex);
    if (d->fetch.status != MN_OK && err) *err = d->fetch.err;
    return d->fetch.status;
}

mn_disk_traffic mn_disk_get_traffic(const mn_disk *d) { return d->traffic; }

/* A file without a name; where the file system cannot make one, a file whose name is taken away at once. */
static int open_nameless(const char *dir) {
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return fd;
    char *path;
    if (asprintf(&path, "%s/mnemo-kv-XXXXXX", dir) < 0) return -1;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0) unlink(path);
    free(path);
    return fd;
}

static mn_status open_parts(mn_disk *d, const char *dir, mn_error *err) {
    d->dir = strdup(dir);
    if (!d->dir) return mn_fail(err, MN_ERR_MEMORY, "%s: no memory for its name.", dir);
    d->fd = open_nameless(dir);
    if (d->fd < 0)
        return mn_fail_with(err, MN_ERR_IO, MN_REMEDIES({MN_REMEDY_KV_DISK, 0}),
                            "%s: cannot hold KV pages: %s; name a directory you may write to.", dir, strerror(errno));
    if (pthread_create(&d->reader, NULL, reader_main, d))
        return mn_fail(err, MN_ERR_MEMORY, "cannot start the thread that reads cached pages.");
    d->has_reader = true;
    return MN_OK;
}

mn_status mn_disk_open(const char *dir, int n_layers, const size_t *page_bytes, mn_disk **out, mn_error *err) {
    mn_disk *d = calloc(1, sizeof *d);
    if (!d) return mn_fail(err, MN_ERR_MEMORY, "no memory for a file of cached pages.");
    d->fd = -1;
    d->n_layers = n_layers;
    d->begins = calloc((size_t)n_layers + 1, sizeof *d->begins);
    for (int i = 0; d->begins && i < n_layers; i++) d->begins[i + 1] = d->begins[i] + page_bytes[i];
    pthread_mutex_init(&d->mutex, NULL);
    pthread_cond_init(&d->changed, NULL);
    mn_status status =
        d->begins ? open_parts(d, dir, err) : mn_fail(err, MN_ERR_MEMORY, "no memory for %d layers.", n_layers);
    if (status == MN_OK)
        *out = d;
    else
        mn_disk_close(d);
    return status;
}

void mn_disk_close(mn_disk *d) {
    if (!d) return;
    pthread_mutex_lock(&d->mutex);
    d->stop = true;
    pthread_cond_broadcast(&d->changed);
    pthread_mutex_unlock(&d->mutex);
    if (d->has_reader) pthread_join(d->reader, NULL);
    pthread_cond_destroy(&d->changed);
    pthread_mutex_destroy(&d->mutex);
    if (d->fd >= 0) close(d->fd);
    free(d->begins);
    free(d->dir);
    free(d);
}
