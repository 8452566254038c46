/* The index of a graph under construction: made from all chunks of a store, then written into its derived tables.
 * gather.c takes words, keys and postings in; link.c finds keys in facts and links passages; build.c writes.
 *
 * A passage is a chunk. Its units are the title (its first unit) and its facts, counted through the whole store.
 */
#ifndef MN_GRAPH_BUILD_H
#define MN_GRAPH_BUILD_H

#include "base/strbuf.h"
#include "graph/postings.h"
#include "graph/words.h"
#include "store/store.h"

/* A list of numbers or pairs that grows. */
typedef struct mn_numbers {
    uint64_t *items;
    size_t n, capacity;
} mn_numbers;

typedef struct mn_unit {
    uint32_t begin, end; /* bytes of the chunk's text; a title: 0, 0 */
    uint32_t n_words;
    uint32_t passage;
    size_t first_word; /* in words */
    size_t text;       /* of a fact that a model made: behind that many bytes of fact_texts, plus 1; 0 = a sentence */
} mn_unit;

/* A link between passages: weights of definition (L) and of shared rare keys (S), 0 = none. */
typedef struct mn_link {
    uint32_t to;
    float defines, shares;
} mn_link;

typedef struct mn_build {
    mn_lexicon lexicon;
    mn_intern keys;        /* forms */
    mn_intern key_texts;   /* as first written, the same ids as keys */
    mn_unit *units;        /* [n_units] */
    uint32_t *first_units; /* [n_passages + 1] */
    uint32_t *words;       /* ids * 2, + 1 with a capital */
    mn_packed *postings;   /* by term */
    size_t n_units, units_capacity, n_passages, passages_capacity, n_words, words_capacity, n_lists, lists_capacity;
    mn_numbers fact_keys; /* unit << 32 | key, sorted once linked */
    mn_numbers head_keys; /* passage << 32 | key: what a passage defines */
    mn_link *links;       /* of all passages, by passage */
    size_t *first_links;  /* [n_passages + 1] */
    size_t n_links;
    mn_strbuf fact_texts; /* each ended by a zero */
    bool failed;          /* memory ended */
    mn_word_list found;   /* scratch */
    mn_strbuf form;
} mn_build;

/* Takes a chunk in as the next passage. title may be NULL. */
mn_status mn_build_add(mn_build *build, const char *title, const char *text, size_t bytes, mn_error *err);
/* Adds a fact that a model made of bytes [begin, end) of the passage added last, with its keys (JSON list of texts).
 * Its words are not counted a second time: BM25 sees the passage as it was. */
mn_status mn_build_add_extracted(mn_build *build, const char *text, const char *keys, size_t begin, size_t end,
                                 mn_error *err);
/* Keys in facts, and links. Once, after all passages. */
mn_status mn_build_link(mn_build *build, mn_error *err);
void mn_build_release(mn_build *build);

/* Appends; false, and build->failed, when memory ends. */
bool mn_numbers_add(mn_numbers *list, uint64_t value);
/* Sorts, and drops what is there twice. */
void mn_numbers_sort(mn_numbers *list);
/* Pairs the other way round (passage, key -> key, passage), sorted, into an empty list; false when memory ends. */
bool mn_numbers_turn(const mn_numbers *list, mn_numbers *out);

/* ---- build.c ---- */

/* Whether the index is older than the texts, or is not there. */
mn_status mn_index_is_stale(mn_store *store, bool *is_stale, mn_error *err);
/* Takes the index away, so that it is made anew before the next search. */
mn_status mn_index_drop(mn_store *store, mn_error *err);
/* Makes the index of all texts of the store anew, in one transaction. progress may be NULL: done and all of the bytes
 * of text; false stops it (MN_ERR_CANCELLED), and the old index stays. */
mn_status mn_index_rebuild(mn_store *store, bool (*progress)(void *arg, int64_t done, int64_t all), void *arg,
                           mn_error *err);

#endif
