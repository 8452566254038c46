#include "cli/numbers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool mn_number_read(const char *text, const char **end, int64_t *out) {
    static const char suffixes[] = "kKmMgG";
    char *behind;
    errno = 0;
    long long value = strtoll(text, &behind, 10);
    const char *suffix = *behind ? strchr(suffixes, *behind) : NULL;
    if (behind == text || errno) return false;
    if (suffix) {
        if (__builtin_mul_overflow(value, INT64_C(1024) << 10 * ((suffix - suffixes) / 2), &value)) return false;
        behind++;
    }
    *end = behind;
    *out = value;
    return true;
}

mn_status mn_numbers_read(const char *flag, const char *text, int64_t least, int64_t most, int64_t *out, int max,
                          int *n, mn_error *err) {
    *n = 0;
    for (const char *p = text, *end; *p || *n == 0; p = end + (*end == ',')) {
        int64_t value;
        bool good = *n < max && mn_number_read(p, &end, &value) && (!*end || *end == ',') && value >= least;
        if (!good || value > most)
            return mn_fail(err, MN_ERR_ARGUMENT,
                           "%s does not take \"%.200s\" (wanted: at most %d numbers of %lld to %lld, with commas "
                           "between).",
                           flag, text, max, (long long)least, (long long)most);
        out[(*n)++] = value;
    }
    return MN_OK;
}
