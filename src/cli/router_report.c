#include "cli/router_report.h"

#include "cli/json_text.h"
#include "session/session.h"

#include <math.h>
#include <stdlib.h>

mn_router_tally mn_router_tally_of(const mn_session *session) {
    int n_layers = session->engine->model.config.n_layers;
    mn_router_tally t = {0};
    bool any = false;
    for (int decode = 0; decode < 2; decode++) t.at[decode] = calloc((size_t)n_layers, sizeof *t.at[decode]);
    if (t.at[0] && t.at[1]) t.n_layers = n_layers;
    for (int i = 0; i < t.n_layers; i++)
        for (int decode = 0; decode < 2; decode++) any |= mn_session_router(session, i, decode, &t.at[decode][i]);
    if (!any) mn_router_tally_release(&t);
    return t;
}

void mn_router_tally_release(mn_router_tally *t) {
    free(t->at[0]);
    free(t->at[1]);
    *t = (mn_router_tally){0};
}

static mn_router_figures difference(const mn_router_tally *before, const mn_router_tally *after, bool decode, int i) {
    mn_router_figures a = after->at[decode][i], b = {0};
    if (before->n_layers == after->n_layers) b = before->at[decode][i];
    return (mn_router_figures){a.n_big - b.n_big, a.n_small - b.n_small, a.big_s - b.big_s, a.small_s - b.small_s,
                               a.router_s - b.router_s};
}

/* Of all layers: rows, and the time that they took and that all would have taken in the large MLPs, layer by layer at
 * the layer's own mean; NAN where a layer sent none there. */
typedef struct sum {
    int64_t n, n_small;
    double taken, large;
} sum;

static double share_of(int64_t small, int64_t all) { return all ? (double)small / (double)all : NAN; }

static sum sum_of(const mn_router_tally *before, const mn_router_tally *after, bool decode) {
    sum s = {0};
    for (int i = 0; i < after->n_layers; i++) {
        mn_router_figures f = difference(before, after, decode, i);
        int64_t n = f.n_big + f.n_small;
        s.n += n;
        s.n_small += f.n_small;
        s.taken += f.big_s + f.small_s + f.router_s;
        if (n) s.large += f.big_s / (double)f.n_big * (double)n; /* NAN: 0 / 0 */
    }
    return s;
}

void mn_router_put(mn_strbuf *out, const mn_router_tally *before, const mn_router_tally *after, bool decode) {
    sum s = sum_of(before, after, decode);
    if (s.n == 0) return;
    mn_strbuf_printf(out, "%s %.0f %% of tokens (", decode ? "decode" : "prefill", 100 * share_of(s.n_small, s.n));
    for (int i = 0; i < after->n_layers; i++) {
        mn_router_figures f = difference(before, after, decode, i);
        if (f.n_big + f.n_small)
            mn_strbuf_printf(out, "%.0f ", 100 * share_of(f.n_small, f.n_big + f.n_small));
        else
            mn_strbuf_puts(out, "- ");
    }
    mn_strbuf_puts(out, "by layer)");
    if (isfinite(s.large) && s.large > 0)
        mn_strbuf_printf(out, ", %.0f %% %s MLP time", 100 * fabs(1 - s.taken / s.large),
                         s.taken > s.large ? "more" : "less");
}

json_t *mn_router_json(const mn_router_tally *before, const mn_router_tally *after, bool decode) {
    sum s = sum_of(before, after, decode);
    if (s.n == 0) return json_null();
    json_t *layers = json_array();
    for (int i = 0; i < after->n_layers; i++) {
        mn_router_figures f = difference(before, after, decode, i);
        json_array_append_new(layers, mn_json_real(share_of(f.n_small, f.n_big + f.n_small)));
    }
    return json_pack("{s:f, s:o, s:f, s:o}", "share", share_of(s.n_small, s.n), "share_by_layer", layers, "mlp_seconds",
                     s.taken, "mlp_seconds_all_large", mn_json_real(s.large));
}
