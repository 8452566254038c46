/* Which position scheme a session runs, and how far it reaches. */
#include "session/session.h"

#include "base/checked.h"

#include <math.h>
#include <string.h>

/* A state of fixed size in every layer has no window; this many tokens of text are let through when nobody says. */
enum { UNBOUNDED_CTX = 1 << 21 };

static int64_t to_tokens(double n) { return n < (double)MN_MAX_CTX_TOKENS ? MN_MAX((int64_t)n, 1) : MN_MAX_CTX_TOKENS; }

/* The window the file was made for, its own scaling included. */
static int64_t made_for(const mn_config *c) {
    double scaled = (double)c->rope.original_ctx * (c->rope.factor > 1 ? c->rope.factor : 1);
    bool is_scaled = mn_config_rotates(c) && c->rope.scaling != MN_ROPE_NONE;
    return is_scaled ? MN_MAX(to_tokens(scaled), c->n_ctx_train) : c->n_ctx_train;
}

/* No layer of a model without learned positions looks at keys: there is no distance. */
static bool has_no_distance(const mn_model *m, const mn_attn_spec *r) {
    return mn_attn_n_kv_layers(r, &m->config) == 0 && !m->weights.position_embd.data;
}

static int64_t default_ctx(const mn_model *m, const mn_attn_spec *r) {
    return r->infini.shape.segment || has_no_distance(m, r) ? UNBOUNDED_CTX : m->config.n_ctx_train;
}

static bool asks_for_scaling(const mn_position_params *p) {
    return p->rope_scaling || p->rope_scale > 0 || p->rope_freq_base > 0;
}

/* ---- the scheme ---- */

/* A scheme chosen by name starts from the window asked for; the file's own factor belongs to the file's own scheme. */
static mn_status choose_scaling(const mn_position_params *p, mn_rope_spec *spec, mn_error *err) {
    if (!p->rope_scaling) return MN_OK;
    int scaling = mn_rope_scaling_find(p->rope_scaling);
    if (scaling < 0)
        return mn_fail(
            err, MN_ERR_ARGUMENT,
            "there is no position scaling \"%s\"; known: none linear ntk dynamic ntk-parts yarn longrope llama3.",
            p->rope_scaling);
    spec->scaling = (mn_rope_scaling)scaling;
    spec->factor = 0;
    if (spec->scaling != MN_ROPE_LONGROPE) spec->attn_factor = 0;
    return MN_OK;
}

static mn_status choose_scheme(const mn_config *c, const mn_position_params *p, mn_rope_spec *out, mn_error *err) {
    mn_rope_spec spec = c->rope;
    if (!mn_config_rotates(c) && asks_for_scaling(p))
        return mn_fail_with(err, MN_ERR_ARGUMENT, MN_REMEDIES({MN_REMEDY_OWN_POSITIONS, 0}),
                            "%s models have no rotary positions to scale; leave scaling out.", c->arch);
    MN_TRY(choose_scaling(p, &spec, err));
    if (p->rope_scale > 0) {
        spec.factor = p->rope_scale;
        if (spec.scaling == MN_ROPE_NONE && !p->rope_scaling) spec.scaling = MN_ROPE_LINEAR;
    }
    if (p->rope_freq_base > 0) spec.freq_base = p->rope_freq_base;
    if (p->yarn_orig_ctx > 0) spec.original_ctx = p->yarn_orig_ctx;
    if (p->yarn_ext_factor > 0) spec.ext_factor = p->yarn_ext_factor;
    if (p->yarn_ext_factor < 0 && spec.scaling == MN_ROPE_YARN)
        spec.scaling = MN_ROPE_LINEAR; /* no share of the ramp */
    if (p->yarn_attn_factor > 0) spec.attn_factor = p->yarn_attn_factor;
    if (p->yarn_beta_slow > 0) spec.beta_slow = p->yarn_beta_slow;
    if (p->yarn_beta_fast > 0) spec.beta_fast = p->yarn_beta_fast;
    *out = spec;
    return MN_OK;
}

/* ---- how far it reaches ---- */

/* The window in which plain positions are those of the training: a file that has scaling of its own was trained on less
 * than it says. Divisors that lie in the file stay, whatever scaling is chosen, and with them the file's window. */
static int64_t plain_window(const mn_config *c, const mn_rope_spec *spec) {
    return c->rope.scaling == MN_ROPE_NONE || c->rope.factors ? MN_MAX(c->n_ctx_train, spec->original_ctx)
                                                              : spec->original_ctx;
}

/* How much further another base reaches: b' = b s^(d / (d - 2)), as NTK-aware scaling (src/position/ntk.c). */
static double stretch_of_base(const mn_config *c, const mn_rope_spec *spec) {
    double d = spec->n_rot;
    return d > 2 && spec->freq_base > 1 ? pow(spec->freq_base / c->rope.freq_base, (d - 2) / d) : 1;
}

/* The tokens that the chosen scheme reaches; a factor that follows the window reaches any. */
static int64_t covered(const mn_config *c, const mn_position_params *p, const mn_rope_spec *spec) {
    if (!mn_config_rotates(c) || !asks_for_scaling(p)) return made_for(c);
    double stretch = p->rope_freq_base > 0 ? stretch_of_base(c, spec) : 1;
    if (spec->scaling == MN_ROPE_NONE) return to_tokens((double)plain_window(c, spec) * stretch);
    if (spec->scaling == MN_ROPE_DYNAMIC || spec->factor == 0) return MN_MAX_CTX_TOKENS;
    int64_t scaled = to_tokens((double)spec->original_ctx * spec->factor * stretch);
    return spec->scaling == MN_ROPE_LONGROPE ? MN_MAX(scaled, c->n_ctx_train) : scaled;
}

static bool is_sinks(const char *attn) { return attn && !strncmp(attn, "sinks", 5) && (!attn[5] || attn[5] == ':'); }

mn_status mn_session_map(const mn_model *m, const mn_session_params *p, mn_posmap *out, mn_error *err) {
    const char *text = p->position.map;
    mn_rope_spec spec;
    *out = (mn_posmap){0};
    if (text && p->attn)
        return mn_fail_with(err, MN_ERR_ARGUMENT, MN_REMEDIES({MN_REMEDY_NO_MAP, 0}, {MN_REMEDY_NO_ATTN, 0}),
                            "the position map %s needs every key, and the pattern %s leaves some out; choose one.",
                            text, p->attn);
    if (!text && is_sinks(p->attn)) text = p->attn;
    if (text && p->attn_layers)
        return mn_fail_with(err, MN_ERR_ARGUMENT, MN_REMEDIES({MN_REMEDY_NO_MAP, 0}, {MN_REMEDY_NO_ATTN, 0}),
                            "%s is for all layers at once, and patterns of single layers were asked for; choose one.",
                            text);
    if (!text) return MN_OK;
    MN_TRY(choose_scheme(&m->config, &p->position, &spec, err));
    int64_t window = MN_MIN(covered(&m->config, &p->position, &spec), MN_MAX(p->n_ctx, made_for(&m->config)));
    return mn_posmap_parse(text, window, out, err);
}

/* A factor that covers n_ctx, of four digits. */
static double factor_for(const mn_rope_spec *spec, int64_t n_ctx) {
    double factor = (double)n_ctx / (double)MN_MAX(spec->original_ctx, 1);
    double unit = pow(10, floor(log10(MN_MAX(factor, 1))) - 3);
    return ceil(factor / unit) * unit;
}

/* A window that the map, or the map without help, does not cover. */
static mn_status check_reach(const mn_posmap *map, int64_t limit, int64_t n_ctx, mn_error *err) {
    int64_t reach = mn_posmap_reach(map, limit);
    if (n_ctx <= reach) return MN_OK;
    return mn_fail_with(
        err, MN_ERR_LIMIT, MN_REMEDIES({MN_REMEDY_WINDOW, (double)reach}, {MN_REMEDY_YARN, 0}),
        "context %lld is beyond the %lld that %s with %lld and %lld reaches on a window of %lld; use a smaller window, "
        "change its numbers, or scale positions.",
        (long long)n_ctx, (long long)reach, map->scheme->name, (long long)map->a, (long long)map->b, (long long)limit);
}

/* A segment in which positions reach further than a window that the model was made for. */
static mn_status fail_segment(int64_t segment, int64_t limit, mn_error *err) {
    return mn_fail_with(
        err, MN_ERR_LIMIT, MN_REMEDIES({MN_REMEDY_SEGMENT, (double)limit}),
        "segments of %lld tokens are beyond the window of %lld that this model was made for; use segments of %lld.",
        (long long)segment, (long long)limit, (long long)limit);
}

static mn_status fail_unscaled(const mn_config *c, int64_t limit, int64_t n_ctx, mn_error *err) {
    return mn_fail_with(err, MN_ERR_LIMIT, MN_REMEDIES({MN_REMEDY_YARN, 0}, {MN_REMEDY_WINDOW, (double)limit}),
                        "context %lld is beyond the %lld this model was made for; quality is not assured. Scale "
                        "positions by YaRN (factor %.4g will be used), or use a smaller window.",
                        (long long)n_ctx, (long long)limit, (double)n_ctx / (double)c->rope.original_ctx);
}

/* A scheme that somebody chose and that falls short of the window: an error beyond what the model was made for, and
 * worth a note within. */
static mn_status fall_short(const mn_config *c, const mn_rope_spec *spec, int64_t limit, int64_t n_ctx, mn_notes *notes,
                            mn_error *err) {
    const char *scheme = mn_rope_scaling_name(spec->scaling);
    double factor = factor_for(spec, n_ctx);
    if (n_ctx <= made_for(c)) {
        if (notes)
            mn_notes_add(
                notes,
                "a window of %lld tokens is beyond the %lld that positions reach with scaling %s; expect wrong "
                "answers to longer texts. A factor of %.4g would cover it.",
                (long long)n_ctx, (long long)limit, scheme, factor);
        return MN_OK;
    }
    mn_remedy scaled = {spec->scaling == MN_ROPE_NONE ? MN_REMEDY_YARN : MN_REMEDY_ROPE_SCALE, factor};
    return mn_fail_with(
        err, MN_ERR_LIMIT, MN_REMEDIES(scaled, {MN_REMEDY_WINDOW, (double)limit}),
        "context %lld is beyond the %lld that positions reach with scaling %s; a factor of %.4g would cover it.",
        (long long)n_ctx, (long long)limit, scheme, factor);
}

static mn_status check_learned(const mn_config *c, int64_t n_ctx, bool segmented, int64_t n_positions, mn_error *err) {
    if (n_positions <= c->n_ctx_train) return MN_OK;
    if (segmented) return fail_segment(n_positions, c->n_ctx_train, err);
    return mn_fail_with(err, MN_ERR_LIMIT, MN_REMEDIES({MN_REMEDY_WINDOW, (double)c->n_ctx_train}),
                        "context %lld is beyond the %lld positions that this model has learned; use a smaller window.",
                        (long long)n_ctx, (long long)c->n_ctx_train);
}

static mn_status check_window(const mn_model *m, const mn_position_params *p, const mn_attn_spec *attn,
                              const mn_rope_spec *spec, int64_t n_ctx, mn_notes *notes, mn_error *err) {
    const mn_config *c = &m->config;
    int64_t limit = covered(c, p, spec), n_positions = mn_attn_n_positions(attn, n_ctx);
    bool segmented = n_positions < n_ctx;
    if (n_ctx < 1)
        return mn_fail_with(err, MN_ERR_ARGUMENT, MN_REMEDIES({MN_REMEDY_LARGER_WINDOW, 0}),
                            "a window of %lld tokens is too small; it takes 1 or more.", (long long)n_ctx);
    if (m->weights.position_embd.data) MN_TRY(check_learned(c, n_ctx, segmented, n_positions, err));
    if (n_positions <= limit || !mn_config_rotates(c) || p->beyond || has_no_distance(m, attn)) return MN_OK;
    if (segmented) return fail_segment(n_positions, limit, err);
    if (attn->map.scheme) return check_reach(&attn->map, limit, n_ctx, err);
    return asks_for_scaling(p) ? fall_short(c, spec, limit, n_ctx, notes, err) : fail_unscaled(c, limit, n_ctx, err);
}

int64_t mn_session_reach(const mn_model *m, const mn_position_params *p, const mn_attn_spec *attn) {
    const mn_config *c = &m->config;
    mn_rope_spec spec;
    if (attn->infini.shape.segment) return MN_MAX_CTX_TOKENS;
    if (m->weights.position_embd.data) return c->n_ctx_train;
    if (!mn_config_rotates(c) || has_no_distance(m, attn) || choose_scheme(c, p, &spec, NULL) != MN_OK)
        return MN_MAX_CTX_TOKENS;
    int64_t limit = covered(c, p, &spec);
    if (attn->map.scheme) limit = MN_MIN(mn_posmap_reach(&attn->map, limit), MN_MAX_CTX_TOKENS);
    return limit;
}

mn_status mn_session_positions(const mn_model *model, const mn_position_params *p, const mn_attn_spec *attn,
                               int64_t *n_ctx, mn_rope_spec *out, mn_notes *notes, mn_error *err) {
    if (*n_ctx == 0) *n_ctx = default_ctx(model, attn);
    MN_TRY(choose_scheme(&model->config, p, out, err));
    return check_window(model, p, attn, out, *n_ctx, notes, err);
}
