#include "support/attend_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "kernels/kernels.h"
#include "support/support.h"

static int whole_blocks(int dim) { return (dim + 31) & ~31; }

static float draw(mn_random *rng, bool outliers) {
    double x = mn_random_normal(rng);
    if (outliers && mn_random_below(rng, 1000) == 0) x += 10 * mn_random_normal(rng);
    return (float)x;
}

static void fill_row(mn_random *rng, mn_dtype type, char *row, int dim, bool outliers) {
    float values[2048] = {0};
    for (int i = 0; i < dim; i++) values[i] = draw(rng, outliers);
    mn_from_f32(type, values, row, type == MN_Q8_0 || type == MN_Q4_0 ? whole_blocks(dim) : dim);
}

/* Rows beyond n_tokens hold NaN patterns: nobody may read them. */
static void fill_pages(mn_random *rng, void **pages, const attend_spec *s, mn_dtype type, size_t row_bytes, int dim) {
    size_t page_bytes = row_bytes * (size_t)s->n_kv_heads * MN_PAGE_TOKENS;
    for (int64_t first = 0; first < s->n_tokens; first += MN_PAGE_TOKENS, pages++) {
        *pages = malloc(page_bytes);
        memset(*pages, 0xff, page_bytes);
        for (int h = 0; h < s->n_kv_heads; h++)
            for (int64_t t = 0; t < MN_MIN((int64_t)MN_PAGE_TOKENS, s->n_tokens - first); t++)
                fill_row(rng, type, (char *)*pages + (size_t)(h * MN_PAGE_TOKENS + t) * row_bytes, dim, s->outliers);
    }
}

attend_case attend_case_create(const attend_spec *s, uint64_t seed) {
    mn_random rng;
    mn_random_seed(&rng, seed, 7);
    int n_heads = s->n_kv_heads * s->group;
    attend_case c = {.n_pages = (s->n_tokens + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS};
    c.pages = calloc((size_t)c.n_pages * 2 + 1, sizeof *c.pages);
    mn_kv_view kv = {.k_type = s->k_type,
                     .v_type = s->v_type,
                     .n_kv_heads = s->n_kv_heads,
                     .k_dim = s->k_dim,
                     .v_dim = s->v_dim,
                     .n_tokens = s->n_tokens};
    kv.k_row_bytes = mn_dtype_row_bytes(s->k_type, whole_blocks(s->k_dim));
    kv.v_row_bytes = s->shared_values ? kv.k_row_bytes : mn_dtype_row_bytes(s->v_type, whole_blocks(s->v_dim));
    fill_pages(&rng, c.pages, s, s->k_type, kv.k_row_bytes, s->k_dim);
    if (!s->shared_values) fill_pages(&rng, c.pages + c.n_pages, s, s->v_type, kv.v_row_bytes, s->v_dim);
    kv.k_pages = (const void *const *)c.pages;
    kv.v_pages = kv.k_pages + (s->shared_values ? 0 : c.n_pages);
    int64_t q_stride = n_heads * s->k_dim + 3, out_stride = n_heads * s->v_dim + 5;
    c.q = malloc((size_t)(s->n_rows * q_stride) * sizeof *c.q + 1);
    c.out = malloc((size_t)(s->n_rows * out_stride) * sizeof *c.out + 1);
    for (int64_t i = 0; i < s->n_rows * q_stride; i++) c.q[i] = draw(&rng, s->outliers);
    for (int64_t i = 0; i < s->n_rows * out_stride; i++) c.out[i] = NAN;
    c.slopes = malloc((size_t)n_heads * sizeof *c.slopes);
    for (int h = 0; h < n_heads; h++) c.slopes[h] = exp2f(-8.0f * (float)(h + 1) / (float)n_heads);
    c.sinks = malloc((size_t)n_heads * sizeof *c.sinks);
    for (int h = 0; h < n_heads; h++) c.sinks[h] = (float)(h % 5 - 2) * 3;
    c.call = (mn_attend){.q = c.q,
                         .out = c.out,
                         .q_stride = q_stride,
                         .out_stride = out_stride,
                         .n_rows = s->n_rows,
                         .first_token = s->first_token,
                         .n_heads = n_heads,
                         .scale = 1 / sqrtf((float)s->k_dim),
                         .softcap = s->softcap,
                         .window = s->window,
                         .segment = s->segment,
                         .slopes = s->slopes ? c.slopes : NULL,
                         .sinks = s->sinks ? c.sinks : NULL,
                         .kv = kv};
    return c;
}

void attend_case_free(attend_case *c) {
    for (int64_t i = 0; i < 2 * c->n_pages; i++) free(c->pages[i]);
    free(c->pages);
    free(c->q);
    free(c->out);
    free(c->slopes);
    free(c->sinks);
}

static void read_row(const void *const *pages, mn_dtype type, size_t row_bytes, int h, int64_t t, int dim, float *row) {
    const char *page = pages[t / MN_PAGE_TOKENS];
    mn_to_f32(type, page + (size_t)(h * MN_PAGE_TOKENS + t % MN_PAGE_TOKENS) * row_bytes, row,
              type == MN_Q8_0 || type == MN_Q4_0 ? whole_blocks(dim) : dim);
}

static bool listed(const mn_attend *a, int head, int64_t token, int64_t key) {
    const mn_block_list *lists = a->blocks;
    if (!lists) return true;
    int64_t list = lists->n_lists == 1 ? 0 : lists->n_lists == a->n_heads ? head : head / (a->n_heads / lists->n_lists);
    int query_tokens = lists->query_tokens ? lists->query_tokens : lists->block_tokens;
    const int64_t *range =
        lists->offsets + list * lists->n_query_blocks + token / query_tokens - lists->first_query_block;
    for (int64_t i = range[0]; i < range[1]; i++)
        if (lists->blocks[i] == key / lists->block_tokens) return true;
    return false;
}

static bool sees(const mn_attend *a, int head, int64_t token, int64_t key) {
    const mn_kv_view *kv = &a->kv;
    bool near = (a->window == 0 || token - key < a->window) && (a->dilation <= 1 || (token - key) % a->dilation == 0) &&
                (a->segment == 0 || key / a->segment == token / a->segment);
    bool in_range =
        !a->key_begin || (key >= a->key_begin[token - a->first_token] && key < a->key_end[token - a->first_token]);
    if (a->chosen && !(a->chosen[(token - a->first_token) * a->chosen_words + key / 64] >> key % 64 & 1)) return false;
    return in_range && key <= token && key < kv->n_tokens && (near || key < a->n_sinks) &&
           listed(a, head, token, key) && kv->k_pages[key / MN_PAGE_TOKENS] && kv->v_pages[key / MN_PAGE_TOKENS];
}

/* One KV head's rows as f32: keys [n_tokens, k_dim] and values [n_tokens, v_dim]; the caller frees both. */
typedef struct head_rows {
    float *keys, *values;
} head_rows;

static head_rows read_head(const mn_kv_view *kv, int h) {
    float row[2048];
    head_rows rows = {calloc((size_t)(kv->n_tokens * kv->k_dim) + 1, sizeof(float)),
                      calloc((size_t)(kv->n_tokens * kv->v_dim) + 1, sizeof(float))};
    for (int64_t t = 0; t < kv->n_tokens; t++) {
        if (!kv->k_pages[t / MN_PAGE_TOKENS]) continue;
        read_row(kv->k_pages, kv->k_type, kv->k_row_bytes, h, t, kv->k_dim, row);
        memcpy(rows.keys + t * kv->k_dim, row, (size_t)kv->k_dim * sizeof *row);
        read_row(kv->v_pages, kv->v_type, kv->v_row_bytes, h, t, kv->v_dim, row);
        memcpy(rows.values + t * kv->v_dim, row, (size_t)kv->v_dim * sizeof *row);
    }
    return rows;
}

/* weights [n_tokens] of one row and head, and where slopes is not NULL the derivative of each score by q.k. */
static void weigh(const mn_attend *a, int64_t row, int head, const float *keys, double *weights, double *slopes) {
    const mn_kv_view *kv = &a->kv;
    int64_t token = a->first_token + row;
    const float *q = a->q + row * a->q_stride + (int64_t)head * kv->k_dim;
    double max = -INFINITY, sum = 0;
    for (int64_t j = 0; j < kv->n_tokens; j++) {
        double s = 0, capped = 0;
        for (int i = 0; i < kv->k_dim; i++) s += (double)q[i] * (double)keys[j * kv->k_dim + i];
        s *= (double)a->scale;
        if (a->softcap > 0) {
            capped = tanh(s / (double)a->softcap);
            s = (double)a->softcap * capped;
        }
        if (slopes) slopes[j] = (double)a->scale * (1 - capped * capped);
        if (a->slopes) s -= (double)a->slopes[head] * (double)(token - j);
        weights[j] = sees(a, head, token, j) ? s : -INFINITY;
        max = MN_MAX(max, weights[j]);
    }
    if (a->sinks) {
        max = MN_MAX(max, (double)a->sinks[head]);
        sum = exp((double)a->sinks[head] - max);
    }
    for (int64_t j = 0; j < kv->n_tokens; j++) {
        weights[j] = max > -INFINITY ? exp(weights[j] - max) : 0;
        sum += weights[j];
    }
    for (int64_t j = 0; j < kv->n_tokens && sum > 0; j++) weights[j] /= sum;
}

static void attend_one(const mn_attend *a, int64_t row, int head, const head_rows *rows, double *out) {
    const mn_kv_view *kv = &a->kv;
    double *weights = malloc((size_t)(kv->n_tokens + 1) * sizeof *weights);
    weigh(a, row, head, rows->keys, weights, NULL);
    for (int i = 0; i < kv->v_dim; i++) out[i] = 0;
    for (int64_t j = 0; j < kv->n_tokens; j++)
        for (int i = 0; weights[j] > 0 && i < kv->v_dim; i++)
            out[i] += weights[j] * (double)rows->values[j * kv->v_dim + i];
    free(weights);
}

void attend_oracle(const mn_attend *a, double *out) {
    const mn_kv_view *kv = &a->kv;
    for (int h = 0; h < kv->n_kv_heads; h++) {
        head_rows rows = read_head(kv, h);
        int group = a->n_heads / kv->n_kv_heads;
        for (int64_t r = 0; r < a->n_rows; r++)
            for (int head = h * group; head < (h + 1) * group; head++)
                attend_one(a, r, head, &rows, out + (r * a->n_heads + head) * kv->v_dim);
        free(rows.keys);
        free(rows.values);
    }
}

static double product(const float *a, const float *b, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* d_k, d_v: of the row's KV head, rows of all heads apart. */
static void back_one(const mn_attend *a, int64_t row, int head, const head_rows *rows, const float *d_out, double *d_q,
                     double *d_k, double *d_v) {
    const mn_kv_view *kv = &a->kv;
    int64_t n = kv->n_tokens, heads = kv->n_kv_heads;
    double *weights = malloc(2 * (size_t)(n + 1) * sizeof *weights), *slopes = weights + n, mean = 0;
    const float *q = a->q + row * a->q_stride + (int64_t)head * kv->k_dim;
    weigh(a, row, head, rows->keys, weights, slopes);
    for (int64_t j = 0; j < n; j++)
        if (weights[j] > 0) mean += weights[j] * product(d_out, rows->values + j * kv->v_dim, kv->v_dim);
    for (int64_t j = 0; j < n; j++) {
        if (weights[j] == 0) continue;
        double ds = weights[j] * (product(d_out, rows->values + j * kv->v_dim, kv->v_dim) - mean) * slopes[j];
        for (int i = 0; i < kv->v_dim; i++) d_v[j * heads * kv->v_dim + i] += weights[j] * (double)d_out[i];
        for (int i = 0; i < kv->k_dim; i++) {
            d_q[i] += ds * (double)rows->keys[j * kv->k_dim + i];
            d_k[j * heads * kv->k_dim + i] += ds * (double)q[i];
        }
    }
    free(weights);
}

void attend_oracle_backward(const mn_attend *a, const float *d_out, int64_t d_out_stride, double *d_q, double *d_k,
                            double *d_v) {
    const mn_kv_view *kv = &a->kv;
    int group = a->n_heads / kv->n_kv_heads;
    memset(d_q, 0, (size_t)(a->n_rows * a->n_heads * kv->k_dim) * sizeof *d_q);
    memset(d_k, 0, (size_t)(kv->n_tokens * kv->n_kv_heads * kv->k_dim) * sizeof *d_k);
    memset(d_v, 0, (size_t)(kv->n_tokens * kv->n_kv_heads * kv->v_dim) * sizeof *d_v);
    for (int h = 0; h < kv->n_kv_heads; h++) {
        head_rows rows = read_head(kv, h);
        for (int64_t r = 0; r < a->n_rows; r++)
            for (int head = h * group; head < (h + 1) * group; head++)
                back_one(a, r, head, &rows, d_out + r * d_out_stride + (int64_t)head * kv->v_dim,
                         d_q + (r * a->n_heads + head) * kv->k_dim, d_k + (int64_t)h * kv->k_dim,
                         d_v + (int64_t)h * kv->v_dim);
        free(rows.keys);
        free(rows.values);
    }
}

double attend_error(const mn_attend *a, const double *want) {
    double worst = 0;
    for (int64_t r = 0; r < a->n_rows; r++)
        for (int head = 0; head < a->n_heads; head++, want += a->kv.v_dim) {
            const float *got = a->out + r * a->out_stride + (int64_t)head * a->kv.v_dim;
            double norm = 0, error = 0;
            for (int i = 0; i < a->kv.v_dim; i++) {
                norm += want[i] * want[i];
                error += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
            }
            double relative = error == 0 ? 0 : sqrt(error / norm);
            if (!(relative <= worst)) worst = relative;
        }
    return worst;
}

mn_status attend_decode(const mn_compute *c, const mn_attend *a, mn_error *err) { return mn_decode(c, a, 1, err); }

void attend_run(const mn_attend *a, attend_fn *fn, int level, int n_threads, bool exact) {
    mn_error err;
    mn_pool *pool;
    mn_arena scratch = MN_ARENA_INIT;
    assert_ok(mn_pool_create(n_threads, &pool, &err), err);
    mn_compute compute = {mn_kernels_get((mn_cpu_level)level), pool, &scratch, exact, NULL};
    assert_ok(fn(&compute, a, &err), err);
    assert_int_equal(scratch.used_bytes, 0);
    mn_pool_destroy(pool);
    mn_arena_release(&scratch);
}

double attend_check(const attend_spec *spec, uint64_t seed, attend_fn *fn, int level, bool exact) {
    attend_case c = attend_case_create(spec, seed);
    double *want = malloc((size_t)(spec->n_rows * c.call.n_heads * spec->v_dim) * sizeof *want + 1);
    attend_oracle(&c.call, want);
    attend_run(&c.call, fn, level, 1, exact);
    double error = attend_error(&c.call, want);
    free(want);
    attend_case_free(&c);
    return error;
}
