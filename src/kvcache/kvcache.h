/* The KV cache of one sequence: keys and values of every layer, in pages, in the precision asked for.
 *
 * Address space for max_tokens is reserved once, and the operating system gives memory page by page as entries
 * are written: nothing is allocated while decoding, and a short conversation in a large window costs what it holds.
 * Page p of all layers lies together (a slab), so that dropping or saving old tokens touches one range. When RAM ends,
 * pages can move to a file (mn_kvcache_spill).
 */
#ifndef MN_KVCACHE_KVCACHE_H
#define MN_KVCACHE_KVCACHE_H

#include "base/status.h"
#include "base/technique.h"
#include "kernels/compute.h"
#include "kvcache/view.h"
#include "tensor/dtype.h"

enum { MN_KV_MAX_LAYERS = 1024 };

/* What a layer caches of a token: a key and a value for each of n_kv_heads heads; 0: nothing. */
typedef struct mn_kv_layer {
    uint16_t n_kv_heads, k_dim, v_dim;
} mn_kv_layer;

typedef struct mn_kv_shape {
    int n_layers;
    bool v_in_k; /* values are the first v_dim elements of the keys (MLA): none are kept for themselves */
    mn_dtype k_type, v_type;
    mn_kv_layer layers[MN_KV_MAX_LAYERS]; /* [n_layers] */
} mn_kv_shape;

/* n_layers layers that cache alike. */
mn_kv_shape mn_kv_shape_alike(int n_layers, mn_kv_layer layer, bool v_in_k, mn_dtype k_type, mn_dtype v_type);

typedef struct mn_kvcache mn_kvcache;

/* Bytes of one layer's page, keys and values; rows of quantised types are padded to whole blocks. */
size_t mn_kv_page_bytes(const mn_kv_shape *shape, int layer);
/* Bytes of one slab: MN_PAGE_TOKENS tokens of all layers. Rows of quantised types are padded to whole blocks.
 * 0 when the shape's size overflows. The same figure is what plans print. */
size_t mn_kv_slab_bytes(const mn_kv_shape *shape);

/* Of its windowed layers, or of the others, where they lie apart; SIZE_MAX when that overflows. */
size_t mn_kv_part_bytes(const mn_kv_shape *shape, const bool *windowed, bool of_windows);

/* Bytes of the lists of page addresses for max_tokens, which are taken when the cache is created. */
size_t mn_kv_list_bytes(const mn_kv_shape *shape, int64_t max_tokens);

/* Reserves max_tokens. A k_type or v_type that cannot be cached is an error naming those that can. */
mn_status mn_kvcache_create(const mn_kv_shape *shape, int64_t max_tokens, mn_kvcache **out, mn_error *err);
/* The same with layers [n_layers] that look back no further than a window: their part of a page can be given back
 * while the others keep theirs. A cache with a file (mn_kvcache_spill) does not do that. */
mn_status mn_kvcache_create_windowed(const mn_kv_shape *shape, const bool *windowed, int64_t max_tokens,
                                     mn_kvcache **out, mn_error *err);
void mn_kvcache_destroy(mn_kvcache *cache);

/* Writes entries of tokens [first_token, first_token + n_rows) of one layer: k [n_rows, n_kv_heads, k_dim] and v
 * [n_rows, n_kv_heads, v_dim] f32, rows k_stride and v_stride floats apart; v NULL when v_in_k. */
void mn_kvcache_append(mn_kvcache *cache, const mn_compute *c, int layer, int64_t first_token, int64_t n_rows,
                       const float *k, int64_t k_stride, const float *v, int64_t v_stride);
/* What attention reads; n_tokens entries are filled. Borrowed until the cache is destroyed. With it comes the layer's
 * key summary, which forgets by itself what is written over, dropped or restored. */
mn_kv_view mn_kvcache_view(const mn_kvcache *cache, int layer, int64_t n_tokens);
/* Keeps n entries of each head of one layer: entry i of head h becomes what entry kept[h * n + i] was, ascending. Those
 * behind are void; mn_kvcache_drop_after gives them back once all layers are done. */
void mn_kvcache_gather(mn_kvcache *cache, const mn_compute *c, int layer, const int32_t *kept, int64_t n);
/* Gives back the memory of all slabs that lie wholly before `token`, or wholly at or after it. */
void mn_kvcache_drop_before(mn_kvcache *cache, int64_t token);
void mn_kvcache_drop_after(mn_kvcache *cache, int64_t token);
/* Gives back all slabs that lie wholly in tokens [begin, end). Called again, begin must be the same: there is one gap.
 */
void mn_kvcache_drop_between(mn_kvcache *cache, int64_t begin, int64_t end);

/* Gives back the windowed layers' part of a page, and whether that was done. Neither does anything without such layers.
 * A page that is added with nothing but zeros there counts as given back. */
void mn_kvcache_empty_windows(mn_kvcache *cache, int64_t page);
bool mn_kvcache_windows_are_empty(const mn_kvcache *cache, int64_t page);

/* Slabs [first_page, end_page) are written and not dropped, but for a gap. */
void mn_kvcache_pages(const mn_kvcache *cache, int64_t *first_page, int64_t *end_page);
/* The slabs dropped between others; begin_page = end_page: none. */
void mn_kvcache_gap(const mn_kvcache *cache, int64_t *begin_page, int64_t *end_page);
/* Makes an empty cache begin at a page: what lies before was dropped. */
void mn_kvcache_start_at(mn_kvcache *cache, int64_t page);
/* Makes a cache without a gap go on at a page behind its last: what lies between was dropped. */
void mn_kvcache_skip_to(mn_kvcache *cache, int64_t page);
/* Copies a written page, all layers, to or from memory of mn_kv_slab_bytes: for saving and restoring. A page is added
 * behind the last. */
mn_status mn_kvcache_read_slab(const mn_kvcache *cache, int64_t page, void *slab, mn_error *err);
mn_status mn_kvcache_add_slab(mn_kvcache *cache, const void *slab, mn_error *err);
const mn_kv_shape *mn_kvcache_shape(const mn_kvcache *cache);
/* Memory in use: slabs written, not dropped and not on disk, the buffers that these are read into, and key summaries.
 */
size_t mn_kvcache_bytes(const mn_kvcache *cache);
extern const mn_technique mn_kvcache_about;

/* Keeps no more than ram_bytes in memory; pages beyond go to a file in dir. The oldest and the newest pages stay, those
 * between are cold: written once, when they are full and the room is needed, and read whenever attention looks at them
 * (stream.h). Steps of at most step_tokens rows must fit; less memory than that takes is an error that says how much.
 * For an empty cache. */
mn_status mn_kvcache_spill(mn_kvcache *cache, const char *dir, size_t ram_bytes, int64_t step_tokens, mn_error *err);
/* To be called before tokens [first_token, first_token + n_rows) are appended to any layer: forgets what lies after
 * first_token, and writes pages out until there is room. After a failure the cache is as before. */
mn_status mn_kvcache_prepare(mn_kvcache *cache, int64_t first_token, int64_t n_rows, mn_error *err);

/* Whether pages are in a file and nowhere else. */
bool mn_kvcache_has_cold(const mn_kvcache *cache);

/* What a cache with a file holds there now, and what went through it so far. Zeros without one. */
typedef struct mn_kv_traffic {
    uint64_t disk_bytes, read_bytes, written_bytes;
    double read_seconds;
} mn_kv_traffic;
mn_kv_traffic mn_kvcache_traffic(const mn_kvcache *cache);

#endif
