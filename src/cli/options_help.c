/* --help, from the table of options. */
#include "cli/options.h"
#include "cli/terminal.h"

#include <stdio.h>
#include <string.h>

enum { WIDEST = 110, NARROW = 70, LEFT = 32, NARROW_LEFT = 6 };

/* "-n, --predict, --n-predict N" */
static void names_of(const mn_option *o, char *out, size_t out_bytes) {
    char name[MN_OPTION_NAME_BYTES];
    size_t used = 0;
    out[0] = '\0';
    for (const char *at = o->names; mn_option_next_name(o, &at, name) && used < out_bytes;)
        used += (size_t)snprintf(out + used, out_bytes - used, "%s%s", used ? ", " : "", name);
    if (o->value && used < out_bytes) snprintf(out + used, out_bytes - used, " %s", o->value);
}

static void print_option(const mn_option *o, int columns) {
    char left[160], help[320];
    if (o->kind == MN_OPT_HEADING) {
        printf("\n%s\n", o->names);
        return;
    }
    names_of(o, left, sizeof left);
    snprintf(help, sizeof help, o->standard ? "%s (%s)" : "%s", o->help, o->standard);
    int indent = columns < NARROW ? NARROW_LEFT : LEFT;
    printf("  ");
    mn_print_folded(stdout, left, 2, 4, columns);
    if ((int)strlen(left) + 3 > indent)
        printf("\n%*s", indent, "");
    else
        printf("%*s", indent - 2 - (int)strlen(left), "");
    mn_print_folded(stdout, help, indent, indent, columns);
    putchar('\n');
}

void mn_options_print_help(const mn_usage *u) {
    int columns = mn_terminal_columns(stdout);
    mn_option_walk walk = {.at = u->options};
    bool has_options = u->options->kind != MN_OPT_END;
    if (columns == 0 || columns > WIDEST) columns = WIDEST;
    int at = printf("usage: mnemo %s%s", u->verb, *u->synopsis ? " " : "");
    mn_print_folded(stdout, u->synopsis, at, 4, columns);
    printf("\n\n");
    mn_print_folded(stdout, u->about, 0, 0, columns);
    printf("\n%s", has_options && u->options->kind != MN_OPT_HEADING ? "\n" : "");
    for (const mn_option *o; (o = mn_option_next(&walk));) print_option(o, columns);
    if (has_options) {
        putchar('\n');
        mn_print_folded(stdout, "Every option may stand in the environment: --ctx-size as MNEMO_CTX_SIZE.", 0, 0,
                        columns);
        putchar('\n');
    }
    printf("\nexample:\n  ");
    mn_print_folded(stdout, u->example, 2, 4, columns);
    putchar('\n');
}
