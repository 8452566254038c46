/* Turns: one thread at a time, in the order of asking. */
#include "support/support.h"

#include "base/turn.h"

#include <pthread.h>
#include <unistd.h>

enum { N_THREADS = 8, N_TURNS = 2000 };

typedef struct shared {
    mn_turn turn;
    int inside, worst;
    int64_t counted;
} shared;

static void *count(void *arg) {
    shared *s = arg;
    for (int i = 0; i < N_TURNS; i++) {
        mn_turn_take(&s->turn);
        s->inside++;
        if (s->inside > s->worst) s->worst = s->inside;
        s->counted++;
        s->inside--;
        mn_turn_give(&s->turn);
    }
    return NULL;
}

static void one_thread_at_a_time(void **state) {
    (void)state;
    shared s = {0};
    pthread_t threads[N_THREADS];
    mn_turn_init(&s.turn);
    for (int i = 0; i < N_THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, count, &s), 0);
    for (int i = 0; i < N_THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(s.worst, 1);
    assert_int_equal(s.counted, N_THREADS * N_TURNS);
    mn_turn_destroy(&s.turn);
}

typedef struct queue {
    mn_turn turn;
    int order[N_THREADS], n;
} queue;

typedef struct waiter {
    queue *q;
    int index;
} waiter;

static void *wait_in_line(void *arg) {
    waiter *w = arg;
    mn_turn_take(&w->q->turn);
    w->q->order[w->q->n++] = w->index;
    mn_turn_give(&w->q->turn);
    return NULL;
}

static uint64_t tickets(mn_turn *turn) {
    pthread_mutex_lock(&turn->mutex);
    uint64_t n = turn->next_ticket;
    pthread_mutex_unlock(&turn->mutex);
    return n;
}

/* Also the thread that has just given its turn: it waits behind those that asked before. */
static void served_in_the_order_of_asking(void **state) {
    (void)state;
    queue q = {.n = 0};
    waiter waiters[N_THREADS];
    pthread_t threads[N_THREADS];
    mn_turn_init(&q.turn);
    mn_turn_take(&q.turn);
    for (int i = 0; i + 1 < N_THREADS; i++) {
        waiters[i] = (waiter){&q, i};
        assert_int_equal(pthread_create(&threads[i], NULL, wait_in_line, &waiters[i]), 0);
        while (tickets(&q.turn) < (uint64_t)i + 2) usleep(100);
    }
    mn_turn_give(&q.turn);
    waiter self = {&q, N_THREADS - 1};
    wait_in_line(&self);
    for (int i = 0; i + 1 < N_THREADS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < N_THREADS; i++) assert_int_equal(q.order[i], i);
    mn_turn_destroy(&q.turn);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_at_a_time),
        cmocka_unit_test(served_in_the_order_of_asking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
