/* Attention patterns: which keys a query sees, said once per block of queries. A pattern is one small file with one
 * mn_pattern_kind; the registry reads its name and numbers, and the attention kernels execute the lists that it gives.
 *
 * Two levels. The block list says which blocks are worth reading at all: that is what makes a pattern fast. Inside the
 * listed blocks a few fields of mn_attend (window, n_sinks, dilation) make the meaning exact to the token.
 *
 * A static pattern lists blocks by their places (list), a dynamic one by the queries and keys of the call (choose).
 */
#ifndef MN_ATTENTION_PATTERNS_PATTERN_H
#define MN_ATTENTION_PATTERNS_PATTERN_H

#include "attention/types.h"
#include "attention/patterns/block_runs.h"
#include "base/arena.h"
#include "kvcache/key_summary.h"

#include <stdbool.h>

enum {
    MN_PATTERN_ARGS = 4,
    MN_PATTERN_BLOCK = 64,
    MN_PATTERN_MAX_RANDOM = 64,
    MN_PATTERN_WHOLE = 1000000,
    MN_PATTERN_UNSAID = -1
};

typedef enum mn_pattern_trait {
    MN_PATTERN_EXACT = 1,          /* computes what full attention computes */
    MN_PATTERN_TRAINING_FREE = 2,  /* made for models as they are */
    MN_PATTERN_NEEDS_TRAINING = 4, /* a model that was not trained with it loses quality: the CLI warns */
    MN_PATTERN_REPOSITIONS = 8,    /* positions count what is kept: run it with the position map of the same text */
    MN_PATTERN_DECODE_ONLY = 16,   /* one row at a time; a prompt's rows see everything */
    MN_PATTERN_PREFILL_ONLY = 32,  /* many rows at a time; a single row sees everything */
    MN_PATTERN_EVICTS = 64,        /* a session drops keys for good; calls see all that are left */
    MN_PATTERN_COMPRESSIVE = 128,  /* what calls see, and a compressive memory of the rest (Infini-attention) */
    MN_PATTERN_RECURRENT = 256,    /* no call: a recurrent state in the place of a KV cache (linear attention) */
    MN_PATTERN_HALVES = 512        /* the upper half of the heads has other lists: mn_pattern.shifted */
} mn_pattern_trait;

typedef struct mn_pattern_kind mn_pattern_kind;

/* The keys that any later query can see: the first `first` of the text, and the last `last`, the query's own included.
 * last 0: all of them. */
typedef struct mn_kept_keys {
    int64_t first, last;
} mn_kept_keys;

typedef struct mn_pattern {
    const mn_pattern_kind *kind;
    int64_t args[MN_PATTERN_ARGS]; /* in the order of kind->usage; shares in parts of MN_PATTERN_WHOLE */
    int block_tokens;              /* of its lists */
    int64_t seed;                  /* of random blocks; callers add the layer's index, as BigBird's code does */
    bool shifted;                  /* MN_PATTERN_HALVES: what the upper half of the heads sees; as parsed: false */
    bool bidirectional;            /* an encoder's form, for pictures; as parsed: false, no key after the query */
} mn_pattern;

/* Reads "window:4096", "bigbird:64,3,2,3" and so on. Numbers may be left out from the end where the kind has defaults.
 * Errors name the kinds there are, or the usage of this one and what is wrong. */
mn_status mn_pattern_parse(const char *text, mn_pattern *out, mn_error *err);
/* "0-3=causal,4-=window:4096": a range of layers and its pattern, again and again; "7=..." is one layer. Layers that
 * are not named keep what out [n_layers] holds. */
mn_status mn_pattern_parse_layers(const char *text, int n_layers, mn_pattern *out, mn_error *err);
/* The index-th kind of the registry, NULL behind the last. */
const mn_pattern_kind *mn_pattern_kind_at(int index);

/* Whether query i sees key j in a text of n_tokens, by the definition: the oracle of tests and pictures (of one half of
 * the heads, where they differ). */
bool mn_pattern_sees(const mn_pattern *pattern, int64_t n_tokens, int64_t i, int64_t j);
/* Block lists, one for all heads (of a half), for queries [first_query, first_query + n_queries) over keys [0, n_keys),
 * memory from the arena. Every key a query sees lies in a listed block. MN_ERR_MEMORY. Cost: O(listed blocks). */
mn_status mn_pattern_blocks(const mn_pattern *pattern, int64_t first_query, int64_t n_queries, int64_t n_keys,
                            mn_arena *arena, mn_block_list *out, mn_error *err);
/* Whether what it keeps depends on queries and keys, so that only a text has a picture of it. */
bool mn_pattern_is_dynamic(const mn_pattern *pattern);
/* Whether the pattern keeps a summary of a layer's keys (of blocks of pattern->block_tokens), and of which kind. */
bool mn_pattern_summarises(const mn_pattern *pattern, int layer, mn_summary_kind *kind);
/* Puts a causal pattern into an attention call of a layer: its token-exact fields and, unless it keeps everything, its
 * lists (in c->scratch). A static pattern's call then sees exactly what mn_pattern_sees says. Dynamic ones read the
 * queries and a->kv.summary, which they bring up to date; without one they read all keys. */
mn_status mn_pattern_apply(const mn_pattern *pattern, const mn_compute *c, int layer, mn_attend *a, mn_error *err);

/* One pattern, in one file. */
struct mn_pattern_kind {
    const char *name, *usage; /* "window", "window:W" */
    const char *takes;        /* what usage's letters stand for; NULL: whole numbers */
    const char *meaning;      /* one line of help */
    const char *paper;        /* "Child et al. 2019 (arXiv:1904.10509)" */
    const char *file, *test;  /* where it is, and what holds it to its definition; from the root of the repository */
    unsigned traits;
    int min_args, max_args;
    int64_t defaults[MN_PATTERN_ARGS];  /* for numbers left out; MN_PATTERN_UNSAID: who runs it decides */
    bool is_share[MN_PATTERN_ARGS];     /* which are shares, written 0.9 */
    const char *words[MN_PATTERN_ARGS]; /* which are words: "linear delta", numbered from 0; NULL: a number */
    /* What is wrong with the numbers, or NULL. May set block_tokens and seed. */
    const char *(*check)(mn_pattern *p);
    /* Adds the blocks of one query block; what lies after the query is clipped by the caller. NULL: all blocks. */
    void (*list)(const mn_pattern *p, int64_t query_block, int64_t n_blocks, mn_block_runs *runs);
    /* The definition to the token, causality aside. NULL: whole blocks, as listed. */
    bool (*sees)(const mn_pattern *p, int64_t i, int64_t j);
    /* The same as fields of the call. NULL: none. */
    void (*mask)(const mn_pattern *p, mn_attend *a);
    /* Which keys stay in sight of a decoder, by these numbers. NULL: all. */
    mn_kept_keys (*keeps)(const mn_pattern *p);
    /* Instead of list: the lists of a call by what its queries and keys say, in c->scratch; keys: a summary of a->kv to
     * be used as it likes. Leaves out as it is where the call is to see everything. NULL: a static pattern. */
    mn_status (*choose)(const mn_pattern *p, const mn_compute *c, int layer, const mn_attend *a, mn_key_summary *keys,
                        mn_block_list *out, mn_error *err);
    mn_summary_kind summary; /* what choose keeps in `keys`, in layers from summary_from on */
    bool has_summary;
    int summary_from;
};

#endif
