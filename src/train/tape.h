/* Training is a backend that remembers: forward.c runs on it as on any other, each operation is computed by the CPU's
 * and leaves an entry behind (what it was given and what it made); the backward pass walks the entries from the last to
 * the first.
 *
 * Activations lie in one region of memory and their gradients in a second one of the same layout, as the weights' do
 * (parameters.h): the gradient of what lies at address a stands at a constant distance. A buffer's gradient is made by
 * the first entry that has one to give, and added to by the others.
 *
 * Every slice of a step is a document of its own: no attention, no convolution and no recurrent state crosses into the
 * next. Sequences begin at token 0 and cache f32.
 */
#ifndef MN_TRAIN_TAPE_H
#define MN_TRAIN_TAPE_H

#include "mlp/easy_backward.h"
#include "model/backend_cpu.h"
#include "train/cross_entropy.h"
#include "train/parameters.h"

typedef enum mn_tape_kind {
    MN_TAPE_EMBED,
    MN_TAPE_EMBED_LAYERS,
    MN_TAPE_NORM,
    MN_TAPE_PROJECT,
    MN_TAPE_CLAMP,
    MN_TAPE_ROTATE,
    MN_TAPE_CONVOLVE,
    MN_TAPE_SHARE,
    MN_TAPE_ATTEND,
    MN_TAPE_ATTEND_LATENT,
    MN_TAPE_COMPRESS,
    MN_TAPE_ATTEND_COMPRESSED,
    MN_TAPE_MERGE,
    MN_TAPE_MERGE_STREAMS,
    MN_TAPE_SPREAD_STREAMS,
    MN_TAPE_MIX_RECURRENT,
    MN_TAPE_CONVOLVE_MIXER,
    MN_TAPE_MIX_SHIFTED,
    MN_TAPE_MIX_STATE,
    MN_TAPE_GATE,
    MN_TAPE_ACTIVATE,
    MN_TAPE_EXPERTS,
    MN_TAPE_EASY,
    MN_TAPE_ADD,
    MN_TAPE_SCALE,
    MN_TAPE_GATE_HEADS,
    MN_TAPE_TEMPER,
    MN_TAPE_GATHER,
    MN_TAPE_LOSS,
    MN_TAPE_KIND_COUNT
} mn_tape_kind;

/* An operation as backend.h names it: its results, its operands, its weights. */
typedef struct mn_tape_entry {
    mn_tape_kind kind;
    int layer, n_out;
    mn_rows out[4], in[7];
    const mn_projection *projections[4];
    const mn_norm *norm;
    const mn_hyper_weights *hyper;
    const int64_t *rows;
    int64_t first;
    float limit; /* of clamp; the factor of scale */
    mn_mlp_act activation;
    mn_gate gate;
    bool before_mlp;
} mn_tape_entry;

/* Writes that stand for a long text between two tokens of a slice: the keys and values of other rows of the step are
 * stored in every memory before the slice's row `at`. */
typedef struct mn_memory_prefix {
    int64_t at, n;
    const int64_t *rows; /* [n] of the step */
} mn_memory_prefix;

/* How compressive memories learn (docs/training.md). All zeros: as they run, gradients through all of the text. */
typedef struct mn_tape_memory {
    bool hard;                           /* writes are 0 or 1 and have no gradient: gates learn from labels alone */
    int64_t detach_segments;             /* see mn_infini_grad */
    const float *labels, *label_weights; /* [n_rows] of the step: whether a token is to be written; NULL: no labels */
    int64_t n_hardest;                   /* of labelled negatives, those that the gate likes best weigh more: */
    float hardest_weight;                /* in all */
    const mn_memory_prefix *prefixes;    /* [n_slices]; NULL: none */
    double loss;                         /* of the labels, added to by the backward pass */
} mn_tape_memory;

/* What a layer's attention has besides queries. */
typedef struct mn_tape_attended {
    mn_rows k, v;               /* what the step appended, and where its gradient is added up */
    mn_rows shared_k, shared_v; /* copies for later layers that attend to these keys, which outlive the layer's buffers
                                 * when activations are made again; none: no layer does */
    mn_rows chosen;             /* what the layer's indexer chose; none: it has none */
    mn_rows compressed;         /* the compressed keys of the step, for their gradient; none: no block is complete */
} mn_tape_attended;

typedef struct mn_tape {
    mn_backend backend; /* for forward.c */
    mn_backend cpu;     /* that computes */
    const mn_compute *compute;
    const mn_parameters *parameters;
    const mn_parameters *adapters; /* or NULL; attached to the model's projections */
    char *gradients[2];            /* where those of parameters and adapters are added up; NULL: in their own block */
    char *data;                    /* the region of activations */
    size_t capacity, used, most;   /* bytes */
    size_t claimed;                /* of a dry tape: bytes of gradients that were claimed, in whole pages */
    ptrdiff_t to_gradients;        /* from an activation to its gradient */
    mn_tape_entry *entries;
    int64_t n_entries, entries_capacity;
    mn_tape_attended *attended; /* [n_layers] */
    bool records;               /* else operations are computed and forgotten */
    mn_cross_entropy target; /* labels, weights and teacher of the step's rows, set by the trainer; the tape adds x, the
                              * output projection and where gradients go */
    mn_loss loss;            /* added to by the backward pass */
    double balance;          /* coefficient of the experts' balance loss (mlp/router_backward.h); 0: none */
    double target_weights;   /* of the step's rows: the balance loss counts as much as the mean loss */
    double balance_loss;     /* added to */
    int64_t *visits;         /* [n_layers, n_experts] added to, or NULL */
    mn_easy_mixing easy;     /* how small MLPs for easy tokens learn */
    mn_tape_memory memory;
    double seconds[2][MN_TAPE_KIND_COUNT]; /* spent forward and backward on each kind, added to; what the forward does
                                            * between two entries counts to the second; the loss is all in backward */
    double since;                          /* clock of the last entry */
} mn_tape;

/* The operation in words. */
const char *mn_tape_kind_name(mn_tape_kind kind);

/* A tape with room for `bytes` of activations, and as much for their gradients; memory is taken as it is used. With a
 * dry pool in compute hardly anything is touched: tape->most then is what a step needs of activations, and
 * tape->claimed of gradients, as not every activation has one. The caller closes it. */
mn_status mn_tape_open(const mn_compute *compute, const mn_parameters *parameters, size_t bytes, mn_tape *out,
                       mn_error *err);
void mn_tape_close(mn_tape *tape);

/* Where the gradient of a weight, the model's or an adapter's, is added up; NULL where it is frozen. */
float *mn_tape_weight_gradient(const mn_tape *t, const void *weight);

/* Forgets entries and activations. */
void mn_tape_clear(mn_tape *tape);
/* Goes back to so many used bytes: what was taken since is forgotten. */
void mn_tape_rewind(mn_tape *tape, size_t used);

/* Where the gradient of activations lies. */
static inline float *mn_tape_gradient(const mn_tape *t, mn_rows x) {
    return (float *)(void *)((char *)(void *)mn_cpu_data(x) + t->to_gradients);
}
/* Whether anything gave x a gradient. */
bool mn_tape_has_gradient(const mn_tape *t, mn_rows x);
/* Makes the gradient of x ready to be written. True: it holds something, or x is a part of its buffer, and what comes
 * is to be added; false: it is undefined, and what comes is all of it. */
bool mn_tape_claim(mn_tape *t, mn_rows x);

/* The loss of rows x of the last layer, normalised, added to t->loss; d_x [n_rows, n_embd] its gradient, and that of
 * the output projection, or NULL: the loss alone. A tape that does not record computes this where logits would be. */
mn_status mn_tape_loss(mn_tape *t, const mn_step *s, mn_rows x, float *d_x, mn_error *err);

/* Walks entries [first, n_entries) back and forgets them: gradients of activations and weights. Weights that are frozen
 * get none. */
mn_status mn_tape_backward(mn_tape *t, const mn_step *s, int64_t first, mn_error *err);

#endif
