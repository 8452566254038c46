#include "train/model_file.h"

#include "base/checked.h"
#include "base/random.h"
#include "model/gguf_random.h"
#include "tokenizer/sentencepiece.h"
#include "train/memory_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static mn_key_change *change(mn_key_changes *c, const char *key) {
    int i = 0;
    while (i < c->n && strcmp(c->items[i].key, key)) i++;
    if (i == MN_MAX_KEY_CHANGES) i--; /* the callers' keys are far fewer */
    if (i == c->n) c->n++;
    c->items[i] = (mn_key_change){0};
    snprintf(c->items[i].key, sizeof c->items[i].key, "%.95s", key);
    return &c->items[i];
}

void mn_change_u32(mn_key_changes *c, const char *key, uint32_t value) {
    mn_key_change *x = change(c, key);
    x->kind = MN_KEY_U32;
    x->whole = value;
}

void mn_change_f32(mn_key_changes *c, const char *key, float value) {
    mn_key_change *x = change(c, key);
    x->kind = MN_KEY_F32;
    x->number = value;
}

void mn_change_string(mn_key_changes *c, const char *key, const char *value) {
    mn_key_change *x = change(c, key);
    x->kind = MN_KEY_STRING;
    snprintf(x->text, sizeof x->text, "%s", value);
}

void mn_change_remove(mn_key_changes *c, const char *key) { change(c, key)->kind = MN_KEY_GONE; }

static bool is_changed(const mn_key_changes *c, mn_gguf_string key) {
    for (int i = 0; i < c->n; i++)
        if (strlen(c->items[i].key) == key.bytes && !memcmp(c->items[i].key, key.data, key.bytes)) return true;
    return false;
}

static void put_keys(const mn_gguf *in, const mn_key_changes *c, mn_gguf_writer *w) {
    for (int64_t i = 0; i < mn_gguf_n_kv(in); i++) {
        const mn_gguf_kv *kv = mn_gguf_kv_at(in, i);
        if (!mn_precision_is_key(kv->key) && !is_changed(c, kv->key)) mn_gguf_put_kv(w, kv);
    }
    for (const mn_key_change *x = c->items; x < c->items + c->n; x++) {
        if (x->kind == MN_KEY_U32) mn_gguf_put_u32(w, x->key, x->whole);
        if (x->kind == MN_KEY_F32) mn_gguf_put_f32(w, x->key, x->number);
        if (x->kind == MN_KEY_BOOL) mn_gguf_put_bool(w, x->key, x->whole != 0);
        if (x->kind == MN_KEY_STRING) mn_gguf_put_string(w, x->key, x->text);
    }
}

typedef struct writing {
    const mn_gguf *in;
    mn_pool *pool;
    float *rows; /* [n_threads, longest] */
    int64_t longest;
} writing;

typedef struct row_job {
    const writing *w;
    const mn_tensor *from, *to;
    char *data;
} row_job;

static void convert_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    const row_job *j = arg;
    float *row = j->w->rows + thread_index * j->w->longest;
    size_t from_bytes = mn_tensor_row_bytes(j->from), to_bytes = mn_tensor_row_bytes(j->to);
    for (int64_t r = begin; r < end; r++) {
        mn_to_f32(j->from->type, (const char *)j->from->data + (size_t)r * from_bytes, row, j->from->ne[0]);
        mn_from_f32(j->to->type, row, j->data + (size_t)r * to_bytes, j->from->ne[0]);
    }
}

static mn_status fill(void *arg, const mn_tensor *t, void *dst, mn_error *err) {
    const writing *w = arg;
    row_job job = {w, mn_gguf_tensor(w->in, t->name), t, dst};
    (void)err;
    mn_pool_run(w->pool, t->ne[1] * t->ne[2] * t->ne[3], 16, convert_rows, &job);
    return MN_OK;
}

static void put_tensors(writing *w, mn_tensor_types types, mn_dtype type, mn_gguf_writer *to) {
    for (int64_t i = 0; i < mn_gguf_n_tensors(w->in); i++) {
        mn_tensor t = *mn_gguf_tensor_at(w->in, i);
        bool kept = mn_precision_is_kept(&t);
        mn_dtype before = t.type;
        if (types == MN_TYPES_ALL_F32 && t.type != MN_I32) t.type = MN_F32;
        if (types == MN_TYPES_PICKED && !kept) t.type = mn_precision_pick(&t, type);
        if (t.type != before) t.data = NULL;
        t.bytes = mn_tensor_row_bytes(&t) * (size_t)(t.ne[1] * t.ne[2] * t.ne[3]);
        w->longest = MN_MAX(w->longest, t.ne[0]);
        mn_gguf_put_tensor(to, &t);
    }
}

static mn_status write_all(writing *w, mn_gguf_writer *to, const char *path, mn_error *err) {
    size_t bytes, n = (size_t)(w->pool ? mn_pool_threads(w->pool) : 1);
    if (mn_mul_size((size_t)w->longest, n * sizeof(float), &bytes)) w->rows = malloc(bytes + 1);
    if (!w->rows) return mn_fail(err, MN_ERR_MEMORY, "no memory for rows of %lld elements.", (long long)w->longest);
    mn_status status = mn_gguf_write(to, path, fill, w, err);
    free(w->rows);
    return status;
}

/* general.file_type stays where tensors do. */
static void put_file_type(const mn_gguf *in, mn_tensor_types types, mn_dtype type, mn_gguf_writer *to) {
    if (types != MN_TYPES_KEPT) {
        mn_precision_put(to, types == MN_TYPES_ALL_F32 ? MN_F32 : type);
        return;
    }
    for (int64_t i = 0; i < mn_gguf_n_kv(in); i++)
        if (mn_precision_is_key(mn_gguf_kv_at(in, i)->key)) mn_gguf_put_kv(to, mn_gguf_kv_at(in, i));
}

void mn_model_file_put_keys(const mn_gguf *in, const mn_key_changes *changes, mn_tensor_types types, mn_dtype type,
                            mn_gguf_writer *to) {
    put_keys(in, changes, to);
    put_file_type(in, types, type, to);
}

mn_status mn_model_file_write(const mn_gguf *in, const char *path, const mn_key_changes *changes, mn_tensor_types types,
                              mn_dtype type, mn_pool *pool, mn_error *err) {
    mn_gguf_writer *to;
    writing w = {.in = in, .pool = pool};
    MN_TRY(mn_gguf_writer_create(&to, err));
    mn_model_file_put_keys(in, changes, types, type, to);
    put_tensors(&w, types, type, to);
    mn_status status = write_all(&w, to, path, err);
    mn_gguf_writer_destroy(to);
    return status;
}

static const char *arch_key(char buf[160], const char *arch, const char *name) {
    snprintf(buf, 160, "%.60s.%s", arch, name);
    return buf;
}

/* How far positions reach before anything is scaled. */
static int64_t trained_window(const mn_train_config *c, const mn_config *model) {
    if (c->rope_orig_ctx) return c->rope_orig_ctx;
    bool scaled = model->rope.original_ctx > 0 && model->rope.factor > 1;
    return scaled ? model->rope.original_ctx : model->n_ctx_train;
}

static mn_status refuse_window(const mn_train_config *c, const mn_config *model, mn_error *err) {
    return mn_fail(
        err, MN_ERR_ARGUMENT,
        "a window of %lld tokens is beyond the %lld that positions were made for; scale them by %.4g (yarn), "
        "or give another base.",
        (long long)c->window, (long long)model->n_ctx_train, (double)c->window / (double)trained_window(c, model));
}

static void change_scaling(const mn_train_config *c, const mn_config *model, double factor, mn_key_changes *out) {
    char key[160];
    mn_change_string(out, arch_key(key, model->arch, "rope.scaling.type"), c->rope_scaling);
    mn_change_f32(out, arch_key(key, model->arch, "rope.scaling.factor"), (float)factor);
    mn_change_u32(out, arch_key(key, model->arch, "rope.scaling.original_context_length"),
                  (uint32_t)trained_window(c, model));
}

/* What the file scales by is undone; how far positions were trained stays known. */
static void drop_scaling(const mn_train_config *c, const mn_config *model, mn_key_changes *out) {
    char key[160];
    mn_change_string(out, arch_key(key, model->arch, "rope.scaling.type"), "none");
    mn_change_remove(out, arch_key(key, model->arch, "rope.scaling.factor"));
    mn_change_u32(out, arch_key(key, model->arch, "rope.scaling.original_context_length"),
                  (uint32_t)trained_window(c, model));
}

static mn_status check_scaling(const mn_train_config *c, const mn_config *model, const char *scaling, mn_error *err) {
    static const char *const known[] = {"", "none", "yarn", "linear", "ntk"};
    bool found = false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) found |= !strcmp(scaling, known[i]);
    if (!found)
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "positions are scaled by \"%s\"; a model is extended by yarn, linear or ntk.", scaling);
    if (!mn_config_rotates(model) && (c->rope_freq_base > 0 || (*scaling && strcmp(scaling, "none"))))
        return mn_fail(err, MN_ERR_UNSUPPORTED, "this model rotates no positions: there is nothing to scale.");
    return MN_OK;
}

/* Whether the window, or a segment of a compressive memory's, is within what positions were made for. Without rotation
 * they have no end: ALiBi's, and those of recurrent states; learned ones are check_learned's. */
static bool reaches(const mn_train_config *c, const mn_config *model) {
    int64_t reach = model->infini.segment ? MN_MIN(c->window, model->infini.segment) : c->window;
    return reach <= MN_MAX(model->n_ctx_train, c->rope_orig_ctx) || !mn_config_rotates(model);
}

mn_status mn_positions_changes(const mn_train_config *c, const mn_config *model, mn_key_changes *out, mn_error *err) {
    char key[160];
    const char *scaling = c->rope_scaling ? c->rope_scaling : "";
    bool scales = *scaling && strcmp(scaling, "none");
    double base = c->rope_freq_base, d = model->rope.n_rot;
    double factor = c->rope_scale > 0 ? c->rope_scale : MN_MAX((double)c->window / (double)trained_window(c, model), 1);
    MN_TRY(check_scaling(c, model, scaling, err));
    if (!scales && base <= 0 && !reaches(c, model)) return refuse_window(c, model, err);
    if (!strcmp(scaling, "ntk"))
        base = (base > 0 ? base : model->rope.freq_base) * pow(factor, d > 2 ? d / (d - 2) : 1);
    else if (scales)
        change_scaling(c, model, factor, out);
    if (!strcmp(scaling, "ntk") || (!strcmp(scaling, "none") && mn_config_rotates(model))) drop_scaling(c, model, out);
    if (base > 0) mn_change_f32(out, arch_key(key, model->arch, "rope.freq_base"), (float)base);
    if (scales || base > 0 || c->window > model->n_ctx_train)
        mn_change_u32(out, arch_key(key, model->arch, "context_length"), (uint32_t)c->window);
    return MN_OK;
}

/* A GGUF that holds the vocabulary: the file named, or one made of a .model beside `path`. */
static mn_status open_vocabulary(const mn_train_config *c, const char *path, mn_gguf **out, mn_error *err) {
    char made[4300];
    mn_gguf_writer *w;
    if (!mn_sentencepiece_is(c->vocab_from)) return mn_gguf_open(c->vocab_from, out, err);
    snprintf(made, sizeof made, "%.4200s.vocab", path);
    MN_TRY(mn_gguf_writer_create(&w, err));
    mn_status status = mn_sentencepiece_put(c->vocab_from, w, err);
    if (status == MN_OK) status = mn_gguf_write(w, made, NULL, NULL, err);
    mn_gguf_writer_destroy(w);
    return status == MN_OK ? mn_gguf_open(made, out, err) : status;
}

static mn_status write_new(const mn_train_config *c, const char *path, mn_pool *pool, mn_error *err) {
    mn_gguf *vocab;
    mn_random_summary summary;
    mn_random_model m = {.arch = c->arch,
                         .n_layers = c->layers,
                         .n_embd = c->embd,
                         .n_heads = c->heads,
                         .n_kv_heads = c->kv_heads ? c->kv_heads : c->heads,
                         .head_dim = c->head_dim ? c->head_dim : c->embd / c->heads,
                         .n_ff = c->ff,
                         .n_ctx = c->window,
                         .n_experts = c->experts,
                         .n_experts_used = c->experts ? c->experts_used : 0,
                         .rope_base = c->rope_freq_base > 0 ? c->rope_freq_base : c->rope_base,
                         .previous_token_heads = c->previous_token_heads,
                         .sinks = c->sinks,
                         .untied = c->untied,
                         .seed = (uint64_t)c->seed};
    mn_make_params params = {.type = MN_F32, .pool = pool};
    MN_TRY(open_vocabulary(c, path, &vocab, err));
    mn_status status = mn_random_model_write(&m, vocab, path, &params, &summary, err);
    mn_gguf_close(vocab);
    return status;
}

static mn_status check_learned(const mn_train_config *c, const mn_gguf *in, const mn_config *model, mn_error *err) {
    if (c->window <= model->n_ctx_train || !mn_gguf_tensor(in, "position_embd.weight")) return MN_OK;
    return mn_fail(
        err, MN_ERR_ARGUMENT,
        "a window of %lld tokens is beyond the %lld positions that this model has learned; use a smaller one.",
        (long long)c->window, (long long)model->n_ctx_train);
}

static mn_status extend(const mn_train_config *c, const mn_gguf *in, const char *path, mn_pool *pool, mn_error *err) {
    mn_config model;
    mn_key_changes changes = {0};
    MN_TRY(mn_config_read(in, &model, err));
    MN_TRY(check_learned(c, in, &model, err));
    MN_TRY(mn_positions_changes(c, &model, &changes, err));
    mn_tensor_types types = mn_trains_model(c) ? MN_TYPES_ALL_F32 : MN_TYPES_KEPT;
    return mn_model_file_write(in, path, &changes, types, MN_F32, pool, err);
}

/* The model at `from` with the memory that the configuration asks for. */
static mn_status give_memory(const mn_train_config *c, const char *from, const char *path, mn_error *err) {
    mn_gguf *in;
    mn_memory_start m = {.segment = c->memory.segment,
                         .rule = (mn_infini_rule)c->memory.update,
                         .heads = c->memory.heads,
                         .mixing_bias = (float)c->memory.mixing_bias,
                         .write_bias = (float)c->memory.write_bias,
                         .threshold = (float)c->memory.threshold,
                         .mark = c->memory.mark,
                         .n_taps = (int)c->memory.taps};
    MN_TRY(mn_gguf_open(from, &in, err));
    mn_status status = mn_memory_file_write(in, path, &m, err);
    mn_gguf_close(in);
    return status;
}

static mn_status write_extended(const mn_train_config *c, const char *from, const char *path, mn_pool *pool,
                                mn_error *err) {
    mn_gguf *in;
    MN_TRY(mn_gguf_open(from, &in, err));
    mn_status status = extend(c, in, path, pool, err);
    mn_gguf_close(in);
    return status;
}

mn_status mn_start_model_write(const mn_train_config *c, const char *path, mn_pool *pool, mn_error *err) {
    char before[4400];
    snprintf(before, sizeof before, "%.4300s.plain", path);
    if (c->memory.segment == 0)
        return c->from ? write_extended(c, c->from, path, pool, err) : write_new(c, path, pool, err);
    mn_status status = c->from ? give_memory(c, c->from, before, err) : write_new(c, before, pool, err);
    if (status == MN_OK)
        status = c->from ? write_extended(c, before, path, pool, err) : give_memory(c, before, path, err);
    unlink(before);
    return status;
}

/* What a target is called in a layer. */
static const char *const targets[][2] = {
    {"q", "attn_q"},      {"k", "attn_k"},  {"v", "attn_v"},      {"o", "attn_output"},
    {"gate", "ffn_gate"}, {"up", "ffn_up"}, {"down", "ffn_down"},
};

static void put_adapter(mn_gguf_writer *w, const char *name, const mn_projection *p, int64_t rank) {
    char a[170], b[170];
    snprintf(a, sizeof a, "%.150s.lora_a", name);
    snprintf(b, sizeof b, "%.150s.lora_b", name);
    mn_tensor t = {.name = a, .type = MN_F32, .n_dims = 2, .ne = {p->w.ne[0], rank, 1, 1}};
    mn_gguf_put_tensor(w, &t);
    t.name = b;
    t.ne[0] = rank;
    t.ne[1] = p->w.ne[1];
    mn_gguf_put_tensor(w, &t);
}

static mn_status put_target(mn_gguf_writer *w, mn_model *m, const char *target, size_t n, int64_t rank, mn_error *err) {
    char name[128];
    int n_found = 0;
    if (n == 6 && !memcmp(target, "output", 6)) {
        put_adapter(w, "output.weight", &m->weights.output, rank);
        return mn_gguf_tensor(m->gguf, "output.weight")
                   ? MN_OK
                   : mn_fail(err, MN_ERR_ARGUMENT,
                             "lora.targets: the model's output is its token table, which takes no adapter.");
    }
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        if (strlen(targets[i][0]) != n || memcmp(targets[i][0], target, n)) continue;
        for (int layer = 0; layer < m->config.n_layers; layer++) {
            snprintf(name, sizeof name, "blk.%d.%s.weight", layer, targets[i][1]);
            const mn_projection *p = mn_model_projection(m, name);
            if (!p) continue;
            put_adapter(w, name, p, rank);
            n_found++;
        }
    }
    if (n_found) return MN_OK;
    return mn_fail(err, MN_ERR_ARGUMENT,
                   "lora.targets: \"%.*s\" is no matrix that this model has by itself; known: q k v o gate up "
                   "down output.",
                   (int)n, target);
}

static mn_status fill_adapter(void *arg, const mn_tensor *t, void *dst, mn_error *err) {
    mn_random *rng = arg;
    float *out = dst;
    int64_t n = t->ne[0] * t->ne[1];
    bool is_a = strstr(t->name, ".lora_a") != NULL;
    (void)err;
    for (int64_t i = 0; i < n; i++) out[i] = is_a ? (float)(mn_random_normal(rng) / sqrt((double)t->ne[0])) : 0;
    return MN_OK;
}

mn_status mn_start_adapters_write(const mn_train_config *c, mn_model *model, const char *path, mn_error *err) {
    mn_gguf_writer *w;
    mn_random rng;
    mn_random_seed(&rng, (uint64_t)c->seed, 21);
    MN_TRY(mn_gguf_writer_create(&w, err));
    mn_gguf_put_string(w, "general.type", "adapter");
    mn_gguf_put_string(w, "general.architecture", model->config.arch);
    mn_gguf_put_string(w, "adapter.type", "lora");
    mn_gguf_put_f32(w, "adapter.lora.alpha", (float)(c->lora_alpha > 0 ? c->lora_alpha : 2 * (double)c->lora_rank));
    mn_status status = MN_OK;
    for (const char *p = c->lora_targets; *p && status == MN_OK;) {
        size_t n = strcspn(p, " ,");
        if (n) status = put_target(w, model, p, n, c->lora_rank, err);
        p += n + (p[n] != 0);
    }
    if (status == MN_OK) status = mn_gguf_write(w, path, fill_adapter, &rng, err);
    mn_gguf_writer_destroy(w);
    return status;
}
