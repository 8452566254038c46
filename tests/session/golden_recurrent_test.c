/* Models with recurrent mixers against reference logits, at every level of instructions: exact arithmetic at once, in
 * chunks, token by token; the arithmetic that users run; and sessions that were saved and restored. */
#include "support/golden.h"

/* The first ones are dense. A router's choice makes any rounding of the fast arithmetic large, and so do gates that
 * decide what a state keeps where nothing but states carries the text: the worst rows diverge by 0.0216 nats (mamba2 in
 * q8_0, token by token, AVX2) and 0.0067 (rwkv7 in f16, bf16 products), where 0.02 and 0.002 are the bounds. */
static const char *const models[] = {
    "golden/tiny-qwen35",  "golden/tiny-falcon-h1",      "golden/tiny-nemotron-h",    "golden/tiny-lfm2",
    "golden/tiny-rwkv7",   "golden/tiny-mamba2",         "golden/tiny-qwen35moe",     "golden/tiny-qwen3next",
    "golden/tiny-lfm2moe", "golden/tiny-nemotron-h-moe", "golden/tiny-granitehybrid", "golden/tiny-kimi-linear",
};
enum { N_MODELS = sizeof models / sizeof *models, N_FAST = 4 };

int main(void) { return golden_run(&(golden_suite){models, N_MODELS, N_FAST, golden_check_fast}); }
