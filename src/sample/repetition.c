#include "sample/repetition.h"

#include "base/checked.h"

#include <stdbool.h>

int mn_repetition_next(mn_repetition *r, int32_t token) {
    int longest = (int)MN_MIN(r->n_tokens, (int64_t)MN_REPETITION_MAX_PERIOD), found = 0;
    for (int p = 1; p <= longest; p++) {
        bool same = r->last[(r->n_tokens - p) % MN_REPETITION_MAX_PERIOD] == token;
        int wanted = MN_MAX(MN_REPETITION_TIMES * p, MN_REPETITION_MIN_TOKENS) - p;
        r->equal[p] = same ? MN_MIN(r->equal[p] + 1, wanted) : 0;
        if (!found && r->equal[p] == wanted) found = p;
    }
    r->last[r->n_tokens++ % MN_REPETITION_MAX_PERIOD] = token;
    return found;
}
