/* The CPU's backend: rows parted between a layer's dense MLP and its small one. */
#include "base/clock.h"
#include "kernels/kernels.h"
#include "model/backend_cpu_ops.h"

#include <string.h>

/* The step's row that row r of x is. */
static int64_t step_row(const mn_split *split, int64_t r) { return split->of_step ? split->of_step[r] : r; }

/* Where a token's choice and score stand in the sequence's lists, -1: beyond them. */
static int64_t place_of(const mn_slice *slice, int64_t row, int layer) {
    const mn_easy *easy = &slice->sequence->easy;
    int64_t token = slice->sequence->n_tokens + row - slice->first_row;
    return token < easy->n_choices ? layer * easy->n_choices + token : -1;
}

static int choose(const mn_slice *slice, int64_t row, int layer, float z) {
    const mn_easy *easy = &slice->sequence->easy;
    int64_t place = place_of(slice, row, layer);
    if (easy->scores && place >= 0) easy->scores[place] = z;
    if (easy->choices && place >= 0) return easy->choices[place];
    return mn_is_easy(z, easy->threshold) ? MN_SMALL : MN_BIG;
}

/* Fills the lists of rows; their lengths are the parts' n_rows. */
static void sort_rows(const mn_step *s, int layer, const float *z, int64_t n, mn_split *out, int64_t *const rows[2]) {
    const mn_slice *slice = s->slices;
    int64_t counts[2] = {0, 0};
    for (int64_t r = 0; r < n; r++) {
        int64_t row = step_row(out, r);
        while (row >= slice->first_row + slice->n_rows) slice++;
        int part = choose(slice, row, layer, z[r]);
        rows[part][counts[part]++] = r;
    }
    for (int i = 0; i < 2; i++) out->parts[i].n_rows = counts[i];
}

/* On a dry pool both parts get all rows: the most that each can get. */
mn_status mn_cpu_split(const mn_step *s, int layer, mn_split *out, mn_rows x, const int64_t *of_step, mn_error *err) {
    const mn_compute *c = mn_cpu_compute(s);
    const mn_layer *w = &s->model->weights.layers[layer];
    bool dry = mn_pool_is_dry(c->pool);
    double began = mn_clock_seconds();
    *out = (mn_split){.of_step = of_step, .n_rows = x.n_rows};
    float *z = mn_cpu_floats(s, x.n_rows, 1);
    int64_t *rows = mn_arena_alloc(c->scratch, (size_t)x.n_rows, 2 * sizeof *rows);
    float *gathered = mn_cpu_floats(s, x.n_rows, x.n); /* of both parts together, unless one is all */
    if (!z || !rows || !gathered) return mn_no_scratch(err);
    out->parts[MN_BIG] = out->parts[MN_SMALL] = x;
    if (dry) return MN_OK;
    mn_easy_scores(c, z, mn_cpu_data(x), x.row_stride, x.n_rows, w->easy, *w->easy_b, x.n);
    sort_rows(s, layer, z, x.n_rows, out, (int64_t *const[]){rows, rows + x.n_rows});
    for (int i = 0; i < 2; i++) {
        int64_t n = out->parts[i].n_rows;
        if (n == 0 || n == x.n_rows) continue;
        out->rows[i] = rows + i * x.n_rows;
        out->parts[i] = mn_cpu_rows(gathered, n, x.n);
        gathered += n * x.n;
        MN_TRY(s->backend->gather(s, out->parts[i], x, out->rows[i], err));
    }
    out->since = mn_clock_seconds();
    out->router_seconds = out->since - began;
    return MN_OK;
}

/* Each sequence's rows of a part, and its share of the time that all of them took. */
static void count(const mn_step *s, int layer, mn_split *split, int part) {
    double now = mn_clock_seconds(), each = (now - split->since) / (double)split->parts[part].n_rows;
    const mn_slice *slice = s->slices;
    for (int64_t i = 0; i < split->parts[part].n_rows; i++) {
        int64_t row = step_row(split, split->rows[part] ? split->rows[part][i] : i);
        while (row >= slice->first_row + slice->n_rows) slice++;
        if (!slice->sequence->easy.counts) continue;
        mn_easy_count *to = &slice->sequence->easy.counts[layer][slice->n_rows > 1 ? MN_EASY_PREFILL : MN_EASY_DECODE];
        to->n_rows[part]++;
        to->seconds[part] += each;
        to->router_seconds += split->router_seconds / (double)split->n_rows;
    }
    split->since = now;
}

typedef struct join_job {
    mn_rows out, y;
    const int64_t *rows; /* NULL: all */
} join_job;

static void join_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const join_job *job = arg;
    for (int64_t r = begin; r < end; r++)
        memcpy(mn_cpu_row(job->out, job->rows ? job->rows[r] : r), mn_cpu_row(job->y, r),
               (size_t)job->y.n * sizeof(float));
}

mn_status mn_cpu_join(const mn_step *s, int layer, mn_split *split, int part, mn_rows out, mn_rows y, mn_error *err) {
    const mn_compute *c = mn_cpu_compute(s);
    join_job job = {out, y, split->rows[part]};
    (void)err;
    mn_pool_run(c->pool, y.n_rows, mn_cpu_grain(y.n), join_rows, &job);
    if (!mn_pool_is_dry(c->pool)) count(s, layer, split, part);
    return MN_OK;
}
