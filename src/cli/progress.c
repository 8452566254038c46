#include "cli/progress.h"

#include "base/clock.h"

#include <stdio.h>
#include <unistd.h>

void mn_progress_begin(mn_progress *progress, const char *label, const char *unit, int64_t total) {
    *progress = (mn_progress){.label = label, .unit = unit, .total = total, .started = mn_clock_seconds()};
    progress->shown = isatty(STDERR_FILENO);
    progress->drawn = progress->started;
}

static void print_duration(double seconds) {
    if (seconds < 100)
        fprintf(stderr, "%.0f s", seconds);
    else if (seconds < 6000)
        fprintf(stderr, "%.0f min", seconds / 60);
    else
        fprintf(stderr, "%.1f h", seconds / 3600);
}

void mn_progress_at(mn_progress *progress, int64_t done) {
    double now = mn_clock_seconds();
    if (!progress->shown || (now - progress->drawn < 0.1 && done < progress->total)) return;
    progress->drawn = now;
    double elapsed = now - progress->started, rate = elapsed > 0 ? (double)done / elapsed : 0;
    double percent = progress->total > 0 ? 100.0 * (double)done / (double)progress->total : 100;
    fprintf(stderr, "\r\033[K%s %lld/%lld %s (%.0f%%)", progress->label, (long long)done, (long long)progress->total,
            progress->unit, percent);
    if (done > 0 && rate > 0) {
        fprintf(stderr, ", %.0f/s, ", rate);
        print_duration((double)(progress->total - done) / rate);
        fputs(" left", stderr);
    }
    fflush(stderr);
}

void mn_progress_end(mn_progress *progress) {
    if (progress->shown) fputs("\r\033[K", stderr);
    progress->shown = false;
}
