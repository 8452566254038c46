/* Re-quantising: the same model with its weights in another type. */
#ifndef MN_MODEL_GGUF_CONVERT_H
#define MN_MODEL_GGUF_CONVERT_H

#include "model/gguf_precision.h"

typedef struct mn_convert_summary {
    int64_t n_by_type[MN_DTYPE_COUNT]; /* tensors written in each type, but for those kept */
    int64_t n_kept;                    /* tensors left as they were (mn_precision_is_kept) */
    int64_t n_fallback;                /* of n_by_type: their rows do not fit the blocks of params->type */
    size_t bytes_in, bytes_out;        /* of the tensors */
} mn_convert_summary;

/* Writes `in` to `path` with its weights in params->type, as mn_precision_pick decides per tensor. All keys are copied
 * but for the file type. `path` may not be a file that `in` is mapped from. Values that are not finite are an error
 * when the type is quantised. Holds one tensor, and a row per thread, in memory. The result is the same at any number
 * of threads. */
mn_status mn_gguf_convert(const mn_gguf *in, const char *path, const mn_make_params *params,
                          mn_convert_summary *summary, mn_error *err);

/* MN_ERR_ARGUMENT when `path` is a file that `in` is mapped from. */
mn_status mn_gguf_refuse_same_file(const mn_gguf *in, const char *path, mn_error *err);

#endif
