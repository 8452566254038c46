/* base/file: a file holds its old content or all of the new one, whatever happens on the way. */
#include "support/support.h"

#include <glob.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

static char path[4096];

static int setup(void **state) {
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path("file"));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    unlink(path);
    return 0;
}

static void write_file(const char *text, size_t bytes) {
    mn_writer writer;
    mn_error err;
    assert_ok(mn_writer_open(path, &writer, &err), err);
    mn_writer_put(&writer, text, bytes);
    assert_ok(mn_writer_commit(&writer, &err), err);
}

static void assert_content(const char *want) {
    size_t bytes;
    char *data = read_all(path, &bytes);
    assert_int_equal(bytes, strlen(want));
    assert_string_equal(data, want);
    free(data);
}

/* Files beside path that are called as temporary ones are. */
static int n_temporary(void) {
    char pattern[sizeof path + 8];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s.tmp.*", path);
    int n = glob(pattern, 0, NULL, &found) == 0 ? (int)found.gl_pathc : 0;
    if (n > 0) globfree(&found);
    return n;
}

static void committed_content_replaces(void **state) {
    (void)state;
    write_file("old content", 11);
    assert_content("old content");
    write_file("new", 3);
    assert_content("new");
}

static void aborted_content_is_gone(void **state) {
    (void)state;
    write_file("old", 3);
    mn_writer writer;
    mn_error err;
    assert_ok(mn_writer_open_named(path, &writer, &err), err);
    mn_writer_put(&writer, "new", 3);
    char *temp = strdup(writer.temp_path);
    assert_int_equal(access(temp, F_OK), 0);
    mn_writer_abort(&writer);
    mn_writer_abort(&writer);
    assert_int_equal(access(temp, F_OK), -1);
    free(temp);
    assert_content("old");
}

static void pads_with_zeros(void **state) {
    (void)state;
    mn_writer writer;
    mn_error err;
    assert_ok(mn_writer_open(path, &writer, &err), err);
    mn_writer_pad(&writer, 32);
    assert_int_equal(writer.offset, 0);
    mn_writer_put(&writer, "abc", 3);
    mn_writer_pad(&writer, 256);
    assert_int_equal(writer.offset, 256);
    mn_writer_pad(&writer, 256);
    mn_writer_put(&writer, "d", 1);
    assert_ok(mn_writer_commit(&writer, &err), err);
    size_t bytes;
    char *data = read_all(path, &bytes), zeros[253] = {0};
    assert_int_equal(bytes, 257);
    assert_memory_equal(data, "abc", 3);
    assert_memory_equal(data + 3, zeros, 253);
    assert_int_equal(data[256], 'd');
    free(data);
}

/* Runs body in a child; returns how the child ended. */
static int in_child(void (*body)(void)) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        body();
        _exit(1);
    }
    int ended;
    assert_int_equal(waitpid(child, &ended, 0), child);
    return ended;
}

static void die_in(mn_status (*open_writer)(const char *path, mn_writer *out, mn_error *err)) {
    mn_writer writer;
    static char block[100000];
    if (open_writer(path, &writer, NULL)) return;
    mn_writer_put(&writer, block, sizeof block);
    fflush(writer.file);
    kill(getpid(), SIGKILL);
}

static void die_nameless(void) { die_in(mn_writer_open); }
static void die_named(void) { die_in(mn_writer_open_named); }

static void a_killed_writer_leaves_the_old_file(void **state) {
    (void)state;
    write_file("old", 3);
    int ended = in_child(die_nameless);
    assert_true(WIFSIGNALED(ended) && WTERMSIG(ended) == SIGKILL);
    assert_content("old");
}

/* Where files need names, a killed writer leaves one, which the next writer removes; one that still writes is left. */
static void what_killed_writers_left_is_removed(void **state) {
    (void)state;
    mn_writer living, next;
    mn_error err;
    char legacy[sizeof path + 32], other[sizeof path + 32];
    assert_ok(mn_writer_open_named(path, &living, &err), err);
    in_child(die_named);
    assert_int_equal(n_temporary(), 2);
    snprintf(legacy, sizeof legacy, "%s.tmp.4194305", path); /* of a process that cannot be */
    snprintf(other, sizeof other, "%s.tmp.txt", path);       /* none of ours */
    fclose(fopen(legacy, "w"));
    fclose(fopen(other, "w"));
    assert_ok(mn_writer_open_named(path, &next, &err), err);
    assert_int_equal(access(living.temp_path, F_OK), 0);
    assert_int_equal(access(legacy, F_OK), -1);
    assert_int_equal(n_temporary(), 3); /* of the living, the next, and the other */
    mn_writer_put(&next, "next", 4);
    mn_writer_put(&living, "living", 6);
    assert_ok(mn_writer_commit(&next, &err), err);
    assert_ok(mn_writer_commit(&living, &err), err);
    assert_content("living");
    assert_int_equal(unlink(other), 0);
    assert_int_equal(n_temporary(), 0);
}

static void clean_up(int signal_number) {
    mn_writer_remove_all();
    _exit(signal_number);
}

static void be_ended_while_writing(void) {
    mn_writer writer;
    signal(SIGTERM, clean_up);
    if (mn_writer_open_named(path, &writer, NULL)) return;
    if (n_temporary() == 1) kill(getpid(), SIGTERM);
}

static void a_handler_can_remove_temporary_files(void **state) {
    (void)state;
    int ended = in_child(be_ended_while_writing);
    assert_true(WIFEXITED(ended));
    assert_int_equal(WEXITSTATUS(ended), SIGTERM);
    assert_int_equal(n_temporary(), 0);
}

static void links_are_followed(void **state) {
    (void)state;
    char link_path[sizeof path + 8];
    struct stat st;
    snprintf(link_path, sizeof link_path, "%s.link", path);
    write_file("old", 3);
    assert_int_equal(symlink(path, link_path), 0);
    mn_writer writer;
    mn_error err;
    assert_ok(mn_writer_open(link_path, &writer, &err), err);
    mn_writer_put(&writer, "new", 3);
    assert_ok(mn_writer_commit(&writer, &err), err);
    assert_int_equal(lstat(link_path, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    unlink(link_path);
    assert_content("new");
}

static void check_limited_room(void) {
    mn_error err;
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){.rlim_cur = 50000, .rlim_max = 50000});
    bool small = mn_file_check_room(path, 50000, &err) == MN_OK;
    bool large = mn_file_check_room(path, 50001, &err) == MN_OK;
    _exit(small && !large && strstr(err.text, "limited to 48.8 KiB") ? 0 : 2);
}

static void room_is_checked_before(void **state) {
    (void)state;
    mn_error err;
    unlink(path);
    assert_ok(mn_file_check_room(path, 1000, &err), err);
    assert_ok(mn_file_check_room("/dev/null", SIZE_MAX, &err), err);
    assert_int_equal(mn_file_check_room(path, (size_t)1 << 60, &err), MN_ERR_IO);
    assert_non_null(strstr(err.text, "iB are free there"));
    assert_int_equal(mn_file_check_room("/no/such/place", 1000, &err), MN_ERR_IO);
    assert_int_equal(access(path, F_OK), -1);
    int ended = in_child(check_limited_room);
    assert_true(WIFEXITED(ended));
    assert_int_equal(WEXITSTATUS(ended), 0);
    assert_int_equal(n_temporary(), 0);
}

/* A limit on file size stands for a disk that fills up half-way. */
static void write_too_much(void) {
    mn_writer writer;
    mn_error err;
    static char block[100000];
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){.rlim_cur = 50000, .rlim_max = 50000});
    if (mn_writer_open(path, &writer, &err)) return;
    mn_writer_put(&writer, block, sizeof block);
    mn_writer_put(&writer, "more", 4);
    bool told = mn_writer_commit(&writer, &err) == MN_ERR_IO && strstr(err.text, path) && strstr(err.text, "too large");
    _exit(told && n_temporary() == 0 ? 0 : 2);
}

static void a_disk_that_fills_up_leaves_the_old_file(void **state) {
    (void)state;
    write_file("old", 3);
    int ended = in_child(write_too_much);
    assert_true(WIFEXITED(ended));
    assert_int_equal(WEXITSTATUS(ended), 0);
    assert_content("old");
}

static void a_full_device_is_an_error(void **state) {
    (void)state;
    mn_writer writer;
    mn_error err;
    assert_ok(mn_writer_open("/dev/full", &writer, &err), err);
    assert_null(writer.temp_path);
    mn_writer_put(&writer, "x", 1);
    assert_int_equal(mn_writer_commit(&writer, &err), MN_ERR_IO);
    assert_non_null(strstr(err.text, "/dev/full"));
    assert_non_null(strstr(err.text, "No space left"));
}

static void a_place_that_is_not_there(void **state) {
    (void)state;
    mn_writer writer;
    mn_mapfile map;
    char *data;
    size_t bytes;
    mn_error err;
    assert_int_equal(mn_writer_open("/no/such/place", &writer, &err), MN_ERR_IO);
    assert_non_null(strstr(err.text, "/no/such/place"));
    assert_int_equal(mn_mapfile_open("/no/such/file", &map, &err), MN_ERR_IO);
    assert_int_equal(mn_file_read("/no/such/file", 10, &data, &bytes, &err), MN_ERR_IO);
    assert_int_equal(mn_mapfile_open("/tmp", &map, &err), MN_ERR_IO);
    assert_non_null(strstr(err.text, "directory"));
    assert_int_equal(mn_mapfile_open("/dev/null", &map, &err), MN_ERR_IO);
    assert_int_equal(mn_file_read("/tmp", 10, &data, &bytes, &err), MN_ERR_IO);
}

static void maps_what_was_written(void **state) {
    (void)state;
    mn_mapfile map;
    mn_error err;
    write_file("", 0);
    assert_ok(mn_mapfile_open(path, &map, &err), err);
    assert_null(map.data);
    mn_mapfile_close(&map);
    write_file("mapped", 6);
    assert_ok(mn_mapfile_open(path, &map, &err), err);
    assert_int_equal(map.bytes, 6);
    assert_memory_equal(map.data, "mapped", 6);
    mn_mapfile_close(&map);
    assert_null(map.data);
}

/* Around the sizes where the buffer doubles. */
static void reads_every_size(void **state) {
    (void)state;
    static char text[200000];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)(i * 31 % 251);
    const size_t sizes[] = {0, 1, 65534, 65535, 65536, 131071, 131072, 200000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        write_file(text, sizes[i]);
        char *data;
        size_t bytes;
        mn_error err;
        assert_ok(mn_file_read(path, sizes[i], &data, &bytes, &err), err);
        assert_int_equal(bytes, sizes[i]);
        assert_memory_equal(data, text, bytes);
        assert_int_equal(data[bytes], 0);
        free(data);
        if (sizes[i] == 0) continue;
        assert_int_equal(mn_file_read(path, sizes[i] - 1, &data, &bytes, &err), MN_ERR_LIMIT);
        assert_non_null(strstr(err.text, "longer than"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(committed_content_replaces),
                                       cmocka_unit_test(aborted_content_is_gone),
                                       cmocka_unit_test(pads_with_zeros),
                                       cmocka_unit_test(a_killed_writer_leaves_the_old_file),
                                       cmocka_unit_test(what_killed_writers_left_is_removed),
                                       cmocka_unit_test(a_handler_can_remove_temporary_files),
                                       cmocka_unit_test(links_are_followed),
                                       cmocka_unit_test(room_is_checked_before),
                                       cmocka_unit_test(a_disk_that_fills_up_leaves_the_old_file),
                                       cmocka_unit_test(a_full_device_is_an_error),
                                       cmocka_unit_test(a_place_that_is_not_there),
                                       cmocka_unit_test(maps_what_was_written),
                                       cmocka_unit_test(reads_every_size)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
