/* Cached pages in a file: what was written comes back, once written, and nothing else is read or left behind. */
#include "support/support.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/kernels.h"
#include "kvcache/disk.h"
#include "attention/stream.h"

static char dir[4096];

static int make_dir(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "%s", temp_path("kv"));
    return mkdir(dir, 0700);
}

/* Fails when the directory is not empty. */
static int remove_dir(void **state) {
    (void)state;
    return rmdir(dir);
}

static void limit_files(rlim_t bytes) {
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

enum { LAYERS = 3, LAYER_BYTES = 5000, PAGES = 200 };
static const size_t page_bytes[] = {LAYER_BYTES, LAYER_BYTES, LAYER_BYTES};

static unsigned char byte_of(int layer, int64_t page, int i) {
    return (unsigned char)(layer * 97 + page * 31 + i * 7 + i / 256);
}

static void write_page(mn_disk *disk, int64_t page) {
    static unsigned char slab[LAYERS][LAYER_BYTES];
    mn_error err;
    for (int layer = 0; layer < LAYERS; layer++)
        for (int i = 0; i < LAYER_BYTES; i++) slab[layer][i] = byte_of(layer, page, i);
    assert_ok(mn_disk_write(disk, page, slab, &err), err);
}

static void assert_page(const unsigned char *got, int layer, int64_t page) {
    for (int i = 0; i < LAYER_BYTES; i++) assert_int_equal(got[i], byte_of(layer, page, i));
}

static void pages_come_back(void **state) {
    (void)state;
    static const int64_t wanted[] = {0, 1, 2, 60, 62, 63, 64, 65, 127, 128, 199};
    enum { N = sizeof wanted / sizeof *wanted };
    static unsigned char out[N][LAYER_BYTES], slab[LAYERS][LAYER_BYTES];
    mn_disk *disk;
    mn_error err;
    assert_ok(mn_disk_open(dir, LAYERS, page_bytes, &disk, &err), err);
    for (int64_t page = 0; page < PAGES; page++) write_page(disk, page);
    for (int layer = 0; layer < LAYERS; layer++) {
        mn_disk_fetch(disk, layer, wanted, N, out);
        assert_ok(mn_disk_wait(disk, &err), err);
        for (int i = 0; i < N; i++) assert_page(out[i], layer, wanted[i]);
    }
    mn_disk_fetch(disk, 0, wanted, 0, NULL); /* nothing to read */
    assert_ok(mn_disk_wait(disk, &err), err);
    assert_ok(mn_disk_read(disk, 77, slab, &err), err);
    for (int layer = 0; layer < LAYERS; layer++) assert_page(slab[layer], layer, 77);
    assert_int_equal(mn_disk_get_traffic(disk).written_bytes, PAGES * LAYERS * LAYER_BYTES);
    assert_int_equal(mn_disk_get_traffic(disk).read_bytes, (N + 1) * LAYERS * LAYER_BYTES);
    assert_int_equal(rmdir(dir), 0); /* the file never had a name to be left under */
    assert_int_equal(mkdir(dir, 0700), 0);
    mn_disk_close(disk);
}

static void says_why_pages_cannot_be_kept(void **state) {
    (void)state;
    mn_disk *disk;
    mn_error err;
    assert_int_equal(mn_disk_open("/nowhere/at/all", LAYERS, page_bytes, &disk, &err), MN_ERR_IO);
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
    assert_non_null(strstr(err.text, "name a directory"));
    assert_int_equal(mn_disk_open("/proc/version", LAYERS, page_bytes, &disk, &err), MN_ERR_IO);
    assert_int_equal(mn_disk_open("/proc", LAYERS, page_bytes, &disk, &err), MN_ERR_IO);
}

static void a_page_that_is_not_there_is_an_error(void **state) {
    (void)state;
    static const int64_t wanted[] = {1, 2};
    static unsigned char out[2][LAYER_BYTES];
    mn_disk *disk;
    mn_error err;
    assert_ok(mn_disk_open(dir, LAYERS, page_bytes, &disk, &err), err);
    write_page(disk, 1);
    mn_disk_fetch(disk, LAYERS - 1, wanted, 2, out);
    assert_int_equal(mn_disk_wait(disk, &err), MN_ERR_IO);
    assert_non_null(strstr(err.text, "the file has ended"));
    mn_disk_fetch(disk, LAYERS - 1, wanted, 1, out); /* the reader lives on */
    assert_ok(mn_disk_wait(disk, &err), err);
    assert_page(out[0], LAYERS - 1, 1);
    mn_disk_close(disk);
}

/* A cache of rows that tell their place, with or without a file. */
enum { N_LAYERS = 2, KV_HEADS = 2, GROUP = 2, DIM = 32, STEP = 64, N_TOKENS = 6000 };

static mn_compute compute_of(bool exact, mn_arena *scratch) {
    mn_cpu_level level;
    mn_error err;
    assert_ok(mn_cpu_choose(&level, &err), err);
    return (mn_compute){mn_kernels_get(level), NULL, scratch, exact, NULL};
}

static void append_rows(mn_kvcache *cache, const mn_compute *c, int64_t first, int64_t n) {
    static float rows[STEP * KV_HEADS * DIM];
    mn_error err;
    assert_ok(mn_kvcache_prepare(cache, first, n, &err), err);
    for (int layer = 0; layer < N_LAYERS; layer++) {
        fill_normal(rows, sizeof rows / sizeof *rows, (uint64_t)(first * N_LAYERS + layer));
        mn_kvcache_append(cache, c, layer, first, n, rows, KV_HEADS * DIM, rows, KV_HEADS * DIM);
    }
}

static mn_kvcache *make_cache(mn_dtype type, bool v_in_k, bool on_disk, const mn_compute *c) {
    mn_kv_layer layer = {KV_HEADS, DIM, v_in_k ? DIM - 5 : DIM};
    mn_kv_shape shape = mn_kv_shape_alike(N_LAYERS, layer, v_in_k, type, type);
    mn_kvcache *cache;
    mn_error err;
    int64_t n_pages = (N_TOKENS + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS;
    size_t ram_bytes = mn_kv_slab_bytes(&shape) * (size_t)n_pages / 4;
    assert_ok(mn_kvcache_create(&shape, N_TOKENS, &cache, &err), err);
    if (on_disk) assert_ok(mn_kvcache_spill(cache, dir, ram_bytes, STEP, &err), err);
    for (int64_t first = 0; first < N_TOKENS; first += STEP) {
        append_rows(cache, c, first, first + STEP <= N_TOKENS ? STEP : N_TOKENS - first);
        if (on_disk) assert_true(mn_kvcache_bytes(cache) <= ram_bytes);
    }
    return cache;
}

/* The answer of a call over the last n_rows tokens: the same bits from both caches. */
static void assert_same(const mn_compute *c, mn_kvcache *cold, mn_kvcache *ram, mn_attend a, int64_t n_rows) {
    static float q[STEP * KV_HEADS * GROUP * DIM], out[2][STEP * KV_HEADS * GROUP * DIM];
    mn_error err;
    fill_normal(q, sizeof q / sizeof *q, (uint64_t)n_rows);
    memset(out, 0, sizeof out);
    a.q = q;
    a.q_stride = a.out_stride = KV_HEADS * GROUP * DIM;
    a.n_heads = KV_HEADS * GROUP;
    a.n_rows = n_rows;
    a.first_token = N_TOKENS - n_rows;
    a.scale = 0.2f;
    for (int layer = 0; layer < N_LAYERS; layer++) {
        a.out = out[0];
        a.kv = mn_kvcache_view(cold, layer, N_TOKENS);
        assert_ok(mn_kvcache_attend(c, cold, layer, &a, &err), err);
        a.out = out[1];
        a.kv = mn_kvcache_view(ram, layer, N_TOKENS);
        assert_ok(mn_kvcache_attend(c, ram, layer, &a, &err), err);
        assert_memory_equal(out[0], out[1], sizeof out[0]);
    }
    assert_int_equal(c->scratch->used_bytes, 0);
}

static void attends_with_the_bits_of_a_cache_in_ram(void **state) {
    (void)state;
    static const struct {
        mn_dtype type;
        bool v_in_k;
    } kinds[] = {{MN_F32, false}, {MN_F16, false}, {MN_Q8_0, false}, {MN_F16, true}};
    static const int64_t rows[] = {1, 7, 40, STEP};
    mn_arena scratch = MN_ARENA_INIT;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (int exact = 0; exact < 2; exact++) {
            mn_compute c = compute_of(exact, &scratch);
            mn_kvcache *cold = make_cache(kinds[k].type, kinds[k].v_in_k, true, &c);
            mn_kvcache *ram = make_cache(kinds[k].type, kinds[k].v_in_k, false, &c);
            for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                assert_same(&c, cold, ram, (mn_attend){0}, rows[i]);
                assert_same(&c, cold, ram, (mn_attend){.window = 3000, .n_sinks = 4}, rows[i]);
            }
            assert_true(mn_kvcache_traffic(cold).read_bytes > 0);
            mn_kvcache_destroy(cold);
            mn_kvcache_destroy(ram);
        }
    mn_arena_release(&scratch);
}

/* Bytes read for one call over one row in each layer. */
static uint64_t read_by(const mn_compute *c, mn_kvcache *cold, mn_kvcache *ram, mn_attend a) {
    uint64_t before = mn_kvcache_traffic(cold).read_bytes;
    assert_same(c, cold, ram, a, 1);
    return mn_kvcache_traffic(cold).read_bytes - before;
}

static void reads_only_pages_that_are_seen(void **state) {
    (void)state;
    static const int32_t blocks[] = {2, 29, 60, 61, 93}; /* of 64 tokens: pages 1, 14, 30 (both), 46, which is in RAM */
    static const int64_t offsets[] = {0, 5};
    mn_block_list list = {64, (N_TOKENS - 1) / 64, 1, 1, offsets, blocks, 0, false};
    mn_arena scratch = MN_ARENA_INIT;
    mn_compute c = compute_of(true, &scratch);
    mn_kvcache *cold = make_cache(MN_F16, false, true, &c), *ram = make_cache(MN_F16, false, false, &c);
    uint64_t page = mn_kv_slab_bytes(mn_kvcache_shape(cold)), held = mn_kvcache_traffic(cold).disk_bytes;
    assert_true(held > 30 * page);
    assert_int_equal(read_by(&c, cold, ram, (mn_attend){0}), held);
    assert_int_equal(read_by(&c, cold, ram, (mn_attend){.window = 100}), 0);
    assert_int_equal(read_by(&c, cold, ram, (mn_attend){.window = 1000, .n_sinks = 4}),
                     6 * page); /* of pages 39 to 46 */
    assert_int_equal(read_by(&c, cold, ram, (mn_attend){.blocks = &list}), 3 * page);
    mn_kvcache_destroy(cold);
    mn_kvcache_destroy(ram);
    mn_arena_release(&scratch);
}

static void a_page_is_written_once_and_again_when_refilled(void **state) {
    (void)state;
    mn_arena scratch = MN_ARENA_INIT;
    mn_compute c = compute_of(true, &scratch);
    mn_kvcache *cache = make_cache(MN_F16, false, true, &c), *ram = make_cache(MN_F16, false, false, &c);
    uint64_t page = mn_kv_slab_bytes(mn_kvcache_shape(cache)), held = mn_kvcache_traffic(cache).disk_bytes;
    assert_int_equal(mn_kvcache_traffic(cache).written_bytes, held);
    int64_t from = 20 * MN_PAGE_TOKENS + STEP; /* half of page 20 stays: it comes back from the file */
    mn_kvcache_drop_after(cache, from);
    uint64_t kept = mn_kvcache_traffic(cache).disk_bytes - page;
    for (int64_t first = from; first < N_TOKENS; first += STEP)
        append_rows(cache, &c, first, first + STEP <= N_TOKENS ? STEP : N_TOKENS - first);
    assert_int_equal(mn_kvcache_traffic(cache).disk_bytes, held);
    assert_int_equal(mn_kvcache_traffic(cache).written_bytes, held + held - kept);
    assert_same(&c, cache, ram, (mn_attend){0}, 40);
    mn_kvcache_destroy(cache);
    mn_kvcache_destroy(ram);
    mn_arena_release(&scratch);
}

static void slabs_are_read_and_added_through_the_file(void **state) {
    (void)state;
    mn_arena scratch = MN_ARENA_INIT;
    mn_compute c = compute_of(true, &scratch);
    mn_error err;
    mn_kvcache *cold = make_cache(MN_F16, false, true, &c), *ram = make_cache(MN_F16, false, false, &c);
    size_t bytes = mn_kv_slab_bytes(mn_kvcache_shape(cold));
    char *a = malloc(bytes), *b = malloc(bytes);
    for (int64_t page = 0; page * MN_PAGE_TOKENS < N_TOKENS; page++) {
        assert_ok(mn_kvcache_read_slab(cold, page, a, &err), err);
        assert_ok(mn_kvcache_read_slab(ram, page, b, &err), err);
        assert_memory_equal(a, b, bytes);
    }
    mn_kvcache_start_at(cold, 0);
    assert_int_equal(mn_kvcache_traffic(cold).disk_bytes, 0);
    for (int64_t page = 0; page * MN_PAGE_TOKENS < N_TOKENS; page++) {
        assert_ok(mn_kvcache_read_slab(ram, page, b, &err), err);
        assert_ok(mn_kvcache_add_slab(cold, b, &err), err);
    }
    assert_same(&c, cold, ram, (mn_attend){0}, 7);
    free(a);
    free(b);
    mn_kvcache_destroy(cold);
    mn_kvcache_destroy(ram);
    mn_arena_release(&scratch);
}

static void a_full_disk_loses_nothing(void **state) {
    (void)state;
    mn_arena scratch = MN_ARENA_INIT;
    mn_compute c = compute_of(true, &scratch);
    mn_kvcache *cache = make_cache(MN_F16, false, true, &c), *ram = make_cache(MN_F16, false, false, &c);
    mn_error err;
    int64_t first = 20 * MN_PAGE_TOKENS, stopped = 0;
    mn_kvcache_drop_after(cache, first);
    limit_files(86 * 32768 + 1000); /* in the midst of page 22 of the second layer: some bytes go, and then none */
    for (int64_t at = first; at < N_TOKENS && !stopped; at += STEP) {
        if (mn_kvcache_prepare(cache, at, STEP, &err) != MN_OK)
            stopped = at;
        else
            append_rows(cache, &c, at, STEP);
    }
    limit_files(RLIM_INFINITY);
    assert_true(stopped > first);
    assert_non_null(strstr(err.text, "let more stay in memory"));
    for (int64_t at = stopped; at < N_TOKENS; at += STEP)
        append_rows(cache, &c, at, at + STEP <= N_TOKENS ? STEP : N_TOKENS - at);
    assert_same(&c, cache, ram, (mn_attend){0}, 40);
    mn_kvcache_destroy(cache);
    mn_kvcache_destroy(ram);
    mn_arena_release(&scratch);
}

static void refuses_ram_that_a_step_does_not_fit_into(void **state) {
    (void)state;
    mn_kv_shape shape = mn_kv_shape_alike(N_LAYERS, (mn_kv_layer){KV_HEADS, DIM, DIM}, false, MN_F16, MN_F16);
    mn_kvcache *cache;
    mn_error err;
    assert_ok(mn_kvcache_create(&shape, N_TOKENS, &cache, &err), err);
    assert_int_equal(mn_kvcache_spill(cache, dir, mn_kv_slab_bytes(&shape) * 9, STEP, &err), MN_ERR_LIMIT);
    assert_int_equal(err.remedies[0].kind, MN_REMEDY_KV_RAM);
    assert_int_equal((size_t)err.remedies[0].value, mn_kv_slab_bytes(&shape) * 10);
    assert_int_equal(err.remedies[1].kind, MN_REMEDY_SMALLER_BATCH);
    assert_ok(mn_kvcache_spill(cache, dir, mn_kv_slab_bytes(&shape) * 10, STEP, &err), err);
    assert_int_equal(mn_kvcache_prepare(cache, 0, 4 * STEP + 1, &err), MN_ERR_LIMIT);
    mn_kvcache_destroy(cache);
}

/* Layers of 3000, 0 and 700 bytes a page. */
static void layers_may_have_pages_of_their_own_size(void **state) {
    (void)state;
    enum { FIRST = 3000, LAST = 700, N = 150 };
    static const size_t sizes[] = {FIRST, 0, LAST};
    static unsigned char slab[FIRST + LAST], out[2][FIRST];
    mn_disk *disk;
    mn_error err;
    assert_ok(mn_disk_open(dir, 3, sizes, &disk, &err), err);
    for (int64_t page = 0; page < N; page++) {
        for (int i = 0; i < FIRST + LAST; i++) slab[i] = byte_of(i < FIRST ? 0 : 2, page, i < FIRST ? i : i - FIRST);
        assert_ok(mn_disk_write(disk, page, slab, &err), err);
    }
    for (int64_t page = 0; page + 1 < N; page += 21) {
        const int64_t pages[] = {page, page + 1};
        mn_disk_fetch(disk, 0, pages, 2, out);
        assert_ok(mn_disk_wait(disk, &err), err);
        for (int i = 0; i < 2 * FIRST; i++)
            assert_int_equal(out[i / FIRST][i % FIRST], byte_of(0, page + i / FIRST, i % FIRST));
        mn_disk_fetch(disk, 2, pages, 2, out);
        assert_ok(mn_disk_wait(disk, &err), err);
        for (int i = 0; i < 2 * LAST; i++)
            assert_int_equal(((unsigned char *)out)[i], byte_of(2, page + i / LAST, i % LAST));
        assert_ok(mn_disk_read(disk, page, slab, &err), err);
        assert_int_equal(slab[FIRST + LAST - 1], byte_of(2, page, LAST - 1));
    }
    mn_disk_close(disk);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_may_have_pages_of_their_own_size),
        cmocka_unit_test(pages_come_back),
        cmocka_unit_test(says_why_pages_cannot_be_kept),
        cmocka_unit_test(a_page_that_is_not_there_is_an_error),
        cmocka_unit_test(attends_with_the_bits_of_a_cache_in_ram),
        cmocka_unit_test(reads_only_pages_that_are_seen),
        cmocka_unit_test(a_page_is_written_once_and_again_when_refilled),
        cmocka_unit_test(slabs_are_read_and_added_through_the_file),
        cmocka_unit_test(a_full_disk_loses_nothing),
        cmocka_unit_test(refuses_ram_that_a_step_does_not_fit_into),
    };
    signal(SIGXFSZ, SIG_IGN);
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
