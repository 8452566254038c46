/* Steps of many sessions, pass by pass. */
#include "session/step.h"

#include "attention/flash.h"
#include "base/checked.h"
#include "model/nonfinite.h"

#include <string.h>

enum { MAX_LOGITS_FLOATS = 1 << 24 };

/* Rows of one pass whose logits are wanted by callbacks: a buffer of a sensible size. */
static int64_t most_wanted(const mn_engine *e) { return MN_MAX(1, MAX_LOGITS_FLOATS / e->model.config.n_vocab); }

static bool is_done(const mn_step_entry *e) { return e->error.status != MN_OK || e->n_done == e->n_tokens; }

/* Where the tokens begin that vote on what stays after the prompt under way; the prompt's end, without such tokens. */
static int64_t first_vote(const mn_session *s) {
    int64_t window;
    mn_session_budget(s, &window);
    return s->prompt_tokens - window;
}

/* Of `rows` rows that follow, those that the next slice takes: the last tokens of a prompt that evicts come alone and
 * together. */
static int64_t cut_at_vote(const mn_session *s, int64_t rows) {
    int64_t held = s->sequence.n_tokens, vote = first_vote(s);
    if (held >= s->prompt_tokens) return rows;
    return held < vote ? MN_MIN(rows, vote - held) : s->prompt_tokens - held;
}

/* Where marks begin segments, steps end with one while text follows: there a checkpoint can be taken. */
static int64_t cut_at_segment(const mn_session *s, int64_t rows, int64_t n_left) {
    if (!mn_attn_has_mark(&s->attn) || rows == n_left) return rows;
    int64_t end = s->sequence.n_tokens + rows;
    int64_t over = (end - mn_sequence_segment_begin(&s->sequence)) % s->attn.infini.shape.segment;
    return over < rows ? rows - over : rows;
}

int64_t mn_session_next_slice(const mn_session *s, int64_t n_left, int64_t max_tokens) {
    int64_t rows = MN_MIN(n_left, MN_MAX(max_tokens, 1));
    return n_left > 0 ? cut_at_vote(s, rows) : 0;
}

static mn_status check_entry(const mn_engine *engine, const mn_step_entry *entries, int index, mn_error *err) {
    const mn_step_entry *e = &entries[index];
    const mn_session *s = e->session;
    int64_t held = s->sequence.n_tokens;
    if (s->engine != engine)
        return mn_fail(err, MN_ERR_ARGUMENT, "the session of entry %d was opened over another engine.", index);
    for (int i = 0; i < index; i++)
        if (entries[i].session == s)
            return mn_fail(err, MN_ERR_ARGUMENT,
                           "entries %d and %d name the same session; put their tokens into one entry.", i, index);
    if (e->n_tokens < 0 || e->n_tokens > s->n_ctx - held)
        return mn_fail_with(err, MN_ERR_LIMIT,
                            MN_REMEDIES({MN_REMEDY_WINDOW, (double)held + (double)MN_MAX(e->n_tokens, 0)}),
                            "%lld more tokens after %lld do not fit into the window of %lld; use a larger one.",
                            (long long)e->n_tokens, (long long)held, (long long)s->n_ctx);
    int64_t end = held + e->n_tokens;
    if (end > first_vote(s) && end < s->prompt_tokens)
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "the tokens from %lld to the prompt's end at %lld choose together what snapkv keeps; put them "
                       "into one entry.",
                       (long long)first_vote(s), (long long)s->prompt_tokens);
    return mn_session_check_tokens(s, e->tokens, e->n_tokens, err);
}

bool mn_pass_alloc(mn_pass *p, mn_arena *scratch, int n_slices) {
    p->slices = mn_arena_alloc(scratch, (size_t)n_slices, sizeof *p->slices);
    p->entries = mn_arena_alloc(scratch, (size_t)n_slices, sizeof *p->entries);
    p->held = mn_arena_alloc(scratch, (size_t)n_slices, sizeof *p->held);
    return p->slices && p->entries && p->held;
}

bool mn_pass_alloc_rows(mn_pass *p, mn_arena *scratch, int64_t n_rows) {
    p->wanted = mn_arena_alloc(scratch, (size_t)n_rows, sizeof *p->wanted);
    p->tokens = mn_arena_alloc(scratch, (size_t)n_rows, sizeof *p->tokens);
    return p->wanted && p->tokens;
}

bool mn_pass_alloc_logits(mn_pass *p, mn_arena *scratch, int64_t n_wanted, int64_t n_vocab) {
    size_t floats;
    if (!mn_mul_size((size_t)n_wanted, (size_t)n_vocab, &floats)) return false;
    p->logits = mn_arena_alloc(scratch, floats, sizeof *p->logits);
    return p->logits != NULL;
}

/* What a pass can still take. */
typedef struct room {
    int64_t rows, wanted;
    int n_slices; /* taken */
} room;

/* Rows of an entry in the next pass: as many as it would take alone, so that what stands beside it cannot change how
 * its text is cut; 0 when there is no room for them. Few rows always find room, but for their logits: a session's plan
 * counts them beside the steps of all others. */
static int64_t take_rows(const mn_step_entry *e, int64_t most_wanted, room *left) {
    int64_t asked = MN_MIN(e->n_tokens - e->n_done, e->session->n_batch);
    if (e->want) asked = MN_MIN(asked, most_wanted);
    int64_t rows = cut_at_vote(e->session, cut_at_segment(e->session, asked, e->n_tokens - e->n_done));
    bool fits = (rows < MN_FLASH_MIN_ROWS || rows <= left->rows) && (!e->want || rows <= left->wanted);
    if (!fits && left->n_slices > 0) return 0;
    if (rows >= MN_FLASH_MIN_ROWS) left->rows -= rows;
    if (e->want) left->wanted -= rows;
    left->n_slices++;
    return rows;
}

/* The largest batch of the sessions that are not done: what a pass may hold of long slices. */
static int64_t most_rows(const mn_step_entry *entries, int n) {
    int64_t rows = 0;
    for (int i = 0; i < n; i++)
        if (!is_done(&entries[i])) rows = MN_MAX(rows, entries[i].session->n_batch);
    return rows;
}

static void choose_slices(const mn_engine *engine, const mn_step_entry *entries, int n, mn_pass *p) {
    room left = {.rows = most_rows(entries, n), .wanted = most_wanted(engine)};
    for (int i = 0; i < n; i++) {
        int64_t rows = is_done(&entries[i]) ? 0 : take_rows(&entries[i], most_wanted(engine), &left);
        if (rows == 0) continue;
        p->entries[p->n_slices] = i;
        p->held[p->n_slices] = entries[i].session->sequence.n_tokens;
        p->slices[p->n_slices++] = (mn_slice){&entries[i].session->sequence, p->n_rows, rows};
        p->n_rows += rows;
    }
}

static void fill_rows(const mn_step_entry *e, const mn_slice *slice, mn_pass *p) {
    bool ends = e->n_done + slice->n_rows == e->n_tokens;
    for (int64_t r = 0; r < slice->n_rows; r++) {
        bool asked = e->want && e->want[e->n_done + r], last = ends && r + 1 == slice->n_rows && !e->without_logits;
        if (asked || last) p->wanted[p->n_wanted++] = slice->first_row + r;
    }
    memcpy(p->tokens + slice->first_row, e->tokens + e->n_done, (size_t)slice->n_rows * sizeof *p->tokens);
}

/* Chooses the next pass over the entries, in scratch. n_slices 0: all are done. */
static mn_status plan_pass(mn_engine *engine, const mn_step_entry *entries, int n, mn_pass *p, mn_error *err) {
    int n_active = 0;
    *p = (mn_pass){0};
    for (int i = 0; i < n; i++) n_active += !is_done(&entries[i]);
    if (n_active == 0) return MN_OK;
    if (!mn_pass_alloc(p, &engine->scratch, n_active)) return mn_no_scratch(err);
    choose_slices(engine, entries, n, p);
    if (!mn_pass_alloc_rows(p, &engine->scratch, p->n_rows)) return mn_no_scratch(err);
    for (int i = 0; i < p->n_slices; i++) fill_rows(&entries[p->entries[i]], &p->slices[i], p);
    return mn_pass_alloc_logits(p, &engine->scratch, p->n_wanted, engine->model.config.n_vocab) ? MN_OK
                                                                                                : mn_no_scratch(err);
}

/* Logits of a slice, in the order of its tokens: row i of p->logits is that of row p->wanted[i]. */
static void hand_out(const mn_pass *p, const mn_slice *slice, const mn_step_entry *e, int64_t n_vocab) {
    int64_t first_token = e->session->sequence.n_tokens - slice->n_rows;
    for (int64_t i = 0; e->want && e->logits && i < p->n_wanted; i++) {
        int64_t r = p->wanted[i] - slice->first_row;
        if (r < 0 || r >= slice->n_rows || !e->want[e->n_done + r]) continue;
        e->logits(e->arg, first_token + r, p->logits + i * n_vocab);
    }
}

typedef struct keep_job {
    const mn_pass *p;
    const mn_step_entry *entries;
    int64_t n_vocab;
} keep_job;

/* The logits after the last token of each slice stay with its session. */
static void keep_logits(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const keep_job *job = arg;
    const mn_pass *p = job->p;
    for (int64_t k = begin; k < end; k++) {
        mn_session *s = job->entries[p->entries[k]].session;
        int64_t last = p->slices[k].first_row + p->slices[k].n_rows - 1;
        s->has_logits = false;
        for (int64_t i = 0; i < p->n_wanted; i++) {
            if (p->wanted[i] != last) continue;
            memcpy(s->logits, p->logits + i * job->n_vocab, (size_t)job->n_vocab * sizeof *s->logits);
            s->has_logits = true;
        }
    }
}

/* All heads of all layers have moved the KV entries that stay to the front. */
static void finish_eviction(mn_session *s) {
    mn_sequence *t = &s->sequence;
    t->n_evicted = t->n_tokens - t->evict_to;
    s->prompt_end = t->n_tokens;
    mn_kvcache_drop_after(t->cache, t->evict_to);
    t->evict_to = 0;
}

/* The session holds the slice's tokens from now on. */
static void finish_slice(const mn_slice *slice, mn_step_entry *e) {
    mn_session *s = e->session;
    mn_sequence *t = &s->sequence;
    if (t->evict_to) finish_eviction(s);
    memmove(s->tokens + t->n_tokens - slice->n_rows, e->tokens + e->n_done, (size_t)slice->n_rows * sizeof *e->tokens);
    e->n_done += slice->n_rows;
    if (t->n_tokens >= s->prompt_tokens) s->prompt_tokens = 0;
    mn_sequence_drop_unseen(t);
    mn_session_take_checkpoint(s);
    mn_session_tell_ledger(s);
}

/* A failed step may have written KV entries behind the end, which nobody sees, moved others (eviction), or changed the
 * recurrent state. Takes the session to where it can go on from. */
static void undo_slice(mn_session *s) {
    mn_sequence *t = &s->sequence;
    if (t->evict_to)
        mn_session_clear(s);
    else if (t->state_bytes)
        mn_session_retreat(s, t->n_tokens);
    else
        mn_sequence_drop_after(t, mn_sequence_n_kv(t));
}

typedef struct finite_job {
    const mn_batch *batch;
    int64_t n_vocab;
    _Atomic bool finite;
} finite_job;

static void look_for_nonfinite(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    finite_job *job = arg;
    if (!mn_is_finite(job->batch->logits + begin * job->n_vocab, (end - begin) * job->n_vocab)) job->finite = false;
}

/* Logits that are no numbers end the pass: its sessions get back their length, and the error says whose fault it is. */
static mn_status check_logits(mn_engine *engine, const mn_batch *batch, mn_error *err) {
    finite_job job = {batch, engine->model.config.n_vocab, true};
    mn_pool_run(engine->pool, batch->n_wanted, 1, look_for_nonfinite, &job);
    if (job.finite) return MN_OK;
    for (const mn_slice *slice = batch->slices; slice < batch->slices + batch->n_slices; slice++)
        slice->sequence->n_tokens -= slice->n_rows;
    return mn_nonfinite_explain(&engine->backend, &engine->model, engine->pool, batch, err);
}

/* Runs the pass planned. The engine's turn is the caller's. */
static mn_status run_pass(mn_engine *engine, mn_step_entry *entries, const mn_pass *p, mn_error *err) {
    const mn_batch batch = {.tokens = p->tokens,
                            .n_rows = p->n_rows,
                            .slices = p->slices,
                            .n_slices = p->n_slices,
                            .wanted = p->wanted,
                            .n_wanted = p->n_wanted,
                            .logits = p->logits};
    for (int i = 0; i < p->n_slices; i++) {
        mn_session *s = entries[p->entries[i]].session;
        int64_t window, end = s->sequence.n_tokens + p->slices[i].n_rows;
        s->sequence.evict_to = s->prompt_tokens && end == s->prompt_tokens ? mn_session_budget(s, &window) : 0;
    }
    mn_status status = mn_forward(&engine->backend, &engine->model, &batch, err);
    if (status == MN_OK) status = check_logits(engine, &batch, err);
    keep_job job = {p, entries, engine->model.config.n_vocab};
    if (status == MN_OK) mn_pool_run(engine->pool, p->n_slices, 1, keep_logits, &job);
    for (int i = 0; i < p->n_slices; i++) {
        mn_step_entry *e = &entries[p->entries[i]];
        if (status != MN_OK) {
            undo_slice(e->session);
            continue;
        }
        hand_out(p, &p->slices[i], e, engine->model.config.n_vocab);
        finish_slice(&p->slices[i], e);
    }
    return status;
}

static void step(mn_engine *engine, mn_step_entry *entries, int n, bool mends);

/* Computes again the tokens up to `held` that a session had to take back; its list still has them. */
static void mend(mn_engine *engine, mn_session *s, int64_t held) {
    int64_t now = s->sequence.n_tokens;
    mn_step_entry again = {.session = s, .tokens = s->tokens + now, .n_tokens = held - now};
    while (!is_done(&again)) step(engine, &again, 1, false);
}

/* What follows a pass that failed: each session gets back its length, and each entry a pass of its own. The one of a
 * pass that it had alone has failed. */
static void part(mn_engine *engine, mn_step_entry *entries, const mn_pass *p, bool mends, const mn_error *why) {
    for (int i = 0; i < p->n_slices; i++) {
        mn_step_entry *e = &entries[p->entries[i]];
        if (mends) mend(engine, e->session, p->held[i]);
        if (p->n_slices > 1)
            step(engine, e, 1, mends);
        else
            e->error = *why;
    }
}

/* One pass over the entries. mends: sessions of a pass that fails get back their length. */
static void step(mn_engine *engine, mn_step_entry *entries, int n, bool mends) {
    mn_pass p;
    mn_error err;
    mn_arena_mark mark = mn_arena_get_mark(&engine->scratch);
    mn_status status = plan_pass(engine, entries, n, &p, &err);
    if (status != MN_OK) {
        for (int i = 0; i < n; i++)
            if (!is_done(&entries[i])) entries[i].error = err;
    } else if (p.n_slices > 0 && run_pass(engine, entries, &p, &err) != MN_OK) {
        part(engine, entries, &p, mends, &err);
    }
    mn_arena_rewind(&engine->scratch, mark);
}

static mn_status first_error(const mn_step_entry *entries, int n, mn_error *err) {
    for (int i = 0; i < n; i++) {
        if (entries[i].error.status == MN_OK) continue;
        if (err) *err = entries[i].error;
        return entries[i].error.status;
    }
    return MN_OK;
}

static void begin(const mn_engine *engine, mn_step_entry *entries, int n) {
    for (int i = 0; i < n; i++) {
        entries[i].n_done = 0;
        entries[i].error = (mn_error){.status = MN_OK};
        check_entry(engine, entries, i, &entries[i].error);
    }
}

/* Tokens of all entries that can run. */
static int64_t count_tokens(const mn_step_entry *entries, int n, int64_t *done) {
    int64_t total = 0;
    *done = 0;
    for (int i = 0; i < n; i++) {
        *done += entries[i].n_done;
        total += entries[i].error.status == MN_OK ? entries[i].n_tokens : entries[i].n_done;
    }
    return total;
}

static void cancel(mn_step_entry *entries, int n) {
    for (int i = 0; i < n; i++)
        if (!is_done(&entries[i]))
            mn_fail(&entries[i].error, MN_ERR_CANCELLED, "stopped after %lld of %lld tokens.",
                    (long long)entries[i].n_done, (long long)entries[i].n_tokens);
}

mn_status mn_step_run(mn_engine *engine, mn_step_entry *entries, int n, mn_progress_fn *progress, void *arg,
                      mn_error *err) {
    int64_t done, total;
    begin(engine, entries, n);
    while ((total = count_tokens(entries, n, &done)) > done) {
        mn_turn_take(&engine->turn);
        step(engine, entries, n, true);
        mn_turn_give(&engine->turn);
        total = count_tokens(entries, n, &done);
        if (progress && !progress(arg, done, total)) cancel(entries, n);
    }
    return first_error(entries, n, err);
}

mn_status mn_engine_step(mn_engine *engine, mn_step_entry *entries, int n_entries, mn_error *err) {
    return mn_step_run(engine, entries, n_entries, NULL, NULL, err);
}
