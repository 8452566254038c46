/* Flash attention: many query rows at once. */
#ifndef MN_ATTENTION_FLASH_H
#define MN_ATTENTION_FLASH_H

#include "attention/types.h"
#include "base/technique.h"
#include "kernels/compute.h"

/* Below this many rows a row tile alone would leave threads idle; keys are split instead (decode.h). */
enum { MN_FLASH_MIN_ROWS = 16 };

/* FlashAttention-2 forward (arXiv:2307.08691, alg. 1) over the listed blocks, split over heads and row tiles. a->mla is
 * NULL. Scratch from c->scratch; MN_ERR_MEMORY when it ends. */
mn_status mn_flash(const mn_compute *c, const mn_attend *a, mn_error *err);
extern const mn_technique mn_flash_about;

#endif
