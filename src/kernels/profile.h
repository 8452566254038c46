/* Where the time of steps goes: a stopwatch that charges every moment to one kind of operation of one layer, and counts
 * what these operations had to do. Whoever begins something of another kind says so (mn_profile_enter) and gives back
 * when it is done, so that times never overlap and their sum is the time that has passed.
 *
 * One thread at a time: the one that runs the steps. Without a profile (NULL) each call is one comparison.
 */
#ifndef MN_KERNELS_PROFILE_H
#define MN_KERNELS_PROFILE_H

#include "base/status.h"
#include "kernels/peaks.h"

typedef enum mn_op_kind {
    MN_OP_OTHER,     /* between operations: sessions, lists, the program */
    MN_OP_PRODUCTS,  /* activations with weights, logits too, but for what is next */
    MN_OP_MLP,       /* all of MLPs and experts: products, activations, routers, rows to and fro */
    MN_OP_ATTENTION, /* scores, softmax and values of the keys chosen */
    MN_OP_CHOICE,    /* which keys: patterns by content, indexers, evictions */
    MN_OP_NORMS,
    MN_OP_ELEMENTS,  /* rotations, gates, sums, embeddings */
    MN_OP_RECURRENT, /* mixers and memories with a state of fixed size, and their convolutions */
    MN_OP_CACHE,     /* KV entries in, and waiting for those that are on disk */
    MN_OP_SAMPLING,
    MN_OP_COUNT
} mn_op_kind;

/* What operations of a kind in a layer took and did. */
typedef struct mn_op_cost {
    double seconds;
    double flops;   /* products and sums of the arithmetic that must be done; 0 where that is next to nothing */
    double bytes;   /* that must be read and written at least: weights, KV entries, states; else activations */
    double floor_s; /* the least time for them: of each operation the larger of flops and bytes, by their peaks */
} mn_op_cost;

/* Places: 0 before the layers, 1 + layer, n_layers + 1 after them (logits, sampling). */
struct mn_profile {
    int n_layers, place;
    mn_op_kind kind; /* what runs now */
    double since;    /* when it began */
    bool runs;
    bool cpu_time; /* of the thread, instead of the time that passes: where it alone runs the steps */
    mn_peaks peaks;
    mn_op_cost *costs; /* [n_layers + 2, MN_OP_COUNT] */
};

/* Stopped and empty, by the time that passes. peaks: what floors are computed from. The caller destroys it.
 * MN_ERR_MEMORY. */
mn_status mn_profile_create(int n_layers, const mn_peaks *peaks, mn_profile **out, mn_error *err);
void mn_profile_destroy(mn_profile *p);
/* From now on time counts, as MN_OP_OTHER before the layers; until the stop. */
void mn_profile_start(mn_profile *p);
void mn_profile_stop(mn_profile *p);

mn_op_kind mn_profile_change(mn_profile *p, mn_op_kind kind);
/* What runs from now on. Returns what ran before, to be entered again afterwards. */
static inline mn_op_kind mn_profile_enter(mn_profile *p, mn_op_kind kind) {
    return p ? mn_profile_change(p, kind) : MN_OP_OTHER;
}
/* The place where it runs. The time so far goes to the place before. */
void mn_profile_move(mn_profile *p, int place);
/* Work of one operation of the kind at this place; flops_per_s: the peak of the instructions it uses, 0: not known. */
void mn_profile_count(mn_profile *p, mn_op_kind kind, double flops, double bytes, double flops_per_s);

static inline mn_op_cost *mn_profile_at(const mn_profile *p, int place, mn_op_kind kind) {
    return &p->costs[place * MN_OP_COUNT + kind];
}
/* "products" */
const char *mn_op_kind_name(mn_op_kind kind);

#endif
