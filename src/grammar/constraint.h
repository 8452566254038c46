/* Which tokens may come next so that an answer follows a grammar, and is complete when its tokens run out.
 *
 * A token may come when the grammar goes on behind its bytes, and when what is then still missing can be spelt with the
 * tokens that are left (mn_constraint_set_left). The second is measured along the shortest completion in bytes, cut
 * into the longest tokens that fit: from every token that may come this way leads to the end, so that an answer never
 * runs into a place where nothing may come. Tokens that end a text may come where the grammar is complete.
 *
 * Cost: the tokens that may come are found once for a state of the grammar and kept. Where few may come they are a list
 * (found by walking the tree of tokens); where many may, each is looked at when the sampler asks for it, best first,
 * and a bit keeps the answer once the state was met twice; after many questions in vain (an answer that has to end) all
 * are found by one walk. docs/constrained-output.md has the figures.
 *
 * Memory: cache_bytes and the grammar, taken at once (pages that are not used are not touched); when it is full, what
 * was kept is dropped and found again. Nothing is allocated while tokens are drawn. One thread at a time.
 */
#ifndef MN_GRAMMAR_CONSTRAINT_H
#define MN_GRAMMAR_CONSTRAINT_H

#include "grammar/grammar.h"
#include "grammar/token_trie.h"
#include "sample/sampler.h"

typedef struct mn_constraint mn_constraint;

enum { MN_CONSTRAINT_CACHE_BYTES = 32 << 20 };

/* grammar is copied, tokens is borrowed. cache_bytes: 0 = MN_CONSTRAINT_CACHE_BYTES. A grammar that these tokens cannot
 * spell is MN_ERR_UNSUPPORTED. The caller destroys it. */
mn_status mn_constraint_create(const mn_grammar *grammar, const mn_token_trie *tokens, size_t cache_bytes,
                               mn_constraint **out, mn_error *err);
void mn_constraint_destroy(mn_constraint *c);
/* Begins an answer. */
void mn_constraint_reset(mn_constraint *c);

/* How many tokens may still be drawn, the next one included; until told otherwise, any number. What cannot be completed
 * within them is MN_ERR_LIMIT with the number that it takes; after that it only happens if fewer tokens are left than
 * one for each that was drawn. */
mn_status mn_constraint_set_left(mn_constraint *c, int64_t n_tokens, mn_error *err);
/* The fewest tokens, as far as is known, that complete the answer. */
int64_t mn_constraint_shortest(mn_constraint *c);
/* Tokens of which no other may come, in no order; NULL where they are too many, and any may. Borrowed until the next
 * call that is not mn_constraint_allows. */
const int32_t *mn_constraint_list(mn_constraint *c, int32_t *n);
bool mn_constraint_allows(mn_constraint *c, int32_t token);
/* All tokens of which mn_constraint_allows is true, in no order: one walk over the tree of tokens. Borrowed until the
 * next call. */
const int32_t *mn_constraint_all(mn_constraint *c, int32_t *n);
/* Takes a token. One that may not come is MN_ERR_ARGUMENT; a grammar whose states do not fit into the cache
 * MN_ERR_LIMIT.
 */
mn_status mn_constraint_accept(mn_constraint *c, int32_t token, mn_error *err);
/* The answer is complete, and whether it also cannot go on. */
bool mn_constraint_is_complete(const mn_constraint *c);
bool mn_constraint_has_ended(const mn_constraint *c);
/* What went wrong in calls that return no status: MN_ERR_LIMIT as above. */
mn_status mn_constraint_check(const mn_constraint *c, mn_error *err);

/* The constraint as the sampler knows it (mn_sampler_draw_allowed); the caller accepts the token that was drawn.
 * Borrows the constraint. */
mn_token_filter mn_constraint_filter(mn_constraint *c);

#endif
