#include "attention/patterns/choice.h"

#include "base/checked.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Scores that are chosen from by bins; more of them by a heap. */
enum { MAX_BINNED = 1 << 14 };

mn_status mn_choice_init(mn_choice *choice, mn_block_list lists, int64_t capacity, mn_arena *arena, mn_error *err) {
    size_t n = (size_t)(lists.n_lists * lists.n_query_blocks), n_blocks;
    *choice = (mn_choice){.lists = lists, .capacity = capacity};
    choice->counts = mn_arena_zalloc(arena, n + 1, sizeof *choice->counts);
    if (mn_mul_size(n, (size_t)capacity, &n_blocks))
        choice->blocks = mn_arena_alloc(arena, n_blocks + 1, sizeof *choice->blocks);
    if (choice->counts && choice->blocks) return MN_OK;
    return mn_fail_with(err, MN_ERR_MEMORY, MN_REMEDIES({MN_REMEDY_SMALLER_BATCH, 0}),
                        "no memory for %zu lists of %lld blocks; use a smaller batch.", n, (long long)capacity);
}

static int by_index(const void *a, const void *b) {
    return (*(const int32_t *)a > *(const int32_t *)b) - (*(const int32_t *)a < *(const int32_t *)b);
}

void mn_sort_chosen(int32_t *chosen, int64_t n) {
    int64_t sorted = 1;
    while (sorted < n && chosen[sorted - 1] < chosen[sorted]) sorted++;
    if (sorted < n) qsort(chosen, (size_t)n, sizeof *chosen, by_index);
}

void mn_choice_close(mn_choice *choice, int64_t list, int64_t n) {
    mn_sort_chosen(mn_choice_at(choice, list), n);
    choice->counts[list] = n;
}

/* The lists move together, and their counts become offsets. */
mn_block_list mn_choice_finish(mn_choice *choice) {
    int64_t n = choice->lists.n_lists * choice->lists.n_query_blocks, end = 0;
    for (int64_t list = 0; list <= n; list++) {
        int64_t count = choice->counts[list];
        if (count) memmove(choice->blocks + end, mn_choice_at(choice, list), (size_t)count * sizeof *choice->blocks);
        choice->counts[list] = end;
        end += count;
    }
    choice->lists.offsets = choice->counts;
    choice->lists.blocks = choice->blocks;
    return choice->lists;
}

static bool is_worse(const float *scores, int32_t a, int32_t b) {
    return scores[a] < scores[b] || (scores[a] == scores[b] && a > b);
}

/* heap[0] is the worst of what is kept; brings order back below i. */
static void sift_down(const float *scores, int32_t *heap, int64_t n, int64_t i) {
    for (;;) {
        int64_t worst = i;
        for (int64_t child = 2 * i + 1; child < MN_MIN(2 * i + 3, n); child++)
            if (is_worse(scores, heap[child], heap[worst])) worst = child;
        if (worst == i) return;
        int32_t swap = heap[i];
        heap[i] = heap[worst];
        heap[worst] = swap;
        i = worst;
    }
}

/* Of the n candidates (ascending indices) the k largest, to the front, in no order. */
static void keep_largest(const float *scores, int32_t *candidates, int64_t n, int64_t k) {
    for (int64_t i = k / 2 - 1; i >= 0; i--) sift_down(scores, candidates, k, i);
    for (int64_t i = k; k > 0 && i < n; i++) {
        if (!is_worse(scores, candidates[0], candidates[i])) continue;
        candidates[0] = candidates[i];
        sift_down(scores, candidates, k, 0);
    }
}

/* Scores sorted into bins of equal width: a larger score never has a lower bin. */
typedef struct bins {
    float least, factor;
} bins;

enum { N_BINS = 512 };

static int bin_of(const bins *b, float score) {
    int bin = (int)((score - b->least) * b->factor);
    return MN_MIN(bin, N_BINS - 1);
}

/* false: there is nothing between the scores, or something that is no number. */
static bool bins_of(const float *scores, int64_t n, bins *b) {
    enum { LANES = 8 };
    float low[LANES], high[LANES], zero[LANES] = {0}, least = scores[0], most = scores[0], sum = 0;
    for (int j = 0; j < LANES; j++) low[j] = high[j] = scores[0];
    for (int64_t i = 0; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            low[j] = MN_MIN(low[j], scores[i + j]);
            high[j] = MN_MAX(high[j], scores[i + j]);
            zero[j] += scores[i + j] - scores[i + j]; /* or NaN */
        }
    for (int j = 0; j < LANES; j++) {
        least = MN_MIN(least, low[j]);
        most = MN_MAX(most, high[j]);
        sum += zero[j];
    }
    for (int64_t i = n - n % LANES; i < n; i++) {
        least = MN_MIN(least, scores[i]);
        most = MN_MAX(most, scores[i]);
        sum += scores[i] - scores[i];
    }
    *b = (bins){least, N_BINS / (most - least)};
    return sum == 0 && most > least && isfinite(b->factor);
}

/* The highest bin with which k scores or more are counted; *above: how many are in higher ones. */
static int edge_bin(const float *scores, int64_t n, int64_t k, const bins *b, int64_t *above) {
    int32_t counts[N_BINS] = {0};
    int bin = N_BINS - 1;
    for (int64_t i = 0; i < n; i++) counts[bin_of(b, scores[i])]++;
    for (*above = 0; *above + counts[bin] < k; bin--) *above += counts[bin];
    return bin;
}

/* Adds those of ascending candidates that are no worse than `worst` to n ascending indices: k in all. */
static void merge_kept(const float *scores, int32_t *chosen, int64_t n, int64_t k, const int32_t *candidates,
                       int64_t n_candidates, int32_t worst) {
    for (int64_t at = k, i = n_candidates; at > n;) {
        while (is_worse(scores, candidates[i - 1], worst)) i--;
        chosen[--at] = n > 0 && chosen[n - 1] > candidates[i - 1] ? chosen[--n] : candidates[--i];
    }
}

/* All above the edge's bin, and of those in it the largest that there is room for; ascending. */
static void choose_by_bins(const float *scores, int64_t n, int64_t k, const bins *b, int32_t *chosen,
                           int32_t *candidates) {
    int64_t above, n_edge = 0, at = 0;
    int edge = edge_bin(scores, n, k, b, &above);
    int32_t *heap = candidates + n;
    for (int64_t i = 0; i < n; i++) {
        int bin = bin_of(b, scores[i]);
        if (bin < edge) continue;
        if (bin > edge)
            chosen[at++] = (int32_t)i;
        else
            candidates[n_edge++] = (int32_t)i;
    }
    memcpy(heap, candidates, (size_t)n_edge * sizeof *heap);
    keep_largest(scores, heap, n_edge, k - above);
    merge_kept(scores, chosen, above, k, candidates, n_edge, heap[0]); /* k - above >= 1 */
}

/* Where k is a small part of n: the largest of each few scores, the k-th largest of these, and what reaches it. At
 * least k scores do, and seldom many more. */
enum { FEW_SCORES = 16, MAX_FEWS = 1 << 12 };

static float largest_of_few(const float *scores) {
    float most[4];
    memcpy(most, scores, sizeof most);
    for (int i = 4; i < FEW_SCORES; i += 4)
        for (int j = 0; j < 4; j++) most[j] = scores[i + j] > most[j] ? scores[i + j] : most[j];
    float a = MN_MAX(most[0], most[1]), b = MN_MAX(most[2], most[3]);
    return MN_MAX(a, b);
}

/* Ascending indices of the scores that reach `least`, at most `room` of them. Returns how many there are. */
static int64_t find_reaching(const float *scores, int64_t n, float least, int32_t *found, int64_t room) {
    int64_t at = 0;
    for (int64_t i = 0; i < n; i += FEW_SCORES) {
        int64_t end = MN_MIN(i + FEW_SCORES, n);
        int any = 0;
        for (int64_t j = i; j < end; j++) any |= scores[j] >= least;
        for (int64_t j = i; any && j < end; j++) {
            if (!(scores[j] >= least)) continue;
            if (at < room) found[at] = (int32_t)j;
            at++;
        }
    }
    return at;
}

/* false: nothing was chosen, as there are numbers that do not compare, or too many that are equal. */
static bool choose_by_maxima(const float *scores, int64_t n, int64_t k, int32_t *chosen) {
    int32_t candidates[2 * MAX_FEWS], *heap = candidates + MAX_FEWS;
    float maxima[MAX_FEWS];
    int64_t n_few = n / FEW_SCORES, n_made = 0;
    do maxima[n_made] = largest_of_few(scores + n_made * FEW_SCORES);
    while (++n_made < n_few);
    mn_choose_largest(maxima, n_few, k, heap);
    float least = maxima[heap[0]];
    for (int64_t i = 1; i < k; i++) least = MN_MIN(least, maxima[heap[i]]);
    int64_t n_found = find_reaching(scores, n, least, candidates, MAX_FEWS);
    if (n_found < k || n_found > MAX_FEWS) return false;
    memcpy(heap, candidates, (size_t)n_found * sizeof *heap);
    keep_largest(scores, heap, n_found, k);
    merge_kept(scores, chosen, 0, k, candidates, n_found, heap[0]);
    return true;
}

int64_t mn_choose_largest(const float *scores, int64_t n, int64_t k, int32_t *chosen) {
    enum { FEW = 128 };
    int32_t candidates[2 * MAX_BINNED];
    bins b;
    k = MN_MAX(0, MN_MIN(k, n));
    if (k > 0 && 2 * k <= n / FEW_SCORES && n / FEW_SCORES <= MAX_FEWS && choose_by_maxima(scores, n, k, chosen))
        return k;
    if (k > 0 && k < n && n > FEW && n <= MAX_BINNED && bins_of(scores, n, &b)) {
        choose_by_bins(scores, n, k, &b, chosen, candidates);
        return k;
    }
    for (int64_t i = 0; i < k; i++) chosen[i] = (int32_t)i;
    for (int64_t i = k / 2 - 1; i >= 0; i--) sift_down(scores, chosen, k, i);
    float least = k > 0 ? scores[chosen[0]] : INFINITY;
    for (int64_t i = k; i < n; i++) { /* of equal scores the one that came first stays */
        if (!(scores[i] > least)) continue;
        chosen[0] = (int32_t)i;
        sift_down(scores, chosen, k, 0);
        least = scores[chosen[0]];
    }
    return k;
}
