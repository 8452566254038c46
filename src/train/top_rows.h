/* The n best of a stream, by score; of equal scores the one that came first. A heap whose root is the worst. */
#ifndef MN_TRAIN_TOP_ROWS_H
#define MN_TRAIN_TOP_ROWS_H

#include "base/status.h"

#include <stdbool.h>

#include <stdint.h>

typedef struct mn_top_row {
    float score;
    int64_t id;   /* of the stream, ascending */
    int64_t slot; /* where the caller keeps what belongs to it, [0, capacity) */
} mn_top_row;

typedef struct mn_top_rows {
    mn_top_row *rows;
    int64_t n, capacity;
} mn_top_rows;

/* The caller closes it. */
mn_status mn_top_rows_open(int64_t capacity, mn_top_rows *out, mn_error *err);
void mn_top_rows_close(mn_top_rows *t);
/* Takes a row where it is among the best, and returns its slot, perhaps of one that it takes the place of; else -1. */
int64_t mn_top_rows_offer(mn_top_rows *t, float score, int64_t id);

#endif
