#include "grammar/constraint.h"

#include "base/checked.h"
#include "grammar/automaton.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_WALK = 4096,                /* nodes of the tree, to find a list */
    UNKNOWN = 0,                    /* of a configuration's list: not looked for */
    MANY = 1,                       /* there is none */
    LIST = 2,                       /* LIST + n: it has n tokens */
    VISITS_FOR_BITS = 2,            /* a configuration that is met once gets none */
    MAX_CHAIN = MN_TOKEN_TRIE_MIXED /* bytes */
};

typedef struct knowledge {
    int32_t list_n, list_begin;
    int32_t bits; /* index + 1 of its bits; 0 = none */
    int32_t n_visits;
    int32_t shortest; /* tokens to the end + 1; 0 = not counted */
} knowledge;

struct mn_constraint {
    const mn_token_trie *tokens;
    mn_automaton *automaton;
    mn_automaton_table table;
    int32_t at; /* the configuration behind what was accepted */
    int64_t left;
    int64_t farthest; /* no configuration that was met is farther from its end */
    bool ended, full;
    size_t cache_bytes;

    knowledge *known; /* [capacity of the automaton] */
    int32_t n_known;  /* entries that may not be zero */
    int32_t *ids;     /* all lists */
    int32_t n_ids, max_ids;
    int32_t *every, n_every;               /* [n_tokens] all tokens that may come, for one draw */
    int32_t *path;                         /* [longest + 1] of a walk over the whole tree */
    size_t longest;                        /* token, in bytes */
    uint8_t plain[256];                    /* a plain byte of each class that has any, */
    int32_t n_plain;                       /* and how many classes have */
    int32_t n_chain, chain[MAX_CHAIN + 1]; /* configurations behind 0 to n_chain plain bytes, whichever they are */
    int32_t next_fit[MAX_CHAIN + 2];       /* the first from j on that fits, or n_chain + 1 */
    uint64_t *bits; /* for each that has them: which tokens were looked at, then which may come */
    int32_t n_bits, max_bits;
    size_t words; /* of one set */
};

/* ---- making ---- */

static bool take_memory(mn_constraint *c, size_t cache_bytes) {
    size_t quarter = cache_bytes / 4, set_bytes;
    for (int32_t i = 0; i < c->tokens->n_tokens; i++)
        c->longest = MN_MAX(c->longest, c->tokens->offsets[i + 1] - c->tokens->offsets[i]);
    c->words = ((size_t)c->tokens->n_tokens + 63) / 64;
    set_bytes = 2 * c->words * sizeof *c->bits;
    c->max_bits = (int32_t)MN_MIN(quarter / MN_MAX(set_bytes, 1), (size_t)INT32_MAX - 1);
    c->max_ids = (int32_t)MN_MIN(quarter / 2 / sizeof *c->ids, (size_t)INT32_MAX / 2);
    c->known = calloc((size_t)mn_automaton_capacity(c->automaton), sizeof *c->known);
    c->ids = malloc(((size_t)c->max_ids + 1) * sizeof *c->ids);
    c->bits = malloc((size_t)c->max_bits * set_bytes + 1);
    c->every = malloc(((size_t)c->tokens->n_tokens + 1) * sizeof *c->every);
    c->path = malloc((c->longest + 1) * sizeof *c->path);
    return c->known && c->ids && c->bits && c->every && c->path;
}

static void find_plain(mn_constraint *c) {
    bool has[256] = {false};
    for (int byte = 0; byte < 256; byte++) {
        if (!mn_token_trie_is_plain((uint8_t)byte) || has[c->table.class_of[byte]]) continue;
        has[c->table.class_of[byte]] = true;
        c->plain[c->n_plain++] = (uint8_t)byte;
    }
}

mn_status mn_constraint_create(const mn_grammar *grammar, const mn_token_trie *tokens, size_t cache_bytes,
                               mn_constraint **out, mn_error *err) {
    mn_constraint *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a constraint.");
    c->tokens = tokens;
    c->cache_bytes = cache_bytes ? cache_bytes : MN_CONSTRAINT_CACHE_BYTES;
    mn_status status = mn_automaton_create(grammar, tokens->usable, c->cache_bytes / 2, &c->automaton, err);
    if (status == MN_OK && !take_memory(c, c->cache_bytes))
        status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for a constraint over %d tokens.", tokens->n_tokens);
    if (status == MN_OK) {
        c->table = mn_automaton_known(c->automaton);
        find_plain(c);
        mn_constraint_reset(c);
        status = mn_constraint_check(c, err);
    }
    if (status == MN_OK && c->at == MN_AUTOMATON_DEAD)
        status = mn_fail(err, MN_ERR_UNSUPPORTED,
                         "this model's tokens cannot spell what the grammar asks for: some bytes are no token.");
    if (status == MN_OK)
        *out = c;
    else
        mn_constraint_destroy(c);
    return status;
}

void mn_constraint_destroy(mn_constraint *c) {
    if (!c) return;
    mn_automaton_destroy(c->automaton);
    free(c->known);
    free(c->ids);
    free(c->bits);
    free(c->every);
    free(c->path);
    free(c);
}

static void drop_knowledge(mn_constraint *c) {
    memset(c->known, 0, (size_t)c->n_known * sizeof *c->known);
    c->n_known = c->n_ids = c->n_bits = 0;
    c->farthest = 0;
}

/* Makes room, for one more try. */
static void forget(mn_constraint *c) {
    c->at = mn_automaton_forget(c->automaton, c->at);
    drop_knowledge(c);
}

void mn_constraint_reset(mn_constraint *c) {
    c->ended = c->full = false;
    c->left = INT64_MAX;
    int32_t start = mn_automaton_start(c->automaton);
    if (start == MN_AUTOMATON_FULL && c->n_known > 0) {
        forget(c);
        start = mn_automaton_start(c->automaton);
    }
    c->full = start == MN_AUTOMATON_FULL;
    if (!c->full) c->at = start;
}

mn_status mn_constraint_check(const mn_constraint *c, mn_error *err) {
    if (!c->full) return MN_OK;
    return mn_fail(err, MN_ERR_LIMIT,
                   "the states of the grammar do not fit into %zu MiB: it can be read in too many ways at once, or is "
                   "nested too deeply.",
                   c->cache_bytes >> 20);
}

/* ---- what a configuration knows ---- */

static knowledge *known_at(mn_constraint *c, int32_t config) {
    c->n_known = MN_MAX(c->n_known, config + 1);
    return &c->known[config];
}

static uint64_t *bits_of(mn_constraint *c, knowledge *k) {
    if (!k->bits && k->n_visits >= VISITS_FOR_BITS && c->n_bits < c->max_bits) {
        k->bits = ++c->n_bits;
        memset(c->bits + (size_t)(k->bits - 1) * 2 * c->words, 0, c->words * sizeof *c->bits);
    }
    return k->bits ? c->bits + (size_t)(k->bits - 1) * 2 * c->words : NULL;
}

/* ---- tokens ---- */

/* The configuration behind a token. */
static int32_t walk(mn_constraint *c, int32_t token) {
    size_t bytes;
    const char *piece = mn_token_trie_piece(c->tokens, token, &bytes);
    int32_t config = c->at;
    if (bytes == 0)
        return mn_automaton_takes_tokens(c->automaton, config)
                   ? mn_automaton_step(c->automaton, config, MN_SYMBOL_TOKEN + (uint32_t)token)
                   : MN_AUTOMATON_DEAD;
    for (size_t i = 0; i < bytes && config >= 0; i++)
        config = mn_automaton_step_byte(c->automaton, &c->table, config, (uint8_t)piece[i]);
    return config;
}

/* The configuration behind the longest token that spells the next bytes of the shortest completion. */
static int32_t step_to_end(mn_constraint *c, int32_t config) {
    int32_t at = config, node = 0, behind = MN_AUTOMATON_DEAD;
    for (int32_t symbol; (symbol = mn_automaton_shortest(c->automaton, at)) >= 0;) {
        bool is_token = symbol >= MN_SYMBOL_TOKEN;
        if (is_token && at != config) break;
        if (!is_token && (node = mn_token_trie_child(c->tokens, node, (uint8_t)symbol)) < 0) break;
        at = mn_automaton_step(c->automaton, at, (uint32_t)symbol);
        if (at < 0) return MN_AUTOMATON_FULL;
        if (is_token || c->tokens->nodes[node].token >= 0) behind = at;
        if (is_token) break;
    }
    return behind;
}

/* The fewest tokens from here to the end, along the shortest completion; MN_AUTOMATON_FULL where memory ends. */
static int64_t shortest_tokens(mn_constraint *c, int32_t config) {
    int64_t n = 0;
    for (int32_t at = config; mn_automaton_distance(c->automaton, at) > 0; n++) {
        int32_t known = known_at(c, at)->shortest;
        if (known > 0) {
            n += known - 1;
            break;
        }
        at = step_to_end(c, at);
        if (at == MN_AUTOMATON_FULL) return MN_AUTOMATON_FULL;
        if (at == MN_AUTOMATON_DEAD) return INT64_MAX; /* a way longer than can be counted */
    }
    known_at(c, config)->shortest = (int32_t)MN_MIN(n, (int64_t)INT32_MAX - 1) + 1;
    return n;
}

/* Whether what is missing behind a token fits into the tokens that are left then: 1, 0, or MN_AUTOMATON_FULL. */
static int fits(mn_constraint *c, int32_t config) {
    int64_t left = c->left - 1, distance = mn_automaton_distance(c->automaton, config);
    c->farthest = MN_MAX(c->farthest, distance);
    if (distance <= left) return 1;
    if (left < 0) return 0;
    int64_t n = shortest_tokens(c, config);
    return n < 0 ? MN_AUTOMATON_FULL : n <= left;
}

/* 1, 0, or MN_AUTOMATON_FULL. */
static int look(mn_constraint *c, int32_t token) {
    knowledge *k = known_at(c, c->at);
    uint64_t *bits = bits_of(c, k), bit = UINT64_C(1) << (token % 64);
    size_t word = (size_t)token / 64;
    if (bits && bits[word] & bit) {
        if (!(bits[c->words + word] & bit)) return 0;
        if (c->left - 1 >= c->farthest) return 1;
    }
    int32_t config = walk(c, token);
    if (config == MN_AUTOMATON_FULL) return MN_AUTOMATON_FULL;
    if (bits) {
        bits[word] |= bit;
        bits[c->words + word] = config >= 0 ? bits[c->words + word] | bit : bits[c->words + word] & ~bit;
    }
    return config >= 0 ? fits(c, config) : 0;
}

bool mn_constraint_allows(mn_constraint *c, int32_t token) {
    if (c->ended || c->full || token < 0 || token >= c->tokens->n_tokens) return false;
    if (c->tokens->ends[token]) return mn_automaton_accepts(c->automaton, c->at);
    int allowed = look(c, token);
    if (allowed == MN_AUTOMATON_FULL) {
        forget(c);
        allowed = look(c, token);
    }
    c->full = allowed == MN_AUTOMATON_FULL;
    return allowed == 1;
}

/* ---- lists ---- */

static void add_tokens(mn_constraint *c, int32_t token) {
    for (; token >= 0 && c->n_ids <= c->max_ids; token = c->tokens->same[token]) c->ids[c->n_ids++] = token;
}

/* Walks the tree as far as the grammar goes on, with the configuration of each node on the way. False where it takes
 * too many steps, or there is no room. */
static bool list_branches(mn_constraint *c) {
    const mn_token_trie_node *nodes = c->tokens->nodes;
    int32_t configs[MAX_WALK + 1], steps = 0, node = 1;
    configs[0] = c->at;
    while (node < c->tokens->n_nodes) {
        if (++steps > MAX_WALK) return false;
        int32_t config =
            mn_automaton_step_byte(c->automaton, &c->table, configs[nodes[node].depth - 1], nodes[node].byte);
        if (config == MN_AUTOMATON_FULL) return false;
        if (config == MN_AUTOMATON_DEAD) {
            node = nodes[node].next;
            continue;
        }
        add_tokens(c, nodes[node].token);
        configs[nodes[node++].depth] = config;
    }
    return c->n_ids < c->max_ids;
}

const int32_t *mn_constraint_list(mn_constraint *c, int32_t *n) {
    knowledge *k = known_at(c, c->at);
    if (k->list_n == UNKNOWN) {
        int32_t begin = c->n_ids;
        for (int32_t i = 0; mn_automaton_accepts(c->automaton, c->at) && i < c->tokens->n_tokens; i++)
            if (c->tokens->ends[i] && c->n_ids < c->max_ids) c->ids[c->n_ids++] = i;
        bool found = !mn_automaton_takes_tokens(c->automaton, c->at) && list_branches(c);
        if (!found) c->n_ids = begin;
        k->list_begin = begin;
        k->list_n = found ? LIST + c->n_ids - begin : MANY;
    }
    *n = k->list_n - LIST;
    return k->list_n == MANY ? NULL : c->ids + k->list_begin;
}

/* ---- all tokens ---- */

static void take_every(mn_constraint *c, int32_t token) {
    for (; token >= 0; token = c->tokens->same[token])
        if (!c->tokens->ends[token]) c->every[c->n_every++] = token;
}

/* The configuration behind any plain byte; MN_AUTOMATON_DEAD where they differ. */
static int32_t behind_plain(mn_constraint *c, int32_t config) {
    int32_t next = mn_automaton_step_byte(c->automaton, &c->table, config, c->plain[0]);
    for (int32_t i = 1; i < c->n_plain && next >= 0; i++) {
        int32_t other = mn_automaton_step_byte(c->automaton, &c->table, config, c->plain[i]);
        if (other != next) return other == MN_AUTOMATON_FULL ? MN_AUTOMATON_FULL : MN_AUTOMATON_DEAD;
    }
    return next;
}

/* What plain tokens lead to, by their length: within a string it is all the same which they are. False where memory
 * ends. */
static bool follow_plain(mn_constraint *c) {
    int32_t n = 0, most = (int32_t)MN_MIN(c->longest, (size_t)MAX_CHAIN);
    c->chain[0] = c->at;
    for (; n < most; n++) {
        int32_t next = behind_plain(c, c->chain[n]);
        if (next == MN_AUTOMATON_FULL) return false;
        if (next == MN_AUTOMATON_DEAD) break;
        c->chain[n + 1] = next;
    }
    c->n_chain = n;
    c->next_fit[n + 1] = n + 1;
    for (; n > 0; n--) {
        int allowed = fits(c, c->chain[n]);
        if (allowed == MN_AUTOMATON_FULL) return false;
        c->next_fit[n] = allowed ? n : c->next_fit[n + 1];
    }
    return true;
}

/* Whether no token of this node's branch fits, as they are plain and none is as long as that takes. */
static bool none_fits(const mn_constraint *c, const mn_token_trie_node *node, int32_t config) {
    return node->reach != MN_TOKEN_TRIE_MIXED && node->depth <= c->n_chain && config == c->chain[node->depth] &&
           node->depth + node->reach < c->next_fit[node->depth];
}

/* The tokens of the tree whose configuration fits: tokens that lead to the same one are asked about once in a row.
 * False where memory ends. */
static bool every_branch(mn_constraint *c) {
    const mn_token_trie_node *nodes = c->tokens->nodes;
    int32_t *configs = c->path, last = MN_AUTOMATON_DEAD;
    int last_fits = 0;
    if (!follow_plain(c)) return false;
    configs[0] = c->at;
    for (int32_t node = 1; node < c->tokens->n_nodes;) {
        int32_t config =
            mn_automaton_step_byte(c->automaton, &c->table, configs[nodes[node].depth - 1], nodes[node].byte);
        if (config == MN_AUTOMATON_FULL) return false;
        if (config == MN_AUTOMATON_DEAD || none_fits(c, &nodes[node], config)) {
            node = nodes[node].next;
            continue;
        }
        if (nodes[node].token >= 0 && config != last) {
            last_fits = fits(c, last = config);
            if (last_fits == MN_AUTOMATON_FULL) return false;
        }
        if (nodes[node].token >= 0 && last_fits) take_every(c, nodes[node].token);
        configs[nodes[node++].depth] = config;
    }
    return true;
}

/* False where memory ends. */
static bool find_every(mn_constraint *c) {
    bool accepts = mn_automaton_accepts(c->automaton, c->at);
    bool takes_tokens = mn_automaton_takes_tokens(c->automaton, c->at);
    c->n_every = 0;
    for (int32_t i = 0; i < c->tokens->n_tokens && (accepts || takes_tokens); i++) {
        bool has_text = c->tokens->offsets[i + 1] > c->tokens->offsets[i];
        int allowed = c->tokens->ends[i] ? accepts : !has_text && takes_tokens ? look(c, i) : 0;
        if (allowed == MN_AUTOMATON_FULL) return false;
        if (allowed) c->every[c->n_every++] = i;
    }
    return every_branch(c);
}

const int32_t *mn_constraint_all(mn_constraint *c, int32_t *n) {
    bool complete = !c->ended && !c->full && find_every(c);
    if (!complete && !c->ended && !c->full) {
        forget(c);
        c->full = !find_every(c);
    }
    *n = c->full || c->ended ? 0 : c->n_every;
    return c->every;
}

/* ---- an answer ---- */

int64_t mn_constraint_shortest(mn_constraint *c) {
    int64_t n = c->ended ? 0 : shortest_tokens(c, c->at);
    if (n < 0) {
        forget(c);
        n = shortest_tokens(c, c->at);
    }
    c->full = c->full || n < 0;
    return MN_MAX(n, 0);
}

mn_status mn_constraint_set_left(mn_constraint *c, int64_t n_tokens, mn_error *err) {
    c->left = n_tokens;
    if (c->ended || mn_automaton_distance(c->automaton, c->at) <= n_tokens) return MN_OK;
    int64_t needed = mn_constraint_shortest(c);
    MN_TRY(mn_constraint_check(c, err));
    if (needed <= n_tokens) return MN_OK;
    return mn_fail(err, MN_ERR_LIMIT,
                   "the shortest answer that the grammar or schema allows takes %lld tokens, and %lld may be drawn.",
                   (long long)needed, (long long)n_tokens);
}

mn_status mn_constraint_accept(mn_constraint *c, int32_t token, mn_error *err) {
    bool valid = !c->ended && token >= 0 && token < c->tokens->n_tokens;
    int32_t next = MN_AUTOMATON_DEAD;
    if (valid && c->tokens->ends[token] && mn_automaton_accepts(c->automaton, c->at)) {
        c->ended = true;
        return MN_OK;
    }
    if (valid) next = walk(c, token);
    if (next == MN_AUTOMATON_FULL) {
        forget(c);
        next = walk(c, token);
        c->full = next == MN_AUTOMATON_FULL;
        MN_TRY(mn_constraint_check(c, err));
    }
    if (next < 0)
        return mn_fail(err, MN_ERR_ARGUMENT, "token %d is none that the grammar or schema allows here.", token);
    c->at = next;
    c->left -= c->left != INT64_MAX;
    known_at(c, next)->n_visits++;
    return MN_OK;
}

bool mn_constraint_is_complete(const mn_constraint *c) { return c->ended || mn_automaton_accepts(c->automaton, c->at); }

bool mn_constraint_has_ended(const mn_constraint *c) {
    return c->ended || (mn_automaton_accepts(c->automaton, c->at) && !mn_automaton_goes_on(c->automaton, c->at));
}

static const int32_t *list_tokens(void *c, int32_t *n) { return mn_constraint_list(c, n); }

static bool allows_token(void *c, int32_t token) { return mn_constraint_allows(c, token); }

static const int32_t *all_tokens(void *c, int32_t *n) { return mn_constraint_all(c, n); }

static mn_status check_filter(const void *c, mn_error *err) { return mn_constraint_check(c, err); }

mn_token_filter mn_constraint_filter(mn_constraint *c) {
    return (mn_token_filter){
        .arg = c, .list = list_tokens, .allows = allows_token, .all = all_tokens, .check = check_filter};
}
