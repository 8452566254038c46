/* mnemo scaling table. */
#include "cli/scaling.h"

#include "cli/table.h"
#include "cli/terminal.h"

#include <math.h>
#include <stdio.h>

/* The sizes of table 3 of the Chinchilla paper. */
static const double sizes[] = {400e6, 1e9, 10e9, 67e9, 175e9, 280e9, 520e9, 1e12, 10e12};

typedef struct row {
    const char *law; /* NULL: the law of the whole table */
    mn_scaling_point point;
} row;

enum { MAX_ROWS = 16 };

static int rows_by_size(const mn_scaling_law *law, row *rows) {
    int n = sizeof sizes / sizeof *sizes;
    for (int i = 0; i < n; i++) mn_scaling_optimal_for_params(law, sizes[i], &rows[i].point);
    return n;
}

static int rows_by_law(double flops, row *rows) {
    int n = 0;
    for (; mn_scaling_law_names[n]; n++) {
        mn_scaling_law law;
        rows[n].law = mn_scaling_law_names[n];
        mn_scaling_law_find(rows[n].law, &law, NULL);
        mn_scaling_optimal(&law, flops, &rows[n].point);
    }
    static const char *const approaches[] = {"chinchilla approach 1", "chinchilla approach 2"};
    for (int i = 0; i < 2; i++) {
        rows[n].law = approaches[i];
        mn_chinchilla_approach(i + 1, flops, &rows[n++].point);
    }
    return n;
}

static int print_json(const scaling_request *r, const row *rows, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        json_t *item = json_object();
        if (rows[i].law) json_object_set_new(item, "law", json_string(rows[i].law));
        scaling_put_point(item, &rows[i].point);
        json_array_append_new(list, item);
    }
    json_t *object = isnan(r->flops) ? json_pack("{s:s}", "law", r->law.name) : json_pack("{s:f}", "flops", r->flops);
    if (isnan(r->flops)) json_object_set_new(object, "units", scaling_units(&r->law));
    json_object_set_new(object, "rows", list);
    return scaling_print_json(object);
}

static void print_text(const scaling_request *r, const row *rows, int n) {
    bool by_law = !isnan(r->flops);
    static const char *const titles[] = {"law", "params", "tokens", "per param", "FLOP", "loss", NULL};
    char amount[32];
    mn_table table;
    mn_table_begin(&table, titles + !by_law, by_law);
    for (int i = 0; i < n; i++) {
        const mn_scaling_point *p = &rows[i].point;
        if (by_law) mn_table_add(&table, "%s", rows[i].law);
        mn_table_add(&table, "%s", scaling_amount(p->params, amount));
        mn_table_add(&table, "%s", scaling_amount(p->tokens, amount));
        mn_table_add(&table, "%.3g", p->tokens / p->params);
        mn_table_add(&table, "%.3g", p->flops);
        mn_table_add(&table, isfinite(p->loss) ? "%.4f" : "-", p->loss);
    }
    mn_table_end(&table, stdout);
    mn_print_line(stdout, 2,
                  "\nloss in nats per token; kaplan counts parameters without embeddings, the others all of them");
    if (!by_law) scaling_print_law(&r->law);
}

int cmd_scaling_table(int argc, char **argv) {
    scaling_request r = scaling_request_new();
    const mn_option options[] = {SCALING_FLOPS(r), SCALING_COMMON(r)};
    const mn_usage usage = {.verb = "scaling table",
                            .synopsis = "[--law LAW] [--flops C] [--svg FILE] [--json]",
                            .about =
                                "For each size the budget and the text for which it is the best size; with --flops the "
                                "best split of that budget by every law, and --svg draws the best sizes.",
                            .example = "mnemo scaling table --flops 5.76e23",
                            .options = options};
    int code = scaling_parse(&r, &usage, argc, argv);
    if (code >= 0) return code;
    row rows[MAX_ROWS] = {0};
    int n = isnan(r.flops) ? rows_by_size(&r.law, rows) : rows_by_law(r.flops, rows);
    mn_error err;
    mn_status drawn = !r.svg           ? MN_OK
                      : isnan(r.flops) ? mn_scaling_draw(&r.law, NULL, 0, r.svg, &err)
                                       : mn_scaling_draw_sizes(r.flops, r.svg, &err);
    if (drawn) return mn_cli_fail(usage.verb, &err);
    if (r.json) return print_json(&r, rows, n);
    print_text(&r, rows, n);
    return MN_EXIT_DONE;
}
