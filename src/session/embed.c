/* Texts through a model once, each as one slice of a step of its own sequence, and their states pooled. */
#include <mnemo/embed.h>

#include "session/session.h"

#include "base/checked.h"
#include "model/nonfinite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEFAULT_CTX = 8192, STEP_ROWS = 2048, STEP_TEXTS = 64 };

/* A text on its way. */
typedef struct item {
    int32_t *tokens;
    int64_t n;
    mn_sequence sequence;
    bool is_open;
} item;

typedef struct embedding {
    mn_engine *engine;
    mn_session *settings; /* what a session would be; none is opened */
    mn_window window;
    mn_pooling pooling;
    bool cut, is_scaled;
    item *items; /* [n_items]: those of a step */
    int64_t n_items, n_rows;
} embedding;

int mn_pooling_find(const char *name) {
    static const struct {
        const char *name;
        mn_pooling pooling;
    } names[] = {
        {"mean", MN_POOLING_MEAN}, {"cls", MN_POOLING_FIRST}, {"first", MN_POOLING_FIRST}, {"last", MN_POOLING_LAST}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i].name, name)) return names[i].pooling;
    return -1;
}

static mn_status choose_pooling(embedding *e, mn_pooling asked, mn_error *err) {
    static const mn_pooling of_file[] = {MN_POOLING_MEAN, MN_POOLING_MEAN, MN_POOLING_FIRST, MN_POOLING_LAST};
    mn_state_pooling stated = e->engine->model.config.pooling;
    if (asked == MN_POOLING_DEFAULT && stated == MN_STATES_RANK)
        return mn_fail(err, MN_ERR_UNSUPPORTED, "%s ranks pairs of texts and makes no vectors.",
                       mn_gguf_path(e->engine->model.gguf));
    e->pooling = asked == MN_POOLING_DEFAULT ? of_file[stated] : asked;
    return MN_OK;
}

static mn_status begin(embedding *e, const mn_embed_params *p, mn_error *err) {
    const mn_config *c = &e->engine->model.config;
    mn_session_params params = {.n_ctx = p->n_ctx ? p->n_ctx : MN_MIN(c->n_ctx_train, MAX_DEFAULT_CTX)};
    MN_TRY(choose_pooling(e, p->pooling, err));
    e->settings = calloc(1, sizeof *e->settings);
    e->items = calloc(STEP_TEXTS, sizeof *e->items);
    if (!e->settings || !e->items) return mn_fail(err, MN_ERR_MEMORY, "no memory to embed texts.");
    e->settings->engine = e->engine;
    e->cut = p->cut;
    e->is_scaled = !p->is_not_scaled;
    return mn_session_resolve(e->settings, &params, &e->window, err);
}

static void release_items(embedding *e) {
    for (item *i = e->items; i < e->items + e->n_items; i++) {
        if (i->is_open) mn_sequence_release(&i->sequence);
        free(i->tokens);
    }
    e->n_items = e->n_rows = 0;
}

static void end(embedding *e) {
    if (e->items) release_items(e);
    free(e->items);
    if (!e->settings) return;
    mn_notes_release(&e->settings->notes);
    free(e->settings->patterns);
    free(e->settings);
}

/* Shortens a text that does not fit; the token that ends a text stays. */
static mn_status fit(const embedding *e, item *i, int64_t number, mn_error *err) {
    int64_t most = e->window.n_ctx;
    if (i->n <= most) return MN_OK;
    if (!e->cut)
        return mn_fail(err, MN_ERR_LIMIT,
                       "text %lld is %lld tokens, and this model makes vectors of %lld at most; cut the text, or let "
                       "its beginning stand for it.",
                       (long long)number, (long long)i->n, (long long)most);
    const mn_special_tokens *special = mn_tokenizer_specials(e->engine->tokenizer);
    if (special->add_eos) i->tokens[most - 1] = i->tokens[i->n - 1];
    i->n = most;
    return MN_OK;
}

static mn_status add(embedding *e, mn_embed_text *text, int64_t number, mn_error *err) {
    item *i = &e->items[e->n_items++];
    size_t n;
    *i = (item){0};
    MN_TRY(mn_tokenize(e->engine->tokenizer, text->text, text->bytes, true, false, &i->tokens, &n, err));
    text->n_tokens = i->n = (int64_t)n;
    MN_TRY(fit(e, i, number, err));
    mn_sequence_params params = {&e->settings->rope, e->settings->attn, e->window.n_ctx, e->window.k_type,
                                 e->window.v_type};
    MN_TRY(mn_sequence_init(&i->sequence, &e->engine->model.config, &params, err));
    i->is_open = true;
    e->n_rows += i->n;
    return MN_OK;
}

/* Rows [first, first + n) of the states as one vector. */
static void pool(const embedding *e, const float *states, int64_t n, float *out) {
    int64_t n_embd = e->engine->model.config.n_embd;
    int64_t first = e->pooling == MN_POOLING_LAST ? n - 1 : 0, last = e->pooling == MN_POOLING_FIRST ? 0 : n - 1;
    double square = 0;
    for (int64_t d = 0; d < n_embd; d++) {
        double sum = 0;
        for (int64_t r = first; n > 0 && r <= last; r++) sum += (double)states[r * n_embd + d];
        sum /= (double)(last - first + 1);
        out[d] = n > 0 ? (float)sum : 0;
        square += (double)out[d] * (double)out[d];
    }
    float scale = e->is_scaled && square > 0 ? (float)(1 / sqrt(square)) : 1;
    for (int64_t d = 0; d < n_embd; d++) out[d] *= scale;
}

static mn_status forward(const embedding *e, int32_t *tokens, mn_slice *slices, int64_t *wanted, float *states,
                         mn_error *err) {
    int n_slices = 0;
    int64_t at = 0;
    for (item *i = e->items; i < e->items + e->n_items; i++) {
        if (i->n == 0) continue;
        slices[n_slices++] = (mn_slice){&i->sequence, at, i->n};
        memcpy(tokens + at, i->tokens, (size_t)i->n * sizeof *tokens);
        at += i->n;
    }
    for (int64_t r = 0; r < at; r++) wanted[r] = r;
    mn_batch batch = {tokens, at, slices, n_slices, wanted, at, NULL, states};
    mn_turn_take(&e->engine->turn);
    mn_status status = mn_forward(&e->engine->backend, &e->engine->model, &batch, err);
    mn_turn_give(&e->engine->turn);
    if (status == MN_OK && !mn_is_finite(states, at * e->engine->model.config.n_embd))
        status = mn_fail(err, MN_ERR_FORMAT, "%s: the states of a text are not all numbers; the file is damaged.",
                         mn_gguf_path(e->engine->model.gguf));
    return status;
}

static mn_status run_step(embedding *e, float *out, mn_error *err) {
    int64_t n_embd = e->engine->model.config.n_embd, rows = MN_MAX(e->n_rows, 1);
    int32_t *tokens = calloc((size_t)rows, sizeof *tokens);
    int64_t *wanted = calloc((size_t)rows, sizeof *wanted), at = 0;
    float *states = calloc((size_t)rows, (size_t)n_embd * sizeof *states);
    mn_slice slices[STEP_TEXTS];
    mn_status status = tokens && wanted && states
                           ? MN_OK
                           : mn_fail(err, MN_ERR_MEMORY, "no memory for the states of %lld tokens.", (long long)rows);
    if (status == MN_OK && e->n_rows > 0) status = forward(e, tokens, slices, wanted, states, err);
    for (int64_t k = 0; status == MN_OK && k < e->n_items; k++) {
        pool(e, states + at * n_embd, e->items[k].n, out + k * n_embd);
        at += e->items[k].n;
    }
    free(tokens);
    free(wanted);
    free(states);
    release_items(e);
    return status;
}

static mn_status embed_all(embedding *e, mn_embed_text *texts, int64_t n, float *out, mn_error *err) {
    int64_t n_embd = e->engine->model.config.n_embd, done = 0;
    for (int64_t i = 0; i < n; i++) {
        MN_TRY(add(e, &texts[i], i, err));
        if (i + 1 < n && e->n_items < STEP_TEXTS && e->n_rows < STEP_ROWS) continue;
        MN_TRY(run_step(e, out + done * n_embd, err));
        done = i + 1;
    }
    return MN_OK;
}

mn_status mn_embed(mn_engine *engine, const mn_embed_params *params, mn_embed_text *texts, int64_t n, float *out,
                   mn_error *err) {
    embedding e = {.engine = engine};
    mn_status status = begin(&e, params ? params : &(mn_embed_params){0}, err);
    if (status == MN_OK) status = embed_all(&e, texts, n, out, err);
    end(&e);
    return status;
}
