#include "base/status.h"

#include "base/safe_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* An argument may be the text that err holds already. */
static mn_status fail(mn_error *err, mn_status status, mn_remedies remedies, const char *format, va_list args) {
    char text[sizeof err->text];
    if (!err) return status;
    vsnprintf(text, sizeof text, format, args);
    mn_text_make_safe(text, strlen(text));
    mn_text_make_utf8(text, strlen(text));
    memcpy(err->text, text, sizeof text);
    memcpy(err->remedies, remedies.at, sizeof err->remedies);
    return err->status = status;
}

mn_status mn_fail(mn_error *err, mn_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fail(err, status, (mn_remedies){0}, format, args);
    va_end(args);
    return status;
}

mn_status mn_fail_with(mn_error *err, mn_status status, mn_remedies remedies, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fail(err, status, remedies, format, args);
    va_end(args);
    return status;
}

mn_status mn_fail_in(mn_error *err, mn_status status, const char *prefix) {
    if (!err) return status;
    char text[sizeof err->text];
    size_t n = (size_t)snprintf(text, sizeof text, "%s: ", prefix);
    if (n >= sizeof text) n = sizeof text - 1;
    memcpy(text + n, err->text, sizeof text - n);
    text[sizeof text - 1] = 0;
    mn_text_make_safe(text, strlen(text));
    mn_text_make_utf8(text, strlen(text));
    memcpy(err->text, text, sizeof text);
    return err->status = status;
}
