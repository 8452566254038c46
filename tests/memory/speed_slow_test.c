/* How fast recall is at N messages, in an SQLite file and in PostgreSQL, where a server can be started: figures to
 * print, and that the messages looked for are found at any size. N is 10^4; arguments are other numbers of messages,
 * and "sqlite" or "postgres" for one of the stores alone. */
#include "memory/importer.h"

#include "base/clock.h"
#include "base/random.h"

#ifdef MNEMO_HAVE_POSTGRES
#include "store/server.h"
#endif

#include <math.h>
#include <sys/stat.h>

enum { N_WORDS = 3000, MESSAGE_WORDS = 20, BATCH = 1000, N_SINGLE = 200, N_SEARCHES = 60 };

typedef struct figures {
    double bulk, single, durable;                /* messages a second */
    double match50, match99, window50, window99; /* ms */
    double open, again, bytes;                   /* ms to the first answer: index made, index kept; of a message */
} figures;

/* The i-th word comes with a share of 1 / i, as words do. */
static void write_message(mn_random *rng, int64_t number, char *out, size_t bytes) {
    size_t n = (size_t)snprintf(out, bytes, "note%lld", (long long)number);
    for (int i = 0; i < MESSAGE_WORDS; i++) {
        int word = (int)exp(mn_random_double(rng) * log(N_WORDS)) - 1;
        n += (size_t)snprintf(out + n, bytes - n, " w%d", word);
    }
}

/* batch NULL: a transaction of its own. */
static void add(mn_store *store, int64_t agent, mn_recall_batch *batch, mn_random *rng, int64_t number) {
    char text[512], session[32];
    int64_t id;
    write_message(rng, number, text, sizeof text);
    snprintf(session, sizeof session, "s%lld", (long long)number / 20);
    const mn_message m = {.role = number % 2 ? "assistant" : "user",
                          .name = number % 2 ? "Ben" : "Ann",
                          .session = session,
                          .time = 1600000000 + number,
                          .text = text,
                          .bytes = strlen(text)};
    assert_ok(batch ? mn_recall_batch_add(batch, &m, &id, &import_err)
                    : mn_recall_add(store, agent, &m, &id, &import_err),
              import_err);
}

static double fill(mn_store *store, int64_t agent, mn_random *rng, int64_t n) {
    double start = mn_clock_seconds();
    for (int64_t i = 0; i < n; i += BATCH) {
        mn_recall_batch batch;
        assert_ok(mn_store_begin(store, &import_err), import_err);
        assert_ok(mn_recall_batch_begin(&batch, store, agent, &import_err), import_err);
        for (int64_t k = i; k < i + BATCH && k < n; k++) add(store, agent, &batch, rng, k);
        assert_ok(mn_recall_batch_end(&batch, &import_err), import_err);
        assert_ok(mn_store_commit(store, &import_err), import_err);
    }
    return (double)n / (mn_clock_seconds() - start);
}

static double add_singly(mn_store *store, int64_t agent, mn_random *rng, int64_t from) {
    double start = mn_clock_seconds();
    for (int i = 0; i < N_SINGLE; i++) add(store, agent, NULL, rng, from + i);
    return N_SINGLE / (mn_clock_seconds() - start);
}

static int by_value(const void *a, const void *b) {
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* The message that is looked for and two words of any. */
static void search(mn_store *store, int64_t agent, mn_recall_index *index, int64_t n, double *p50, double *p99) {
    double ms[N_SEARCHES];
    for (int i = 0; i < N_SEARCHES; i++) {
        char question[96];
        mn_recall_hit hits[10];
        uint32_t n_hits;
        int64_t number = n - 1 - i * (n / N_SEARCHES);
        snprintf(question, sizeof question, "note%lld w%d w%d", (long long)number, i * 37 % N_WORDS, i * 91 % N_WORDS);
        const mn_recall_query query = {.words = question, .limit = 10};
        double start = mn_clock_seconds();
        if (index)
            assert_ok(mn_recall_index_search(index, question, 10, hits, &n_hits, &import_err), import_err);
        else
            assert_ok(mn_recall_match(store, agent, &query, hits, &n_hits, NULL, &import_err), import_err);
        ms[i] = 1e3 * (mn_clock_seconds() - start);
        assert_true(n_hits > 0);
        bool found = false;
        for (uint32_t h = 0; h < n_hits; h++) {
            char want[32];
            mn_message_copy m;
            snprintf(want, sizeof want, "note%lld ", (long long)number);
            assert_ok(mn_recall_get(store, agent, hits[h].message, &m, &found, &import_err), import_err);
            found = found && !strncmp(m.at.text, want, strlen(want));
            mn_message_release(&m);
            if (found) break;
        }
        if (index) assert_true(found);
    }
    qsort(ms, N_SEARCHES, sizeof *ms, by_value);
    *p50 = ms[N_SEARCHES / 2];
    *p99 = ms[N_SEARCHES - 1];
}

/* What a program that starts waits for its first answer, in ms. */
static double first_answer(mn_store *store, int64_t agent) {
    mn_recall_index *index;
    mn_recall_hit hits[10];
    uint32_t n_hits;
    double start = mn_clock_seconds();
    assert_ok(mn_recall_index_open(store, agent, &index, &import_err), import_err);
    assert_ok(mn_recall_index_search(index, "note7 w3 w11", 10, hits, &n_hits, &import_err), import_err);
    double ms = 1e3 * (mn_clock_seconds() - start);
    assert_int_equal(n_hits, 10);
    mn_recall_index_close(index);
    return ms;
}

static double size_of(mn_store *store) {
    struct stat about;
    int64_t bytes = 0;
    if (server_folder)
        mn_store_number(store, 0, &bytes, NULL, "SELECT pg_database_size(current_database())", "");
    else if (!stat(mn_store_name(store), &about))
        bytes = about.st_size;
    return (double)bytes;
}

static figures measure(int64_t n) {
    figures f = {0};
    int64_t agent;
    mn_random rng;
    mn_recall_index *index;
    mn_random_seed(&rng, 1, (uint64_t)n);
    mn_store *store = with_importer("speed.db", &agent);
    double before = size_of(store);
    f.bulk = fill(store, agent, &rng, n);
    f.bytes = (size_of(store) - before) / (double)n;
    f.single = add_singly(store, agent, &rng, n);
    search(store, agent, NULL, n, &f.match50, &f.match99);
    f.open = first_answer(store, agent);
    f.again = first_answer(store, agent);
    assert_ok(mn_recall_index_open(store, agent, &index, &import_err), import_err);
    search(store, agent, index, n, &f.window50, &f.window99);
    mn_recall_index_close(index);
    if (!server_folder) {
        char path[4096];
        snprintf(path, sizeof path, "%s", mn_store_name(store));
        mn_store_close(store);
        assert_ok(mn_store_open(path, &(mn_store_options){.durable = true}, &store, &import_err), import_err);
    } else {
        assert_ok(mn_store_exec(store, "SET synchronous_commit = on", &import_err), import_err);
    }
    f.durable = add_singly(store, agent, &rng, n + N_SINGLE);
    mn_store_close(store);
    return f;
}

static int64_t sizes[8] = {10000};
static int n_sizes = 1;

static void speeds(void **state) {
    (void)state;
    print_message("| store | messages | bulk/s | single/s | durable/s | full text ms p50 p99 | index made, kept ms | "
                  "windows ms p50 p99 "
                  "| bytes |\n");
    for (int i = 0; i < n_sizes; i++) {
        figures f = measure(sizes[i]);
        print_message("| %s | %lld | %.0f | %.0f | %.0f | %.2f %.2f | %.0f %.0f | %.2f %.2f | %.0f |\n",
                      server_folder ? "PostgreSQL" : "SQLite", (long long)sizes[i], f.bulk, f.single, f.durable,
                      f.match50, f.match99, f.open, f.again, f.window50, f.window99, f.bytes);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(speeds)};
    bool file = true, server = true;
    int failed = 0, n = 0;
    for (int i = 1; i < argc; i++) {
        server = server && strcmp(argv[i], "sqlite") != 0;
        file = file && strcmp(argv[i], "postgres") != 0;
        if (atoll(argv[i]) > 0 && n < 8) sizes[n++] = atoll(argv[i]);
    }
    if (n) n_sizes = n;
    if (file) failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (!server) return failed;
#ifdef MNEMO_HAVE_POSTGRES
    if (find_server() && start_server()) {
        server_folder = folder;
        failed += cmocka_run_group_tests(tests, NULL, NULL);
        stop_server();
    } else {
        puts("PostgreSQL: not measured, there is no server here that a test can start");
    }
#endif
    return failed;
}
