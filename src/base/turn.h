/* A lock that serves its waiters in the order they came, so that work done in many short turns starves nobody: a
 * thread that gives its turn and takes the next at once queues behind those that wait.
 *
 * Not recursive: a thread that takes a turn it has waits for itself. */
#ifndef MN_BASE_TURN_H
#define MN_BASE_TURN_H

#include <pthread.h>
#include <stdint.h>

typedef struct mn_turn {
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    uint64_t next_ticket, serving;
} mn_turn;

void mn_turn_init(mn_turn *turn);
void mn_turn_destroy(mn_turn *turn);
/* Waits until all who came before have given their turn. */
void mn_turn_take(mn_turn *turn);
void mn_turn_give(mn_turn *turn);

#endif
