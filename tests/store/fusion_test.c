/* Reciprocal rank fusion against its formula. */
#include "support/support.h"

#include "store/fusion.h"

#include <math.h>

static mn_error err;

static void ranks_are_joined(void **state) {
    (void)state;
    const uint32_t first[] = {7, 3, 9}, second[] = {3, 5}, third[] = {5};
    const mn_ranking lists[] = {{first, 3, 1}, {second, 2, 1}, {third, 1, 0.5F}};
    mn_fused out[10];
    uint32_t n;
    assert_ok(mn_fuse_ranks(lists, 3, 10, out, &n, &err), err);
    assert_int_equal(n, 4);
    const struct {
        uint32_t id;
        double score;
    } want[] = {{3, 1.0 / 62 + 1.0 / 61}, {5, 1.0 / 62 + 0.5 / 61}, {7, 1.0 / 61}, {9, 1.0 / 63}};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(out[i].id, want[i].id);
        assert_true(fabs((double)out[i].score - want[i].score) < 1e-7);
    }
    assert_ok(mn_fuse_ranks(lists, 3, 2, out, &n, &err), err);
    assert_int_equal(n, 2);
    assert_ok(mn_fuse_ranks(lists, 0, 2, out, &n, &err), err);
    assert_int_equal(n, 0);
}

/* One list alone keeps its order; of equal scores the smaller id comes first. */
static void one_list_stays(void **state) {
    (void)state;
    uint32_t ids[100], n;
    mn_fused out[100];
    for (uint32_t i = 0; i < 100; i++) ids[i] = (i * 37) % 100;
    assert_ok(mn_fuse_ranks(&(mn_ranking){ids, 100, 1}, 1, 100, out, &n, &err), err);
    for (uint32_t i = 0; i < 100; i++) assert_int_equal(out[i].id, ids[i]);
    const uint32_t a[] = {8, 2}, b[] = {2, 8};
    const mn_ranking twins[] = {{a, 2, 1}, {b, 2, 1}};
    assert_ok(mn_fuse_ranks(twins, 2, 100, out, &n, &err), err);
    assert_int_equal(out[0].id, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(ranks_are_joined), cmocka_unit_test(one_list_stays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
