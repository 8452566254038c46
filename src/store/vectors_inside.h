/* What an open space of vectors holds: for vectors.c, vectors_scan.c and pgvector.c. */
#ifndef MN_STORE_VECTORS_INSIDE_H
#define MN_STORE_VECTORS_INSIDE_H

#include "store/driver.h"
#include "store/vectors.h"

#include "base/intern.h"
#include "kernels/compute.h"

struct mn_vectors {
    mn_store *store;
    char space[32];
    int n_dims, padded; /* padded with zeros to whole blocks of the type */
    mn_dtype type;
    size_t row_bytes;
    int n_threads;
    char remote[136]; /* the schema of pgvector, as SQL names it, where the server scans; else empty */

    /* The copy in this process. */
    int64_t version; /* of the space, as far as it is here */
    mn_intern items; /* number in order of coming */
    char *rows;      /* [n, row_bytes] by number, aligned for the kernels */
    bool *is_live;   /* [n]; removed ones are zeros */
    uint32_t n, capacity;
    float *scores; /* [capacity] */
    mn_compute compute;
    mn_arena scratch;

    /* The server's copy: names of its last hits; items, versions and vectors on their way there, as SQL's lists. */
    mn_strbuf names, items_sent, versions_sent, numbers_sent;
};

/* Hands the items that changed after version `known` to fn, in that order, each with its row or NULL; *version is the
 * last of them. */
typedef mn_status mn_vector_news_fn(mn_vectors *v, const char *item, const void *data, int64_t version, mn_error *err);
mn_status mn_vectors_news(mn_vectors *v, int64_t known, mn_vector_news_fn *fn, int64_t *version, mn_error *err);
/* The first of them, as many as are held in memory at once; *more tells whether there may be others. */
mn_status mn_vectors_news_page(mn_vectors *v, int64_t known, mn_vector_news_fn *fn, int64_t *version, bool *more,
                               mn_error *err);

mn_status mn_vectors_scan(mn_vectors *v, const float *question, uint32_t k, mn_vector_hit *hits, uint32_t *n_hits,
                          mn_error *err);
void mn_vectors_release_scan(mn_vectors *v);

/* Finds out whether the server has pgvector (remote), and makes its table. */
mn_status mn_pgvector_find(mn_vectors *v, mn_error *err);
mn_status mn_pgvector_search(mn_vectors *v, const float *question, uint32_t k, mn_vector_hit *hits, uint32_t *n_hits,
                             mn_error *err);

#endif
