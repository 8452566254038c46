/* Sinusoidal positions, Vaswani et al. 2017 (arXiv:1706.03762), sec. 3.5. */
#include "position/position.h"

#include <math.h>

void mn_sinusoidal(int64_t position, int n_embd, float *row) {
    for (int i = 0; i < n_embd; i++) {
        double angle = (double)position / pow(10000, (double)(i & ~1) / n_embd);
        row[i] = (float)(i & 1 ? cos(angle) : sin(angle));
    }
}

const mn_technique mn_sinusoidal_about = {
    .name = "sinusoidal positions (library only)",
    .paper = "Vaswani et al. 2017 (arXiv:1706.03762)",
    .file = "src/position/sinusoidal.c",
    .test = "tests/position/bias_test.c",
    .exact = true,
    .training = MN_TRAINING_DONE,
};
