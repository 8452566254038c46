#include "train/needle_facts.h"

#include <stdio.h>
#include <string.h>

typedef enum value_type { DIGITS, WORD, HEX } value_type;

typedef struct attribute {
    const char *name;
    value_type type;
} attribute;

static const attribute attributes[] = {
    {"secret number", DIGITS},  {"magic number", DIGITS}, {"access code", DIGITS},  {"lucky number", DIGITS},
    {"secret word", WORD},      {"code word", WORD},      {"record id", HEX},       {"badge id", HEX},
    {"special number", DIGITS}, {"pass number", DIGITS},  {"phone number", DIGITS}, {"password", WORD},
};
enum { N_ATTRIBUTES = sizeof attributes / sizeof *attributes };

static int draw_attribute(mn_random *rng, const mn_needle_params *p) {
    int a;
    do a = (int)mn_random_below(rng, N_ATTRIBUTES);
    while (p->digits && attributes[a].type != DIGITS);
    return a;
}

/* The first form is the usual one. %1$s: the attribute, %2$s: the key. A value follows. */
static const char *const statement_forms[] = {
    "The %1$s of %2$s is ", "The %1$s for %2$s is ",          "Remember that the %1$s of %2$s is ",
    "%2$s has the %1$s ",   "One of the %1$ss of %2$s is ",   "The %1$s of %2$s: ",
    "%2$s's %1$s is ",      "Note that the %1$s of %2$s is ", "The %1$s of %2$s was ",
    "The %1$s of %2$s = ",  "For %2$s the %1$s is ",
};
static const char *const question_forms[] = {
    "What is the %1$s of %2$s?",
    "What is the %1$s for %2$s?",
    "Tell me the %1$s of %2$s.",
    "Which %1$s does %2$s have?",
    "What %1$s was given for %2$s?",
    "Can you give me the %1$s of %2$s?",
    "What is the %1$s for %2$s mentioned in the text?",
    "What is %2$s's %1$s?",
    "What's the %1$s of %2$s?",
    "The %1$s of %2$s is?",
    "Give me the %1$s of %2$s.",
    "According to the text, what is the %1$s of %2$s?",
    "What was the %1$s of %2$s?",
    "Do you remember the %1$s of %2$s?",
    "Find the %1$s of %2$s.",
    "I need the %1$s of %2$s. What is it?",
    "Please state the %1$s of %2$s.",
};

static const char *pick(mn_random *rng, const char *const *forms, size_t n, bool varied) {
    return varied ? forms[mn_random_below(rng, (uint32_t)n)] : forms[0];
}

static mn_word draw_value(mn_random *rng, const mn_needle_params *p, value_type type) {
    if (type == WORD) return mn_draw_word(rng, p->corpus, p->side);
    if (type == HEX) return mn_draw_hex(rng, 6 + (int)mn_random_below(rng, 3));
    return mn_draw_digits(rng, mn_random_below(rng, 2) ? 5 : 3 + (int)mn_random_below(rng, 5));
}

static value_type type_of(const mn_fact *f) {
    if (f->value[0] >= 'a' && f->value[0] <= 'z' && !strpbrk(f->value, "0123456789")) return WORD;
    return strpbrk(f->value, "abcdef") ? HEX : DIGITS;
}

static void set_value(mn_fact *f, const char *value) {
    snprintf(f->value, sizeof f->value, "%s", value);
    snprintf(f->statements[0].value, sizeof f->statements[0].value, "%s", value);
}

void mn_fact_redraw_value(mn_random *rng, const mn_needle_params *p, mn_fact *f) {
    set_value(f, draw_value(rng, p, type_of(f)).text);
}

/* GCC cannot see through formats that come out of a table. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#ifndef __clang__ /* which has no such warning */
#pragma GCC diagnostic ignored "-Wformat-truncation"
#endif

static void draw_key_value(mn_random *rng, const mn_needle_params *p, const mn_fact_style *style, mn_fact *f) {
    int a = style->attribute >= 0 ? style->attribute : draw_attribute(rng, p);
    mn_word key = mn_draw_name(rng, p->corpus, p->side);
    const char *name = attributes[a].name;
    const char *statement =
        pick(rng, statement_forms, sizeof statement_forms / sizeof *statement_forms, style->varied_statement);
    const char *question =
        pick(rng, question_forms, sizeof question_forms / sizeof *question_forms, style->varied_question);
    snprintf(f->statements[0].before, MN_FACT_BYTES, statement, name, key.text);
    snprintf(f->statements[0].after, MN_FACT_BYTES, ". ");
    snprintf(f->question, MN_FACT_BYTES, question, name, key.text);
    snprintf(f->restated, sizeof f->restated, "The %s of %s is ", name, key.text);
    snprintf(f->closing, sizeof f->closing, ".");
    set_value(f, draw_value(rng, p, attributes[a].type).text);
}

/* The answer restates each value as "The secret numbers of X are V.": of what looks like the needle, a head that looks
 * for it can tell the text's from those already given. */
static void draw_values(mn_random *rng, const mn_needle_params *p, const mn_fact_style *style, mn_fact *f) {
    static const char *const forms[] = {"What are all the %1$ss of %2$s?", "What are the %1$ss of %2$s?",
                                        "What are all the %1$ss for %2$s mentioned in the text?",
                                        "List all the %1$ss of %2$s."};
    draw_key_value(rng, p, style, f);
    const char *key = strstr(f->restated, " of ") + 4;
    mn_word key_text, name;
    snprintf(key_text.text, sizeof key_text.text, "%.*s", (int)(strlen(key) - strlen(" is ")), key);
    snprintf(name.text, sizeof name.text, "%.*s", (int)(key - 4 - (f->restated + 4)), f->restated + 4);
    snprintf(f->question, MN_FACT_BYTES, pick(rng, forms, sizeof forms / sizeof *forms, style->varied_question),
             name.text, key_text.text);
    snprintf(f->restated, sizeof f->restated, "The %ss of %s are ", name.text, key_text.text);
}

/* Variables of capitals: "VAR QX". */
static void draw_variable(mn_random *rng, char out[8]) {
    size_t n = 2 + mn_random_below(rng, 4);
    for (size_t i = 0; i < n; i++) out[i] = (char)('A' + mn_random_below(rng, 26));
    out[n] = 0;
}

/* The answer walks back: "VAR Z = VAR Y = VAR X = 123". */
static void draw_chain(mn_random *rng, const mn_needle_params *p, const mn_fact_style *style, mn_fact *f) {
    char names[MN_MAX_HOPS + 1][8];
    (void)p;
    f->n_statements = style->n_hops + 1;
    for (int i = 0; i < f->n_statements; i++) {
        mn_statement *s = &f->statements[i];
        draw_variable(rng, names[i]);
        *s = (mn_statement){.after = ". "};
        snprintf(s->before, sizeof s->before, i == 0 ? "VAR %s = " : "VAR %s = VAR ", names[i]);
        snprintf(s->value, sizeof s->value, "%s", i == 0 ? mn_draw_digits(rng, 5).text : names[i - 1]);
    }
    size_t used = 0;
    for (int i = style->n_hops; i >= 0; i--)
        used += (size_t)snprintf(f->restated + used, sizeof f->restated - used, "VAR %s = ", names[i]);
    static const char *const questions[] = {"What is the value of VAR %s?", "What is VAR %s?",
                                            "What value does VAR %s have?", "Tell me the value of VAR %s."};
    snprintf(f->question, sizeof f->question,
             pick(rng, questions, sizeof questions / sizeof *questions, style->varied_question), names[style->n_hops]);
    snprintf(f->value, sizeof f->value, "%s", f->statements[0].value);
    snprintf(f->closing, sizeof f->closing, ".");
}

static void draw_json(mn_random *rng, const mn_needle_params *p, const mn_fact_style *style, mn_fact *f) {
    mn_word key = style->attribute % 2 ? mn_draw_hex(rng, 8) : mn_draw_word(rng, p->corpus, p->side);
    snprintf(f->statements[0].before, MN_FACT_BYTES, "\"%s\": \"", key.text);
    snprintf(f->statements[0].after, MN_FACT_BYTES, "\",\n");
    static const char *const questions[] = {"What is the value of key \"%s\"?", "What is the value of \"%s\"?",
                                            "Which value does the key \"%s\" have?"};
    snprintf(f->question, MN_FACT_BYTES,
             pick(rng, questions, sizeof questions / sizeof *questions, style->varied_question), key.text);
    snprintf(f->restated, sizeof f->restated, "\"%s\": \"", key.text);
    snprintf(f->closing, sizeof f->closing, "\"");
    set_value(f, draw_value(rng, p, (value_type)mn_random_below(rng, 3)).text);
}

#pragma GCC diagnostic pop

static void draw_passkey(mn_random *rng, const mn_fact_style *style, mn_fact *f) {
    static const char *const questions[] = {
        "What is the pass key?",
        "What is the pass key in the text?",
        "Tell me the pass key.",
        "What's the pass key?",
        "What is the pass key mentioned in the text?",
        "Which pass key were you told?",
        "Find the pass key.",
        "What was the pass key?",
        "The pass key is?",
    };
    mn_word value = mn_draw_digits(rng, mn_random_below(rng, 4) ? 5 : 3 + (int)mn_random_below(rng, 5));
    snprintf(f->statements[0].before, MN_FACT_BYTES, "The pass key is ");
    snprintf(f->statements[0].after, MN_FACT_BYTES, ". Remember it. %s is the pass key. ", value.text);
    snprintf(f->question, MN_FACT_BYTES, "%s",
             pick(rng, questions, sizeof questions / sizeof *questions, style->varied_question));
    snprintf(f->restated, sizeof f->restated, "The pass key is ");
    snprintf(f->closing, sizeof f->closing, ".");
    set_value(f, value.text);
}

mn_fact_style mn_fact_style_draw(mn_random *rng, const mn_needle_params *p) {
    int hops = p->min_hops + (int)mn_random_below(rng, (uint32_t)(p->max_hops - p->min_hops + 1));
    mn_fact_style style = {.n_hops = hops < MN_MAX_HOPS ? hops : MN_MAX_HOPS};
    style.attribute = mn_random_below(rng, 2) ? draw_attribute(rng, p) : -1;
    style.varied_statement = mn_random_below(rng, 10) == 0 && !p->usual_wording;
    style.varied_question = mn_random_below(rng, 5) < 2;
    return style;
}

void mn_fact_draw(mn_random *rng, const mn_needle_params *p, const mn_fact_style *style, mn_fact *f) {
    *f = (mn_fact){.n_statements = 1};
    switch (p->kind) {
    case MN_NEEDLE_CHAIN: draw_chain(rng, p, style, f); return;
    case MN_NEEDLE_JSON: draw_json(rng, p, style, f); return;
    case MN_NEEDLE_PASSKEY: draw_passkey(rng, style, f); return;
    case MN_NEEDLE_VALUES: draw_values(rng, p, style, f); return;
    default: draw_key_value(rng, p, style, f);
    }
}
