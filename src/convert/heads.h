/* Heads of a trained model turned into ones that cache less: fewer key and value heads (GQA, MQA), or one latent row
 * for all of them (MLA). What each cached: docs/techniques/heads.md.
 */
#ifndef MN_CONVERT_HEADS_H
#define MN_CONVERT_HEADS_H

#include "base/notes.h"
#include "base/technique.h"
#include "convert/calibrate.h"

typedef enum mn_heads_method {
    MN_HEADS_MEAN,     /* Ainslie et al. 2023 (arXiv:2305.13245, sec. 2.1): a group's heads are averaged */
    MN_HEADS_FIRST,    /* the same, but the first head of each group stays */
    MN_HEADS_TRANSMLA, /* Meng et al. 2025 (arXiv:2502.07864): transmla.c */
    MN_HEADS_MHA2MLA   /* Ji et al. 2025 (arXiv:2502.14837): mha2mla.c */
} mn_heads_method;

/* What the heads are to become. */
typedef struct mn_heads_wish {
    mn_heads_method method;
    int n_kv_heads;  /* of grouped heads; 0: latent ones */
    int rank, n_rot; /* of latent ones: width of the latent, and of the rotated key; n_rot 0: mn_heads_n_rot */
    bool regroup;    /* grouped heads: neighbours are heads with similar keys, not those that stand together */
    mn_dtype type;   /* of the weights written; MN_DTYPE_COUNT: as they are */
    mn_notes *notes; /* what the user should know goes here; may be NULL */
} mn_heads_wish;

/* Reads "gqa:8", "mqa", "mla:512", "mla:512,rope=64", and "mean", "first", "transmla", "mha2mla" (NULL: mean for the
 * former, transmla for the latter); fills these fields of *out alone. MN_ERR_ARGUMENT for anything else. */
mn_status mn_heads_parse(const char *heads, const char *method, mn_heads_wish *out, mn_error *err);

/* Rotated dimensions of latent heads: those asked for, or half of the model's, an even number. */
int mn_heads_n_rot(const mn_heads_wish *wish, const mn_config *config);

/* MN_OK, or MN_ERR_UNSUPPORTED with the reason why this model cannot be converted so, MN_ERR_ARGUMENT where the numbers
 * do not fit it. */
mn_status mn_heads_check(const mn_model *model, const mn_heads_wish *wish, mn_error *err);

/* Writes the converted model (checked as above). Latent heads are written as they are trained, with a flat norm of an
 * epsilon of its own; mn_latent_finish (latent.h) makes the file that other engines load. moments: of this model. */
mn_status mn_heads_write(const mn_model *model, const mn_heads_wish *wish, const mn_moments *moments, const char *path,
                         mn_error *err);

/* Bytes that a token leaves in the KV cache of all layers, in f16. */
size_t mn_heads_kv_bytes(const mn_config *config);

extern const mn_technique mn_heads_techniques[]; /* ends with a NULL name */

#endif
