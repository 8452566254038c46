#include "support/support.h"

#include "eval/qa_set.h"
#include "eval/ruler.h"
#include "eval/tasks.h"
#include "tokenizer/tokenizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *novel = MNEMO_SOURCE_DIR "/models/demo/pride-and-prejudice.txt";

typedef struct world {
    mn_tokenizer *tokenizer;
    mn_corpus corpus;
    mn_qa_set qa;
    mn_task_world w;
} world;

static void world_open(world *x) {
    mn_error err;
    const char *path = temp_path("qa.jsonl");
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 400; i++)
        fprintf(
            f,
            "{\"question\": \"Where lives person %d?\", \"answers\": [\"town%d\"], \"passages\": [\"Person %d lives in "
            "town%d.\"], \"others\": [\"It rains in village %d.\"]}\n",
            i, i, i, i, i);
    fclose(f);
    assert_ok(mn_tokenizer_open(MNEMO_SOURCE_DIR "/models/default.gguf", &x->tokenizer, &err), err);
    assert_ok(mn_corpus_open(&novel, 1, 2000, &x->corpus, &err), err);
    assert_ok(mn_qa_set_read(path, &x->qa, &err), err);
    assert_int_equal(x->qa.n_questions, 400);
    assert_int_equal(x->qa.n_passages, 800);
    x->w = (mn_task_world){.corpus = &x->corpus, .qa = &x->qa, .length = 1024, .depth = -1};
}

static void world_close(world *x) {
    mn_tokenizer_destroy(x->tokenizer);
    mn_corpus_close(&x->corpus);
    mn_qa_set_release(&x->qa);
}

static int64_t count_text(const mn_tokenizer *t, const char *text, size_t bytes) {
    int32_t *ids;
    size_t n;
    mn_error err;
    assert_ok(mn_tokenize(t, text, bytes, false, false, &ids, &n, &err), err);
    free(ids);
    return (int64_t)n;
}

static int64_t count(void *arg, const mn_task *task, const mn_task_sample *s) {
    const mn_tokenizer *t = arg;
    (void)task;
    return count_text(t, s->document.data, s->document.bytes) + count_text(t, s->question.data, s->question.bytes) +
           count_text(t, s->prefix.data, s->prefix.bytes) + 4;
}

static mn_status fit(const world *x, const mn_task *task, uint64_t seed, mn_task_sample *s, int64_t *n, mn_error *err) {
    return mn_task_fit(task, &x->w, seed, count, x->tokenizer, s, n, err);
}

static int occurrences(const char *text, const char *part) {
    int n = 0;
    for (const char *p = strstr(text, part); p; p = strstr(p + 1, part)) n++;
    return n;
}

/* Never longer than asked, at least 90 % filled, the same for the same seed, and the answer scores 1. */
static void test_lengths(void **state) {
    (void)state;
    world x;
    world_open(&x);
    for (const mn_task *const *task = mn_tasks; *task; task++)
        for (int64_t length = 1024; length <= 4096; length *= 4) {
            mn_task_sample s, again;
            mn_error err;
            int64_t n, m;
            x.w.length = length;
            mn_task_sample_init(&s);
            mn_task_sample_init(&again);
            mn_status status = fit(&x, *task, 5, &s, &n, &err);
            if (status == MN_ERR_LIMIT && length < 4096) { /* worked examples alone may be longer than this */
                mn_task_sample_release(&s);
                mn_task_sample_release(&again);
                continue;
            }
            assert_ok(status, err);
            assert_ok(fit(&x, *task, 5, &again, &m, &err), err);
            assert_string_equal(s.document.data, again.document.data);
            assert_string_equal(s.question.data, again.question.data);
            int64_t total = n + (*task)->n_answer_tokens;
            if (total > length || total < length * 9 / 10)
                fail_msg("%s: %lld tokens of %lld", (*task)->name, (long long)total, (long long)length);
            assert_true(s.n_references >= 1);
            mn_strbuf right = MN_STRBUF_INIT;
            if ((*task)->score == MN_SCORE_SIMILAR) {
                mn_strbuf_printf(&right, "%s\n%s", s.references[0], s.references[1]);
            } else {
                mn_strbuf_puts(&right, "[");
                for (int i = 0; i < s.n_references; i++) mn_strbuf_printf(&right, "%s, ", s.references[i]);
                mn_strbuf_puts(&right, "]");
            }
            assert_true(mn_score((*task)->score, right.data, (const char *const *)s.references, s.n_references) == 1);
            assert_true(mn_score((*task)->score, "no idea", (const char *const *)s.references, s.n_references) == 0);
            /* what goes on behind the prefix: a list that is open there is closed */
            const char *rest = (*task)->score == MN_SCORE_SET_F1 ? right.data + 1 : right.data;
            assert_true(mn_task_score(*task, &s, rest, strlen(rest)) == 1);
            assert_true(mn_task_score(*task, &s, "", 0) == 0);
            mn_strbuf_release(&right);
            mn_task_sample_release(&s);
            mn_task_sample_release(&again);
        }
    world_close(&x);
}

/* Questions stand anywhere in segments of 128 tokens: in each eighth of them, about as often. */
static void test_ends(void **state) {
    (void)state;
    world x;
    int in_eighth[8] = {0};
    world_open(&x);
    x.w.length = 4096;
    for (uint64_t seed = 0; seed < 64; seed++) {
        mn_task_sample s;
        mn_error err;
        int64_t n;
        mn_task_sample_init(&s);
        assert_ok(fit(&x, &mn_task_passkey, seed, &s, &n, &err), err);
        in_eighth[n % 128 / 16]++;
        mn_task_sample_release(&s);
    }
    for (int i = 0; i < 8; i++) assert_in_range(in_eighth[i], 2, 20);
    world_close(&x);
}

/* Answers stand in the text exactly as often as the task says. */
static void test_answers_occur(void **state) {
    (void)state;
    world x;
    world_open(&x);
    x.w.length = 2048;
    for (uint64_t seed = 0; seed < 12; seed++)
        for (const mn_task *const *task = mn_tasks; *task; task++) {
            if ((*task)->score == MN_SCORE_SIMILAR || *task == &mn_task_cwe || *task == &mn_task_fwe ||
                *task == &mn_task_graphwalks)
                continue;
            mn_task_sample s;
            mn_error err;
            int64_t n;
            mn_task_sample_init(&s);
            mn_status status = fit(&x, *task, seed, &s, &n, &err);
            assert_ok(status, err);
            bool chain = *task == &mn_task_vt, pass = *task == &mn_task_passkey || *task == &mn_task_passkey_filler;
            for (int i = 0; i < s.n_references; i++) {
                int times = occurrences(s.document.data, s.references[i]);
                int wanted = pass ? 2 : chain && i + 1 < s.n_references ? 2 : 1;
                bool word = strspn(s.references[i], "abcdefghijklmnopqrstuvwxyz") == strlen(s.references[i]);
                if (word ? times < 1 : times != wanted)  /* a word may stand in the prose too */
                    if (strncmp((*task)->name, "qa", 2)) /* town1 also begins town10 */
                        fail_msg("%s, seed %d: \"%s\" stands %d times", (*task)->name, (int)seed, s.references[i],
                                 times);
            }
            assert_true(s.depth <= 1);
            mn_task_sample_release(&s);
        }
    world_close(&x);
}

/* The text asked for stands in the conversation, behind its request, as the right one of several. */
static void test_rounds(void **state) {
    (void)state;
    world x;
    world_open(&x);
    x.w.length = 4096;
    static const char *const ordinals[] = {"first", "second", "third", "fourth"};
    for (uint64_t seed = 0; seed < 10; seed++) {
        mn_task_sample s;
        mn_error err;
        int64_t n;
        char topic[64], ordinal[16], request[160];
        mn_task_sample_init(&s);
        assert_ok(fit(&x, &mn_task_mrcr_4, seed, &s, &n, &err), err);
        const char *ask = strstr(s.question.data, "give back the ");
        assert_int_equal(sscanf(ask, "give back the %15s", ordinal), 1);
        assert_int_equal(sscanf(strstr(ask, " about "), " about %63s", topic), 1);
        size_t form_bytes = (size_t)(strstr(ask, " about ") - ask) - 14 - strlen(ordinal) - 1;
        snprintf(request, sizeof request, "User: Write a %.*s about %s.\n", (int)form_bytes, ask + 15 + strlen(ordinal),
                 topic);
        assert_int_equal(occurrences(s.document.data, request), 4);
        const char *p = s.document.data;
        for (int i = 0; i < 4; i++) {
            p = strstr(p, request) + strlen(request) + strlen("Assistant: ");
            bool same = !strncmp(p, s.references[1], strlen(s.references[1]));
            assert_int_equal(same, !strcmp(ordinal, ordinals[i]));
        }
        mn_task_sample_release(&s);
    }
    world_close(&x);
}

static void test_depths_as_asked(void **state) {
    (void)state;
    world x;
    world_open(&x);
    int n_tasks = 0;
    x.w.length = 4096;
    for (const mn_task *const *task = mn_tasks; *task; task++) {
        if (!(*task)->by_depth) continue;
        n_tasks++;
        for (int step = 0; step <= 10; step++) {
            mn_task_sample s;
            mn_error err;
            int64_t n;
            x.w.depth = step / 10.0;
            mn_task_sample_init(&s);
            assert_ok(fit(&x, *task, 3, &s, &n, &err), err);
            const char *at = strstr(s.document.data, s.references[0]);
            double share = (double)(at - s.document.data) / (double)s.document.bytes;
            assert_true(fabs(s.depth - x.w.depth) < 0.07);
            if (fabs(share - x.w.depth) > 0.15) fail_msg("%s: depth %.2f, at %.2f", (*task)->name, x.w.depth, share);
            mn_task_sample_release(&s);
        }
    }
    assert_int_equal(n_tasks, 9);
    world_close(&x);
}

/* The common words are the most frequent of the list, the frequent ones of the coded text, and by how much. */
static void test_counted_words(void **state) {
    (void)state;
    world x;
    world_open(&x);
    mn_task_sample s;
    mn_error err;
    int64_t n;
    x.w.length = 4096;
    mn_task_sample_init(&s);
    assert_ok(fit(&x, &mn_task_cwe, 1, &s, &n, &err), err);
    const char *list = strstr(s.document.data, "are: 1. "); /* the worked example's answer: the list follows */
    assert_non_null(list);
    list = strchr(list, '\n');
    for (int i = 0; i < s.n_references; i++) {
        char spelled[64];
        snprintf(spelled, sizeof spelled, ". %s ", s.references[i]);
        int times = occurrences(list, spelled);
        assert_true(times == 30 || times == 29); /* the list's last word has no blank behind it */
    }
    assert_ok(fit(&x, &mn_task_fwe, 1, &s, &n, &err), err);
    int first = occurrences(s.document.data, s.references[0]), second = occurrences(s.document.data, s.references[1]);
    int third = occurrences(s.document.data, s.references[2]), dots = occurrences(s.document.data, "... ");
    assert_true(dots > first && first > second && second > third && third > 0);
    assert_true(abs(first - dots / 4) <= 2 && abs(second - dots / 9) <= 2 && abs(third - dots / 16) <= 2);
    mn_task_sample_release(&s);
    world_close(&x);
}

/* Breadth-first search done again over the text of the sample. */
static void test_graph_answers(void **state) {
    (void)state;
    enum { MOST = 4096 };
    world x;
    world_open(&x);
    x.w.length = 2048;
    for (uint64_t seed = 0; seed < 30; seed++) {
        mn_task_sample s;
        mn_error err;
        int64_t n;
        char(*edges)[2][9] = malloc(MOST * sizeof *edges);
        int n_edges = 0;
        mn_task_sample_init(&s);
        assert_ok(fit(&x, &mn_task_graphwalks, seed, &s, &n, &err), err);
        const char *graph = strstr(s.document.data, "The graph:\n") + 11;
        for (const char *p = graph; sscanf(p, "%8s -> %8s", edges[n_edges][0], edges[n_edges][1]) == 2; n_edges++)
            p = strchr(p, '\n') + 1;
        char start[9], (*reached)[9] = calloc(MOST, 9);
        int depth = 1, n_reached = 0, n_right = 0, begin = 0, end = 0;
        bool parents = sscanf(s.question.data, "Which nodes are parents of %8[0-9a-f]", start) == 1;
        if (parents) {
            for (int e = 0; e < n_edges; e++)
                if (!strcmp(edges[e][1], start)) strcpy(reached[n_reached++], edges[e][0]);
        } else {
            assert_int_equal(sscanf(s.question.data,
                                    "Breadth-first search starts at %8[0-9a-f]. Which nodes does it reach at depth %d",
                                    start, &depth),
                             2);
            strcpy(reached[n_reached++], start);
            for (int d = 0; d < depth; d++) {
                begin = end;
                end = n_reached;
                for (int r = begin; r < end; r++)
                    for (int e = 0; e < n_edges; e++) {
                        bool known = strcmp(edges[e][0], reached[r]) != 0;
                        for (int k = 0; k < n_reached && !known; k++) known = !strcmp(reached[k], edges[e][1]);
                        if (!known) strcpy(reached[n_reached++], edges[e][1]);
                    }
            }
        }
        for (int r = parents ? 0 : end; r < n_reached; r++)
            for (int i = 0; i < s.n_references; i++) n_right += !strcmp(reached[r], s.references[i]);
        assert_int_equal(n_right, s.n_references);
        assert_int_equal(n_reached - (parents ? 0 : end), s.n_references);
        free(edges);
        free(reached);
        mn_task_sample_release(&s);
    }
    world_close(&x);
}

static void test_refusals(void **state) {
    (void)state;
    world x;
    world_open(&x);
    mn_task_sample s;
    mn_error err;
    int64_t n;
    x.w.length = 100;
    mn_task_sample_init(&s);
    assert_int_equal(fit(&x, &mn_task_niah_single_1, 1, &s, &n, &err), MN_ERR_LIMIT);
    assert_non_null(strstr(err.text, "100"));
    assert_null(mn_task_find("niah"));
    assert_ptr_equal(mn_task_find("vt"), &mn_task_vt);
    mn_qa_set qa;
    const char *path = temp_path("bad.jsonl");
    FILE *f = fopen(path, "w");
    fputs("{\"question\": \"x\", \"answers\": [\"y\"], \"passages\": []}\n\n{\"question\": 3}\n", f);
    fclose(f);
    assert_int_equal(mn_qa_set_read(path, &qa, &err), MN_ERR_FORMAT);
    assert_non_null(strstr(err.text, "line 3"));
    mn_qa_set_release(&qa);
    mn_task_sample_release(&s);
    world_close(&x);
}

/* An empty answer is found in every text, and a sample holds so many. */
static void test_answers_of_questions(void **state) {
    (void)state;
    static const struct {
        int n;
        const char *answer, *sentence;
    } cases[] = {{0, "", "\"answers\" holds 0 texts (wanted: 1 to 32)"},
                 {33, "a", "\"answers\" holds 33 texts (wanted: 1 to 32)"},
                 {2, "", "answer 1 is of 0 bytes"},
                 {1, " ", "answer 1 is of 1 bytes"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mn_qa_set qa;
        mn_error err;
        const char *path = temp_path("answers.jsonl");
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs("{\"question\": \"x\", \"passages\": [\"p\"], \"answers\": [", f);
        for (int k = 0; k < cases[i].n; k++) fprintf(f, "%s\"%s\"", k ? ", " : "", cases[i].answer);
        fputs("]}\n", f);
        fclose(f);
        assert_int_equal(mn_qa_set_read(path, &qa, &err), MN_ERR_FORMAT);
        if (!strstr(err.text, cases[i].sentence)) fail_msg("%s", err.text);
        mn_qa_set_release(&qa);
    }
}

/* A NUL in an answer ends a line, and no more than that. */
static void test_answer_with_nul(void **state) {
    (void)state;
    mn_task_sample s;
    mn_task_sample_init(&s);
    mn_task_add_reference(&s, "12345");
    assert_true(mn_task_score(&mn_task_passkey, &s, "It is\0 12345.", 14) == 1);
    assert_true(mn_task_score(&mn_task_passkey, &s,
                              "It is 12\0"
                              "345.",
                              13) == 0);
    mn_task_sample_release(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_of_questions),
        cmocka_unit_test(test_answer_with_nul),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_answers_occur),
        cmocka_unit_test(test_depths_as_asked),
        cmocka_unit_test(test_counted_words),
        cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_graph_answers),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
