#include "store/fusion.h"

#include "base/checked.h"

#include <stdlib.h>

static const float damping = 60.0F;

static int by_id(const void *a, const void *b) {
    const mn_fused *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

static int by_score(const void *a, const void *b) {
    const mn_fused *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return by_id(a, b);
}

mn_status mn_fuse_ranks(const mn_ranking *lists, int n_lists, uint32_t k, mn_fused *out, uint32_t *n_out,
                        mn_error *err) {
    size_t n = 0, n_ids = 0;
    *n_out = 0;
    for (int l = 0; l < n_lists; l++) n += lists[l].n;
    if (n == 0) return MN_OK;
    mn_fused *all = calloc(n, sizeof *all);
    if (!all) return mn_fail(err, MN_ERR_MEMORY, "There is no memory to join rankings of %zu.", n);
    n = 0;
    for (int l = 0; l < n_lists; l++)
        for (uint32_t i = 0; i < lists[l].n; i++)
            all[n++] = (mn_fused){lists[l].ids[i], lists[l].weight / (damping + (float)(i + 1))};
    qsort(all, n, sizeof *all, by_id);
    for (size_t i = 0; i < n; i++)
        if (n_ids > 0 && all[n_ids - 1].id == all[i].id)
            all[n_ids - 1].score += all[i].score;
        else
            all[n_ids++] = all[i];
    qsort(all, n_ids, sizeof *all, by_score);
    *n_out = (uint32_t)MN_MIN((size_t)k, n_ids);
    for (uint32_t i = 0; i < *n_out; i++) out[i] = all[i];
    free(all);
    return MN_OK;
}
