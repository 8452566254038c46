/* How the learning rate moves: up in the first steps, then down.
 *
 *   linear   from 1 to min_share over all steps after the warm-up
 *   cosine   the same along half a cosine (Loshchilov and Hutter, arXiv:1608.03983)
 *   wsd      warm-up, stable, decay: 1 until the last decay_share of the steps, there linear to min_share (Hu et al.,
 *            arXiv:2404.06395, section 4)
 */
#ifndef MN_TRAIN_SCHEDULE_H
#define MN_TRAIN_SCHEDULE_H

#include "train/config.h"

#include <stdint.h>

typedef struct mn_schedule {
    mn_decay_kind kind;
    int64_t n_steps, n_warmup;
    double decay_share; /* of wsd, 0 to 1 */
    double min_share;   /* where it ends */
} mn_schedule;

/* The factor of the rate for step 0 .. n_steps - 1: (step + 1) / n_warmup while it warms up; min_share from n_steps on.
 */
double mn_schedule_factor(const mn_schedule *schedule, int64_t step);

#endif
