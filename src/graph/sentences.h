/* Sentences of a text: the facts of a graph that is built without a model. */
#ifndef MN_GRAPH_SENTENCES_H
#define MN_GRAPH_SENTENCES_H

#include <stdbool.h>
#include <stddef.h>

enum { MN_SENTENCE_BYTES = 1200 };

/* The next sentence of text[0..bytes) from *at on: [*begin, *end) without blanks at its ends, and *at behind it; false
 * at the end of the text. It ends behind . ! ? (with what closes quotes and brackets) where a blank and no small letter
 * follows, but not behind abbreviations and initials; behind the full stops of Chinese and Japanese; at an empty line,
 * before a list item and behind a heading; and at a blank before MN_SENTENCE_BYTES. Linear. */
bool mn_sentence_next(const char *text, size_t bytes, size_t *at, size_t *begin, size_t *end);

#endif
