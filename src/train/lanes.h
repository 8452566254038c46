/* The windows of a step side by side: each thread takes whole windows through forward and backward by itself.
 *
 * Windows are dealt to lanes in turn, window w to lane w mod n. A lane adds its windows' gradients up, one after the
 * other, in a block of its own; then the blocks are added in order. The number of lanes depends on the configuration
 * and the model alone, so the result does not depend on the number of threads. A step then has one hand-over to the
 * threads, where it has hundreds if they share each operation, and activations of one window for each thread.
 *
 * Where there is one window, where blocks would be large (256 MiB in all), and where windows of a step look at each
 * other (lessons of memories, the balance of experts, the budget of small MLPs) or at a teacher, there is one lane, and
 * threads share every operation.
 */
#ifndef MN_TRAIN_LANES_H
#define MN_TRAIN_LANES_H

#include "train/batch.h"
#include "train/optimise.h"

typedef struct mn_lane_worker mn_lane_worker;

typedef struct mn_lanes {
    int n;                    /* 1: nothing of what follows is there */
    const mn_compute *shared; /* threads together; borrowed */
    mn_parameter_sets sets;
    mn_lane_worker *workers; /* [n_threads] */
    char *blocks[2];         /* of each set: gradients of lanes 1 .. n - 1 */
    mn_loss *losses;         /* [windows] */
    mn_status *statuses;     /* [windows], with errors */
    mn_error *errors;
    int64_t n_windows;
} mn_lanes;

/* Lanes of a configuration. bytes: of the gradients of all sets. */
int mn_lanes_count(const mn_train_config *config, const mn_model *model, size_t gradient_bytes);
/* alone: a scratch arena for each thread; activation_bytes: of one window. adapters NULL: none. The caller closes it.
 */
mn_status mn_lanes_open(const mn_train_config *config, int n, mn_parameters *parameters, mn_parameters *adapters,
                        const mn_compute *shared, mn_arena *alone, size_t activation_bytes, mn_lanes *out,
                        mn_error *err);
void mn_lanes_close(mn_lanes *lanes);

/* Forward and backward of all windows of the batch: gradients of sum(weight * loss) / sum_weights become those of the
 * sets, whatever was there; the loss is added to tape->loss. tape: settings. */
mn_status mn_lanes_run(mn_lanes *lanes, const mn_train_batch *all, mn_tape *tape, bool recompute, mn_error *err);
/* The loss alone. */
mn_status mn_lanes_score(mn_lanes *lanes, const mn_train_batch *all, mn_tape *tape, mn_error *err);

#endif
