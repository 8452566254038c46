/* The driver: prepares x once for all weights that want it in the same form, then hands panels to threads. */
#include "kernels/matmul.h"

#include "base/checked.h"
#include "kernels/kernels.h"
#include "kernels/matmul_driver.h"

enum {
    RANGES_PER_THREAD = 8,   /* of panels: enough to even out, few enough to read memory in long runs */
    GROUPS_PER_THREAD = 2,   /* the same of many rows: each group reads all of x */
    ITEMS_PER_THREAD = 4,    /* rows are split as well when there are fewer panels than this */
    MIN_ROWS_PER_CHUNK = 48, /* below this, expanding a panel again costs more than it wins */
    ROWS_STEP = 32,          /* rows of a chunk come in multiples of this: whole tiles */
    LINE_BYTES = 64,
    PREPARE_FLOATS = 1 << 12, /* of x, for which waking a thread pays */
    FEW_OUTPUTS = 16,         /* what few takes at once */
    THIN_INPUTS = 96,         /* a lone row so short goes through few: row takes many more inputs at once */
    STREAM_BYTES = 1 << 20,   /* results of this size leave the second-level cache before they are read */
    MOST_BYTES = 1 << 19      /* of a block of x, which all panels read again, and of a group's sums: see share_of */
};

typedef struct product {
    mn_matmul_task task;
    int64_t n_in, n_out;
    bool stream;   /* see mn_matmul_sums */
    bool lone_row; /* a row that the path has a kernel of its own for, and for this type */
    bool few_rows; /* the same of a few */
    int64_t rows_per_chunk, n_chunks;
    int64_t n_panels, panels_per_group, n_groups;
    int64_t first_item, n_items; /* item = chunk of rows * n_groups + group of panels */
} product;

typedef struct job {
    const mn_vec_kernels *vec;
    product *products;
    int n_products;
    int64_t n_rows;
    char *work; /* [n_threads, work_bytes]: two panels of panel_bytes, then sums */
    size_t panel_bytes, work_bytes;
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

/* An item: some panels and a chunk of rows. Steps: panels of the first block of inputs, then those of the next. */
typedef struct group {
    const product *p;
    int64_t first_panel, n_panels, n_steps, first_row, n_rows;
    int64_t panel_outputs; /* of the path, or of all panels where the tile reads W itself */
    float *sums;           /* [n_panels, n_rows, panel_outputs], while there are inputs to come */
} group;

static group group_of(const job *j, const product *p, int64_t item, float *sums) {
    group g = {.p = p, .sums = sums};
    g.first_panel = item % p->n_groups * p->panels_per_group;
    g.n_panels = MN_MIN(p->panels_per_group, p->n_panels - g.first_panel);
    g.panel_outputs = p->task.path->panel_outputs;
    if (!p->task.path->pack && !p->lone_row && !p->few_rows) {
        g.panel_outputs *= g.n_panels;
        g.n_panels = 1;
    }
    g.n_steps = g.n_panels * ((p->n_in + p->task.path->block_inputs - 1) / p->task.path->block_inputs);
    g.first_row = item / p->n_groups * p->rows_per_chunk;
    g.n_rows = MN_MIN(p->rows_per_chunk, j->n_rows - g.first_row);
    return g;
}

static mn_matmul_part part_of(const group *g, int64_t step) {
    const product *p = g->p;
    const mn_matmul_path *path = p->task.path;
    mn_matmul_part part = {.w = p->task.w, .row_bytes = p->task.w_row_bytes};
    part.first_output = g->first_panel * path->panel_outputs + step % g->n_panels * g->panel_outputs;
    part.first_input = step / g->n_panels * path->block_inputs;
    part.n_outputs = (int)MN_MIN(g->panel_outputs, p->n_out - part.first_output);
    part.n_inputs = (int)MN_MIN(path->block_inputs, p->n_in - part.first_input);
    return part;
}

/* Sums of the last inputs leave for out; the others wait one row after the other, where the rows of out may lie a power
 * of two apart and fall into few sets of the caches. Tiles load old sums under an empty mask where there are none: from
 * memory that is near, as even such a load waits for its line. */
static mn_matmul_sums sums_of(const group *g, const mn_matmul_part *part, int64_t step) {
    const product *p = g->p;
    float *out = p->task.out + g->first_row * p->task.out_stride + part->first_output;
    int64_t stride = p->task.path->panel_outputs;
    float *waiting = g->sums + step % g->n_panels * g->n_rows * stride;
    mn_matmul_sums sums = {part->first_input > 0 || p->task.add, false, waiting, stride, waiting, stride};
    if (part->first_input + part->n_inputs == p->n_in) {
        sums.stream = p->stream && part->n_outputs == p->task.path->panel_outputs;
        sums.out = out;
        sums.out_stride = p->task.out_stride;
    }
    if (part->first_input == 0) {
        sums.old = p->task.add ? out : sums.out;
        sums.old_stride = p->task.add ? p->task.out_stride : sums.out_stride;
    }
    return sums;
}

static void run_tile(const group *g, const mn_matmul_part *part, int64_t step, const void *panel, void *next) {
    const mn_matmul_task *t = &g->p->task;
    const char *x = t->x + (size_t)g->first_row * t->x_row_bytes;
    t->path->tile(part, panel, next, x, t->x_row_bytes, g->n_rows, sums_of(g, part, step));
}

static void pack_panel(const job *j, const group *g, const mn_matmul_part *part, void *panel) {
    const mn_matmul_task *t = &g->p->task;
    if (t->path->pack) (t->transposed ? t->path->pack_transposed : t->path->pack)(part, j->vec, panel);
}

/* A block of inputs at a time, which stays in the second-level cache for all panels. */
static void run_group(const job *j, const group *g, void *panel) {
    for (int64_t step = 0; step < g->n_steps; step++) {
        mn_matmul_part part = part_of(g, step);
        pack_panel(j, g, &part, panel);
        run_tile(g, &part, step, panel, NULL);
    }
}

/* The same where a tile finishes the next panel while one is in use. */
static void run_group_ahead(const job *j, const group *g, char *panel, char *next) {
    const mn_matmul_path *path = g->p->task.path;
    mn_matmul_part part = part_of(g, 0);
    pack_panel(j, g, &part, panel);
    path->finish(panel);
    for (int64_t step = 0; step + 1 < g->n_steps; step++) {
        mn_matmul_part next_part = part_of(g, step + 1);
        pack_panel(j, g, &next_part, next);
        run_tile(g, &part, step, panel, next);
        part = next_part;
        char *used = panel;
        panel = next;
        next = used;
    }
    run_tile(g, &part, g->n_steps - 1, panel, NULL);
}

static void run_lone_row(const group *g, void *panel) {
    for (int64_t i = 0; i < g->n_panels; i++) {
        mn_matmul_part part = part_of(g, i);
        g->p->task.path->row(&part, g->p->task.x, panel, g->p->task.out + part.first_output);
    }
}

static void run_few_rows(const group *g, void *panel) {
    const mn_matmul_task *t = &g->p->task;
    for (int64_t i = 0; i < g->n_panels; i++) {
        mn_matmul_part part = part_of(g, i);
        t->path->few(&part, t->x, t->x_row_bytes, g->n_rows, panel, t->out + part.first_output, t->out_stride);
    }
}

static void run_items_of(const job *j, const product *p, int64_t begin, int64_t end, char *work) {
    const mn_matmul_path *path = p->task.path;
    if (path->enter) path->enter();
    for (int64_t item = begin; item < end; item++) {
        group g = group_of(j, p, item, (float *)(work + 2 * j->panel_bytes));
        if (p->lone_row)
            run_lone_row(&g, work);
        else if (p->few_rows)
            run_few_rows(&g, work);
        else if (path->finish)
            run_group_ahead(j, &g, work, work + j->panel_bytes);
        else
            run_group(j, &g, work);
    }
    if (path->leave) path->leave();
}

static void run_items(void *arg, int64_t begin, int64_t end, int thread_index) {
    const job *j = arg;
    char *work = j->work + (size_t)thread_index * j->work_bytes;
    for (const product *p = j->products; begin < end; p++) {
        int64_t last = MN_MIN(end, p->first_item + p->n_items);
        if (begin >= last) continue;
        run_items_of(j, p, begin - p->first_item, last - p->first_item, work);
        begin = last;
    }
}

/* x in the form that path wants: that of an earlier product if it is the same. NULL when memory ends. */
static const char *prepared_x(const mn_compute *c, const mn_matmul_task *earlier, int n_earlier,
                              const mn_matmul_path *path, const float *x, int64_t x_stride, int64_t n_rows,
                              int64_t n_in) {
    for (int i = 0; i < n_earlier; i++) {
        if (earlier[i].path->prepare == path->prepare) return earlier[i].x;
    }
    prepare_job p = {path, x, x_stride, n_in, mn_matmul_alloc_rows(c, path, n_rows, n_in), path->x_row_bytes(n_in)};
    if (p.rows) mn_pool_run(c->pool, n_rows, MN_MAX(1, PREPARE_FLOATS / MN_MAX(n_in, 1)), prepare_rows, &p);
    return p.rows;
}

char *mn_matmul_alloc_rows(const mn_compute *c, const mn_matmul_path *path, int64_t n_rows, int64_t n_in) {
    int64_t tile_rows = MN_MAX(path->tile_rows, 1);
    return mn_arena_alloc(c->scratch, (size_t)((n_rows + tile_rows - 1) / tile_rows * tile_rows),
                          path->x_row_bytes(n_in));
}

/* Results that no near cache holds until they are read. Their lines would be fetched only to be overwritten. */
static bool wants_stream(const product *p, int64_t n_rows) {
    const mn_matmul_task *t = &p->task;
    size_t bytes = (size_t)(n_rows * p->n_out) * sizeof(float);
    bool whole_lines = ((uintptr_t)t->out | (uintptr_t)t->out_stride * sizeof(float)) % LINE_BYTES == 0 &&
                       (size_t)t->path->panel_outputs * sizeof(float) % LINE_BYTES == 0;
    return whole_lines && bytes >= STREAM_BYTES && !t->add;
}

/* A block of x and a group's sums each have half of the second-level cache. */
static size_t share_of(size_t l2_bytes) { return MN_MIN(l2_bytes / 2, (size_t)MOST_BYTES); }

static size_t sums_bytes(const product *p, int64_t n_panels) {
    bool one_block = p->n_in <= p->task.path->block_inputs;
    return one_block ? 0 : (size_t)(n_panels * p->rows_per_chunk * p->task.path->panel_outputs) * sizeof(float);
}

/* Rows of which a block of inputs stays in the second-level cache. */
static int64_t rows_that_stay(const product *p, size_t share_bytes) {
    double row_bytes = (double)p->task.x_row_bytes / (double)p->n_in;
    row_bytes *= (double)MN_MIN(p->n_in, (int64_t)p->task.path->block_inputs);
    return MN_MAX((int64_t)((double)share_bytes / row_bytes), (int64_t)MIN_ROWS_PER_CHUNK);
}

static void split(product *p, int64_t n_rows, int64_t n_threads, size_t share_bytes) {
    p->n_panels = (p->n_out + p->task.path->panel_outputs - 1) / p->task.path->panel_outputs;
    int64_t wanted = (ITEMS_PER_THREAD * n_threads + p->n_panels - 1) / MN_MAX(p->n_panels, 1);
    int64_t most = MN_MAX(n_rows / MIN_ROWS_PER_CHUNK, 1);
    int64_t n_chunks = n_threads > 1 ? MN_MIN(wanted, most) : 1;
    n_chunks = MN_MAX(n_chunks, n_rows / rows_that_stay(p, share_bytes));
    p->rows_per_chunk = (n_rows + n_chunks - 1) / n_chunks;
    if (n_chunks > 1) p->rows_per_chunk = (p->rows_per_chunk + ROWS_STEP - 1) / ROWS_STEP * ROWS_STEP;
    p->n_chunks = (n_rows + p->rows_per_chunk - 1) / p->rows_per_chunk;
    int64_t groups = (n_rows < MIN_ROWS_PER_CHUNK ? RANGES_PER_THREAD : GROUPS_PER_THREAD) * n_threads;
    p->panels_per_group = MN_MAX(p->n_panels / groups, 1);
    while (p->panels_per_group > 1 && sums_bytes(p, p->panels_per_group) > share_bytes) p->panels_per_group--;
    p->n_groups = (p->n_panels + p->panels_per_group - 1) / p->panels_per_group;
    p->n_items = p->n_groups * p->n_chunks;
}

mn_status mn_matmul_run(const mn_compute *c, const mn_matmul_task *tasks, int n_tasks, int64_t n_rows, mn_error *err) {
    int64_t n_threads = mn_pool_threads(c->pool), n_items = 0;
    job j = {.vec = &c->kernels->vec, .n_products = n_tasks, .n_rows = n_rows};
    j.products = mn_arena_alloc(c->scratch, (size_t)n_tasks, sizeof *j.products);
    if (!j.products) return mn_fail(err, MN_ERR_MEMORY, "no memory for a matrix product.");
    for (int i = 0; i < n_tasks; i++) {
        product *p = &j.products[i];
        *p = (product){.task = tasks[i]};
        p->n_in = p->task.w->ne[p->task.transposed ? 1 : 0];
        p->n_out = p->task.w->ne[p->task.transposed ? 0 : 1];
        if (p->task.w_row_bytes == 0) p->task.w_row_bytes = mn_tensor_row_bytes(p->task.w);
        p->stream = wants_stream(p, n_rows);
        /* Kernels that read W as it is stored are for W of their path's own type, which training may not have. */
        const mn_matmul_path *path = p->task.path;
        bool own = !p->task.transposed && !p->task.add && path == mn_matmul_choose_path(c, p->task.w->type, n_rows);
        p->lone_row = own && path->row && n_rows == 1;
        bool few_first = !p->lone_row || p->n_in <= THIN_INPUTS;
        p->few_rows = own && path->few && n_rows <= path->few_rows && p->n_out >= FEW_OUTPUTS && few_first;
        if (p->few_rows) p->lone_row = false;
        split(p, n_rows, n_threads, share_of(c->kernels->l2_bytes));
        p->first_item = n_items;
        n_items += p->n_items;
        j.panel_bytes = MN_MAX(j.panel_bytes, (p->task.path->panel_bytes + 63) & ~(size_t)63);
        j.work_bytes = MN_MAX(j.work_bytes, (sums_bytes(p, p->panels_per_group) + 63) & ~(size_t)63);
    }
    j.work_bytes += 2 * j.panel_bytes;
    j.work = mn_arena_alloc(c->scratch, (size_t)n_threads, j.work_bytes);
    if (!j.work) return mn_fail(err, MN_ERR_MEMORY, "no memory for the panels of a matrix product.");
    mn_pool_run(c->pool, n_items, MN_MAX(1, n_items / (RANGES_PER_THREAD * n_threads)), run_items, &j);
    return MN_OK;
}

const mn_matmul_path *mn_matmul_choose_path(const mn_compute *c, mn_dtype type, int64_t n_rows) {
    const mn_matmul_kernels *kernels = &c->kernels->matmul;
    if (c->exact) return kernels->exact;
    return n_rows >= kernels->many_rows[type] && kernels->many[type] ? kernels->many[type] : kernels->fast[type];
}

bool mn_matmul_keeps_f32(const mn_matmul_kernels *kernels, mn_dtype type) {
    const mn_matmul_path *path = kernels->many[type] ? kernels->many[type] : kernels->fast[type];
    return path->x_element_bytes == (int)sizeof(float);
}

static mn_status multiply(const mn_compute *c, mn_matmul_path_fn *choose, float *const *outs,
                          const int64_t *out_strides, const float *x, int64_t x_stride, int64_t n_rows,
                          const mn_tensor *const *ws, int n_ws, mn_error *err) {
    mn_matmul_task *tasks = mn_arena_alloc(c->scratch, (size_t)n_ws, sizeof *tasks);
    if (!tasks) return mn_fail(err, MN_ERR_MEMORY, "no memory for a matrix product.");
    for (int i = 0; i < n_ws; i++) {
        mn_matmul_task *t = &tasks[i];
        int64_t n_in = ws[i]->ne[0];
        *t = (mn_matmul_task){.path = choose(c, ws[i]->type, n_rows), .w = ws[i]};
        t->out = outs[i];
        t->out_stride = out_strides[i];
        t->x_row_bytes = t->path->x_row_bytes(n_in);
        t->x = prepared_x(c, tasks, i, t->path, x, x_stride, n_rows, n_in);
        if (!t->x)
            return mn_fail_with(err, MN_ERR_MEMORY, MN_REMEDIES({MN_REMEDY_SMALLER_BATCH, 0}),
                                "no memory for %lld rows of %lld activations; use a smaller batch.", (long long)n_rows,
                                (long long)n_in);
    }
    return mn_matmul_run(c, tasks, n_ws, n_rows, err);
}

mn_status mn_matmul_by(const mn_compute *c, mn_matmul_path_fn *choose, float *const *outs, const int64_t *out_strides,
                       const float *x, int64_t x_stride, int64_t n_rows, const mn_tensor *const *ws, int n_ws,
                       mn_error *err) {
    if (n_rows == 0 || n_ws == 0) return MN_OK;
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    mn_status status = multiply(c, choose, outs, out_strides, x, x_stride, n_rows, ws, n_ws, err);
    mn_arena_rewind(c->scratch, mark);
    return status;
}

mn_status mn_matmul_many(const mn_compute *c, float *const *outs, const int64_t *out_strides, const float *x,
                         int64_t x_stride, int64_t n_rows, const mn_tensor *const *ws, int n_ws, mn_error *err) {
    return mn_matmul_by(c, mn_matmul_choose_path, outs, out_strides, x, x_stride, n_rows, ws, n_ws, err);
}

mn_status mn_matmul(const mn_compute *c, float *out, int64_t out_stride, const float *x, int64_t x_stride,
                    int64_t n_rows, const mn_tensor *w, mn_error *err) {
    return mn_matmul_many(c, &out, &out_stride, x, x_stride, n_rows, &w, 1, err);
}
