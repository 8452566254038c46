/* Chunks at headings and paragraphs. */
#include "graph/chunks.h"

#include "graph/sentences.h"

#include <stdlib.h>
#include <string.h>

typedef struct cutter {
    const char *text, *title;
    size_t bytes, max_bytes, min_bytes;
    size_t begin, end; /* of the chunk under way; begin == end: none */
    mn_chunks *out;
} cutter;

static bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f'; }

/* Ends the chunk under way. False when memory ends. */
static bool flush(cutter *c) {
    size_t begin = c->begin, end = c->end;
    c->begin = c->end;
    while (begin < end && is_blank(c->text[begin])) begin++;
    while (end > begin && is_blank(c->text[end - 1])) end--;
    if (begin == end) return true;
    if (c->out->n == c->out->capacity) {
        size_t capacity = c->out->capacity ? 2 * c->out->capacity : 16;
        mn_chunk *items = realloc(c->out->items, capacity * sizeof *items);
        if (!items) return false;
        c->out->items = items;
        c->out->capacity = capacity;
    }
    c->out->items[c->out->n++] = (mn_chunk){begin, end, c->title};
    return true;
}

/* Adds the piece [begin, end), which fits, to the chunk under way or a new one. */
static bool add(cutter *c, size_t begin, size_t end, size_t full_bytes) {
    if (c->begin < c->end && (end - c->begin > c->max_bytes || c->end - c->begin >= full_bytes) && !flush(c))
        return false;
    if (c->begin == c->end) c->begin = begin;
    c->end = end;
    return true;
}

/* A paragraph that is too long, by its sentences. */
static bool add_sentences(cutter *c, size_t begin, size_t end) {
    size_t at = begin, first, last;
    if (!flush(c)) return false;
    while (mn_sentence_next(c->text, end, &at, &first, &last))
        if (!add(c, first, last, c->max_bytes)) return false;
    return flush(c);
}

/* The end of the paragraph that begins at `at`: before an empty line, or at `limit`. */
static size_t paragraph_end(const cutter *c, size_t at, size_t limit) {
    for (; at < limit; at++) {
        if (c->text[at] != '\n') continue;
        size_t next = at + 1;
        while (next < limit && (c->text[next] == ' ' || c->text[next] == '\t' || c->text[next] == '\r')) next++;
        if (next >= limit || c->text[next] == '\n') return at;
    }
    return limit;
}

static bool cut_section(cutter *c, size_t begin, size_t end) {
    c->begin = c->end = begin;
    for (size_t at = begin; at < end;) {
        size_t last = paragraph_end(c, at, end);
        bool fits = last - at <= c->max_bytes;
        if (fits ? !add(c, at, last, c->min_bytes) : !add_sentences(c, at, last)) return false;
        at = last;
        while (at < end && is_blank(c->text[at])) at++;
    }
    return flush(c);
}

mn_status mn_chunks_cut(const mn_document *d, const mn_chunk_params *params, mn_chunks *out, mn_error *err) {
    size_t max_bytes = params && params->max_bytes ? params->max_bytes : 2400;
    size_t min_bytes = params && params->min_bytes ? params->min_bytes : max_bytes / 4;
    *out = (mn_chunks){0};
    if (max_bytes < MN_SENTENCE_BYTES)
        return mn_fail(err, MN_ERR_ARGUMENT, "Chunks of %zu bytes are too small; take %d or more.", max_bytes,
                       MN_SENTENCE_BYTES);
    cutter c = {.text = d->text, .bytes = d->bytes, .max_bytes = max_bytes, .min_bytes = min_bytes, .out = out};
    bool ok = true;
    for (size_t i = 0; ok && i <= d->n_sections; i++) {
        size_t begin = i ? d->sections[i - 1].begin : 0, end = i < d->n_sections ? d->sections[i].begin : d->bytes;
        c.title = i ? d->sections[i - 1].title : d->title;
        ok = cut_section(&c, begin, end);
    }
    if (ok) return MN_OK;
    mn_chunks_release(out);
    return mn_fail(err, MN_ERR_MEMORY, "There is no memory for the chunks of a text of %zu bytes.", d->bytes);
}

void mn_chunks_release(mn_chunks *chunks) {
    free(chunks->items);
    *chunks = (mn_chunks){0};
}
