#include "session/ledger.h"

#include "base/checked.h"

#include <stdatomic.h>
#include <stdint.h>

void mn_ledger_init(mn_ledger *l, size_t limit_bytes) {
    *l = (mn_ledger){.limit_bytes = limit_bytes};
    pthread_mutex_init(&l->mutex, NULL);
}

void mn_ledger_destroy(mn_ledger *l) { pthread_mutex_destroy(&l->mutex); }
void mn_ledger_lock(mn_ledger *l) { pthread_mutex_lock(&l->mutex); }
void mn_ledger_unlock(mn_ledger *l) { pthread_mutex_unlock(&l->mutex); }

static size_t add(size_t a, size_t b) { return a > SIZE_MAX - b ? SIZE_MAX : a + b; }

/* What was taken is no longer free, and was promised all the same. */
mn_room mn_ledger_room(const mn_ledger *l, size_t machine_bytes, size_t scratch_taken_bytes) {
    mn_room room = {.free_bytes = add(machine_bytes, scratch_taken_bytes)};
    for (const mn_account *a = l->first; a; a = a->next) {
        room.n_sessions++;
        room.promised_bytes = add(room.promised_bytes, a->own_bytes);
        room.scratch_bytes = MN_MAX(room.scratch_bytes, a->scratch_bytes);
        room.few_scratch_bytes = add(room.few_scratch_bytes, a->few_scratch_bytes);
        room.free_bytes = add(room.free_bytes, atomic_load(&a->taken_bytes));
    }
    if (l->limit_bytes) room.free_bytes = MN_MIN(room.free_bytes, l->limit_bytes);
    return room;
}

void mn_ledger_enter(mn_ledger *l, mn_account *account) {
    account->next = l->first;
    l->first = account;
}

size_t mn_ledger_scratch(const mn_ledger *l) {
    mn_room room = mn_ledger_room(l, 0, 0);
    return room.n_sessions > 1 ? add(room.scratch_bytes, room.few_scratch_bytes) : room.scratch_bytes;
}

void mn_ledger_leave(mn_ledger *l, mn_account *account) {
    mn_ledger_lock(l);
    for (mn_account **at = &l->first; *at; at = &(*at)->next)
        if (*at == account) {
            *at = account->next;
            break;
        }
    mn_ledger_unlock(l);
}

void mn_account_take(mn_account *a, size_t bytes) { atomic_store(&a->taken_bytes, MN_MIN(bytes, a->own_bytes)); }
