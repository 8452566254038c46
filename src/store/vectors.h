/* Vectors beside the rows of a store, and the nearest to a question by exact scan.
 *
 *     mn_vectors *v;
 *     const mn_vectors_spec spec = {.space = "passage", .model = "bge-small", .n_dims = 384, .type = MN_Q8_0};
 *     MN_TRY(mn_vectors_open(store, &spec, &v, err));
 *     MN_TRY(mn_vectors_put(v, items, n, numbers, err));
 *     MN_TRY(mn_vectors_search(v, question, 10, hits, &n_hits, err));
 *
 * A space holds one vector for an item, which is a text of its user's choice (the id of a row). All vectors of a space
 * are of one model. They are kept as f32, or as bytes (MN_Q8_0: 8 bits, and a scale for each 32 numbers), and a search
 * multiplies all of them with the question by the kernels of this program (kernels/matmul.h): memory for all of them,
 * 4 or 1.06 bytes a number, is taken by the first search, and later ones fetch only what is new. In a PostgreSQL that
 * has pgvector the server scans its own copy instead, in f32.
 *
 * Threads: as the store's: one at a time.
 */
#ifndef MN_STORE_VECTORS_H
#define MN_STORE_VECTORS_H

#include "store/store.h"
#include "tensor/dtype.h"

typedef struct mn_vectors mn_vectors;

typedef struct mn_vectors_spec {
    const char *space; /* letters a to z, digits and underscores, at most 31 */
    const char *model; /* what makes them; a space of another model is refused */
    int n_dims;        /* 1 to 16384 */
    mn_dtype type;     /* MN_F32 or MN_Q8_0 */
    int n_threads;     /* of a search; 0 = one per core */
    bool here;         /* scan in this process, also where the server could */
} mn_vectors_spec;

/* Opens a space, or begins it. MN_ERR_ARGUMENT where it holds vectors of another model, length or type. The store is
 * borrowed until mn_vectors_close. */
mn_status mn_vectors_open(mn_store *store, const mn_vectors_spec *spec, mn_vectors **out, mn_error *err);
void mn_vectors_close(mn_vectors *vectors);
/* The type that a space has; where there is no such space *type stays as it is. */
mn_status mn_vectors_type(mn_store *store, const char *space, mn_dtype *type, mn_error *err);
/* The tables, for who imports them (mn_store_import). */
mn_status mn_vectors_migrate(mn_store *store, mn_error *err);

/* Puts n vectors [n, n_dims] in the place of their items' old ones, in the open transaction or one of its own. Numbers
 * that are not finite are MN_ERR_ARGUMENT. */
mn_status mn_vectors_put(mn_vectors *vectors, const char *const *items, int64_t n, const float *numbers, mn_error *err);
/* Takes an item's vector away, if it has one. */
mn_status mn_vectors_remove(mn_vectors *vectors, const char *item, mn_error *err);
mn_status mn_vectors_has(mn_vectors *vectors, const char *item, bool *has, mn_error *err);
mn_status mn_vectors_count(mn_vectors *vectors, int64_t *n, mn_error *err);

typedef struct mn_vector_hit {
    const char *item; /* borrowed until the next call on these vectors */
    float score;      /* the inner product with the question: the cosine, for vectors of length 1 */
} mn_vector_hit;

/* The k items with the largest inner products, largest first, of equal ones by their names' bytes. hits [k]. */
mn_status mn_vectors_search(mn_vectors *vectors, const float *question, uint32_t k, mn_vector_hit *hits,
                            uint32_t *n_hits, mn_error *err);
/* Whether the server scans (pgvector). */
bool mn_vectors_is_remote(const mn_vectors *vectors);

#endif
