/* How a function fails: mn_fail writes the sentence, MN_TRY passes a failure on. */
#ifndef MN_BASE_STATUS_H
#define MN_BASE_STATUS_H

#include <mnemo/status.h>

/* Writes the sentence into err (may be NULL) and returns status, so that `return mn_fail(...)` is the idiom. */
mn_status mn_fail(mn_error *err, mn_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Some remedies as an argument: MN_REMEDIES({MN_REMEDY_WINDOW, n}, {MN_REMEDY_YARN, 0}). */
typedef struct mn_remedies {
    mn_remedy at[MN_MAX_REMEDIES];
} mn_remedies;
#define MN_REMEDIES(...) ((mn_remedies){{__VA_ARGS__}})

/* mn_fail with what would help. The sentence says it in words and names no flag. */
mn_status mn_fail_with(mn_error *err, mn_status status, mn_remedies remedies, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts "prefix: " before the sentence already in err (a file name, a tensor's name). Returns err's status. */
mn_status mn_fail_in(mn_error *err, mn_status status, const char *prefix);

#define MN_TRY(expression)                                                                                             \
    do {                                                                                                               \
        mn_status mn_try_status = (expression);                                                                        \
        if (mn_try_status != MN_OK) return mn_try_status;                                                              \
    } while (0)

#endif
