/* sample/gbnf, sample/automaton: texts that a grammar takes and does not take, and the sentences for broken grammars.
 */
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

#include "grammar/automaton.h"
#include "grammar/gbnf.h"

static mn_error err;
static const bool *all_bytes(void) {
    static bool usable[256];
    memset(usable, true, sizeof usable);
    return usable;
}

static mn_automaton *automaton_in(const char *text, size_t memory_bytes) {
    mn_grammar *g;
    mn_automaton *a;
    assert_ok(mn_gbnf_parse(text, strlen(text), &g, &err), err);
    assert_ok(mn_automaton_create(g, all_bytes(), memory_bytes, &a, &err), err);
    mn_grammar_destroy(g);
    return a;
}

static mn_automaton *automaton_of(const char *text) { return automaton_in(text, 4 << 20); }

/* 'y': complete, 'p': the beginning of something complete, 'n': neither. */
static char verdict(mn_automaton *a, const char *text, size_t bytes) {
    int32_t at = mn_automaton_start(a);
    for (size_t i = 0; i < bytes && at >= 0; i++) at = mn_automaton_step(a, at, (uint8_t)text[i]);
    assert_int_not_equal(at, MN_AUTOMATON_FULL);
    return at < 0 ? 'n' : mn_automaton_accepts(a, at) ? 'y' : 'p';
}

static void grammars_take_what_they_say(void **state) {
    (void)state;
    static const struct {
        const char *grammar, *takes, *begins, *refuses; /* texts, each ended by | */
    } cases[] = {
        {"root ::= \"yes\" | \"no\"", "yes|no|", "|y|ye|n|", "x|yess|noo|Y|"},
        {"root ::= [a-c]+ [^a-z]?", "a|abc|a1|aZ|a\xc3\xa4|a\xf0\x9f\x98\x80|", "|a\xc3|a\xf0\x9f|",
         "d|1|a11|a\xff|az|"},
        {"root ::= \"a\"{2,3} \"b\"{2} \"c\"{1,}", "aabbc|aaabbccc|", "aabb|aab|", "abbc|aaaabbc|aabbbc|"},
        {"root ::= \"a\"{0} \"b\"{0,1}", "|b|", "", "a|bb|"},
        {"# comment\nroot ::= item ( # here\n  \", \" item)*\nitem ::= (\"x\" |\n \"y\")  # end", "x|x, y, x|", "x,|",
         "xy|x,y|"},
        {"root ::= \"a\"\n  | \"b\"\n\n# c\n  | \"c\"", "a|b|c|", "", "d|"},
        {"root ::= \"(\" root \")\" | \"\"", "|()|((()))|", "(|((|", ")|())|(()))|"},
        {"root ::= \"[\" (root (\",\" root)*)? \"]\"", "[]|[[],[[]]]|", "[[],|", "[,]|[]]|"},
        {"root ::= [\\x41-\\x43\\u00e4\\U0001F600] \"\\u00df\\n\\t\\\\\\\"\\x7a\"",
         "A\xc3\x9f\n\t\\\"z|\xf0\x9f\x98\x80\xc3\x9f\n\t\\\"z|", "B|", "D|a|"},
        {"root ::= [^\"\\\\]* [\\]\\-a]", "]|-|a|xyz]|", "x|", "\"|x\\|"},
        {"root ::= ((\"a\"?)*)* \"b\"", "b|aab|", "a|aa|", "c|"},
        {"root ::= a* \"z\"\na ::= (b | \"\") b\nb ::= \"1\"?", "z|111z|", "1|", "2|"},
        {"root ::= . \".\"", "x.|\xe2\x82\xac.|\n.|", "\xe2\x82|", "\x80|x,|"},
        {"root ::= [\\ud7f0-\\ue010]", "\xed\x9f\xbf|\xee\x80\x80|", "\xed|", "\xed\xa0|"},
        {"root ::= s\ns ::= \"x\" s | \"x\"", "x|xxxx|", "", "y|"},
        {"root ::= ab-1 ab-1 {2}\nab-1::=\"q\"", "qqq|", "q|qq|", "qqqq|"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mn_automaton *a = automaton_of(cases[i].grammar);
        const char *const lists[] = {cases[i].takes, cases[i].begins, cases[i].refuses};
        for (int k = 0; k < 3; k++)
            for (const char *at = lists[k], *end; (end = strchr(at, '|')); at = end + 1)
                if (verdict(a, at, (size_t)(end - at)) != "ypn"[k])
                    fail_msg("%s: \"%.*s\" is %c, not %c", cases[i].grammar, (int)(end - at), at,
                             verdict(a, at, (size_t)(end - at)), "ypn"[k]);
        mn_automaton_destroy(a);
    }
}

static void broken_grammars_are_sentences_with_their_line(void **state) {
    (void)state;
    static const struct {
        const char *grammar, *says;
    } cases[] = {
        {"", "no rule \"root\""},
        {"a ::= \"b\"", "no rule \"root\""},
        {"root ::= \"a\"\nroot ::= \"b\"", "line 2: this rule was defined before"},
        {"root ::= a\n\na ::= b c", "line 3: the rule \"b\" is used but nowhere defined"},
        {"root ::= \"a", "line 1: a string or a class of characters is not closed"},
        {"root ::= [a\n]", "line 1: a string or a class of characters is not closed"},
        {"root ::= (\"a\"\n", "line 2: a group is not closed"},
        {"root ::= \"a\")", "line 1: this is no element"},
        {"root = \"a\"", "line 1: ::= is missing"},
        {"root ::= \"\\q\"", "line 1: a backslash"},
        {"root ::= \"\\u12\"", "line 1: \\x, \\u and \\U need"},
        {"root ::= [z-a]", "line 1: a range of characters runs backwards"},
        {"root ::= \"a\"{x}", "line 1: a repetition is"},
        {"root ::= \"a\"{3,2}", "line 1: a repetition {m,n} has m above n"},
        {"root ::= \"a\"{99999999999}", "line 1: a repetition of more than"},
        {"root ::= \"\xff\"", "line 1: this is not UTF-8"},
        {"root ::= \"\\ud800\"", "line 1: a surrogate"},
        {"root ::= \"x\"\nb ::= b \"a\" | \"c\"", "line 2: the rule \"b\" calls itself"},
        {"root ::= \"x\" a\na ::= \"q\"* b \"y\" | \"1\"\nb ::= \"\" a \"z\"", "calls itself before it takes"},
        {"root ::= \"x\" root", "line 1: the rule \"root\" never ends"},
        {"root ::= \"x\" | a\na ::= \"(\" a \")\"", "line 2: the rule \"a\" never ends"},
        {"root ::= \"b\"\n  | \"a\"{300000} \"a\"{300000}", "line 2: the grammar becomes larger"},
        {"root ::= \"a\"\n  \"b\"", "line 2: a rule's name is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mn_grammar *g = NULL;
        err.text[0] = 0;
        mn_status status = mn_gbnf_parse(cases[i].grammar, strlen(cases[i].grammar), &g, &err);
        if (status == MN_OK || !strstr(err.text, cases[i].says)) fail_msg("%s: \"%s\"", cases[i].grammar, err.text);
        mn_grammar_destroy(g);
    }
    char deep[2000] = "root ::= ";
    memset(deep + 9, '(', 1000);
    mn_grammar *g;
    assert_int_equal(mn_gbnf_parse(deep, strlen(deep), &g, &err), MN_ERR_FORMAT);
    assert_non_null(strstr(err.text, "128 deep"));
}

/* Every state's distance is that of its shortest completion, which is spelt out. */
static void the_shortest_way_ends(void **state) {
    (void)state;
    static const struct {
        const char *grammar, *from, *rest;
    } cases[] = {
        {"root ::= \"abc\" | \"de\"", "", "de"},
        {"root ::= \"abc\" | \"de\"", "a", "bc"},
        {"root ::= \"[\" (root (\",\" root)*)? \"]\"", "[[],[[", "]]]"},
        {"root ::= [0-9]{3,5} \"!\"?", "1", "00"},
        {"root ::= [\xc3\xa4\xc3\xb6] a\na ::= \"(\" a \")\" | \"x\"", "", "\xc3\xa4x"},
        {"root ::= \"a\"*", "aaa", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mn_automaton *a = automaton_of(cases[i].grammar);
        int32_t at = mn_automaton_start(a), symbol;
        for (const char *c = cases[i].from; *c; c++) at = mn_automaton_step(a, at, (uint8_t)*c);
        assert_int_equal(mn_automaton_distance(a, at), strlen(cases[i].rest));
        for (const char *c = cases[i].rest; *c; c++) {
            assert_int_equal(symbol = mn_automaton_shortest(a, at), (uint8_t)*c);
            at = mn_automaton_step(a, at, (uint32_t)symbol);
        }
        assert_int_equal(mn_automaton_distance(a, at), 0);
        assert_true(mn_automaton_accepts(a, at));
        mn_automaton_destroy(a);
    }
}

/* Forgetting changes nothing: a deep stack goes on. */
static void what_is_forgotten_is_found_again(void **state) {
    (void)state;
    mn_automaton *a = automaton_of("root ::= \"[\" (root (\",\" root)*)? \"]\"");
    int32_t at = mn_automaton_start(a);
    int depth = 0;
    for (int i = 0; i < 2000; i++) {
        at = mn_automaton_step(a, at, '[');
        assert_true(at >= 0);
        depth++;
        if (i % 97 == 0) at = mn_automaton_forget(a, at);
        assert_int_equal(mn_automaton_distance(a, at), depth);
    }
    for (; depth; depth--) {
        at = mn_automaton_step(a, at, ']');
        if (depth % 101 == 0) at = mn_automaton_forget(a, at);
    }
    assert_true(mn_automaton_accepts(a, at));
    assert_int_equal(mn_automaton_step(a, at, ']'), MN_AUTOMATON_DEAD);
    mn_automaton_destroy(a);
}

/* A rule that calls itself at its end leaves no stack, and a lasting text fits into the smallest memory. */
static void calls_at_the_end_cost_nothing(void **state) {
    (void)state;
    mn_automaton *a = automaton_of("root ::= \"x\" root | \"y\"");
    int32_t at = mn_automaton_start(a), first = mn_automaton_step(a, at, 'x');
    at = first;
    for (int i = 0; i < 1000; i++) at = mn_automaton_step(a, at, 'x');
    assert_int_equal(at, first);
    mn_automaton_destroy(a);
}

static void large_grammars_are_checked_in_no_time(void **state) {
    (void)state;
    enum { N = 20000 };
    char *text = malloc(N * 40 + 100), *at = text;
    at += sprintf(at, "root ::= r0\n");
    for (int i = 0; i < N; i++) at += sprintf(at, "r%d ::= \"a\"? r%d\n", i, i + 1);
    at += sprintf(at, "r%d ::= \"z\"\n", N);
    mn_automaton *a = automaton_in(text, 64 << 20);
    mn_grammar *g;
    assert_int_equal(mn_automaton_distance(a, mn_automaton_start(a)), 1);
    mn_automaton_destroy(a);
    sprintf(at - strlen("\"z\"\n"), "r0\n"); /* now it is a circle */
    assert_int_equal(mn_gbnf_parse(text, strlen(text), &g, &err), MN_ERR_FORMAT);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grammars_take_what_they_say),
        cmocka_unit_test(broken_grammars_are_sentences_with_their_line),
        cmocka_unit_test(the_shortest_way_ends),
        cmocka_unit_test(what_is_forgotten_is_found_again),
        cmocka_unit_test(calls_at_the_end_cost_nothing),
        cmocka_unit_test(large_grammars_are_checked_in_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
