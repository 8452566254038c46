#include "memory/import_cases.h"

#include <signal.h>
#include <sys/resource.h>

/* A limit on the size of files stands for a full disk: the figures are those of what is there, and the rest comes when
 * there is room. */
static void a_full_disk_counts_what_it_kept(void **state) {
    (void)state;
    enum { N = 4500 };
    char *text;
    size_t bytes;
    int64_t agent;
    mn_import_figures f;
    struct rlimit before, small;
    FILE *lines = open_memstream(&text, &bytes);
    for (int i = 0; i < N; i++)
        fprintf(lines, "{\"id\": %d, \"text\": \"Message %d, with words that take room: %0200d.\"}\n", i, i, i);
    fclose(lines);
    mn_store *store = with_importer("import-full.db", &agent);
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 2 << 20;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    mn_status status = import_text(store, agent, text, bytes, &f);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(status, MN_ERR_IO);
    int64_t n_kept = n_messages(store, agent);
    assert_in_range(n_kept, 1, N - 1);
    assert_int_equal(f.n_new, n_kept);
    assert_ok(import_text(store, agent, text, bytes, &f), import_err);
    assert_int_equal(f.n_known, n_kept);
    assert_int_equal(f.n_new, N - n_kept);
    mn_store_close(store);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {IMPORT_CASES, cmocka_unit_test(a_full_disk_counts_what_it_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
