#include "convert/latent_plan.h"

#include "base/checked.h"
#include "convert/dense.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- components of a layer's keys ---- */

/* E[x_i . x_j] of one pair of dimensions over all heads: of rows re and im of each. */
static void pair_likeness(const double *rows, const double *fed, const mn_head_weights *h, mn_pair p, double *out) {
    for (int i = 0; i < h->n_kv_heads; i++)
        for (int j = 0; j < h->n_kv_heads; j++) {
            int64_t a = (int64_t)i * h->d_k, b = (int64_t)j * h->d_k;
            out[i * h->n_kv_heads + j] = mn_dense_dot(fed + (a + p.re) * h->n, rows + (b + p.re) * h->n, h->n) +
                                         mn_dense_dot(fed + (a + p.im) * h->n, rows + (b + p.im) * h->n, h->n);
        }
}

/* u^T likeness u of one row of U. */
static double energy_of(const double *u, const double *likeness, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) sum += u[i] * likeness[i * n + j] * u[j];
    return MN_MAX(sum, 0);
}

static void swap_rows(double *u, double *contribution, int n, int a, int b) {
    double c = contribution[a];
    contribution[a] = contribution[b];
    contribution[b] = c;
    for (int i = 0; i < n; i++) {
        double x = u[a * n + i];
        u[a * n + i] = u[b * n + i];
        u[b * n + i] = x;
    }
}

/* Fills a set's contributions, queries [n_heads] being the energies of its pair of queries, and sorts it. */
static void weigh(mn_component_set *set, const double *likeness, const double *queries, int n_heads, int n) {
    for (int m = 0; m < n; m++) {
        double keys = sqrt(energy_of(set->u + m * n, likeness, n));
        set->contribution[m] = 0;
        for (int i = 0; i < n_heads; i++)
            set->contribution[m] += fabs(set->u[m * n + i / (n_heads / n)]) * sqrt(queries[i]) * keys;
    }
    for (int a = 0; a < n; a++)
        for (int b = a + 1; b < n; b++)
            if (set->contribution[b] > set->contribution[a]) swap_rows(set->u, set->contribution, n, a, b);
}

/* Room for the sets of a layer in one block, which out[0].u owns. */
static mn_status make_room(int n_pairs, int n, mn_component_set *out, mn_error *err) {
    double *block;
    MN_TRY(mn_dense_zeros(n_pairs, (int64_t)n * (n + 1), &block, err));
    for (int l = 0; l < n_pairs; l++) {
        out[l].u = block + (int64_t)l * n * n;
        out[l].contribution = block + (int64_t)n_pairs * n * n + (int64_t)l * n;
    }
    return MN_OK;
}

static mn_status fill_sets(const mn_config *c, const mn_head_weights *h, const double *fed_q, const double *fed_k,
                           double *likeness, double *queries, const mn_latent_method *method, mn_component_set *out,
                           mn_error *err) {
    int n = h->n_kv_heads;
    for (int l = 0; l < c->rope.n_rot / 2; l++) {
        mn_pair p = mn_pair_of(c, l);
        pair_likeness(h->k, fed_k, h, p, likeness);
        for (int i = 0; i < h->n_heads; i++) {
            const double *q = h->q + (int64_t)i * h->d_k * h->n, *fed = fed_q + (int64_t)i * h->d_k * h->n;
            double energy = mn_dense_dot(q + p.re * h->n, fed + p.re * h->n, h->n) +
                            mn_dense_dot(q + p.im * h->n, fed + p.im * h->n, h->n);
            queries[i] = MN_MAX(energy, 0);
        }
        MN_TRY(method->rotate(likeness, n, out[l].u, err));
        weigh(&out[l], likeness, queries, h->n_heads, n);
    }
    return MN_OK;
}

mn_status mn_latent_components(const mn_config *c, const mn_head_weights *h, const double *moments,
                               const mn_latent_method *method, mn_component_set *out, mn_error *err) {
    int n = h->n_kv_heads;
    double *fed_q = NULL, *fed_k = NULL, *likeness = NULL, *queries = NULL;
    MN_TRY(make_room(c->rope.n_rot / 2, n, out, err));
    mn_status status = mn_dense_zeros((int64_t)h->n_heads * h->d_k, h->n, &fed_q, err);
    if (status == MN_OK) status = mn_dense_zeros((int64_t)n * h->d_k, h->n, &fed_k, err);
    if (status == MN_OK) status = mn_dense_zeros(n, n, &likeness, err);
    if (status == MN_OK) status = mn_dense_zeros(h->n_heads, 1, &queries, err);
    if (status == MN_OK) {
        mn_dense_product(fed_q, h->q, moments, (int64_t)h->n_heads * h->d_k, h->n, h->n);
        mn_dense_product(fed_k, h->k, moments, (int64_t)n * h->d_k, h->n, h->n);
        status = fill_sets(c, h, fed_q, fed_k, likeness, queries, method, out, err);
    }
    free(fed_q);
    free(fed_k);
    free(likeness);
    free(queries);
    if (status != MN_OK) {
        free(out[0].u);
        out[0].u = NULL;
    }
    return status;
}

/* ---- which of them stay rotated ---- */

/* What the rank-th component of a frequency contributes, in all layers. */
static double contribution_of(const mn_latent_plan *p, int pair, int rank) {
    double sum = 0;
    for (int layer = 0; layer < p->model->config.n_layers; layer++)
        sum += p->sets[layer * p->n_pairs + pair].contribution[rank];
    return sum;
}

/* Every stride-th frequency from the first on, the stride by what they contribute; one component of each. */
static int keep_series(mn_latent_plan *p) {
    int best = 1;
    double most = -1;
    for (int stride = 1; stride * (p->n_kept - 1) < p->n_pairs && stride <= p->n_pairs; stride++) {
        double sum = 0;
        for (int i = 0; i < p->n_kept; i++) sum += contribution_of(p, i * stride, 0);
        if (!(sum > most)) continue;
        best = stride;
        most = sum;
    }
    for (int i = 0; i < p->n_kept; i++) p->kept[i] = (mn_kept_pair){i * best, 0};
    return best;
}

/* More than one head rotates: the components that contribute most. */
static void keep_most(mn_latent_plan *p) {
    int n = p->model->config.layers[0].n_kv_heads;
    int *taken = p->n_kept_of;
    for (int i = 0; i < p->n_kept; i++) {
        int best = -1;
        double most = -1;
        for (int pair = 0; pair < p->n_pairs; pair++) {
            double gain = taken[pair] < n ? contribution_of(p, pair, taken[pair]) : -1;
            if (!(gain > most)) continue;
            best = pair;
            most = gain;
        }
        p->kept[i] = (mn_kept_pair){best, taken[best]++};
    }
}

/* The frequencies kept, as other engines can be told them, or as divisors. */
static mn_status name_frequencies(mn_latent_plan *p, int stride, mn_error *err) {
    const mn_config *c = &p->model->config;
    mn_rope_table table;
    bool plain = stride > 0;
    double n_rot = 2.0 * p->n_kept;
    MN_TRY(mn_rope_init(&c->rope, c->n_ctx_train, &table, err));
    p->pair_scale = table.scale * table.scale;
    p->freq_base = stride > 0 ? pow(c->rope.freq_base, stride * n_rot / c->rope.n_rot) : c->rope.freq_base;
    for (int i = 0; i < p->n_kept; i++) {
        double want = table.freq[p->kept[i].pair];
        plain &= fabs(pow((double)(float)p->freq_base, -2.0 * i / n_rot) / want - 1) < 1e-6;
    }
    if (plain) return MN_OK;
    p->freq_base = c->rope.freq_base;
    p->divisors = malloc((size_t)p->n_kept * sizeof *p->divisors);
    if (!p->divisors) return mn_fail(err, MN_ERR_MEMORY, "no memory for %d frequencies.", p->n_kept);
    for (int i = 0; i < p->n_kept; i++)
        p->divisors[i] = (float)(pow((double)(float)p->freq_base, -2.0 * i / n_rot) / table.freq[p->kept[i].pair]);
    return MN_OK;
}

/* Where everything stands in S and in an unrotated key; one of no dimensions at all cannot be loaded. */
static void lay_out(mn_latent_plan *p) {
    const mn_config *c = &p->model->config;
    int n_kv = c->layers[0].n_kv_heads, d_k = c->layers[0].head_dim_k;
    for (int pair = 0; pair < p->n_pairs; pair++) {
        mn_pair at = mn_pair_of(c, pair);
        p->first_row[pair] = (int)p->n_unrotated;
        p->n_unrotated += 2 * (n_kv - p->n_kept_of[pair]);
        if (p->n_kept_of[pair] == n_kv) continue;
        p->nope[p->n_nope++] = (mn_nope_dim){pair, at.re, false};
        p->nope[p->n_nope++] = (mn_nope_dim){pair, at.im, true};
    }
    for (int dim = c->rope.n_rot; dim < d_k; dim++) p->nope[p->n_nope++] = (mn_nope_dim){-1, dim, false};
    p->n_unrotated += (int64_t)(d_k - c->rope.n_rot) * n_kv;
    if (p->n_nope == 0) p->nope[p->n_nope++] = (mn_nope_dim){0, mn_pair_of(c, 0).re, false};
    p->n_all = p->n_unrotated + (int64_t)n_kv * c->layers[0].head_dim_v;
}

static mn_status find_components(mn_latent_plan *p, mn_error *err) {
    for (int layer = 0; layer < p->model->config.n_layers; layer++) {
        mn_head_weights h;
        MN_TRY(mn_head_weights_load(p->model, layer, &h, err));
        mn_status status = mn_latent_components(&p->model->config, &h, mn_moments_of(p->moments, layer), p->method,
                                                p->sets + layer * p->n_pairs, err);
        mn_head_weights_release(&h);
        MN_TRY(status);
    }
    return MN_OK;
}

mn_status mn_latent_plan_make(const mn_model *model, const mn_heads_wish *wish, const mn_moments *moments,
                              mn_latent_plan *p, mn_error *err) {
    const mn_config *c = &model->config;
    int n_rot = mn_heads_n_rot(wish, c);
    *p = (mn_latent_plan){.model = model,
                          .wish = wish,
                          .method = wish->method == MN_HEADS_MHA2MLA ? &mn_mha2mla : &mn_transmla,
                          .moments = moments,
                          .n_pairs = c->rope.n_rot / 2,
                          .n_kept = n_rot / 2};
    p->sets = calloc((size_t)c->n_layers * (size_t)p->n_pairs, sizeof *p->sets);
    p->kept = calloc((size_t)p->n_kept, sizeof *p->kept);
    p->n_kept_of = calloc((size_t)p->n_pairs, sizeof *p->n_kept_of);
    p->first_row = calloc((size_t)p->n_pairs, sizeof *p->first_row);
    p->nope = calloc((size_t)c->layers[0].head_dim_k + 1, sizeof *p->nope);
    if (!p->sets || !p->kept || !p->n_kept_of || !p->first_row || !p->nope)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for the components of %d layers.", c->n_layers);
    MN_TRY(find_components(p, err));
    int stride = p->n_kept <= p->n_pairs ? keep_series(p) : 0;
    for (int i = 0; stride && i < p->n_kept; i++) p->n_kept_of[p->kept[i].pair]++;
    if (!stride) keep_most(p);
    lay_out(p);
    return name_frequencies(p, stride, err);
}

void mn_latent_plan_release(mn_latent_plan *p) {
    for (int layer = 0; p->sets && layer < p->model->config.n_layers; layer++) free(p->sets[layer * p->n_pairs].u);
    free(p->sets);
    free(p->kept);
    free(p->n_kept_of);
    free(p->first_row);
    free(p->nope);
    free(p->divisors);
    *p = (mn_latent_plan){0};
}

/* ---- the matrices of a layer ---- */

/* out = sum_j u[j] k_(j, dim), the row of a component. */
static void component_row(const mn_head_weights *h, const double *u, int dim, double *out) {
    for (int64_t i = 0; i < h->n; i++) out[i] = 0;
    for (int j = 0; j < h->n_kv_heads; j++)
        for (int64_t i = 0; i < h->n; i++) out[i] += u[j] * h->k[((int64_t)j * h->d_k + dim) * h->n + i];
}

/* S as a matrix [n_all][n], alpha still 1. */
static void fill_all(const mn_latent_plan *p, int layer, const mn_head_weights *h, double *s) {
    const mn_config *c = &p->model->config;
    int n = h->n_kv_heads;
    for (int pair = 0; pair < p->n_pairs; pair++) {
        mn_pair at = mn_pair_of(c, pair);
        const double *u = p->sets[layer * p->n_pairs + pair].u;
        double *row = s + p->first_row[pair] * h->n;
        for (int m = p->n_kept_of[pair]; m < n; m++, row += 2 * h->n) {
            component_row(h, u + m * n, at.re, row);
            component_row(h, u + m * n, at.im, row + h->n);
        }
    }
    double *plain = s + (p->n_unrotated - (int64_t)(h->d_k - c->rope.n_rot) * n) * h->n;
    for (int dim = c->rope.n_rot; dim < h->d_k; dim++)
        for (int j = 0; j < n; j++, plain += h->n)
            memcpy(plain, h->k + ((int64_t)j * h->d_k + dim) * h->n, (size_t)h->n * sizeof *plain);
    memcpy(plain, h->v, (size_t)(n * h->d_v) * (size_t)h->n * sizeof *plain);
}

static void fill_rotated(const mn_latent_plan *p, int layer, const mn_head_weights *h, double *rot) {
    for (int i = 0; i < p->n_kept; i++) {
        mn_kept_pair kept = p->kept[i];
        mn_pair at = mn_pair_of(&p->model->config, kept.pair);
        const double *u = p->sets[layer * p->n_pairs + kept.pair].u + kept.rank * h->n_kv_heads;
        component_row(h, u, at.re, rot + (2 * i) * h->n);
        component_row(h, u, at.im, rot + (2 * i + 1) * h->n);
    }
}

/* |v| / |k'| over the calibration, or 1 where all that the keys hold is rotated and what is left is rounding. fed: S M.
 */
static double balance_of(const mn_latent_plan *p, const double *s, const double *fed, int64_t n) {
    double keys = mn_dense_dot(s, fed, p->n_unrotated * n);
    double values = mn_dense_dot(s + p->n_unrotated * n, fed + p->n_unrotated * n, (p->n_all - p->n_unrotated) * n);
    return keys > 1e-12 * values && values > 0 ? sqrt(values / keys) : 1;
}

/* Q [n_all][n_all] of S: rows by falling energy. fed: S M. */
static mn_status find_basis(const mn_latent_plan *p, const double *s, const double *fed, int64_t n, double *q,
                            mn_error *err) {
    double *values;
    MN_TRY(mn_dense_zeros(p->n_all, 1, &values, err));
    mn_dense_product_bt(q, p->method->weights ? s : fed, s, p->n_all, p->n_all, n);
    mn_status status = mn_dense_eigen(q, p->n_all, values, err);
    free(values);
    return status;
}

/* down = nu Q S, up = Q / nu, with the key rows of S scaled back by alpha; nu makes latents of size 1. */
static mn_status finish_layer(const mn_latent_plan *p, const double *s, const double *moments, const double *q,
                              double alpha, mn_latent_layer *out, mn_error *err) {
    int64_t rank = p->wish->rank, n = out->heads.n;
    double *fed;
    MN_TRY(mn_dense_zeros(rank, n, &fed, err));
    mn_dense_product(out->down, q, s, rank, n, p->n_all);
    mn_dense_product(fed, out->down, moments, rank, n, n);
    double size = sqrt(mn_dense_dot(fed, out->down, rank * n) / (double)rank);
    free(fed);
    double nu = size > 0 ? 1 / size : 1;
    for (int64_t i = 0; i < rank * n; i++) out->down[i] *= nu;
    for (int64_t r = 0; r < rank; r++)
        for (int64_t i = 0; i < p->n_all; i++)
            out->up[r * p->n_all + i] = q[r * p->n_all + i] / nu / (i < p->n_unrotated ? alpha : 1);
    return MN_OK;
}

static mn_status decompose(const mn_latent_plan *p, int layer, double *s, double *fed, double *q, mn_latent_layer *out,
                           mn_error *err) {
    const mn_head_weights *h = &out->heads;
    const double *moments = mn_moments_of(p->moments, layer);
    fill_all(p, layer, h, s);
    mn_dense_product(fed, s, moments, p->n_all, h->n, h->n);
    double alpha = p->method->balances ? balance_of(p, s, fed, h->n) : 1;
    for (int64_t i = 0; i < p->n_unrotated * h->n; i++) s[i] *= alpha, fed[i] *= alpha;
    MN_TRY(find_basis(p, s, fed, h->n, q, err));
    fill_rotated(p, layer, h, out->rot);
    return finish_layer(p, s, moments, q, alpha, out, err);
}

mn_status mn_latent_layer_make(const mn_latent_plan *p, int layer, mn_latent_layer *out, mn_error *err) {
    double *s = NULL, *fed = NULL, *q = NULL;
    *out = (mn_latent_layer){0};
    MN_TRY(mn_head_weights_load(p->model, layer, &out->heads, err));
    int64_t n = out->heads.n, rank = p->wish->rank;
    mn_status status = mn_dense_zeros(p->n_all, n, &s, err);
    if (status == MN_OK) status = mn_dense_zeros(p->n_all, n, &fed, err);
    if (status == MN_OK) status = mn_dense_zeros(p->n_all, p->n_all, &q, err);
    if (status == MN_OK) status = mn_dense_zeros(rank, n, &out->down, err);
    if (status == MN_OK) status = mn_dense_zeros(2 * p->n_kept, n, &out->rot, err);
    if (status == MN_OK) status = mn_dense_zeros(rank, p->n_all, &out->up, err);
    if (status == MN_OK) status = decompose(p, layer, s, fed, q, out, err);
    free(s);
    free(fed);
    free(q);
    if (status != MN_OK) mn_latent_layer_release(out);
    return status;
}

void mn_latent_layer_release(mn_latent_layer *l) {
    mn_head_weights_release(&l->heads);
    free(l->down);
    free(l->rot);
    free(l->up);
    *l = (mn_latent_layer){0};
}
