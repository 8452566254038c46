#include "base/human.h"

#include <stdio.h>
#include <string.h>

/* Three digits that count, in the largest unit that leaves at least one before the point. */
static const char *scale(mn_human buf, double value, double base, const char *const *units) {
    while (value >= base - 0.5 && units[1]) { /* what would print as the next unit's 1 is one */
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

/* "2 min 5 s": whole units, and what is left in the next smaller ones. */
static const char *two_units(mn_human buf, double seconds, double unit_s, const char *unit, double rest_s,
                             const char *rest) {
    long long units = (long long)(seconds / unit_s), left = (long long)((seconds - (double)units * unit_s) / rest_s);
    if (left)
        snprintf(buf, sizeof(mn_human), "%lld %s %lld %s", units, unit, left, rest);
    else
        snprintf(buf, sizeof(mn_human), "%lld %s", units, unit);
    return buf;
}

const char *mn_human_seconds(mn_human buf, double seconds) {
    if (!(seconds > 0)) return strcpy(buf, "0 s");
    if (seconds < 0.9995e-3)
        snprintf(buf, sizeof(mn_human), "%.*f µs", seconds < 9.95e-6 ? 1 : 0, seconds * 1e6);
    else if (seconds < 0.9995)
        snprintf(buf, sizeof(mn_human), "%.*f ms", seconds < 9.95e-3 ? 1 : 0, seconds * 1e3);
    else if (seconds < 99.5)
        snprintf(buf, sizeof(mn_human), "%.*f s", seconds < 9.95 ? 1 : 0, seconds);
    else if (seconds < 3600)
        return two_units(buf, seconds, 60, "min", 1, "s");
    else if (seconds < 2 * 86400)
        return two_units(buf, seconds, 3600, "h", 60, "min");
    else if (seconds < 3e9)
        snprintf(buf, sizeof(mn_human), "%.0f days", seconds / 86400);
    else
        snprintf(buf, sizeof(mn_human), "%.3g years", seconds / (365.25 * 86400));
    return buf;
}
