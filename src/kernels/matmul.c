#include "kernels/matmul.h"

#include "base/checked.h"
#include "kernels/kernels.h"

typedef struct matmul_job {
    const mn_compute *c;
    float *out;
    const float *x;
    int64_t out_stride, x_stride, n_rows;
    const mn_tensor *w;
    float *row; /* [n_threads, n_in]: a row of w in f32 */
} matmul_job;

static void run_outputs(void *arg, int64_t begin, int64_t end, int thread_index) {
    const matmul_job *job = arg;
    int64_t n_in = job->w->ne[0];
    size_t row_bytes = mn_tensor_row_bytes(job->w);
    float *row = job->row + thread_index * n_in;
    for (int64_t o = begin; o < end; o++) {
        job->c->kernels->vec.to_f32(job->w->type, (const char *)job->w->data + (size_t)o * row_bytes, row, n_in);
        job->c->kernels->matmul.column(job->out + o, job->out_stride, job->x, job->x_stride, job->n_rows, row, n_in);
    }
}

mn_status mn_matmul(const mn_compute *c, float *out, int64_t out_stride, const float *x, int64_t x_stride,
                    int64_t n_rows, const mn_tensor *w, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    int64_t n_threads = mn_pool_threads(c->pool), n_out = w->ne[1];
    matmul_job job = {c, out, x, out_stride, x_stride, n_rows, w, NULL};
    job.row = mn_arena_alloc(c->scratch, (size_t)(n_threads * w->ne[0]), sizeof *job.row);
    if (!job.row) return mn_fail(err, MN_ERR_MEMORY, "no memory for a row of %lld weights.", (long long)w->ne[0]);
    mn_pool_run(c->pool, n_out, MN_MAX(1, n_out / (4 * n_threads)), run_outputs, &job);
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}

mn_status mn_matmul_many(const mn_compute *c, float *const *outs, const int64_t *out_strides, const float *x,
                         int64_t x_stride, int64_t n_rows, const mn_tensor *const *ws, int n_ws, mn_error *err) {
    for (int i = 0; i < n_ws; i++)
        MN_TRY(mn_matmul(c, outs[i], out_strides[i], x, x_stride, n_rows, ws[i], err));
    return MN_OK;
}
