/* Texts into the store of a graph: files, folders, collections and conversations. */
#ifndef MN_GRAPH_INDEX_H
#define MN_GRAPH_INDEX_H

#include "graph/chunks.h"
#include "store/store.h"

typedef struct mn_index_options {
    mn_chunk_params chunks;
    /* Told of each document: what became of it, or why it was left out. Any may be NULL. */
    void (*note)(void *arg, const char *sentence);
    bool (*progress)(void *arg, int64_t done, int64_t all); /* bytes of text; false stops with MN_ERR_CANCELLED */
    void *arg;
} mn_index_options;

typedef struct mn_index_figures {
    int64_t n_new, n_same, n_changed, n_gone, n_failed; /* documents */
    int64_t text_bytes;                                 /* of new and changed ones */
} mn_index_figures;

/* Makes the store hold what a path holds now: a document (mnemo/document.h), all documents of a folder and the folders
 * in it, or a collection, which is a file NAME.jsonl with an object a line: "text", and "id" and "title" if there are
 * any; or, in a conversation, "text" and who speaks ("name" or "role"), "time", "session" and "id". Documents that did
 * not change are not read again, those that are gone are removed, a file with the same text as another is left out.
 * What cannot be read is noted and counted; nothing of the rest is lost. Each document is committed when it is in, so
 * that a run that was ended goes on where it was. The search index is made after (mn_index_rebuild, or mn_graph_open).
 */
mn_status mn_index_path(mn_store *store, const char *path, const mn_index_options *options, mn_index_figures *figures,
                        mn_error *err);

#endif
