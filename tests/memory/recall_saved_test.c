#include "memory/recall_saved_cases.h"

#include <signal.h>
#include <sys/resource.h>

/* A limit on the size of files stands for a full disk: all is found, and kept when there is room again. */
static void a_full_disk_keeps_no_index_and_finds_all(void **state) {
    (void)state;
    int64_t agent;
    mn_recall_index *index;
    mn_store *store = with_importer("recall-full.db", &agent);
    struct rlimit before, small;
    add_messages(store, agent, 0, 5000);
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 1 << 14;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    assert_ok(mn_recall_index_open(store, agent, &index, &import_err), import_err);
    check_same(store, agent, index);
    mn_recall_index_close(index);
    setrlimit(RLIMIT_FSIZE, &before);
    open_and_check(store, agent, 1);
    mn_store_close(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {RECALL_SAVED_CASES, cmocka_unit_test(a_full_disk_keeps_no_index_and_finds_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
