#include "train/memory_file.h"

#include "base/arena.h"
#include "model/config.h"
#include "tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_MARK_BYTES = 64 };

static const float SHUT = -30; /* below MN_SHUT_BIAS */

/* "*", or a number; what follows it. */
static bool matches(const char *text, int number, const char **end) {
    if (*text == '*') {
        *end = text + 1;
        return true;
    }
    char *behind;
    long value = strtol(text, &behind, 10);
    *end = behind;
    return behind != text && value == number;
}

bool mn_memory_names_head(const char *heads, int layer, int head) {
    const char *p = heads ? heads : "*";
    if (!strcmp(p, "*")) return true;
    for (; *p; p += strspn(p, " ")) {
        const char *end;
        bool found = matches(p, layer, &end) && *end == '.' && matches(end + 1, head, &end);
        if (found && (*end == ' ' || !*end)) return true;
        p += strcspn(p, " ");
    }
    return false;
}

/* A word that names no head of the model. */
static mn_status check_heads(const mn_config *c, const char *heads, mn_error *err) {
    char word[32];
    for (const char *p = heads ? heads : ""; *p;) {
        size_t n = strcspn(p, " ");
        bool found = n >= sizeof word;
        snprintf(word, sizeof word, "%.*s", (int)(n < sizeof word ? n : sizeof word - 1), p);
        for (int l = 0; n < sizeof word && l < c->n_layers; l++)
            for (int h = 0; h < c->layers[l].n_heads; h++) found |= mn_memory_names_head(word, l, h);
        if ((n && !found) || n >= sizeof word)
            return mn_fail(err, MN_ERR_ARGUMENT,
                           "memory.heads: \"%s\" is no head of this model; write LAYER.HEAD as 0.2, with layers below "
                           "%d and heads below %d, or * for all.",
                           word, c->n_layers, c->n_heads);
        p += n + strspn(p + n, " ");
    }
    return MN_OK;
}

static const char taps_key[] = "mnemo.attention.short_conv";

static bool is_taps_key(mn_gguf_string key) {
    return key.bytes == strlen(taps_key) && !memcmp(key.data, taps_key, key.bytes);
}

static void put_keys(const mn_gguf *in, const mn_memory_start *m, mn_gguf_writer *w) {
    for (int64_t i = 0; i < mn_gguf_n_kv(in); i++)
        if (!m->n_taps || !is_taps_key(mn_gguf_kv_at(in, i)->key)) mn_gguf_put_kv(w, mn_gguf_kv_at(in, i));
    if (m->n_taps) mn_gguf_put_u32(w, taps_key, (uint32_t)m->n_taps);
    mn_gguf_put_u32(w, "mnemo.infini.segment", (uint32_t)m->segment);
    mn_gguf_put_string(w, "mnemo.infini.update", mn_infini_rule_name(m->rule));
    mn_gguf_put_string(w, "mnemo.infini.feature", mn_infini_feature_of(m->rule) == MN_INFINI_ELU1 ? "elu1" : "silu-l2");
    mn_gguf_put_f32(w, "mnemo.infini.write_threshold", m->threshold);
}

/* The mark's tokens as they stand in the middle of a text, which is here a line's end. */
static mn_status tokenize_mark(const mn_tokenizer *tokenizer, const char *mark, mn_gguf_writer *w, mn_error *err) {
    char text[MAX_MARK_BYTES + 2];
    int32_t *before = NULL, *ids = NULL;
    size_t n_before = 0, n = 0;
    snprintf(text, sizeof text, "\n%s", mark);
    mn_status status = mn_tokenize(tokenizer, "\n", 1, false, true, &before, &n_before, err);
    if (status == MN_OK) status = mn_tokenize(tokenizer, text, strlen(text), false, true, &ids, &n, err);
    if (status == MN_OK && (n <= n_before || n - n_before > MN_MAX_MARK || memcmp(ids, before, n_before * sizeof *ids)))
        status = mn_fail(err, MN_ERR_ARGUMENT,
                         "memory.mark, \"%s\", is not 1 to %d tokens of this model's behind a line's end; choose "
                         "another.",
                         mark, MN_MAX_MARK);
    if (status == MN_OK) mn_gguf_put_i32s(w, "mnemo.infini.segment_mark", ids + n_before, (int64_t)(n - n_before));
    free(before);
    free(ids);
    return status;
}

static mn_status put_mark(const mn_gguf *in, const char *mark, mn_gguf_writer *w, mn_error *err) {
    mn_tokenizer *tokenizer;
    if (!mark || !*mark) return MN_OK;
    if (strlen(mark) > MAX_MARK_BYTES)
        return mn_fail(err, MN_ERR_ARGUMENT, "memory.mark has %zu bytes; write at most %d.", strlen(mark),
                       MAX_MARK_BYTES);
    MN_TRY(mn_tokenizer_create(in, &tokenizer, err));
    mn_status status = tokenize_mark(tokenizer, mark, w, err);
    mn_tokenizer_destroy(tokenizer);
    return status;
}

/* A tensor of n rows whose numbers are `fill` where the row is open, else `shut`. open NULL: all of it is `fill`. */
static mn_status put_gate(mn_gguf_writer *w, mn_arena *arena, int layer, const char *name, int64_t row, int64_t n,
                          const bool *open, float fill, mn_error *err) {
    char full[64];
    float *data = mn_arena_alloc(arena, (size_t)(row * n), sizeof *data);
    if (!data) return mn_fail(err, MN_ERR_MEMORY, "no memory for the gates of a memory.");
    for (int64_t i = 0; i < row * n; i++) data[i] = !open || open[i / row] ? fill : SHUT;
    snprintf(full, sizeof full, "blk.%d.%s", layer, name);
    mn_tensor t = {.name = full, .type = MN_F32, .n_dims = row > 1 ? 2 : 1, .ne = {row, n, 1, 1}, .data = data};
    if (row == 1) t.ne[0] = n, t.ne[1] = 1;
    mn_gguf_put_tensor(w, &t);
    return MN_OK;
}

static mn_status put_layer(const mn_config *c, const mn_memory_start *m, int layer, mn_arena *arena, mn_gguf_writer *w,
                           mn_error *err) {
    const mn_layer_shape *l = &c->layers[layer];
    int n = l->n_heads, n_kv = l->n_kv_heads;
    bool *mixes = mn_arena_zalloc(arena, (size_t)(n + n_kv), sizeof *mixes), *writes = mixes + n;
    if (!mixes) return mn_fail(err, MN_ERR_MEMORY, "no memory for the gates of a memory.");
    for (int h = 0; h < n; h++) {
        mixes[h] = mn_memory_names_head(m->heads, layer, h);
        writes[h / (n / n_kv)] |= mixes[h];
    }
    MN_TRY(put_gate(w, arena, layer, "infini_gate.bias", 1, n, mixes, m->mixing_bias, err));
    MN_TRY(put_gate(w, arena, layer, "infini_write.weight", c->n_embd, n_kv, NULL, 0, err));
    MN_TRY(put_gate(w, arena, layer, "infini_write.bias", 1, n_kv, writes, m->write_bias, err));
    return put_gate(w, arena, layer, "infini_write_k.weight", l->head_dim_k, n_kv, NULL, 0, err);
}

/* Nothing has bound the file's tensors yet: their shapes are what it says. */
static mn_status check_taps(const mn_gguf *in, const mn_tensor *t, int n_taps, mn_error *err) {
    if (t->ne[0] == n_taps && t->ne[2] == 1 && t->ne[3] == 1) return MN_OK;
    return mn_fail(err, MN_ERR_FORMAT, "%s: tensor %s is %lld x %lld x %lld; the model's convolutions have %d taps.",
                   mn_gguf_path(in), t->name, (long long)t->ne[0], (long long)t->ne[1], (long long)t->ne[2], n_taps);
}

static bool is_conv(const mn_tensor *t) {
    const char *part = strrchr(t->name, '_');
    return part && !strcmp(part, "_conv.weight");
}

/* A filter's taps, zeros behind them. */
static mn_status put_taps(const mn_tensor *t, int n_taps, mn_arena *arena, mn_gguf_writer *w, mn_error *err) {
    mn_tensor wide = *t;
    float *data = mn_arena_zalloc(arena, (size_t)n_taps * (size_t)t->ne[1], sizeof *data);
    if (!data) return mn_fail(err, MN_ERR_MEMORY, "no memory for the taps of a convolution.");
    for (int64_t i = 0; i < t->ne[1]; i++)
        mn_to_f32(t->type, (const char *)t->data + (size_t)i * mn_tensor_row_bytes(t), data + i * n_taps, t->ne[0]);
    wide.type = MN_F32;
    wide.ne[0] = n_taps;
    wide.bytes = (size_t)n_taps * (size_t)t->ne[1] * sizeof *data;
    wide.data = data;
    mn_gguf_put_tensor(w, &wide);
    return MN_OK;
}

static mn_status put_tensors(const mn_gguf *in, const mn_config *c, int n_taps, mn_arena *arena, mn_gguf_writer *w,
                             mn_error *err) {
    for (int64_t i = 0; i < mn_gguf_n_tensors(in); i++) {
        const mn_tensor *t = mn_gguf_tensor_at(in, i);
        if (!n_taps || !is_conv(t)) {
            mn_gguf_put_tensor(w, t);
            continue;
        }
        MN_TRY(check_taps(in, t, c->n_conv_taps, err));
        MN_TRY(put_taps(t, n_taps, arena, w, err));
    }
    return MN_OK;
}

static mn_status check(const mn_gguf *in, const mn_config *c, const mn_memory_start *m, mn_error *err) {
    if (strcmp(c->arch, "mnemo"))
        return mn_fail(err, MN_ERR_UNSUPPORTED,
                       "%s: the architecture %s has no place for a compressive memory; mnemo has.", mn_gguf_path(in),
                       c->arch);
    if (c->infini.segment)
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "%s: has a compressive memory, with segments of %lld tokens; leave memory.segment out to go on "
                       "with it.",
                       mn_gguf_path(in), (long long)c->infini.segment);
    if (m->n_taps && (m->n_taps < c->n_conv_taps || c->n_conv_taps == 0))
        return mn_fail(err, MN_ERR_ARGUMENT, "memory.taps is %d; the model's convolutions have %d, and none can go.",
                       m->n_taps, c->n_conv_taps);
    if (m->mark && *m->mark && m->rule != MN_INFINI_DELTA_EXACT)
        return mn_fail(err, MN_ERR_ARGUMENT, "memory.mark goes with memory.update = delta-exact alone.");
    return check_heads(c, m->heads, err);
}

static mn_status write(const mn_gguf *in, const mn_config *c, const mn_memory_start *m, const char *path,
                       mn_arena *arena, mn_gguf_writer *w, mn_error *err) {
    put_keys(in, m, w);
    MN_TRY(put_mark(in, m->mark, w, err));
    MN_TRY(put_tensors(in, c, m->n_taps, arena, w, err));
    for (int layer = 0; layer < c->n_layers; layer++) MN_TRY(put_layer(c, m, layer, arena, w, err));
    return mn_gguf_write(w, path, NULL, NULL, err);
}

mn_status mn_memory_file_write(const mn_gguf *in, const char *path, const mn_memory_start *m, mn_error *err) {
    mn_config config;
    mn_gguf_writer *w;
    mn_arena arena = MN_ARENA_INIT;
    MN_TRY(mn_config_read(in, &config, err));
    MN_TRY(check(in, &config, m, err));
    MN_TRY(mn_gguf_writer_create(&w, err));
    mn_status status = write(in, &config, m, path, &arena, w, err);
    mn_gguf_writer_destroy(w);
    mn_arena_release(&arena);
    return status;
}
