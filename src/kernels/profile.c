#include "kernels/profile.h"

#include "base/checked.h"
#include "base/clock.h"

#include <stdlib.h>

const char *mn_op_kind_name(mn_op_kind kind) {
    static const char *const names[MN_OP_COUNT] = {
        [MN_OP_OTHER] = "other",         [MN_OP_PRODUCTS] = "products",
        [MN_OP_ATTENTION] = "attention", [MN_OP_CHOICE] = "choice of keys",
        [MN_OP_NORMS] = "norms",         [MN_OP_ELEMENTS] = "element by element",
        [MN_OP_RECURRENT] = "recurrent", [MN_OP_CACHE] = "KV cache",
        [MN_OP_SAMPLING] = "sampling",   [MN_OP_MLP] = "MLP"};
    return names[kind];
}

mn_status mn_profile_create(int n_layers, const mn_peaks *peaks, mn_profile **out, mn_error *err) {
    mn_profile *p = calloc(1, sizeof *p);
    mn_op_cost *costs = calloc((size_t)(n_layers + 2) * MN_OP_COUNT, sizeof *costs);
    if (!p || !costs) {
        free(p);
        free(costs);
        return mn_fail(err, MN_ERR_MEMORY, "no memory for a profile of %d layers.", n_layers);
    }
    *p = (mn_profile){.n_layers = n_layers, .peaks = *peaks, .costs = costs};
    *out = p;
    return MN_OK;
}

void mn_profile_destroy(mn_profile *p) {
    if (!p) return;
    free(p->costs);
    free(p);
}

static double now_of(const mn_profile *p) { return p->cpu_time ? mn_clock_thread_seconds() : mn_clock_seconds(); }

static void charge(mn_profile *p) {
    double now = now_of(p);
    if (p->runs) mn_profile_at(p, p->place, p->kind)->seconds += now - p->since;
    p->since = now;
}

void mn_profile_start(mn_profile *p) {
    p->since = now_of(p);
    p->place = 0;
    p->kind = MN_OP_OTHER;
    p->runs = true;
}

void mn_profile_stop(mn_profile *p) {
    charge(p);
    p->runs = false;
}

mn_op_kind mn_profile_change(mn_profile *p, mn_op_kind kind) {
    mn_op_kind before = p->kind;
    charge(p);
    p->kind = kind;
    return before;
}

void mn_profile_move(mn_profile *p, int place) {
    if (place == p->place) return;
    charge(p);
    p->place = place;
}

void mn_profile_count(mn_profile *p, mn_op_kind kind, double flops, double bytes, double flops_per_s) {
    if (!p || !p->runs) return;
    mn_op_cost *cost = mn_profile_at(p, p->place, kind);
    double rate = p->peaks.read_bytes_per_s, flops_s = flops_per_s > 0 ? flops / flops_per_s : 0,
           bytes_s = rate > 0 ? bytes / rate : 0;
    cost->flops += flops;
    cost->bytes += bytes;
    cost->floor_s += MN_MAX(flops_s, bytes_s);
}
