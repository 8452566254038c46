/* mnemo convert --mlp-router: small MLPs for easy tokens. */
#include "base/checked.h"
#include "cli/convert.h"
#include "cli/terminal.h"
#include "cli/texts.h"

#include "convert/small_mlp.h"
#include "kernels/kernels.h"
#include "tokenizer/tokenizer.h"

#include <stdlib.h>

enum { WINDOW = 512 };

typedef struct making {
    mn_model model;
    mn_pool *pool;
    mn_arena scratch;
    mn_tokenizer *tokenizer;
    mn_strbuf text;
    int32_t *ids;
    uint8_t in_layer[MN_MAX_LAYERS];
} making;

static mn_status read_text(making *m, const mn_small_options *o, mn_small_wish *wish, mn_error *err) {
    size_t n;
    MN_TRY(mn_text_read(o->text, false, &m->text, err));
    MN_TRY(mn_tokenizer_create(m->model.gguf, &m->tokenizer, err));
    MN_TRY(mn_tokenize(m->tokenizer, m->text.data, m->text.bytes, false, false, &m->ids, &n, err));
    for (size_t i = 0; i < n; i++)
        if (m->ids[i] >= m->model.config.n_vocab)
            return mn_fail(err, MN_ERR_FORMAT, "%s: the tokenizer has more tokens than the model.",
                           mn_gguf_path(m->model.gguf));
    wish->tokens = m->ids;
    wish->n_tokens = MN_MIN((int64_t)n, o->n_tokens);
    wish->window = MN_MIN((int64_t)WINDOW, m->model.config.n_ctx_train);
    return MN_OK;
}

static void print(const char *out, const mn_small_wish *wish, const mn_small_report *r) {
    if (wish->n_tokens)
        mn_say("%s: small MLPs of %d units in %d layers; over %lld tokens they are off by %.1f %% of the large ones' "
               "energy, and by %.1f %% for the %.0f %% of tokens that their routers find easy",
               out, r->n_ff, r->n_layers, (long long)wish->n_tokens, 100 * r->error, 100 * r->easy_error,
               100 * wish->share);
    else
        mn_say("%s: small MLPs of %d units in %d layers; without a calibration text no token is easy until their "
               "routers have been trained",
               out, r->n_ff, r->n_layers);
}

static mn_status make(making *m, const char *in, const char *out, const mn_small_options *o, int n_threads,
                      mn_error *err) {
    mn_small_wish wish = {.in_layer = m->in_layer, .share = o->share};
    mn_small_report report;
    mn_cpu_level level;
    MN_TRY(mn_model_open(in, &m->model, err));
    MN_TRY(mn_small_parse(o->wish, m->model.config.n_layers, &wish.divisor, m->in_layer, err));
    MN_TRY(mn_cpu_choose(&level, err));
    MN_TRY(mn_pool_create(n_threads, &m->pool, err));
    if (o->text) MN_TRY(read_text(m, o, &wish, err));
    mn_compute compute = {.kernels = mn_kernels_get(level), .pool = m->pool, .scratch = &m->scratch};
    MN_TRY(mn_small_write(&compute, &m->model, &wish, out, &report, err));
    print(out, &wish, &report);
    return MN_OK;
}

mn_status mn_convert_small(const char *in, const char *out, const mn_small_options *options, int n_threads,
                           mn_error *err) {
    making m = {.scratch = MN_ARENA_INIT, .text = MN_STRBUF_INIT};
    mn_status status = make(&m, in, out, options, n_threads, err);
    free(m.ids);
    mn_strbuf_release(&m.text);
    mn_tokenizer_destroy(m.tokenizer);
    mn_pool_destroy(m.pool);
    mn_arena_release(&m.scratch);
    if (m.model.gguf) mn_model_close(&m.model);
    return status;
}
