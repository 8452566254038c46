#include "train/teacher.h"

#include "base/checked.h"
#include "kernels/kernels.h"
#include "model/forward.h"
#include "train/batch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Token for token, as logits are compared by index. */
static bool same_vocabulary(const mn_gguf *a, const mn_gguf *b) {
    const mn_gguf_kv *x = mn_gguf_find(a, "tokenizer.ggml.tokens"), *y = mn_gguf_find(b, "tokenizer.ggml.tokens");
    return x && y && x->n_items == y->n_items && x->bytes == y->bytes && !memcmp(x->data, y->data, x->bytes);
}

static mn_status check(const mn_teacher *t, const char *path, const mn_model *student, int64_t window, mn_error *err) {
    const mn_config *c = &t->model.config;
    if (c->n_vocab != student->config.n_vocab || !same_vocabulary(t->model.gguf, student->gguf))
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "%s: a teacher needs the vocabulary of its student, token for token; it has %d tokens, the "
                       "student %d.",
                       path, c->n_vocab, student->config.n_vocab);
    if (!c->infini.segment && window > c->n_ctx_train)
        return mn_fail(err, MN_ERR_ARGUMENT, "%s: the teacher's context is %lld tokens, and the window is %lld.", path,
                       (long long)c->n_ctx_train, (long long)window);
    return MN_OK;
}

static mn_status open_sequence(mn_teacher *t, int64_t window, bool dry, mn_error *err) {
    const mn_config *c = &t->model.config;
    mn_sequence_params params = {&c->rope, mn_attn_of_model(c), window, MN_F32, MN_F32};
    if (dry) return mn_sequence_init_dry(&t->sequence, c, &params.attn, MN_F32, MN_F32, err);
    return mn_sequence_init(&t->sequence, c, &params, err);
}

static mn_status open_teacher(const char *path, const mn_model *student, int64_t window, bool dry, mn_teacher *out,
                              mn_error *err) {
    *out = (mn_teacher){0};
    MN_TRY(mn_model_open(path, &out->model, err));
    mn_status status = check(out, path, student, window, err);
    if (status == MN_OK) status = open_sequence(out, window, dry, err);
    if (status != MN_OK) mn_teacher_close(out);
    return status;
}

mn_status mn_teacher_open(const char *path, const mn_model *student, int64_t window, mn_teacher *out, mn_error *err) {
    return open_teacher(path, student, window, false, out, err);
}

mn_status mn_teacher_open_dry(const char *path, const mn_model *student, int64_t window, mn_teacher *out,
                              mn_error *err) {
    return open_teacher(path, student, window, true, out, err);
}

void mn_teacher_close(mn_teacher *t) {
    if (t->sequence.cache) mn_sequence_release(&t->sequence);
    if (t->model.gguf) mn_model_close(&t->model);
    free(t->hidden);
    *t = (mn_teacher){0};
}

/* In the place of logits: what the projection would take, where they would go. */
static mn_status keep_rows(const mn_step *s, float *out, mn_rows x, mn_error *err) {
    (void)err;
    if (mn_pool_is_dry(mn_cpu_compute(s)->pool)) return MN_OK;
    memcpy(out, mn_cpu_data(x), (size_t)(x.n_rows * x.n) * sizeof *out);
    return MN_OK;
}

static mn_status read_document(mn_teacher *t, const mn_backend *backend, const int32_t *tokens, int64_t n,
                               float *hidden, mn_error *err) {
    mn_sequence *s = &t->sequence;
    int64_t *wanted = mn_arena_alloc(t->compute->scratch, (size_t)n, sizeof *wanted);
    if (!wanted) return mn_no_scratch(err);
    for (int64_t i = 0; i < n; i++) wanted[i] = i;
    mn_sequence_resume(s, NULL, 0);
    if (s->state) memset(s->state, 0, s->state_bytes);
    mn_sequence_drop_after(s, 0);
    mn_slice slice = {s, 0, n};
    mn_batch batch = {.tokens = tokens,
                      .n_rows = n,
                      .slices = &slice,
                      .n_slices = 1,
                      .wanted = wanted,
                      .n_wanted = n,
                      .logits = hidden};
    return mn_forward(backend, &t->model, &batch, err);
}

mn_status mn_teacher_read(mn_teacher *t, const mn_compute *compute, const mn_train_batch *b, mn_error *err) {
    mn_backend backend = mn_backend_cpu(compute);
    int64_t n_embd = t->model.config.n_embd;
    backend.logits = keep_rows;
    t->compute = compute;
    if (b->n_rows > t->capacity) {
        free(t->hidden);
        t->hidden = reallocarray(NULL, (size_t)b->n_rows, (size_t)n_embd * sizeof *t->hidden);
        t->capacity = t->hidden ? b->n_rows : 0;
        if (!t->hidden) return mn_fail(err, MN_ERR_MEMORY, "no memory for what the teacher makes of a batch.");
    }
    for (int i = 0; i < b->n_slices; i++) {
        int64_t first = b->slices[i].first_row;
        mn_arena_mark mark = mn_arena_get_mark(compute->scratch);
        MN_TRY(read_document(t, &backend, b->row_tokens + first, b->slices[i].n_rows, t->hidden + first * n_embd, err));
        mn_arena_rewind(compute->scratch, mark);
    }
    return MN_OK;
}

typedef struct gather_job {
    const mn_teacher *t;
    const int64_t *rows;
    float *x;
} gather_job;

static void gather_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const gather_job *j = arg;
    int64_t n = j->t->model.config.n_embd;
    for (int64_t i = begin; i < end; i++) memcpy(j->x + i * n, j->t->hidden + j->rows[i] * n, (size_t)n * sizeof *j->x);
}

typedef struct finish_job {
    const mn_teacher *t;
    float *logits;
} finish_job;

static void finish_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const finish_job *j = arg;
    const mn_projection *output = &j->t->model.weights.output;
    float cap = j->t->model.config.final_softcap;
    int64_t n = j->t->model.config.n_vocab;
    for (int64_t r = begin; r < end; r++) {
        float *l = j->logits + r * n;
        if (output->b) j->t->compute->kernels->vec.add(l, l, output->b, n);
        for (int64_t i = 0; cap > 0 && i < n; i++) l[i] = cap * tanhf(l[i] / cap);
    }
}

mn_status mn_teacher_logits(void *arg, const int64_t *rows, int64_t n, float *logits, mn_error *err) {
    mn_teacher *t = arg;
    int64_t n_embd = t->model.config.n_embd, n_vocab = t->model.config.n_vocab;
    finish_job job = {t, logits};
    mn_arena_mark mark = mn_arena_get_mark(t->compute->scratch);
    float *x = mn_arena_alloc(t->compute->scratch, (size_t)(n * n_embd), sizeof *x);
    if (!x) return mn_no_scratch(err);
    mn_pool_run(t->compute->pool, n, 16, gather_rows, &(gather_job){t, rows, x});
    MN_TRY(mn_matmul(t->compute, logits, n_vocab, x, n_embd, n, &t->model.weights.output.w, err));
    mn_pool_run(t->compute->pool, n, 16, finish_rows, &job);
    mn_arena_rewind(t->compute->scratch, mark);
    return MN_OK;
}
