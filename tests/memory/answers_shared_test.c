/* Whether what recall finds holds the answers, without a judge: LoCoMo's questions with a short answer, asked of each
 * conversation; the share whose answer stands word by word in the ten messages found, and ROUGE-L's recall (Lin 2004),
 * the longest common subsequence of answer and messages over the answer's words. */
#include "memory/locomo.h"

#include "base/strbuf.h"
#include "graph/words.h"

enum { K = 10, N_CATEGORIES = 6, SINGLE_HOP = 4, MAX_ANSWER = 64 };

typedef struct tally {
    double whole, rouge;
    int n;
} tally;

/* The terms of a text, without function words. */
static uint32_t *terms_of(mn_lexicon *lexicon, const char *text, size_t bytes, size_t *n) {
    mn_word_list words = {0};
    assert_ok(mn_words_find(lexicon, text, bytes, &words, &import_err), import_err);
    uint32_t *terms = malloc((words.n + 1) * sizeof *terms);
    *n = 0;
    for (size_t i = 0; i < words.n; i++)
        if (!(words.items[i].traits & MN_WORD_STOP)) terms[(*n)++] = mn_word_term(lexicon, &words.items[i]);
    mn_word_list_release(&words);
    return terms;
}

static size_t common_subsequence(const uint32_t *a, size_t n, const uint32_t *b, size_t m) {
    size_t row[MAX_ANSWER + 1] = {0};
    for (size_t k = 0; k < m; k++) {
        size_t before = 0;
        for (size_t i = 1; i <= n; i++) {
            size_t old = row[i];
            row[i] = a[i - 1] == b[k] ? before + 1 : row[i] > row[i - 1] ? row[i] : row[i - 1];
            before = old;
        }
    }
    return row[n];
}

static bool stands_in(const uint32_t *a, size_t n, const uint32_t *b, size_t m) {
    for (size_t k = 0; k + n <= m; k++)
        if (!memcmp(a, b + k, n * sizeof *a)) return true;
    return false;
}

static void ask(mn_store *store, int64_t agent, mn_recall_index *index, mn_lexicon *lexicon, const json_t *q,
                tally *tallies) {
    mn_recall_hit hits[K];
    uint32_t n_hits;
    size_t n, m;
    mn_strbuf text = MN_STRBUF_INIT;
    int category = (int)json_integer_value(json_object_get(q, "category"));
    const char *answer = json_string_value(json_object_get(q, "answer"));
    char number_[32];
    if (json_is_integer(json_object_get(q, "answer"))) {
        snprintf(number_, sizeof number_, "%lld", (long long)json_integer_value(json_object_get(q, "answer")));
        answer = number_;
    }
    if (!answer) return; /* of questions that have none */
    assert_ok(
        mn_recall_index_search(index, json_string_value(json_object_get(q, "question")), K, hits, &n_hits, &import_err),
        import_err);
    for (uint32_t i = 0; i < n_hits; i++) {
        mn_message_copy message;
        bool found;
        assert_ok(mn_recall_get(store, agent, hits[i].message, &message, &found, &import_err), import_err);
        mn_strbuf_printf(&text, "%s\n", message.at.text);
        mn_message_release(&message);
    }
    uint32_t *gold = terms_of(lexicon, answer, strlen(answer), &n), *got = terms_of(lexicon, text.data, text.bytes, &m);
    if (n && n <= MAX_ANSWER)
        for (int c = 0; c <= category; c += category) {
            tallies[c].whole += stands_in(gold, n, got, m);
            tallies[c].rouge += (double)common_subsequence(gold, n, got, m) / (double)n;
            tallies[c].n++;
        }
    free(gold);
    free(got);
    mn_strbuf_release(&text);
}

static void answers_are_in_what_is_found(void **state) {
    (void)state;
    tally tallies[N_CATEGORIES] = {0};
    json_t *data = load();
    for (size_t i = 0; i < 10; i++) {
        int64_t agent;
        mn_recall_index *index;
        mn_lexicon lexicon = {0};
        mn_store *store = with_importer("answers.db", &agent);
        import_conversation(store, agent, json_array_get(data, i), "");
        assert_ok(mn_recall_index_open(store, agent, &index, &import_err), import_err);
        const json_t *questions = json_object_get(json_array_get(data, i), "qa");
        for (size_t k = 0; k < json_array_size(questions); k++)
            ask(store, agent, index, &lexicon, json_array_get(questions, k), tallies);
        mn_recall_index_close(index);
        mn_lexicon_release(&lexicon);
        mn_store_close(store);
    }
    json_decref(data);
    for (int c = 0; c < N_CATEGORIES; c++)
        if (tallies[c].n)
            printf("category %d: %d questions, answer whole in %.1f %%, ROUGE-L recall %.3f\n", c, tallies[c].n,
                   100 * tallies[c].whole / tallies[c].n, tallies[c].rouge / tallies[c].n);
    assert_true(tallies[SINGLE_HOP].rouge / tallies[SINGLE_HOP].n > 0.5);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers_are_in_what_is_found)};
    return outcome(cmocka_run_group_tests(tests, NULL, NULL));
}
