/* What a step is computed by: buffers, and the operations of a layer on them.
 *
 * forward.c names the operations and touches no activation, weight or KV entry itself, so that buffers may lie anywhere
 * and an operation may be whatever computes the same: the CPU's kernels (backend_cpu.h), a launch on another device, a
 * tape that records and passes on. What belongs to a sequence (its position map, pattern, window, recurrent state) is
 * looked up per slice inside the operation, so that sequences of any kind may share a step.
 */
#ifndef MN_MODEL_BACKEND_H
#define MN_MODEL_BACKEND_H

#include "base/arena.h"
#include "model/model.h"
#include "model/sequence.h"

/* A place in the backend's memory. What the pointer means is the backend's own business. */
typedef struct mn_buffer mn_buffer;

/* Rows of f32 activations: head h of row r is the n numbers from offset + r * row_stride + h * head_stride on. */
typedef struct mn_rows {
    mn_buffer *buffer; /* NULL: there are none */
    int64_t offset, row_stride, head_stride;
    int64_t n_rows, n;
    int n_heads;
} mn_rows;

/* Dimensions [first, first + n) of every head. */
static inline mn_rows mn_rows_part(mn_rows x, int64_t first, int64_t n) {
    x.offset += first;
    x.n = n;
    return x;
}

/* Rows [first_row, first_row + n_rows) of a step are the next tokens of one sequence. */
typedef struct mn_slice {
    mn_sequence *sequence;
    int64_t first_row, n_rows;
} mn_slice;

typedef struct mn_backend mn_backend;

/* One pass of some rows, from any number of sequences, through the model. */
typedef struct mn_step {
    const mn_backend *backend;
    const mn_model *model;
    const int32_t *tokens; /* [n_rows] */
    int64_t n_rows;
    const mn_slice *slices; /* cover the rows in order */
    int n_slices;
} mn_step;

/* Which positions a step's tokens are rotated by. */
typedef enum mn_place {
    MN_PLACE_TOKEN,       /* the token's in its sequence; where segments restart, in its segment */
    MN_PLACE_TOKEN_LOCAL, /* the same, with the frequencies that windowed layers have of their own */
    MN_PLACE_QUERY,       /* from where a query sees its index-th range of keys (mn_posmap_at) */
    MN_PLACE_KEY          /* where a key is cached in the index-th plane (mn_posmap_key) */
} mn_place;

/* What goes into the state of a recurrent mixer. Gated delta: q and k normalised, decay and beta as they were
 * projected. Mamba-2: C, B, x, and dt in the place of decay. RWKV-7: r, k, v, w and a as they were projected, in the
 * order of the members, and what v takes of the first layer's. */
typedef struct mn_mixer_inputs {
    mn_rows q, k, v;
    mn_rows decay, beta;    /* [.., n_heads], in groups (gated delta); or decay [.., n_heads * k_dim] */
    mn_rows v_mix, v_first; /* none in the first layer */
} mn_mixer_inputs;

/* A layer's rows on their way to its two MLPs. */
typedef struct mn_split {
    mn_rows parts[2];       /* of MN_BIG and MN_SMALL; n_rows 0: none goes there */
    const int64_t *rows[2]; /* which rows of x these are, NULL where the part is all of x; the backend's own: */
    const int64_t *of_step; /* the step's row that each row of x is, NULL: the same */
    int64_t n_rows;         /* of x */
    double since, router_seconds;
    mn_rows scores, held;
} mn_split;

/* Operations return MN_OK, or an error that ends the step: MN_ERR_MEMORY when buffers or scratch end, whatever a device
 * reports, MN_ERR_UNSUPPORTED for what a backend cannot do. `out` has the shape that is stated and lies in a buffer of
 * its own, or is the input that the comment names. Weights are borrowed from the model, and known by their address. */
struct mn_backend {
    void *context;
    /* Results never take the place of their inputs, and buffers stay until the step ends: for a tape. */
    bool keeps_inputs;

    /* Buffers. [n_rows, n_heads, n] without gaps, undefined. rewind gives back those taken since the mark; a backend
     * that keeps inputs does nothing there. */
    mn_status (*take)(const mn_step *s, int64_t n_rows, int n_heads, int64_t n, mn_rows *out, mn_error *err);
    mn_arena_mark (*mark)(const mn_step *s);
    void (*rewind)(const mn_step *s, mn_arena_mark mark);

    /* KV cache. prepare makes room for the step's tokens in the caches of all sequences. append stores the layer's keys
     * and values (v none: inside the keys) as their next entries, in the index-th plane of a position map; sequences
     * that cache nothing in this layer, or have no such plane, are passed over. */
    mn_status (*prepare)(const mn_step *s, mn_error *err);
    mn_status (*append)(const mn_step *s, int layer, int plane, mn_rows k, mn_rows v, mn_error *err);

    /* Angles: out [n_rows, 2, n_rot / 2], cosines and sines. */
    mn_status (*angles)(const mn_step *s, mn_rows out, mn_place place, int index, mn_error *err);
    /* out[r] = x[rows[r]], rows ascending. */
    mn_status (*gather)(const mn_step *s, mn_rows out, mn_rows x, const int64_t *rows, mn_error *err);

    /* out[r] = embedding_scale * token_embd[tokens[r]] (+ position_embd[position of r]) (+ token_type) */
    mn_status (*embed)(const mn_step *s, mn_rows out, mn_error *err);
    /* out[r] [n_layers, n_embd_layer] = sqrt(n_embd_layer) * layer_embd[tokens[r]] */
    mn_status (*embed_layers)(const mn_step *s, mn_rows out, mn_error *err);
    /* Normalises every vector, without weights where w holds none; out may be x. */
    mn_status (*norm)(const mn_step *s, mn_rows out, mn_rows x, const mn_norm *w, mn_error *err);
    /* outs[i] = W_i x + b_i */
    mn_status (*project)(const mn_step *s, const mn_rows *outs, const mn_projection *const *ws, int n_ws, mn_rows x,
                         mn_error *err);
    /* min(max(x, -limit), limit); out may be x. */
    mn_status (*clamp)(const mn_step *s, mn_rows out, mn_rows x, float limit, mn_error *err);
    /* Rotates dimensions [first, first + n_rot) of every head by the row's angles (RoPE), and copies the others; out
     * may be x. */
    mn_status (*rotate)(const mn_step *s, mn_rows out, mn_rows x, int64_t first, mn_rows angles, mn_error *err);
    /* The layer's short convolutions of q and k, through each sequence's history. */
    mn_status (*convolve)(const mn_step *s, int layer, mn_rows q_out, mn_rows k_out, mn_rows q, mn_rows k,
                          mn_error *err);
    /* Causal attention, in encoders attention in both directions, of q over what is cached, in one range of each
     * query's keys. Sequences without a position map in this layer see all that they see in range 0, and nothing in
     * others. lse [n_rows, n_heads], or none: as in mn_attend, -INFINITY for rows that saw nothing. out is undefined
     * for rows of sequences that cache nothing in this layer, and for those that have no such range. */
    mn_status (*attend)(const mn_step *s, int layer, int range, mn_rows out, mn_rows lse, mn_rows q, mn_error *err);
    /* The same by MLA over cached latents, for which there are no maps: q [.., n_nope + n_rot], rotated, out [..,
     * v_dim]. Absorbed or over materialised keys, whichever takes fewer products (mn_mla_deepest); always absorbed
     * where how a text was cut must not change a bit, and where the sequence asks for it. chosen: what `choose` noted,
     * or none: every key. */
    mn_status (*attend_latent)(const mn_step *s, int layer, mn_rows out, mn_rows lse, mn_rows q, mn_rows chosen,
                               mn_error *err);
    /* The layer's indexer: keeps its keys k [.., 1, dim], and notes in chosen, which is the backend's to understand
     * ([n_rows, 1, 2 * mn_step_words]), the keys that each row may see. q [.., n_heads, dim], weights [.., n_heads];
     * all as they were projected. k and angles none: its keys are compressed ones, which `compress` has kept, and q is
     * rotated. */
    mn_status (*choose)(const mn_step *s, int layer, mn_rows chosen, mn_rows q, mn_rows k, mn_rows weights,
                        mn_rows angles, mn_error *err);
    /* Compressed keys of the layer (attention/compressor.h), or of its indexer: u and s as they were projected go
     * through each sequence's state; keys of the blocks that they complete, normalised and rotated at the block's first
     * position, into its cache. */
    mn_status (*compress)(const mn_step *s, int layer, bool of_indexer, mn_rows u, mn_rows sc, mn_error *err);
    /* Attention of q over the compressed keys that are complete at each row's token, which are the values too; chosen:
     * what `choose` noted, or none: all of them. lse as for attend; rows that see none get zeros. */
    mn_status (*attend_compressed)(const mn_step *s, int layer, mn_rows out, mn_rows lse, mn_rows q, mn_rows chosen,
                                   mn_error *err);
    /* Attention over two ranges joined by log-sum-exp, see mn_attend_merge; out and lse may be x and x_lse. */
    mn_status (*merge)(const mn_step *s, mn_rows out, mn_rows lse, mn_rows x, mn_rows x_lse, mn_rows y, mn_rows y_lse,
                       mn_error *err);
    /* The output of a layer's recurrent states, each advanced by its slice: linear attention in the place of softmax
     * attention, or a compressive memory mixed with it. y: the layer's normed input; q, k not rotated. Rows of
     * sequences without such a state get softmax's. out may be softmax. */
    mn_status (*mix_recurrent)(const mn_step *s, int layer, mn_rows out, mn_rows softmax, mn_rows y, mn_rows q,
                               mn_rows k, mn_rows v, mn_error *err);
    /* The causal convolution of the layer's mixer, through each sequence's history. */
    mn_status (*convolve_mixer)(const mn_step *s, int layer, mn_rows out, mn_rows x, mn_error *err);
    /* Mixtures of each row with the row before, through each sequence's history: out [.., n, n_embd], head j of it
     * x + (before - x) * mixes[j]; those before the layer's state, or before its MLP. */
    mn_status (*mix_shifted)(const mn_step *s, int layer, bool before_mlp, mn_rows out, mn_rows x, mn_error *err);
    /* The recurrent state of the layer's mixer, each sequence's advanced by its slice. out [.., n_heads, v_dim]. */
    mn_status (*mix_state)(const mn_step *s, int layer, mn_rows out, const mn_mixer_inputs *in, mn_error *err);
    /* f(g) * x, of the same shape, f as `gate` says; x none: f(g). out may be x or g. */
    mn_status (*gate)(const mn_step *s, mn_gate gate, mn_rows out, mn_rows x, mn_rows g, mn_error *err);
    /* activation(gate) * up; gate none: activation(up). out may be up. */
    mn_status (*activate)(const mn_step *s, mn_mlp_act activation, mn_rows out, mn_rows gate, mn_rows up,
                          mn_error *err);
    /* The layer's routed experts of x, chosen by the router's product with routed, or by the token (a table). rows:
     * which of the step's rows x has, ascending, NULL: all. */
    mn_status (*experts)(const mn_step *s, int layer, mn_rows out, mn_rows x, mn_rows routed, const int64_t *rows,
                         mn_error *err);
    /* Which rows of x, the input of a layer's MLPs, take its small one (mlp/easy.h): for both what goes there,
     * gathered, or x itself. rows: which of the step's rows x has, ascending, NULL: all. A backend that keeps inputs
     * may send all of x both ways and mix what comes back. */
    mn_status (*split)(const mn_step *s, int layer, mn_split *out, mn_rows x, const int64_t *rows, mn_error *err);
    /* Puts y, what an MLP made of its part, into its rows of out; MN_BIG before MN_SMALL, parts without rows left out.
     */
    mn_status (*join)(const mn_step *s, int layer, mn_split *split, int part, mn_rows out, mn_rows y, mn_error *err);
    /* Hyper-connections (hyper_connections.h) of x [.., n_streams, n]: out [.., n] what a block takes of the streams,
     * by mixes [.., mn_hyper_mixes], and gates [.., n_streams (1 + n_streams)] by which its result goes back, or none.
     */
    mn_status (*merge_streams)(const mn_step *s, const mn_hyper_weights *w, mn_rows out, mn_rows gates, mn_rows x,
                               mn_rows mixes, mn_error *err);
    /* The streams after a block that gave y [.., n]; out may be x. */
    mn_status (*spread_streams)(const mn_step *s, mn_rows out, mn_rows x, mn_rows y, mn_rows gates, mn_error *err);
    /* x + y; out may be x. */
    mn_status (*add)(const mn_step *s, mn_rows out, mn_rows x, mn_rows y, mn_error *err);
    /* factor * x; out may be x. */
    mn_status (*scale)(const mn_step *s, mn_rows out, mn_rows x, float factor, mn_error *err);
    /* Each head of x times the sigmoid of its number in g [.., n_heads, 1]; out may be x. */
    mn_status (*gate_heads)(const mn_step *s, mn_rows out, mn_rows x, mn_rows g, mn_error *err);
    /* Queries times the temperature of their positions (mn_temper); out may be x. */
    mn_status (*temper)(const mn_step *s, mn_rows out, mn_rows x, mn_error *err);
    /* The end of the step: logits [x.n_rows, n_vocab] of x, soft-capped, in the caller's memory. */
    mn_status (*logits)(const mn_step *s, float *logits, mn_rows x, mn_error *err);
    /* In their place where states are wanted: x itself, [x.n_rows, n_embd] in the caller's memory. */
    mn_status (*states)(const mn_step *s, float *states, mn_rows x, mn_error *err);
};

/* The slice that a row of the step belongs to. */
static inline const mn_slice *mn_step_slice(const mn_step *s, int64_t row) {
    const mn_slice *slice = s->slices;
    while (row >= slice->first_row + slice->n_rows) slice++;
    return slice;
}

/* Words of 64 keys that hold all keys of any sequence after the step. */
static inline int64_t mn_step_words(const mn_step *s) {
    int64_t most = 0;
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++)
        if (mn_sequence_n_kv(slice->sequence) + slice->n_rows > most)
            most = mn_sequence_n_kv(slice->sequence) + slice->n_rows;
    return (most + 63) / 64;
}

static inline mn_status mn_no_scratch(mn_error *err) {
    return mn_fail(err, MN_ERR_MEMORY, "no memory for a step's work; use a smaller batch.");
}

/* Whether a sequence of the step has a recurrent state in this layer, beside convolution histories. */
static inline bool mn_step_has_recurrent(const mn_step *s, int layer) {
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++)
        if (mn_attn_has_state(&slice->sequence->attn, &s->model->config, layer)) return true;
    return false;
}

#endif
