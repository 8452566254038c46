/* Which attention pattern each layer of a session runs. */
#include "session/session.h"

#include <stdlib.h>
#include <string.h>

/* The pattern for all layers but those that the model itself gives a window; a memory's segments are every layer's. */
static mn_status fill_layers(const mn_config *c, const char *text, mn_pattern *patterns, mn_error *err) {
    mn_pattern pattern;
    MN_TRY(mn_pattern_parse(text, &pattern, err));
    for (int layer = 0; layer < c->n_layers; layer++)
        if (mn_config_sight(c, layer) == 0 || pattern.kind->traits & MN_PATTERN_COMPRESSIVE) patterns[layer] = pattern;
    return MN_OK;
}

/* One sentence for all layers: what the model was not trained for. A memory has a sentence of its own. */
static void note_training(mn_session *s, int n_layers) {
    for (int layer = 0; layer < n_layers; layer++) {
        const mn_pattern_kind *kind = s->patterns[layer].kind;
        if (!kind || !(kind->traits & MN_PATTERN_NEEDS_TRAINING) || kind->traits & MN_PATTERN_COMPRESSIVE) continue;
        mn_notes_add(
            &s->notes,
            "this model was not trained with %s attention, which needs training; expect worse answers than with "
            "full attention.",
            kind->name);
        return;
    }
}

/* What is lost, in measured cases: of 45 facts hidden in texts of 2000 tokens full attention found 41, sinks:4,1020 24
 * and snapkv:32,512 20. */
void mn_session_note_unseen(mn_session *s) {
    int n_layers = s->engine->model.config.n_layers;
    for (int layer = 0; s->patterns && layer < n_layers; layer++) {
        const mn_pattern *p = &s->patterns[layer];
        if (!p->kind || !(p->kind->traits & MN_PATTERN_TRAINING_FREE)) continue;
        if (p->kind->traits & MN_PATTERN_EVICTS && s->n_ctx > p->args[1]) {
            mn_notes_add(
                &s->notes,
                "once a prompt is read, %s leaves %lld of its KV entries to each head: of a longer text, what is "
                "not among them is no longer seen.",
                p->kind->name, (long long)p->args[1]);
            return;
        }
        mn_kept_keys kept = p->kind->keeps ? p->kind->keeps(p) : (mn_kept_keys){0, 0};
        if (kept.last == 0 || s->n_ctx <= kept.first + kept.last) continue;
        mn_notes_add(
            &s->notes,
            "with %s a token sees the first %lld tokens and the last %lld: of a longer text, what lies between "
            "is no longer seen.",
            p->kind->name, (long long)kept.first, (long long)kept.last);
        return;
    }
}

static mn_status resolve(mn_session *s, const mn_session_params *p, mn_error *err) {
    const mn_config *c = &s->engine->model.config;
    if (p->attn) MN_TRY(fill_layers(c, p->attn, s->patterns, err));
    if (p->attn_layers) MN_TRY(mn_pattern_parse_layers(p->attn_layers, c->n_layers, s->patterns, err));
    for (int layer = 0; layer < c->n_layers; layer++) {
        const mn_pattern_kind *kind = s->patterns[layer].kind;
        s->patterns[layer].seed += layer; /* every layer draws its own random blocks, as in BigBird's code */
        if (kind && kind->traits & MN_PATTERN_COMPRESSIVE && p->attn_layers)
            return mn_fail_with(
                err, MN_ERR_ARGUMENT, MN_REMEDIES({MN_REMEDY_ATTN, 0}),
                "%s restarts positions with each segment, so it is for all layers at once and not for some.",
                kind->usage);
        if (kind && (kind->traits & MN_PATTERN_REPOSITIONS) && !s->attn.map.scheme)
            return mn_fail_with(
                err, MN_ERR_ARGUMENT, MN_REMEDIES({MN_REMEDY_ATTN, 0}),
                "%s counts positions within the cache, so it is for all layers at once; for some there is "
                "sinks-abs:S,W.",
                kind->usage);
    }
    return MN_OK;
}

int64_t mn_session_budget(const mn_session *s, int64_t *window) {
    bool evicts = s->patterns && s->patterns[0].kind && s->patterns[0].kind->traits & MN_PATTERN_EVICTS;
    *window = evicts ? s->patterns[0].args[0] : 0;
    return evicts ? s->patterns[0].args[1] : 0;
}

/* Entries that moved to the front have lost their distance, and all layers must agree on where the next one goes. */
static mn_status check_eviction(const mn_session *s, mn_error *err) {
    const mn_model *m = &s->engine->model;
    const mn_pattern *first = &s->patterns[0];
    bool alike = true, any = false;
    for (int layer = 0; layer < m->config.n_layers; layer++) {
        const mn_pattern *p = &s->patterns[layer];
        any |= p->kind && p->kind->traits & MN_PATTERN_EVICTS;
        alike &= p->kind == first->kind && p->args[0] == first->args[0] && p->args[1] == first->args[1];
    }
    if (!any) return MN_OK;
    if (m->config.indexer.top_k)
        return mn_fail(err, MN_ERR_UNSUPPORTED,
                       "snapkv moves entries, and the indexers of %s models keep keys beside them.", m->config.arch);
    if (!alike || m->alibi_slopes)
        return mn_fail(
            err, MN_ERR_UNSUPPORTED,
            "snapkv drops the same number of KV entries in every layer, and takes no layer with a window, another "
            "pattern or ALiBi beside it.");
    if (first->args[0] > s->n_batch)
        return mn_fail_with(err, MN_ERR_ARGUMENT, MN_REMEDIES({MN_REMEDY_LARGER_BATCH, (double)first->args[0]}),
                            "the window of snapkv, %lld rows, does not fit into a batch of %d; use a larger batch.",
                            (long long)first->args[0], s->n_batch);
    return MN_OK;
}

mn_status mn_session_patterns(mn_session *s, const mn_session_params *p, mn_error *err) {
    const mn_config *c = &s->engine->model.config;
    if (!p->attn && !p->attn_layers) return MN_OK;
    s->patterns = calloc((size_t)c->n_layers, sizeof *s->patterns);
    if (!s->patterns) return mn_fail(err, MN_ERR_MEMORY, "no memory for the patterns of %d layers.", c->n_layers);
    MN_TRY(resolve(s, p, err));
    MN_TRY(check_eviction(s, err));
    s->attn.patterns = s->patterns;
    s->attn.absorbs = true;
    note_training(s, c->n_layers);
    return MN_OK;
}
