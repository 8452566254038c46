/* Gives a model of the architecture mnemo a compressive memory (recurrent/infini.h): keys and gates; nothing that the
 * model computes is changed, as taps that are added are 0. Where the chosen heads look is for the training that
 * follows; all others keep softmax attention within segments, as their gates are shut (memory_heads.h).
 */
#ifndef MN_TRAIN_MEMORY_FILE_H
#define MN_TRAIN_MEMORY_FILE_H

#include "model/gguf.h"
#include "recurrent/infini.h"

typedef struct mn_memory_start {
    int64_t segment; /* tokens */
    mn_infini_rule rule;
    const char *heads; /* "LAYER.HEAD" of query heads with blanks between; "*" for all of either */
    float mixing_bias, write_bias, threshold; /* of the chosen heads' gates, whose weights are 0 */
    const char *mark; /* text whose last token begins a segment (model/segments.h); NULL or empty: none */
    int n_taps;       /* of the convolution on q and k in all layers: more of them see further back; 0: as they are */
} mn_memory_start;

/* Writes `in` with the memory to path. Errors: another architecture, a model that has a memory, a head that there is
 * not, fewer taps than there are, filters that are not of the taps that the file says, the disk. */
mn_status mn_memory_file_write(const mn_gguf *in, const char *path, const mn_memory_start *memory, mn_error *err);

/* Whether `heads` names the query head. */
bool mn_memory_names_head(const char *heads, int layer, int head);

#endif
