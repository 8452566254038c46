#include "session/engine.h"

#include "model/backend_profiled.h"
#include "tokenizer/chat_tokens.h"

#include "base/file.h"
#include "model/unread.h"

#include <stdlib.h>
#include <string.h>

/* A copy of a text key, NULL when the file has none. */
static mn_status copy_text(const mn_gguf *gguf, const char *key, char **out, mn_error *err) {
    mn_gguf_string text;
    bool found = false;
    MN_TRY(mn_gguf_get_string(gguf, key, &text, &found, err));
    if (!found) return MN_OK;
    *out = strndup(text.data, text.bytes);
    return *out ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "no memory for %s.", key);
}

static mn_status check_vocabulary(const mn_engine *e, mn_error *err) {
    int32_t n_tokens = mn_tokenizer_n_vocab(e->tokenizer);
    if (n_tokens <= e->model.config.n_vocab) return MN_OK;
    return mn_fail(err, MN_ERR_FORMAT, "%s: the tokenizer has %d tokens, the model only %d.",
                   mn_gguf_path(e->model.gguf), n_tokens, e->model.config.n_vocab);
}

static mn_status choose_template(mn_engine *e, const char *given, mn_error *err) {
    if (!given) return mn_chat_template_load(e->model.gguf, &e->chat_template, err);
    e->chat_template = strdup(given);
    return e->chat_template ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "no memory for a chat template.");
}

/* The type that holds most bytes of the layers' weights. */
static mn_dtype layers_type(const mn_model *m) {
    size_t bytes[MN_DTYPE_COUNT] = {0};
    mn_dtype most = MN_F32;
    for (int64_t i = 0; i < mn_gguf_n_tensors(m->gguf); i++) {
        const mn_tensor *t = mn_gguf_tensor_at(m->gguf, i);
        if (strncmp(t->name, "blk.", 4) != 0) continue;
        bytes[t->type] += t->bytes;
        if (bytes[t->type] > bytes[most]) most = t->type;
    }
    return most;
}

/* Their neighbours in the file are others' weights, which a token does not use. */
static void leave_experts_on_disk(mn_model *m) {
    m->experts_on_disk = true;
    for (int i = 0; i < m->config.n_layers; i++) {
        const mn_layer *l = &m->weights.layers[i];
        const mn_tensor *const stacks[] = {&l->expert_gate, &l->expert_up, &l->expert_down};
        for (int k = 0; k < 3; k++)
            if (stacks[k]->data) mn_mapping_random(stacks[k]->data, stacks[k]->bytes);
    }
}

static mn_status open_parts(mn_engine *e, const char *path, const mn_engine_params *params, mn_error *err) {
    mn_cpu_level level;
    MN_TRY(mn_cpu_choose(&level, err));
    MN_TRY(mn_model_open(path, &e->model, err));
    if (params->experts_on_disk) leave_experts_on_disk(&e->model);
    MN_TRY(mn_adapters_open(params->lora, &e->model, &e->adapters, err));
    MN_TRY(mn_tokenizer_create(e->model.gguf, &e->tokenizer, err));
    MN_TRY(check_vocabulary(e, err));
    MN_TRY(copy_text(e->model.gguf, "general.name", &e->name, err));
    MN_TRY(choose_template(e, params->chat_template, err));
    MN_TRY(copy_text(e->model.gguf, "mnemo.ask_template", &e->ask_template, err));
    mn_model_note_unread(&e->model, &e->notes);
    for (int i = 0; mn_tokenizer_note(e->tokenizer, i); i++)
        mn_notes_add(&e->notes, "%s", mn_tokenizer_note(e->tokenizer, i));
    MN_TRY(mn_pool_create(params->n_threads, &e->pool, err));
    e->compute = (mn_compute){mn_kernels_for(level, layers_type(&e->model)), e->pool, &e->scratch, params->exact, NULL};
    e->backend = mn_backend_cpu(&e->compute);
    return MN_OK;
}

mn_status mn_engine_open(const char *path, const mn_engine_params *params, mn_engine **out, mn_error *err) {
    mn_engine *e = calloc(1, sizeof *e);
    if (!e) return mn_fail(err, MN_ERR_MEMORY, "no memory for an engine.");
    mn_turn_init(&e->turn);
    mn_ledger_init(&e->ledger, params ? params->memory_bytes : 0);
    mn_status status = open_parts(e, path, params ? params : &(mn_engine_params){0}, err);
    if (status == MN_OK)
        *out = e;
    else
        mn_engine_close(e);
    return status;
}

void mn_engine_close(mn_engine *e) {
    if (!e) return;
    mn_pool_destroy(e->pool);
    mn_tokenizer_destroy(e->tokenizer);
    mn_model_close(&e->model);
    mn_adapters_close(&e->adapters);
    mn_arena_release(&e->scratch);
    mn_turn_destroy(&e->turn);
    mn_ledger_destroy(&e->ledger);
    mn_notes_release(&e->notes);
    free(e->name);
    free(e->chat_template);
    free(e->ask_template);
    free(e);
}

void mn_engine_profile(mn_engine *e, mn_profile *profile) {
    if (e->compute.profile) mn_profile_stop(e->compute.profile);
    e->compute.profile = profile;
    e->backend = profile ? mn_backend_profiled(&e->compute) : mn_backend_cpu(&e->compute);
    if (profile) mn_profile_start(profile);
}

mn_status mn_engine_identity(mn_engine *e, mn_identity *out, mn_error *err) {
    mn_turn_take(&e->turn);
    mn_status status = MN_OK;
    if (!e->has_identity) {
        status = mn_identity_of(e->model.gguf, e->pool, &e->identity, err);
        if (status == MN_OK) status = mn_adapters_identity(&e->adapters, e->pool, &e->identity, err);
    }
    e->has_identity = status == MN_OK;
    *out = e->identity;
    mn_turn_give(&e->turn);
    return status;
}

const mn_tokenizer *mn_engine_tokenizer(const mn_engine *e) { return e->tokenizer; }
const char *mn_engine_note(const mn_engine *e, int index) { return mn_notes_at(&e->notes, index); }
const char *mn_engine_chat_template(const mn_engine *e) { return e->chat_template; }
const char *mn_engine_ask_template(const mn_engine *e) { return e->ask_template; }

/* Parameters, and the part of them that a token does not use: experts it is not routed to. */
static void count_parameters(const mn_model *m, mn_model_info *info) {
    const mn_router *r = &m->config.moe.router;
    size_t bytes_by_type[MN_DTYPE_COUNT] = {0}, most = 0;
    int64_t idle = 0;
    for (int64_t i = 0; i < mn_gguf_n_tensors(m->gguf); i++) {
        const mn_tensor *t = mn_gguf_tensor_at(m->gguf, i);
        int64_t n = t->type == MN_I32 ? 0 : t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
        info->n_params += n;
        info->weight_bytes += t->bytes;
        if (!strcmp(t->name, "token_embd.weight") || !strcmp(t->name, "output.weight")) info->n_params_embedding += n;
        if (r->n_experts && strstr(t->name, "_exps.weight")) idle += n / r->n_experts * (r->n_experts - r->n_used);
        if ((bytes_by_type[t->type] += t->bytes) > most) {
            most = bytes_by_type[t->type];
            info->weight_type = mn_dtype_get(t->type)->name;
        }
    }
    info->n_params_active = info->n_params - idle;
}

static const char *position_name(const mn_model *m) {
    const mn_config *c = &m->config;
    if (c->max_alibi_bias > 0) return "alibi";
    if (!mn_config_rotates(c)) return m->weights.position_embd.data ? "learned" : "nope";
    return mn_rope_scaling_name(c->rope.factors && c->rope.scaling == MN_ROPE_NONE ? MN_ROPE_LLAMA3 : c->rope.scaling);
}

mn_model_info mn_engine_info(const mn_engine *e) {
    const mn_config *c = &e->model.config;
    mn_model_info info = {
        .architecture = c->arch,
        .name = e->name ? e->name : "",
        .path = mn_gguf_path(e->model.gguf),
        .n_layers = c->n_layers,
        .n_heads = c->n_heads,
        .n_kv_heads = c->mla.kv_rank ? 1 : c->n_kv_heads,
        .head_dim_k = c->head_dim_k,
        .head_dim_v = c->head_dim_v,
        .n_embd = c->n_embd,
        .n_ff = c->n_ff,
        .n_vocab = c->n_vocab,
        .n_experts = c->moe.router.n_experts,
        .n_experts_used = c->moe.router.n_used,
        .n_ctx_train = c->n_ctx_train,
        .rope_scaling = position_name(&e->model),
        .rope_factor = c->rope.factor > 0 ? c->rope.factor : 1,
        .n_ctx_original = c->rope.original_ctx,
    };
    count_parameters(&e->model, &info);
    return info;
}
