/* A whole tiny model on the tape, and its gradients against differences of its loss. */
#ifndef MN_TESTS_SUPPORT_TAPE_CASE_H
#define MN_TESTS_SUPPORT_TAPE_CASE_H

#include "model/adapter.h"
#include "train/batch.h"

enum { TAPE_N_CTX = 48, TAPE_N_WINDOWS = 2 };

typedef struct tape_case {
    mn_train_config config;
    mn_pool *pool;
    mn_arena scratch;
    mn_compute compute;
    mn_parameters parameters, adapters;
    mn_adapter adapter;
    mn_train_batch batch;
    mn_tape tape;
} tape_case;

/* A copy of a model in f32. Both names are good until the next call. */
const char *tape_in_f32(const char *path);
/* A random model with short convolutions, whose taps are pure delays: two layers, n_heads query heads, n_kv_heads of
 * keys. */
const char *tape_make_mnemo(int n_heads, int n_kv_heads);
/* Such a model with attention sinks, 4 query heads and 2 of keys. */
const char *tape_make_sinks(void);

/* Opens the f32 model at path; windows of random tokens, two documents in the first, with weights of all sizes. */
void tape_open(tape_case *f, const char *path, const char *attn, int n_threads);
void tape_close(tape_case *f);
/* The mean loss; gradients are made from zero. */
double tape_differentiate(tape_case *f, bool recompute);
double tape_score(tape_case *f);
/* The gradient of every tensor along a random direction against central differences of the loss, two step widths joined
 * by Richardson's rule. f32 losses carry about 1e-7 of noise, so the comparison is with what that leaves of a
 * difference. width: of the steps, as a share of the tensor's deviation. */
void tape_check_set(tape_case *f, const mn_parameters *set, const char *name, double width);

/* The same of any total that a differentiation adds up (labels, a teacher, a balance): every tensor's gradient along
 * itself. step: relative to the tensor; limit: relative error. */
typedef double tape_total_fn(tape_case *f);
void tape_check_total(tape_case *f, tape_total_fn *total, const char *name, double step, double limit);

#endif
