/* Every architecture against reference logits, at every level of instructions: exact arithmetic at once, in chunks,
 * token by token; the arithmetic that users run, with weights of several types; and sessions that were saved and
 * restored. */
#include "support/golden.h"
#include "support/levels.h"

/* Every fifth is tested under emulation: small ones, with dense layers, experts, latent attention and learned
 * positions. */
static const char *const models[] = {
    "golden/tiny-llama", "golden/tiny-llama-yarn", "golden/tiny-mixtral",   "golden/tiny-qwen2",
    "golden/tiny-qwen3", "golden/tiny-qwen3moe",   "golden/tiny-gemma2",    "golden/tiny-gemma3",
    "golden/tiny-phi3",  "golden/tiny-deepseek2",  "golden/tiny-deepseek3", "golden/tiny-bloom",
    "golden/tiny-mpt",   "models/default",         "models/infini",         "golden/tiny-gpt2",
    "models/base",       "models/llama",
};
enum { N_MODELS = sizeof models / sizeof *models };

int main(void) { return golden_run(&(golden_suite){models, N_MODELS, N_MODELS, golden_check_fast}); }
