#include "base/nearest.h"

#include "base/checked.h"

#include <string.h>

enum { LONGEST = 63 };

/* Damerau 1964, in the restricted form: no letter is changed twice. */
int mn_word_distance(const char *a, const char *b) {
    int d[LONGEST + 1][LONGEST + 1];
    int n = (int)strnlen(a, LONGEST), m = (int)strnlen(b, LONGEST);
    for (int i = 0; i <= n; i++) d[i][0] = i;
    for (int j = 0; j <= m; j++) d[0][j] = j;
    for (int i = 1; i <= n; i++)
        for (int j = 1; j <= m; j++) {
            d[i][j] = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            d[i][j] = MN_MIN(d[i][j], MN_MIN(d[i - 1][j], d[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = MN_MIN(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[n][m];
}

bool mn_word_is_near(const char *given, const char *known) {
    int n = (int)strnlen(given, LONGEST);
    if (n >= 3 && !strncmp(given, known, (size_t)n)) return true; /* not finished */
    return mn_word_distance(given, known) <= MN_MIN(1 + n / 4, n - 1);
}

bool mn_nearest_try(mn_nearest *n, const char *known) {
    int distance = mn_word_distance(n->given, known);
    if ((n->best && distance >= n->distance) || !mn_word_is_near(n->given, known)) return false;
    n->best = known;
    n->distance = distance;
    return true;
}
