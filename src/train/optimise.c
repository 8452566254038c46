#include "train/optimise.h"

#include "kernels/each.h"
#include "train/adamw.h"
#include "train/clip.h"
#include "train/muon.h"

#include <math.h>
#include <stdlib.h>

/* A tensor that one thread takes alone: what lies around it still fits into a near cache. */
static const int64_t MAX_ALONE = INT64_C(1) << 20;

typedef struct optimise {
    const mn_train_config *config;
    double factor, scale;
    int64_t step;
    mn_parameter **items;
    double *squares; /* of each item's gradient */
} optimise;

static int64_t size_of(const mn_parameter *p) { return p->n_in * p->n_out; }

/* Those that are trained and small, or not small; returns how many. */
static int64_t list(const mn_parameter_sets *p, bool small, mn_parameter **items) {
    int64_t n = 0;
    for (int set = 0; set < p->n; set++)
        for (int64_t i = 0; i < p->sets[set]->n_items; i++) {
            mn_parameter *item = &p->sets[set]->items[i];
            if (!item->frozen && (size_of(item) <= MAX_ALONE) == small) items[n++] = item;
        }
    return n;
}

static int64_t count(const mn_parameter_sets *p) {
    int64_t n = 0;
    for (int set = 0; set < p->n; set++) n += p->sets[set]->n_items;
    return n;
}

static mn_status square_item(const mn_compute *c, void *arg, int64_t i, mn_error *err) {
    const optimise *o = arg;
    return mn_sum_squares(c, o->items[i]->gradients, size_of(o->items[i]), &o->squares[i], err);
}

static mn_status move_item(const mn_compute *c, void *arg, int64_t i, mn_error *err) {
    const optimise *o = arg;
    const mn_train_config *config = o->config;
    const mn_parameter *p = o->items[i];
    if (p->optimiser == MN_OPTIMISER_MUON) {
        mn_muon m = {.rate = p->rate * o->factor, .decay = p->decay, .momentum = config->momentum, .scale = o->scale};
        return mn_muon_step(c, &m, p->weights, p->moments[0], p->gradients, p->n_out, p->n_in, err);
    }
    mn_adamw a = {.rate = p->rate * o->factor,
                  .decay = p->decay,
                  .beta1 = config->beta1,
                  .beta2 = config->beta2,
                  .epsilon = config->epsilon,
                  .scale = o->scale,
                  .step = o->step};
    mn_adamw_step(c, &a, p->weights, p->moments[0], p->moments[1], p->gradients, size_of(p));
    return MN_OK;
}

/* fn for every item: the small ones one by each thread, the others one after the other by all of them. */
static mn_status run(const mn_compute *c, mn_arena *alone, const mn_parameter_sets *p, optimise *o, mn_each_fn *fn,
                     mn_error *err) {
    int64_t n_small = list(p, true, o->items);
    MN_TRY(mn_each(c, alone, n_small, fn, o, err));
    o->items += n_small;
    if (o->squares) o->squares += n_small;
    return mn_each(c, NULL, list(p, false, o->items), fn, o, err);
}

static mn_status with_items(const mn_compute *c, mn_arena *alone, const mn_parameter_sets *p, optimise o,
                            mn_each_fn *fn, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    o.items = mn_arena_alloc(c->scratch, (size_t)count(p), sizeof *o.items);
    mn_status status = o.items
                           ? run(c, alone, p, &o, fn, err)
                           : mn_fail(err, MN_ERR_MEMORY, "no memory for a list of %lld tensors.", (long long)count(p));
    mn_arena_rewind(c->scratch, mark);
    return status;
}

mn_status mn_gradient_norm(const mn_compute *c, mn_arena *alone, const mn_parameter_sets *p, double *norm,
                           mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    int64_t n = count(p);
    double *squares = mn_arena_zalloc(c->scratch, (size_t)n, sizeof *squares), sum = 0;
    if (!squares) return mn_fail(err, MN_ERR_MEMORY, "no memory for the norms of %lld tensors.", (long long)n);
    mn_status status = with_items(c, alone, p, (optimise){.squares = squares}, square_item, err);
    for (int64_t i = 0; i < n; i++) sum += squares[i];
    *norm = sqrt(sum);
    mn_arena_rewind(c->scratch, mark);
    return status;
}

mn_status mn_optimise(const mn_compute *c, mn_arena *alone, const mn_train_config *config, const mn_parameter_sets *p,
                      double factor, double norm, int64_t step, mn_error *err) {
    optimise o = {config, factor, mn_clip_factor(norm, config->clip), step, NULL, NULL};
    return with_items(c, alone, p, o, move_item, err);
}
