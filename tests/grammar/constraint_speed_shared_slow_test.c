/* What a constraint costs on a vocabulary of 128,256 tokens: under 5 % of the time in which one core reads the output
 * matrix of the smallest Llama 3 (2048 channels, a byte each), which is a fifth of that model. */
#include "grammar/constraint.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "grammar/gbnf.h"
#include "grammar/json_schema.h"
#include "sample/sampler.h"

enum { N_TOKENS = 400, N_CHANNELS = 2048, N_LOGITS = 8 };

static mn_error err;

/* Seconds to read [n_vocab][N_CHANNELS] bytes. */
static double seconds_of_logits(int32_t n_vocab) {
    size_t bytes = (size_t)n_vocab * N_CHANNELS;
    uint64_t *weights = malloc(bytes);
    memset(weights, 3, bytes);
    double best = INFINITY;
    for (int round = 0; round < 5; round++) {
        double start = mn_clock_seconds();
        uint64_t sum = 0;
        for (size_t i = 0; i < bytes / sizeof sum; i++) sum += weights[i];
        best = fmin(best, mn_clock_seconds() - start);
        assert_true(sum > 0); /* and so the sum is needed */
    }
    free(weights);
    return best;
}

typedef struct spent {
    double drawing, setting_up;
    int64_t n;
} spent;

/* Draws N_TOKENS tokens from logits of a normal distribution; schema NULL: without a constraint. */
static mn_status parse(const char *text, mn_grammar **g) {
    if (*text != '{') return mn_gbnf_parse(text, strlen(text), g, &err);
    return mn_json_schema_parse(text, strlen(text), MN_JSON_BLANKS_ONE, g, &err);
}

static spent draw(const mn_token_trie *trie, float *const *logits, const char *schema) {
    mn_sampler_params params = mn_sampler_defaults();
    mn_sampler *s;
    mn_grammar *g;
    mn_constraint *c = NULL;
    spent out = {0};
    double start = mn_clock_seconds();
    if (schema) {
        assert_ok(parse(schema, &g), err);
        assert_ok(mn_constraint_create(g, trie, 0, &c, &err), err);
        mn_grammar_destroy(g);
    }
    out.setting_up = mn_clock_seconds() - start;
    const mn_token_filter filter = c ? mn_constraint_filter(c) : (mn_token_filter){0};
    assert_ok(mn_sampler_create(&params, trie->n_tokens, &s, &err), err);
    start = mn_clock_seconds();
    for (; out.n < N_TOKENS; out.n++) {
        int32_t token;
        if (c && mn_constraint_has_ended(c)) mn_constraint_reset(c);
        if (c) assert_ok(mn_constraint_set_left(c, N_TOKENS + 100 - out.n, &err), err);
        assert_ok(mn_sampler_draw_allowed(s, logits[out.n % N_LOGITS], filter, &token, &err), err);
        if (c) assert_ok(mn_constraint_accept(c, token, &err), err);
    }
    out.drawing = mn_clock_seconds() - start;
    mn_sampler_destroy(s);
    mn_constraint_destroy(c);
    return out;
}

/* An array of at least 20 of 1000 values. */
static const char *large_enum(void) {
    static char text[32768];
    static const char *const words[] = {"alpha", "beta", "gamma", "delta", "north",
                                        "south", "east", "west",  "red",   "green"};
    size_t n = (size_t)sprintf(text, "{\"type\":\"array\",\"minItems\":20,\"items\":{\"enum\":[\"x\"");
    for (int i = 0; i < 1000; i++) n += (size_t)sprintf(text + n, ",\"%s-%d\"", words[i % 10], i / 10);
    strcpy(text + n, "]}}");
    return text;
}

static void a_large_vocabulary_costs_little(void **state) {
    (void)state;
    const struct {
        const char *name, *schema;
    } cases[] = {
        {"any JSON", "{}"},
        {"free strings", "{\"type\":\"array\",\"minItems\":30,\"items\":{\"type\":\"string\",\"minLength\":30}}"},
        {"counted strings",
         "{\"type\":\"array\",\"minItems\":20,\"items\":{\"type\":\"string\",\"minLength\":40,\"maxLength\":2000}}"},
        {"an object", "{\"type\":\"object\",\"properties\":{\"title\":{\"type\":\"string\"},\"year\":{\"type\":"
                      "\"integer\",\"minimum\":1900,"
                      "\"maximum\":2100},\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":12}}"
                      ",\"kind\":{\"enum\":"
                      "[\"a\",\"b\"]}},\"required\":[\"title\",\"year\",\"tags\",\"kind\"]}"},
        {"a tree",
         "{\"$ref\":\"#/$defs/n\",\"$defs\":{\"n\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":"
         "\"integer\"},\"name\":{\"type\":\"string\",\"maxLength\":10},\"kids\":{\"type\":\"array\",\"items\":{"
         "\"$ref\":\"#/$defs/n\"}}},\"required\":[\"v\",\"name\",\"kids\"]}}}"},
        {"1000 values", large_enum()},
        {"statements", "root ::= stmt{8,}\nstmt ::= name \" = \" expr \";\\n\"\nexpr ::= term ([-+*/] term)*\n"
                       "term ::= name | [0-9]{1,9} | \"(\" expr \")\" | \"\\\"\" [^\"\\n]{0,60} \"\\\"\"\n"
                       "name ::= [a-z] [a-z0-9_]{0,15}\n"},
    };
    mn_tokenizer *tokenizer;
    mn_token_trie *trie;
    mn_random rng;
    float *logits[N_LOGITS];
    assert_ok(mn_tokenizer_open(shared_path("tokenizers/ggml-vocab-llama-bpe.gguf"), &tokenizer, &err), err);
    double start = mn_clock_seconds();
    assert_ok(mn_token_trie_of(tokenizer, &trie, &err), err);
    double tree_s = mn_clock_seconds() - start;
    mn_random_seed(&rng, 1, 0);
    for (int i = 0; i < N_LOGITS; i++) {
        logits[i] = malloc((size_t)trie->n_tokens * sizeof *logits[i]);
        for (int32_t k = 0; k < trie->n_tokens; k++) logits[i][k] = (float)(3 * mn_random_normal(&rng));
    }
    double floor_s = seconds_of_logits(trie->n_tokens), worst = 0;
    printf("%d tokens, the tree: %.0f ms; logits of %d channels: %.0f us\n", trie->n_tokens, tree_s * 1e3, N_CHANNELS,
           floor_s * 1e6);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double least = INFINITY, plain_s = INFINITY;
        for (int round = 0; round < 3; round++) { /* in turn: other jobs share the machine */
            spent plain = draw(trie, logits, NULL), bound = draw(trie, logits, cases[i].schema);
            plain_s = fmin(plain_s, plain.drawing / N_TOKENS);
            least = fmin(least, bound.drawing / N_TOKENS);
            if (round == 0) printf("%-16s set up %.1f ms; ", cases[i].name, bound.setting_up * 1e3);
        }
        printf("a draw %.0f us, without %.0f us: %+.1f %%\n", least * 1e6, plain_s * 1e6,
               (least - plain_s) / floor_s * 100);
        worst = fmax(worst, least - plain_s);
    }
    assert_true(worst < 0.05 * floor_s);
    for (int i = 0; i < N_LOGITS; i++) free(logits[i]);
    mn_token_trie_destroy(trie);
    mn_tokenizer_destroy(tokenizer);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_large_vocabulary_costs_little)};
    return outcome(cmocka_run_group_tests(tests, NULL, NULL));
}
