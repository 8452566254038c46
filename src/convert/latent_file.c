/* The file that latent heads are written to; see latent.h for the scales. */
#include "base/checked.h"
#include "convert/latent_plan.h"
#include "convert/layer_writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NORM_EPS_KEY "deepseek2.attention.kv_a_norm_epsilon"
#define FLATNESS 2.5e-7 /* mean(s c)^2 / eps */

typedef enum part {
    PART_Q,
    PART_Q_BIAS,
    PART_DOWN,
    PART_DOWN_BIAS,
    PART_NORM,
    PART_KEYS,
    PART_VALUES,
    PART_OTHER
} part;

typedef struct latent_file {
    mn_latent_plan plan;
    part made[MN_MAX_NEW_TENSORS]; /* of the layer listed last: the same for all */
    int layer;                     /* whose matrices are there; -1: none */
    mn_latent_layer matrices;
} latent_file;

/* s, a power of two, for a model's epsilon. */
static double small_scale(double eps) { return exp2(round(log2(sqrt(FLATNESS * eps)))); }

/* ---- tensors ---- */

static void add(latent_file *f, mn_new_tensor *list, int *n, part p, mn_new_tensor t) {
    if (t.n_dims < 3) t.ne[2] = 1;
    if (t.n_dims < 2) t.ne[1] = 1;
    f->made[*n] = p;
    list[(*n)++] = t;
}

static int list_layer(void *arg, int layer, mn_new_tensor list[MN_MAX_NEW_TENSORS]) {
    latent_file *f = arg;
    const mn_latent_plan *p = &f->plan;
    const mn_config *c = &p->model->config;
    const mn_layer *l = &p->model->weights.layers[layer];
    int64_t rank = p->wish->rank, n_rot = 2 * p->n_kept, n_heads = c->layers[0].n_heads;
    int64_t n_q = n_heads * (p->n_nope + n_rot);
    int n = 0;
    add(f, list, &n, PART_Q, (mn_new_tensor){"attn_q.weight", l->q.w.type, false, 2, {c->n_embd, n_q}, NULL});
    if (mn_head_weights_have_bias(l))
        add(f, list, &n, PART_Q_BIAS, (mn_new_tensor){"attn_q.bias", MN_F32, false, 1, {n_q}, NULL});
    add(f, list, &n, PART_DOWN,
        (mn_new_tensor){"attn_kv_a_mqa.weight", l->k.w.type, true, 2, {c->n_embd, rank + n_rot}, NULL});
    if (mn_head_weights_have_bias(l))
        add(f, list, &n, PART_DOWN_BIAS, (mn_new_tensor){"attn_kv_a_mqa.bias", MN_F32, false, 1, {rank + n_rot}, NULL});
    add(f, list, &n, PART_NORM, (mn_new_tensor){"attn_kv_a_norm.weight", MN_F32, false, 1, {rank}, NULL});
    add(f, list, &n, PART_KEYS,
        (mn_new_tensor){"attn_k_b.weight", l->k.w.type, false, 3, {p->n_nope, rank, n_heads}, NULL});
    add(f, list, &n, PART_VALUES,
        (mn_new_tensor){"attn_v_b.weight", l->v.w.type, false, 3, {rank, c->layers[0].head_dim_v, n_heads}, NULL});
    if (strcmp(c->arch, "phi3")) return n;
    add(f, list, &n, PART_OTHER,
        (mn_new_tensor){"ffn_gate.weight", l->gate.w.type, false, 2, {c->n_embd, l->gate.w.ne[1]}, l->gate.w.data});
    add(f, list, &n, PART_OTHER,
        (mn_new_tensor){"ffn_up.weight", l->up.w.type, false, 2, {c->n_embd, l->up.w.ne[1]}, l->up.w.data});
    return n;
}

/* A query head: its unrotated dimensions, then its part of each rotated component. columns [first, first + n). */
static float *query_rows(const latent_file *f, int head, int64_t first, int64_t n, float *out) {
    const mn_latent_plan *p = &f->plan;
    const mn_config *c = &p->model->config;
    const mn_head_weights *h = &f->matrices.heads;
    const double *q = h->q + (int64_t)head * h->d_k * h->n;
    double scale = (double)c->attention_scale * sqrt(p->n_nope + 2.0 * p->n_kept);
    int kv_head = head / (h->n_heads / h->n_kv_heads);
    for (int d = 0; d < p->n_nope; d++)
        for (int64_t i = first; i < first + n; i++)
            *out++ = (float)(scale * (p->nope[d].pair >= 0 ? p->pair_scale : 1) * q[p->nope[d].dim * h->n + i]);
    for (int k = 0; k < 2 * p->n_kept; k++) {
        mn_kept_pair kept = p->kept[k / 2];
        mn_pair at = mn_pair_of(c, kept.pair);
        double u = p->sets[f->layer * p->n_pairs + kept.pair].u[kept.rank * h->n_kv_heads + kv_head];
        for (int64_t i = first; i < first + n; i++)
            *out++ = (float)(scale * p->pair_scale * u * q[(k % 2 ? at.im : at.re) * h->n + i]);
    }
    return out;
}

/* What dimension d of an unrotated key of a KV head takes from S, by up's row of one latent. */
static double key_from(const latent_file *f, int d, int kv_head, const double *up) {
    const mn_latent_plan *p = &f->plan;
    const mn_nope_dim *dim = &p->nope[d];
    int n = f->matrices.heads.n_kv_heads, n_rot = p->model->config.rope.n_rot;
    int n_plain = f->matrices.heads.d_k - n_rot;
    if (dim->pair < 0) return up[p->n_unrotated - (int64_t)n_plain * n + (int64_t)(dim->dim - n_rot) * n + kv_head];
    const double *u = p->sets[f->layer * p->n_pairs + dim->pair].u, *row = up + p->first_row[dim->pair] + dim->im;
    double sum = 0;
    for (int m = p->n_kept_of[dim->pair]; m < n; m++, row += 2) sum += u[m * n + kv_head] * *row;
    return sum;
}

static void key_stack(const latent_file *f, float *out) {
    const mn_latent_plan *p = &f->plan;
    const mn_head_weights *h = &f->matrices.heads;
    for (int head = 0; head < h->n_heads; head++)
        for (int64_t r = 0; r < p->wish->rank; r++)
            for (int d = 0; d < p->n_nope; d++)
                *out++ = (float)key_from(f, d, head / (h->n_heads / h->n_kv_heads), f->matrices.up + r * p->n_all);
}

static void value_stack(const latent_file *f, float *out) {
    const mn_latent_plan *p = &f->plan;
    const mn_head_weights *h = &f->matrices.heads;
    for (int head = 0; head < h->n_heads; head++) {
        int64_t first = p->n_unrotated + (int64_t)(head / (h->n_heads / h->n_kv_heads)) * h->d_v;
        for (int d = 0; d < h->d_v; d++)
            for (int64_t r = 0; r < p->wish->rank; r++) *out++ = (float)f->matrices.up[r * p->n_all + first + d];
    }
}

static void down_rows(const latent_file *f, int64_t first, int64_t n, float *out) {
    const mn_latent_layer *m = &f->matrices;
    for (int64_t r = 0; r < f->plan.wish->rank; r++)
        for (int64_t i = first; i < first + n; i++) *out++ = (float)m->down[r * m->heads.n + i];
    for (int64_t r = 0; r < 2 * f->plan.n_kept; r++)
        for (int64_t i = first; i < first + n; i++) *out++ = (float)m->rot[r * m->heads.n + i];
}

static mn_status load(latent_file *f, int layer, mn_error *err) {
    if (f->layer == layer) return MN_OK;
    mn_latent_layer_release(&f->matrices);
    f->layer = -1;
    MN_TRY(mn_latent_layer_make(&f->plan, layer, &f->matrices, err));
    f->layer = layer;
    return MN_OK;
}

static mn_status make(void *arg, int layer, int i, float *out, mn_error *err) {
    latent_file *f = arg;
    const mn_config *c = &f->plan.model->config;
    double eps = (double)c->norm_eps;
    part p = f->made[i];
    MN_TRY(load(f, layer, err));
    int64_t n = f->matrices.heads.n;
    bool bias = p == PART_Q_BIAS || p == PART_DOWN_BIAS;
    for (int head = 0; (p == PART_Q || p == PART_Q_BIAS) && head < c->layers[0].n_heads; head++)
        out = query_rows(f, head, bias ? n - 1 : 0, bias ? 1 : n - 1, out);
    if (p == PART_DOWN || p == PART_DOWN_BIAS) down_rows(f, bias ? n - 1 : 0, bias ? 1 : n - 1, out);
    for (int r = 0; p == PART_NORM && r < f->plan.wish->rank; r++) out[r] = (float)(sqrt(eps) / small_scale(eps));
    if (p == PART_KEYS) key_stack(f, out);
    if (p == PART_VALUES) value_stack(f, out);
    return MN_OK;
}

/* ---- keys ---- */

/* Whether a key says what deepseek2's own keys say. */
static bool is_replaced(const char *arch, const mn_gguf_kv *kv) {
    static const char ask[] = "mnemo.ask_template", general[] = "general.architecture";
    size_t n = strlen(arch);
    if (kv->key.bytes == strlen(general) && !memcmp(kv->key.data, general, kv->key.bytes)) return true;
    if (kv->key.bytes == strlen(ask) && !memcmp(kv->key.data, ask, kv->key.bytes)) return false;
    return mn_precision_is_key(kv->key) ||
           (kv->key.bytes > n && !memcmp(kv->key.data, arch, n) && kv->key.data[n] == '.');
}

static void put_u32(mn_gguf_writer *to, const char *name, int64_t value) {
    char key[96];
    snprintf(key, sizeof key, "deepseek2.%s", name);
    mn_gguf_put_u32(to, key, (uint32_t)value);
}

static void put_keys(const latent_file *f, const mn_layer_change *change, mn_gguf_writer *to) {
    const mn_latent_plan *p = &f->plan;
    const mn_config *c = &p->model->config;
    int n_rot = 2 * p->n_kept;
    double eps = (double)c->norm_eps, s = small_scale(eps);
    mn_gguf_put_string(to, "general.architecture", "deepseek2");
    for (int64_t i = 0; i < mn_gguf_n_kv(change->in); i++)
        if (!is_replaced(c->arch, mn_gguf_kv_at(change->in, i))) mn_gguf_put_kv(to, mn_gguf_kv_at(change->in, i));
    put_u32(to, "block_count", c->n_layers);
    put_u32(to, "leading_dense_block_count", c->n_layers);
    put_u32(to, "context_length", c->n_ctx_train);
    put_u32(to, "embedding_length", c->n_embd);
    put_u32(to, "feed_forward_length", c->n_ff);
    put_u32(to, "vocab_size", c->n_vocab);
    put_u32(to, "attention.head_count", c->layers[0].n_heads);
    put_u32(to, "attention.head_count_kv", 1);
    put_u32(to, "attention.q_lora_rank", 0); /* other engines want the key */
    put_u32(to, "attention.kv_lora_rank", p->wish->rank);
    put_u32(to, "attention.key_length", p->wish->rank + n_rot);
    put_u32(to, "attention.value_length", p->wish->rank);
    put_u32(to, "attention.key_length_mla", p->n_nope + n_rot);
    put_u32(to, "attention.value_length_mla", c->layers[0].head_dim_v);
    put_u32(to, "rope.dimension_count", n_rot);
    put_u32(to, "expert_feed_forward_length", c->n_ff);
    put_u32(to, "expert_shared_count", 0);
    mn_gguf_put_f32(to, "deepseek2.rope.freq_base", (float)p->freq_base);
    mn_gguf_put_f32(to, "deepseek2.attention.layer_norm_rms_epsilon", c->norm_eps);
    mn_gguf_put_f32(to, NORM_EPS_KEY, (float)(eps / (s * s)));
    mn_layer_change_put_types(change, to);
}

static void note(const latent_file *f) {
    mn_notes *notes = f->plan.wish->notes;
    if (!notes) return;
    if (f->plan.divisors)
        mn_notes_add(
            notes,
            "the rotated frequencies are no geometric series and stand in the file as rope_freqs.weight, for which "
            "other engines refuse a deepseek2 file: %s.",
            f->plan.n_kept > f->plan.n_pairs ? "rotated keys of one head at most would do without"
                                             : "the model's positions are scaled");
    if (mn_head_weights_have_bias(&f->plan.model->weights.layers[0]))
        mn_notes_add(notes, "the model has biases on queries, keys or values, for which other engines refuse a "
                            "deepseek2 file; this one reads them.");
}

static const char *const dropped[] = {"attn_q.weight",
                                      "attn_q.bias",
                                      "attn_k.weight",
                                      "attn_k.bias",
                                      "attn_v.weight",
                                      "attn_v.bias",
                                      "attn_qkv.weight",
                                      "attn_qkv.bias",
                                      "rope_freqs.weight",
                                      "rope_factors_long.weight",
                                      "rope_factors_short.weight",
                                      NULL};
static const char *const dropped_phi3[] = {"attn_qkv.weight",
                                           "attn_qkv.bias",
                                           "ffn_up.weight",
                                           "rope_freqs.weight",
                                           "rope_factors_long.weight",
                                           "rope_factors_short.weight",
                                           NULL};

static mn_status write_file(latent_file *f, const char *path, mn_error *err) {
    const mn_model *m = f->plan.model;
    mn_layer_change change = {.in = m->gguf,
                              .n_layers = m->config.n_layers,
                              .dropped = strcmp(m->config.arch, "phi3") ? dropped : dropped_phi3,
                              .list = list_layer,
                              .make = make,
                              .arg = f,
                              .type = f->plan.wish->type};
    mn_gguf_writer *to;
    MN_TRY(mn_gguf_writer_create(&to, err));
    put_keys(f, &change, to);
    if (f->plan.divisors)
        mn_gguf_put_tensor(to, &(mn_tensor){.name = "rope_freqs.weight",
                                            .type = MN_F32,
                                            .n_dims = 1,
                                            .ne = {f->plan.n_kept, 1, 1, 1},
                                            .data = f->plan.divisors});
    mn_status status = mn_layer_change_write(&change, to, path, err);
    mn_gguf_writer_destroy(to);
    return status;
}

mn_status mn_latent_write(const mn_model *model, const mn_heads_wish *wish, const mn_moments *moments, const char *path,
                          mn_error *err) {
    latent_file f = {.layer = -1};
    mn_status status = mn_latent_plan_make(model, wish, moments, &f.plan, err);
    if (status == MN_OK) {
        note(&f);
        status = write_file(&f, path, err);
    }
    mn_latent_layer_release(&f.matrices);
    mn_latent_plan_release(&f.plan);
    return status;
}

int64_t mn_latent_full_rank(const mn_config *c, int n_rot) {
    const mn_layer_shape *l = &c->layers[0];
    return (int64_t)l->n_kv_heads * (l->head_dim_k + l->head_dim_v) - n_rot;
}

/* ---- small latents ---- */

typedef struct finishing {
    const mn_model *model;
    double norm, down; /* the layer's norm is multiplied by norm, what makes the latent by down: s together */
} finishing;

static const char *const rescaled[] = {"attn_norm.weight", "attn_q.weight", "attn_kv_a_mqa.weight",
                                       "attn_kv_a_mqa.bias", NULL};

static int list_rescaled(void *arg, int layer, mn_new_tensor list[MN_MAX_NEW_TENSORS]) {
    const finishing *f = arg;
    const mn_config *c = &f->model->config;
    const mn_layer *l = &f->model->weights.layers[layer];
    int64_t n_down = c->mla.kv_rank + c->mla.n_rot;
    list[0] = (mn_new_tensor){"attn_norm.weight", MN_F32, false, 1, {c->n_embd, 1, 1}, NULL};
    list[1] = (mn_new_tensor){"attn_q.weight", l->q_b.w.type, false, 2, {c->n_embd, l->q_b.w.ne[1], 1}, NULL};
    list[2] = (mn_new_tensor){"attn_kv_a_mqa.weight", l->kv_a.w.type, true, 2, {c->n_embd, n_down, 1}, NULL};
    list[3] = (mn_new_tensor){"attn_kv_a_mqa.bias", MN_F32, false, 1, {n_down, 1, 1}, NULL};
    return l->kv_a.b ? 4 : 3;
}

static mn_status make_rescaled(void *arg, int layer, int i, float *out, mn_error *err) {
    const finishing *f = arg;
    const mn_config *c = &f->model->config;
    const mn_layer *l = &f->model->weights.layers[layer];
    const mn_projection *p = i == 1 ? &l->q_b : &l->kv_a;
    int64_t n = c->n_embd, rank = c->mla.kv_rank;
    (void)err;
    for (int64_t k = 0; i == 0 && k < n; k++) out[k] = (float)((double)l->attn_norm.w[k] * f->norm);
    for (int64_t r = 0; i == 3 && r < rank + c->mla.n_rot; r++)
        out[r] = (float)((double)p->b[r] * (r < rank ? f->norm * f->down : 1));
    for (int64_t r = 0; (i == 1 || i == 2) && r < p->w.ne[1]; r++) {
        double scale = i == 2 && r < rank ? f->down : 1 / f->norm;
        mn_to_f32(p->w.type, (const char *)p->w.data + (size_t)r * mn_tensor_row_bytes(&p->w), out + r * n, n);
        for (int64_t k = 0; k < n; k++) out[r * n + k] = (float)((double)out[r * n + k] * scale);
    }
    return MN_OK;
}

static mn_status write_finished(const mn_model *m, const char *path, mn_error *err) {
    double s = sqrt((double)m->config.norm_eps / (double)m->config.mla.norm_eps);
    finishing f = {.model = m, .norm = exp2(round(log2(s) / 2))};
    mn_layer_change change = {.in = m->gguf,
                              .n_layers = m->config.n_layers,
                              .dropped = rescaled,
                              .list = list_rescaled,
                              .make = make_rescaled,
                              .arg = &f,
                              .type = MN_DTYPE_COUNT};
    mn_gguf_writer *to;
    f.down = s / f.norm;
    MN_TRY(mn_gguf_writer_create(&to, err));
    for (int64_t i = 0; i < mn_gguf_n_kv(m->gguf); i++) {
        const mn_gguf_kv *kv = mn_gguf_kv_at(m->gguf, i);
        if (kv->key.bytes != strlen(NORM_EPS_KEY) || memcmp(kv->key.data, NORM_EPS_KEY, kv->key.bytes))
            mn_gguf_put_kv(to, kv);
    }
    mn_status status = mn_layer_change_write(&change, to, path, err);
    mn_gguf_writer_destroy(to);
    return status;
}

mn_status mn_latent_finish(const char *in, const char *out, mn_error *err) {
    mn_model model;
    MN_TRY(mn_model_open(in, &model, err));
    mn_status status = MN_OK;
    if (model.config.mla.norm_eps > 0)
        status = write_finished(&model, out, err);
    else
        status = mn_fail(err, MN_ERR_ARGUMENT, "%s: its latents are as other engines read them already.", in);
    mn_model_close(&model);
    return status;
}
