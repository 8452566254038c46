#include "convert/grouped_heads.h"

#include "base/checked.h"
#include "convert/dense.h"
#include "convert/layer_writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the new tensors of a layer are made of. */
typedef enum part { PART_Q, PART_K, PART_V, PART_O, PART_QKV, PART_Q_CONV, PART_K_CONV } part;

typedef struct grouping {
    const mn_model *model;
    const mn_heads_wish *wish;
    bool fused; /* q, k, v are one matrix */
    int *order; /* [n_layers][n_kv_heads] */
    struct {
        part part;
        bool bias;
    } made[MN_MAX_NEW_TENSORS]; /* of the layer listed last: the same for all */
    int layer;                  /* whose heads are loaded; -1: none */
    mn_head_weights heads;
} grouping;

/* ---- which heads make a group ---- */

mn_status mn_grouped_heads_likeness(const mn_head_weights *h, const double *moments, double *likeness, mn_error *err) {
    int n = h->n_kv_heads;
    int64_t size = h->d_k * h->n;
    double *t;
    MN_TRY(mn_dense_zeros((int64_t)n * h->d_k, h->n, &t, err));
    mn_dense_product(t, h->k, moments, (int64_t)n * h->d_k, h->n, h->n);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) likeness[i * n + j] = mn_dense_dot(t + i * size, h->k + j * size, size);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            if (i != j) likeness[i * n + j] /= sqrt(likeness[i * n + i] * likeness[j * n + j]) + 1e-300;
    for (int i = 0; i < n; i++) likeness[i * n + i] = 1;
    free(t);
    return MN_OK;
}

/* Sum of what head `head` has in common with the group that begins at `first`, but for the member at place `but`. */
static double bond(const double *likeness, int n, const int *order, int first, int size, int head, int but) {
    double sum = 0;
    for (int i = first; i < first + size; i++)
        if (i != but) sum += likeness[head * n + order[i]];
    return sum;
}

/* Exchanges members of two groups while that brings more likeness. */
static void improve(const double *likeness, int n, int size, int *order) {
    bool better = true;
    for (int round = 0; better && round < n; round++) {
        better = false;
        for (int i = 0; i < n; i++)
            for (int j = (i / size + 1) * size; j < n; j++) {
                int a = i / size * size, b = j / size * size, x = order[i], y = order[j];
                double now = bond(likeness, n, order, a, size, x, i) + bond(likeness, n, order, b, size, y, j);
                double then = bond(likeness, n, order, a, size, y, i) + bond(likeness, n, order, b, size, x, j);
                if (!(then > now + 1e-9)) continue;
                order[i] = y;
                order[j] = x;
                better = true;
            }
    }
}

static int by_number(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

void mn_grouped_heads_order(const double *likeness, int n, int size, int *order) {
    bool taken[MN_MAX_HEADS] = {false};
    for (int at = 0; at < n; at++) {
        int first = at / size * size, best = -1;
        double most = 0;
        for (int head = 0; head < n; head++) {
            double gain = bond(likeness, n, order, first, at - first, head, -1);
            if (taken[head] || (best >= 0 && !(gain > most))) continue;
            best = head;
            most = gain;
        }
        taken[best] = true;
        order[at] = best;
    }
    improve(likeness, n, size, order);
    for (int first = 0; first < n; first += size) qsort(order + first, (size_t)size, sizeof *order, by_number);
    qsort(order, (size_t)(n / size), (size_t)size * sizeof *order, by_number);
}

static mn_status choose_order(grouping *g, const mn_moments *moments, mn_error *err) {
    int n = g->model->config.layers[0].n_kv_heads, size = n / g->wish->n_kv_heads;
    double *likeness;
    MN_TRY(mn_dense_zeros(n, n, &likeness, err));
    mn_status status = MN_OK;
    for (int layer = 0; layer < g->model->config.n_layers; layer++) {
        int *order = g->order + layer * n;
        mn_head_weights h;
        for (int i = 0; i < n; i++) order[i] = i;
        if (!g->wish->regroup) continue;
        status = mn_head_weights_load(g->model, layer, &h, err);
        if (status == MN_OK) status = mn_grouped_heads_likeness(&h, mn_moments_of(moments, layer), likeness, err);
        if (status != MN_OK) break;
        mn_grouped_heads_order(likeness, n, size, order);
        mn_head_weights_release(&h);
    }
    free(likeness);
    return status;
}

/* ---- the new tensors ---- */

static void add(grouping *g, mn_new_tensor *list, int *n, const char *name, part p, bool bias, mn_dtype type,
                int64_t ne0, int64_t ne1) {
    list[*n] = (mn_new_tensor){.name = name, .type = type, .n_dims = ne1 ? 2 : 1, .ne = {ne0, ne1 ? ne1 : 1, 1}};
    g->made[*n].part = p;
    g->made[*n].bias = bias;
    ++*n;
}

static void add_pair(grouping *g, mn_new_tensor *list, int *n, const char *const names[2], part p,
                     const mn_projection *w, int64_t n_out) {
    add(g, list, n, names[0], p, false, w->w.type, w->w.ne[0], n_out);
    if (w->b) add(g, list, n, names[1], p, true, MN_F32, n_out, 0);
}

static int list_layer(void *arg, int layer, mn_new_tensor list[MN_MAX_NEW_TENSORS]) {
    static const char *const q[] = {"attn_q.weight", "attn_q.bias"}, *const k[] = {"attn_k.weight", "attn_k.bias"},
                             *const v[] = {"attn_v.weight", "attn_v.bias"},
                             *const qkv[] = {"attn_qkv.weight", "attn_qkv.bias"};
    grouping *g = arg;
    const mn_layer *l = &g->model->weights.layers[layer];
    const mn_layer_shape *s = &g->model->config.layers[layer];
    int64_t n_k = (int64_t)g->wish->n_kv_heads * s->head_dim_k, n_v = (int64_t)g->wish->n_kv_heads * s->head_dim_v;
    int64_t n_q = (int64_t)s->n_heads * s->head_dim_k, n_taps = g->model->config.n_conv_taps;
    int n = 0;
    if (g->fused)
        add_pair(g, list, &n, qkv, PART_QKV, &l->q, n_q + n_k + n_v);
    else {
        if (g->wish->regroup) add_pair(g, list, &n, q, PART_Q, &l->q, n_q);
        add_pair(g, list, &n, k, PART_K, &l->k, n_k);
        add_pair(g, list, &n, v, PART_V, &l->v, n_v);
    }
    if (g->wish->regroup)
        add(g, list, &n, "attn_output.weight", PART_O, false, l->o.w.type, l->o.w.ne[0], l->o.w.ne[1]);
    if (l->q_conv && g->wish->regroup) add(g, list, &n, "attn_q_conv.weight", PART_Q_CONV, false, MN_F32, n_taps, n_q);
    if (l->k_conv) add(g, list, &n, "attn_k_conv.weight", PART_K_CONV, false, MN_F32, n_taps, n_k);
    return n;
}

static const char *const dropped_alone[] = {"attn_k.weight",   "attn_k.bias",   "attn_v.weight",      "attn_v.bias",
                                            "attn_qkv.weight", "attn_qkv.bias", "attn_k_conv.weight", NULL};
static const char *const dropped_moved[] = {
    "attn_k.weight",   "attn_k.bias",   "attn_v.weight",      "attn_v.bias",        "attn_q.weight",      "attn_q.bias",
    "attn_qkv.weight", "attn_qkv.bias", "attn_k_conv.weight", "attn_q_conv.weight", "attn_output.weight", NULL};

/* Where query head `head` of the new order was. */
static int old_head(const grouping *g, int layer, int head) {
    const mn_layer_shape *s = &g->model->config.layers[layer];
    int per_kv = s->n_heads / s->n_kv_heads;
    return g->order[layer * s->n_kv_heads + head / per_kv] * per_kv + head % per_kv;
}

/* Columns [first, first + n) of the rows of heads of d rows: out[head] = source[old head]. */
static float *move_heads(const grouping *g, const double *rows, int64_t stride, int d, int64_t first, int64_t n,
                         float *out) {
    int n_heads = g->model->config.layers[g->layer].n_heads;
    for (int head = 0; head < n_heads; head++)
        for (int r = 0; r < d; r++) {
            const double *row = rows + ((int64_t)old_head(g, g->layer, head) * d + r) * stride + first;
            for (int64_t i = 0; i < n; i++) *out++ = (float)row[i];
        }
    return out;
}

/* The same for KV heads, a group at a time. */
static float *merge_heads(const grouping *g, const double *rows, int64_t stride, int d, int64_t first, int64_t n,
                          float *out) {
    int n_kv = g->model->config.layers[g->layer].n_kv_heads, size = n_kv / g->wish->n_kv_heads;
    int n_members = g->wish->method == MN_HEADS_FIRST ? 1 : size;
    for (int group = 0; group < g->wish->n_kv_heads; group++) {
        const int *members = g->order + g->layer * n_kv + group * size;
        for (int r = 0; r < d; r++)
            for (int64_t i = first; i < first + n; i++) {
                double sum = 0;
                for (int m = 0; m < n_members; m++) sum += rows[((int64_t)members[m] * d + r) * stride + i];
                *out++ = (float)(sum / n_members);
            }
    }
    return out;
}

static mn_status convert_taps(const grouping *g, bool keys, float *out, mn_error *err) {
    const mn_layer_shape *s = &g->model->config.layers[g->layer];
    const mn_layer *l = &g->model->weights.layers[g->layer];
    int64_t n_taps = g->model->config.n_conv_taps;
    int64_t n = (int64_t)(keys ? s->n_kv_heads : s->n_heads) * s->head_dim_k * n_taps;
    double *taps;
    MN_TRY(mn_dense_zeros(n, 1, &taps, err));
    for (int64_t i = 0; i < n; i++) taps[i] = (double)(keys ? l->k_conv : l->q_conv)[i];
    (keys ? merge_heads : move_heads)(g, taps, n_taps, s->head_dim_k, 0, n_taps, out);
    free(taps);
    return MN_OK;
}

/* The columns of the output projection go with their heads. */
static mn_status move_columns(const grouping *g, float *out, mn_error *err) {
    const mn_layer_shape *s = &g->model->config.layers[g->layer];
    const mn_tensor *w = &g->model->weights.layers[g->layer].o.w;
    int64_t n_in = w->ne[0], d = s->head_dim_v;
    float *row = malloc((size_t)n_in * sizeof *row);
    if (!row) return mn_fail(err, MN_ERR_MEMORY, "no memory for a row of %lld.", (long long)n_in);
    for (int64_t r = 0; r < w->ne[1]; r++) {
        mn_to_f32(w->type, (const char *)w->data + (size_t)r * mn_tensor_row_bytes(w), row, n_in);
        for (int head = 0; head < s->n_heads; head++)
            memcpy(out + r * n_in + head * d, row + old_head(g, g->layer, head) * d, (size_t)d * sizeof *out);
    }
    free(row);
    return MN_OK;
}

static mn_status load(grouping *g, int layer, mn_error *err) {
    if (g->layer == layer) return MN_OK;
    mn_head_weights_release(&g->heads);
    g->layer = -1;
    MN_TRY(mn_head_weights_load(g->model, layer, &g->heads, err));
    g->layer = layer;
    return MN_OK;
}

static mn_status make(void *arg, int layer, int i, float *out, mn_error *err) {
    grouping *g = arg;
    const mn_head_weights *h = &g->heads;
    MN_TRY(load(g, layer, err));
    part p = g->made[i].part;
    int64_t first = g->made[i].bias ? h->n - 1 : 0, n = g->made[i].bias ? 1 : h->n - 1;
    if (p == PART_Q_CONV || p == PART_K_CONV) return convert_taps(g, p == PART_K_CONV, out, err);
    if (p == PART_O) return move_columns(g, out, err);
    if (p == PART_Q || p == PART_QKV) out = move_heads(g, h->q, h->n, h->d_k, first, n, out);
    if (p == PART_K || p == PART_QKV) out = merge_heads(g, h->k, h->n, h->d_k, first, n, out);
    if (p == PART_V || p == PART_QKV) merge_heads(g, h->v, h->n, h->d_v, first, n, out);
    return MN_OK;
}

/* ---- the file ---- */

static void put_keys(const grouping *g, const mn_layer_change *change, mn_gguf_writer *to) {
    char count[64];
    snprintf(count, sizeof count, "%s.attention.head_count_kv", g->model->config.arch);
    for (int64_t i = 0; i < mn_gguf_n_kv(change->in); i++) {
        const mn_gguf_kv *kv = mn_gguf_kv_at(change->in, i);
        bool is_count = kv->key.bytes == strlen(count) && !memcmp(kv->key.data, count, kv->key.bytes);
        if (!is_count && !mn_precision_is_key(kv->key)) mn_gguf_put_kv(to, kv);
    }
    mn_gguf_put_u32(to, count, (uint32_t)g->wish->n_kv_heads);
    mn_layer_change_put_types(change, to);
}

static mn_status write_file(grouping *g, const char *path, mn_error *err) {
    mn_layer_change change = {.in = g->model->gguf,
                              .n_layers = g->model->config.n_layers,
                              .dropped = g->wish->regroup ? dropped_moved : dropped_alone,
                              .list = list_layer,
                              .make = make,
                              .arg = g,
                              .type = g->wish->type};
    mn_gguf_writer *to;
    MN_TRY(mn_gguf_writer_create(&to, err));
    put_keys(g, &change, to);
    mn_status status = mn_layer_change_write(&change, to, path, err);
    mn_gguf_writer_destroy(to);
    return status;
}

mn_status mn_grouped_heads_write(const mn_model *model, const mn_heads_wish *wish, const mn_moments *moments,
                                 const char *path, mn_error *err) {
    const mn_config *c = &model->config;
    grouping g = {.model = model, .wish = wish, .layer = -1};
    g.fused = mn_gguf_tensor(model->gguf, "blk.0.attn_qkv.weight") != NULL;
    g.order = calloc((size_t)c->n_layers * (size_t)c->layers[0].n_kv_heads, sizeof *g.order);
    if (!g.order) return mn_fail(err, MN_ERR_MEMORY, "no memory for the order of heads.");
    if (c->n_conv_taps && wish->notes)
        mn_notes_add(wish->notes, "the taps of the short convolution are merged like the keys that they act on.");
    mn_status status = choose_order(&g, moments, err);
    if (status == MN_OK) status = write_file(&g, path, err);
    mn_head_weights_release(&g.heads);
    free(g.order);
    return status;
}
