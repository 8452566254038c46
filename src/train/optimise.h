/* A step of the optimisers over all tensors, once their gradients are known. */
#ifndef MN_TRAIN_OPTIMISE_H
#define MN_TRAIN_OPTIMISE_H

#include "kernels/compute.h"
#include "train/parameters.h"

/* The sets of parameters that are trained: a model's, its adapters', or both. */
typedef struct mn_parameter_sets {
    mn_parameters *sets[2];
    int n;
} mn_parameter_sets;

/* The norm of all gradients together. alone: see mn_each. MN_ERR_MEMORY. */
mn_status mn_gradient_norm(const mn_compute *c, mn_arena *alone, const mn_parameter_sets *p, double *norm,
                           mn_error *err);

/* Moves every tensor that is not frozen: AdamW or Muon at its own rate times `factor`, with gradients clipped as
 * config->clip says of `norm`; step counts from 1. Small tensors are taken one by each thread, for Muon alone has a
 * hundred loops for a matrix. MN_ERR_MEMORY. */
mn_status mn_optimise(const mn_compute *c, mn_arena *alone, const mn_train_config *config, const mn_parameter_sets *p,
                      double factor, double norm, int64_t step, mn_error *err);

#endif
