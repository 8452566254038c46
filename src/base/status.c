#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

mn_status mn_fail(mn_error *err, mn_status status, const char *format, ...) {
    if (!err) return status;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    err->status = status;
    return status;
}

mn_status mn_fail_in(mn_error *err, mn_status status, const char *prefix) {
    if (!err) return status;
    char text[sizeof err->text];
    size_t n = (size_t)snprintf(text, sizeof text, "%s: ", prefix);
    if (n >= sizeof text) n = sizeof text - 1;
    memcpy(text + n, err->text, sizeof text - n);
    text[sizeof text - 1] = 0;
    memcpy(err->text, text, sizeof text);
    return err->status = status;
}
