/* Reference logits of the models that ship, in double precision throughout, by the definitions and with nothing of the
 * engine but the reader of files: what tests/data/models is made with.
 *
 * usage: mnemo-reference MODEL RUN.json OUT.bin    RUN.json: token_ids, row_positions; OUT.bin: f32 logits of these
 * rows
 *
 * Architectures llama (interleaved rotation, no experts) and mnemo, with its memory. Matrices f16 or f32. */
#include "model/gguf.h"
#include "tensor/dtype.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TOKENS = 4096 };

typedef struct model {
    const mn_gguf *gguf;
    char arch[32];
    int n_layers, n_embd, n_heads, n_kv_heads, head_dim, n_ff, n_vocab, n_taps, segment;
    double epsilon, rope_base, factor, original, scale, threshold;
    bool yarn;
    int mark[16], n_mark;
    int place[MAX_TOKENS]; /* of each token in its segment, or in the text */
} model;

static void die(const char *what) {
    fprintf(stderr, "mnemo-reference: %s\n", what);
    exit(1);
}

static double *zeros(size_t n) {
    double *p = calloc(n ? n : 1, sizeof *p);
    if (!p) die("no memory");
    return p;
}

static double key(const model *m, const char *suffix, double missing) {
    char name[160];
    mn_error err;
    double value = missing;
    int64_t whole;
    bool found = false;
    snprintf(name, sizeof name, "%s.%s", m->arch, suffix);
    if (mn_gguf_get_i64(m->gguf, name, &whole, &found, &err) == MN_OK) return found ? (double)whole : missing;
    if (mn_gguf_get_f64(m->gguf, name, &value, &found, &err) != MN_OK) die(err.text);
    return value;
}

static void text_key(const mn_gguf *g, const char *name, char *out, size_t bytes) {
    mn_gguf_string value = {0};
    bool found = false;
    mn_error err;
    if (mn_gguf_get_string(g, name, &value, &found, &err) != MN_OK) die(err.text);
    snprintf(out, bytes, "%.*s", found ? (int)value.bytes : 0, found ? value.data : "");
}

static void read_model(const mn_gguf *g, model *m) {
    char scaling[32], name[64];
    *m = (model){.gguf = g};
    text_key(g, "general.architecture", m->arch, sizeof m->arch);
    snprintf(name, sizeof name, "%s.rope.scaling.type", m->arch);
    text_key(g, name, scaling, sizeof scaling);
    m->n_layers = (int)key(m, "block_count", 0);
    m->n_embd = (int)key(m, "embedding_length", 0);
    m->n_heads = (int)key(m, "attention.head_count", 0);
    m->n_kv_heads = (int)key(m, "attention.head_count_kv", m->n_heads);
    m->head_dim = (int)key(m, "attention.key_length", m->n_embd / m->n_heads);
    m->n_ff = (int)key(m, "feed_forward_length", 0);
    m->epsilon = key(m, "attention.layer_norm_rms_epsilon", 1e-5);
    m->rope_base = key(m, "rope.freq_base", 10000);
    m->factor = key(m, "rope.scaling.factor", 1);
    m->original = key(m, "rope.scaling.original_context_length", 0);
    m->n_taps = (int)key(m, "attention.short_conv", 0);
    m->segment = (int)key(m, "infini.segment", 0);
    m->threshold = key(m, "infini.write_threshold", 0);
    m->yarn = !strcmp(scaling, "yarn");
    m->n_vocab = (int)mn_gguf_tensor(g, "token_embd.weight")->ne[1];
    if (*scaling && !m->yarn && strcmp(scaling, "none")) die("positions are scaled by something else than YaRN");
}

static void read_mark(model *m) {
    int32_t *ids = NULL;
    size_t n = 0;
    bool found;
    mn_error err;
    if (mn_gguf_get_i32s(m->gguf, "mnemo.infini.segment_mark", &ids, &n, &found, &err) != MN_OK) die(err.text);
    if (n > 16) die("the mark of segments is too long");
    for (size_t i = 0; i < n; i++) m->mark[m->n_mark++] = ids[i];
    free(ids);
}

/* Segments begin every so many tokens, and at a token that ends the mark. */
static void place_tokens(model *m, const int *ids, int n) {
    for (int t = 0; t < n; t++) {
        bool marked = m->n_mark > 0 && t + 1 >= m->n_mark;
        for (int i = 0; i < m->n_mark && marked; i++) marked = ids[t + 1 - m->n_mark + i] == m->mark[i];
        m->place[t] = t == 0 ? 0 : m->place[t - 1] + 1;
        if (m->segment && (m->place[t] == m->segment || marked)) m->place[t] = 0;
    }
}

/* A tensor in double, or NULL; the caller frees it. */
static double *tensor(const model *m, int layer, const char *name) {
    char full[96];
    if (layer < 0)
        snprintf(full, sizeof full, "%s", name);
    else
        snprintf(full, sizeof full, "blk.%d.%s", layer, name);
    const mn_tensor *t = mn_gguf_tensor(m->gguf, full);
    if (!t) return NULL;
    int64_t n = t->ne[0] * t->ne[1] * t->ne[2];
    float *f = malloc((size_t)n * sizeof *f);
    double *d = zeros((size_t)n);
    if (!f) die("no memory");
    mn_to_f32(t->type, t->data, f, n);
    for (int64_t i = 0; i < n; i++) d[i] = f[i];
    free(f);
    return d;
}

/* y[t, o] = sum_i w[o, i] x[t, i] */
static void product(const double *w, const double *x, int n, int n_in, int n_out, double *y) {
    for (int t = 0; t < n; t++)
        for (int o = 0; o < n_out; o++) {
            double sum = 0;
            for (int i = 0; i < n_in; i++) sum += w[(size_t)o * n_in + i] * x[(size_t)t * n_in + i];
            y[(size_t)t * n_out + o] = sum;
        }
}

static void norm(const model *m, const double *x, const double *w, int n, double *y) {
    for (int t = 0; t < n; t++) {
        double square = 0;
        for (int i = 0; i < m->n_embd; i++) square += x[(size_t)t * m->n_embd + i] * x[(size_t)t * m->n_embd + i];
        double r = 1 / sqrt(square / m->n_embd + m->epsilon);
        for (int i = 0; i < m->n_embd; i++) y[(size_t)t * m->n_embd + i] = x[(size_t)t * m->n_embd + i] * r * w[i];
    }
}

/* y_t[c] = sum_j taps[c, j] x_{t-j}[c] */
static void convolve(const model *m, const double *taps, int n, int width, double *x) {
    for (int t = n - 1; t >= 0; t--)
        for (int c = 0; c < width; c++) {
            double sum = 0;
            for (int j = 0; j < m->n_taps && j <= t; j++)
                sum += taps[(size_t)c * m->n_taps + j] * x[(size_t)(t - j) * width + c];
            x[(size_t)t * width + c] = sum;
        }
}

/* The angle of pair p at position 1, and the magnitude of YaRN (arXiv:2309.00071, section 3.4 and equation 22). */
static double frequency(const model *m, int p) {
    double f = pow(m->rope_base, -2.0 * p / m->head_dim);
    if (!m->yarn) return f;
    double pair_of = m->head_dim / (2 * log(m->rope_base));
    double low = fmax(floor(pair_of * log(m->original / (32 * 2 * M_PI))), 0);
    double high = fmin(ceil(pair_of * log(m->original / (1 * 2 * M_PI))), m->head_dim - 1);
    double ramp = fmin(fmax((p - low) / fmax(high - low, 0.001), 0), 1);
    return f * (1 - ramp) + f / m->factor * ramp;
}

static void rotate(const model *m, int n, int width, double *x) {
    double size = m->yarn ? 0.1 * log(m->factor) + 1 : 1;
    for (int t = 0; t < n; t++)
        for (int c = 0; c < width; c += 2) {
            double a = frequency(m, c % m->head_dim / 2) * m->place[t];
            double *p = x + (size_t)t * width + c, u = p[0], v = p[1];
            p[0] = size * (u * cos(a) - v * sin(a));
            p[1] = size * (u * sin(a) + v * cos(a));
        }
}

/* Causal softmax attention of one query head, within segments where there are any. */
static void attend(const model *m, int head, int n, const double *q, const double *k, const double *v, double *out) {
    int d = m->head_dim, group = m->n_heads / m->n_kv_heads, kv = m->n_kv_heads * d, width = m->n_heads * d;
    static double score[MAX_TOKENS];
    for (int t = 0; t < n; t++) {
        int first = t - m->place[t];
        double max = -INFINITY, sum = 0;
        for (int s = first; s <= t; s++) {
            score[s] = 0;
            for (int c = 0; c < d; c++)
                score[s] += q[(size_t)t * width + head * d + c] * k[(size_t)s * kv + head / group * d + c];
            score[s] /= sqrt(d);
            max = fmax(max, score[s]);
        }
        for (int s = first; s <= t; s++) sum += score[s] = exp(score[s] - max);
        for (int c = 0; c < d; c++) {
            double y = 0;
            for (int s = first; s <= t; s++) y += score[s] / sum * v[(size_t)s * kv + head / group * d + c];
            out[(size_t)t * width + head * d + c] = y;
        }
    }
}

/* silu(x) / max(|silu(x)|, 1e-12) */
static void feature(const double *x, int d, double *out) {
    double square = 0;
    for (int c = 0; c < d; c++) {
        out[c] = x[c] / (1 + exp(-x[c]));
        square += out[c] * out[c];
    }
    for (int c = 0; c < d; c++) out[c] /= fmax(sqrt(square), 1e-12);
}

/* The compressive memory of one query head, token by token, with the exact delta rule; mixed into what is local. */
static void recall(const model *m, int layer, int head, int n, const double *y, const double *q, const double *k,
                   const double *v, double *out) {
    int d = m->head_dim, kv_head = head / (m->n_heads / m->n_kv_heads), kv = m->n_kv_heads * d;
    double *gate = tensor(m, layer, "infini_gate.bias"), *write = tensor(m, layer, "infini_write.weight"),
           *bias = tensor(m, layer, "infini_write.bias"), *write_k = tensor(m, layer, "infini_write_k.weight"),
           *memory = zeros((size_t)d * d), *kf = zeros(d), *qf = zeros(d), *u = zeros(d);
    double share = 1 / (1 + exp(-gate[head]));
    for (int t = 0; t < n; t++) {
        const double *kt = k + (size_t)t * kv + kv_head * d, *vt = v + (size_t)t * kv + kv_head * d;
        double b = bias[kv_head];
        for (int i = 0; i < m->n_embd; i++) b += write[(size_t)kv_head * m->n_embd + i] * y[(size_t)t * m->n_embd + i];
        for (int c = 0; c < d; c++) b += write_k[(size_t)kv_head * d + c] * kt[c];
        b = 1 / (1 + exp(-b));
        if (b <= m->threshold) b = 0;
        feature(kt, d, kf);
        feature(q + (size_t)t * m->n_heads * d + head * d, d, qf);
        for (int c = 0; c < d; c++) {
            u[c] = vt[c];
            for (int r = 0; r < d; r++) u[c] -= memory[r * d + c] * kf[r];
            u[c] *= b;
        }
        for (int r = 0; r < d; r++)
            for (int c = 0; c < d; c++) memory[r * d + c] += kf[r] * u[c];
        for (int c = 0; c < d; c++) {
            double *o = &out[(size_t)t * m->n_heads * d + head * d + c], recalled = 0;
            for (int r = 0; r < d; r++) recalled += memory[r * d + c] * qf[r];
            *o = (1 - share) * *o + share * recalled;
        }
    }
    free(gate), free(write), free(bias), free(write_k), free(memory), free(kf), free(qf), free(u);
}

static void attention(const model *m, int layer, int n, double *x) {
    int width = m->n_heads * m->head_dim, kv = m->n_kv_heads * m->head_dim;
    double *y = zeros((size_t)n * m->n_embd), *q = zeros((size_t)n * width), *k = zeros((size_t)n * kv),
           *v = zeros((size_t)n * kv), *out = zeros((size_t)n * width), *w;
    norm(m, x, w = tensor(m, layer, "attn_norm.weight"), n, y), free(w);
    product(w = tensor(m, layer, "attn_q.weight"), y, n, m->n_embd, width, q), free(w);
    product(w = tensor(m, layer, "attn_k.weight"), y, n, m->n_embd, kv, k), free(w);
    product(w = tensor(m, layer, "attn_v.weight"), y, n, m->n_embd, kv, v), free(w);
    if (m->n_taps) {
        convolve(m, w = tensor(m, layer, "attn_q_conv.weight"), n, width, q), free(w);
        convolve(m, w = tensor(m, layer, "attn_k_conv.weight"), n, kv, k), free(w);
    }
    double *q_turned = zeros((size_t)n * width), *k_turned = zeros((size_t)n * kv);
    memcpy(q_turned, q, (size_t)n * width * sizeof *q);
    memcpy(k_turned, k, (size_t)n * kv * sizeof *k);
    rotate(m, n, width, q_turned);
    rotate(m, n, kv, k_turned);
    for (int h = 0; h < m->n_heads; h++) {
        attend(m, h, n, q_turned, k_turned, v, out);
        if (m->segment) recall(m, layer, h, n, y, q, k, v, out);
    }
    double *added = zeros((size_t)n * m->n_embd);
    product(w = tensor(m, layer, "attn_output.weight"), out, n, width, m->n_embd, added), free(w);
    for (size_t i = 0; i < (size_t)n * m->n_embd; i++) x[i] += added[i];
    free(y), free(q), free(k), free(v), free(out), free(q_turned), free(k_turned), free(added);
}

static void mlp(const model *m, int layer, int n, double *x) {
    double *y = zeros((size_t)n * m->n_embd), *gate = zeros((size_t)n * m->n_ff), *up = zeros((size_t)n * m->n_ff), *w;
    norm(m, x, w = tensor(m, layer, "ffn_norm.weight"), n, y), free(w);
    product(w = tensor(m, layer, "ffn_gate.weight"), y, n, m->n_embd, m->n_ff, gate), free(w);
    product(w = tensor(m, layer, "ffn_up.weight"), y, n, m->n_embd, m->n_ff, up), free(w);
    for (size_t i = 0; i < (size_t)n * m->n_ff; i++) up[i] *= gate[i] / (1 + exp(-gate[i]));
    product(w = tensor(m, layer, "ffn_down.weight"), up, n, m->n_ff, m->n_embd, y), free(w);
    for (size_t i = 0; i < (size_t)n * m->n_embd; i++) x[i] += y[i];
    free(y), free(gate), free(up);
}

static int numbers(const json_t *run, const char *name, int *out) {
    const json_t *list = json_object_get(run, name);
    int n = (int)json_array_size(list);
    if (n < 1 || n > MAX_TOKENS) die("RUN.json holds no such list");
    for (int i = 0; i < n; i++) out[i] = (int)json_integer_value(json_array_get(list, (size_t)i));
    return n;
}

static void write_logits(const model *m, const double *x, const int *rows, int n_rows, FILE *f) {
    double *w = tensor(m, -1, "output_norm.weight"), *y = zeros(m->n_embd), *logits = zeros(m->n_vocab);
    double *output = tensor(m, -1, "output.weight");
    if (!output) output = tensor(m, -1, "token_embd.weight");
    for (int i = 0; i < n_rows; i++) {
        norm(m, x + (size_t)rows[i] * m->n_embd, w, 1, y);
        product(output, y, 1, m->n_embd, m->n_vocab, logits);
        for (int v = 0; v < m->n_vocab; v++) {
            float value = (float)logits[v];
            if (fwrite(&value, sizeof value, 1, f) != 1) die("cannot write");
        }
    }
    free(w), free(y), free(logits), free(output);
}

int main(int argc, char **argv) {
    static int ids[MAX_TOKENS], rows[MAX_TOKENS];
    mn_gguf *gguf;
    mn_error err;
    static model m;
    if (argc != 4) die("usage: mnemo-reference MODEL RUN.json OUT.bin");
    json_t *run = json_load_file(argv[2], 0, NULL);
    if (!run) die("RUN.json is no JSON");
    int n = numbers(run, "token_ids", ids), n_rows = numbers(run, "row_positions", rows);
    if (mn_gguf_open(argv[1], &gguf, &err) != MN_OK) die(err.text);
    read_model(gguf, &m);
    read_mark(&m);
    place_tokens(&m, ids, n);
    double *table = tensor(&m, -1, "token_embd.weight"), *x = zeros((size_t)n * m.n_embd);
    for (int t = 0; t < n; t++)
        memcpy(x + (size_t)t * m.n_embd, table + (size_t)ids[t] * m.n_embd, (size_t)m.n_embd * sizeof *x);
    for (int layer = 0; layer < m.n_layers; layer++) {
        attention(&m, layer, n, x);
        mlp(&m, layer, n, x);
    }
    FILE *f = fopen(argv[3], "wb");
    if (!f) die("cannot open OUT.bin");
    write_logits(&m, x, rows, n_rows, f);
    if (fclose(f)) die("cannot write OUT.bin");
    free(table), free(x);
    mn_gguf_close(gguf);
    json_decref(run);
    return 0;
}
