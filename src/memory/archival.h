/* Archival memory: texts that an agent puts away, or that are put there for it, found again by words and tags. */
#ifndef MN_MEMORY_ARCHIVAL_H
#define MN_MEMORY_ARCHIVAL_H

#include "memory/memory.h"

typedef struct mn_archival_text {
    int64_t id;
    const char *uid; /* NULL = by content: the same text is put into an archive once */
    const char *text;
    size_t bytes;
    const char *source; /* where it comes from; NULL = "" */
    int64_t time;       /* seconds since 1970 */
    const char *const *tags;
    size_t n_tags;
} mn_archival_text;

/* Puts a text away; *id is that of the row that holds it, which may have been there. Tags are added to it. */
mn_status mn_archival_add(mn_store *store, const char *archive, const mn_archival_text *text, int64_t *id,
                          mn_error *err);

typedef struct mn_archival_query {
    const char *words; /* NULL or "" = all, newest first */
    const char *const *tags;
    size_t n_tags;
    bool all_tags;        /* a text must have all of them, not any */
    int64_t since, until; /* seconds since 1970, both included; 0 = no limit */
    uint32_t limit, page; /* results a page (0 = 10), and which, from 0 */
} mn_archival_query;

/* A text that was found; the caller releases it. */
typedef struct mn_archival_hit {
    int64_t id, time;
    double score;
    char *text, *source;
    char *tags; /* with a comma and a blank between them */
} mn_archival_hit;

/* hits [limit]; *n_all: how many there are, counted up to 1000; NULL = not wanted. */
mn_status mn_archival_search(mn_store *store, const char *archive, const mn_archival_query *query,
                             mn_archival_hit *hits, uint32_t *n_hits, int64_t *n_all, mn_error *err);
void mn_archival_hit_release(mn_archival_hit *hit);
/* How many texts an archive holds; of more than `most`, that many are looked at. */
mn_status mn_archival_count(mn_store *store, const char *archive, int64_t most, int64_t *n, mn_error *err);

#endif
