/* The file behind a cache: pages that have left the RAM, and a thread that reads them before they are needed.
 *
 * The file has no name from the moment it is open, so that nothing is left behind however the process ends. Pages lie
 * in chunks of MN_DISK_CHUNK_PAGES, inside a chunk layer by layer: attention goes through one layer's tokens in order,
 * and finds them side by side.
 *
 *   offset of (layer, page) = ((page / chunk * n_layers + layer) * chunk + page % chunk) * layer_bytes
 */
#ifndef MN_KVCACHE_DISK_H
#define MN_KVCACHE_DISK_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

enum { MN_DISK_CHUNK_PAGES = 64 };

typedef struct mn_disk mn_disk;

/* What went through the file so far. Seconds are those of the calls that read, wherever they ran. */
typedef struct mn_disk_traffic {
    uint64_t read_bytes, written_bytes;
    double read_seconds;
} mn_disk_traffic;

/* page_bytes [n_layers]: one page of each layer, copied. Errors name the directory and what to do. The caller closes
 * it. */
mn_status mn_disk_open(const char *dir, int n_layers, const size_t *page_bytes, mn_disk **out, mn_error *err);
void mn_disk_close(mn_disk *disk);

/* Writes a page of all layers, layer after layer. After a failure the page counts as not written. */
mn_status mn_disk_write(mn_disk *disk, int64_t page, const void *slab, mn_error *err);
/* Reads a page of all layers. */
mn_status mn_disk_read(mn_disk *disk, int64_t page, void *slab, mn_error *err);

/* Starts to read pages[0..n), ascending, of one layer into out, one after another; both stay untouched until
 * mn_disk_wait, which must follow before the next fetch. Neighbouring pages are read by one call. n 0 is allowed. */
void mn_disk_fetch(mn_disk *disk, int layer, const int64_t *pages, int n, void *out);
mn_status mn_disk_wait(mn_disk *disk, mn_error *err);

/* Not while a fetch is under way. */
mn_disk_traffic mn_disk_get_traffic(const mn_disk *disk);

#endif
