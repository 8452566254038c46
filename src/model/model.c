#include "model/model.h"

static mn_status bind(mn_model *model, mn_error *err) {
    mn_config *c = &model->config;
    MN_TRY(mn_config_read(model->gguf, c, err));
    MN_TRY(mn_weights_bind(model->gguf, c, &model->arena, &model->weights, err));
    if (c->max_alibi_bias == 0) return MN_OK;
    size_t n = (size_t)c->n_layers * (size_t)c->n_heads;
    model->alibi_slopes = mn_arena_alloc(&model->arena, n, sizeof *model->alibi_slopes);
    if (!model->alibi_slopes) return mn_fail(err, MN_ERR_MEMORY, "no memory for %zu ALiBi slopes.", n);
    for (int i = 0; i < c->n_layers; i++)
        if (c->layers[i].n_heads)
            mn_alibi_slopes(c->layers[i].n_heads, c->max_alibi_bias,
                            model->alibi_slopes + (size_t)i * (size_t)c->n_heads);
    return MN_OK;
}

mn_status mn_model_bind(mn_gguf *gguf, mn_model *out, mn_error *err) {
    *out = (mn_model){.gguf = gguf, .arena = MN_ARENA_INIT};
    mn_status status = bind(out, err);
    if (status != MN_OK) mn_model_close(out);
    return status;
}

mn_status mn_model_open(const char *path, mn_model *out, mn_error *err) {
    mn_gguf *gguf;
    MN_TRY(mn_gguf_open(path, &gguf, err));
    return mn_model_bind(gguf, out, err);
}

void mn_model_close(mn_model *model) {
    mn_arena_release(&model->arena);
    mn_gguf_close(model->gguf);
    *model = (mn_model){0};
}
