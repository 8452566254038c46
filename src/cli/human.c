#include "cli/human.h"

#include <stdio.h>

/* Three digits that count, in the largest unit that leaves at least one before the point. */
static const char *scale(mn_human buf, double value, double base, const char *const *units) {
    while (value >= base && units[1]) {
        value /= base;
        units++;
    }
    snprintf(buf, sizeof(mn_human), "%.*f %s", value < 10 ? 2 : value < 100 ? 1 : 0, value, *units);
    return buf;
}

const char *mn_human_bytes(mn_human buf, size_t bytes) {
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", NULL};
    if (bytes >= 1024) return scale(buf, (double)bytes / 1024, 1024, units);
    snprintf(buf, sizeof(mn_human), "%zu bytes", bytes);
    return buf;
}

const char *mn_human_count(mn_human buf, int64_t n) {
    static const char *const units[] = {"k", "M", "G", "T", NULL};
    if (n >= 10000) return scale(buf, (double)n / 1000, 1000, units);
    snprintf(buf, sizeof(mn_human), "%lld", (long long)n);
    return buf;
}
