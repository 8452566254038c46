#include "llm/marked_text.h"

#include <string.h>

static int prefix_of(const mn_marked_text *f, const char *text) {
    for (int i = 0; i < f->n_prefixes; i++)
        if (!strcmp(f->prefixes[i], text)) return i;
    return -1;
}

void mn_marked_text_begin(mn_marked_text *f, mn_call_grammar *c, const char *const *marks, int n_marks) {
    *f = (mn_marked_text){.c = c, .marks = marks, .n_marks = n_marks, .n_prefixes = 1};
    for (int m = 0; m < n_marks; m++)
        for (size_t n = 1; n < strlen(marks[m]); n++) {
            char prefix[MN_MARK_BYTES] = {0};
            memcpy(prefix, marks[m], n);
            if (prefix_of(f, prefix) < 0) memcpy(f->prefixes[f->n_prefixes++], prefix, sizeof prefix);
        }
    for (int i = 0; i < f->n_prefixes; i++) f->states[i] = mn_grammar_state(c->g);
    for (int m = 0; m < n_marks; m++) f->behind[m] = mn_grammar_state(c->g);
}

/* Where a byte leads behind this beginning of a mark. */
static int32_t behind_byte(const mn_marked_text *f, const char *prefix, uint8_t byte) {
    char text[MN_MARK_BYTES + 1];
    size_t n = strlen(prefix);
    memcpy(text, prefix, n);
    text[n] = (char)byte;
    text[n + 1] = 0;
    for (int m = 0; byte && m < f->n_marks; m++)
        if (!strcmp(text, f->marks[m])) return f->behind[m];
    const char *rest = text;
    while (byte && *rest && prefix_of(f, rest) < 0) rest++;
    return f->states[byte ? prefix_of(f, rest) : 0];
}

static void put_bytes(const mn_marked_text *f, int32_t from, const char *prefix, const char *but) {
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
static void put_tokens(const mn_marked_text *f, int32_t from, int32_t to) {
    const mn_tokenizer *t = f->c->tokenizer;
    int32_t n = mn_tokenizer_n_vocab(t), first = -1;
    for (int32_t id = 0; id <= n; id++) {
        size_t bytes = 1;
        int mark = 0;
        if (id < n) mn_token_piece(t, id, false, &bytes);
        bool is_control = id < n && bytes == 0 && !mn_tokenizer_is_end(t, id);
        while (is_control && mark < f->n_marks &&
               mn_tokenizer_find_special(t, f->marks[mark], strlen(f->marks[mark])) != id)
            mark++;
        if (is_control && mark < f->n_marks)
            mn_grammar_symbols(f->c->g, from, MN_SYMBOL_TOKEN + (uint32_t)id, MN_SYMBOL_TOKEN + (uint32_t)id,
                               f->behind[mark]);
        bool plain = is_control && mark == f->n_marks;
        if (plain && first < 0) first = id;
        if (!plain && first >= 0) {
            mn_grammar_symbols(f->c->g, from, MN_SYMBOL_TOKEN + (uint32_t)first, MN_SYMBOL_TOKEN + (uint32_t)id - 1,
                               to);
            first = -1;
        }
    }
}

void mn_marked_text_put_state(const mn_marked_text *f, int32_t state, const char *prefix, const char *but) {
    put_bytes(f, state, prefix, but);
    put_tokens(f, state, f->states[0]);
    mn_grammar_nothing(f->c->g, state, f->c->end);
}

void mn_marked_text_put(const mn_marked_text *f) {
    for (int i = 0; i < f->n_prefixes; i++) mn_marked_text_put_state(f, f->states[i], f->prefixes[i], "");
}
