#include "base/ram.h"

#include "base/checked.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MAX_PATH = 4096 };

/* A version of control groups: what its files are called. */
typedef struct group_files {
    const char *limits[2]; /* NULL: there is one */
    const char *used;
    const char *cached[2]; /* in memory.stat: pages of files, which can be taken back */
} group_files;

static const group_files version_1 = {
    {"memory.limit_in_bytes", NULL}, "memory.usage_in_bytes", {"total_inactive_file ", "total_active_file "}};
static const group_files version_2 = {
    {"memory.max", "memory.high"}, "memory.current", {"inactive_file ", "active_file "}};

static FILE *open_in(const char *directory, const char *name) {
    char path[2 * MAX_PATH];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return fopen(path, "re");
}

/* The number after the first line's start `name`, -1 when there is none ("max" is none). */
static long long read_number(const char *directory, const char *file, const char *name) {
    char line[256];
    long long value = -1;
    FILE *f = open_in(directory, file);
    if (!f) return -1;
    while (value < 0 && fgets(line, sizeof line, f))
        if (!strncmp(line, name, strlen(name)) && sscanf(line + strlen(name), "%lld", &value) != 1) break;
    fclose(f);
    return value;
}

/* What one group leaves: its limit less what its processes hold beyond pages of files. */
static size_t group_free(const char *directory, const group_files *files) {
    long long limit = -1;
    for (int i = 0; i < 2 && files->limits[i]; i++) {
        long long one = read_number(directory, files->limits[i], "");
        if (one >= 0 && (limit < 0 || one < limit)) limit = one;
    }
    long long used = read_number(directory, files->used, "");
    if (limit < 0 || used < 0) return SIZE_MAX;
    for (int i = 0; i < 2; i++) used -= MN_MAX(read_number(directory, "memory.stat", files->cached[i]), 0);
    used = MN_MAX(used, 0);
    return limit > used ? (size_t)(limit - used) : 0;
}

/* The least that a group and those above it leave, up to the mount point. */
static size_t groups_free(const char *mount_point, const char *group, const group_files *files) {
    char directory[2 * MAX_PATH];
    size_t least, length = strlen(mount_point);
    snprintf(directory, sizeof directory, "%s%s", mount_point, strcmp(group, "/") ? group : "");
    for (least = SIZE_MAX;; *strrchr(directory, '/') = 0) {
        least = MN_MIN(least, group_free(directory, files));
        if (strlen(directory) <= length) return least;
    }
}

/* Where a hierarchy of groups is mounted, and which of its groups that place shows. */
typedef struct mount {
    char point[MAX_PATH], root[MAX_PATH];
    bool is_version_2;
} mount;

/* "\040" stands for a blank. */
static void unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from; to++) {
        bool escaped = from[0] == '\\' && strspn(from + 1, "01234567") >= 3;
        *to = escaped ? (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0')) : *from;
        from += escaped ? 4 : 1;
    }
    *to = 0;
}

/* A line of mountinfo (proc(5)): "ID PARENT MAJOR:MINOR ROOT POINT OPTIONS... - TYPE SOURCE SUPER-OPTIONS". */
static bool parse_mount(char *line, mount *out) {
    char *rest = strstr(line, " - "), type[32], options[256];
    if (!rest || sscanf(line, "%*s %*s %*s %4095s %4095s", out->root, out->point) != 2) return false;
    if (sscanf(rest, " - %31s %*s %255s", type, options) != 2) return false;
    unescape(out->root);
    unescape(out->point);
    out->is_version_2 = !strcmp(type, "cgroup2");
    return out->is_version_2 || (!strcmp(type, "cgroup") && strstr(options, "memory"));
}

/* The path of this process's group: a line "ID:CONTROLLERS:PATH", in version 2 "0::PATH". */
static bool find_group(const char *root, bool is_version_2, char out[MAX_PATH]) {
    char line[MAX_PATH + 256];
    bool found = false;
    FILE *f = open_in(root, "proc/self/cgroup");
    while (f && !found && fgets(line, sizeof line, f)) {
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) continue;
        *path++ = 0;
        path[strcspn(path, "\n")] = 0;
        found = is_version_2 ? !strncmp(line, "0:", 2) && !controllers[1] : strstr(controllers, "memory") != NULL;
        if (found) snprintf(out, MAX_PATH, "%.*s", MAX_PATH - 1, path);
    }
    if (f) fclose(f);
    return found;
}

/* The part of the group's path below what is mounted; "/" where it lies outside, so that the mounted one counts. */
static const char *below(const char *group, const char *mounted_root) {
    size_t bytes = strcmp(mounted_root, "/") ? strlen(mounted_root) : 0;
    bool inside = !strncmp(group, mounted_root, bytes) && (group[bytes] == '/' || !group[bytes]);
    return inside && group[bytes] && !strstr(group, "/..") ? group + bytes : "/";
}

static size_t all_groups_free(const char *root) {
    char line[4 * MAX_PATH], group[MAX_PATH], point[2 * MAX_PATH];
    size_t least = SIZE_MAX;
    mount m;
    FILE *f = open_in(root, "proc/self/mountinfo");
    while (f && fgets(line, sizeof line, f)) {
        if (!parse_mount(line, &m) || !find_group(root, m.is_version_2, group)) continue;
        snprintf(point, sizeof point, "%s%s", root, m.point);
        least = MN_MIN(least, groups_free(point, below(group, m.root), m.is_version_2 ? &version_2 : &version_1));
    }
    if (f) fclose(f);
    return least;
}

size_t mn_ram_free_under(const char *root) {
    long long kib = read_number(root, "proc/meminfo", "MemAvailable:");
    size_t system = kib < 0 ? SIZE_MAX : (size_t)kib * 1024;
    return MN_MIN(system, all_groups_free(root));
}

size_t mn_ram_free(void) { return mn_ram_free_under(""); }

size_t mn_ram_held(void) {
    unsigned long long mapped, held;
    FILE *f = open_in("", "proc/self/statm");
    if (!f) return 0;
    int n = fscanf(f, "%llu %llu", &mapped, &held);
    fclose(f);
    return n == 2 ? (size_t)held * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

size_t mn_ram_peak(void) {
    struct rusage used;
    return getrusage(RUSAGE_SELF, &used) ? 0 : (size_t)used.ru_maxrss * 1024;
}
