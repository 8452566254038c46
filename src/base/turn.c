#include "base/turn.h"

void mn_turn_init(mn_turn *t) {
    pthread_mutex_init(&t->mutex, NULL);
    pthread_cond_init(&t->moved, NULL);
    t->next_ticket = t->serving = 0;
}

void mn_turn_destroy(mn_turn *t) {
    pthread_cond_destroy(&t->moved);
    pthread_mutex_destroy(&t->mutex);
}

void mn_turn_take(mn_turn *t) {
    pthread_mutex_lock(&t->mutex);
    uint64_t ticket = t->next_ticket++;
    while (t->serving != ticket) pthread_cond_wait(&t->moved, &t->mutex);
    pthread_mutex_unlock(&t->mutex);
}

void mn_turn_give(mn_turn *t) {
    pthread_mutex_lock(&t->mutex);
    t->serving++;
    pthread_cond_broadcast(&t->moved);
    pthread_mutex_unlock(&t->mutex);
}
