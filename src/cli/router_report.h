/* What the routers of small MLPs did, in words and as JSON. */
#ifndef MN_CLI_ROUTER_REPORT_H
#define MN_CLI_ROUTER_REPORT_H

#include "base/strbuf.h"

#include <jansson.h>
#include <mnemo/session.h>

/* Of all layers of a session, at a moment; n_layers 0: the model has no small MLPs. */
typedef struct mn_router_tally {
    int n_layers;
    mn_router_figures *at[2]; /* [n_layers]: prefill, decode */
} mn_router_tally;

/* What was counted so far. The caller releases it, which may be zeroed. Without memory there are no layers. */
mn_router_tally mn_router_tally_of(const mn_session *session);
void mn_router_tally_release(mn_router_tally *tally);

/* "prefill 46 % of tokens (52 41 - 49 by layer), 31 % less MLP time" of what was counted between the two, or nothing
 * where that is nothing. before may be zeroed. */
void mn_router_put(mn_strbuf *out, const mn_router_tally *before, const mn_router_tally *after, bool decode);
/* {"share": .., "share_by_layer": [..], "mlp_seconds": .., "mlp_seconds_all_large": ..}; null where nothing was
 * counted. mlp_seconds_all_large is what all tokens would have taken in the large MLPs, null when none went there. */
json_t *mn_router_json(const mn_router_tally *before, const mn_router_tally *after, bool decode);

#endif
