/* Making a model file: how it is asked for, and which type each of its tensors gets. */
#ifndef MN_MODEL_GGUF_PRECISION_H
#define MN_MODEL_GGUF_PRECISION_H

#include "base/pool.h"
#include "model/gguf.h"

/* Called after each tensor that had to be made: bytes made so far, and in all. */
typedef void mn_gguf_progress_fn(void *arg, int64_t done_bytes, int64_t total_bytes);

typedef struct mn_make_params {
    mn_dtype type;                 /* of the weights; one that mn_precision_find gives */
    mn_pool *pool;                 /* NULL = this thread */
    mn_gguf_progress_fn *progress; /* may be NULL */
    void *progress_arg;
} mn_make_params;

/* A type to write, by name. Unknown names, and types that are only read, are errors that list the possible ones. */
mn_status mn_precision_find(const char *name, mn_dtype *out, mn_error *err);

/* True for what is never quantised: tables of whole numbers, and what is small and delicate, which is one-dimensional
 * tensors, norms, position tables, routers, convolution taps, the gates of a compressive memory and of
 * hyper-connections. */
bool mn_precision_is_kept(const mn_tensor *t);

/* The type of tensor `t` (its name and ne; one that is not kept) in a model of `type`:
 *  - token_embd and output, which every token passes, get Q6_K where `type` has fewer bits;
 *  - rows that are no whole number of blocks get the nearest type above whose blocks fit
 *    (Q4_K: Q5_0, Q6_K: Q8_0, then F16);
 *  - a type that is only read, which a model's own may be, counts as Q6_K. */
mn_dtype mn_precision_pick(const mn_tensor *t, mn_dtype type);

/* Puts general.file_type (the number other engines give a model mostly of this type) and, for quantised types,
 * general.quantization_version. */
void mn_precision_put(mn_gguf_writer *writer, mn_dtype type);
/* True for the two keys that mn_precision_put writes. */
bool mn_precision_is_key(mn_gguf_string key);

#endif
