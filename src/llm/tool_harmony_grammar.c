/* What may be drawn where calls are Harmony's (tool_harmony.c): a message whose header names a function. */
#include "llm/marked_text.h"

#include <string.h>

enum { MARK_START, MARK_CHANNEL, N_TEXT_MARKS };
static const char *const text_marks[N_TEXT_MARKS] = {"<|start|>", "<|channel|>"};
enum { MARK_MESSAGE, MARK_RECIPIENT, N_HEADER_MARKS };
static const char *const header_marks[N_HEADER_MARKS] = {"<|message|>", "to=functions."};

static bool is_end(const mn_call_grammar *c, const char *mark) {
    int32_t id = mn_tokenizer_find_special(c->tokenizer, mark, strlen(mark));
    return id >= 0 && mn_tokenizer_is_end(c->tokenizer, id);
}

/* Behind the arguments: a token that ends answers comes by itself. */
static void put_call_end(mn_call_grammar *c, int32_t from) {
    mn_grammar_nothing(c->g, is_end(c, "<|call|>") ? from : mn_call_grammar_mark(c, from, "<|call|>"), c->end);
}

static int32_t put_text(mn_call_grammar *c, int32_t from, const char *text) {
    return mn_grammar_text(c->g, from, text, strlen(text));
}

/* " <|constrain|>json<|message|>" */
static int32_t put_json_message(mn_call_grammar *c, int32_t from) {
    int32_t at = mn_call_grammar_mark(c, put_text(c, from, " "), "<|constrain|>");
    return mn_call_grammar_mark(c, put_text(c, at, "json"), "<|message|>");
}

/* The same, or as templates write a call: "<|channel|>commentary json<|message|>"; parts may be missing, but not the
 * blank before a type, which ends the name. */
static int32_t put_any_message(mn_call_grammar *c, int32_t from) {
    int32_t at = put_text(c, mn_call_grammar_mark(c, from, "<|channel|>"), "commentary");
    mn_grammar_nothing(c->g, from, at);
    int32_t blank = put_text(c, at, " "), constrained = mn_call_grammar_mark(c, blank, "<|constrain|>");
    mn_grammar_nothing(c->g, blank, constrained);
    int32_t type = put_text(c, constrained, "json");
    mn_grammar_nothing(c->g, constrained, type);
    mn_grammar_nothing(c->g, at, type);
    return mn_call_grammar_mark(c, type, "<|message|>");
}

/* A message in the channel of thoughts, and the beginning of the next. */
static int32_t put_analysis(mn_call_grammar *c, int32_t from) {
    int32_t at = put_text(c, mn_call_grammar_mark(c, from, "<|channel|>"), "analysis");
    int32_t text = mn_call_grammar_mark(c, at, "<|message|>");
    mn_grammar_symbols(c->g, text, 1, 255, text);
    return put_text(c, mn_call_grammar_mark(c, mn_call_grammar_mark(c, text, "<|end|>"), "<|start|>"), "assistant");
}

mn_status mn_harmony_put_call(mn_call_grammar *c, const char *tools_json, mn_error *err) {
    int32_t from = mn_grammar_state(c->g), to = mn_grammar_state(c->g);
    mn_grammar_nothing(c->g, c->start, from);
    if (!is_end(c, "<|end|>")) mn_grammar_nothing(c->g, put_analysis(c, c->start), from);
    int32_t at = put_text(c, mn_call_grammar_mark(c, from, "<|channel|>"), "commentary to=functions.");
    MN_TRY(mn_call_grammar_each(c, tools_json, at, put_json_message, to, err));
    put_call_end(c, to);
    return MN_OK;
}

/* An answer goes on behind "<|start|>assistant", in a header: there a recipient begins a call. */
mn_status mn_harmony_put_free(mn_call_grammar *c, const char *tools_json, mn_error *err) {
    mn_marked_text text, header;
    int32_t to = mn_grammar_state(c->g);
    mn_marked_text_begin(&text, c, text_marks, N_TEXT_MARKS);
    mn_marked_text_begin(&header, c, header_marks, N_HEADER_MARKS);
    for (int m = 0; m < N_TEXT_MARKS; m++) text.behind[m] = header.states[0];
    header.behind[MARK_MESSAGE] = text.states[0];
    mn_marked_text_put(&text);
    mn_marked_text_put(&header);
    mn_grammar_nothing(c->g, c->start, header.states[0]);
    MN_TRY(mn_call_grammar_each(c, tools_json, header.behind[MARK_RECIPIENT], put_any_message, to, err));
    put_call_end(c, to);
    return MN_OK;
}
