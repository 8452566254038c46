/* Inside tool_*grammar.c: text in which marks are looked for, such as those that begin a call. A state stands for each
 * beginning of a mark that the last bytes are (Knuth, Morris and Pratt 1977; Aho and Corasick 1975 for several). */
#ifndef MN_LLM_MARKED_TEXT_H
#define MN_LLM_MARKED_TEXT_H

#include "llm/tool_grammar_parts.h"

enum { MN_MARKED_PREFIXES = 48, MN_MARK_BYTES = 16, MN_MARKS = 4 };

typedef struct mn_marked_text {
    mn_call_grammar *c;
    const char *const *marks;
    int n_marks;
    char prefixes[MN_MARKED_PREFIXES][MN_MARK_BYTES];
    int32_t states[MN_MARKED_PREFIXES]; /* the first one: behind nothing of a mark */
    int n_prefixes;
    int32_t behind[MN_MARKS]; /* states behind whole marks: the caller's to go on from, and to change before the text is
                               * put */
} mn_marked_text;

/* marks [n_marks], of less than MN_MARK_BYTES bytes each, is borrowed. */
void mn_marked_text_begin(mn_marked_text *text, mn_call_grammar *c, const char *const *marks, int n_marks);
/* What can come in the text: bytes, tokens without text, and its end. */
void mn_marked_text_put(const mn_marked_text *text);
/* The same from a state of the caller's behind this beginning of a mark, without the bytes of a set. */
void mn_marked_text_put_state(const mn_marked_text *text, int32_t state, const char *prefix, const char *but);

#endif
