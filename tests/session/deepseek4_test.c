/* DeepSeek V4 against its formulas in double precision, written down here once more: the golden model with its layers
 * in another order and other numbers in its keys, so that windows are shorter and longer than the text, blocks end in
 * and between steps, an indexer chooses one block or all, and layers compress at one rate, at the other or not at all.
 */
#include "support/support.h"

#include <math.h>
#include <mnemo/session.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/gguf.h"
#include "session/session.h"
#include "support/gguf_edit.h"

enum { N = 300, EMBD = 32, HEADS = 4, DIM = 32, ROT = 8, RANK = 16, EXPERTS = 6, USED = 2, FF = 16, VOCAB = 512 };
enum { GROUPS = 2, OUT_RANK = 16, X_HEADS = 16, X_DIM = 64, STREAMS = 4, MAX_LAYERS = 5, MAX_TENSORS = 256 };

typedef struct variant {
    int n_layers, from[MAX_LAYERS]; /* the golden model's layers: ratios 0, 4 and 128 */
    int window, top_k, n_hashed, n_rounds;
    float limit, yarn_factor;
} variant;

static const variant variants[] = {
    {3, {0, 1, 2}, 20, 6, 1, 20, 1.5f, 8},      {3, {2, 1, 0}, 1, 1, 0, 1, 0, 8},
    {5, {1, 2, 2, 1, 0}, 7, 2, 0, 3, 0.5f, 2},  {2, {1, 1}, 1000, 1000, 0, 20, 1.5f, 1},
    {2, {0, 2}, 129, 6, 1, 20, 1.5f, 8},        {2, {0, 0}, 33, 6, 2, 20, 1.5f, 8},
    {4, {2, 0, 1, 1}, 128, 30, 0, 2, 1.5f, 40}, {1, {1}, 64, 3, 0, 20, 1.5f, 8},
};
enum { N_VARIANTS = sizeof variants / sizeof *variants };

static const int ratios[] = {0, 4, 128};

/* --- the formulas --- */

typedef struct reference {
    const mn_gguf *gguf;
    const variant *v;
    double *held[MAX_TENSORS];
    int n_held;
} reference;

/* A tensor of the variant's layer (-1: of none), as doubles that end with the reference. */
static const double *tensor(reference *r, int layer, const char *name) {
    char full[96];
    if (layer < 0)
        snprintf(full, sizeof full, "%s", name);
    else
        snprintf(full, sizeof full, "blk.%d.%s", r->v->from[layer], name);
    const mn_tensor *t = mn_gguf_tensor(r->gguf, full);
    if (!t) fail_msg("%s", full);
    int64_t n = t->ne[0] * t->ne[1] * t->ne[2];
    float *floats = malloc((size_t)n * sizeof *floats);
    double *out = r->held[r->n_held++] = malloc((size_t)n * sizeof *out);
    assert_true(r->n_held < MAX_TENSORS);
    mn_to_f32(t->type, t->data, floats, n);
    for (int64_t i = 0; i < n; i++) out[i] = (double)floats[i];
    free(floats);
    return out;
}

static void multiply(double *out, const double *w, const double *x, int n_in, int n_out) {
    for (int o = 0; o < n_out; o++) {
        out[o] = 0;
        for (int i = 0; i < n_in; i++) out[o] += w[o * n_in + i] * x[i];
    }
}

static void norm(double *out, const double *x, const double *w, int n) {
    double squares = 0;
    for (int i = 0; i < n; i++) squares += x[i] * x[i];
    double factor = 1 / sqrt(squares / n + (double)1e-6f);
    for (int i = 0; i < n; i++) out[i] = x[i] * factor * (w ? w[i] : 1);
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

/* The last dimensions of x turned by a position, with the plain frequencies or the stretched ones. */
static void rotate(const variant *v, double *x, int n, double position, bool stretched) {
    double base = stretched ? 160000 : 10000, low = ROT * log(64 / (2 * M_PI * 32)) / (2 * log(base)),
           high = ROT * log(64 / (2 * M_PI)) / (2 * log(base));
    low = fmax(0, floor(low));
    high = fmin(ROT - 1, ceil(high));
    for (int i = 0; i < ROT / 2; i++) {
        double theta = pow(base, -2.0 * i / ROT), ramp = fmin(fmax((i - low) / fmax(0.001, high - low), 0), 1);
        if (stretched) theta = theta / (double)v->yarn_factor * ramp + theta * (1 - ramp);
        double *pair = x + n - ROT + 2 * i, a = pair[0], b = pair[1], angle = position * theta;
        pair[0] = a * cos(angle) - b * sin(angle);
        pair[1] = a * sin(angle) + b * cos(angle);
    }
}

/* What a block takes of the streams, and by what its result goes back. */
typedef struct connection {
    double h[EMBD], post[STREAMS], carry[STREAMS][STREAMS];
} connection;

static connection connect(const variant *v, const double *streams, const double *fn, const double *scale,
                          const double *base, bool last) {
    const double eps = (double)1e-6f;
    double x[STREAMS * EMBD], m[24];
    connection c;
    memset(&c, 0, sizeof c);
    norm(x, streams, NULL, STREAMS * EMBD);
    multiply(m, fn, x, STREAMS * EMBD, last ? STREAMS : 24);
    for (int s = 0; s < STREAMS; s++)
        for (int i = 0; i < EMBD; i++) c.h[i] += (sigmoid(m[s] * scale[0] + base[s]) + eps) * streams[s * EMBD + i];
    for (int s = 0; s < STREAMS && !last; s++) {
        double sum = 0;
        c.post[s] = 2 * sigmoid(m[STREAMS + s] * scale[1] + base[STREAMS + s]);
        for (int d = 0; d < STREAMS; d++) {
            int at = 2 * STREAMS + s * STREAMS + d;
            sum += c.carry[s][d] = exp(m[at] * scale[2] + base[at]);
        }
        for (int d = 0; d < STREAMS; d++) c.carry[s][d] = c.carry[s][d] / sum + eps;
    }
    for (int round = 0; round < v->n_rounds && !last; round++)
        for (int rows = round > 0; rows >= 0; rows--)
            for (int i = 0; i < STREAMS; i++) {
                double sum = eps;
                for (int j = 0; j < STREAMS; j++) sum += rows ? c.carry[i][j] : c.carry[j][i];
                for (int j = 0; j < STREAMS; j++) *(rows ? &c.carry[i][j] : &c.carry[j][i]) /= sum;
            }
    return c;
}

static void spread(double *streams, const connection *c, const double *y) {
    for (int i = 0; i < EMBD; i++) {
        double before[STREAMS];
        for (int s = 0; s < STREAMS; s++) before[s] = streams[s * EMBD + i];
        for (int d = 0; d < STREAMS; d++) {
            streams[d * EMBD + i] = c->post[d] * y[i];
            for (int s = 0; s < STREAMS; s++) streams[d * EMBD + i] += c->carry[s][d] * before[s];
        }
    }
}

/* Keys [N / ratio][dim] of the blocks of h [N][EMBD]; u and s are of one token. */
static void compress(reference *r, int layer, const char *prefix, const double *h, int dim, double *keys) {
    int ratio = ratios[r->v->from[layer]], width = ratio == 4 ? 2 * dim : dim, before = ratio == 4;
    const double *w[4];
    static const char *const parts[] = {"kv", "gate", "ape", "norm"};
    for (int i = 0; i < 4; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s_%s.weight", prefix, parts[i]);
        w[i] = tensor(r, layer, name);
    }
    double *u = malloc((size_t)(N * width) * sizeof *u), *s = malloc((size_t)(N * width) * sizeof *s);
    for (int t = 0; t < N; t++) {
        multiply(u + t * width, w[0], h + t * EMBD, EMBD, width);
        multiply(s + t * width, w[1], h + t * EMBD, EMBD, width);
        for (int i = 0; i < width; i++) s[t * width + i] += w[2][t % ratio * width + i];
    }
    for (int b = 0; b < N / ratio; b++) {
        double *key = keys + b * dim;
        for (int i = 0; i < dim; i++) {
            double sum = 0, mean = 0;
            for (int t = (b - before) * ratio; t < (b + 1) * ratio; t++) {
                int at = t * width + i + (before && t >= b * ratio ? dim : 0);
                if (t < 0) continue;
                sum += exp(s[at]);
                mean += exp(s[at]) * u[at];
            }
            key[i] = mean / sum;
        }
        norm(key, key, w[3], dim);
        rotate(r->v, key, dim, b * ratio, true);
    }
    free(u);
    free(s);
}

static double dot(const double *a, const double *b, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* Which of n blocks an indexer's query chooses: of equal ones the first. */
static void choose(const variant *v, const double *q, const double *weights, const double *keys, int n, bool *seen) {
    double scores[N];
    for (int b = 0; b < n; b++) {
        scores[b] = 0;
        for (int h = 0; h < X_HEADS; h++)
            scores[b] += weights[h] * fmax(dot(q + h * X_DIM, keys + b * X_DIM, X_DIM), 0);
    }
    for (int b = 0; b < n; b++) {
        int better = 0;
        for (int other = 0; other < n; other++)
            better += scores[other] > scores[b] || (scores[other] == scores[b] && other < b);
        seen[b] = better < v->top_k;
    }
}

/* What a head's query takes of the window's keys and the blocks that are seen. */
static void attend(const variant *v, const double *q, double sink, const double *k, int t, const double *blocks,
                   const bool *seen, int n, double *out) {
    double sum = exp(sink);
    memset(out, 0, DIM * sizeof *out);
    for (int j = 0; j <= t + n; j++) {
        const double *key = j <= t ? k + j * DIM : blocks + (j - t - 1) * DIM;
        if (j <= t ? t - j >= v->window : !seen[j - t - 1]) continue;
        double weight = exp(dot(q, key, DIM) / sqrt(DIM));
        sum += weight;
        for (int i = 0; i < DIM; i++) out[i] += weight * key[i];
    }
    for (int i = 0; i < DIM; i++) out[i] /= sum;
}

/* y [N][EMBD] of h [N][EMBD], normalised inputs. */
static void attention(reference *r, int layer, const double *h, double *y) {
    const variant *v = r->v;
    int ratio = ratios[v->from[layer]];
    const double *qa = tensor(r, layer, "attn_q_a.weight"), *qa_norm = tensor(r, layer, "attn_q_a_norm.weight"),
                 *qb = tensor(r, layer, "attn_q_b.weight"), *kv = tensor(r, layer, "attn_kv.weight"),
                 *kv_norm = tensor(r, layer, "attn_kv_a_norm.weight"), *sinks = tensor(r, layer, "attn_sinks.weight"),
                 *oa = tensor(r, layer, "attn_output_a.weight"), *ob = tensor(r, layer, "attn_output_b.weight"),
                 *xq = ratio == 4 ? tensor(r, layer, "indexer.attn_q_b.weight") : NULL,
                 *xw = ratio == 4 ? tensor(r, layer, "indexer.proj.weight") : NULL;
    double *k = malloc(N * DIM * sizeof *k), *blocks = malloc(N * DIM * sizeof *blocks),
           *x_keys = malloc(N * X_DIM * sizeof *x_keys);
    if (ratio) compress(r, layer, "attn_compressor", h, DIM, blocks);
    if (ratio == 4) compress(r, layer, "indexer_compressor", h, X_DIM, x_keys);
    for (int t = 0; t < N; t++) {
        const double *x = h + t * EMBD;
        double latent[RANK], q[HEADS * DIM], iq[X_HEADS * X_DIM], weights[X_HEADS], out[HEADS * DIM],
            inner[GROUPS * OUT_RANK];
        bool seen[N];
        int n = ratio ? (t + 1) / ratio : 0;
        multiply(k + t * DIM, kv, x, EMBD, DIM);
        norm(k + t * DIM, k + t * DIM, kv_norm, DIM);
        rotate(v, k + t * DIM, DIM, t, ratio > 0);
        multiply(latent, qa, x, EMBD, RANK);
        norm(latent, latent, qa_norm, RANK);
        multiply(q, qb, latent, RANK, HEADS * DIM);
        memset(seen, 1, sizeof seen);
        if (ratio == 4) {
            multiply(iq, xq, latent, RANK, X_HEADS * X_DIM);
            multiply(weights, xw, x, EMBD, X_HEADS);
            for (int head = 0; head < X_HEADS; head++) rotate(v, iq + head * X_DIM, X_DIM, t, true);
            choose(v, iq, weights, x_keys, n, seen);
        }
        for (int head = 0; head < HEADS; head++) {
            double *turned = q + head * DIM;
            norm(turned, turned, NULL, DIM);
            rotate(v, turned, DIM, t, ratio > 0);
            attend(v, turned, sinks[head], k, t, blocks, seen, n, out + head * DIM);
            rotate(v, out + head * DIM, DIM, -t, ratio > 0);
        }
        for (int g = 0; g < GROUPS; g++)
            multiply(inner + g * OUT_RANK, oa + g * OUT_RANK * (HEADS * DIM / GROUPS), out + g * (HEADS * DIM / GROUPS),
                     HEADS * DIM / GROUPS, OUT_RANK);
        multiply(y + t * EMBD, ob, inner, GROUPS * OUT_RANK, EMBD);
    }
    free(k);
    free(blocks);
    free(x_keys);
}

/* y += weight * an MLP of x */
static void add_mlp(const variant *v, const double *gate, const double *up, const double *down, const double *x,
                    double weight, double *y) {
    double g[FF], u[FF], out[EMBD], limit = v->limit > 0 ? (double)v->limit : INFINITY;
    multiply(g, gate, x, EMBD, FF);
    multiply(u, up, x, EMBD, FF);
    for (int i = 0; i < FF; i++) {
        g[i] = fmin(g[i], limit);
        g[i] = g[i] * sigmoid(g[i]) * fmin(fmax(u[i], -limit), limit);
    }
    multiply(out, down, g, FF, EMBD);
    for (int i = 0; i < EMBD; i++) y[i] += weight * out[i];
}

static void experts(reference *r, int layer, const int32_t *tokens, const double *h, double *y) {
    static const char *const names[] = {"ffn_gate_exps.weight",  "ffn_up_exps.weight",  "ffn_down_exps.weight",
                                        "ffn_gate_shexp.weight", "ffn_up_shexp.weight", "ffn_down_shexp.weight"};
    const double *w[6], *router = tensor(r, layer, "ffn_gate_inp.weight");
    bool hashed = layer<r->v->n_hashed, biased = r->v->from[layer]> 0;
    const double *table = hashed ? tensor(r, layer, "ffn_gate_tid2eid.weight") : NULL;
    const double *bias = biased ? tensor(r, layer, "exp_probs_b.bias") : NULL;
    for (int i = 0; i < 6; i++) w[i] = tensor(r, layer, names[i]);
    for (int t = 0; t < N; t++) {
        const double *x = h + t * EMBD;
        double p[EXPERTS], sum = 0;
        int ids[USED];
        multiply(p, router, x, EMBD, EXPERTS);
        for (int e = 0; e < EXPERTS; e++) p[e] = sqrt(log1p(exp(p[e])));
        for (int i = 0; i < USED; i++) {
            ids[i] = -1;
            for (int e = 0; e < EXPERTS; e++) {
                bool taken = i > 0 && ids[0] == e;
                if (!taken && (ids[i] < 0 || p[e] + (bias ? bias[e] : 0) > p[ids[i]] + (bias ? bias[ids[i]] : 0)))
                    ids[i] = e;
            }
            if (hashed) ids[i] = (int)table[tokens[t] * USED + i];
            sum += p[ids[i]];
        }
        memset(y + t * EMBD, 0, EMBD * sizeof *y);
        for (int i = 0; i < USED; i++)
            add_mlp(r->v, w[0] + ids[i] * EMBD * FF, w[1] + ids[i] * EMBD * FF, w[2] + ids[i] * EMBD * FF, x,
                    1.5 * p[ids[i]] / sum, y + t * EMBD);
        add_mlp(r->v, w[3], w[4], w[5], x, 1, y + t * EMBD);
    }
}

/* streams of all tokens through one of a layer's blocks. */
static void run_block(reference *r, int layer, bool is_mlp, const int32_t *tokens, double *streams) {
    const char *const names[2][4] = {
        {"hc_attn_fn.weight", "hc_attn_scale.weight", "hc_attn_base.weight", "attn_norm.weight"},
        {"hc_ffn_fn.weight", "hc_ffn_scale.weight", "hc_ffn_base.weight", "ffn_norm.weight"}};
    const double *w[4];
    connection *c = malloc(N * sizeof *c);
    double *h = malloc(N * EMBD * sizeof *h), *y = malloc(N * EMBD * sizeof *y);
    for (int i = 0; i < 4; i++) w[i] = tensor(r, layer, names[is_mlp][i]);
    for (int t = 0; t < N; t++) {
        c[t] = connect(r->v, streams + t * STREAMS * EMBD, w[0], w[1], w[2], false);
        norm(h + t * EMBD, c[t].h, w[3], EMBD);
    }
    if (is_mlp)
        experts(r, layer, tokens, h, y);
    else
        attention(r, layer, h, y);
    for (int t = 0; t < N; t++) spread(streams + t * STREAMS * EMBD, &c[t], y + t * EMBD);
    free(c);
    free(h);
    free(y);
}

/* Logits [N][VOCAB]; the caller frees them. */
static double *by_formula(const mn_gguf *gguf, const variant *v, const int32_t *tokens) {
    reference r = {.gguf = gguf, .v = v};
    double *streams = malloc(N * STREAMS * EMBD * sizeof *streams), *logits = malloc(N * VOCAB * sizeof *logits);
    const double *embedding = tensor(&r, -1, "token_embd.weight");
    for (int t = 0; t < N; t++)
        for (int s = 0; s < STREAMS; s++)
            memcpy(streams + (t * STREAMS + s) * EMBD, embedding + tokens[t] * EMBD, EMBD * sizeof *streams);
    for (int layer = 0; layer < v->n_layers; layer++) {
        run_block(&r, layer, false, tokens, streams);
        run_block(&r, layer, true, tokens, streams);
    }
    const double *fn = tensor(&r, -1, "output_hc_fn.weight"), *scale = tensor(&r, -1, "output_hc_scale.weight"),
                 *base = tensor(&r, -1, "output_hc_base.weight"), *w = tensor(&r, -1, "output_norm.weight"),
                 *output = tensor(&r, -1, "output.weight");
    for (int t = 0; t < N; t++) {
        connection c = connect(v, streams + t * STREAMS * EMBD, fn, scale, base, true);
        norm(c.h, c.h, w, EMBD);
        multiply(logits + t * VOCAB, output, c.h, EMBD, VOCAB);
    }
    for (int i = 0; i < r.n_held; i++) free(r.held[i]);
    free(streams);
    return logits;
}

/* --- the same by a session --- */

static mn_gguf *golden;
static int32_t tokens[N];
static const char *path;

static int set_up(void **state) {
    (void)state;
    mn_error err;
    uint32_t x = 5;
    assert_ok(mn_gguf_open(data_path("golden/tiny-deepseek4.gguf"), &golden, &err), err);
    path = temp_path("deepseek4.gguf");
    for (int i = 0; i < N; i++) {
        x = x * 1103515245 + 12345;
        tokens[i] = (int32_t)(x >> 16 & 0x7fff) % VOCAB;
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    mn_gguf_close(golden);
    unlink(path);
    return 0;
}

static void put_tensors(mn_gguf_writer *writer, const variant *v) {
    static char names[MAX_TENSORS][96];
    int n = 0;
    for (int64_t i = 0; i < mn_gguf_n_tensors(golden); i++) {
        mn_tensor t = *mn_gguf_tensor_at(golden, i);
        int layer, used;
        bool in_layer = sscanf(t.name, "blk.%d.%n", &layer, &used) == 1;
        if (!in_layer) mn_gguf_put_tensor(writer, &t);
        for (int k = 0; in_layer && k < v->n_layers; k++) {
            if (v->from[k] != layer) continue;
            assert_true(n < MAX_TENSORS);
            snprintf(names[n], sizeof names[n], "blk.%d.%s", k, mn_gguf_tensor_at(golden, i)->name + used);
            t.name = names[n++];
            mn_gguf_put_tensor(writer, &t);
        }
    }
}

static void write_variant(const variant *v) {
    static const char *const edited[] = {"block_count",        "sliding_window",      "top_k",
                                         "hash_layer_count",   "sinkhorn_iterations", "swiglu_clamp_exp",
                                         "swiglu_clamp_shexp", "compress_ratios",     "rope.scaling.factor"};
    mn_gguf_writer *writer;
    mn_error err;
    int32_t list[MAX_LAYERS];
    assert_ok(mn_gguf_writer_create(&writer, &err), err);
    for (int64_t i = 0; i < mn_gguf_n_kv(golden); i++) {
        const mn_gguf_kv *kv = mn_gguf_kv_at(golden, i);
        bool mine = false;
        for (size_t k = 0; k < sizeof edited / sizeof *edited; k++) {
            size_t length = strlen(edited[k]);
            mine |= kv->key.bytes > length && !memcmp(kv->key.data + kv->key.bytes - length, edited[k], length);
        }
        if (!mine) mn_gguf_put_kv(writer, kv);
    }
    for (int i = 0; i < v->n_layers; i++) list[i] = ratios[v->from[i]];
    mn_gguf_put_i32s(writer, "deepseek4.attention.compress_ratios", list, v->n_layers);
    mn_gguf_put_u32(writer, "deepseek4.block_count", (uint32_t)v->n_layers);
    mn_gguf_put_u32(writer, "deepseek4.attention.sliding_window", (uint32_t)v->window);
    mn_gguf_put_u32(writer, "deepseek4.attention.indexer.top_k", (uint32_t)v->top_k);
    mn_gguf_put_u32(writer, "deepseek4.hash_layer_count", (uint32_t)v->n_hashed);
    mn_gguf_put_u32(writer, "deepseek4.hyper_connection.sinkhorn_iterations", (uint32_t)v->n_rounds);
    mn_gguf_put_f32(writer, "deepseek4.swiglu_clamp_exp", v->limit);
    mn_gguf_put_f32(writer, "deepseek4.swiglu_clamp_shexp", v->limit);
    mn_gguf_put_f32(writer, "deepseek4.rope.scaling.factor", v->yarn_factor);
    put_tensors(writer, v);
    assert_ok(mn_gguf_write(writer, path, NULL, NULL, &err), err);
    mn_gguf_writer_destroy(writer);
}

typedef struct collected {
    float *logits;
} collected;

static void collect(void *arg, int64_t index, const float *logits) {
    memcpy(((collected *)arg)->logits + index * VOCAB, logits, VOCAB * sizeof *logits);
}

static void compute(int32_t n_batch, int n_threads, float *logits) {
    mn_engine *engine;
    mn_session *s;
    mn_error err;
    uint8_t want[N];
    collected c = {logits};
    memset(want, 1, sizeof want);
    assert_ok(mn_engine_open(path, &(mn_engine_params){.n_threads = n_threads, .exact = true}, &engine, &err), err);
    mn_session_params params = {.n_ctx = N, .n_batch = n_batch, .position.beyond = true};
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    assert_ok(mn_session_extend(s, tokens, N, want, collect, NULL, &c, &err), err);
    mn_session_close(s);
    mn_engine_close(engine);
}

static double deviation(const double *x, int n) {
    double sum = 0, squares = 0;
    for (int i = 0; i < n; i++) sum += x[i];
    for (int i = 0; i < n; i++) squares += (x[i] - sum / n) * (x[i] - sum / n);
    return sqrt(squares / n);
}

static void every_variant_is_as_the_formulas_say(void **state) {
    (void)state;
    float *logits = malloc(N * VOCAB * sizeof *logits), *parts = malloc(N * VOCAB * sizeof *parts);
    for (int i = 0; i < N_VARIANTS; i++) {
        write_variant(&variants[i]);
        double *want = by_formula(golden, &variants[i], tokens), std = deviation(want, N * VOCAB);
        compute(0, 2, logits);
        for (int at = 0; at < N * VOCAB; at++) {
            double off = fabs((double)logits[at] - want[at]) / std;
            if (!(off <= 1e-4)) fail_msg("variant %d, token %d: off by %.3g of the deviation", i, at / VOCAB, off);
        }
        static const int32_t steps[] = {1, 3, 50, 127, 129};
        for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
            compute(steps[k], 1, parts);
            if (memcmp(parts, logits, N * VOCAB * sizeof *parts))
                fail_msg("variant %d: steps of %d change the logits", i, (int)steps[k]);
        }
        free(want);
    }
    free(logits);
    free(parts);
}

static mn_session *open_session(mn_engine *engine) {
    mn_session *s;
    mn_error err;
    const mn_session_params params = {.n_ctx = 4 * N, .n_batch = 64, .position.beyond = true};
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    return s;
}

static void extend(mn_session *s, int64_t begin, int64_t end) {
    mn_error err;
    assert_ok(mn_session_extend(s, tokens + begin, end - begin, NULL, NULL, NULL, NULL, &err), err);
}

/* At places in blocks, at their ends and around windows. */
static void saved_or_taken_back_anywhere_goes_on_alike(void **state) {
    (void)state;
    static const int64_t places[] = {1, 3, 4, 5, 20, 127, 128, 129, 255, 257};
    static const int chosen[] = {0, 2, 4};
    const char *saved = temp_path("deepseek4.session");
    for (size_t i = 0; i < sizeof chosen / sizeof *chosen; i++) {
        mn_engine *engine;
        mn_error err;
        write_variant(&variants[chosen[i]]);
        assert_ok(mn_engine_open(path, &(mn_engine_params){.n_threads = 2, .exact = true}, &engine, &err), err);
        mn_session *whole = open_session(engine);
        extend(whole, 0, N);
        for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
            mn_session *first = open_session(engine), *second = open_session(engine);
            extend(first, 0, places[k]);
            assert_ok(mn_session_save(first, saved, &err), err);
            assert_ok(mn_session_restore(second, saved, &err), err);
            assert_int_equal(mn_session_kv_bytes(second), mn_session_kv_bytes(first));
            extend(second, places[k], N);
            assert_memory_equal(mn_session_logits(second), mn_session_logits(whole), VOCAB * sizeof(float));
            extend(first, 0, 40); /* another way */
            assert_ok(mn_session_rewind(first, places[k], &err), err);
            extend(first, places[k], N);
            assert_memory_equal(mn_session_logits(first), mn_session_logits(whole), VOCAB * sizeof(float));
            mn_session_close(first);
            mn_session_close(second);
        }
        mn_session_close(whole);
        mn_engine_close(engine);
    }
    unlink(saved);
}

/* Steps that end nowhere in particular: what windows saw before a checkpoint is there when it is gone back to. */
static void the_way_back_is_short(void **state) {
    (void)state;
    enum { LONG = 5000, INTERVAL = MN_FIRST_CHECKPOINT_TOKENS, STEP = 300 };
    static int32_t text[LONG + 40];
    mn_engine *engine;
    mn_session *s, *fresh;
    mn_error err;
    const mn_session_params params = {.n_ctx = LONG + 40, .n_batch = STEP, .position.beyond = true};
    write_variant(&variants[0]);
    assert_ok(mn_engine_open(path, &(mn_engine_params){.n_threads = 2, .exact = true}, &engine, &err), err);
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    for (int i = 0; i < LONG + 40; i++) text[i] = (int32_t)(tokens[i % N] + i / N) % VOCAB;
    assert_ok(mn_session_extend(s, text, LONG, NULL, NULL, NULL, NULL, &err), err);
    for (int64_t kept = LONG - 10; kept > 500; kept = kept * 3 / 4 - 100) {
        int64_t n_reused, longest = LONG - kept > INTERVAL + STEP ? LONG - kept : INTERVAL + STEP;
        text[kept] = (text[kept] + 1) % VOCAB;
        assert_ok(mn_session_sync(s, text, kept + 40, NULL, NULL, &n_reused, &err), err);
        assert_true(n_reused <= kept && kept - n_reused <= longest);
        assert_ok(mn_session_open(engine, &params, &fresh, &err), err);
        assert_ok(mn_session_sync(fresh, text, kept + 40, NULL, NULL, NULL, &err), err);
        assert_memory_equal(mn_session_logits(s), mn_session_logits(fresh), VOCAB * sizeof(float));
        mn_session_close(fresh);
    }
    mn_session_close(s);
    mn_engine_close(engine);
}

/* The golden model with another tensor in the place of one. */
static void check_refused(const char *name, mn_dtype type, const void *data, const char *sentence) {
    mn_gguf_writer *writer;
    mn_engine *engine;
    mn_error err;
    assert_ok(mn_gguf_writer_create(&writer, &err), err);
    for (int64_t i = 0; i < mn_gguf_n_kv(golden); i++) mn_gguf_put_kv(writer, mn_gguf_kv_at(golden, i));
    for (int64_t i = 0; i < mn_gguf_n_tensors(golden); i++) {
        mn_tensor t = *mn_gguf_tensor_at(golden, i);
        if (!strcmp(t.name, name)) {
            t.type = type;
            t.data = data;
        }
        mn_gguf_put_tensor(writer, &t);
    }
    assert_ok(mn_gguf_write(writer, path, NULL, NULL, &err), err);
    mn_gguf_writer_destroy(writer);
    assert_int_equal(mn_engine_open(path, NULL, &engine, &err), MN_ERR_FORMAT);
    if (!strstr(err.text, sentence)) fail_msg("%s", err.text);
}

static void tables_that_name_no_experts_are_refused(void **state) {
    (void)state;
    static const char name[] = "blk.0.ffn_gate_tid2eid.weight";
    static const int32_t wrong[][2] = {{0, EXPERTS}, {-1, 2}, {INT32_MIN, 0}, {INT32_MAX, 0}, {3, 3}};
    int32_t table[VOCAB * USED];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        memcpy(table, mn_gguf_tensor(golden, name)->data, sizeof table);
        memcpy(table + (VOCAB - 1) * USED, wrong[i], sizeof wrong[i]);
        check_refused(name, MN_I32, table, "in row 511; wanted are different numbers from 0 to 5.");
    }
    check_refused(name, MN_F32, table, "is f32; this model needs whole numbers (i32) there.");
    check_refused("blk.0.attn_sinks.weight", MN_I32, table, "is i32; this model needs weights");
}

/* Also by a model that compresses nothing. */
static void what_looks_at_single_keys_is_refused(void **state) {
    (void)state;
    static const mn_session_params params[] = {{.attn = "window:64"},
                                               {.attn = "infini:64"},
                                               {.attn_layers = "0=linear"},
                                               {.position.map = "self-extend:4,64"},
                                               {.kv_disk = "/tmp", .kv_ram_bytes = 1 << 24}};
    for (int v = 0; v < N_VARIANTS; v += 5) {
        bool compresses = v == 0;
        mn_engine *engine;
        mn_session *s;
        mn_error err;
        write_variant(&variants[v]);
        assert_ok(mn_engine_open(path, NULL, &engine, &err), err);
        for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
            if (params[i].kv_disk && !compresses) continue;
            assert_int_equal(mn_session_open(engine, &params[i], &s, &err), MN_ERR_UNSUPPORTED);
            if (!strstr(err.text, "compressed")) fail_msg("%s", err.text);
        }
        mn_engine_close(engine);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variant_is_as_the_formulas_say),
        cmocka_unit_test(saved_or_taken_back_anywhere_goes_on_alike),
        cmocka_unit_test(the_way_back_is_short),
        cmocka_unit_test(tables_that_name_no_experts_are_refused),
        cmocka_unit_test(what_looks_at_single_keys_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
