/* Flash-decoding: few query rows and many keys, several sequences in one call. */
#ifndef MN_ATTENTION_DECODE_H
#define MN_ATTENTION_DECODE_H

#include "attention/types.h"
#include "base/technique.h"
#include "kernels/compute.h"

/* Keys are split between threads in ranges that do not depend on their number, and merged by log-sum-exp. mla is NULL
 * in all calls. Scratch from c->scratch; MN_ERR_MEMORY when it ends. */
mn_status mn_decode(const mn_compute *c, const mn_attend *batch, int n_batch, mn_error *err);
extern const mn_technique mn_decode_about;

#endif
