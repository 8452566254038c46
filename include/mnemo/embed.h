/* Vectors of texts: near in direction where the texts are near in meaning, by an encoder (BERT, Nomic BERT) or by the
 * states of any other model.
 *
 *     float *v = malloc(n * mn_engine_info(engine).n_embd * sizeof *v);
 *     mn_embed(engine, NULL, texts, n, v, &err);
 *
 * A text's tokens, with the special ones that the model wants at its ends, pass through the model at once; the vector
 * is made of the states after the last layer (and its final norm) by pooling, and divided by its length:
 *     mean   (1/n) sum_i h_i            first   h_0, BERT's [CLS]            last   h_(n-1)
 *
 * Threads: as the engine's (mnemo/engine.h); calls take turns.
 */
#ifndef MNEMO_EMBED_H
#define MNEMO_EMBED_H

#include <mnemo/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mn_pooling {
    MN_POOLING_DEFAULT, /* as the model's file says; mean where it does not */
    MN_POOLING_MEAN,
    MN_POOLING_FIRST,
    MN_POOLING_LAST
} mn_pooling;

typedef struct mn_embed_params {
    mn_pooling pooling;
    int64_t n_ctx;      /* tokens of a text at most; 0 = what the model was made for, 8192 at most */
    bool cut;           /* of a longer text the first n_ctx tokens count; else it is MN_ERR_LIMIT */
    bool is_not_scaled; /* leave the vector's length as it is */
} mn_embed_params;

typedef struct mn_embed_text {
    const char *text;
    size_t bytes;
    int64_t n_tokens; /* filled in: of the whole text, special ones included */
} mn_embed_text;

/* out [n, n_embd] gets the vectors, n_embd that of mn_engine_info. params may be NULL. In an exact engine a vector is
 * the same to the bit whatever texts stand beside it. A text without any token gives zeros. Cost: 2 * parameters FLOP
 * for each token, and attention; memory for the states of 2048 tokens or of the longest text.
 * Errors: MN_ERR_LIMIT for a text beyond n_ctx (which text, how long), MN_ERR_UNSUPPORTED for models that rank instead
 * of making vectors, MN_ERR_MEMORY. */
mn_status mn_embed(mn_engine *engine, const mn_embed_params *params, mn_embed_text *texts, int64_t n, float *out,
                   mn_error *err);

/* "mean", "cls" or "first", "last"; -1 = none of these. */
int mn_pooling_find(const char *name);

#ifdef __cplusplus
}
#endif
#endif
