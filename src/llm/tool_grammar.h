/* What this engine may draw where functions can be called: the model's own format, with arguments by the tools'
 * schemas. */
#ifndef MN_LLM_TOOL_GRAMMAR_H
#define MN_LLM_TOOL_GRAMMAR_H

#include "llm/tool_calls.h"
#include "grammar/grammar.h"

/* A checked grammar of one call. Marks such as <tool_call> are the vocabulary's token of that spelling where it is one
 * without text, else text. The caller destroys *out. What a tool's parameters ask for and json_schema.h does not have
 * is an error with its place. */
mn_status mn_tool_calls_grammar(mn_tool_format format, const mn_tokenizer *tokenizer, const char *tools_json,
                                mn_grammar **out, mn_error *err);

/* The same where calls are free (tool_free_grammar.c): any text, in which what mn_tool_calls_take would read as a call
 * is one of the tools' with arguments by its schema. A call has begun with the mark of a format, or, at the beginning
 * of an answer (behind blanks, <|python_tag|> or the first line of a block of ```), with { or [{. A call begun is
 * completed when tokens run out. */
mn_status mn_tool_calls_free_grammar(mn_tool_format format, const mn_tokenizer *tokenizer, const char *tools_json,
                                     mn_grammar **out, mn_error *err);

#endif
