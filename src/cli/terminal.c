#include "cli/terminal.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

enum { LEAST_COLUMNS = 20 };

int mn_terminal_columns(FILE *stream) {
    const char *text = getenv("COLUMNS");
    struct winsize size = {0};
    int columns = text ? atoi(text) : 0;
    if (columns <= 0 && isatty(fileno(stream)))
        columns = ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
    return columns > 0 && columns < LEAST_COLUMNS ? LEAST_COLUMNS : columns > 0 ? columns : 0;
}

int mn_text_columns(const char *text, size_t bytes) {
    int columns = 0;
    for (size_t at = 0; at < bytes;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(bytes - at), &c);
        columns += n < 1 ? 1 : utf8proc_charwidth(c);
        at += n < 1 ? 1 : (size_t)n;
    }
    return columns;
}

void mn_print_folded(FILE *out, const char *text, int at, int indent, int columns) {
    for (bool first = true; *text; first = false) {
        size_t n = strcspn(text, " \n");
        int width = mn_text_columns(text, n);
        if (!first && text[-1] == ' ' && columns > 0 && at + 1 + width > columns) {
            fprintf(out, "\n%*s", indent, "");
            at = indent;
        } else if (!first && text[-1] == ' ') {
            fputc(' ', out);
            at++;
        }
        fwrite(text, 1, n, out);
        at += width;
        text += n;
        if (*text == '\n') {
            fprintf(out, "\n%*s", text[1] == '\n' || !text[1] ? 0 : indent, "");
            at = indent;
        }
        text += *text != '\0';
    }
}

static void print_line(FILE *out, int indent, int columns, const char *format, va_list args) {
    char *text;
    if (vasprintf(&text, format, args) >= 0) {
        size_t n_empty = strspn(text, "\n");
        fwrite(text, 1, n_empty, out);
        mn_print_folded(out, text + n_empty, 0, indent, columns);
        free(text);
    }
    fputc('\n', out);
}

void mn_print_line(FILE *out, int indent, const char *format, ...) {
    va_list args;
    va_start(args, format);
    print_line(out, indent, mn_terminal_columns(out), format, args);
    va_end(args);
}

void mn_say(const char *format, ...) {
    va_list args;
    va_start(args, format);
    print_line(stderr, 2, isatty(STDERR_FILENO) ? mn_terminal_columns(stderr) : 0, format, args);
    va_end(args);
}
