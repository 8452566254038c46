/* Constraints: answers drawn from random logits under random schemas parse and are valid at every limit of
 * tokens; masks are those of the definition. */
#include "grammar/constraint.h"
#include "grammar/random_schema.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/strbuf.h"
#include "grammar/gbnf.h"
#include "grammar/json_schema.h"
#include "sample/sampler.h"

enum { N_VOCAB = 1200, MAX_PIECE = 12 };

static mn_error err;

/* ---- a vocabulary: all bytes, pieces of JSON, random words; the last two have no text, the last one ends ---- */

static const char *const pieces_of_json[] = {"{\"",      "\": ",  "\":",
                                             "\", \"",   "\",\"", "\"}",
                                             "}]",       "]}",    ": \"",
                                             "null",     "true",  "fal",
                                             "se",       ", ",    "[{\"",
                                             "[[",       "]]",    "}}",
                                             "\"\"",     "12",    "345",
                                             "-1",       "0.",    "e+",
                                             "\n",       "\n  ",  "    ",
                                             "\\n",      "\\u00", "name",
                                             "value",    "ab",    "ac",
                                             "a",        "\xc3",  "\xc3\xa4",
                                             "\xe2\x82", "\xac",  "\xf0\x9f\x98\x80",
                                             "\",",      "],",    "},",
                                             "{}",       "[]",    "2024-",
                                             "-02-",     ":00"};

static mn_token_trie *vocabulary(void) {
    static char text[N_VOCAB][MAX_PIECE];
    static const char *pieces[N_VOCAB];
    static size_t bytes[N_VOCAB];
    static bool ends[N_VOCAB];
    const int n_fixed = sizeof pieces_of_json / sizeof *pieces_of_json;
    mn_token_trie *trie;
    for (int i = 0; i < N_VOCAB; i++) {
        pieces[i] = text[i];
        bytes[i] = i < 256 ? 1 : 1 + mn_random_below(&rng, MAX_PIECE - 1);
        for (size_t k = 0; k < bytes[i]; k++)
            text[i][k] = i < 256 ? (char)i : (char)" abcdefgh0123\"\\{}[]:,\n\xc3\xa4"[mn_random_below(&rng, 24)];
        if (i >= 256 && i < 256 + n_fixed) {
            pieces[i] = pieces_of_json[i - 256];
            bytes[i] = strlen(pieces[i]);
        }
    }
    bytes[N_VOCAB - 1] = bytes[N_VOCAB - 2] = 0;
    ends[N_VOCAB - 1] = true;
    assert_ok(mn_token_trie_create(pieces, bytes, ends, N_VOCAB, &trie, &err), err);
    return trie;
}

/* ---- answers ---- */

/* Draws at most `limit` tokens from random logits. */
static void answer(mn_constraint *c, const mn_token_trie *trie, mn_sampler *s, int64_t limit, mn_strbuf *out) {
    static float logits[N_VOCAB];
    mn_strbuf_reset(out);
    mn_constraint_reset(c);
    while (limit > 0 && !mn_constraint_has_ended(c)) {
        int32_t token;
        size_t bytes;
        for (int i = 0; i < N_VOCAB; i++) logits[i] = (float)(3 * mn_random_normal(&rng));
        assert_ok(mn_constraint_set_left(c, limit--, &err), err);
        assert_ok(mn_sampler_draw_allowed(s, logits, mn_constraint_filter(c), &token, &err), err);
        assert_ok(mn_constraint_accept(c, token, &err), err);
        const char *piece = mn_token_trie_piece(trie, token, &bytes);
        mn_strbuf_put(out, piece, bytes);
    }
}

static void check_answer(const json_t *schema, const char *schema_text, const mn_strbuf *text) {
    json_error_t where;
    json_t *value = json_loadb(text->data, text->bytes, JSON_DECODE_ANY, &where);
    if (!value) fail_msg("%s: \"%s\" is no JSON: %s", schema_text, text->data, where.text);
    if (!is_valid(schema, schema, value)) fail_msg("%s: \"%s\" is not valid", schema_text, text->data);
    json_decref(value);
}

/* Answers to one schema at four limits; false where it is refused, with a sentence. A constraint with a small cache
 * forgets often, and draws the same. */
static bool every_limit(const json_t *schema, const mn_token_trie *trie, int round, bool may_be_refused) {
    char *schema_text = json_dumps(schema, JSON_COMPACT);
    mn_strbuf text = MN_STRBUF_INIT;
    mn_grammar *g;
    mn_constraint *c;
    mn_sampler *s;
    mn_sampler_params params = mn_sampler_defaults();
    params.temperature = (float)(round % 3);
    params.top_k = round % 5 ? 40 : 0;
    params.seed = (uint64_t)round;
    mn_status status = mn_json_schema_parse(schema_text, strlen(schema_text), (mn_json_blanks)(round % 3), &g, &err);
    if (status != MN_OK && !may_be_refused) fail_msg("%s: %s", schema_text, err.text);
    if (status == MN_OK) {
        assert_ok(mn_constraint_create(g, trie, round % 2 ? 0 : 2 << 20, &c, &err), err);
        assert_ok(mn_sampler_create(&params, N_VOCAB, &s, &err), err);
        int64_t shortest = mn_constraint_shortest(c);
        assert_int_not_equal(mn_constraint_set_left(c, shortest - 1, &err), MN_OK);
        assert_non_null(strstr(err.text, "the shortest answer"));
        const int64_t limits[] = {shortest, shortest + 1, shortest + 7, 60 + shortest};
        for (int i = 0; i < 4; i++) {
            answer(c, trie, s, limits[i], &text);
            check_answer(schema, schema_text, &text);
        }
        mn_sampler_destroy(s);
        mn_constraint_destroy(c);
        mn_grammar_destroy(g);
    }
    free(schema_text);
    mn_strbuf_release(&text);
    return status == MN_OK;
}

static void every_answer_is_valid_at_every_limit(void **state) {
    (void)state;
    mn_random_seed(&rng, 4, 0);
    mn_token_trie *trie = vocabulary();
    for (int round = 0; round < (is_quick_run() ? 50 : 200); round++) {
        json_t *schema = with_tree(random_schema(0));
        every_limit(schema, trie, round, false);
        json_decref(schema);
    }
    mn_token_trie_destroy(trie);
}

/* Most schemas at random of all keywords can be held; what is refused accepts nothing, or is said to be not there. */
static void answers_hold_every_keyword(void **state) {
    (void)state;
    const char *rounds = getenv("MNEMO_TEST_ROUNDS");
    int n_rounds = rounds ? (int)strtol(rounds, NULL, 10) : is_quick_run() ? 75 : 300, n_held = 0;
    mn_random_seed(&rng, rounds ? (uint64_t)n_rounds : 11, 0);
    mn_token_trie *trie = vocabulary();
    for (int round = 0; round < n_rounds; round++) {
        json_t *schema = with_tree(random_further(0));
        bool held = every_limit(schema, trie, round, true);
        n_held += held;
        if (!held)
            assert_true(err.status == MN_ERR_FORMAT || err.status == MN_ERR_UNSUPPORTED || err.status == MN_ERR_LIMIT);
        if (!held && rounds) printf("%s\n", err.text);
        json_decref(schema);
    }
    printf("%d of %d schemas are held\n", n_held, n_rounds);
    assert_true(n_held * 2 > n_rounds);
    mn_token_trie_destroy(trie);
}

/* ---- masks ---- */

/* Whether a constraint that was told the same tokens afresh takes this one. */
static bool takes_afresh(const mn_grammar *g, const mn_token_trie *trie, const int32_t *tokens, int n, int32_t token) {
    mn_constraint *c;
    assert_ok(mn_constraint_create(g, trie, 1 << 21, &c, &err), err);
    for (int i = 0; i < n; i++) assert_ok(mn_constraint_accept(c, tokens[i], &err), err);
    bool takes = mn_constraint_accept(c, token, &err) == MN_OK;
    mn_constraint_destroy(c);
    return takes;
}

/* The walk over the whole tree finds the tokens that are allowed one by one, each once. */
static void check_all(mn_constraint *c) {
    static int times[N_VOCAB];
    int32_t n;
    const int32_t *all = mn_constraint_all(c, &n);
    memset(times, 0, sizeof times);
    for (int32_t i = 0; i < n; i++) times[all[i]]++;
    for (int i = 0; i < N_VOCAB; i++)
        if (times[i] != mn_constraint_allows(c, i)) fail_msg("token %d of all: %d times", i, times[i]);
}

static void masks_are_those_of_the_definition(void **state) {
    (void)state;
    static const char grammar[] =
        "root ::= \"{\" word (\",\" word)* \"}\"\nword ::= [a-h]+ | \"\\\"\" [^\"]{0,9} \"\\\"\"";
    mn_random_seed(&rng, 9, 0);
    mn_token_trie *trie = vocabulary();
    mn_grammar *g;
    mn_constraint *c;
    int32_t tokens[12];
    int n = 0;
    assert_ok(mn_gbnf_parse(grammar, strlen(grammar), &g, &err), err);
    assert_ok(mn_constraint_create(g, trie, 0, &c, &err), err);
    for (; n < 8 && !mn_constraint_has_ended(c); n++) {
        int32_t n_list, candidates[N_VOCAB], n_candidates = 0;
        const int32_t *list = mn_constraint_list(c, &n_list);
        for (int32_t t = 0; t < N_VOCAB; t++) {
            bool allowed = mn_constraint_allows(c, t), listed = !list;
            for (int32_t i = 0; list && i < n_list; i++) listed = listed || list[i] == t;
            if (allowed != listed && list) fail_msg("token %d is listed: %d, and allowed: %d", t, listed, allowed);
            if (t % 7 == n % 7 && allowed != takes_afresh(g, trie, tokens, n, t)) fail_msg("token %d differs", t);
            if (allowed && !trie->ends[t]) candidates[n_candidates++] = t;
        }
        check_all(c);
        assert_true(n_candidates > 0);
        tokens[n] = candidates[below((uint32_t)n_candidates)];
        assert_ok(mn_constraint_accept(c, tokens[n], &err), err);
    }
    mn_constraint_destroy(c);
    mn_grammar_destroy(g);
    mn_token_trie_destroy(trie);
}

/* Where few tokens are left, so that branches of the tree are passed over: strings of counted characters, some of which
 * take other ways than the rest. */
static void all_that_fit_are_found_near_the_limit(void **state) {
    (void)state;
    static const char *const grammars[] = {
        "root ::= (\"\\\"\" [^\"]{25,40} \"\\\"\"){2}",
        "root ::= ([a-h] [^a-c]{3,9} | [^\"\\\\]{12} [0-9]{2}){3}",
        "root ::= [ -~]{20} \"{\" [ab]{3} \"}\" [^\\n]{0,30} \";\"",
    };
    mn_random_seed(&rng, 31, 0);
    mn_token_trie *trie = vocabulary();
    for (size_t i = 0; i < sizeof grammars / sizeof *grammars; i++) {
        mn_grammar *g;
        mn_constraint *c;
        assert_ok(mn_gbnf_parse(grammars[i], strlen(grammars[i]), &g, &err), err);
        assert_ok(mn_constraint_create(g, trie, 0, &c, &err), err);
        for (int step = 0; step < 12 && !mn_constraint_has_ended(c); step++) {
            int64_t least = mn_constraint_shortest(c);
            int32_t n = 0;
            const int32_t *all = NULL;
            for (int64_t left = least + 4; left >= least && left > 0; left--) {
                assert_ok(mn_constraint_set_left(c, left, &err), err);
                check_all(c);
            }
            all = mn_constraint_all(c, &n);
            assert_true(n > 0);
            assert_ok(mn_constraint_accept(c, all[below((uint32_t)n)], &err), err);
        }
        mn_constraint_destroy(c);
        mn_grammar_destroy(g);
    }
    mn_token_trie_destroy(trie);
}

/* The draw is that of the same logits with -inf where a token is not allowed. */
static void draws_are_those_of_masked_logits(void **state) {
    (void)state;
    static const char schema[] = "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":30}}";
    mn_random_seed(&rng, 21, 0);
    mn_token_trie *trie = vocabulary();
    mn_grammar *g;
    mn_constraint *c;
    mn_sampler *one, *two;
    mn_sampler_params params = mn_sampler_defaults();
    float logits[N_VOCAB], masked[N_VOCAB];
    assert_ok(mn_json_schema_parse(schema, strlen(schema), MN_JSON_BLANKS_ONE, &g, &err), err);
    assert_ok(mn_constraint_create(g, trie, 0, &c, &err), err);
    assert_ok(mn_sampler_create(&params, N_VOCAB, &one, &err), err);
    assert_ok(mn_sampler_create(&params, N_VOCAB, &two, &err), err);
    for (int64_t left = 80; left > 0 && !mn_constraint_has_ended(c); left--) {
        int32_t a, b;
        for (int i = 0; i < N_VOCAB; i++) logits[i] = (float)(4 * mn_random_normal(&rng));
        assert_ok(mn_constraint_set_left(c, left, &err), err);
        assert_ok(mn_sampler_draw_allowed(one, logits, mn_constraint_filter(c), &a, &err), err);
        for (int i = 0; i < N_VOCAB; i++) masked[i] = mn_constraint_allows(c, i) ? logits[i] : -INFINITY;
        check_all(c);
        assert_ok(mn_sampler_draw(two, masked, &b, &err), err);
        assert_int_equal(a, b);
        assert_ok(mn_constraint_accept(c, a, &err), err);
    }
    assert_true(mn_constraint_is_complete(c));
    mn_sampler_destroy(one);
    mn_sampler_destroy(two);
    mn_constraint_destroy(c);
    mn_grammar_destroy(g);
    mn_token_trie_destroy(trie);
}

/* ---- what cannot be ---- */

static void vocabularies_that_cannot_spell_it_are_refused(void **state) {
    (void)state;
    const char *const pieces[] = {"a", "b", "abc", "c}"};
    const size_t bytes[] = {1, 1, 3, 2};
    mn_token_trie *trie;
    mn_grammar *g;
    mn_constraint *c;
    assert_ok(mn_token_trie_create(pieces, bytes, NULL, 4, &trie, &err), err);
    assert_ok(mn_gbnf_parse("root ::= \"abc\"", 14, &g, &err), err);
    assert_int_equal(mn_constraint_create(g, trie, 0, &c, &err), MN_ERR_UNSUPPORTED);
    mn_grammar_destroy(g);
    assert_ok(mn_gbnf_parse("root ::= \"ab\" | \"ac\"", 20, &g, &err), err); /* "ac" cannot be finished */
    assert_ok(mn_constraint_create(g, trie, 0, &c, &err), err);
    assert_true(mn_constraint_allows(c, 0));
    assert_false(mn_constraint_allows(c, 2));
    assert_ok(mn_constraint_accept(c, 0, &err), err);
    assert_false(mn_constraint_has_ended(c));
    assert_int_equal(mn_constraint_accept(c, 0, &err), MN_ERR_ARGUMENT);
    assert_ok(mn_constraint_accept(c, 1, &err), err);
    assert_true(mn_constraint_has_ended(c));
    mn_constraint_destroy(c);
    mn_grammar_destroy(g);
    mn_token_trie_destroy(trie);
}

static void a_cache_too_small_is_a_sentence(void **state) {
    (void)state;
    mn_random_seed(&rng, 2, 0);
    mn_token_trie *trie = vocabulary();
    mn_grammar *g;
    mn_constraint *c;
    static const char nested[] = "root ::= \"(\" root \")\" | \"x\"";
    assert_ok(mn_gbnf_parse(nested, strlen(nested), &g, &err), err);
    assert_ok(mn_constraint_create(g, trie, 1 << 20, &c, &err), err);
    mn_status status = MN_OK;
    for (int i = 0; i < 100000 && status == MN_OK; i++) status = mn_constraint_accept(c, '(', &err);
    assert_int_equal(status, MN_ERR_LIMIT);
    assert_non_null(strstr(err.text, "do not fit into 1 MiB"));
    mn_constraint_destroy(c);
    mn_grammar_destroy(g);
    mn_token_trie_destroy(trie);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_answer_is_valid_at_every_limit),
        cmocka_unit_test(answers_hold_every_keyword),
        cmocka_unit_test(masks_are_those_of_the_definition),
        cmocka_unit_test(all_that_fit_are_found_near_the_limit),
        cmocka_unit_test(draws_are_those_of_masked_logits),
        cmocka_unit_test(vocabularies_that_cannot_spell_it_are_refused),
        cmocka_unit_test(a_cache_too_small_is_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
