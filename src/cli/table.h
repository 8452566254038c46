/* Tables that fit the terminal: aligned columns where a row fits into a line, else one line for each value. */
#ifndef MN_CLI_TABLE_H
#define MN_CLI_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { MN_TABLE_MAX_COLUMNS = 40 };

typedef struct mn_table {
    int n_columns;
    const char *titles[MN_TABLE_MAX_COLUMNS]; /* borrowed; "" = none */
    uint64_t left;                            /* bit i: column i is aligned to the left */
    char **cells;                             /* row by row; owned */
    size_t n_cells, capacity;
} mn_table;

/* titles ends with NULL. left: bits of the columns that hold words; numbers stand at the right. */
void mn_table_begin(mn_table *t, const char *const *titles, uint64_t left);
/* The next value, from the left, row by row. */
void mn_table_add(mn_table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Drops it unprinted. */
void mn_table_release(mn_table *t);
/* Prints it for the width of `out` (terminal.h) and releases it. In a narrow terminal the first column heads a block of
 * lines "title: value". */
void mn_table_end(mn_table *t, FILE *out);

#endif
