/* Free answers in which a call, once begun, is one of the tools', with arguments by its schema. */
#include "llm/marked_text.h"
#include "llm/tool_grammar.h"

#include <string.h>

/* Marks of calls within a text, in the formats that mn_tool_calls_take reads. The last one stands before a call that is
 * all of an answer. */
enum { MARK_HERMES, MARK_MISTRAL, MARK_PYTHON, N_MARKS };
static const char *const marks[N_MARKS] = {"<tool_call>", "[TOOL_CALLS]", "<|python_tag|>"};

/* ---- calls ---- */

static void put_loop(mn_grammar *g, int32_t state, const char *bytes) {
    for (; *bytes; bytes++) mn_grammar_symbols(g, state, (uint8_t)*bytes, (uint8_t)*bytes, state);
}

/* Further calls of a list whose first one ends at `from`, up to its bracket. */
static int32_t put_list_end(mn_call_grammar *c, int32_t call, int32_t from) {
    int32_t comma = mn_grammar_text(c->g, from, ",", 1), blank = mn_grammar_text(c->g, comma, " ", 1);
    mn_grammar_call(c->g, comma, call, from);
    mn_grammar_call(c->g, blank, call, from);
    return mn_grammar_text(c->g, from, "]", 1);
}

static void put_hermes(const mn_marked_text *f, int32_t call) {
    mn_call_grammar *c = f->c;
    int32_t from = f->behind[MARK_HERMES], line = mn_grammar_text(c->g, from, "\n", 1), to = mn_grammar_state(c->g);
    int32_t after = mn_grammar_text(c->g, to, "\n", 1);
    mn_grammar_call(c->g, from, call, to);
    mn_grammar_call(c->g, line, call, to);
    mn_grammar_nothing(c->g, to, after);
    mn_grammar_nothing(c->g, mn_call_grammar_mark(c, after, "</tool_call>"), f->states[0]);
}

static mn_status put_mistral(const mn_marked_text *f, mn_tool_format format, const char *tools_json, int32_t call,
                             mn_error *err) {
    mn_call_grammar *c = f->c;
    int32_t from = f->behind[MARK_MISTRAL], to = mn_grammar_state(c->g);
    if (format == MN_TOOLS_MISTRAL_ARGS) {
        MN_TRY(mn_call_grammar_each(c, tools_json, from, mn_call_grammar_args_mark, to, err));
        mn_grammar_nothing(c->g, mn_call_grammar_mark(c, to, marks[MARK_MISTRAL]), from);
        mn_grammar_nothing(c->g, to, c->end);
        return MN_OK;
    }
    int32_t blank = mn_grammar_text(c->g, from, " ", 1), open = mn_grammar_text(c->g, from, "[", 1);
    mn_grammar_symbols(c->g, blank, '[', '[', open);
    mn_grammar_call(c->g, open, call, to);
    mn_grammar_nothing(c->g, put_list_end(c, call, to), c->end);
    return MN_OK;
}

/* A call, or a list of them, that is all of an answer; else the text goes on freely. */
static void put_bare(const mn_marked_text *f, int32_t from, int32_t call) {
    static const char blanks[] = " \t\r\n";
    mn_grammar *g = f->c->g;
    int32_t bracket = mn_grammar_text(g, from, "[", 1), wide = mn_grammar_state(g), first = mn_grammar_state(g);
    int32_t done = mn_grammar_state(g);
    put_loop(g, from, blanks);
    mn_grammar_call(g, from, call, done);
    for (const char *b = blanks; *b; b++) mn_grammar_symbols(g, bracket, (uint8_t)*b, (uint8_t)*b, wide);
    put_loop(g, wide, blanks);
    mn_grammar_call(g, bracket, call, first);
    mn_grammar_call(g, wide, call, first);
    mn_grammar_nothing(g, put_list_end(f->c, call, first), done);
    mn_marked_text_put_state(f, bracket, "[", " \t\r\n{");
    mn_marked_text_put_state(f, wide, "", " \t\r\n{");
    mn_grammar_nothing(g, done, f->c->end);
    mn_grammar_nothing(g, mn_grammar_text(g, done, "\n```", 4), f->c->end); /* of a block that was opened, or not */
}

/* The beginning of an answer: blanks, then a call, a block with a call, or text. */
static void put_beginning(const mn_marked_text *f, int32_t begin, int32_t call) {
    mn_grammar *g = f->c->g;
    int32_t one = mn_grammar_text(g, begin, "`", 1), two = mn_grammar_text(g, one, "`", 1);
    int32_t name = mn_grammar_text(g, two, "`", 1), inside = mn_grammar_text(g, name, "\n", 1);
    put_bare(f, begin, call);
    mn_marked_text_put_state(f, begin, "", " \t\r\n{[`");
    mn_marked_text_put_state(f, one, "", "`");
    mn_marked_text_put_state(f, two, "", "`");
    mn_grammar_nothing(g, name, f->c->end);
    for (uint32_t byte = 1; byte < 256; byte++)
        if (byte != '\n' && byte != '<' && byte != '[') mn_grammar_symbols(g, name, byte, byte, name);
    put_bare(f, inside, call);
    mn_marked_text_put_state(f, inside, "", " \t\r\n{[");
}

static mn_status put_answer(mn_call_grammar *c, mn_tool_format format, const char *tools_json, mn_error *err) {
    mn_marked_text f;
    int32_t call;
    if (format == MN_TOOLS_HARMONY) return mn_harmony_put_free(c, tools_json, err);
    MN_TRY(mn_call_grammar_object(c, format, tools_json, &call, err));
    mn_marked_text_begin(&f, c, marks, N_MARKS);
    mn_marked_text_put(&f);
    put_hermes(&f, call);
    MN_TRY(put_mistral(&f, format, tools_json, call, err));
    mn_grammar_nothing(c->g, f.behind[MARK_PYTHON], c->start);
    put_beginning(&f, c->start, call);
    return MN_OK;
}

mn_status mn_tool_calls_free_grammar(mn_tool_format format, const mn_tokenizer *tokenizer, const char *tools_json,
                                     mn_grammar **out, mn_error *err) {
    mn_call_grammar c = {0};
    *out = NULL;
    MN_TRY(mn_call_grammar_begin(&c, tokenizer, err));
    return mn_call_grammar_end(&c, put_answer(&c, format, tools_json, err), out, err);
}
