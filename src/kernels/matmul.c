/* The driver: prepares x once for all weights that want it in the same form, then hands panels to threads. */
#include "kernels/matmul.h"

#include "base/checked.h"
#include "kernels/kernels.h"

enum {
    RANGES_PER_THREAD = 8,  /* of panels: enough to even out, few enough to read memory in long runs */
    ITEMS_PER_THREAD = 4,   /* rows are split as well when there are fewer panels than this */
    MIN_ROWS_PER_CHUNK = 48 /* below this, expanding a panel again costs more than it wins */
};

typedef struct product {
    const mn_matmul_path *path;
    const mn_tensor *w;
    float *out;
    int64_t out_stride;
    const char *x; /* prepared rows */
    size_t x_row_bytes;
    int64_t rows_per_chunk, n_chunks;
    int64_t first_item, n_items; /* item = panel * n_chunks + chunk of rows */
} product;

typedef struct job {
    const mn_vec_kernels *vec;
    product *products;
    int n_products;
    int64_t n_rows;
    char *panels; /* [n_threads, panel_bytes] */
    size_t panel_bytes;
} job;

typedef struct prepare_job {
    const mn_matmul_path *path;
    const float *x;
    int64_t x_stride, n_in;
    char *rows;
    size_t row_bytes;
} prepare_job;

static void prepare_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const prepare_job *p = arg;
    for (int64_t r = begin; r < end; r++)
        p->path->prepare(p->x + r * p->x_stride, p->n_in, p->rows + (size_t)r * p->row_bytes);
}

/* One panel and one chunk of rows, and the inputs of a block. */
static mn_matmul_part part_of(const product *p, int64_t item, int64_t first_input) {
    mn_matmul_part part = {.w = p->w, .first_output = item / p->n_chunks * p->path->panel_outputs, .first_input = first_input};
    part.n_outputs = (int)MN_MIN(p->path->panel_outputs, p->w->ne[1] - part.first_output);
    part.n_inputs = (int)MN_MIN(p->path->block_inputs, p->w->ne[0] - first_input);
    return part;
}

static void run_block(const job *j, const product *p, int64_t item, int64_t first_input, char *panel) {
    mn_matmul_part part = part_of(p, item, first_input);
    int64_t first_row = item % p->n_chunks * p->rows_per_chunk, n_rows = MN_MIN(p->rows_per_chunk, j->n_rows - first_row);
    p->path->pack(&part, j->vec, panel);
    p->path->tile(&part, panel, p->x + (size_t)first_row * p->x_row_bytes, p->x_row_bytes, n_rows,
                  p->out + first_row * p->out_stride + part.first_output, p->out_stride);
}

/* Items of one product, a block of inputs at a time: that block of x stays in the second-level cache for all of them. */
static void run_items_of(const job *j, const product *p, int64_t begin, int64_t end, char *panel) {
    if (p->path->enter) p->path->enter();
    if (j->n_rows == 1 && p->path->row) {
        for (int64_t item = begin; item < end; item++) {
            mn_matmul_part part = part_of(p, item, 0);
            p->path->row(&part, p->x, panel, p->out + part.first_output);
        }
    } else {
        for (int64_t first_input = 0; first_input < p->w->ne[0]; first_input += p->path->block_inputs)
            for (int64_t item = begin; item < end; item++) run_block(j, p, item, first_input, panel);
    }
    if (p->path->leave) p->path->leave();
}

static void run_items(void *arg, int64_t begin, int64_t end, int thread_index) {
    const job *j = arg;
    char *panel = j->panels + (size_t)thread_index * j->panel_bytes;
    for (const product *p = j->products; begin < end; p++) {
        int64_t last = MN_MIN(end, p->first_item + p->n_items);
        if (begin >= last) continue;
        run_items_of(j, p, begin - p->first_item, last - p->first_item, panel);
        begin = last;
    }
}

/* x in the form that path wants: that of an earlier product if it is the same. NULL when memory ends. */
static const char *prepared_x(const mn_compute *c, const product *earlier, int n_earlier, const mn_matmul_path *path,
                              const float *x, int64_t x_stride, int64_t n_rows, int64_t n_in) {
    for (int i = 0; i < n_earlier; i++) {
        if (earlier[i].path->prepare == path->prepare) return earlier[i].x;
    }
    prepare_job p = {path, x, x_stride, n_in, NULL, path->x_row_bytes(n_in)};
    p.rows = mn_arena_alloc(c->scratch, (size_t)n_rows, p.row_bytes);
    if (p.rows) mn_pool_run(c->pool, n_rows, 8, prepare_rows, &p);
    return p.rows;
}

static void split(product *p, int64_t n_rows, int64_t n_threads) {
    int64_t n_panels = (p->w->ne[1] + p->path->panel_outputs - 1) / p->path->panel_outputs;
    int64_t wanted = (ITEMS_PER_THREAD * n_threads + n_panels - 1) / MN_MAX(n_panels, 1);
    int64_t most = MN_MAX(n_rows / MIN_ROWS_PER_CHUNK, 1);
    int64_t n_chunks = n_threads > 1 ? MN_MIN(wanted, most) : 1;
    p->rows_per_chunk = (n_rows + n_chunks - 1) / n_chunks;
    p->n_chunks = (n_rows + p->rows_per_chunk - 1) / p->rows_per_chunk;
    p->n_items = n_panels * p->n_chunks;
}

static const mn_matmul_path *choose_path(const mn_compute *c, mn_dtype type, int64_t n_rows) {
    const mn_matmul_kernels *kernels = &c->kernels->matmul;
    if (c->exact) return kernels->exact;
    return n_rows >= MN_MANY_ROWS && kernels->many[type] ? kernels->many[type] : kernels->fast[type];
}

static mn_status multiply(const mn_compute *c, job *j, float *const *outs, const int64_t *out_strides, const float *x,
                          int64_t x_stride, const mn_tensor *const *ws, mn_error *err) {
    int64_t n_threads = mn_pool_threads(c->pool), n_items = 0;
    j->products = mn_arena_alloc(c->scratch, (size_t)j->n_products, sizeof *j->products);
    if (!j->products) return mn_fail(err, MN_ERR_MEMORY, "no memory for a matrix product.");
    for (int i = 0; i < j->n_products; i++) {
        product *p = &j->products[i];
        *p = (product){.path = choose_path(c, ws[i]->type, j->n_rows), .w = ws[i]};
        p->out = outs[i];
        p->out_stride = out_strides[i];
        p->x_row_bytes = p->path->x_row_bytes(p->w->ne[0]);
        p->x = prepared_x(c, j->products, i, p->path, x, x_stride, j->n_rows, p->w->ne[0]);
        if (!p->x)
            return mn_fail(err, MN_ERR_MEMORY, "no memory for %lld rows of %lld activations; lower -b.",
                           (long long)j->n_rows, (long long)p->w->ne[0]);
        split(p, j->n_rows, n_threads);
        p->first_item = n_items;
        n_items += p->n_items;
        j->panel_bytes = MN_MAX(j->panel_bytes, (p->path->panel_bytes + 63) & ~(size_t)63);
    }
    j->panels = mn_arena_alloc(c->scratch, (size_t)n_threads, j->panel_bytes);
    if (!j->panels) return mn_fail(err, MN_ERR_MEMORY, "no memory for the panels of a matrix product.");
    mn_pool_run(c->pool, n_items, MN_MAX(1, n_items / (RANGES_PER_THREAD * n_threads)), run_items, j);
    return MN_OK;
}

mn_status mn_matmul_many(const mn_compute *c, float *const *outs, const int64_t *out_strides, const float *x,
                         int64_t x_stride, int64_t n_rows, const mn_tensor *const *ws, int n_ws, mn_error *err) {
    if (n_rows == 0 || n_ws == 0) return MN_OK;
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    job j = {.vec = &c->kernels->vec, .n_products = n_ws, .n_rows = n_rows};
    mn_status status = multiply(c, &j, outs, out_strides, x, x_stride, ws, err);
    mn_arena_rewind(c->scratch, mark);
    return status;
}

mn_status mn_matmul(const mn_compute *c, float *out, int64_t out_stride, const float *x, int64_t x_stride,
                    int64_t n_rows, const mn_tensor *w, mn_error *err) {
    return mn_matmul_many(c, &out, &out_stride, x, x_stride, n_rows, &w, 1, err);
}
