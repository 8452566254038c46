#include "model/parts.h"

#include "base/checked.h"

#include <string.h>

static mn_angles new_angles(const mn_step *s) {
    int64_t n_pairs = s->model->config.rope.n_rot / 2;
    return (mn_angles){mn_step_floats(s, s->n_rows, n_pairs), mn_step_floats(s, s->n_rows, n_pairs)};
}

static int64_t *new_indices(const mn_step *s) {
    return mn_arena_alloc(s->c->scratch, (size_t)s->n_rows, sizeof(int64_t));
}

/* Angles of the rows of one slice, from their positions. */
static void set_angles(const mn_step *s, const mn_slice *slice, const int64_t *positions, mn_angles angles) {
    int64_t at = slice->first_row * (s->model->config.rope.n_rot / 2);
    mn_rope_angles(&slice->sequence->rope, positions, slice->n_rows, angles.cos + at, angles.sin + at);
}

/* A sequence without a map has one part, in which tokens are where they always are. */
static mn_posmap_part part_at(const mn_attn_spec *attn, int part, int64_t i) {
    if (!attn->map.scheme) return (mn_posmap_part){.q_position = mn_attn_position(attn, i)};
    return part < attn->map.n_parts ? mn_posmap_at(&attn->map, part, i) : (mn_posmap_part){0};
}

static int64_t key_position(const mn_attn_spec *attn, int plane, int64_t j) {
    return plane < attn->map.n_planes ? mn_posmap_key(&attn->map, plane, j) : mn_attn_position(attn, j);
}

static mn_status make_part(const mn_step *s, int index, int n_planes, int64_t *positions, mn_part *out, mn_error *err) {
    int64_t *begin = new_indices(s), *end = new_indices(s);
    *out = (mn_part){.index = index,
                     .plane = index % n_planes,
                     .angles = new_angles(s),
                     .key_begin = begin,
                     .key_end = end,
                     .lse = mn_step_floats(s, s->n_rows, s->model->config.n_heads)};
    if (!begin || !end || !out->angles.cos || !out->angles.sin || !out->lse) return mn_no_scratch(err);
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        for (int64_t r = 0; r < slice->n_rows; r++) {
            mn_posmap_part part = part_at(&slice->sequence->attn, index, slice->sequence->n_tokens + r);
            positions[r] = part.q_position;
            begin[slice->first_row + r] = part.key_begin;
            end[slice->first_row + r] = part.key_end;
        }
        set_angles(s, slice, positions, out->angles);
    }
    return MN_OK;
}

static mn_status make_keys(const mn_step *s, int plane, int64_t *positions, mn_angles *out, mn_error *err) {
    *out = new_angles(s);
    if (!out->cos || !out->sin) return mn_no_scratch(err);
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        for (int64_t r = 0; r < slice->n_rows; r++)
            positions[r] = key_position(&slice->sequence->attn, plane, slice->sequence->n_tokens + r);
        set_angles(s, slice, positions, *out);
    }
    return MN_OK;
}

mn_status mn_parts_make(const mn_step *s, mn_parts *out, mn_error *err) {
    *out = (mn_parts){0};
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        out->n_parts = MN_MAX(out->n_parts, slice->sequence->attn.map.n_parts);
        out->n_planes = MN_MAX(out->n_planes, slice->sequence->attn.map.n_planes);
    }
    if (out->n_parts == 0) return MN_OK;
    int64_t *positions = new_indices(s);
    if (!positions) return mn_no_scratch(err);
    for (int i = 0; i < out->n_parts; i++) MN_TRY(make_part(s, i, out->n_planes, positions, &out->parts[i], err));
    for (int i = 0; i < out->n_planes; i++) MN_TRY(make_keys(s, i, positions, &out->keys[i], err));
    return MN_OK;
}

/* [n_rows, n_heads, n] without gaps; the first n_rot dimensions of each head are what RoPE turns. */
static mn_heads rotated(const mn_step *s, float *x, int n_heads, int n) {
    return (mn_heads){x, (int64_t)n_heads * n, n, n_heads, s->model->config.rope.n_rot};
}

/* The last plane takes k itself, those before it a copy. */
static mn_status append_planes(const mn_step *s, const mn_ops *ops, const mn_parts *parts, int layer, float *k,
                               const float *v, mn_error *err) {
    const mn_config *c = &s->model->config;
    int64_t row = (int64_t)c->n_kv_heads * c->head_dim_k;
    float *turned = parts->n_planes > 1 ? mn_step_floats(s, s->n_rows, row) : k;
    if (!turned) return mn_no_scratch(err);
    for (int plane = 0; plane < parts->n_planes; plane++) {
        mn_step of_plane = *s;
        of_plane.part = &parts->parts[plane];
        float *keys = plane + 1 < parts->n_planes ? turned : k;
        if (keys != k) memcpy(keys, k, (size_t)(s->n_rows * row) * sizeof *keys);
        ops->rotate(s, rotated(s, keys, c->n_kv_heads, c->head_dim_k), &parts->keys[plane]);
        ops->append(&of_plane, layer, keys, plane == 0 ? v : NULL);
    }
    return MN_OK;
}

mn_status mn_parts_attend(const mn_step *s, const mn_ops *ops, const mn_parts *parts, int layer, float *out,
                          const float *q, float *k, const float *v, mn_error *err) {
    const mn_config *c = &s->model->config;
    int64_t q_row = (int64_t)c->n_heads * c->head_dim_k;
    float *turned = mn_step_floats(s, s->n_rows, q_row);
    float *more = mn_step_floats(s, s->n_rows, (int64_t)c->n_heads * c->head_dim_v);
    if (!turned || !more) return mn_no_scratch(err);
    MN_TRY(append_planes(s, ops, parts, layer, k, v, err));
    for (int i = 0; i < parts->n_parts; i++) {
        mn_step of_part = *s;
        of_part.part = &parts->parts[i];
        memcpy(turned, q, (size_t)(s->n_rows * q_row) * sizeof *turned);
        ops->rotate(s, rotated(s, turned, c->n_heads, c->head_dim_k), &parts->parts[i].angles);
        MN_TRY(ops->attend(&of_part, layer, i == 0 ? out : more, turned, err));
        if (i > 0) ops->merge(s, out, parts->parts[0].lse, more, parts->parts[i].lse);
    }
    return MN_OK;
}
