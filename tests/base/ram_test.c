/* base/ram: what control groups leave, read from directories that look like a system. */
#include "base/ram.h"

#include "support/support.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char root[4096];

/* Writes root/PATH with the folders above it. */
static void put(const char *path, const char *text) {
    char full[8192];
    snprintf(full, sizeof full, "%s/%s", root, path);
    for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int new_root(void **state) {
    (void)state;
    snprintf(root, sizeof root, "%s", temp_path("root-XXXXXX"));
    assert_non_null(mkdtemp(root));
    put("proc/meminfo", "MemTotal:       9000 kB\nMemFree:        10 kB\nMemAvailable:   8000 kB\n");
    return 0;
}

static int drop_root(void **state) {
    (void)state;
    char command[8192];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static void without_groups_the_system_decides(void **state) {
    (void)state;
    assert_true(mn_ram_free_under(root) == 8000 * 1024);
    assert_true(mn_ram_free_under("/nowhere/at/all") == SIZE_MAX);
    assert_true(mn_ram_free() > 0);
}

static const char version_2[] =
    "22 1 0:5 / /proc rw - proc proc rw\n31 23 0:28 / /sys/fs/cgroup rw,relatime shared:4 - "
    "cgroup2 cgroup2 rw,nsdelegate\n";

static void the_tightest_of_nested_groups_counts(void **state) {
    (void)state;
    put("proc/self/mountinfo", version_2);
    put("proc/self/cgroup", "0::/user/job/step\n");
    put("sys/fs/cgroup/user/job/step/memory.max", "max\n");
    put("sys/fs/cgroup/user/job/step/memory.high", "max\n");
    put("sys/fs/cgroup/user/job/step/memory.current", "1000\n");
    put("sys/fs/cgroup/user/job/memory.max", "5000000\n");
    put("sys/fs/cgroup/user/job/memory.current", "3000000\n");
    put("sys/fs/cgroup/user/job/memory.stat", "anon 1\nfile 900000\ninactive_file 500000\nactive_file 200000\n");
    put("sys/fs/cgroup/user/memory.max", "9000000\n");
    put("sys/fs/cgroup/user/memory.current", "4000000\n");
    assert_true(mn_ram_free_under(root) == 2700000); /* of the middle one; its 700000 of files can be taken back */
    put("sys/fs/cgroup/user/memory.high", "5500000\n");
    assert_true(mn_ram_free_under(root) == 1500000); /* the soft limit of the outer one */
    put("sys/fs/cgroup/user/job/step/memory.max", "1500\n");
    assert_true(mn_ram_free_under(root) == 500);
    put("sys/fs/cgroup/user/job/step/memory.current", "1600\n");
    assert_true(mn_ram_free_under(root) == 0);
}

static void a_container_sees_its_own_group_at_the_top(void **state) {
    (void)state;
    put("proc/self/mountinfo", version_2);
    put("proc/self/cgroup", "0::/\n");
    put("sys/fs/cgroup/memory.max", "6000000\n");
    put("sys/fs/cgroup/memory.current", "1000000\n");
    assert_true(mn_ram_free_under(root) == 5000000);
    put("proc/self/cgroup", "0::/../../elsewhere\n"); /* a group outside what this place shows */
    assert_true(mn_ram_free_under(root) == 5000000);
}

static void version_1_has_other_names(void **state) {
    (void)state;
    put("proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
                               "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
                               "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
                               "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    put("proc/self/cgroup", "9:name=systemd:/\n4:memory:/box/one\n1:cpu:/\n0::/\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("sys/fs/cgroup/memory/memory.usage_in_bytes", "123456789\n");
    put("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "7000000\n");
    put("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "6000000\n");
    put("sys/fs/cgroup/memory/box/memory.stat", "cache 9\ntotal_inactive_file 2000000\ntotal_active_file 1000000\n");
    put("sys/fs/cgroup/memory/box/one/memory.limit_in_bytes", "9223372036854771712\n");
    put("sys/fs/cgroup/memory/box/one/memory.usage_in_bytes", "10\n");
    assert_true(mn_ram_free_under(root) == 4000000);
}

/* As in a container of version 1: the group's path is the host's, the mount shows that group alone. */
static void a_mounted_part_of_the_groups_is_found(void **state) {
    (void)state;
    put("proc/self/mountinfo", "35 31 0:32 /docker/abc /sys/fs/cgroup\\040one/memory ro - cgroup cgroup rw,memory\n");
    put("proc/self/cgroup", "4:cpu,memory:/docker/abc/inner\n");
    put("sys/fs/cgroup one/memory/memory.limit_in_bytes", "5000000\n");
    put("sys/fs/cgroup one/memory/memory.usage_in_bytes", "1000000\n");
    put("sys/fs/cgroup one/memory/inner/memory.limit_in_bytes", "3000000\n");
    put("sys/fs/cgroup one/memory/inner/memory.usage_in_bytes", "1000000\n");
    assert_true(mn_ram_free_under(root) == 2000000);
    put("proc/self/cgroup", "4:cpu,memory:/docker/abcdef\n");
    assert_true(mn_ram_free_under(root) == 4000000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_groups_the_system_decides, new_root, drop_root),
        cmocka_unit_test_setup_teardown(the_tightest_of_nested_groups_counts, new_root, drop_root),
        cmocka_unit_test_setup_teardown(a_container_sees_its_own_group_at_the_top, new_root, drop_root),
        cmocka_unit_test_setup_teardown(version_1_has_other_names, new_root, drop_root),
        cmocka_unit_test_setup_teardown(a_mounted_part_of_the_groups_is_found, new_root, drop_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
