/* What is true of SQLite files alone: files that are no stores, other processes, kills, a disk without room. */
#include "store/stores.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static const mn_migration steps[] = {{.sql = "CREATE TABLE note (id {serial}, text TEXT)"}};
static mn_error err;

static void write_file(const char *path, const char *text, size_t bytes) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, bytes, file), bytes);
    fclose(file);
}

static void other_files_are_refused_and_left_alone(void **state) {
    (void)state;
    static const char rubbish[] = "this is a letter, and no database at all, whatever its name may say of it.\n";
    char path[4096];
    mn_store *store;
    snprintf(path, sizeof path, "%s", temp_path("rubbish.db"));
    write_file(path, rubbish, sizeof rubbish - 1);
    assert_int_equal(mn_store_open(path, NULL, &store, &err), MN_ERR_FORMAT);
    assert_null(store);
    assert_non_null(strstr(err.text, "no SQLite file"));
    size_t bytes;
    char *now = read_all(path, &bytes);
    assert_int_equal(bytes, sizeof rubbish - 1);
    assert_memory_equal(now, rubbish, bytes);
    free(now);
    assert_int_equal(mn_store_open("/no/such/folder/x.db", NULL, &store, &err), MN_ERR_IO);
    assert_non_null(strstr(err.text, "folder"));
    const mn_store_options options = {.must_exist = true};
    unlink(path);
    assert_int_equal(mn_store_open(path, &options, &store, &err), MN_ERR_IO);
    assert_non_null(strstr(err.text, "no store"));
    assert_int_not_equal(access(path, F_OK), 0);
}

/* Bytes of a store overwritten: opening or reading says that the file is damaged, and never crashes. */
static void damaged_files_say_so(void **state) {
    (void)state;
    mn_store *store = new_store("damaged.db");
    char path[4096], noise[512];
    snprintf(path, sizeof path, "%s", mn_store_name(store));
    assert_ok(mn_store_migrate(store, "notes", steps, 1, &err), err);
    for (int i = 0; i < 500; i++)
        assert_ok(mn_store_run(store, &err, "INSERT INTO note (text) VALUES ($1)", "t", "some text, again and again"),
                  err);
    mn_store_close(store);
    memset(noise, 0xa5, sizeof noise);
    FILE *file = fopen(path, "r+b");
    for (long at = 4096; at < 20000; at += 4096) {
        fseek(file, at, SEEK_SET);
        fwrite(noise, 1, sizeof noise, file);
    }
    fclose(file);
    mn_status status = mn_store_open(path, NULL, &store, &err);
    if (status == MN_OK) {
        int64_t n;
        status = mn_store_number(store, 0, &n, &err, "SELECT sum(length(text)) FROM note", "");
        mn_store_close(store);
    }
    assert_int_equal(status, MN_ERR_FORMAT);
    assert_non_null(strstr(err.text, "damaged"));
}

/* A writer killed at any moment: the rows of each commit are all there or all missing, and counted from 1 on. */
static void kills_lose_nothing_committed(void **state) {
    (void)state;
    char path[4096];
    mn_store *store = new_store("killed.db");
    snprintf(path, sizeof path, "%s", mn_store_name(store));
    assert_ok(mn_store_migrate(store, "notes", steps, 1, &err), err);
    mn_store_close(store);
    int64_t committed = 0;
    for (int round = 0; round < 10; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            if (mn_store_open(path, NULL, &store, NULL) != MN_OK) _exit(1);
            for (int64_t i = committed + 1;; i++) {
                if (mn_store_begin(store, NULL) != MN_OK) _exit(1);
                for (int k = 0; k < 3; k++) mn_store_run(store, NULL, "INSERT INTO note (text) VALUES ($1)", "i", i);
                if (mn_store_commit(store, NULL) != MN_OK || write(ends[1], &i, sizeof i) != sizeof i) _exit(1);
            }
        }
        close(ends[1]);
        int64_t said = 0;
        for (int i = 0; i < 5 + 7 * round; i++) assert_int_equal(read(ends[0], &said, sizeof said), sizeof said);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(ends[0], &said, sizeof said) == sizeof said) continue;
        close(ends[0]);
        assert_ok(mn_store_open(path, NULL, &store, &err), err);
        int64_t n, largest;
        assert_ok(mn_store_number(store, 0, &n, &err, "SELECT count(*) FROM note", ""), err);
        assert_ok(mn_store_number(store, 0, &largest, &err, "SELECT max(CAST(text AS INTEGER)) FROM note", ""), err);
        assert_int_equal(n, 3 * largest);
        assert_true(largest == said || largest == said + 1);
        committed = largest;
        mn_store_close(store);
    }
}

/* A limit on the size of files stands for a full disk. */
static void a_full_disk_is_a_sentence(void **state) {
    (void)state;
    mn_store *store = new_store("full.db");
    assert_ok(mn_store_migrate(store, "notes", steps, 1, &err), err);
    assert_ok(mn_store_run(store, &err, "INSERT INTO note (text) VALUES ('first')", ""), err);
    char *large = calloc(1, 4 << 20);
    memset(large, 'x', (4 << 20) - 1);
    struct rlimit before, small;
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 1 << 20;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    mn_status status = mn_store_run(store, &err, "INSERT INTO note (text) VALUES ($1)", "t", large);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(status, MN_ERR_IO);
    assert_true(strlen(err.text) > 20);
    int64_t n;
    assert_ok(mn_store_number(store, 0, &n, &err, "SELECT count(*) FROM note", ""), err);
    assert_int_equal(n, 1);
    assert_ok(mn_store_run(store, &err, "INSERT INTO note (text) VALUES ($1)", "t", large), err);
    mn_store_close(store);
    free(large);
}

static char *exported(mn_store *store, size_t *bytes) {
    char *text;
    FILE *out = open_memstream(&text, bytes);
    assert_ok(mn_store_export(store, out, &err), err);
    fclose(out);
    return text;
}

/* Names of files may be no UTF-8; PostgreSQL takes no such text. */
static void texts_of_other_encodings_stay_texts(void **state) {
    (void)state;
    size_t bytes, bytes2;
    int64_t n;
    mn_store *store = new_store("latin.db"), *copy = new_store("latin-copy.db");
    assert_ok(mn_store_migrate(store, "notes", steps, 1, &err), err);
    assert_ok(mn_store_migrate(copy, "notes", steps, 1, &err), err);
    assert_ok(mn_store_run(store, &err, "INSERT INTO note (text) VALUES ($1)", "t", "caf\xe9.txt"), err);
    char *first = exported(store, &bytes);
    FILE *in = fmemopen(first, bytes, "r");
    assert_ok(mn_store_import(copy, NULL, 0, in, &n, &err), err);
    fclose(in);
    assert_ok(mn_store_number(copy, 0, &n, &err, "SELECT count(*) FROM note WHERE typeof(text) = 'text' AND text = $1",
                              "t", "caf\xe9.txt"),
              err);
    assert_int_equal(n, 1);
    char *second = exported(copy, &bytes2);
    assert_int_equal(bytes2, bytes);
    assert_memory_equal(first, second, bytes);
    free(first);
    free(second);
    mn_store_close(store);
    mn_store_close(copy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_files_are_refused_and_left_alone), cmocka_unit_test(damaged_files_say_so),
        cmocka_unit_test(kills_lose_nothing_committed),           cmocka_unit_test(a_full_disk_is_a_sentence),
        cmocka_unit_test(texts_of_other_encodings_stay_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
