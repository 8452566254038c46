/* What the choice of tokens for small MLPs (mlp/easy.h) is worth: the same model on the same text with other ways to
 * choose as many tokens, as Duo-LLM compares them (arXiv:2410.10846, sec. 4).
 *
 *   large, small   every token in every layer takes the one, or the other
 *   learned        the model's routers, at the one threshold that gives the share
 *   random         by chance, in each layer anew
 *   every          by position: evenly spread, the same tokens in all layers
 *   late           by position: the last tokens of a window
 *   oracle         looks at the loss: of all (token, layer) pairs those whose small MLP costs least. What a pair costs
 *                  is the token's loss with the small MLP in that one layer alone, for all tokens, less that with large
 *                  ones throughout: first order, and an effect on later tokens is theirs.
 */
#ifndef MN_EVAL_ROUTERS_H
#define MN_EVAL_ROUTERS_H

#include <mnemo/session.h>

typedef enum mn_router_way {
    MN_WAY_LARGE,
    MN_WAY_SMALL,
    MN_WAY_LEARNED,
    MN_WAY_RANDOM,
    MN_WAY_EVERY,
    MN_WAY_LATE,
    MN_WAY_ORACLE,
    MN_WAY_COUNT
} mn_router_way;

const char *mn_router_way_name(mn_router_way way);

enum { MN_ROUTERS_MAX_SHARES = 16 };

typedef struct mn_routers_params {
    int64_t window, n_windows; /* tokens of a window, at most the session's; windows of the text */
    double shares[MN_ROUTERS_MAX_SHARES];
    int n_shares;
    int n_repeats; /* of what is timed; 0: nothing is */
    uint64_t seed;
} mn_routers_params;

/* Of prefill and decode. */
typedef struct mn_routers_speed {
    double tokens_per_s;
    double mlp_s; /* seconds a token in MLPs and routers */
} mn_routers_speed;

typedef struct mn_routers_result {
    mn_router_way way;
    double wanted, share;             /* of (token, layer) pairs in small MLPs: asked for, reached */
    double threshold;                 /* of the learned way */
    double nats;                      /* mean loss a token */
    mn_routers_speed prefill, decode; /* the fastest of all repeats, measured in turns */
} mn_routers_result;

/* How many results there are: two, and five for each share. */
int mn_routers_n_results(const mn_routers_params *params);

/* Fills out [mn_routers_n_results]: large, small, then the others share by share. tokens [n]: the text. The session is
 * used for this alone, and ends empty. Cost: a prefill of all windows for each result, 8 more for each share's
 * threshold, one for each layer; the timed part prefills one window and decodes its last 64 tokens. Errors: a model
 * without small MLPs, a text shorter than the windows, shares outside 0 to 1. */
mn_status mn_routers_compare(mn_session *session, const mn_routers_params *params, const int32_t *tokens, int64_t n,
                             mn_progress_fn *progress, void *arg, mn_routers_result *out, mn_error *err);

#endif
