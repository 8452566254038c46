#include "grammar/token_trie.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

static int by_bytes(const void *a, const void *b, void *arg) {
    const mn_token_trie *t = arg;
    size_t x_bytes, y_bytes;
    int32_t i = *(const int32_t *)a, k = *(const int32_t *)b;
    const char *x = mn_token_trie_piece(t, i, &x_bytes), *y = mn_token_trie_piece(t, k, &y_bytes);
    int order = memcmp(x, y, MN_MIN(x_bytes, y_bytes));
    if (order) return order;
    if (x_bytes != y_bytes) return x_bytes < y_bytes ? -1 : 1;
    return i < k ? -1 : i > k;
}

/* Ends the branches of all nodes on the path deeper than depth. */
static void close_path(mn_token_trie *t, const int32_t *path, size_t from, size_t depth) {
    for (size_t d = from; d > depth; d--) t->nodes[path[d]].next = t->n_nodes;
}

/* Tokens come in the order of their bytes, so that each begins with a part of the path of the one before. */
static void build(mn_token_trie *t, const int32_t *order, int32_t *path) {
    size_t depth = 0;
    t->nodes[t->n_nodes++] = (mn_token_trie_node){.token = -1};
    path[0] = 0;
    for (int32_t i = t->n_tokens - 1; i >= 0; i--) t->same[i] = -1;
    for (int32_t i = 0; i < t->n_tokens; i++) {
        size_t bytes, common = 0;
        const char *piece = mn_token_trie_piece(t, order[i], &bytes);
        if (bytes == 0) continue;
        while (common < depth && common < bytes && t->nodes[path[common + 1]].byte == (uint8_t)piece[common]) common++;
        close_path(t, path, depth, common);
        for (depth = common; depth < bytes; depth++) {
            path[depth + 1] = t->n_nodes;
            t->nodes[t->n_nodes++] =
                (mn_token_trie_node){.token = -1, .byte = (uint8_t)piece[depth], .depth = (uint16_t)(depth + 1)};
        }
        mn_token_trie_node *last = &t->nodes[path[depth]];
        t->same[order[i]] = last->token;
        last->token = order[i];
        if (bytes == 1) t->usable[(uint8_t)piece[0]] = true;
    }
    close_path(t, path, depth, 0);
    t->nodes[0].next = t->n_nodes;
    for (int i = 0; i < 256; i++) t->first[i] = -1;
    for (int32_t child = 1; child < t->n_nodes; child = t->nodes[child].next) t->first[t->nodes[child].byte] = child;
}

/* From the last node to the first: below [longest + 2] is the reach, so far, of the branches at each depth. */
static void find_reach(mn_token_trie *t, int32_t *below, size_t longest) {
    for (size_t d = 0; d < longest + 2; d++) below[d] = 0;
    for (int32_t i = t->n_nodes - 1; i > 0; i--) {
        mn_token_trie_node *n = &t->nodes[i];
        int32_t reach = mn_token_trie_is_plain(n->byte) ? below[n->depth + 1] : MN_TOKEN_TRIE_MIXED;
        n->reach = (uint8_t)MN_MIN(reach, (int32_t)MN_TOKEN_TRIE_MIXED);
        below[n->depth + 1] = 0;
        below[n->depth] = MN_MAX(below[n->depth], n->reach + (n->reach < MN_TOKEN_TRIE_MIXED));
    }
}

static bool copy_pieces(mn_token_trie *t, const char *const *pieces, const size_t *bytes, const bool *ends) {
    size_t total = 0, n = (size_t)t->n_tokens;
    for (size_t i = 0; i < n; i++)
        if (!mn_add_size(total, bytes[i], &total)) return false;
    if (total >= INT32_MAX / 2) return false;
    t->text = malloc(total + 1);
    t->offsets = malloc((n + 1) * sizeof *t->offsets);
    t->ends = calloc(n + 1, sizeof *t->ends);
    t->same = malloc((n + 1) * sizeof *t->same);
    t->nodes = malloc((total + 1) * sizeof *t->nodes);
    if (!t->text || !t->offsets || !t->ends || !t->same || !t->nodes) return false;
    t->offsets[0] = 0;
    for (size_t i = 0; i < n; i++) {
        memcpy(t->text + t->offsets[i], pieces[i], bytes[i]);
        t->offsets[i + 1] = t->offsets[i] + bytes[i];
        t->ends[i] = ends && ends[i];
    }
    return true;
}

mn_status mn_token_trie_create(const char *const *pieces, const size_t *bytes, const bool *ends, int32_t n_tokens,
                               mn_token_trie **out, mn_error *err) {
    mn_token_trie *t = calloc(1, sizeof *t);
    int32_t *order = malloc(((size_t)n_tokens + 1) * sizeof *order), *path = NULL;
    size_t longest = 0;
    *out = NULL;
    if (t) t->n_tokens = n_tokens;
    bool complete = t && order && copy_pieces(t, pieces, bytes, ends);
    for (int32_t i = 0; complete && i < n_tokens; i++) longest = MN_MAX(longest, bytes[i]);
    if (longest > UINT16_MAX) {
        mn_token_trie_destroy(t);
        free(order);
        return mn_fail(err, MN_ERR_LIMIT, "a token of %zu bytes is too long for a grammar; at most %d are.", longest,
                       UINT16_MAX);
    }
    if (complete) complete = (path = malloc((longest + 2) * sizeof *path)) != NULL;
    if (complete) {
        for (int32_t i = 0; i < n_tokens; i++) order[i] = i;
        qsort_r(order, (size_t)n_tokens, sizeof *order, by_bytes, t);
        build(t, order, path);
        find_reach(t, path, longest);
        mn_token_trie_node *fit = realloc(t->nodes, (size_t)t->n_nodes * sizeof *fit);
        if (fit) t->nodes = fit;
        *out = t;
    } else {
        mn_token_trie_destroy(t);
    }
    free(order);
    free(path);
    return complete ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory for a tree of %d tokens.", n_tokens);
}

mn_status mn_token_trie_of(const mn_tokenizer *tokenizer, mn_token_trie **out, mn_error *err) {
    int32_t n = mn_tokenizer_n_vocab(tokenizer);
    const char **pieces = malloc((size_t)n * sizeof *pieces);
    size_t *bytes = malloc((size_t)n * sizeof *bytes);
    bool *ends = malloc((size_t)n * sizeof *ends);
    mn_status status = MN_OK;
    *out = NULL;
    if (pieces && bytes && ends) {
        for (int32_t i = 0; i < n; i++) {
            pieces[i] = mn_token_piece(tokenizer, i, false, &bytes[i]);
            ends[i] = mn_tokenizer_is_end(tokenizer, i);
            if (ends[i]) bytes[i] = 0;
        }
        status = mn_token_trie_create(pieces, bytes, ends, n, out, err);
    } else {
        status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for a tree of %d tokens.", n);
    }
    free(pieces);
    free(bytes);
    free(ends);
    return status;
}

void mn_token_trie_destroy(mn_token_trie *t) {
    if (!t) return;
    free(t->nodes);
    free(t->same);
    free(t->text);
    free(t->offsets);
    free(t->ends);
    free(t);
}

int32_t mn_token_trie_child(const mn_token_trie *t, int32_t node, uint8_t byte) {
    if (node == 0) return t->first[byte];
    int32_t end = t->nodes[node].next;
    for (int32_t child = node + 1; child < end; child = t->nodes[child].next) {
        if (t->nodes[child].byte == byte) return child;
        if (t->nodes[child].byte > byte) break;
    }
    return -1;
}
