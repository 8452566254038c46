/* Messages from elsewhere into recall: lines of JSON, an object each.
 *
 *     {"id": "D1:3", "name": "Ann", "time": "2023-05-08T13:56:00", "session": "1", "text": "..."}
 *
 *     text (or content)            a text; needed
 *     id                           a text or a number, once in an agent; missing: by what the line holds
 *     role                         user, assistant, system, tool; user where it is missing
 *     name (or speaker)            who speaks
 *     time (or timestamp, date)    as mn_turn_time reads it, or seconds or milliseconds since 1970; missing: unknown
 *     session (or session_id)      what belongs together; a text or a number
 *
 * Others are passed over, and so are empty lines. A message whose id is there already is not taken again, so that a
 * file which has grown is imported again as it is, and one that was broken off goes on.
 */
#ifndef MN_MEMORY_IMPORT_H
#define MN_MEMORY_IMPORT_H

#include "memory/recall.h"

#include <stdio.h>

typedef struct mn_import_figures {
    int64_t n_lines;   /* read, empty ones included */
    int64_t n_new;     /* messages taken in */
    int64_t n_known;   /* that were there already */
    int64_t n_changed; /* of these: with another text, which was left out; the first stands in line changed_line */
    int64_t n_untimed; /* whose time cannot be read, and is unknown now; the first in line untimed_line */
    int64_t changed_line, untimed_line;
} mn_import_figures;

typedef struct mn_import_options {
    const char *name;                           /* of the file, for sentences */
    bool (*progress)(void *arg, int64_t bytes); /* after each commit; false: MN_ERR_CANCELLED. NULL = no */
    void *arg;
} mn_import_options;

/* Takes in a file's messages in their order, and commits every so many. A line that is broken ends it with
 * MN_ERR_FORMAT and the line's number; what stood before it stays. *figures is added to: of a store that fails what was
 * committed. */
mn_status mn_messages_import(mn_store *store, int64_t agent, FILE *in, const mn_import_options *options,
                             mn_import_figures *figures, mn_error *err);

/* The agent of this name, made with empty core memory where there is none. */
mn_status mn_agent_find_or_add(mn_store *store, const char *name, int64_t *id, mn_error *err);
/* What an import knows a message by, as JSON: "\"D1:3\"", "12"; of a message that was said here its uid as a text. The
 * caller frees it; NULL without memory. */
char *mn_message_external_id(int64_t agent, const char *uid);

#endif
