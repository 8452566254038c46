/* The ways back of a session: KV entries can be dropped; recurrent state goes back to a copy of it. */
#include "session/session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)MN_MAX_PLACES == (int)MN_MAX_CHECKPOINTS, "a sequence is told of all");

/* What windowed layers keep, they keep for the ways back there are. */
void mn_session_tell_places(mn_session *s) {
    mn_sequence *t = &s->sequence;
    t->n_places = s->n_checkpoints;
    for (int i = 0; i < s->n_checkpoints; i++) t->places[i] = s->checkpoints[i].n_tokens;
}

void mn_session_clear(mn_session *s) {
    mn_sequence *t = &s->sequence;
    if (t->state) memset(t->state, 0, t->state_bytes);
    mn_sequence_resume(t, NULL, 0);
    t->n_evicted = t->evict_to = 0;
    mn_sequence_drop_after(t, 0);
    s->n_checkpoints = 0;
    mn_session_tell_places(s);
    s->checkpoint_interval = MN_FIRST_CHECKPOINT_TOKENS;
    s->has_logits = false;
    mn_session_tell_ledger(s);
}

/* Drops the checkpoint that is missed least: whose neighbours are nearest to each other, for how far from the end they
 * are. What is left lies densely near the end, and in front of it ever more thinly: the way back to any place is not
 * much longer than from there to the end, and to one near the end an interval. */
static void thin_checkpoints(mn_session *s) {
    mn_checkpoint *c = s->checkpoints;
    int drop = 1;
    double least = INFINITY;
    for (int i = 1; i + 1 < s->n_checkpoints; i++) {
        double gap =
            (double)(c[i + 1].n_tokens - c[i - 1].n_tokens) / (double)(s->sequence.n_tokens - c[i - 1].n_tokens);
        if (gap < least) {
            least = gap;
            drop = i;
        }
    }
    mn_checkpoint dropped = c[drop];
    memmove(c + drop, c + drop + 1, (size_t)(--s->n_checkpoints - drop) * sizeof *c);
    c[s->n_checkpoints] = dropped; /* its memory serves the next one */
}

/* Behind a compressive memory only segment starts will do: the KV entries of older segments are gone. */
void mn_session_take_checkpoint(mn_session *s) {
    const mn_sequence *t = &s->sequence;
    int64_t last = s->n_checkpoints ? s->checkpoints[s->n_checkpoints - 1].n_tokens : 0;
    if (t->state_bytes == 0 || t->n_tokens - last < s->checkpoint_interval) return;
    if (s->attn.infini.shape.segment && mn_sequence_segment_begin(t) < t->n_tokens) return;
    if (s->n_checkpoints == MN_MAX_CHECKPOINTS) thin_checkpoints(s);
    mn_checkpoint *c = &s->checkpoints[s->n_checkpoints];
    if (!c->state && !(c->state = malloc(t->state_bytes))) return; /* a way back is longer: no reason to fail */
    memcpy(c->state, t->state, t->state_bytes);
    c->n_tokens = t->n_tokens;
    s->n_checkpoints++;
    mn_session_tell_places(s);
}

void mn_session_retreat(mn_session *s, int64_t n) {
    mn_sequence *t = &s->sequence;
    s->has_logits = false;
    n = mn_sequence_resumable(t, n);
    if (t->state_bytes) {
        while (s->n_checkpoints && s->checkpoints[s->n_checkpoints - 1].n_tokens > n) s->n_checkpoints--;
        mn_session_tell_places(s);
        n = s->n_checkpoints ? s->checkpoints[s->n_checkpoints - 1].n_tokens : 0;
        if (n > 0) memcpy(t->state, s->checkpoints[s->n_checkpoints - 1].state, t->state_bytes);
    }
    if (n == 0 || mn_sequence_resumable(t, n) < n || (t->n_evicted && n < s->prompt_end)) {
        mn_session_clear(s);
        return;
    }
    mn_sequence_resume(t, s->tokens, n);
    mn_sequence_drop_after(t, mn_sequence_n_kv(t));
    mn_session_tell_ledger(s);
}
