/* The memory of an engine's sessions: what each was promised when it was opened, and what it has taken of that so far.
 * KV entries and scratch come from the machine as they are used, so what is free now is not what is free: the rest of
 * every promise has to be kept as well. */
#ifndef MN_SESSION_LEDGER_H
#define MN_SESSION_LEDGER_H

#include <pthread.h>
#include <stddef.h>

/* Beside what a new session has to fit. */
typedef struct mn_room {
    size_t free_bytes;        /* for the engine's weights and all its sessions, scratch included */
    int n_sessions;           /* open already */
    size_t promised_bytes;    /* to these, of their own: KV cache, state, lists */
    size_t scratch_bytes;     /* the most that a step of one of them takes; sessions share it */
    size_t few_scratch_bytes; /* the sum of what steps of few rows of each take: in a step together these add up */
} mn_room;

/* What one session was promised. */
typedef struct mn_account {
    size_t own_bytes, scratch_bytes, few_scratch_bytes; /* see mn_memory_plan */
    _Atomic size_t taken_bytes;                         /* of own_bytes */
    struct mn_account *next;
} mn_account;

typedef struct mn_ledger {
    pthread_mutex_t mutex; /* of the list */
    size_t limit_bytes;    /* for weights and sessions; 0 = what the machine has */
    mn_account *first;
} mn_ledger;

void mn_ledger_init(mn_ledger *ledger, size_t limit_bytes);
void mn_ledger_destroy(mn_ledger *ledger);
/* From looking for room to entering what was found nobody else may: these two stand around both. */
void mn_ledger_lock(mn_ledger *ledger);
void mn_ledger_unlock(mn_ledger *ledger);
/* machine_bytes: what the machine has free, scratch_taken_bytes: what the engine's steps have taken of it. */
mn_room mn_ledger_room(const mn_ledger *ledger, size_t machine_bytes, size_t scratch_taken_bytes);
void mn_ledger_enter(mn_ledger *ledger, mn_account *account);
/* Scratch that steps of all sessions entered may take. */
size_t mn_ledger_scratch(const mn_ledger *ledger);
/* Locks for itself. An account that was not entered is passed over. */
void mn_ledger_leave(mn_ledger *ledger, mn_account *account);
/* The session's thread tells what it has taken; any other may look at it meanwhile. */
void mn_account_take(mn_account *account, size_t bytes);

#endif
