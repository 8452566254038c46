/* An index of turns kept in a store, so that the next process need not read all turns again.
 *
 * Parts of turns are appended and never changed: a part holds what is known of each turn, in about 9 bytes, and for
 * each term of it the postings. Opening reads the first alone; postings are fetched for the words of a question. The
 * tables are derived: they are not exported, and whoever finds them damaged makes them anew.
 *
 * Threads: as the store.
 */
#ifndef MN_GRAPH_TURNS_SAVED_H
#define MN_GRAPH_TURNS_SAVED_H

#include "graph/turns.h"
#include "store/store.h"

/* Takes what the store keeps of this owner's turns (a name of at most 39 bytes) into an empty index, and lets
 * mn_turns_save write there; the store is borrowed until mn_turns_destroy. *upto: what the last save was given; 0 where
 * nothing is kept, or what was kept is damaged or of other rules, and was taken away. */
mn_status mn_turns_load(mn_turns *turns, mn_store *store, const char *owner, int64_t *upto, mn_error *err);
/* Appends the turns that are not kept yet as a part, in a transaction of its own, and frees their postings in memory;
 * their ids rise. upto: how far the caller has looked. Another process that came first, a transaction that is open, or
 * a store that takes nothing more is no failure: they stay in memory. */
void mn_turns_save(mn_turns *turns, int64_t upto);
/* How many turns are in memory alone. */
uint32_t mn_turns_unsaved(const mn_turns *turns);
/* Takes away all that is kept, of all owners: for who changed the turns. */
mn_status mn_turns_forget(mn_store *store, mn_error *err);

#endif
