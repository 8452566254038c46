/* mnemo attn: the attention patterns there are, and what one of them looks like. */
#include "cli/options.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

#include "attention/patterns/pattern.h"
#include "base/checked.h"
#include "base/svg.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { MAX_CELLS = 128, MAX_MARKS = 32 }; /* a side of the picture; of the one in characters */

typedef struct arguments {
    int64_t n_tokens;
    const char *svg;
    bool bidirectional, shifted, json;
} arguments;

/* A mask, in square cells of cell_tokens; share[q][k] of the cell's blocks (of its tokens, in short texts) is kept. */
typedef struct picture {
    mn_pattern pattern;
    int64_t n_tokens, cell_tokens, n_cells;
    int64_t n_kept, n_blocks; /* blocks, of those a full pattern of the same form would list */
    int64_t n_seen;           /* keys, summed over the queries; counted where tokens are drawn */
    double share[MAX_CELLS][MAX_CELLS];
} picture;

/* What the cell would hold if everything were kept. */
static double cell_total(const picture *p, int64_t q, int64_t k, int64_t side) {
    int64_t n = (p->n_tokens + p->pattern.block_tokens - 1) / p->pattern.block_tokens;
    int64_t rows = MN_MIN(side, n - q * side), columns = MN_MIN(side, n - k * side);
    return (double)(q == k && !p->pattern.bidirectional ? rows * (rows + 1) / 2 : rows * columns);
}

static void add_row(picture *p, const mn_block_list *lists, int64_t q, int64_t side) {
    int64_t n = lists->offsets[lists->n_query_blocks];
    p->n_kept += n;
    for (int64_t i = 0; i < n; i++) p->share[q][lists->blocks[i] / side]++;
    for (int64_t k = 0; k < p->n_cells; k++) p->share[q][k] /= cell_total(p, q, k, side);
}

static mn_status count_blocks(picture *p, mn_error *err) {
    int64_t b = p->pattern.block_tokens, n = (p->n_tokens + b - 1) / b, side = (n + MAX_CELLS - 1) / MAX_CELLS;
    p->n_blocks = p->pattern.bidirectional ? n * n : n * (n + 1) / 2;
    p->cell_tokens = side * b;
    p->n_cells = (n + side - 1) / side;
    mn_arena arena = MN_ARENA_INIT;
    mn_status status = MN_OK;
    for (int64_t q = 0; q < p->n_cells && status == MN_OK; q++) {
        mn_block_list lists;
        int64_t first = q * p->cell_tokens, n_queries = MN_MIN(p->cell_tokens, p->n_tokens - first);
        status = mn_pattern_blocks(&p->pattern, first, n_queries, p->n_tokens, &arena, &lists, err);
        if (status == MN_OK) add_row(p, &lists, q, side);
        mn_arena_reset(&arena);
    }
    mn_arena_release(&arena);
    return status;
}

/* Texts that fit are drawn token by token. */
static void look_at_tokens(picture *p) {
    p->cell_tokens = 1;
    p->n_cells = p->n_tokens;
    for (int64_t i = 0; i < p->n_tokens; i++)
        for (int64_t j = 0; j < p->n_tokens; j++) {
            bool sees = mn_pattern_sees(&p->pattern, p->n_tokens, i, j);
            p->share[i][j] = sees;
            p->n_seen += sees;
        }
}

/* Neighbours of one strength become one rectangle. What is kept at all stays visible in a picture of a long text. */
static void draw_row(mn_svg *svg, const picture *p, int64_t q) {
    const double *share = p->share[q];
    double top = (double)(q * p->cell_tokens), bottom = (double)MN_MIN((q + 1) * p->cell_tokens, p->n_tokens);
    for (int64_t begin = 0, end; begin < p->n_cells; begin = end) {
        for (end = begin + 1; end < p->n_cells && share[end] == share[begin];) end++;
        double left = (double)(begin * p->cell_tokens), right = (double)MN_MIN(end * p->cell_tokens, p->n_tokens);
        if (share[begin] > 0) mn_svg_cell(svg, 0, 0.25 + 0.75 * share[begin], left, top, right, bottom);
    }
}

static mn_status draw(const picture *p, const char *text, const char *path, mn_error *err) {
    char subtitle[160];
    double n_tokens = (double)p->n_tokens;
    if (p->n_seen)
        snprintf(subtitle, sizeof subtitle, "%.0f tokens, %.1f keys seen by a query, on average", n_tokens,
                 (double)p->n_seen / n_tokens);
    else
        snprintf(subtitle, sizeof subtitle, "%.0f tokens, blocks of %d: %.1f %% of the blocks kept", n_tokens,
                 p->pattern.block_tokens, 100.0 * (double)p->n_kept / (double)p->n_blocks);
    mn_svg svg;
    mn_svg_begin(&svg, text, (mn_svg_axis){.label = "key (token)", .min = 0, .max = n_tokens},
                 (mn_svg_axis){.label = "query (token)", .min = n_tokens, .max = 0});
    svg.width = svg.height = 480;
    svg.subtitle = subtitle;
    for (int64_t q = 0; q < p->n_cells; q++) draw_row(&svg, p, q);
    return mn_svg_write(&svg, path, err);
}

static const char *trait_text(unsigned traits) {
    return traits & MN_PATTERN_EXACT ? "exact" : traits & MN_PATTERN_TRAINING_FREE ? "training-free" : "needs training";
}

/* When it leaves keys out. */
static const char *when_text(unsigned traits) {
    if (traits & MN_PATTERN_EVICTS) return "after prompt";
    return traits & MN_PATTERN_DECODE_ONLY    ? "decode only"
           : traits & MN_PATTERN_PREFILL_ONLY ? "prefill only"
                                              : "always";
}

static void print_json(json_t *json) {
    json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(json);
}

/* The mask in characters, queries downwards, keys to the right: two characters a cell, so that it is about square. */
static void print_mask(const picture *p) {
    int columns = mn_terminal_columns(stdout);
    int64_t most = columns ? MN_MIN(MAX_MARKS, (columns - 1) / 2) : MAX_MARKS;
    int64_t side = (p->n_cells + most - 1) / most, n = (p->n_cells + side - 1) / side;
    for (int64_t q = 0; q < n; q++) {
        for (int64_t k = 0; k < (p->pattern.bidirectional ? n : q + 1); k++) {
            double sum = 0, total = 0;
            for (int64_t i = q * side; i < MN_MIN((q + 1) * side, p->n_cells); i++)
                for (int64_t j = k * side; j < MN_MIN((k + 1) * side, p->n_cells); j++) {
                    bool future = j > i && !p->pattern.bidirectional;
                    sum += future ? 0 : p->share[i][j];
                    total += !future;
                }
            double share = total > 0 ? sum / total : 0;
            const char *mark = share == 0 ? ". " : share < 0.34 ? ": " : share < 0.99 ? "+ " : "# ";
            printf("%.*s", k + 1 < (p->pattern.bidirectional ? n : q + 1) ? 2 : 1, mark);
        }
        putchar('\n');
    }
    mn_print_line(stdout, 2, "# kept, + partly, : a little, . left out; a mark is %lld x %lld tokens",
                  (long long)(side * p->cell_tokens), (long long)(side * p->cell_tokens));
}

static void print_picture(const picture *p, const char *text, bool json) {
    const mn_pattern_kind *kind = p->pattern.kind;
    double fraction = (double)p->n_kept / (double)p->n_blocks;
    if (json) {
        print_json(json_pack("{sssIsisIsIsfss}", "pattern", text, "n_tokens", (json_int_t)p->n_tokens, "block_tokens",
                             p->pattern.block_tokens, "blocks_kept", (json_int_t)p->n_kept, "blocks",
                             (json_int_t)p->n_blocks, "fraction", fraction, "trait", trait_text(kind->traits)));
        return;
    }
    mn_print_line(stdout, 2, "%s: %s (%s)", kind->usage, kind->meaning, trait_text(kind->traits));
    mn_print_line(stdout, 2, "%s", kind->paper);
    mn_print_line(stdout, 2, "%lld tokens in blocks of %d: %lld of %lld blocks kept (%.1f %%)", (long long)p->n_tokens,
                  p->pattern.block_tokens, (long long)p->n_kept, (long long)p->n_blocks, 100 * fraction);
    if (p->n_seen)
        mn_print_line(stdout, 2, "%.1f keys seen by a query, on average", (double)p->n_seen / (double)p->n_tokens);
    print_mask(p);
}

static mn_status show(const char *text, const arguments *given, mn_error *err) {
    static picture p;
    MN_TRY(mn_pattern_parse(text, &p.pattern, err));
    if (p.pattern.kind->traits & MN_PATTERN_RECURRENT)
        return mn_fail(err, MN_ERR_UNSUPPORTED, "%s reads no keys, so that there is nothing to draw.", text);
    if (mn_pattern_is_dynamic(&p.pattern))
        return mn_fail(err, MN_ERR_UNSUPPORTED,
                       "%s has no picture of its own: what it keeps depends on the queries and keys of a text.", text);
    p.pattern.bidirectional = given->bidirectional;
    p.pattern.shifted = given->shifted;
    p.n_tokens = given->n_tokens;
    MN_TRY(count_blocks(&p, err));
    if (p.n_tokens <= MAX_CELLS) look_at_tokens(&p);
    if (given->svg) MN_TRY(draw(&p, text, given->svg, err));
    print_picture(&p, text, given->json);
    return MN_OK;
}

static void list(bool json) {
    static const char *const titles[] = {"", "", "", "", NULL};
    json_t *rows = json_array();
    const mn_pattern_kind *kind;
    mn_table table;
    mn_table_begin(&table, titles, 15);
    for (int i = 0; (kind = mn_pattern_kind_at(i)); i++) {
        mn_table_add(&table, "%s", kind->usage);
        mn_table_add(&table, "%s", trait_text(kind->traits));
        mn_table_add(&table, "%s", when_text(kind->traits));
        mn_table_add(&table, "%s", kind->meaning);
        json_array_append_new(rows, json_pack("{ssssssssssss}", "name", kind->name, "usage", kind->usage, "trait",
                                              trait_text(kind->traits), "when", when_text(kind->traits), "meaning",
                                              kind->meaning, "paper", kind->paper));
    }
    if (json) {
        print_json(rows);
        mn_table_release(&table);
    } else {
        mn_table_end(&table, stdout);
        json_decref(rows);
    }
}

int cmd_attn(int argc, char **argv) {
    arguments given = {0};
    const mn_option options[] = {
        MN_OPTION_INT("n tokens", &given.n_tokens, "N", "1024", 1, 1 << 24, "length of the text"),
        MN_OPTION_WRITTEN("svg", &given.svg, "FILE", "draw the mask: queries downwards, keys to the right"),
        MN_OPTION_FLAG("bidirectional", &given.bidirectional, "the form for encoders: keys after the query too"),
        MN_OPTION_FLAG("shifted", &given.shifted, "what the upper half of the heads sees, where they differ"),
        MN_OPTION_FLAG("json", &given.json, "print one JSON object"),
        MN_OPTIONS_END,
    };
    const mn_usage usage = {
        .verb = "attn",
        .synopsis = "show PATTERN -n N [--svg FILE] | list",
        .about = "Shows which keys an attention pattern lets each query see, and how many blocks of keys it reads.",
        .example = "mnemo attn show bigbird:64,3,2,3 -n 4096 --svg bigbird.svg",
        .options = options,
        .min_positional = 1,
        .max_positional = 2,
    };
    mn_text_list words;
    int code = mn_options_parse(&usage, argc, argv, &words);
    if (code >= 0) return code;
    if (words.n == 1 && !strcmp(words.items[0], "list")) {
        list(given.json);
        return MN_EXIT_DONE;
    }
    if (words.n != 2 || strcmp(words.items[0], "show"))
        return mn_cli_wrong(&usage, "wanted: list, or show and a PATTERN.");
    mn_error err;
    return show(words.items[1], &given, &err) == MN_OK ? MN_EXIT_DONE : mn_cli_fail("attn", &err);
}
