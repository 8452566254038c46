/* TransMLA (Meng et al. 2025, arXiv:2502.07864): all KV heads are one latent. For each frequency of RoPE the keys of
 * all heads are complex numbers; their principal components over the calibration text (RoRoPE, sec. 4.2) gather the
 * energy in few rotated dimensions, and change no score. Keys and values are brought to one size (balance, sec. 4.3)
 * before the principal components of both together make the latent.
 */
#include "convert/dense.h"
#include "convert/latent.h"

#include <stdlib.h>
#include <string.h>

static mn_status principal_components(const double *likeness, int n, double *u, mn_error *err) {
    double *values;
    MN_TRY(mn_dense_zeros(n, 1, &values, err));
    memcpy(u, likeness, (size_t)n * (size_t)n * sizeof *u);
    mn_status status = mn_dense_eigen(u, n, values, err);
    free(values);
    return status;
}

const mn_latent_method mn_transmla = {principal_components, .balances = true, .weights = false};
