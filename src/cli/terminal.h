/* How wide a line may be, and text folded to it. */
#ifndef MN_CLI_TERMINAL_H
#define MN_CLI_TERMINAL_H

#include <stddef.h>
#include <stdio.h>

/* Columns of the terminal behind a stream, or what the environment's COLUMNS says of it; 0 where lines may have any
 * length: in files and pipes. At least 20. */
int mn_terminal_columns(FILE *stream);

/* Columns that a text takes on a terminal: characters, wide ones twice. */
int mn_text_columns(const char *text, size_t bytes);

/* Prints text in lines of at most `columns` columns (0: no limit), broken at blanks; a word that is longer than a line
 * stays whole. Lines after a break begin with `indent` blanks; `at` columns of the first are taken already. No newline
 * at the end. Line ends in the text are kept. */
void mn_print_folded(FILE *out, const char *text, int at, int indent, int columns);

/* Prints a line on standard error: folded where that is a terminal, whole where a program may look for it. */
void mn_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints a line, folded to the width of `out`, its continuations indented, and a newline. */
void mn_print_line(FILE *out, int indent, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
