/* The backward of a state that is a matrix, one token of one head (kernels/recurrent.h, mn_state_token):
 *
 *   u = M^T read,  M' = diag(decay) M + k w^T - back u^T,  out = M'^T q
 *
 * and, with G the gradient of M' that later tokens gave, first of all G += q d_out^T:
 *
 *   d_q = M' d_out,  d_k = G w,  d_w = G^T k,  d_back = -G u,  d_u = -G^T back,  d_decay = rowsum(G o M)
 *   d_read = M d_u,  G = diag(decay) G + read d_u^T              the gradient of M
 *
 * States before and after each token are needed. They are not all kept: rows are cut into chunks, the states before
 * chunks are kept, and those in a chunk are made again by the recurrence before the chunk is walked back (Chen et al.
 * 2016, arXiv:1604.06174). So the size of chunks changes no bit.
 */
#ifndef MN_RECURRENT_STATE_BACKWARD_H
#define MN_RECURRENT_STATE_BACKWARD_H

#include "kernels/kernels.h"

#include <stddef.h>

enum { MN_STATE_KEPT_CHUNK = 32 };

typedef struct mn_state_token_grad {
    int n_k, n_v;
    const float *before, *after; /* M, M': [n_k, n_v] */
    const float *decay, *k, *q;  /* [n_k] */
    const float *read, *back;    /* [n_k], or NULL: there is none */
    const float *w, *u, *d_out;  /* [n_v]; u where there is read */
    float *g;                    /* G, of M' before and of M afterwards: [n_k, n_v] */
    float *d_decay, *d_k, *d_q;  /* [n_k], written */
    float *d_read, *d_back;      /* [n_k], written where there are read and back */
    float *d_w, *d_u;            /* [n_v], written; d_u of back is made here, without back it is beta's business: */
    float u_share;               /* without back, w has -u_share u in it, and d_u = -u_share d_w */
} mn_state_token_grad;

void mn_state_token_backward(const mn_kernels *kernels, const mn_state_token_grad *t);

/* u = M^T read */
void mn_state_read(const mn_kernels *kernels, float *u, const float *m, const float *read, int n_k, int n_v);

/* Walks n_rows rows of one head. forward takes the row into m, from zeros at the first; back is given the states before
 * and after it, the last row first. */
typedef struct mn_state_walk {
    int64_t n_rows;
    int chunk;     /* rows whose states are held at once */
    size_t n_m;    /* numbers of a state */
    float *memory; /* mn_state_walk_floats */
    void *arg;
    void (*forward)(void *arg, int64_t row, float *m);
    void (*back)(void *arg, int64_t row, const float *before, const float *after);
} mn_state_walk;

size_t mn_state_walk_floats(int64_t n_rows, int chunk, size_t n_m);
void mn_state_walk_back(const mn_state_walk *walk);

#endif
