/* Command-line options from one table: parsing, --help and error texts all read the same rows.
 *
 * Names are matched exactly, with one dash or two, the value in the next argument or after '='. Single-dash words
 * (-ngl, -ctk) are names like any other. "--" ends the options.
 */
#ifndef MN_CLI_OPTIONS_H
#define MN_CLI_OPTIONS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum mn_option_kind {
    MN_OPT_FLAG,   /* bool: set to true */
    MN_OPT_TEXT,   /* const char * */
    MN_OPT_TEXTS,  /* mn_text_list: may be given often */
    MN_OPT_INT,    /* int64_t; suffixes k, m and g (1024, 1024^2, 1024^3) are read */
    MN_OPT_NUMBER, /* double */
    MN_OPT_AMOUNT, /* double; suffixes k M B T, large or small, are read as 1e3 1e6 1e9 1e12 */
    MN_OPT_HEADING /* a line of help between groups */
} mn_option_kind;

typedef struct mn_text_list {
    const char *items[256];
    int n;
} mn_text_list;

typedef struct mn_option {
    const char *names; /* "m model": space-separated, without dashes; for a heading its text */
    mn_option_kind kind;
    void *target;
    const char *value; /* what the help calls the value: "FILE" */
    const char *help;
    double min, max; /* numbers, when max > min */
} mn_option;

typedef struct mn_usage {
    const char *verb;         /* "run" */
    const char *synopsis;     /* "-m MODEL [-f FILE]... -p PROMPT" */
    const char *about;        /* one or two sentences */
    const char *example;      /* a line that works */
    const mn_option *options; /* ends with a row whose names is NULL */
    int min_positional, max_positional;
} mn_usage;

enum { MN_EXIT_DONE = 0, MN_EXIT_FAILED = 1, MN_EXIT_USAGE = 2 };

/* argv[0] is the verb. Fills the targets; positional arguments go to *positional. Returns -1 to go on, else the exit
 * code to leave with (0 after --help, 2 after a wrong usage, already explained on stderr). */
int mn_options_parse(const mn_usage *usage, int argc, char **argv, mn_text_list *positional);
/* Prints "mnemo VERB: sentence", the usage and where help is on stderr; returns MN_EXIT_USAGE. */
int mn_cli_wrong(const mn_usage *usage, const char *sentence);
/* Prints "mnemo VERB: sentence" on stderr and returns MN_EXIT_FAILED. */
int mn_cli_fail(const char *verb, const mn_error *err);

#endif
