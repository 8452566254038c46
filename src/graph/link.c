/* Keys in facts by a dictionary of word sequences, and links between passages.
 *
 * L (definition): a sentence of a mentions what b defines; w = 1/sqrt(m_b) / h, m_b passages mention b, h define that
 * key; back along it 0.7 w. S (shared rare key): a key of d passages, 2 <= d <= 10; w = 1/sqrt(d - 1). Of several links
 * between two passages the strongest of each kind counts.
 */
#include "graph/build.h"

#include "base/checked.h"
#include "graph/keys.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SHARED = 10, MAX_HEADS = 10 };

/* ---- a tree of word sequences ---- */

typedef struct edge {
    uint64_t from_word; /* node << 32 | word + 1; 0 = free */
    uint32_t to;
} edge;

typedef struct dictionary {
    edge *edges;
    uint32_t *key_at; /* by node, MN_INTERN_NONE = none ends here */
    size_t size, n_nodes;
} dictionary;

static size_t edge_slot(const dictionary *d, uint64_t from_word) {
    size_t at = (size_t)(from_word * 0x9e3779b97f4a7c15U >> 20) & (d->size - 1);
    while (d->edges[at].from_word && d->edges[at].from_word != from_word) at = (at + 1) & (d->size - 1);
    return at;
}

static uint32_t follow(const dictionary *d, uint32_t node, uint32_t word) {
    return d->edges[edge_slot(d, (uint64_t)node << 32 | (word + 1))].to;
}

static void add_key(dictionary *d, const mn_lexicon *lexicon, const char *form, uint32_t key) {
    uint32_t node = 0;
    while (*form) {
        size_t n = strcspn(form, " ");
        uint32_t word = mn_intern_find(&lexicon->words, form, n);
        if (word == MN_INTERN_NONE) return;
        uint64_t from_word = (uint64_t)node << 32 | (word + 1);
        edge *e = &d->edges[edge_slot(d, from_word)];
        if (!e->from_word) *e = (edge){from_word, (uint32_t)d->n_nodes++};
        node = e->to;
        form += n + (form[n] == ' ');
    }
    d->key_at[node] = key;
}

/* Keys [0, n) that `wanted` marks (NULL: all). */
static bool make_dictionary(dictionary *d, const mn_build *b, const uint8_t *wanted) {
    size_t n_words = 1;
    for (uint32_t k = 0; k < b->keys.n; k++) {
        n_words++;
        for (const char *p = mn_intern_text(&b->keys, k, NULL); *p; p++) n_words += *p == ' ';
    }
    for (d->size = 1024; d->size < 2 * n_words;) d->size *= 2;
    d->edges = calloc(d->size, sizeof *d->edges);
    d->key_at = malloc((n_words + 1) * sizeof *d->key_at);
    d->n_nodes = 1;
    if (!d->edges || !d->key_at) return false;
    for (size_t i = 0; i <= n_words; i++) d->key_at[i] = MN_INTERN_NONE;
    for (uint32_t k = 0; k < b->keys.n; k++)
        if (!wanted || wanted[k]) add_key(d, &b->lexicon, mn_intern_text(&b->keys, k, NULL), k);
    return true;
}

static void drop_dictionary(dictionary *d) {
    free(d->edges);
    free(d->key_at);
}

/* ---- keys in facts ---- */

/* Every key that stands in the unit as a sequence of words, the first with a capital; they may overlap. */
static bool attach_keys(mn_build *b, const dictionary *d, uint32_t unit) {
    const mn_unit *u = &b->units[unit];
    const uint32_t *words = b->words + u->first_word;
    for (uint32_t i = 0; i < u->n_words; i++) {
        uint32_t node = 0;
        if (!(words[i] & 1)) continue;
        for (uint32_t k = i; k < u->n_words && k < i + MN_KEY_WORDS; k++) {
            if (!(node = follow(d, node, words[k] >> 1))) break;
            if (d->key_at[node] != MN_INTERN_NONE &&
                !mn_numbers_add(&b->fact_keys, (uint64_t)unit << 32 | d->key_at[node]))
                return false;
        }
    }
    return true;
}

static bool attach_heads(mn_build *b) {
    for (size_t i = 0; i < b->head_keys.n; i++) {
        uint32_t passage = (uint32_t)(b->head_keys.items[i] >> 32), key = (uint32_t)b->head_keys.items[i];
        for (uint32_t unit = b->first_units[passage] + 1; unit < b->first_units[passage + 1]; unit++)
            if (!mn_numbers_add(&b->fact_keys, (uint64_t)unit << 32 | key)) return false;
    }
    return true;
}

/* ---- mentions ---- */

/* Words of the longest mention of a head key at word i: all capitalised but for connectors, or three or more. */
static uint32_t longest_mention(const mn_build *b, const dictionary *d, const mn_unit *u, uint32_t i, uint32_t *key) {
    const uint32_t *words = b->words + u->first_word;
    uint32_t node = 0, best = 0;
    bool capitals = words[i] & 1;
    for (uint32_t k = i; k < u->n_words && k < i + MN_KEY_WORDS; k++) {
        if (!(node = follow(d, node, words[k] >> 1))) break;
        bool connects = b->lexicon.traits_of_word[words[k] >> 1] & (MN_WORD_CONNECTS | MN_WORD_NUMBER);
        capitals = capitals && ((words[k] & 1) || (k > i && connects));
        if (d->key_at[node] == MN_INTERN_NONE || !(capitals || k - i >= 2)) continue;
        best = k - i + 1;
        *key = d->key_at[node];
    }
    return best;
}

static bool find_mentions(const mn_build *b, const dictionary *d, mn_numbers *out) {
    for (uint32_t unit = 0; unit < b->n_units; unit++) {
        const mn_unit *u = &b->units[unit];
        if (!u->end) continue;
        for (uint32_t i = 0; i < u->n_words;) {
            uint32_t key = 0, n = longest_mention(b, d, u, i, &key);
            if (n && !mn_numbers_add(out, (uint64_t)key << 32 | u->passage)) return false;
            i += n ? n : 1;
        }
    }
    mn_numbers_sort(out);
    return true;
}

/* ---- links ---- */

typedef struct raw_link {
    uint32_t from, to;
    float defines, shares;
} raw_link;

typedef struct raw_links {
    raw_link *items;
    size_t n, capacity;
} raw_links;

static bool add_link(raw_links *list, raw_link link) {
    if (link.from == link.to) return true;
    if (list->n == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 4096;
        raw_link *items = realloc(list->items, capacity * sizeof *items);
        if (!items) return false;
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->n++] = link;
    return true;
}

/* The end of the run of items with the high half of the i-th. */
static size_t run_end(const mn_numbers *list, size_t i) {
    size_t end = i;
    while (end < list->n && list->items[end] >> 32 == list->items[i] >> 32) end++;
    return end;
}

/* Calls for each key that is both mentioned and defined: mentions [m, m_end) and heads [h, h_end). */
typedef bool pair_fn(void *arg, const uint64_t *mentions, size_t n_mentions, const uint64_t *heads, size_t n_heads);
static bool each_defined(const mn_numbers *mentions, const mn_numbers *heads, pair_fn *fn, void *arg) {
    for (size_t h = 0, h_end, m = 0, m_end; h < heads->n; h = h_end) {
        h_end = run_end(heads, h);
        while (m < mentions->n && mentions->items[m] >> 32 < heads->items[h] >> 32) m++;
        if (m == mentions->n) break;
        if (mentions->items[m] >> 32 != heads->items[h] >> 32) continue;
        m_end = run_end(mentions, m);
        if (h_end - h <= MAX_HEADS && !fn(arg, mentions->items + m, m_end - m, heads->items + h, h_end - h))
            return false;
    }
    return true;
}

typedef struct definition {
    mn_numbers sources;   /* defining passage << 32 | mentioning one */
    uint32_t *n_mentions; /* by defining passage */
    raw_links *links;
} definition;

static bool note_sources(void *arg, const uint64_t *mentions, size_t n_mentions, const uint64_t *heads,
                         size_t n_heads) {
    definition *d = arg;
    for (size_t h = 0; h < n_heads; h++)
        for (size_t m = 0; m < n_mentions; m++)
            if ((uint32_t)heads[h] != (uint32_t)mentions[m] &&
                !mn_numbers_add(&d->sources, heads[h] << 32 | (uint32_t)mentions[m]))
                return false;
    return true;
}

static bool note_links(void *arg, const uint64_t *mentions, size_t n_mentions, const uint64_t *heads, size_t n_heads) {
    definition *d = arg;
    for (size_t h = 0; h < n_heads; h++) {
        uint32_t to = (uint32_t)heads[h];
        float w = 1.0F / sqrtf((float)MN_MAX(d->n_mentions[to], 1U)) / (float)n_heads;
        for (size_t m = 0; m < n_mentions; m++) {
            uint32_t from = (uint32_t)mentions[m];
            if (!add_link(d->links, (raw_link){from, to, w, 0.0F}) ||
                !add_link(d->links, (raw_link){to, from, 0.7F * w, 0.0F}))
                return false;
        }
    }
    return true;
}

static bool link_definitions(const mn_build *b, const mn_numbers *mentions, raw_links *out) {
    mn_numbers heads = {0};
    definition d = {.links = out, .n_mentions = calloc(b->n_passages + 1, sizeof(uint32_t))};
    bool ok =
        d.n_mentions && mn_numbers_turn(&b->head_keys, &heads) && each_defined(mentions, &heads, note_sources, &d);
    if (ok) {
        mn_numbers_sort(&d.sources);
        for (size_t i = 0; i < d.sources.n; i++) d.n_mentions[d.sources.items[i] >> 32]++;
        ok = each_defined(mentions, &heads, note_links, &d);
    }
    free(d.sources.items);
    free(d.n_mentions);
    free(heads.items);
    return ok;
}

static bool is_number(const char *form) { return !form[strspn(form, "0123456789 ")]; }

static bool link_shared(const mn_build *b, raw_links *out) {
    mn_numbers passages = {0}; /* key << 32 | passage */
    bool ok = true;
    for (size_t i = 0; ok && i < b->fact_keys.n; i++) {
        uint64_t pair = b->fact_keys.items[i];
        ok = mn_numbers_add(&passages, pair << 32 | b->units[pair >> 32].passage);
    }
    if (ok) mn_numbers_sort(&passages);
    for (size_t i = 0, end; ok && i < passages.n; i = end) {
        end = run_end(&passages, i);
        if (end - i < 2 || end - i > MAX_SHARED) continue;
        if (is_number(mn_intern_text(&b->keys, (uint32_t)(passages.items[i] >> 32), NULL))) continue;
        float w = 1.0F / sqrtf((float)(end - i - 1));
        for (size_t x = i; ok && x < end; x++)
            for (size_t y = i; ok && y < end; y++)
                ok = add_link(out, (raw_link){(uint32_t)passages.items[x], (uint32_t)passages.items[y], 0.0F, w});
    }
    free(passages.items);
    return ok;
}

static int by_ends(const void *a, const void *b) {
    const raw_link *x = a, *y = b;
    if (x->from != y->from) return x->from < y->from ? -1 : 1;
    return x->to < y->to ? -1 : x->to > y->to;
}

/* Keeps the strongest link of each kind between two passages. */
static bool keep_links(mn_build *b, raw_links *raw) {
    b->links = malloc((raw->n + 1) * sizeof *b->links);
    b->first_links = calloc(b->n_passages + 1, sizeof *b->first_links);
    if (!b->links || !b->first_links) return false;
    if (raw->n) qsort(raw->items, raw->n, sizeof *raw->items, by_ends);
    for (size_t i = 0, end; i < raw->n; i = end) {
        mn_link link = {.to = raw->items[i].to};
        for (end = i; end < raw->n && !by_ends(&raw->items[i], &raw->items[end]); end++) {
            link.defines = fmaxf(link.defines, raw->items[end].defines);
            link.shares = fmaxf(link.shares, raw->items[end].shares);
        }
        b->links[b->n_links++] = link;
        b->first_links[raw->items[i].from + 1]++;
    }
    for (size_t p = 0; p < b->n_passages; p++) b->first_links[p + 1] += b->first_links[p];
    return true;
}

mn_status mn_build_link(mn_build *b, mn_error *err) {
    dictionary all = {0}, heads = {0};
    mn_numbers mentions = {0};
    raw_links raw = {0};
    uint8_t *is_head = calloc(b->keys.n + 1, 1);
    bool ok = is_head && make_dictionary(&all, b, NULL);
    mn_numbers_sort(&b->head_keys);
    for (size_t i = 0; ok && i < b->head_keys.n; i++) is_head[(uint32_t)b->head_keys.items[i]] = 1;
    for (uint32_t unit = 0; ok && unit < b->n_units; unit++)
        if (b->units[unit].end) ok = attach_keys(b, &all, unit);
    ok = ok && attach_heads(b);
    if (ok) mn_numbers_sort(&b->fact_keys);
    ok = ok && make_dictionary(&heads, b, is_head) && find_mentions(b, &heads, &mentions) &&
         link_definitions(b, &mentions, &raw) && link_shared(b, &raw) && keep_links(b, &raw);
    drop_dictionary(&all);
    drop_dictionary(&heads);
    free(is_head);
    free(mentions.items);
    free(raw.items);
    return ok ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory to link %zu passages.", b->n_passages);
}
