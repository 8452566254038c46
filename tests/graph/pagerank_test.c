/* Personalised PageRank against a dense power iteration in double precision, and the links of a small graph. */
#include "graph/collections.h"
#include "graph/inside.h"

#include <math.h>

enum { N = 60 };

static mn_error err;

/* A random graph: some nodes without links, some links of weight 0, some nodes that many lead to. */
static void make(double dense[N][N], mn_link_matrix *links, float start[N]) {
    float random[N * N];
    fill_normal(random, N * N, 3);
    *links = (mn_link_matrix){.n = N,
                              .first = calloc(N + 1, sizeof *links->first),
                              .to = calloc(N * N, sizeof *links->to),
                              .weight = calloc(N * N, sizeof *links->weight)};
    for (int i = 0; i < N; i++) {
        links->first[i + 1] = links->first[i];
        for (int k = 0; k < N; k++) {
            float w = random[i * N + k] - (k < 3 ? 0.5F : 1.5F);
            dense[i][k] = 0;
            if (w < -0.4F || i % 11 == 4) continue;
            dense[i][k] = (double)fmaxf(w, 0);
            links->to[links->first[i + 1]] = (uint32_t)k;
            links->weight[links->first[i + 1]++] = fmaxf(w, 0);
        }
    }
    for (int i = 0; i < N; i++) start[i] = i % 7 ? 0 : 1.0F / (float)(1 + i);
}

static void dense_ranks(double dense[N][N], const float start[N], double damping, double r[N]) {
    double s[N], total = 0, next[N];
    for (int i = 0; i < N; i++) total += (double)start[i];
    for (int i = 0; i < N; i++) r[i] = s[i] = (double)start[i] / total;
    for (int step = 0; step < 2000; step++) {
        for (int i = 0; i < N; i++) next[i] = (1 - damping) * s[i];
        for (int i = 0; i < N; i++) {
            double sum = 0;
            for (int k = 0; k < N; k++) sum += dense[i][k];
            for (int k = 0; k < N; k++) next[k] += damping * r[i] * (sum > 0 ? dense[i][k] / sum : s[k]);
        }
        memcpy(r, next, sizeof next);
    }
}

static void ranks_are_those_of_a_dense_iteration(void **state) {
    (void)state;
    static double dense[N][N];
    mn_link_matrix links;
    float start[N], ranks[N];
    double want[N];
    make(dense, &links, start);
    static const float dampings[] = {0, 0.3F, 0.5F, 0.85F};
    for (int d = 0; d < 4; d++) {
        double sum = 0;
        dense_ranks(dense, start, (double)dampings[d], want);
        assert_ok(mn_pagerank(&links, start, dampings[d], 1e-7F, ranks, &err), err);
        for (int i = 0; i < N; i++) {
            sum += (double)ranks[i];
            if (fabs((double)ranks[i] - want[i]) > 1e-6)
                fail_msg("damping %g, node %d: %g, not %g", (double)dampings[d], i, (double)ranks[i], want[i]);
        }
        assert_true(fabs(sum - 1) < 1e-5);
    }
    memset(start, 0, sizeof start);
    assert_int_equal(mn_pagerank(&links, start, 0.5F, 1e-6F, ranks, &err), MN_ERR_ARGUMENT);
    mn_link_matrix_release(&links);
}

/* Passages and keys are linked both ways, alike; a search by ranks goes along a shared key. */
static void a_store_gives_its_links(void **state) {
    (void)state;
    static const char lines[] =
        "{\"id\":\"writer\",\"text\":\"The novel Grey Harbour was written by Ada Quill. She lived alone.\"}\n"
        "{\"id\":\"town\",\"text\":\"Ada Quill was born in the town of Merrow. It was raining.\"}\n"
        "{\"id\":\"river\",\"text\":\"A river runs through Merrow and on to the sea.\"}\n"
        "{\"id\":\"other\",\"text\":\"Nothing here is about any of them at all.\"}\n";
    mn_store *store;
    mn_graph *graph = graph_of_lines("pagerank", lines, &store);
    mn_link_matrix links;
    mn_hit hits[4];
    uint32_t n;
    assert_ok(mn_graph_links(graph, &links, &err), err);
    assert_true(links.first[links.n] > 0);
    for (uint32_t i = 0; i < links.n; i++)
        for (size_t k = links.first[i]; k < links.first[i + 1]; k++) {
            uint32_t to = links.to[k];
            bool back = false;
            assert_true((i < 4) != (to < 4));
            for (size_t b = links.first[to]; b < links.first[to + 1]; b++)
                back = back || (links.to[b] == i && links.weight[b] == links.weight[k]);
            assert_true(back);
        }
    mn_link_matrix_release(&links);
    mn_graph_rank_by(graph, MN_RANK_PAGERANK);
    assert_ok(mn_graph_search(graph, "Who wrote the novel Grey Harbour?", 4, hits, &n, &err), err);
    assert_int_equal(n, 3);
    for (uint32_t i = 0; i < 3; i++) assert_int_equal(hits[i].number, i);
    mn_graph_close(graph);
    mn_store_close(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_are_those_of_a_dense_iteration),
        cmocka_unit_test(a_store_gives_its_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
