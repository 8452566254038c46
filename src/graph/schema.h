/* The tables of a graph, and its texts on their way into memory. */
#ifndef MN_GRAPH_SCHEMA_H
#define MN_GRAPH_SCHEMA_H

#include "store/store.h"

/* doc and chunk hold the texts; derived_* the index, made from them (build.h). graph_state counts the changes of the
 * texts ("texts") and keeps the count that the index was made at ("index"). */
mn_status mn_graph_migrate(mn_store *store, mn_error *err);
mn_status mn_graph_state(mn_store *store, const char *name, int64_t *value, mn_error *err);
mn_status mn_graph_set_state(mn_store *store, const char *name, int64_t value, mn_error *err);
/* The index is older than the texts from now on; inside the transaction that changes them. */
mn_status mn_graph_touch(mn_store *store, mn_error *err);

#endif
