/* Besiroglu, Erdil, Barnett and You 2024, "Chinchilla Scaling: A replication attempt", arXiv 2404.10102.
 *
 * They read 245 runs off a figure of the Chinchilla paper, left out the five of highest loss and fitted the same
 * formula again, by maximum likelihood with a free scale: a little off the optimum of the plain Huber objective. (Their
 * text gives E as 1.8172, their published computation 1.81686.)
 */
#include "scaling/scaling.h"

#include <math.h>

/* As their computation prints them. */
mn_scaling_law mn_besiroglu_law(void) {
    return (mn_scaling_law){.name = "besiroglu",
                            .E = 1.81686,
                            .A = 482.00572,
                            .B = 2085.4342,
                            .alpha = 0.34781,
                            .beta = 0.36585,
                            .gamma = 1,
                            .counts = "all parameters"};
}

/* The logarithms that were fitted, before exponentiation and printing rounded them. */
mn_scaling_law mn_besiroglu_exact_law(void) {
    return (mn_scaling_law){.name = "besiroglu-exact",
                            .E = exp(0.59711196),
                            .A = exp(6.17795598),
                            .B = exp(7.64273236),
                            .alpha = 0.34781303,
                            .beta = 0.36585412,
                            .gamma = 1,
                            .counts = "all parameters"};
}
