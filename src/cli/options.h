/* Command-line options from one table: parsing, --help, environment variables, hints and error texts all come from the
 * same rows.
 *
 * Names are matched exactly, with one dash or two; underscores count as dashes; the value is the next argument or
 * stands after '='. A number may follow a short name at once (-n12). Single-dash words (-ngl, -ctk) are names like any
 * other.
 * "--" ends the options. An option that takes one value is given once. What is not on the command line is looked up in
 * the environment: --ctx-size as MNEMO_CTX_SIZE (empty: not set).
 */
#ifndef MN_CLI_OPTIONS_H
#define MN_CLI_OPTIONS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum mn_option_kind {
    MN_OPT_END,     /* behind the last row */
    MN_OPT_FLAG,    /* bool: set to true; may be repeated */
    MN_OPT_TEXT,    /* const char *, not empty */
    MN_OPT_TEXTS,   /* mn_text_list: may be given often */
    MN_OPT_INT,     /* int64_t; suffixes k, m and g (1024, 1024^2, 1024^3) are read */
    MN_OPT_NUMBER,  /* double */
    MN_OPT_AMOUNT,  /* double; suffixes k M B T, large or small, are read as 1e3 1e6 1e9 1e12 */
    MN_OPT_HEADING, /* a line of help between groups */
    MN_OPT_GROUP    /* the rows of another table, in this place */
} mn_option_kind;

enum { MN_MAX_TEXTS = 256, MN_MAX_OPTIONS = 96 }; /* values of one option; rows of a verb, its groups' included */

typedef struct mn_text_list {
    const char *items[MN_MAX_TEXTS];
    int n;
} mn_text_list;

enum mn_option_traits {
    MN_OPT_MAY_BE_EMPTY = 1, /* a text of no bytes means something */
    MN_OPT_NOT_FROM_ENV = 2, /* its variable would have another meaning */
    MN_OPT_WRITTEN = 4       /* a file that is written: no other option's */
};

typedef struct mn_option {
    const char *names; /* "m model": space-separated, without dashes; for a heading its text */
    mn_option_kind kind;
    union {
        bool *flag;
        const char **text;
        mn_text_list *texts;
        int64_t *integer;
        double *number;
        const struct mn_option *group;
    } to;
    const char *value;    /* what the help calls the value: "FILE" */
    const char *standard; /* the value when none is given, as it would be typed; NULL = the target stays as it is */
    const char *help;
    double min, max; /* of numbers, when max > min */
    unsigned traits;
} mn_option;

#define MN_OPTION_FLAG(names_, target, help_)                                                                          \
    { .names = names_, .kind = MN_OPT_FLAG, .to.flag = target, .help = help_ }
#define MN_OPTION_TEXT(names_, target, value_, standard_, help_)                                                       \
    { .names = names_, .kind = MN_OPT_TEXT, .to.text = target, .value = value_, .standard = standard_, .help = help_ }
#define MN_OPTION_WRITTEN(names_, target, value_, help_)                                                               \
    {                                                                                                                  \
        .names = names_, .kind = MN_OPT_TEXT, .to.text = target, .value = value_, .help = help_,                       \
        .traits = MN_OPT_WRITTEN                                                                                       \
    }
#define MN_OPTION_TEXTS(names_, target, value_, help_)                                                                 \
    { .names = names_, .kind = MN_OPT_TEXTS, .to.texts = target, .value = value_, .help = help_ }
#define MN_OPTION_INT(names_, target, value_, standard_, min_, max_, help_)                                            \
    {                                                                                                                  \
        .names = names_, .kind = MN_OPT_INT, .to.integer = target, .value = value_, .standard = standard_,             \
        .help = help_, .min = min_, .max = max_                                                                        \
    }
#define MN_OPTION_NUMBER(names_, target, value_, standard_, min_, max_, help_)                                         \
    {                                                                                                                  \
        .names = names_, .kind = MN_OPT_NUMBER, .to.number = target, .value = value_, .standard = standard_,           \
        .help = help_, .min = min_, .max = max_                                                                        \
    }
#define MN_OPTION_AMOUNT(names_, target, value_, min_, max_, help_)                                                    \
    {                                                                                                                  \
        .names = names_, .kind = MN_OPT_AMOUNT, .to.number = target, .value = value_, .help = help_, .min = min_,      \
        .max = max_                                                                                                    \
    }
#define MN_OPTION_HEADING(text)                                                                                        \
    { .names = text, .kind = MN_OPT_HEADING }
#define MN_OPTION_GROUP(rows)                                                                                          \
    { .kind = MN_OPT_GROUP, .to.group = rows }
#define MN_OPTIONS_END                                                                                                 \
    { .kind = MN_OPT_END }

typedef struct mn_usage {
    const char *verb;         /* "run" */
    const char *synopsis;     /* "[MODEL] [-f FILE]... [PROMPT]" */
    const char *about;        /* sentences, without line ends but between paragraphs */
    const char *example;      /* a line that works */
    const mn_option *options; /* ends with MN_OPTIONS_END */
    /* Words that are no options. Either they stand for options, in this order, when these are not given by name: "model
     * prompt"; or there are so many of them, for the verb. */
    const char *words;
    int min_positional, max_positional;
} mn_usage;

enum { MN_EXIT_DONE = 0, MN_EXIT_FAILED = 1, MN_EXIT_USAGE = 2 };

/* argv[0] is the verb. Fills the targets; positional arguments go to *positional (none where usage->words names their
 * options). Returns -1 to go on, else the exit code to leave with (0 after --help, 2 after a wrong usage, already
 * explained on stderr). */
int mn_options_parse(const mn_usage *usage, int argc, char **argv, mn_text_list *positional);

/* Prints "mnemo VERB: sentence", the usage and where help is on stderr; returns MN_EXIT_USAGE. */
int mn_cli_wrong(const mn_usage *usage, const char *sentence);
/* Prints "mnemo VERB: sentence" on stderr and returns the exit code: MN_EXIT_USAGE for MN_ERR_ARGUMENT, which stands
 * for a flag whose value is wrong, else MN_EXIT_FAILED. */
int mn_cli_fail(const char *verb, const mn_error *err);
/* What fails when all flags are accepted is no wrong usage: turns MN_ERR_ARGUMENT, in *err too, into MN_ERR_FORMAT. */
mn_status mn_cli_past_usage(mn_status status, mn_error *err);

/* The row of a name without dashes in a table; NULL: none. */
const mn_option *mn_option_find(const mn_option *options, const char *name, size_t bytes);
/* Fills a row's target with what a value says; false, and the target as it was, when the row does not take it. */
bool mn_option_read(const mn_option *o, const char *value);
/* What a row takes: "1 to 65536". */
enum { MN_OPTION_WANTED_BYTES = 80 };
const char *mn_option_wanted(const mn_option *o, char out[MN_OPTION_WANTED_BYTES]);

/* ---- for options*.c ---- */

enum { MN_OPTION_NAME_BYTES = 64 };

/* The rows of a table in their order, groups opened: start with {.at = options}; NULL behind the last. */
typedef struct mn_option_walk {
    const mn_option *at, *back;
} mn_option_walk;
const mn_option *mn_option_next(mn_option_walk *walk);
/* The next of a row's names, copied with its dashes ("-m", "--model"); false behind the last. *at starts at o->names.
 */
bool mn_option_next_name(const mn_option *o, const char **at, char out[MN_OPTION_NAME_BYTES]);
void mn_options_print_help(const mn_usage *usage);
/* Whether a file that is written is one that is read too, or written twice: the sentence that says so in out. */
bool mn_options_clash(const mn_usage *usage, const mn_text_list *words, char *out, size_t out_bytes);
/* The known name with the fewest edits (out holds it with its dashes), when one is near; long_only: of those with two
 * dashes. */
bool mn_options_nearest(const mn_usage *usage, const char *word, bool long_only, char out[MN_OPTION_NAME_BYTES]);
/* A sentence on an option that is not there: what it is called here, what does its work, or which name is nearest. */
void mn_options_hint(const mn_usage *usage, const char *given, char *out, size_t out_bytes);

#endif
