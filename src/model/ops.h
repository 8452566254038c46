/* The operations a layer is made of. forward.c names them and not who does them: this table calls the CPU's kernels,
 * another may launch its own. Buffers are [n_rows, width] f32, contiguous unless strides are given.
 */
#ifndef MN_MODEL_OPS_H
#define MN_MODEL_OPS_H

#include "kernels/compute.h"
#include "model/model.h"
#include "model/sequence.h"

/* Rows [first_row, first_row + n_rows) of a step are the next tokens of one sequence. */
typedef struct mn_slice {
    mn_sequence *sequence;
    int64_t first_row, n_rows;
} mn_slice;

/* cos and sin [n_rows, n_rot / 2] of every row's position. */
typedef struct mn_angles {
    float *cos, *sin;
} mn_angles;

/* Under a position map: a range of every row's keys, and the position from which its query looks at them. Sequences
 * without a map see all that they see in part 0, and nothing in the others. */
typedef struct mn_part {
    int index, plane;                   /* of all parts; of cached keys */
    mn_angles angles;                   /* of the queries */
    const int64_t *key_begin, *key_end; /* [n_rows], of sequences with a map */
    float *lse;                         /* [n_rows, n_heads], see mn_attend */
} mn_part;

/* One pass of some rows, from any number of sequences, through the model. */
typedef struct mn_step {
    const mn_compute *c;
    const mn_model *model;
    const int32_t *tokens; /* [n_rows] */
    int64_t n_rows;
    const mn_slice *slices;
    int n_slices;
    mn_angles angles, angles_local;
    const mn_part *part; /* what append and attend are about; NULL: all keys, each with its own position */
} mn_step;

/* Vectors [n] inside rows: head h of row r starts at data + r * row_stride + h * head_stride. */
typedef struct mn_heads {
    float *data;
    int64_t row_stride, head_stride;
    int n_heads, n;
} mn_heads;

typedef struct mn_ops {
    /* x[r] = embedding_scale * token_embd[tokens[r]] (+ position_embd[position of r]) */
    mn_status (*embed)(const mn_step *s, float *x, mn_error *err);
    /* Normalises every vector of x into out, of the same shape of heads. */
    void (*norm)(const mn_step *s, mn_heads out, mn_heads x, const mn_norm *norm);
    /* outs[i] = W_i x + b_i, outs[i] [n_rows, n_out_i] */
    mn_status (*project)(const mn_step *s, float *const *outs, const mn_projection *const *ws, int n_ws, const float *x,
                         int64_t n_rows, mn_error *err);
    /* x = min(max(x, -limit), limit), n values per row */
    void (*clamp)(const mn_step *s, float *x, int64_t n, float limit);
    /* Rotates each head's vector (RoPE); x.n is the number of dimensions rotated. */
    void (*rotate)(const mn_step *s, mn_heads x, const mn_angles *angles);
    /* The short convolution of the layer on q [.., n_heads, head_dim_k] and k, through each sequence's history. */
    mn_status (*convolve)(const mn_step *s, int layer, float *q, float *k, mn_error *err);
    /* Stores the layer's keys and values (v NULL: inside the keys) as the next rows of each sequence that caches rows
     * in this layer. */
    void (*append)(const mn_step *s, int layer, const float *k, const float *v);
    /* Causal attention of q [.., n_heads, k_dim] over what is stored: out [.., n_heads, v_dim]. Rows of sequences that
     * store nothing in this layer are left as they are. */
    mn_status (*attend)(const mn_step *s, int layer, float *out, const float *q, mn_error *err);
    /* The same by MLA over stored latents: q [.., n_heads, n_nope + n_rot], rotated, out [.., n_heads, v_dim]. Each
     * sequence's rows run absorbed or over materialised keys, whichever takes fewer products (mn_mla_deepest); always
     * absorbed in exact mode, where how a text was cut must not change a bit, and where the sequence says so. */
    mn_status (*attend_latent)(const mn_step *s, int layer, float *out, const float *q, mn_error *err);
    /* Joins attention over other keys into out, see mn_attend_merge. */
    void (*merge)(const mn_step *s, float *out, float *lse, const float *part, const float *part_lse);
    /* For sequences with a memory of fixed size in this layer (mn_step_has_recurrent): mixes what a compressive memory
     * says into out, or writes what linear attention gives; y is the layer's normed input; q, k unrotated. */
    mn_status (*remember)(const mn_step *s, int layer, float *out, const float *y, const float *q, const float *k,
                          const float *v, mn_error *err);
    /* up = activation(gate) * up, or activation(up) without gate; n values per row */
    void (*activate)(const mn_step *s, float *up, const float *gate, int64_t n);
    /* out = the routed experts' answer to x */
    mn_status (*experts)(const mn_step *s, int layer, float *out, const float *x, mn_error *err);
    /* x += y, n values per row */
    void (*add)(const mn_step *s, float *x, const float *y, int64_t n);
    /* logits = softcap * tanh(logits / softcap) */
    void (*cap)(const mn_step *s, float *logits, int64_t n_rows, float softcap);
} mn_ops;

extern const mn_ops mn_ops_cpu;
/* Takes the scratch memory that mn_ops_cpu takes and computes nothing; mn_compute.pool must be a dry one. Sequences
 * need a cache, of any size, whose rows are not touched, and no state. Where the amount depends on values (tokens
 * routed to experts), it is the most that can be. */
mn_ops mn_ops_dry(void);

/* Whether a sequence of the step has a memory of fixed size in this layer. */
static inline bool mn_step_has_recurrent(const mn_step *s, int layer) {
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        const mn_attn_spec *r = &slice->sequence->attn;
        if (r->infini.shape.segment || mn_attn_is_linear(r, layer)) return true;
    }
    return false;
}

/* [n_rows * n] floats of step scratch, or NULL. */
static inline float *mn_step_floats(const mn_step *s, int64_t n_rows, int64_t n) {
    return mn_arena_alloc(s->c->scratch, (size_t)n_rows * (size_t)n, sizeof(float));
}

static inline mn_status mn_no_scratch(mn_error *err) {
    return mn_fail_with(err, MN_ERR_MEMORY, MN_REMEDIES({MN_REMEDY_SMALLER_BATCH, 0}),
                        "no memory for a step's work; use a smaller batch.");
}

#endif
