/* Attention of DeepSeek-V4 in the forward pass (DeepSeek-AI 2026): one key for all heads, which is the value too; those
 * of a window as they are, of what lies before it compressed ones. */
#include "model/forward_layer.h"

static const mn_norm no_weights;

static int64_t n_rot_of(const layer_run *r) { return r->config->rope.n_rot; }

/* The last dimensions of every head rotated. */
static mn_status rotate_over(const layer_run *r, mn_rows *x, mn_rows angles, mn_error *err) {
    mn_rows turned;
    MN_TRY(take_over(r, *x, &turned, err));
    MN_TRY(r->b->rotate(r->s, turned, *x, x->n - n_rot_of(r), angles, err));
    *x = turned;
    return MN_OK;
}

/* The same angles the other way round: cosines as they are, sines negated. */
static mn_status reverse(const layer_run *r, mn_rows angles, mn_rows *out, mn_error *err) {
    MN_TRY(take(r, angles, angles.n_heads, angles.n, out, err));
    for (int i = 0; i < 2; i++) {
        mn_rows from = angles, to = *out;
        from.n_heads = to.n_heads = 1;
        from.offset += i * angles.head_stride;
        to.offset += i * out->head_stride;
        MN_TRY(r->b->scale(r->s, to, from, i ? -1 : 1, err));
    }
    return MN_OK;
}

/* Queries from a latent, normalised by head, and the key, both rotated. */
static mn_status make_q_k(const layer_run *r, mn_rows y, mn_rows *latent, mn_rows *q, mn_rows *k, mn_error *err) {
    const mn_layer_shape *l = &r->config->layers[r->layer];
    mn_rows angles = r->turns->queries[0];
    MN_TRY(take(r, y, 1, r->config->mla.q_rank, latent, err));
    MN_TRY(take(r, y, l->n_heads, l->head_dim_k, q, err));
    MN_TRY(take(r, y, 1, l->head_dim_k, k, err));
    MN_TRY(project(r, *latent, &r->w->q_a, y, err));
    MN_TRY(norm_over(r, latent, &r->w->q_a_norm, err));
    MN_TRY(project(r, *q, &r->w->q_b, *latent, err));
    MN_TRY(norm_over(r, q, &no_weights, err));
    MN_TRY(rotate_over(r, q, angles, err));
    MN_TRY(project(r, *k, &r->w->kv_a, y, err));
    MN_TRY(norm_over(r, k, &r->w->kv_a_norm, err));
    return rotate_over(r, k, angles, err);
}

static mn_status compress(const layer_run *r, mn_rows y, const mn_compressor_weights *w, bool of_indexer,
                          mn_error *err) {
    const mn_projection *const ws[] = {&w->u, &w->s};
    mn_rows parts[2];
    for (int i = 0; i < 2; i++) MN_TRY(take(r, y, 1, ws[i]->w.ne[1], &parts[i], err));
    MN_TRY(r->b->project(r->s, parts, ws, 2, y, err));
    return r->b->compress(r->s, r->layer, of_indexer, parts[0], parts[1], err);
}

/* The layer's indexer compresses its own keys and chooses among them. */
static mn_status choose(const layer_run *r, mn_rows y, mn_rows latent, mn_error *err) {
    const mn_indexer_config *x = &r->config->indexer;
    mn_rows q, weights;
    MN_TRY(compress(r, y, &r->w->indexer_compressor, true, err));
    MN_TRY(take(r, y, x->n_heads, x->dim, &q, err));
    MN_TRY(take(r, y, 1, x->n_heads, &weights, err));
    MN_TRY(project(r, q, &r->w->indexer_q, latent, err));
    MN_TRY(project(r, weights, &r->w->indexer_w, y, err));
    MN_TRY(rotate_over(r, &q, r->turns->queries[0], err));
    return r->b->choose(r->s, r->layer, r->chosen, q, (mn_rows){0}, weights, (mn_rows){0}, err);
}

/* *out, attention over the window, joined with that over compressed keys. */
static mn_status attend_compressed(const layer_run *r, mn_rows q, mn_rows *out, mn_rows *lse, mn_error *err) {
    bool has_indexer = r->config->layers[r->layer].has_indexer;
    mn_rows more, more_lse, all, all_lse;
    MN_TRY(take(r, q, q.n_heads, q.n, &more, err));
    MN_TRY(take(r, q, q.n_heads, 1, &more_lse, err));
    MN_TRY(r->b->attend_compressed(r->s, r->layer, more, more_lse, q, has_indexer ? r->chosen : (mn_rows){0}, err));
    MN_TRY(take_over(r, *out, &all, err));
    MN_TRY(take_over(r, *lse, &all_lse, err));
    MN_TRY(r->b->merge(r->s, all, all_lse, *out, *lse, more, more_lse, err));
    *out = all;
    return MN_OK;
}

/* Each group of heads through a matrix of its own. */
static mn_status project_groups(const layer_run *r, mn_rows x, mn_rows *out, mn_error *err) {
    const mn_out_groups *o = &r->config->out_groups;
    mn_rows heads = x;
    heads.n = x.n_heads * x.n / o->n_groups;
    heads.n_heads = 1;
    MN_TRY(take(r, x, 1, (int64_t)o->n_groups * o->rank, out, err));
    for (int i = 0; i < o->n_groups; i++, heads.offset += heads.n)
        MN_TRY(project(r, mn_rows_part(*out, (int64_t)i * o->rank, o->rank), &r->w->o_groups[i], heads, err));
    return MN_OK;
}

/* Values are rotated with the keys that they are; what they give is turned back to where the query stands. */
mn_status mn_forward_compressed(const layer_run *r, mn_rows y, mn_rows *out, mn_error *err) {
    const mn_layer_shape *l = &r->config->layers[r->layer];
    mn_rows latent, q, k, attended, lse, back;
    MN_TRY(make_q_k(r, y, &latent, &q, &k, err));
    MN_TRY(r->b->append(r->s, r->layer, 0, k, (mn_rows){0}, err));
    if (l->ratio) MN_TRY(compress(r, y, &r->w->compressor, false, err));
    if (l->has_indexer) MN_TRY(choose(r, y, latent, err));
    MN_TRY(take(r, q, q.n_heads, q.n, &attended, err));
    MN_TRY(take(r, q, q.n_heads, 1, &lse, err));
    MN_TRY(r->b->attend(r->s, r->layer, 0, attended, lse, q, err));
    if (l->ratio) MN_TRY(attend_compressed(r, q, &attended, &lse, err));
    MN_TRY(reverse(r, r->turns->queries[0], &back, err));
    MN_TRY(rotate_over(r, &attended, back, err));
    return project_groups(r, attended, out, err);
}
