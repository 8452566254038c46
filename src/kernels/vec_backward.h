/* Kernels over vectors of f32 that training adds: the backward of those in vec.h, and what losses and optimisers want.
 *
 * n floats each, no alignment asked, summed in a fixed order. dy is the gradient of the output, d... that of an
 * operand. Against double precision: 2e-6 of the largest gradient of the vector, except where noted.
 */
#ifndef MN_KERNELS_VEC_BACKWARD_H
#define MN_KERNELS_VEC_BACKWARD_H

#include <stdbool.h>
#include <stdint.h>

/* One step of AdamW (Loshchilov and Hutter, arXiv:1711.05101, alg. 2), corrections for the step's number included:
 *   m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2,  g = scale * gradient
 *   w = keep w - rate m / (sqrt(v) inverse_root + eps) */
typedef struct mn_adam {
    float scale, beta1, beta2, eps;
    float rate;         /* the learning rate over 1 - beta1^t */
    float inverse_root; /* 1 / sqrt(1 - beta2^t) */
    float keep;         /* 1 - learning rate * decay */
} mn_adam;

typedef struct mn_vec_backward {
    /* y = x s w, s = 1 / sqrt(mean(x^2) + eps):  dx = s (w dy - x s^2 mean(w dy x)), or += (add); dw += dy x s, where
     * dw is not NULL. w NULL = 1. dx may be dy. */
    void (*rms_norm)(float *dx, bool add, float *dw, const float *x, const float *dy, const float *w, float eps,
                     int64_t n);
    /* y = z w + b, z = (x - mean) s, s = 1 / sqrt(var + eps):  dx = s (w dy - mean(w dy) - z mean(w dy z)), or += ; dw
     * += dy z, db += dy, where they are not NULL. dx may be dy. */
    void (*layer_norm)(float *dx, bool add, float *dw, float *db, const float *x, const float *dy, const float *w,
                       float eps, int64_t n);
    /* y = silu(g) u:  dg = dy u silu'(g), du = dy silu(g). dg may be g or dy, du may be u or dy. */
    void (*silu_mul)(float *dg, float *du, const float *g, const float *u, const float *dy, int64_t n);
    /* y = gelu(g) u, the tanh form; u NULL = 1, du is not written then. */
    void (*gelu_mul)(float *dg, float *du, const float *g, const float *u, const float *dy, int64_t n);
    /* out_i += x_i y_i */
    void (*mul_add)(float *out, const float *x, const float *y, int64_t n);
    /* y = softmax(x):  dx = y (dy - sum y dy). dx may be dy. */
    void (*softmax)(float *dx, const float *y, const float *dy, int64_t n);
    /* The rotations of vec.h by the opposite angles, in place. */
    void (*rotate_interleaved)(float *x, const float *cos, const float *sin, int64_t n_pairs);
    void (*rotate_split)(float *x, const float *cos, const float *sin, int64_t n_pairs);
    /* x = softmax(x); the logarithm of the sum of e^x, 1e-6 and 2^-24 |max| of it. -INFINITY: nothing but -inf. */
    double (*log_sum_exp)(float *x, int64_t n);
    /* One step for n weights w and their moments m and v. */
    void (*adam)(float *w, float *m, float *v, const float *gradient, const mn_adam *step, int64_t n);
} mn_vec_backward;

void mn_vec_backward_init_generic(mn_vec_backward *table);
void mn_vec_backward_init_avx2(mn_vec_backward *table);
void mn_vec_backward_init_avx512(mn_vec_backward *table);
void mn_vec_backward_init_neon(mn_vec_backward *table);

#endif
