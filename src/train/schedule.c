#include "train/schedule.h"

#include <math.h>

/* The share of a stretch of steps [begin, end) that lies behind. */
static double progress(int64_t step, double begin, double end) {
    if ((double)step >= end) return 1;
    return (double)step <= begin ? 0 : ((double)step - begin) / (end - begin);
}

double mn_schedule_factor(const mn_schedule *s, int64_t step) {
    if (step < s->n_warmup) return (double)(step + 1) / (double)s->n_warmup;
    double end = (double)s->n_steps, begin = (double)s->n_warmup, fall;
    if (s->kind == MN_DECAY_WSD) begin = fmax(begin, end * (1 - s->decay_share));
    fall = progress(step, begin, end);
    if (s->kind == MN_DECAY_COSINE) fall = (1 - cos(M_PI * fall)) / 2;
    return 1 - (1 - s->min_share) * fall;
}
