#include "base/ram.h"

#include "base/checked.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The number after the first line's start `name`, -1 when there is none ("max" is none). */
static long long read_number(const char *path, const char *name) {
    char line[256];
    long long value = -1;
    FILE *f = fopen(path, "r");
    if (!f) return -1;
    while (value < 0 && fgets(line, sizeof line, f))
        if (!strncmp(line, name, strlen(name)) && sscanf(line + strlen(name), "%lld", &value) != 1) break;
    fclose(f);
    return value;
}

/* What a control group leaves: its limit less what its processes hold beyond pages of files. */
static size_t group_free(void) {
    long long limit = read_number("/sys/fs/cgroup/memory.max", "");
    long long used = read_number("/sys/fs/cgroup/memory.current", "");
    long long files = read_number("/sys/fs/cgroup/memory.stat", "file ");
    if (limit < 0 || used < 0) return SIZE_MAX;
    long long held = used - MN_MAX(files, 0);
    return limit > held ? (size_t)(limit - held) : 0;
}

size_t mn_ram_free(void) {
    long long kib = read_number("/proc/meminfo", "MemAvailable:");
    size_t system = kib < 0 ? SIZE_MAX : (size_t)kib * 1024;
    return MN_MIN(system, group_free());
}
