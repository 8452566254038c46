/* Attention under a position map: each row's keys fall into parts, and its query looks at each part from another
 * position (position/posmap.h). */
#ifndef MN_MODEL_PARTS_H
#define MN_MODEL_PARTS_H

#include "model/ops.h"

enum { MN_MAX_PLANES = 2 };

typedef struct mn_parts {
    int n_parts, n_planes;
    mn_part parts[MN_POSMAP_PARTS];
    mn_angles keys[MN_MAX_PLANES]; /* of the step's keys, in each plane */
} mn_parts;

/* The parts of a step's rows, in scratch, once for all layers. n_parts 0 when no sequence has a map. */
mn_status mn_parts_make(const mn_step *s, mn_parts *out, mn_error *err);

/* Rotates k for each plane, stores it, and attends: out [n_rows, n_heads, head_dim_v]. q and k are not rotated yet; k
 * is overwritten. Cost: each key once per row, as without a map, and one copy and one merge of the rows per part. */
mn_status mn_parts_attend(const mn_step *s, const mn_ops *ops, const mn_parts *parts, int layer, float *out,
                          const float *q, float *k, const float *v, mn_error *err);

#endif
