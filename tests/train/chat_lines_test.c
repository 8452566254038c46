/* Conversations as training documents: the answers are learnt, all else is given; broken lines are named. */
#include "support/support.h"

#include "train/chat_lines.h"
#include "train/dataset.h"

#include <stdlib.h>
#include <string.h>

static const char line[] = "{\"messages\": [{\"role\": \"system\", \"content\": \"Be brief.\"},"
                           "{\"role\": \"user\", \"content\": \"Who came?\"},"
                           "{\"role\": \"assistant\", \"content\": \"The captain.\"},"
                           "{\"role\": \"user\", \"content\": \"With what?\"},"
                           "{\"role\": \"assistant\", \"content\": \"A parrot.\"}]}";

typedef struct fixture {
    mn_tokenizer *tokenizer;
    mn_chat_template *template;
} fixture;

static int open_fixture(void **state) {
    static fixture f;
    mn_error err;
    size_t bytes;
    assert_ok(mn_tokenizer_open(MNEMO_SOURCE_DIR "/models/default.gguf", &f.tokenizer, &err), err);
    char *source = read_all(data_path("templates/chatml.jinja"), &bytes);
    assert_ok(mn_chat_template_create(source, bytes, &f.template, &err), err);
    free(source);
    *state = &f;
    return 0;
}

static int close_fixture(void **state) {
    fixture *f = *state;
    mn_chat_template_destroy(f->template);
    mn_tokenizer_destroy(f->tokenizer);
    return 0;
}

/* All bytes of a role, one run behind the other with a bar between. */
static void collect(const mn_document_draft *d, mn_role role, char out[1000]) {
    size_t begin = 0, n = 0;
    for (int i = 0; i < d->n_runs; begin = d->runs[i++].end)
        if (d->runs[i].role == role)
            n += (size_t)snprintf(out + n, 1000 - n, "%.*s|", (int)(d->runs[i].end - begin), d->text.data + begin);
    out[n] = 0;
}

static void test_answers_are_what_is_learnt(void **state) {
    const fixture *f = *state;
    mn_document_draft d = MN_DOCUMENT_DRAFT_INIT;
    mn_error err;
    char text[1000];
    assert_ok(mn_json_line_draft(line, strlen(line), f->template, f->tokenizer, &d, &err), err);
    collect(&d, MN_ROLE_VALUE, text);
    assert_true(!strncmp(text, "The captain.<|im_end|>", 22));
    assert_non_null(strstr(text, "|A parrot.<|im_end|>"));
    assert_null(strstr(text, "Who") || strstr(text, "what") || strstr(text, "user") ? text : NULL);
    collect(&d, MN_ROLE_PROMPT, text);
    assert_non_null(strstr(text, "Who came?<|im_end|>"));
    assert_non_null(strstr(text, "With what?<|im_end|>"));
    assert_true(!strstr(text, "captain") && !strstr(text, "parrot"));
    mn_draft_release(&d);
}

static mn_status try_line(const fixture *f, const char *text, bool with_template, mn_error *err) {
    mn_document_draft d = MN_DOCUMENT_DRAFT_INIT;
    mn_status status =
        mn_json_line_draft(text, strlen(text), with_template ? f->template : NULL, f->tokenizer, &d, err);
    mn_draft_release(&d);
    return status;
}

static void test_refusals(void **state) {
    const fixture *f = *state;
    mn_error err;
    static const char *const bad[] = {"{\"text\": ",
                                      "[]",
                                      "{\"words\": \"x\"}",
                                      "{\"messages\": []}",
                                      "{\"messages\": [{\"role\": \"user\"}]}",
                                      "{\"messages\": [7]}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(try_line(f, bad[i], true, &err), MN_ERR_FORMAT);
    assert_int_equal(try_line(f, line, false, &err), MN_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "chat template"));
}

enum { N_CTX = 256 };

/* In a window: only what answers are made of has a weight; a broken line is named by its number. */
static void test_windows_of_conversations(void **state) {
    const fixture *f = *state;
    mn_error err;
    int32_t tokens[N_CTX], targets[N_CTX], documents[N_CTX];
    float weights[N_CTX];
    uint8_t roles[N_CTX];
    char name[600];
    const char *path = name;
    snprintf(name, sizeof name, "%s", temp_path("talk.jsonl"));
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "\n%s\n\n%s\n", line, line);
    fclose(file);
    mn_dataset d = {.tokenizer = f->tokenizer, .chat_template = f->template, .seed = 1, .n_ctx = N_CTX, .n_sources = 1};
    d.sources[0] = (mn_source){.name = "talk", .weight = 1, .role_weights = {[MN_ROLE_VALUE] = 2}};
    assert_ok(mn_corpus_open(&path, 1, 600, &d.sources[0].corpus, &err), err);
    mn_train_window w = {tokens, targets, weights, roles, documents, 0};
    mn_dataset_cursor cursor = {.source = -1};
    assert_ok(mn_dataset_next(&d, &cursor, &w, &err), err);
    int n_learnt = 0;
    for (int i = 0; i + 1 < w.n_tokens; i++) {
        if (documents[i + 1] != documents[i]) continue;
        assert_true(weights[i] == (roles[i + 1] == MN_ROLE_VALUE ? 2 : 0));
        n_learnt += weights[i] > 0;
    }
    assert_true(n_learnt > 10);
    mn_dataset_close(&d);

    file = fopen(path, "a");
    assert_non_null(file);
    fputs("broken\n", file);
    fclose(file);
    d.n_sources = 1;
    assert_ok(mn_corpus_open(&path, 1, 600, &d.sources[0].corpus, &err), err);
    mn_status status = MN_OK;
    for (int i = 0; i < 3 && status == MN_OK; i++) status = mn_dataset_next(&d, &cursor, &w, &err);
    assert_int_equal(status, MN_ERR_FORMAT);
    if (!strstr(err.text, "talk.jsonl, line 5: no JSON")) fail_msg("no line in: %s", err.text);
    mn_dataset_close(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_are_what_is_learnt),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_windows_of_conversations),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
