/* Pictures of a graph and of a walk. */
#include "graph/picture.h"

#include "base/xml_text.h"

#include <math.h>
#include <string.h>

enum { MAX_AROUND = 24, LABEL_BYTES = 28, BOX_WIDTH = 190, BOX_HEIGHT = 44 };

static void begin(mn_strbuf *out, int width, int height) {
    mn_strbuf_printf(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
        "font-family=\"sans-serif\" font-size=\"12\">\n<style>text{fill:#222}rect,circle{fill:#dbe7f5;"
        "stroke:#4a78a8}.end{fill:#f5e3c8}line{stroke:#9ab}@media(prefers-color-scheme:dark){text{fill:#eee}"
        "rect,circle{fill:#26384d}.end{fill:#4d3b20}}</style>\n",
        width, height, width, height);
}

static void label(mn_strbuf *out, double x, double y, const char *anchor, const char *text) {
    mn_strbuf_printf(out, "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"%s\">", x, y, anchor);
    mn_xml_text_put(out, text, LABEL_BYTES);
    mn_strbuf_puts(out, "</text>\n");
}

static mn_status finish(mn_strbuf *out, mn_error *err) {
    mn_strbuf_puts(out, "</svg>\n");
    return out->failed ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for a picture.") : MN_OK;
}

mn_status mn_picture_key(mn_graph *graph, const mn_key *key, mn_strbuf *out, mn_error *err) {
    const double middle = 360.0, radius = 230.0;
    mn_neighbour around[MAX_AROUND];
    uint32_t n, n_all;
    MN_TRY(mn_graph_neighbours(graph, key, MAX_AROUND, around, &n, &n_all, err));
    begin(out, (int)(2 * middle), (int)(2 * middle));
    for (uint32_t i = 0; i < n; i++) {
        mn_key other;
        double angle = 2.0 * 3.14159265358979 * i / n, x = middle + radius * cos(angle),
               y = middle + radius * sin(angle);
        MN_TRY(mn_graph_key(graph, around[i].key, &other, err));
        mn_strbuf_printf(out,
                         "<line x1=\"%.0f\" y1=\"%.0f\" x2=\"%.0f\" y2=\"%.0f\" stroke-width=\"%.1f\"/>\n"
                         "<circle cx=\"%.0f\" cy=\"%.0f\" r=\"5\"/>\n",
                         middle, middle, x, y, 1.0 + log2(around[i].n_shared), x, y);
        label(out, x + (cos(angle) < 0.0 ? -9.0 : 9.0), y + 4.0, cos(angle) < 0.0 ? "end" : "start", other.text);
        mn_key_release(&other);
    }
    mn_strbuf_printf(out, "<circle class=\"end\" cx=\"%.0f\" cy=\"%.0f\" r=\"9\"/>\n", middle, middle);
    label(out, middle, middle - 16.0, "middle", key->text);
    if (n_all > n) mn_strbuf_printf(out, "<text x=\"8\" y=\"16\">and %u more neighbours</text>\n", n_all - n);
    return finish(out, err);
}

static void box(mn_strbuf *out, int column, int row, const mn_walk_step *s) {
    int x = 10 + column * (BOX_WIDTH + 20), y = 50 + row * (BOX_HEIGHT + 16);
    bool ends = strstr(s->action, "termination") != NULL;
    if (row)
        mn_strbuf_printf(out, "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>\n", x + BOX_WIDTH / 2, y - 16,
                         x + BOX_WIDTH / 2, y);
    mn_strbuf_printf(out, "<rect%s x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"5\"/>\n",
                     ends ? " class=\"end\"" : "", x, y, BOX_WIDTH, BOX_HEIGHT);
    char text[96];
    snprintf(text, sizeof text, "%s: %.60s", mn_walk_stage_name(s->stage), s->about);
    label(out, x + 8, y + 18, "start", text);
    label(out, x + 8, y + 35, "start", s->action);
}

mn_status mn_picture_walk(const mn_walk *walk, mn_strbuf *out, mn_error *err) {
    int rows = 0, row = 0;
    for (size_t i = 0; i < walk->n_steps; i++) {
        row = walk->steps[i].path < 0 || (i && walk->steps[i].path != walk->steps[i - 1].path) ? 1 : row + 1;
        rows = row > rows ? row : rows;
    }
    int columns = walk->n_paths ? walk->n_paths : 1;
    begin(out, 10 + columns * (BOX_WIDTH + 20), 70 + rows * (BOX_HEIGHT + 16));
    mn_strbuf_puts(out, "<text x=\"10\" y=\"20\">");
    mn_xml_text_put(out, walk->question, 120);
    mn_strbuf_puts(out, "</text>\n<text x=\"10\" y=\"38\">");
    mn_xml_text_put(out, walk->answer ? walk->answer : "", 120);
    mn_strbuf_puts(out, "</text>\n");
    row = 0;
    for (size_t i = 0; i < walk->n_steps; i++) {
        const mn_walk_step *s = &walk->steps[i];
        if (s->path < 0) continue;
        row = i && walk->steps[i - 1].path == s->path ? row + 1 : 0;
        box(out, s->path, row, s);
    }
    return finish(out, err);
}
