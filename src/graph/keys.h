/* Keys by rules: the names a fact is about, found without a model by how they are written.
 *
 * A key's form is its folded words with a blank between them, without a leading the, a, an and a final possessive s.
 * Function words alone, months and single letters are no keys.
 */
#ifndef MN_GRAPH_KEYS_H
#define MN_GRAPH_KEYS_H

#include "base/strbuf.h"
#include "graph/words.h"

enum { MN_KEY_WORDS = 8 }; /* the longest key */

/* Receives words [first, end) of the list as a key. */
typedef void mn_key_fn(void *arg, const mn_word_list *words, size_t first, size_t end);

/* Writes the form of words [first, end) into *out, which is emptied first; false where they are no key. */
bool mn_key_form(const mn_lexicon *lexicon, const mn_word_list *words, size_t first, size_t end, mn_strbuf *out);

/* Runs of capitalised words, with up to two connectors (of, the, van) inside and digits; a run ends at punctuation
 * other than an apostrophe, &, or the full stop of an initial. A function word at the sentence's beginning does not
 * count. Then what stands in quotes, 2 to 60 characters. */
void mn_keys_find(const char *text, size_t bytes, const mn_word_list *words, mn_key_fn *fn, void *arg);

/* The words before " is ", " was ", a bracket, a comma, ... of a passage's first sentence, when they are at most 8 and
 * begin with a capital or digit: what the passage defines. False where there is no such beginning. */
bool mn_key_subject(const char *text, size_t bytes, const mn_word_list *words, size_t *end);

/* Bytes of a title without a bracket at its end: "Lilu (mythology)" -> 4. */
size_t mn_key_title_bytes(const char *title);

#endif
