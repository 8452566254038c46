#include "train/dataset.h"

#include "base/checked.h"
#include "train/chat_lines.h"
#include "train/permutation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_NEEDLE_TOKENS = 96, MAX_FITS = 12 };

/* Streams of random numbers of one seed, for draws that must not depend on each other. */
enum { STREAM_SOURCE = 1, STREAM_NEEDLE = 2, STREAM_ORDER = 3, STREAM_VALIDATION = 1 << 8 };

typedef struct tokens {
    int32_t *ids;
    uint8_t *roles;
    size_t n;
} tokens;

static void release(tokens *t) {
    free(t->ids);
    free(t->roles);
    *t = (tokens){0};
}

static mn_random stream_of(const mn_dataset *d, uint64_t stream, int64_t index) {
    mn_random rng;
    mn_random_seed(&rng, d->seed + (uint64_t)index * UINT64_C(0x9e3779b97f4a7c15),
                   stream + (d->validation ? STREAM_VALIDATION : 0));
    return rng;
}

/* The split does not depend on the seed: another training of the same data holds out the same pieces, or files; of two
 * or more at least one. */
static bool is_held_out(const mn_dataset *d, int source, int64_t piece) {
    const mn_corpus *c = &d->sources[source].corpus;
    if (d->holds_out_files) piece = mn_corpus_first_of_file(c, piece);
    int64_t least = d->holds_out_files ? c->least_file : c->least_piece;
    if (d->validation_share > 0 && c->n_pieces > 1 && piece == least) return true;
    return mn_corpus_draw(piece) < d->validation_share * MN_CORPUS_DRAWS;
}

static int draw_source(const mn_dataset *d, int64_t document) {
    mn_random rng = stream_of(d, STREAM_SOURCE, document);
    double total = 0, sum = 0;
    for (int i = 0; i < d->n_sources; i++) total += d->sources[i].weight;
    double at = mn_random_double(&rng) * total;
    for (int i = 0; i < d->n_sources; i++)
        if ((sum += d->sources[i].weight) > at) return i;
    return d->n_sources - 1;
}

/* The next piece of a source in its random order, epoch by epoch; pieces of the other side of the split are skipped. */
static int64_t next_piece(const mn_dataset *d, int source, int64_t *count) {
    int64_t n = d->sources[source].corpus.n_pieces;
    for (;;) {
        int64_t epoch = *count / n, i = *count % n;
        int64_t piece = (int64_t)mn_permute((uint64_t)i, (uint64_t)n, d->seed + (uint64_t)epoch + STREAM_ORDER);
        (*count)++;
        if (is_held_out(d, source, piece) == d->validation) return piece;
    }
}

/* "FILE, line N" of a piece that is a line. */
static void place_of(const mn_corpus *c, const mn_corpus_piece *p, char *out, size_t bytes) {
    const char *text = (const char *)c->files[p->file].map.data;
    long long line = 1;
    while (text < p->text) line += *text++ == '\n';
    snprintf(out, bytes, "%s, line %lld", c->files[p->file].path, line);
}

static mn_status text_tokens(const mn_dataset *d, int source, int64_t *count, tokens *out, mn_error *err) {
    const mn_corpus *corpus = &d->sources[source].corpus;
    mn_corpus_piece p = mn_corpus_at(corpus, next_piece(d, source, count));
    mn_document_draft draft = MN_DOCUMENT_DRAFT_INIT;
    mn_status status = MN_OK;
    if (p.is_jsonl)
        status = mn_json_line_draft(p.text, p.bytes, d->chat_template, d->tokenizer, &draft, err);
    else
        mn_draft_put(&draft, MN_ROLE_TEXT, p.text, p.bytes);
    if (status == MN_OK) {
        status = mn_draft_tokenize(d->tokenizer, &draft, true, p.is_jsonl, &out->ids, &out->roles, &out->n, err);
    } else {
        char place[4200];
        place_of(corpus, &p, place, sizeof place);
        mn_fail_in(err, status, place);
    }
    mn_draft_release(&draft);
    return status;
}

/* How long a needle document is to be: mostly all that is left of the window. */
static int64_t needle_tokens(mn_random *rng, int64_t left) {
    if (left <= MIN_NEEDLE_TOKENS || mn_random_below(rng, 10) < 7) return left;
    return MIN_NEEDLE_TOKENS + (int64_t)(mn_random_u64(rng) % (uint64_t)(left - MIN_NEEDLE_TOKENS + 1));
}

/* Made again, smaller, until it fits: the same facts, less haystack. out->n 0: not even the facts fit. */
static mn_status needle_document(const mn_dataset *d, int source, int64_t number, int64_t left, tokens *out,
                                 mn_error *err) {
    const mn_source *s = &d->sources[source];
    mn_random rng = stream_of(d, STREAM_NEEDLE + ((uint64_t)source << 16), number);
    int64_t wanted = needle_tokens(&rng, left);
    double bytes = 4.0 * (double)wanted;
    mn_document_draft draft = MN_DOCUMENT_DRAFT_INIT;
    mn_status status = MN_OK;
    mn_needle_params params = s->needles;
    params.corpus = &s->corpus;
    params.side = MN_WORDS_TRAIN;
    for (int i = 0; i < MAX_FITS && status == MN_OK; i++) {
        mn_random again = rng;
        release(out);
        mn_needle_make(&again, &params, (size_t)bytes, &draft);
        status = mn_draft_tokenize(d->tokenizer, &draft, true, true, &out->ids, &out->roles, &out->n, err);
        if (status != MN_OK || (int64_t)out->n <= wanted) break;
        bytes *= MN_MIN(0.98, 0.99 * (double)wanted / (double)out->n);
    }
    mn_draft_release(&draft);
    if (status != MN_OK || (int64_t)out->n > left) release(out);
    return status;
}

static mn_status open_document(const mn_dataset *d, mn_dataset_cursor *c, int64_t left, tokens *out, mn_error *err) {
    if (c->source < 0) {
        c->source = draw_source(d, c->n_documents++);
        c->offset = 0;
    }
    if (c->source >= d->n_sources)
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "the training stopped in source %lld of its data, and there are only %d now; go on with those "
                       "that it began with.",
                       (long long)c->source + 1, d->n_sources);
    int source = (int)c->source;
    if (d->sources[source].is_needles) return needle_document(d, source, c->n_of_source[source], left, out, err);
    int64_t count = c->n_of_source[source]; /* moved on when the document is finished */
    return text_tokens(d, source, &count, out, err);
}

static void close_document(const mn_dataset *d, mn_dataset_cursor *c) {
    int source = (int)c->source;
    if (d->sources[source].is_needles)
        c->n_of_source[source]++;
    else
        next_piece(d, source, &c->n_of_source[source]);
    c->source = -1;
    c->offset = 0;
}

/* Puts tokens [offset, offset + n) of a document at `at` of the window. */
static void put_tokens(const mn_dataset *d, const mn_dataset_cursor *c, const tokens *t, int64_t n, int64_t at,
                       mn_train_window *w) {
    const float *weights = d->sources[c->source].role_weights;
    for (int64_t i = 0; i < n; i++) {
        size_t j = (size_t)(c->offset + i);
        bool last = j + 1 == t->n;
        w->tokens[at + i] = t->ids[j];
        w->roles[at + i] = t->roles[j];
        w->targets[at + i] = last ? t->ids[j] : t->ids[j + 1];
        w->weights[at + i] = last ? 0 : weights[t->roles[j + 1]];
        w->document[at + i] = (int32_t)at;
    }
}

/* What is left of a window that no document fits into: learnt from by nobody, seen by nobody. */
static void pad(const mn_dataset *d, int64_t at, mn_train_window *w) {
    const mn_special_tokens *special = mn_tokenizer_specials(d->tokenizer);
    int32_t filler = special->eos >= 0 ? special->eos : 0;
    w->n_tokens = at;
    for (int64_t i = at; i < d->n_ctx; i++) {
        w->tokens[i] = w->targets[i] = filler;
        w->roles[i] = MN_ROLE_TEXT;
        w->weights[i] = 0;
        w->document[i] = (int32_t)at;
    }
}

mn_status mn_dataset_next(const mn_dataset *d, mn_dataset_cursor *c, mn_train_window *w, mn_error *err) {
    int64_t at = 0, n_empty = 0;
    while (at < d->n_ctx) {
        tokens t = {0};
        MN_TRY(open_document(d, c, d->n_ctx - at, &t, err));
        int64_t n = MN_MIN((int64_t)t.n - c->offset, d->n_ctx - at);
        if (n > 0) put_tokens(d, c, &t, n, at, w);
        bool needles_wait = t.n == 0 && d->sources[c->source].is_needles && at > 0;
        c->offset += MN_MAX(n, 0);
        at += MN_MAX(n, 0);
        if (!needles_wait && c->offset >= (int64_t)t.n) close_document(d, c);
        n_empty = n > 0 ? 0 : n_empty + 1;
        release(&t);
        if (needles_wait) break; /* the next window has room */
        if (n_empty > 1000)
            return mn_fail(err, MN_ERR_ARGUMENT, "a window of %lld tokens holds no document of these sources.",
                           (long long)d->n_ctx);
    }
    pad(d, at, w);
    return MN_OK;
}

/* Both sides of the split need a piece, or looking for one would never end. */
static mn_status check_split(const mn_dataset *d, const mn_source *s, mn_error *err) {
    int64_t held_out = 0, n = s->corpus.n_pieces;
    for (int64_t i = 0; i < n; i++) held_out += is_held_out(d, (int)(s - d->sources), i);
    if (held_out == n || (d->validation && held_out == 0))
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "of the %lld pieces of source %s a validation share of %g holds out %lld; "
                       "use another share, or more text.",
                       (long long)n, s->name, d->validation_share, (long long)held_out);
    return MN_OK;
}

mn_status mn_dataset_check(const mn_dataset *d, mn_error *err) {
    if (d->n_sources == 0) return mn_fail(err, MN_ERR_ARGUMENT, "there is no data: name a source.");
    for (int i = 0; i < d->n_sources; i++) {
        const mn_source *s = &d->sources[i];
        const mn_needle_params *p = &s->needles;
        if (!(s->weight > 0) || s->weight > 1e9)
            return mn_fail(err, MN_ERR_ARGUMENT, "source %s has the weight %g; it must be above 0.", s->name,
                           s->weight);
        if (s->corpus.total_bytes == 0) return mn_fail(err, MN_ERR_ARGUMENT, "source %s holds no text.", s->name);
        if (s->is_needles && (p->min_keys < 1 || p->max_keys < p->min_keys || p->min_hops < 1 ||
                              p->max_hops < p->min_hops || p->n_questions < 1))
            return mn_fail(err, MN_ERR_ARGUMENT,
                           "source %s asks for %d to %d keys, %d to %d hops and %d questions; each "
                           "must be 1 or more, the second not below the first.",
                           s->name, p->min_keys, p->max_keys, p->min_hops, p->max_hops, p->n_questions);
        if (!s->is_needles) MN_TRY(check_split(d, s, err));
    }
    return MN_OK;
}

void mn_dataset_close(mn_dataset *d) {
    for (int i = 0; i < d->n_sources; i++) mn_corpus_close(&d->sources[i].corpus);
    d->n_sources = 0;
}
