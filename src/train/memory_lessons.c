#include "train/memory_lessons.h"

#include "base/checked.h"
#include "base/random.h"
#include "train/memory_heads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEEP_CONTEXT = 32, STREAM_LESSON = 77 };

bool mn_memory_takes_lessons(const mn_train_config *c, const mn_model *m) {
    return m->config.infini.segment && m->config.infini.rule == MN_INFINI_DELTA_EXACT && c->lora_rank == 0 &&
           (c->memory.labels > 0 || c->memory.prefix > 0);
}

int64_t mn_memory_context(const mn_model *m) {
    for (int layer = 1; layer < m->config.n_layers; layer++)
        if (mn_memory_layer_is_alive(m, layer)) return DEEP_CONTEXT;
    return MN_MAX(m->config.n_conv_taps, 1);
}

int64_t mn_memory_lesson_rows(const mn_train_config *c, const mn_model *m) {
    return mn_memory_takes_lessons(c, m) ? c->memory.pool_windows * mn_memory_context(m) : 0;
}

mn_status mn_memory_lessons_open(const mn_train_config *c, const mn_model *m, mn_memory_lessons *out, mn_error *err) {
    *out = (mn_memory_lessons){.config = &c->memory, .seed = (uint64_t)c->seed};
    out->pool.size = c->memory.pool_size;
    out->pool.context = mn_memory_context(m);
    out->pool.tokens = calloc((size_t)(out->pool.size * out->pool.context), sizeof *out->pool.tokens);
    out->pool_rows = calloc((size_t)c->memory.pool_windows + 1, sizeof *out->pool_rows);
    if (out->pool.tokens && out->pool_rows) return MN_OK;
    mn_memory_lessons_close(out);
    return mn_fail(err, MN_ERR_MEMORY, "no memory for %lld mined tokens.", (long long)c->memory.pool_size);
}

void mn_memory_lessons_close(mn_memory_lessons *l) {
    free(l->pool.tokens);
    free(l->pool_rows);
    free(l->labels);
    free(l->weights);
    free(l->prefix_rows);
    free(l->prefixes);
    *l = (mn_memory_lessons){0};
}

void mn_memory_lessons_rest(mn_tape *t) {
    t->memory.labels = t->memory.label_weights = NULL;
    t->memory.prefixes = NULL;
    t->memory.n_hardest = 0;
}

/* Room for n items, which need not keep what they held. */
static bool grow(void *array, int64_t *capacity, int64_t n, size_t item_bytes) {
    void **at = array;
    if (n <= *capacity && *at) return true;
    free(*at);
    *at = calloc((size_t)n + 1, item_bytes);
    *capacity = *at ? n : 0;
    return *at != NULL;
}

static mn_status make_room(mn_memory_lessons *l, const mn_train_batch *b, mn_error *err) {
    int64_t n_weights = l->n_rows;
    bool fits = grow(&l->labels, &l->n_rows, b->n_rows, sizeof *l->labels) &&
                grow(&l->weights, &n_weights, b->n_rows, sizeof *l->weights) &&
                grow(&l->prefixes, &l->n_slices, b->n_slices, sizeof *l->prefixes) &&
                grow(&l->prefix_rows, &l->n_prefix_rows, b->n_slices * l->config->prefix_max, sizeof *l->prefix_rows);
    return fits ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "no memory for the labels of %lld rows.", (long long)b->n_rows);
}

/* Answers look like needles to a gate that sees few tokens: they are neither. */
static bool is_masked(uint8_t role) { return role == MN_ROLE_VALUE || role == MN_ROLE_PROMPT; }

static bool is_positive(uint8_t role) { return role == MN_ROLE_NEEDLE_VALUE; }

typedef struct counts {
    int64_t positives, negatives;
} counts;

/* Of all windows of the step, so that batches of it weigh alike. */
static counts count_roles(const mn_train_batch *b) {
    counts n = {0, 0};
    for (int w = 0; w < b->n_windows; w++)
        for (int64_t i = 0; i < b->windows[w].n_tokens; i++) {
            uint8_t role = b->windows[w].roles[i];
            n.positives += is_positive(role);
            n.negatives += !is_positive(role) && !is_masked(role);
        }
    return n;
}

static void label_rows(mn_memory_lessons *l, const mn_train_batch *b, int64_t n_window_rows, int64_t n_pool,
                       double share) {
    const mn_memory_config *c = l->config;
    counts n = count_roles(b);
    float positive = n.positives ? (float)(c->labels * c->positive / (double)n.positives) : 0;
    float negative = n.negatives ? (float)(c->labels * c->negative / (double)n.negatives) : 0;
    float mined = n_pool ? (float)(c->labels * c->mined * share / (double)n_pool) : 0;
    for (int64_t r = 0; r < b->n_rows; r++) {
        bool is_window = r < n_window_rows, wanted = is_window && is_positive(b->row_roles[r]);
        l->labels[r] = wanted ? 1 : 0;
        l->weights[r] = !is_window || is_masked(b->row_roles[r]) ? 0 : wanted ? positive : negative;
    }
    for (int64_t i = 0; i < n_pool; i++) l->weights[l->pool_rows[i]] = mined;
}

/* The pool's tokens of this pass, as documents. */
static mn_status add_pool(mn_memory_lessons *l, mn_train_batch *b, mn_random *rng, int64_t *n, mn_error *err) {
    const mn_memory_pool *p = &l->pool;
    *n = p->n ? l->config->pool_windows : 0;
    for (int64_t i = 0; i < *n; i++) {
        int64_t at = mn_random_below(rng, (uint32_t)p->n);
        MN_TRY(mn_train_batch_add_document(b, p->tokens + at * p->context, p->context, err));
        l->pool_rows[i] = b->n_rows - 1;
    }
    return MN_OK;
}

/* The first token of a document's first question, as one of the slice's rows; 0: it asks nothing. */
static int64_t question_at(const mn_train_batch *b, const mn_slice *slice) {
    for (int64_t i = 0; i < slice->n_rows; i++)
        if (b->row_roles[slice->first_row + i] == MN_ROLE_QUESTION) return i;
    return 0;
}

/* Few as often as many: the logarithm is uniform. */
static int64_t draw_length(const mn_memory_config *c, mn_random *rng) {
    double low = log((double)c->prefix_min), high = log((double)c->prefix_max + 1);
    int64_t n = (int64_t)exp(low + mn_random_double(rng) * (high - low));
    return MN_MAX(c->prefix_min, MN_MIN(n, c->prefix_max));
}

static void draw_prefixes(mn_memory_lessons *l, const mn_train_batch *b, int64_t n_window_rows, int64_t n_pool,
                          mn_random *rng) {
    int64_t used = 0;
    for (int i = 0; i < b->n_slices; i++) {
        mn_memory_prefix *p = &l->prefixes[i];
        int64_t at = question_at(b, &b->slices[i]);
        *p = (mn_memory_prefix){0};
        bool has = mn_random_double(rng) < l->config->prefix;
        if (!has || at == 0 || b->slices[i].first_row >= n_window_rows || n_pool == 0) continue;
        *p = (mn_memory_prefix){at, draw_length(l->config, rng), l->prefix_rows + used};
        for (int64_t k = 0; k < p->n; k++)
            l->prefix_rows[used++] = l->pool_rows[mn_random_below(rng, (uint32_t)n_pool)];
    }
}

mn_status mn_memory_lessons_give(mn_memory_lessons *l, mn_train_batch *b, int first, int n, mn_tape *t, mn_error *err) {
    mn_random rng;
    int64_t n_window_rows = b->n_rows, n_pool;
    double share = (double)n / b->n_windows;
    mn_random_seed(&rng, l->seed + (uint64_t)l->step * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)first, STREAM_LESSON);
    MN_TRY(add_pool(l, b, &rng, &n_pool, err));
    MN_TRY(make_room(l, b, err));
    label_rows(l, b, n_window_rows, n_pool, share);
    draw_prefixes(l, b, n_window_rows, n_pool, &rng);
    bool labelled = l->config->labels > 0;
    t->memory.labels = labelled ? l->labels : NULL;
    t->memory.label_weights = labelled ? l->weights : NULL;
    t->memory.n_hardest = labelled ? l->config->hardest_tokens : 0;
    t->memory.hardest_weight = (float)(l->config->labels * l->config->hardest * share);
    t->memory.prefixes = l->prefixes;
    return MN_OK;
}
