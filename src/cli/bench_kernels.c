/* mnemo bench --kernels: a line for each kernel, or one JSON object. */
#include "bench/kernels.h"

#include "cli/bench.h"
#include "cli/terminal.h"

#include <stdio.h>

typedef struct output {
    bool as_json;
    json_t *rows;
    bool above; /* a share above 100 % was printed */
} output;

static void show_level(void *arg, const char *level, const mn_peaks *p) {
    const output *o = arg;
    if (o->as_json) return;
    mn_print_line(stdout, 2, "\n%s: %.0f GFLOP/s f32, %.0f GFLOP/s bf16, %.0f GOP/s int8, %.1f GB/s read", level,
                  p->f32_flops_per_s / 1e9, p->bf16_flops_per_s / 1e9, p->int8_ops_per_s / 1e9,
                  p->read_bytes_per_s / 1e9);
}

static void show_result(void *arg, const mn_kernel_result *r) {
    output *o = arg;
    if (o->as_json) {
        json_array_append_new(o->rows, json_pack("{s:s, s:s, s:s, s:I, s:f, s:f, s:f, s:s}", "level", r->level,
                                                 "kernel", r->kernel, "type", r->type, "rows", (json_int_t)r->n_rows,
                                                 "flops_per_s", r->flops_per_s, "bytes_per_s", r->bytes_per_s,
                                                 "percent", r->percent, "floor", r->floor));
        return;
    }
    mn_print_line(stdout, 4, "%-11s %-16s %-7s %5lld rows  %8.1f GFLOP/s  %7.1f GB/s  %4.0f%%%s of %s", r->level,
                  r->kernel, r->type, (long long)r->n_rows, r->flops_per_s / 1e9, r->bytes_per_s / 1e9, r->percent,
                  r->percent > 100 ? "*" : "", r->floor);
    o->above |= r->percent > 100;
    fflush(stdout);
}

mn_status mn_bench_kernels(const mn_bench_options *options, mn_error *err) {
    output o = {options->as_json, json_array(), false};
    mn_kernel_report report = {show_level, show_result, &o};
    mn_status status = mn_kernels_measure((int)mn_given_model.n_threads, &report, err);
    if (status == MN_OK && o.as_json)
        mn_bench_print_json(json_pack("{s:o}", "kernels", o.rows));
    else
        json_decref(o.rows);
    if (status == MN_OK && o.above && !o.as_json) mn_bench_explain_shares();
    return status;
}
