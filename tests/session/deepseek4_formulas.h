/* DeepSeek V4's formulas in double precision, over the layers of the golden model. */
#ifndef MN_TESTS_DEEPSEEK4_FORMULAS_H
#define MN_TESTS_DEEPSEEK4_FORMULAS_H

#include "model/gguf.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 300, EMBD = 32, HEADS = 4, DIM = 32, ROT = 8, RANK = 16, EXPERTS = 6, USED = 2, FF = 16, VOCAB = 512 };
enum { GROUPS = 2, OUT_RANK = 16, X_HEADS = 16, X_DIM = 64, STREAMS = 4, MAX_LAYERS = 5, MAX_TENSORS = 256 };

typedef struct variant {
    int n_layers, from[MAX_LAYERS]; /* the golden model's layers: ratios 0, 4 and 128 */
    int window, top_k, n_hashed, n_rounds;
    float limit, yarn_factor;
} variant;

static const int ratios[] = {0, 4, 128};

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

#endif
