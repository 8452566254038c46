#include "model/gguf_convert.h"

#include "base/checked.h"
#include "model/gguf_file.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>

typedef struct conversion {
    const mn_gguf *in;
    const mn_make_params *params;
    float *scratch; /* [n_threads, scratch_row] */
    int64_t scratch_row;
    size_t done_bytes, total_bytes;
} conversion;

typedef struct row_job {
    const conversion *c;
    const mn_tensor *src, *dst;
    char *dst_data;
    atomic_bool not_finite;
} row_job;

static bool all_finite(const float *row, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(row[i])) return false;
    return true;
}

static void convert_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    row_job *job = arg;
    int64_t n = job->src->ne[0];
    float *row = job->c->scratch + thread_index * job->c->scratch_row;
    size_t src_bytes = mn_tensor_row_bytes(job->src), dst_bytes = mn_tensor_row_bytes(job->dst);
    bool quantised = mn_dtype_get(job->dst->type)->quantised;
    for (int64_t r = begin; r < end; r++) {
        mn_to_f32(job->src->type, (const char *)job->src->data + (size_t)r * src_bytes, row, n);
        if (quantised && !all_finite(row, n))
            atomic_store(&job->not_finite, true);
        else
            mn_from_f32(job->dst->type, row, job->dst_data + (size_t)r * dst_bytes, n);
    }
}

static mn_status fill(void *arg, const mn_tensor *t, void *dst, mn_error *err) {
    conversion *c = arg;
    row_job job = {.c = c, .src = mn_gguf_tensor(c->in, t->name), .dst = t, .dst_data = dst};
    mn_pool_run(c->params->pool, t->ne[1] * t->ne[2] * t->ne[3], 16, convert_rows, &job);
    if (atomic_load(&job.not_finite))
        return mn_fail(err, MN_ERR_FORMAT, "tensor %s holds values that are not finite, which %s cannot represent.",
                       t->name, mn_dtype_get(t->type)->name);
    c->done_bytes += t->bytes;
    if (c->params->progress)
        c->params->progress(c->params->progress_arg, (int64_t)c->done_bytes, (int64_t)c->total_bytes);
    return MN_OK;
}

/* Decides the type of each tensor, and counts. */
static void put_tensors(conversion *c, mn_gguf_writer *writer, mn_convert_summary *summary) {
    for (int64_t i = 0; i < mn_gguf_n_tensors(c->in); i++) {
        mn_tensor t = *mn_gguf_tensor_at(c->in, i);
        bool kept = mn_precision_is_kept(&t);
        mn_dtype type = kept ? t.type : mn_precision_pick(&t, c->params->type);
        if (kept)
            summary->n_kept++;
        else
            summary->n_by_type[type]++;
        if (!kept && t.ne[0] % mn_dtype_get(c->params->type)->block_elems) summary->n_fallback++;
        summary->bytes_in += t.bytes;
        if (type != t.type) {
            t.type = type;
            t.data = NULL;
            t.bytes = mn_tensor_row_bytes(&t) * (size_t)(t.ne[1] * t.ne[2] * t.ne[3]);
            c->total_bytes += t.bytes;
            c->scratch_row = MN_MAX(c->scratch_row, t.ne[0]);
        }
        summary->bytes_out += t.bytes;
        mn_gguf_put_tensor(writer, &t);
    }
}

static mn_status write_converted(conversion *c, mn_gguf_writer *writer, const char *path, mn_convert_summary *summary,
                                 mn_error *err) {
    for (int64_t i = 0; i < mn_gguf_n_kv(c->in); i++)
        if (!mn_precision_is_key(mn_gguf_kv_at(c->in, i)->key)) mn_gguf_put_kv(writer, mn_gguf_kv_at(c->in, i));
    mn_precision_put(writer, c->params->type);
    put_tensors(c, writer, summary);
    int n_threads = c->params->pool ? mn_pool_threads(c->params->pool) : 1;
    size_t bytes;
    if (mn_mul_size((size_t)c->scratch_row, (size_t)n_threads * sizeof *c->scratch, &bytes))
        c->scratch = malloc(bytes + 1);
    if (!c->scratch)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for rows of %lld elements.", (long long)c->scratch_row);
    mn_status status = mn_gguf_write(writer, path, fill, c, err);
    free(c->scratch);
    return status;
}

mn_status mn_gguf_refuse_same_file(const mn_gguf *in, const char *path, mn_error *err) {
    struct stat from, to;
    if (stat(path, &to)) return MN_OK;
    for (const mn_gguf *part = in; part; part = part->next)
        if (stat(part->path, &from) == 0 && from.st_dev == to.st_dev && from.st_ino == to.st_ino)
            return mn_fail(err, MN_ERR_ARGUMENT, "%s: is the file being read; name another one for the result.", path);
    return MN_OK;
}

mn_status mn_gguf_convert(const mn_gguf *in, const char *path, const mn_make_params *params,
                          mn_convert_summary *summary, mn_error *err) {
    conversion c = {.in = in, .params = params};
    mn_gguf_writer *writer = NULL;
    *summary = (mn_convert_summary){0};
    MN_TRY(mn_gguf_refuse_same_file(in, path, err));
    MN_TRY(mn_gguf_writer_create(&writer, err));
    mn_status status = write_converted(&c, writer, path, summary, err);
    mn_gguf_writer_destroy(writer);
    return status;
}
