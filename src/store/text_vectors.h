/* Vectors of the texts that stand in a store, made by a model (mnemo/embed.h), once for each text, and the texts that
 * are near to a question.
 *
 *     MN_TRY(mn_text_vectors_open(store, engine, &spec, &v, err));
 *     MN_TRY(mn_text_vectors_fill(v, progress, arg, &n_made, err));
 *     MN_TRY(mn_text_vectors_search(v, "Who wrote it?", 100, hits, &n_hits, err));
 *
 * Which texts there are the caller says in SQL. A space belongs to one model, known by the hash of its weights
 * (model/identity.h). Nomic's models get the word before a text that they were trained with.
 *
 * Threads: as the store.
 */
#ifndef MN_STORE_TEXT_VECTORS_H
#define MN_STORE_TEXT_VECTORS_H

#include "store/vectors.h"

#include <mnemo/embed.h>

typedef struct mn_text_vectors mn_text_vectors;

typedef struct mn_text_vectors_spec {
    const char *space;    /* as for mn_vectors_open */
    const char *missing;  /* SELECT item, text: those without a vector (data IS NULL) in space $1, behind item $2 ("" =
                           * all)  in the order of items */
    const char *gone;     /* SELECT item: those of space $1 whose text is gone; NULL = none goes */
    const mn_dtype *type; /* MN_F32 or MN_Q8_0; NULL = as the space has it, 8 bits for a new one */
} mn_text_vectors_spec;

/* Opens the space, or begins it; MN_ERR_ARGUMENT where it holds vectors of another model or type. spec's texts, store
 * and engine are borrowed until mn_text_vectors_close. */
mn_status mn_text_vectors_open(mn_store *store, mn_engine *engine, const mn_text_vectors_spec *spec,
                               mn_text_vectors **out, mn_error *err);
void mn_text_vectors_close(mn_text_vectors *vectors);

/* After each commit; false ends with MN_ERR_CANCELLED. */
typedef bool mn_text_vectors_fn(void *arg, int64_t done, int64_t all);
/* Takes away the vectors of texts that are gone and makes those that are missing, 64 a commit, so that a run which was
 * ended goes on; of a text beyond the model's window the beginning counts. *n: how many were made. progress may be
 * NULL. */
mn_status mn_text_vectors_fill(mn_text_vectors *vectors, mn_text_vectors_fn *progress, void *arg, int64_t *n,
                               mn_error *err);
/* The k texts that are nearest to a question, as mn_vectors_search gives them. */
mn_status mn_text_vectors_search(mn_text_vectors *vectors, const char *question, uint32_t k, mn_vector_hit *hits,
                                 uint32_t *n_hits, mn_error *err);

#endif
