/* Free answers in which a call, once begun, is one of the tools', with arguments by its schema. */
#include "llm/tool_grammar.h"
#include "llm/tool_grammar_parts.h"

#include <string.h>

/* Marks of calls within a text, in the formats that mn_tool_calls_take reads. The last one stands before a call that is
 * all of an answer. */
enum { MARK_HERMES, MARK_MISTRAL, MARK_PYTHON, N_MARKS };
static const char *const marks[N_MARKS] = {"<tool_call>", "[TOOL_CALLS]", "<|python_tag|>"};

enum { MAX_PREFIXES = 48, MAX_MARK = 16 };

/* Text without marks: a state for each beginning of a mark that its last bytes are (Knuth, Morris and Pratt 1977; Aho
 * and Corasick 1975 for several). */
typedef struct free_text {
    mn_call_grammar *c;
    char prefixes[MAX_PREFIXES][MAX_MARK];
    int32_t states[MAX_PREFIXES];
    int n_prefixes;
    int32_t behind[N_MARKS]; /* states behind whole marks */
} free_text;

static int prefix_of(const free_text *f, const char *text) {
    for (int i = 0; i < f->n_prefixes; i++)
        if (!strcmp(f->prefixes[i], text)) return i;
    return -1;
}

static void add_prefixes(free_text *f) {
    f->prefixes[f->n_prefixes++][0] = 0;
    for (int m = 0; m < N_MARKS; m++)
        for (size_t n = 1; n < strlen(marks[m]); n++) {
            char prefix[MAX_MARK] = {0};
            memcpy(prefix, marks[m], n);
            if (prefix_of(f, prefix) < 0) memcpy(f->prefixes[f->n_prefixes++], prefix, sizeof prefix);
        }
    for (int i = 0; i < f->n_prefixes; i++) f->states[i] = mn_grammar_state(f->c->g);
}

/* Where a byte leads behind this beginning of a mark. */
static int32_t behind_byte(const free_text *f, const char *prefix, uint8_t byte) {
    char text[MAX_MARK + 1];
    size_t n = strlen(prefix);
    memcpy(text, prefix, n);
    text[n] = (char)byte;
    text[n + 1] = 0;
    for (int m = 0; byte && m < N_MARKS; m++)
        if (!strcmp(text, marks[m])) return f->behind[m];
    const char *rest = text;
    while (byte && *rest && prefix_of(f, rest) < 0) rest++;
    return f->states[byte ? prefix_of(f, rest) : 0];
}

/* From a state behind this beginning of a mark, all bytes but those of a set. */
static void put_bytes(const free_text *f, int32_t from, const char *prefix, const char *but) {
    int32_t last = -1;
    uint32_t first = 0;
    for (uint32_t byte = 0; byte <= 256; byte++) {
        bool left_out = byte == 256 || (byte && strchr(but, (int)byte));
        int32_t to = left_out ? -1 : behind_byte(f, prefix, (uint8_t)byte);
        if (to == last && byte < 256) continue;
        if (last >= 0) mn_grammar_symbols(f->c->g, from, first, byte - 1, last);
        last = to;
        first = byte;
    }
}

/* Tokens without text, which may come anywhere in a text; those that are marks lead behind them. */
static void put_tokens(const free_text *f, int32_t from, int32_t to) {
    const mn_tokenizer *t = f->c->tokenizer;
    int32_t n = mn_tokenizer_n_vocab(t), first = -1;
    for (int32_t id = 0; id <= n; id++) {
        size_t bytes = 1;
        int mark = 0;
        if (id < n) mn_token_piece(t, id, false, &bytes);
        bool is_control = id < n && bytes == 0 && !mn_tokenizer_is_end(t, id);
        while (is_control && mark < N_MARKS && mn_tokenizer_find_special(t, marks[mark], strlen(marks[mark])) != id)
            mark++;
        if (is_control && mark < N_MARKS)
            mn_grammar_symbols(f->c->g, from, MN_SYMBOL_TOKEN + (uint32_t)id, MN_SYMBOL_TOKEN + (uint32_t)id,
                               f->behind[mark]);
        bool plain = is_control && mark == N_MARKS;
        if (plain && first < 0) first = id;
        if (!plain && first >= 0) {
            mn_grammar_symbols(f->c->g, from, MN_SYMBOL_TOKEN + (uint32_t)first, MN_SYMBOL_TOKEN + (uint32_t)id - 1,
                               to);
            first = -1;
        }
    }
}

/* A state of free text: it may end here. */
static void put_text_state(const free_text *f, int32_t state, const char *prefix, const char *but) {
    put_bytes(f, state, prefix, but);
    put_tokens(f, state, f->states[0]);
    mn_grammar_nothing(f->c->g, state, f->c->end);
}

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

static void put_hermes(const free_text *f, int32_t call) {
    mn_call_grammar *c = f->c;
    int32_t from = f->behind[MARK_HERMES], line = mn_grammar_text(c->g, from, "\n", 1), to = mn_grammar_state(c->g);
    int32_t after = mn_grammar_text(c->g, to, "\n", 1);
    mn_grammar_call(c->g, from, call, to);
    mn_grammar_call(c->g, line, call, to);
    mn_grammar_nothing(c->g, to, after);
    mn_grammar_nothing(c->g, mn_call_grammar_mark(c, after, "</tool_call>"), f->states[0]);
}

static mn_status put_mistral(const free_text *f, mn_tool_format format, const char *tools_json, int32_t call,
                             mn_error *err) {
    mn_call_grammar *c = f->c;
    int32_t from = f->behind[MARK_MISTRAL], to = mn_grammar_state(c->g);
    if (format == MN_TOOLS_MISTRAL_ARGS) {
        MN_TRY(mn_call_grammar_args(c, tools_json, from, to, err));
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
static void put_bare(const free_text *f, int32_t from, int32_t call) {
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
    put_text_state(f, bracket, "[", " \t\r\n{");
    put_text_state(f, wide, "", " \t\r\n{");
    mn_grammar_nothing(g, done, f->c->end);
    mn_grammar_nothing(g, mn_grammar_text(g, done, "\n```", 4), f->c->end); /* of a block that was opened, or not */
}

/* The beginning of an answer: blanks, then a call, a block with a call, or text. */
static void put_beginning(const free_text *f, int32_t begin, int32_t call) {
    mn_grammar *g = f->c->g;
    int32_t one = mn_grammar_text(g, begin, "`", 1), two = mn_grammar_text(g, one, "`", 1);
    int32_t name = mn_grammar_text(g, two, "`", 1), inside = mn_grammar_text(g, name, "\n", 1);
    put_bare(f, begin, call);
    put_text_state(f, begin, "", " \t\r\n{[`");
    put_text_state(f, one, "", "`");
    put_text_state(f, two, "", "`");
    mn_grammar_nothing(g, name, f->c->end);
    for (uint32_t byte = 1; byte < 256; byte++)
        if (byte != '\n' && byte != '<' && byte != '[') mn_grammar_symbols(g, name, byte, byte, name);
    put_bare(f, inside, call);
    put_text_state(f, inside, "", " \t\r\n{[");
}

static mn_status put_answer(mn_call_grammar *c, mn_tool_format format, const char *tools_json, mn_error *err) {
    free_text f = {.c = c};
    int32_t call;
    MN_TRY(mn_call_grammar_object(c, format, tools_json, &call, err));
    add_prefixes(&f);
    for (int m = 0; m < N_MARKS; m++) f.behind[m] = mn_grammar_state(c->g);
    for (int i = 0; i < f.n_prefixes; i++) put_text_state(&f, f.states[i], f.prefixes[i], "");
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
