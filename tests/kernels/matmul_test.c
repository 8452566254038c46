/* Matrix products at every level this machine has: against double precision, and bit against bit where a result must
 * not depend on how the work was cut.
 */
#include "support/levels.h"
#include "support/support.h"

#include "base/random.h"
#include "kernels/kernels.h"
#include "tensor/blocks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct shape {
    int n_in, n_out, n_rows;
} shape;

static const mn_dtype types[] = {MN_F32,  MN_F16,  MN_BF16, MN_Q8_0, MN_Q4_0, MN_Q4_1,   MN_Q5_0,   MN_Q5_1,
                                 MN_Q2_K, MN_Q3_K, MN_Q4_K, MN_Q5_K, MN_Q6_K, MN_IQ4_NL, MN_IQ4_XS, MN_MXFP4};
enum { N_TYPES = sizeof types / sizeof *types };

/* A matrix of any type: quantised where there is a quantiser, else random blocks with small scales. */
static mn_tensor make_weights(mn_dtype type, int n_in, int n_out, mn_random *rng) {
    mn_tensor w = {.name = "w", .type = type, .n_dims = 2, .ne = {n_in, n_out, 1, 1}};
    size_t row_bytes = mn_tensor_row_bytes(&w);
    w.bytes = row_bytes * (size_t)n_out;
    unsigned char *data = malloc(w.bytes);
    float *row = malloc((size_t)n_in * sizeof *row);
    for (int o = 0; o < n_out; o++) {
        unsigned char *dst = data + (size_t)o * row_bytes;
        for (int i = 0; i < n_in; i++) row[i] = (float)mn_random_normal(rng);
        if (mn_dtype_get(type)->from_f32) {
            mn_from_f32(type, row, dst, n_in);
            continue;
        }
        for (size_t i = 0; i < row_bytes; i++) dst[i] = (unsigned char)mn_random_u32(rng);
        for (int b = 0; b < n_in / MN_SUPER_BLOCK; b++) {
            const mn_half d = (mn_half)(0x2000 + (mn_random_u32(rng) & 0x83ff)), d_min = 0x2123;
            if (type == MN_Q2_K) ((mn_q2_k *)dst)[b].d = d, ((mn_q2_k *)dst)[b].d_min = d_min;
            if (type == MN_Q3_K) ((mn_q3_k *)dst)[b].d = d;
            if (type == MN_Q5_K) ((mn_q5_k *)dst)[b].d = d, ((mn_q5_k *)dst)[b].d_min = d_min;
        }
    }
    free(row);
    w.data = data;
    return w;
}

static float *random_floats(size_t n, mn_random *rng) {
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = (float)mn_random_normal(rng);
    return x;
}

enum { MAX_THREADS = 7 };
static mn_pool *pools[MAX_THREADS + 1]; /* made when first asked for; [1] stays NULL */

static void multiply(const mn_kernels *kernels, int n_threads, bool exact, const mn_tensor *w, const float *x,
                     int64_t x_stride, int n_rows, float *out, int64_t out_stride) {
    mn_error err;
    mn_arena scratch = MN_ARENA_INIT;
    if (n_threads > 1 && !pools[n_threads]) assert_ok(mn_pool_create(n_threads, &pools[n_threads], &err), err);
    mn_compute c = {kernels, pools[n_threads], &scratch, exact, NULL};
    assert_ok(mn_matmul(&c, out, out_stride, x, x_stride, n_rows, w, &err), err);
    assert_int_equal(scratch.used_bytes, 0);
    mn_arena_release(&scratch);
}

/* What each mode may add to the error, as a share of sum |x w|; activations of 8 bits: as a share of |x|'s maximum in
 * the block times |w|, which max_x stands above. */
static void check_against_double(const mn_kernels *kernels, bool exact, const mn_tensor *w, const float *x, int n_rows,
                                 const float *out) {
    int64_t n_in = w->ne[0], n_out = w->ne[1];
    float *row = malloc((size_t)n_in * sizeof *row);
    bool halves = w->type == MN_F16 || w->type == MN_BF16;
    for (int64_t o = 0; o < n_out; o++) {
        mn_to_f32(w->type, (const char *)w->data + (size_t)o * mn_tensor_row_bytes(w), row, n_in);
        for (int r = 0; r < n_rows; r++) {
            double sum = 0, magnitude = 0, quantised = 0;
            for (int64_t i = 0; i < n_in; i++) {
                sum += (double)row[i] * (double)x[r * n_in + i];
                magnitude += fabs((double)row[i] * (double)x[r * n_in + i]);
            }
            for (int64_t b = 0; !exact && mn_dtype_get(w->type)->quantised && b < n_in; b += MN_BLOCK) {
                double max_x = 0, sum_w = 0;
                for (int64_t i = b; i < b + MN_BLOCK; i++) {
                    max_x = fmax(max_x, fabs((double)x[r * n_in + i]));
                    sum_w += fabs((double)row[i]);
                }
                quantised += max_x / 254 * sum_w;
            }
            double allowed = magnitude * (double)(n_in + 8) * 0x1p-24 + quantised * 1.001;
            bool many = !exact && w->type != MN_F32 && n_rows >= kernels->matmul.many_rows[w->type] &&
                        kernels->matmul.many[w->type];
            bool to_bf16 = many && kernels->level >= (halves ? MN_CPU_AVX512BF16 : MN_CPU_AMX);
            bool in_bytes = kernels->level == MN_CPU_AVX2 || kernels->level == MN_CPU_AVXVNNI;
            if (many && !(in_bytes && mn_dtype_get(w->type)->quantised))
                allowed = magnitude * (double)(n_in + 8) * 0x1p-24;
            if (to_bf16) allowed += magnitude * 0x1p-8 * 1.01;
            double off = fabs((double)out[r * n_out + o] - sum);
            if (!(off <= allowed))
                fail_msg("%s %s %s: row %d output %lld is %.9g, wanted %.9g (off %.3g, allowed %.3g)",
                         mn_cpu_level_name(kernels->level), exact ? "exact" : "fast", mn_dtype_get(w->type)->name, r,
                         (long long)o, (double)out[r * n_out + o], sum, off, allowed);
        }
    }
    free(row);
}

/* Each row alone, in chunks, and at other thread counts (more of them where there is much to share), into rows that
 * stand apart. Where many rows have an arithmetic of their own, chunks of fewer are left out. */
static void check_same_bits(const mn_kernels *kernels, bool exact, const mn_tensor *w, const float *x, int n_rows,
                            const float *want) {
    int64_t n_in = w->ne[0], n_out = w->ne[1], stride = n_out + 3;
    static const struct {
        int n_threads, chunk;
    } cuts[] = {{1, 1}, {1, 5}, {3, 1000}, {2, 1000}, {7, 6}, {2, 8}, {1, 17}, {3, 40}, {2, 16}};
    int many_rows = kernels->matmul.many_rows[w->type];
    bool has_many = !exact && kernels->matmul.many[w->type], apart = has_many && n_rows >= many_rows;
    float *out = malloc((size_t)(stride * n_rows) * sizeof *out);
    for (int cut = 0; cut < (n_rows >= 12 ? 9 : 3); cut++) {
        if (apart &&
            (cuts[cut].chunk < many_rows || (n_rows % cuts[cut].chunk > 0 && n_rows % cuts[cut].chunk < many_rows)))
            continue;
        memset(out, 0xff, (size_t)(stride * n_rows) * sizeof *out);
        for (int r = 0; r < n_rows; r += cuts[cut].chunk) {
            int n = n_rows - r < cuts[cut].chunk ? n_rows - r : cuts[cut].chunk;
            multiply(kernels, cuts[cut].n_threads, exact, w, x + r * n_in, n_in, n, out + r * stride, stride);
        }
        for (int r = 0; r < n_rows; r++) {
            uint32_t beyond[3];
            assert_memory_equal(out + r * stride, want + r * n_out, (size_t)n_out * sizeof *out);
            memcpy(beyond, out + r * stride + n_out, sizeof beyond);
            for (int i = 0; i < 3; i++) assert_int_equal(beyond[i], 0xffffffff);
        }
    }
    free(out);
}

static void check_shape(const mn_kernels *kernels, mn_dtype type, shape s) {
    if (s.n_in % mn_dtype_get(type)->block_elems) return;
    mn_random rng;
    mn_random_seed(&rng, (uint64_t)(s.n_in * 7919 + s.n_out), (uint64_t)type);
    mn_tensor w = make_weights(type, s.n_in, s.n_out, &rng);
    float *x = random_floats((size_t)(s.n_in * s.n_rows), &rng);
    float *out = malloc((size_t)(s.n_out * s.n_rows) * sizeof *out);
    for (int exact = 0; exact < 2; exact++) {
        multiply(kernels, 1, exact, &w, x, s.n_in, s.n_rows, out, s.n_out);
        check_against_double(kernels, exact, &w, x, s.n_rows, out);
        check_same_bits(kernels, exact, &w, x, s.n_rows, out);
    }
    free((void *)(uintptr_t)w.data);
    free(x);
    free(out);
}

static void products_are_right_and_do_not_depend_on_the_cut(void **state) {
    (void)state;
    static const shape shapes[] = {{256, 1, 1},  {256, 16, 2},   {256, 33, 13}, {512, 31, 12},
                                   {768, 40, 7}, {1280, 64, 3},  {1, 1, 1},     {7, 5, 3},
                                   {33, 17, 25}, {96, 47, 6},    {544, 19, 4},  {301, 34, 30},
                                   {257, 8, 5},  {1280, 64, 40}, {512, 96, 57}, {544, 35, 14}};
    EACH_LEVEL(level) {
        for (int t = 0; t < N_TYPES; t++) {
            for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
                if (takes_case(i + (size_t)t, 8)) check_shape(mn_kernels_get((mn_cpu_level)level), types[t], shapes[i]);
        }
    }
}

/* The scales of one block of any quantised type: d, and much less for what stands beside it. */
static void set_scales(mn_dtype type, void *block) {
    const mn_half d = 0x2c00, small = 0x0c00;
    switch (type) {
    case MN_Q4_1: ((mn_q4_1 *)block)->m = small; break;
    case MN_Q5_1: ((mn_q5_1 *)block)->m = small; break;
    case MN_Q2_K: ((mn_q2_k *)block)->d = d, ((mn_q2_k *)block)->d_min = small; return;
    case MN_Q3_K: ((mn_q3_k *)block)->d = d; return;
    case MN_Q4_K: ((mn_q4_k *)block)->d_min = small; break;
    case MN_Q5_K: ((mn_q5_k *)block)->d_min = small; break;
    case MN_Q6_K: ((mn_q6_k *)block)->d = d; return;
    case MN_MXFP4: ((mn_mxfp4 *)block)->e = 124; return;
    default: break;
    }
    memcpy(block, &d, sizeof d); /* all others begin with it */
}

/* The largest weights and activations that there are, of every sign: sums in few bits must hold them. */
static void check_extremes(const mn_kernels *kernels, mn_dtype type) {
    enum { N_IN = 512, N_PATTERNS = 5, N_OUT = 4 * N_PATTERNS, N_ROWS = 17 };
    static const unsigned char patterns[N_PATTERNS] = {0x00, 0xff, 0x80, 0x7f, 0x0f};
    const mn_dtype_info *info = mn_dtype_get(type);
    mn_tensor w = {.name = "w", .type = type, .n_dims = 2, .ne = {N_IN, N_OUT, 1, 1}};
    size_t row_bytes = mn_tensor_row_bytes(&w);
    w.bytes = row_bytes * N_OUT;
    unsigned char *data = malloc(w.bytes);
    for (int o = 0; o < N_OUT; o++) {
        memset(data + (size_t)o * row_bytes, patterns[o % N_PATTERNS], row_bytes);
        for (int b = 0; b < N_IN / info->block_elems; b++)
            set_scales(type, data + (size_t)o * row_bytes + (size_t)(b * info->block_bytes));
    }
    w.data = data;
    float x[N_ROWS * N_IN], out[N_ROWS * N_OUT];
    for (int r = 0; r < N_ROWS; r++) {
        for (int i = 0; i < N_IN; i++) x[r * N_IN + i] = r < 2 ? (float)(1 - 2 * r) : (i >> (r - 2)) % 2 ? 1.0f : -1.0f;
    }
    for (int n_rows = 1; n_rows <= N_ROWS; n_rows += 4) {
        multiply(kernels, 1, false, &w, x, N_IN, n_rows, out, N_OUT);
        check_against_double(kernels, false, &w, x, n_rows, out);
    }
    free(data);
}

static void extremes_fit(void **state) {
    (void)state;
    EACH_LEVEL(level) {
        for (int t = 0; t < N_TYPES; t++) {
            if (mn_dtype_get(types[t])->quantised) check_extremes(mn_kernels_get((mn_cpu_level)level), types[t]);
        }
    }
}

/* Kernels may read past a row that is no whole number of their chunks: what the next row holds, an infinity even, must
 * not be seen. Every second row is spoilt; the others keep their bits. */
static void check_neighbours(const mn_kernels *kernels, mn_dtype type, int n_in, int n_rows) {
    enum { N_OUT = 37, MOST = 8 * 544 };
    const mn_half infinite = 0x7c00;
    mn_random rng;
    mn_random_seed(&rng, 13, (uint64_t)type);
    mn_tensor w = make_weights(type, n_in, N_OUT, &rng);
    static float x[MOST], out[2][8 * N_OUT];
    for (int i = 0; i < n_rows * n_in; i++) x[i] = (float)mn_random_normal(&rng);
    multiply(kernels, 1, false, &w, x, n_in, n_rows, out[0], N_OUT);
    size_t block_bytes = mn_dtype_get(type)->block_bytes;
    for (int o = 1; o < N_OUT; o += 2)
        for (size_t b = 0; b < (size_t)(n_in / MN_BLOCK); b++)
            memcpy((char *)(uintptr_t)w.data + (size_t)o * mn_tensor_row_bytes(&w) + b * block_bytes, &infinite,
                   sizeof infinite);
    multiply(kernels, 1, false, &w, x, n_in, n_rows, out[1], N_OUT);
    for (int i = 0; i < n_rows * N_OUT; i++)
        if (i % N_OUT % 2 == 0) assert_memory_equal(&out[0][i], &out[1][i], sizeof(float));
    free((void *)(uintptr_t)w.data);
}

static void a_row_knows_nothing_of_the_next(void **state) {
    (void)state;
    static const mn_dtype some[] = {MN_Q8_0, MN_Q4_0, MN_Q4_1, MN_Q5_0, MN_Q5_1, MN_IQ4_NL};
    static const int n_ins[] = {32, 96, 224, 288, 544};
    EACH_LEVEL(level) {
        for (size_t t = 0; t < sizeof some / sizeof *some; t++)
            for (size_t i = 0; i < sizeof n_ins / sizeof *n_ins; i++)
                for (int n_rows = 1; n_rows <= 8; n_rows += n_rows + 1) /* 1, 3, 7 */
                    check_neighbours(mn_kernels_get((mn_cpu_level)level), some[t], n_ins[i], n_rows);
    }
}

/* Every power of two that an MXFP4 block may stand under, those below the normal floats too. */
static void every_exponent_of_mxfp4(void **state) {
    (void)state;
    enum {
        N_IN = 512,
        N_OUT = 237 /* beyond, a block sum of integers times its scale is no float */,
        MOST_ROWS = 17,
        N_BLOCKS = N_IN / MN_BLOCK
    };
    static mn_mxfp4 blocks[N_OUT * N_BLOCKS];
    static float x[MOST_ROWS * N_IN], out[MOST_ROWS * N_OUT], row[N_IN];
    mn_random rng;
    mn_random_seed(&rng, 12, 0);
    for (int i = 0; i < N_OUT * N_BLOCKS; i++) {
        blocks[i].e = (uint8_t)(i / N_BLOCKS);
        for (int j = 0; j < 16; j++) blocks[i].q[j] = (uint8_t)mn_random_u32(&rng);
    }
    mn_tensor w = {.name = "w", .type = MN_MXFP4, .n_dims = 2, .ne = {N_IN, N_OUT, 1, 1}, .bytes = sizeof blocks};
    w.data = blocks;
    EACH_LEVEL(level)
    for (int high = 0; high < 2; high++) {
        for (int i = 0; i < MOST_ROWS * N_IN; i++) x[i] = (high ? 0x1p-20f : 0x1p40f) * (i % 3 ? 1 : -1);
        for (int n_rows = 1; n_rows <= MOST_ROWS; n_rows += 4) {
            multiply(mn_kernels_get((mn_cpu_level)level), 1, false, &w, x, N_IN, n_rows, out, N_OUT);
            for (int o = high * 128; o < (high ? N_OUT : 128); o++) {
                mn_to_f32(MN_MXFP4, blocks + o * N_BLOCKS, row, N_IN);
                for (int r = 0; r < n_rows; r++) {
                    double sum = 0, size = 0;
                    for (int i = 0; i < N_IN; i++) {
                        sum += (double)row[i] * (double)x[r * N_IN + i];
                        size += fabs((double)row[i] * (double)x[r * N_IN + i]);
                    }
                    if (!(fabs((double)out[r * N_OUT + o] - sum) <= 1e-5 * size))
                        fail_msg("%s: %d rows, 2^%d: %g, not %g", mn_cpu_level_name((mn_cpu_level)level), n_rows,
                                 o - 128, (double)out[r * N_OUT + o], sum);
                }
            }
        }
    }
}

/* Sums of bytes are integers: with a dot product of bytes and without one, the same. (Of 5-bit types with a minimum the
 * numbers are centred first where there is none, and the minimum is rounded.) */
static void bytes_are_the_same_without_a_dot_product(void **state) {
    (void)state;
    enum { N_ROWS = 20, N_IN = 1280, N_OUT = 40 };
    EACH_LEVEL(level) {
        for (int t = 0; level == MN_CPU_AVXVNNI && t < N_TYPES; t++) {
            if (!mn_dtype_get(types[t])->quantised || types[t] == MN_Q5_1 || types[t] == MN_Q5_K) continue;
            mn_random rng;
            mn_random_seed(&rng, 5, (uint64_t)t);
            mn_tensor w = make_weights(types[t], N_IN, N_OUT, &rng);
            float *x = random_floats(N_IN * N_ROWS, &rng), out[2][N_ROWS * N_OUT];
            multiply(mn_kernels_get(MN_CPU_AVXVNNI), 1, false, &w, x, N_IN, N_ROWS, out[0], N_OUT);
            multiply(mn_kernels_get(MN_CPU_AVX2), 1, false, &w, x, N_IN, N_ROWS, out[1], N_OUT);
            assert_memory_equal(out[0], out[1], sizeof out[0]);
            free((void *)(uintptr_t)w.data);
            free(x);
        }
    }
}

/* How large a cache is decides how work is cut, and no bit. */
static void caches_change_nothing(void **state) {
    (void)state;
    enum { N_IN = 1280, N_OUT = 1040, N_ROWS = 258 };
    static const mn_dtype some[] = {MN_F32, MN_Q8_0, MN_Q4_K};
    static const size_t l2_bytes[] = {1 << 20, 1 << 16, 1 << 18, 1 << 19, 1 << 22};
    EACH_LEVEL(level) {
        for (size_t t = 0; t < sizeof some / sizeof *some; t++) {
            if (!takes_case(t, 3)) continue;
            mn_random rng;
            mn_random_seed(&rng, 6, (uint64_t)t);
            mn_kernels kernels = *mn_kernels_get((mn_cpu_level)level);
            mn_tensor w = make_weights(some[t], N_IN, N_OUT, &rng);
            float *x = random_floats(N_IN * N_ROWS, &rng), *out[2];
            for (int i = 0; i < 2; i++) out[i] = malloc(N_ROWS * N_OUT * sizeof **out);
            for (size_t i = 0; i < sizeof l2_bytes / sizeof *l2_bytes; i++) {
                kernels.l2_bytes = l2_bytes[i];
                multiply(&kernels, 2, false, &w, x, N_IN, N_ROWS, out[i > 0], N_OUT);
                if (i > 0) assert_memory_equal(out[1], out[0], N_ROWS * N_OUT * sizeof **out);
            }
            free((void *)(uintptr_t)w.data);
            free(x), free(out[0]), free(out[1]);
        }
    }
}

/* Few outputs and many rows: the rows are split between threads too. */
static void rows_are_split_when_outputs_are_few(void **state) {
    (void)state;
    EACH_LEVEL(level) {
        check_shape(mn_kernels_get((mn_cpu_level)level), MN_F32, (shape){64, 3, 211});
        check_shape(mn_kernels_get((mn_cpu_level)level), MN_Q8_0, (shape){64, 3, 211});
    }
}

/* Groups of panels with several blocks of inputs, whose sums wait between them, and results so large that they are
 * written around the caches: the same bits as in small pieces, whose rows are no whole lines. */
static void check_large(const mn_kernels *kernels, mn_dtype type, shape s) {
    enum { CHUNK = 48, MOST = 2 * CHUNK - 1 }; /* many rows of every type and level */
    mn_random rng;
    mn_random_seed(&rng, 11, (uint64_t)type);
    mn_tensor w = make_weights(type, s.n_in, s.n_out, &rng);
    float *x = random_floats((size_t)(s.n_in * s.n_rows), &rng);
    float *out = aligned_alloc(64, (size_t)(s.n_out * s.n_rows) * sizeof *out);
    float *piece = malloc((size_t)((s.n_out + 1) * MOST) * sizeof *piece);
    memset(out, 0xff, (size_t)(s.n_out * s.n_rows) * sizeof *out);
    multiply(kernels, 2, false, &w, x, s.n_in, s.n_rows, out, s.n_out);
    for (int r = 0, n; r < s.n_rows; r += n) {
        n = s.n_rows - r <= MOST ? s.n_rows - r : CHUNK;
        multiply(kernels, 1, false, &w, x + r * s.n_in, s.n_in, n, piece, s.n_out + 1);
        for (int i = 0; i < n; i++)
            assert_memory_equal(out + (r + i) * s.n_out, piece + i * (s.n_out + 1), (size_t)s.n_out * sizeof *out);
    }
    free((void *)(uintptr_t)w.data);
    free(x);
    free(out);
    free(piece);
}

static void large_products_are_those_of_their_pieces(void **state) {
    (void)state;
    static const mn_dtype some[] = {MN_F32, MN_BF16, MN_Q8_0, MN_Q4_K};
    EACH_LEVEL(level) {
        for (size_t t = 0; t < sizeof some / sizeof *some; t++) {
            if (!takes_case(t, 4)) continue;
            check_large(mn_kernels_get((mn_cpu_level)level), some[t], (shape){1280, 1040, 258});
            check_large(mn_kernels_get((mn_cpu_level)level), some[t], (shape){256, 2064, 144});
        }
    }
}

static void several_weights_share_one_input(void **state) {
    (void)state;
    enum { N_IN = 512, N_ROWS = 5, N_WS = 4 };
    static const mn_dtype mixed[N_WS] = {MN_Q4_K, MN_F16, MN_Q6_K, MN_F32};
    static const int n_outs[N_WS] = {48, 33, 1, 100};
    mn_random rng;
    mn_random_seed(&rng, 3, 3);
    float *x = random_floats(N_IN * N_ROWS, &rng), *outs[N_WS], *want[N_WS];
    mn_tensor w[N_WS];
    const mn_tensor *ws[N_WS];
    int64_t strides[N_WS];
    const mn_kernels *kernels = mn_kernels_get(mn_cpu_detect());
    for (int i = 0; i < N_WS; i++) {
        w[i] = make_weights(mixed[i], N_IN, n_outs[i], &rng);
        ws[i] = &w[i];
        strides[i] = n_outs[i];
        outs[i] = malloc((size_t)(n_outs[i] * N_ROWS) * sizeof(float));
        want[i] = malloc((size_t)(n_outs[i] * N_ROWS) * sizeof(float));
        multiply(kernels, 1, false, &w[i], x, N_IN, N_ROWS, want[i], n_outs[i]);
    }
    mn_error err;
    mn_pool *pool;
    mn_arena scratch = MN_ARENA_INIT;
    assert_ok(mn_pool_create(2, &pool, &err), err);
    mn_compute c = {kernels, pool, &scratch, false, NULL};
    assert_ok(mn_matmul_many(&c, outs, strides, x, N_IN, N_ROWS, ws, N_WS, &err), err);
    for (int i = 0; i < N_WS; i++) {
        assert_memory_equal(outs[i], want[i], (size_t)(n_outs[i] * N_ROWS) * sizeof(float));
        free(outs[i]);
        free(want[i]);
        free((void *)(uintptr_t)w[i].data);
    }
    free(x);
    mn_arena_release(&scratch);
    mn_pool_destroy(pool);
}

/* What an infinity or a NaN touches says so, and nothing else does. */
static void infinities_stay_in_their_row(void **state) {
    (void)state;
    enum { N_IN = 256, N_OUT = 20, N_ROWS = 3, MORE_ROWS = 35 };
    EACH_LEVEL(level) {
        for (int t = 0; t < N_TYPES; t++) {
            mn_random rng;
            mn_random_seed(&rng, 9, (uint64_t)t);
            mn_tensor w = make_weights(types[t], N_IN, N_OUT, &rng);
            float *x = random_floats(N_IN * MORE_ROWS, &rng), out[MORE_ROWS * N_OUT];
            x[N_IN + 17] = NAN;
            for (int n_rows = N_ROWS; n_rows <= MORE_ROWS; n_rows += MORE_ROWS - N_ROWS) {
                multiply(mn_kernels_get((mn_cpu_level)level), 1, false, &w, x, N_IN, n_rows, out, N_OUT);
                for (int o = 0; o < N_OUT; o++) {
                    assert_true(isfinite(out[o]) && isfinite(out[2 * N_OUT + o]));
                    if (isfinite(out[N_OUT + o]))
                        fail_msg("%s %s hides a NaN", mn_cpu_level_name((mn_cpu_level)level),
                                 mn_dtype_get(types[t])->name);
                }
            }
            free((void *)(uintptr_t)w.data);
            free(x);
        }
    }
}

static int close_pools(void **state) {
    (void)state;
    for (int n = 0; n <= MAX_THREADS; n++) mn_pool_destroy(pools[n]);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_right_and_do_not_depend_on_the_cut),
        cmocka_unit_test(extremes_fit),
        cmocka_unit_test(a_row_knows_nothing_of_the_next),
        cmocka_unit_test(every_exponent_of_mxfp4),
        cmocka_unit_test(caches_change_nothing),
        cmocka_unit_test(bytes_are_the_same_without_a_dot_product),
        cmocka_unit_test(rows_are_split_when_outputs_are_few),
        cmocka_unit_test(large_products_are_those_of_their_pieces),
        cmocka_unit_test(several_weights_share_one_input),
        cmocka_unit_test(infinities_stay_in_their_row),
    };
    return cmocka_run_group_tests(tests, NULL, close_pools);
}
