/* The CPU's backend: buffers are the scratch memory of a mn_compute, operations call the kernels. Rows are split over
 * threads, each row's arithmetic stays on one.
 *
 * Operations give back the scratch that they take.
 *
 * With a dry pool (mn_pool_create_dry) it takes the scratch memory of a step and computes nothing: what a step needs is
 * measured by the code that takes it. Where the amount depends on values (tokens routed to experts), it is the most
 * that can be. Sequences need no KV entries then (mn_sequence_init_dry).
 */
#ifndef MN_MODEL_BACKEND_CPU_H
#define MN_MODEL_BACKEND_CPU_H

#include "attention/types.h"
#include "kernels/compute.h"
#include "model/backend.h"

/* Borrows `compute` for as long as the backend is used. One step at a time. */
mn_backend mn_backend_cpu(const mn_compute *compute);

/* The mn_compute of a step on this backend. */
static inline const mn_compute *mn_cpu_compute(const mn_step *s) { return s->backend->context; }

/* The call of attention that the attend operations make for one slice in one range of its keys, for who repeats it (a
 * backward pass): its masks, its block lists in the compute's scratch, the cache as the step sees it. n_rows 0: the
 * slice has no such range. Latent attention: the call with a->mla set, whichever way it runs; MN_ERR_UNSUPPORTED with
 * patterns that choose by absorbed queries. */
mn_status mn_cpu_attend_call(const mn_step *s, const mn_slice *slice, int layer, int range, mn_rows out, mn_rows lse,
                             mn_rows q, mn_attend *a, mn_error *err);

/* The same of attention to the layer's first n compressed keys, n >= 1; of one row, all that are complete at it. */
mn_status mn_cpu_compressed_call(const mn_step *s, const mn_slice *slice, int layer, int64_t n, mn_rows out,
                                 mn_rows lse, mn_rows q, mn_rows chosen, mn_attend *a, mn_error *err);

/* Rows of one head in memory of one's own. */
static inline mn_rows mn_cpu_rows(float *data, int64_t n_rows, int64_t n) {
    return (mn_rows){(mn_buffer *)(void *)data, 0, n, n, n_rows, n, 1};
}
/* Where rows of this backend's buffers begin; NULL: there are none. */
static inline float *mn_cpu_data(mn_rows x) { return x.buffer ? (float *)(void *)x.buffer + x.offset : NULL; }
/* Head 0 of a row; NULL: there are none. */
static inline float *mn_cpu_row(mn_rows x, int64_t row) {
    return x.buffer ? mn_cpu_data(x) + row * x.row_stride : NULL;
}

#endif
