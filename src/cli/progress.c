#include "cli/progress.h"

#include "base/clock.h"
#include "base/human.h"
#include "cli/terminal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void mn_progress_begin(mn_progress *progress, const char *label, const char *unit, int64_t total) {
    *progress = (mn_progress){.label = label, .unit = unit, .total = total, .started = mn_clock_seconds()};
    progress->shown = isatty(STDERR_FILENO);
    progress->drawn = progress->started;
}

/* The fullest form that fits into the line: done of total with rate and time left, without the rate, the share with
 * time left, the share. The last column stays free, where some terminals break the line. */
static void compose(const mn_progress *progress, int64_t done, double rate, char *out, size_t out_bytes) {
    int columns = mn_terminal_columns(stderr);
    double percent = progress->total > 0 ? 100.0 * (double)done / (double)progress->total : 100;
    char left[64] = "", speed[32] = "";
    mn_human time;
    if (done > 0 && rate > 0) {
        snprintf(speed, sizeof speed, ", %.0f/s", rate);
        snprintf(left, sizeof left, ", %s left",
                 mn_human_seconds(time, floor((double)(progress->total - done) / rate + 0.5)));
    }
    for (int form = 0; form < 4; form++) {
        if (form < 2)
            snprintf(out, out_bytes, "%s %lld/%lld %s (%.0f%%)%s%s", progress->label, (long long)done,
                     (long long)progress->total, progress->unit, percent, form == 0 ? speed : "", left);
        else
            snprintf(out, out_bytes, "%s %.0f%%%s", progress->label, percent, form == 2 ? left : "");
        if (columns == 0 || mn_text_columns(out, strlen(out)) < columns) return;
    }
}

void mn_progress_at(mn_progress *progress, int64_t done) {
    double now = mn_clock_seconds();
    if (!progress->shown || (now - progress->drawn < 0.1 && done < progress->total)) return;
    progress->drawn = now;
    double elapsed = now - progress->started, rate = elapsed > 0 ? (double)done / elapsed : 0;
    char line[160];
    compose(progress, done, rate, line, sizeof line);
    fprintf(stderr, "\r\033[K%s", line);
    fflush(stderr);
}

void mn_progress_end(mn_progress *progress) {
    if (progress->shown) fputs("\r\033[K", stderr);
    progress->shown = false;
}
