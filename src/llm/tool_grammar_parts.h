/* Inside tool_grammar*.c: a grammar of calls that is being made. */
#ifndef MN_LLM_TOOL_GRAMMAR_PARTS_H
#define MN_LLM_TOOL_GRAMMAR_PARTS_H

#include "llm/tool_calls.h"
#include "grammar/grammar.h"
#include "tokenizer/tokenizer.h"

typedef struct mn_call_grammar {
    mn_grammar *g;
    const mn_tokenizer *tokenizer;
    int32_t start, end; /* of the answer */
} mn_call_grammar;

mn_status mn_call_grammar_begin(mn_call_grammar *c, const mn_tokenizer *tokenizer, mn_error *err);
/* Checks what was put between start and end; status: what putting it came to. */
mn_status mn_call_grammar_end(mn_call_grammar *c, mn_status status, mn_grammar **out, mn_error *err);
/* A mark of a format: a token where the vocabulary has it as one that is no text, else its spelling. Returns where it
 * ends. */
int32_t mn_call_grammar_mark(mn_call_grammar *c, int32_t from, const char *mark);
/* The rule of a call as an object with name and arguments. */
mn_status mn_call_grammar_object(mn_call_grammar *c, mn_tool_format format, const char *tools_json, int32_t *rule,
                                 mn_error *err);
/* Of each tool its name, what a format puts between, and an object of arguments by its schema, from one state to
 * another. between: returns where it ends. */
typedef int32_t mn_call_grammar_between(mn_call_grammar *c, int32_t from);
mn_status mn_call_grammar_each(mn_call_grammar *c, const char *tools_json, int32_t from,
                               mn_call_grammar_between *between, int32_t to, mn_error *err);
int32_t mn_call_grammar_args_mark(mn_call_grammar *c, int32_t from); /* between, in Mistral's: [ARGS] */

/* Harmony's calls (tool_harmony_grammar.c): one and nothing else but the analysis before it; free answers. */
mn_status mn_harmony_put_call(mn_call_grammar *c, const char *tools_json, mn_error *err);
mn_status mn_harmony_put_free(mn_call_grammar *c, const char *tools_json, mn_error *err);

#endif
