/* An export of a store, whatever stands in it, into a store. */
#ifndef MN_MEMORY_RESTORE_H
#define MN_MEMORY_RESTORE_H

#include "store/store.h"

/* mn_store_import with the tables of every room: texts and walks, memory, vectors, calls of models. Those that the
 * export names are made first, and no others, so that what is exported again is the export to the byte. Where rows
 * came, indexes made from them are made anew when they are needed. */
mn_status mn_restore(mn_store *store, FILE *in, int64_t *n_rows, mn_error *err);

#endif
