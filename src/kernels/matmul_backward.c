#include "kernels/matmul_backward.h"

#include "base/checked.h"
#include "kernels/kernels.h"
#include "kernels/matmul_driver.h"

enum {
    TRANSPOSE_COLUMNS = 16, /* one cache line of a row */
    TRANSPOSE_ROWS = 256,   /* 16 KiB at a time, in the first-level cache */
    STRIP_COLUMNS = 256,    /* the largest block of a quantised type */
    STRIP_BYTES = 8 << 20,
    CHUNK_BYTES = 8 << 20, /* of dY^T, prepared */
    MIN_CHUNK_ROWS = 512,
    ROWS_GRAIN = 8
};

/* That of many rows of bf16 weights: levels without products of bf16 multiply those in f32. */
static const mn_matmul_path *training_path(const mn_compute *c) {
    const mn_matmul_kernels *kernels = &c->kernels->matmul;
    if (c->exact) return kernels->exact;
    return kernels->many[MN_BF16] ? kernels->many[MN_BF16] : kernels->fast[MN_BF16];
}

bool mn_matmul_trains_in_bf16(const mn_compute *c) { return training_path(c)->x_element_bytes < (int)sizeof(float); }

static const mn_matmul_path *forward_path(const mn_compute *c, mn_dtype type, int64_t n_rows) {
    return type == MN_F32 ? training_path(c) : mn_matmul_choose_path(c, type, n_rows);
}

mn_status mn_matmul_training(const mn_compute *c, float *const *outs, const int64_t *out_strides, const float *x,
                             int64_t x_stride, int64_t n_rows, const mn_tensor *const *ws, int n_ws, mn_error *err) {
    return mn_matmul_by(c, forward_path, outs, out_strides, x, x_stride, n_rows, ws, n_ws, err);
}

static mn_status no_memory(mn_error *err) {
    return mn_fail(err, MN_ERR_MEMORY, "no memory for the backward of a matrix product; use fewer tokens a step.");
}

typedef struct prepare_job {
    const mn_compute *c;
    const mn_matmul_path *path;
    const float *x; /* [n_rows, n]; transposed: [n, n_rows] */
    int64_t x_stride, n_rows, n;
    char *rows;
    size_t row_bytes;
} prepare_job;

static void prepare_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const prepare_job *p = arg;
    for (int64_t r = begin; r < end; r++)
        p->path->prepare(p->x + r * p->x_stride, p->n, p->rows + (size_t)r * p->row_bytes);
}

/* Items are groups of TRANSPOSE_COLUMNS columns of x. */
static void prepare_columns(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const prepare_job *p = arg;
    float piece[TRANSPOSE_COLUMNS][TRANSPOSE_ROWS];
    for (int64_t item = begin; item < end; item++) {
        int64_t first = item * TRANSPOSE_COLUMNS, n_columns = MN_MIN((int64_t)TRANSPOSE_COLUMNS, p->n_rows - first);
        for (int64_t i = 0; i < p->n; i += TRANSPOSE_ROWS) {
            int64_t n = MN_MIN((int64_t)TRANSPOSE_ROWS, p->n - i);
            p->c->kernels->vec.transpose(piece[0], TRANSPOSE_ROWS, p->x + i * p->x_stride + first, p->x_stride, n,
                                         n_columns);
            for (int64_t k = 0; k < n_columns; k++)
                p->path->prepare(piece[k], n,
                                 p->rows + (size_t)(first + k) * p->row_bytes + i * p->path->x_element_bytes);
        }
    }
}

/* n_rows rows of n in the form of the path; x: [n_rows, n], or transposed. False when memory ends. */
static bool prepare(const mn_compute *c, mn_matmul_task *task, const float *x, int64_t x_stride, int64_t n_rows,
                    int64_t n, bool transposed) {
    prepare_job p = {c, task->path, x, x_stride, n_rows, n, NULL, task->path->x_row_bytes(n)};
    p.rows = mn_matmul_alloc_rows(c, task->path, n_rows, n);
    task->x = p.rows;
    task->x_row_bytes = p.row_bytes;
    if (!p.rows) return false;
    if (transposed)
        mn_pool_run(c->pool, (n_rows + TRANSPOSE_COLUMNS - 1) / TRANSPOSE_COLUMNS, 1, prepare_columns, &p);
    else
        mn_pool_run(c->pool, n_rows, ROWS_GRAIN, prepare_rows, &p);
    return true;
}

/* Columns [first, first + n) of a quantised W, as f32. */
typedef struct strip_job {
    const mn_vec_kernels *vec;
    const mn_tensor *w;
    int64_t first, n;
    float *strip;
} strip_job;

static void dequantise_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const strip_job *job = arg;
    const char *data = (const char *)job->w->data + mn_dtype_row_bytes(job->w->type, job->first);
    for (int64_t o = begin; o < end; o++)
        job->vec->to_f32(job->w->type, data + (size_t)o * mn_tensor_row_bytes(job->w), job->strip + o * job->n, job->n);
}

static int64_t strip_columns(const mn_tensor *w) {
    int64_t n = STRIP_BYTES / (int64_t)sizeof(float) / w->ne[1] / STRIP_COLUMNS * STRIP_COLUMNS;
    return MN_MIN(MN_MAX(n, (int64_t)STRIP_COLUMNS), w->ne[0]);
}

static mn_status run_strips(const mn_compute *c, mn_matmul_task task, int64_t n_rows, const mn_tensor *w,
                            mn_error *err) {
    strip_job job = {&c->kernels->vec, w, 0, strip_columns(w), NULL};
    job.strip = mn_arena_alloc(c->scratch, (size_t)(job.n * w->ne[1]), sizeof *job.strip);
    if (!job.strip) return no_memory(err);
    float *dx = task.out;
    for (int64_t n_all = job.n; job.first < w->ne[0]; job.first += n_all) {
        job.n = MN_MIN(n_all, w->ne[0] - job.first);
        mn_tensor part = {.type = MN_F32, .n_dims = 2, .ne = {job.n, w->ne[1], 1, 1}, .data = job.strip};
        task.w = &part;
        task.out = dx + job.first;
        mn_arena_mark mark = mn_arena_get_mark(c->scratch);
        mn_pool_run(c->pool, w->ne[1], ROWS_GRAIN, dequantise_rows, &job);
        MN_TRY(mn_matmul_run(c, &task, 1, n_rows, err));
        mn_arena_rewind(c->scratch, mark);
    }
    return MN_OK;
}

mn_status mn_matmul_dx(const mn_compute *c, float *dx, int64_t dx_stride, bool add, const float *dy, int64_t dy_stride,
                       int64_t n_rows, const mn_tensor *w, mn_error *err) {
    if (n_rows == 0) return MN_OK;
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    mn_matmul_task task = {
        .path = training_path(c), .w = w, .transposed = true, .out = dx, .out_stride = dx_stride, .add = add};
    mn_status status = MN_OK;
    if (!prepare(c, &task, dy, dy_stride, n_rows, w->ne[1], false))
        status = no_memory(err);
    else if (mn_dtype_get(w->type)->quantised)
        status = run_strips(c, task, n_rows, w, err);
    else
        status = mn_matmul_run(c, &task, 1, n_rows, err);
    mn_arena_rewind(c->scratch, mark);
    return status;
}

/* Rows of dY and X at a time: whole blocks of inputs, so that sums are cut nowhere else. */
static int64_t chunk_rows(const mn_matmul_path *path, int64_t n_out) {
    int64_t n = CHUNK_BYTES / path->x_element_bytes / n_out / MIN_CHUNK_ROWS * MIN_CHUNK_ROWS;
    return MN_MAX(n, (int64_t)MIN_CHUNK_ROWS);
}

mn_status mn_matmul_dw(const mn_compute *c, float *dw, const float *dy, int64_t dy_stride, int64_t n_out,
                       const float *x, int64_t x_stride, int64_t n_in, int64_t n_rows, mn_error *err) {
    mn_matmul_task task = {.path = training_path(c), .transposed = true, .out = dw, .out_stride = n_in, .add = true};
    int64_t n_chunk = chunk_rows(task.path, n_out);
    for (int64_t first = 0; first < n_rows; first += n_chunk) {
        int64_t n = MN_MIN(n_chunk, n_rows - first);
        mn_arena_mark mark = mn_arena_get_mark(c->scratch);
        mn_tensor w = {.type = MN_F32, .n_dims = 2, .ne = {n_in, n, 1, 1}, .data = x + first * x_stride};
        task.w = &w;
        task.w_row_bytes = (size_t)x_stride * sizeof *x;
        mn_status status = no_memory(err);
        if (prepare(c, &task, dy + first * dy_stride, dy_stride, n_out, n, true))
            status = mn_matmul_run(c, &task, 1, n_out, err);
        mn_arena_rewind(c->scratch, mark);
        MN_TRY(status);
    }
    return MN_OK;
}
