/* Attention over a cache of which a part is on disk. */
#ifndef MN_ATTENTION_STREAM_H
#define MN_ATTENTION_STREAM_H

#include "attention/types.h"
#include "kvcache/kvcache.h"

/* mn_attention of one layer, a->kv being the cache's view. Cold pages that some row sees come through two buffers in
 * waves of whole key ranges: one is read by the file's thread while attention runs over the other, and the softmaxes
 * run on from wave to wave, so the result has the bits that it has with all pages in RAM. */
mn_status mn_kvcache_attend(const mn_compute *c, mn_kvcache *cache, int layer, const mn_attend *a, mn_error *err);

#endif
