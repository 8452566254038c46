#include "attention/attention.h"

#include "attention/decode.h"
#include "attention/flash.h"
#include "attention/mla.h"

mn_status mn_attention(const mn_compute *c, const mn_attend *a, mn_error *err) {
    if (a->mla) return mn_mla_attend(c, a, err);
    return a->n_rows < MN_FLASH_MIN_ROWS ? mn_decode(c, a, 1, err) : mn_flash(c, a, err);
}
