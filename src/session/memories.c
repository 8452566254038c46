/* Which compressive memory a session runs: the model's own, one that --attn infini forces, or none. */
#include "session/session.h"

static bool differs(const mn_infini_spec *m, const mn_config *c) {
    return m->shape.segment != c->infini.segment || m->shape.rule != c->infini.rule || !m->model_mixes;
}

static void note_forced(mn_session *s, const mn_infini_spec *m, bool model_has_one) {
    long long segment = m->shape.segment;
    const char *rule = mn_infini_rule_name(m->shape.rule);
    if (!model_has_one)
        mn_notes_add(
            &s->notes,
            "this model was not trained with a compressive memory (segments of %lld tokens, update %s), which needs "
            "training; it makes up %.3g of the output of every head. Expect worse answers than with full attention.",
            segment, rule, (double)m->share);
    else if (!m->model_mixes)
        mn_notes_add(
            &s->notes,
            "this model's memory runs otherwise than it was trained: segments of %lld tokens, update %s, %.3g of "
            "the output of every head.",
            segment, rule, (double)m->share);
    else
        mn_notes_add(&s->notes,
                     "this model's memory runs otherwise than it was trained: segments of %lld tokens, update %s.",
                     segment, rule);
}

/* What is not said stays the model's; a model without a memory takes the paper's update and halves. */
static void force(mn_session *s, const mn_config *c, const mn_pattern *p) {
    bool model_has_one = c->infini.segment > 0, rule_said = p->args[1] != MN_PATTERN_UNSAID;
    bool share_said = p->args[2] != MN_PATTERN_UNSAID;
    mn_infini_spec m = mn_attn_of_model(c).infini;
    m.shape.segment = p->args[0];
    m.shape.rule = rule_said ? (mn_infini_rule)p->args[1] : model_has_one ? c->infini.rule : MN_INFINI_LINEAR;
    m.shape.feature = mn_infini_feature_of(m.shape.rule);
    m.model_writes = model_has_one;
    m.model_mixes = model_has_one && !share_said;
    if (m.shape.rule != MN_INFINI_DELTA_EXACT) m.mark.n = 0;
    m.share = share_said ? (float)p->args[2] / MN_PATTERN_WHOLE : 0.5f;
    s->attn.infini = m;
    if (!model_has_one || differs(&m, c)) note_forced(s, &m, model_has_one);
}

void mn_session_memory(mn_session *s) {
    const mn_config *c = &s->engine->model.config;
    const mn_pattern *first = s->patterns;
    if (!first) {
        s->attn.infini = mn_attn_of_model(c).infini;
    } else if (first->kind && first->kind->traits & MN_PATTERN_COMPRESSIVE) {
        force(s, c, first);
    } else if (c->infini.segment) {
        mn_notes_add(
            &s->notes,
            "this model's compressive memory is left out, and what it was trained to carry over from earlier segments "
            "of %lld tokens with it: the attention pattern runs in its place.",
            (long long)c->infini.segment);
    }
}
