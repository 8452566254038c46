/* Recall by meaning: vectors are made once, and a message that shares no word with the question is found where its
 * vector is near; the joined ranking is that of reciprocal ranks. */
#include "memory/importer.h"

#include "memory/recall_near.h"

#include <math.h>

enum { N = 150 };

static void vectors_are_made_once_and_join_the_ranking(void **state) {
    (void)state;
    char *text;
    size_t bytes;
    int64_t agent, n;
    mn_import_figures f;
    mn_engine *engine;
    mn_recall_near *near;
    mn_recall_index *index;
    mn_recall_hit hits[10], words[10];
    uint32_t n_hits, n_words;
    mn_store *store = with_importer("near.db", &agent);
    FILE *out = open_memstream(&text, &bytes);
    for (int i = 0; i < N; i++) fprintf(out, "{\"id\": %d, \"text\": \"Message %d is about box%d.\"}\n", i, i, i * 7);
    fprintf(out, "{\"role\": \"tool\", \"text\": \"box7 of a tool\"}\n");
    fclose(out);
    assert_ok(import_text(store, agent, text, bytes, &f), import_err);
    free(text);
    assert_ok(
        mn_engine_open(data_path("golden/tiny-llama.gguf"), &(mn_engine_params){.n_threads = 1}, &engine, &import_err),
        import_err);
    assert_ok(mn_recall_near_open(store, agent, engine, &near, &import_err), import_err);
    assert_ok(mn_recall_near_fill(near, NULL, NULL, &n, &import_err), import_err);
    assert_int_equal(n, N);
    assert_ok(mn_recall_near_fill(near, NULL, NULL, &n, &import_err), import_err);
    assert_int_equal(n, 0);
    assert_ok(mn_recall_index_open(store, agent, &index, &import_err), import_err);
    /* The very words of a message: first by words and by its vector, so 1 / 61 twice. */
    assert_ok(mn_recall_near_search(near, index, "Message 41 is about box287.", 10, hits, &n_hits, &import_err),
              import_err);
    assert_ok(mn_recall_index_search(index, "Message 41 is about box287.", 10, words, &n_words, &import_err),
              import_err);
    assert_int_equal(n_hits, 10);
    assert_int_equal(hits[0].message, words[0].message);
    assert_true(fabs(hits[0].score - 2.0 / 61) < 1e-6);
    /* No word is known: vectors alone rank. */
    assert_ok(mn_recall_near_search(near, index, "zzz", 3, hits, &n_hits, &import_err), import_err);
    assert_int_equal(n_hits, 3);
    assert_true(fabs(hits[0].score - 1.0 / 61) < 1e-6);
    mn_recall_index_close(index);
    mn_recall_near_close(near);
    mn_engine_close(engine);
    /* Another model's vectors do not go with these. */
    assert_ok(mn_engine_open(data_path("golden/tiny-gpt2.gguf"), NULL, &engine, &import_err), import_err);
    assert_int_equal(mn_recall_near_open(store, agent, engine, &near, &import_err), MN_ERR_ARGUMENT);
    assert_null(near);
    mn_engine_close(engine);
    mn_store_close(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(vectors_are_made_once_and_join_the_ranking)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
