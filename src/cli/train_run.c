#include "cli/train_run.h"

#include "base/clock.h"
#include "bench/peak.h"
#include "base/human.h"
#include "train/gate_fit.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
    (void)number;
    interrupted = 1;
}

void mn_train_show(const mn_train_config *config) {
    mn_strbuf text = MN_STRBUF_INIT;
    mn_train_config_write(config, &text);
    fwrite(text.data, 1, text.bytes, stdout);
    mn_strbuf_release(&text);
}

void mn_train_print_plan(const mn_train_plan *p, const mn_train_config *c, FILE *to) {
    mn_human params, trained, weights, moments, teacher, fit, activations, program, total;
    fprintf(to, "%s parameters, %s trained; windows of %lld tokens, %lld at once\n",
            mn_human_count(params, p->n_params), mn_human_count(trained, p->n_trained), (long long)c->window,
            (long long)(c->batch * c->accumulate));
    fprintf(to, "memory: %s weights and gradients, %s moments, ", mn_human_bytes(weights, p->weights_bytes),
            mn_human_bytes(moments, p->optimiser_bytes));
    if (p->teacher_bytes) fprintf(to, "%s the teacher, ", mn_human_bytes(teacher, p->teacher_bytes));
    if (p->fit_bytes) fprintf(to, "%s the fit of write gates, ", mn_human_bytes(fit, p->fit_bytes));
    fprintf(to, "%s activations%s, %s the program itself, %s in all\n",
            mn_human_bytes(activations, mn_train_plan_activations(p)),
            p->recomputes ? " (made again in the backward pass)" : "", mn_human_bytes(program, p->program_bytes),
            mn_human_bytes(total, p->total_bytes));
    if (p->detach_segments)
        fprintf(to, "gradients pass %lld segments of the compressive memory, then they are cut\n",
                (long long)p->detach_segments);
}

/* Fits of write gates that are new since the last call. */
static void print_fits(const mn_trainer *t, int *n_printed) {
    int n;
    const mn_gate_fit_report *fits = mn_trainer_gate_fits(t, &n);
    for (; *n_printed < n; (*n_printed)++) {
        const mn_gate_fit_report *r = &fits[*n_printed];
        fprintf(stderr,
                "write gate of layer %d, head %d: fitted to %lld values and %lld other tokens; it writes %.2f %% of "
                "the values and %.1f of a million tokens of prose (%lld looked through)\n",
                r->layer, r->kv_head, (long long)r->n_positives, (long long)r->n_negatives, 100 * r->recall,
                r->writes_per_million, (long long)r->n_prose);
    }
}

/* The line that moves, or, where nobody watches, one for each validation. */
static void show(const mn_run_line *l, const mn_train_config *c, double seconds_a_step, bool terminal) {
    mn_human left;
    bool validated = isfinite(l->validation);
    if (!terminal && !validated) return;
    if (terminal) fputs("\r\033[K", stderr);
    fprintf(stderr, "step %lld/%lld, loss %.4f", (long long)l->step, (long long)c->steps, l->loss);
    if (isfinite(l->gates)) fprintf(stderr, ", gates %.4f", l->gates);
    if (isfinite(l->easy)) fprintf(stderr, ", easy %.0f %%", 100 * l->easy);
    if (isfinite(l->busiest)) fprintf(stderr, ", busiest expert %.2f times even", l->busiest);
    if (validated) fprintf(stderr, ", validation %.4f", l->validation);
    fprintf(stderr, ", %.0f tokens/s", l->tokens_per_s);
    if (isfinite(l->peak_share)) fprintf(stderr, " (%.0f %% of peak)", 100 * l->peak_share);
    fprintf(stderr, ", %s left", mn_human_seconds(left, seconds_a_step * (double)(c->steps - l->step)));
    if (validated || !terminal) fputc('\n', stderr);
    fflush(stderr);
}

static mn_status stop(mn_trainer *t, const char *why, mn_error *err) {
    const mn_train_state *s = mn_trainer_state(t);
    MN_TRY(mn_trainer_save(t, err));
    fprintf(stderr, "%s after step %lld; the same command goes on from %s.\n", why, (long long)s->step,
            mn_trainer_folder(t));
    return mn_fail(err, MN_ERR_CANCELLED, "%s after step %lld.", why, (long long)s->step);
}

static mn_status run(mn_trainer *t, const mn_train_config *c, mn_error *err) {
    bool terminal = isatty(STDERR_FILENO);
    double begun = mn_clock_seconds();
    int64_t first = mn_trainer_state(t)->step;
    int n_fits = 0;
    if (first > 0) fprintf(stderr, "going on after step %lld\n", (long long)first);
    while (!mn_trainer_is_done(t)) {
        mn_run_line line;
        MN_TRY(mn_trainer_step(t, &line, err));
        print_fits(t, &n_fits);
        double elapsed = mn_clock_seconds() - begun;
        show(&line, c, elapsed / (double)(line.step - first), terminal);
        if (interrupted && !mn_trainer_is_done(t)) return stop(t, "stopped", err);
        if (c->max_minutes > 0 && elapsed > 60 * c->max_minutes && !mn_trainer_is_done(t))
            return stop(t, "time is up", err);
    }
    MN_TRY(mn_trainer_finish(t, err));
    print_fits(t, &n_fits);
    fprintf(stderr, "%s: written; %s/card.md and loss.svg tell how\n", c->out, mn_trainer_folder(t));
    return MN_OK;
}

mn_status mn_train_peak(const mn_train_config *c, double *flops_per_s, mn_error *err) {
    mn_cpu_level level;
    mn_pool *pool;
    mn_peaks peaks;
    MN_TRY(mn_cpu_choose(&level, err));
    MN_TRY(mn_pool_create((int)c->threads, &pool, err));
    mn_status status = mn_peaks_measure_within(level, pool, 0.3, 2 << 20, &peaks, err);
    mn_pool_destroy(pool);
    if (status != MN_OK) return status;
    bool bf16 = !c->exact && peaks.bf16_flops_per_s > 0;
    *flops_per_s = bf16 ? peaks.bf16_flops_per_s : peaks.f32_flops_per_s;
    return MN_OK;
}

mn_status mn_train_run(const mn_train_config *c, mn_error *err) {
    mn_trainer *t;
    MN_TRY(mn_trainer_open(c, &t, err));
    mn_train_print_plan(mn_trainer_plan(t), c, stderr);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    double peak = 0;
    mn_status status = mn_train_peak(c, &peak, err);
    mn_trainer_set_peak(t, peak);
    if (status == MN_OK) status = run(t, c, err);
    mn_trainer_close(t);
    return status;
}
