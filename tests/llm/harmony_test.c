/* Calls in Harmony's messages over a vocabulary that has its marks as tokens: what may be drawn, and what is read. */
#include "support/support.h"
#include "support/vocab_file.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/random.h"
#include "grammar/constraint.h"
#include "llm/tool_calls.h"
#include "llm/tool_grammar.h"

enum {
    BOS,
    START,
    CHANNEL,
    MESSAGE,
    END,
    CONSTRAIN,
    CALL,
    RETURN,
    BYTE0,
    N_WORDS = 24,
    N_VOCAB = BYTE0 + 256 + N_WORDS
};

static const char *const marks[BYTE0] = {"<|startoftext|>", "<|start|>",     "<|channel|>", "<|message|>",
                                         "<|end|>",         "<|constrain|>", "<|call|>",    "<|return|>"};
static const char *const words[N_WORDS] = {"analysis", "commentary", "final",     "assistant",     " to",  "=functions",
                                           ".",        "find",       "stop",      "json",          "{\"",  "\":",
                                           " \"",      "\"}",        "functions", "to=",           "user", "12",
                                           "}",        " the",       "\n",        "to=functions.", "{}",   "fi"};

static const char tools[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"find\",\"parameters\":{\"type\":\"object\","
    "\"properties\":{\"q\":{\"type\":\"string\",\"maxLength\":20},\"n\":{\"type\":\"integer\","
    "\"minimum\":1,\"maximum\":9}},\"required\":[\"q\",\"n\"]}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"stop\"}}]";

static mn_error err;
static mn_tokenizer *tokenizer;
static mn_token_trie *trie;

static int make_vocabulary(void **state) {
    static char bytes[256][8];
    const char *tokens[N_VOCAB];
    int32_t types[N_VOCAB];
    float scores[N_VOCAB] = {0};
    (void)state;
    for (int i = 0; i < BYTE0; i++) tokens[i] = marks[i], types[i] = 3;
    for (int b = 0; b < 256; b++) {
        snprintf(bytes[b], sizeof bytes[b], "<0x%02X>", b);
        tokens[BYTE0 + b] = bytes[b];
        types[BYTE0 + b] = 6;
    }
    for (int i = 0; i < N_WORDS; i++) tokens[BYTE0 + 256 + i] = words[i], types[BYTE0 + 256 + i] = 1;
    vocab_file file = vocab_file_begin("llama");
    vocab_file_texts(&file, "tokens", tokens, N_VOCAB);
    vocab_file_i32s(&file, "token_type", types, N_VOCAB);
    vocab_file_f32s(&file, "scores", scores, N_VOCAB);
    vocab_file_u32(&file, "bos_token_id", BOS);
    vocab_file_u32(&file, "eos_token_id", RETURN);
    vocab_file_bool(&file, "add_space_prefix", false);
    assert_ok(vocab_file_load(&file, &tokenizer, &err), err);
    assert_ok(mn_token_trie_of(tokenizer, &trie, &err), err);
    assert_true(mn_tokenizer_is_end(tokenizer, CALL));
    assert_false(mn_tokenizer_is_end(tokenizer, END));
    return 0;
}

static int drop_vocabulary(void **state) {
    (void)state;
    mn_token_trie_destroy(trie);
    mn_tokenizer_destroy(tokenizer);
    return 0;
}

static mn_status accept(mn_constraint *c, int32_t token, mn_strbuf *out) {
    size_t bytes;
    MN_TRY(mn_constraint_accept(c, token, &err));
    const char *piece = mn_token_piece(tokenizer, token, true, &bytes);
    mn_strbuf_put(out, piece, bytes);
    return MN_OK;
}

/* Takes a text, marks as their tokens and all else byte by byte. */
static mn_status accept_text(mn_constraint *c, const char *text, mn_strbuf *out) {
    while (*text) {
        int mark = 0;
        while (mark < BYTE0 && strncmp(text, marks[mark], strlen(marks[mark]))) mark++;
        MN_TRY(accept(c, mark < BYTE0 ? mark : BYTE0 + (uint8_t)*text, out));
        text += mark < BYTE0 ? strlen(marks[mark]) : 1;
    }
    return MN_OK;
}

static void draw_rest(mn_constraint *c, mn_sampler *s, mn_random *rng, int64_t limit, mn_strbuf *out) {
    float logits[N_VOCAB];
    for (; limit > 0 && !mn_constraint_has_ended(c); limit--) {
        int32_t token;
        for (int i = 0; i < N_VOCAB; i++)
            logits[i] = (float)(3 * mn_random_normal(rng)) + (i < BYTE0 || i >= BYTE0 + 256 ? 4.0F : 0.0F);
        assert_ok(mn_constraint_set_left(c, limit, &err), err);
        assert_ok(mn_sampler_draw_allowed(s, logits, mn_constraint_filter(c), &token, &err), err);
        assert_ok(accept(c, token, out), err);
    }
}

static void check_call(const mn_llm_call *call, const char *text) {
    json_t *arguments = json_loads(call->arguments, 0, NULL);
    json_int_t n = json_integer_value(json_object_get(arguments, "n"));
    bool finds = !strcmp(call->name, "find");
    if (finds ? n < 1 || n > 9 || !json_is_string(json_object_get(arguments, "q")) || json_object_size(arguments) != 2
              : strcmp(call->name, "stop") || json_object_size(arguments))
        fail_msg("%s %s in %s", call->name, call->arguments, text);
    json_decref(arguments);
}

/* Draws an answer that begins with a text, and reads it. Returns how many calls are in it. */
static size_t answer(mn_constraint *c, const char *begin, uint64_t seed, int64_t more) {
    mn_sampler_params params = mn_sampler_defaults();
    mn_sampler *s;
    mn_random rng;
    mn_strbuf out = MN_STRBUF_INIT;
    mn_random_seed(&rng, seed, 0);
    params.seed = seed;
    assert_ok(mn_sampler_create(&params, N_VOCAB, &s, &err), err);
    mn_constraint_reset(c);
    if (accept_text(c, begin, &out)) fail_msg("%s: %s", begin, err.text);
    draw_rest(c, s, &rng, mn_constraint_shortest(c) + more, &out);
    char *whole = strdup(out.bytes ? out.data : "");
    mn_llm_reply reply = {.content = mn_strbuf_detach(&out, NULL)};
    assert_true(mn_tool_calls_take(MN_TOOLS_HARMONY, &reply));
    for (size_t i = 0; i < reply.n_calls; i++) check_call(&reply.calls[i], whole);
    size_t n = reply.n_calls;
    free(whole);
    mn_llm_reply_release(&reply);
    mn_sampler_destroy(s);
    return n;
}

static mn_constraint *constraint_of(bool is_free) {
    mn_grammar *grammar;
    mn_constraint *c;
    assert_ok((is_free ? mn_tool_calls_free_grammar : mn_tool_calls_grammar)(MN_TOOLS_HARMONY, tokenizer, tools,
                                                                             &grammar, &err),
              err);
    assert_ok(mn_constraint_create(grammar, trie, 0, &c, &err), err);
    mn_grammar_destroy(grammar);
    return c;
}

/* A call that must come may have thoughts before it, and nothing else. */
static void required_calls_are_whole_at_any_limit(void **state) {
    (void)state;
    mn_constraint *c = constraint_of(false);
    for (uint64_t seed = 1; seed <= 60; seed++) {
        assert_int_equal(answer(c, "", seed, (int64_t)(seed % 6) * 30), 1);
        assert_int_equal(answer(c, "<|channel|>analysis<|message|>Well", seed, (int64_t)(seed % 6) * 30), 1);
        assert_int_equal(answer(c, "<|channel|>commentary to=functions.find ", seed, 20), 1);
    }
    mn_strbuf out = MN_STRBUF_INIT;
    mn_constraint_reset(c);
    assert_int_equal(accept_text(c, "<|channel|>final", &out), MN_ERR_ARGUMENT);
    mn_strbuf_release(&out);
    mn_constraint_destroy(c);
}

static void free_answers_call_what_there_is(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool calls;
    } beginnings[] = {
        {"", false},
        {"<|channel|>final<|message|>Well", false},
        {"<|channel|>analysis<|message|>I need to=functions.x {", false},
        {"<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>comm", false},
        {"<|channel|>commentary to=functions.", true},
        {" to=functions.fi", true},
        {" to=functions.stop<|channel|>commentary json<|message|>", true},
        {"<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=functions.find "
         "<|constrain|>json<|message|>{",
         true},
        {"<|channel|>final<|message|>See <|start|>assistant to=functions.find<|message|>", true},
    };
    mn_constraint *c = constraint_of(true);
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        for (uint64_t seed = 1; seed <= 20; seed++) {
            size_t n = answer(c, beginnings[i].text, seed, (int64_t)(seed % 5) * 40);
            if (beginnings[i].calls && !n) fail_msg("no call behind %s", beginnings[i].text);
        }
    mn_strbuf out = MN_STRBUF_INIT;
    mn_constraint_reset(c);
    assert_int_equal(accept_text(c, "<|channel|>commentary to=functions.fund", &out), MN_ERR_ARGUMENT);
    mn_strbuf_reset(&out);
    mn_constraint_reset(c);
    assert_ok(accept_text(c, "<|channel|>commentary to=functions.stop <|constrain|>json<|message|>{}", &out), err);
    assert_true(mn_constraint_has_ended(c));
    mn_strbuf_release(&out);
    mn_constraint_destroy(c);
}

/* What a format writes is what its grammar takes. */
static void what_is_written_may_be_drawn(void **state) {
    (void)state;
    mn_constraint *required = constraint_of(false), *free_one = constraint_of(true);
    const mn_llm_call call = {"", "find", "{\"q\": \"x\", \"n\": 3}"};
    mn_strbuf text = MN_STRBUF_INIT, out = MN_STRBUF_INIT;
    mn_tool_calls_write(MN_TOOLS_HARMONY, &call, 1, &text);
    assert_ok(accept_text(required, text.data, &out), err);
    assert_ok(accept_text(free_one, text.data, &out), err);
    assert_true(mn_constraint_has_ended(required) && mn_constraint_has_ended(free_one));
    mn_strbuf_release(&text);
    mn_strbuf_release(&out);
    mn_constraint_destroy(required);
    mn_constraint_destroy(free_one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(required_calls_are_whole_at_any_limit),
        cmocka_unit_test(free_answers_call_what_there_is),
        cmocka_unit_test(what_is_written_may_be_drawn),
    };
    return cmocka_run_group_tests(tests, make_vocabulary, drop_vocabulary);
}
