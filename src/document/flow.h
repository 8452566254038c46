/* Text out of marked-up documents: blanks collapse, blocks give line ends, headings, items and table rows their marks.
 *
 * A reader of a format tells what it meets (text, the end of a line or of a paragraph, the parts of a table); line ends
 * and blanks are owed until the next text, so that none is doubled and none stands at an end. Headings are marked and
 * become sections. A table whose cells are short and hold no table becomes a line for each row, cells parted by " | ";
 * any other was there for the layout, and its cells are blocks.
 */
#ifndef MN_DOCUMENT_FLOW_H
#define MN_DOCUMENT_FLOW_H

#include "document/reading.h"

enum { MN_FLOW_MAX_TABLES = 32, MN_FLOW_MAX_LISTS = 32 };

typedef struct mn_flow_cell {
    size_t begin, end;
    bool begins_row;
} mn_flow_cell;

typedef struct mn_flow_table {
    size_t begin, first_cell, first_section;
    bool in_cell, begins_row, is_layout;
} mn_flow_table;

typedef struct mn_flow_list {
    bool ordered;
    int number; /* of the item before */
} mn_flow_list;

/* Zeroed but for the reading. Ended with mn_flow_finish. */
typedef struct mn_flow {
    mn_reading *reading;
    int owed_lines;            /* line ends before the next text: 1 = a new line, 2 = a new paragraph */
    bool owed_blank;           /* a blank before the next text */
    bool owed_item;            /* the mark of a list's item */
    int preformatted, in_line; /* nesting: blanks and line ends stay; line ends are blanks */
    int heading;               /* the level of the heading that is open, 0 = none */
    size_t heading_begin;      /* where its mark begins, SIZE_MAX = no text of it yet */
    size_t title_begin;
    int n_tables, n_lists; /* also those too deep to be kept */
    mn_flow_table tables[MN_FLOW_MAX_TABLES];
    mn_flow_list lists[MN_FLOW_MAX_LISTS];
    mn_flow_cell *cells; /* of all open tables */
    size_t n_cells, cell_capacity;
    size_t n_pictures; /* counted by whoever meets one */
} mn_flow;

void mn_flow_text(mn_flow *f, const char *text, size_t bytes);
void mn_flow_line(mn_flow *f);
void mn_flow_paragraph(mn_flow *f);

/* level from 1; the text in between is the title. They do not nest: an inner one is part of the outer. */
void mn_flow_heading_begin(mn_flow *f, int level);
void mn_flow_heading_end(mn_flow *f);

void mn_flow_list_begin(mn_flow *f, bool ordered);
void mn_flow_item(mn_flow *f);
void mn_flow_list_end(mn_flow *f);

void mn_flow_table_begin(mn_flow *f);
void mn_flow_row(mn_flow *f);
void mn_flow_cell_begin(mn_flow *f);
void mn_flow_cell_end(mn_flow *f);
void mn_flow_table_end(mn_flow *f);

/* Closes what is open, and notes how many pictures there were. */
void mn_flow_finish(mn_flow *f);

#endif
