/* How a function fails: mn_fail writes the sentence, MN_TRY passes a failure on. */
#ifndef MN_BASE_STATUS_H
#define MN_BASE_STATUS_H

#include <mnemo/status.h>

/* Writes the sentence into err (may be NULL) and returns status, so that `return mn_fail(...)` is the idiom. */
mn_status mn_fail(mn_error *err, mn_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the sentence already in err (a file name, a tensor's name). Returns err's status. */
mn_status mn_fail_in(mn_error *err, mn_status status, const char *prefix);

#define MN_TRY(expression)                                                                                             \
    do {                                                                                                               \
        mn_status mn_try_status = (expression);                                                                        \
        if (mn_try_status != MN_OK) return mn_try_status;                                                              \
    } while (0)

#endif
