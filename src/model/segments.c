#include "model/segments.h"

#include <stdbool.h>

static bool completes(const mn_segments *s, const mn_segment_mark *mark) {
    if (mark->n == 0 || s->n_tokens < mark->n) return false;
    for (int i = 0; i < mark->n; i++)
        if (s->last[(s->n_tokens - 1 - i) % MN_MAX_MARK] != mark->ids[mark->n - 1 - i]) return false;
    return true;
}

int64_t mn_segments_pass(mn_segments *s, const mn_segment_mark *mark, int64_t segment, int32_t token) {
    int64_t at = s->n_tokens++;
    s->last[at % MN_MAX_MARK] = token;
    if (at - s->begin >= segment || completes(s, mark)) s->begin = at;
    return at - s->begin;
}
