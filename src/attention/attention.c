#include "attention/attention.h"

#include "attention/decode.h"
#include "attention/flash.h"
#include "attention/mla.h"

#include <stdbool.h>

static bool is_decode(const mn_attend *a) { return !a->mla && a->n_rows < MN_FLASH_MIN_ROWS; }

mn_status mn_attention(const mn_compute *c, const mn_attend *a, mn_error *err) {
    if (a->mla) return mn_mla_attend(c, a, err);
    return is_decode(a) ? mn_decode(c, a, 1, err) : mn_flash(c, a, err);
}

mn_status mn_attention_batch(const mn_compute *c, const mn_attend *calls, int n, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    mn_attend *few = mn_arena_alloc(c->scratch, (size_t)n, sizeof *few);
    int n_few = 0;
    if (!few) return mn_fail(err, MN_ERR_MEMORY, "no memory for attention of %d sequences.", n);
    for (int i = 0; i < n; i++)
        if (is_decode(&calls[i]))
            few[n_few++] = calls[i];
        else
            MN_TRY(mn_attention(c, &calls[i], err));
    mn_status status = n_few ? mn_decode(c, few, n_few, err) : MN_OK;
    mn_arena_rewind(c->scratch, mark);
    return status;
}
