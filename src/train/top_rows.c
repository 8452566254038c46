#include "train/top_rows.h"

#include <stdlib.h>

mn_status mn_top_rows_open(int64_t capacity, mn_top_rows *out, mn_error *err) {
    *out = (mn_top_rows){.capacity = capacity, .rows = calloc((size_t)capacity + 1, sizeof *out->rows)};
    return out->rows ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "no memory for a list of %lld rows.", (long long)capacity);
}

void mn_top_rows_close(mn_top_rows *t) {
    free(t->rows);
    *t = (mn_top_rows){0};
}

static bool is_worse(const mn_top_row *a, const mn_top_row *b) {
    return a->score != b->score ? a->score < b->score : a->id > b->id;
}

static void swap(mn_top_row *a, mn_top_row *b) {
    mn_top_row kept = *a;
    *a = *b;
    *b = kept;
}

static void sift_up(mn_top_rows *t, int64_t i) {
    for (; i > 0 && is_worse(&t->rows[i], &t->rows[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&t->rows[i], &t->rows[(i - 1) / 2]);
}

static void sift_down(mn_top_rows *t) {
    for (int64_t i = 0;;) {
        int64_t worst = i;
        for (int64_t child = 2 * i + 1; child <= 2 * i + 2; child++)
            if (child < t->n && is_worse(&t->rows[child], &t->rows[worst])) worst = child;
        if (worst == i) return;
        swap(&t->rows[i], &t->rows[worst]);
        i = worst;
    }
}

int64_t mn_top_rows_offer(mn_top_rows *t, float score, int64_t id) {
    mn_top_row row = {score, id, t->n};
    if (t->n < t->capacity) {
        t->rows[t->n++] = row;
        sift_up(t, row.slot);
        return row.slot;
    }
    if (t->capacity == 0 || !is_worse(&t->rows[0], &row)) return -1;
    row.slot = t->rows[0].slot;
    t->rows[0] = row;
    sift_down(t);
    return row.slot;
}
