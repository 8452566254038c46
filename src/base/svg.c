#include "base/svg.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/xml_text.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>

enum { LEFT = 78, TOP = 62, BOTTOM = 58, RIGHT = 26, N_COLORS = 9, MAX_TICKS = 24 };

static const char *const light[N_COLORS] = {"#2563c9", "#d1495b", "#2a8c5a", "#c77700", "#7b4fc9",
                                            "#0f8b9d", "#b03a8c", "#6b7280", "#8a7200"};
static const char *const dark[N_COLORS] = {"#6ea8ff", "#ff8a98", "#5fd39a", "#f5b34c", "#b79bff",
                                           "#5cd3e6", "#f08fd0", "#a3abb8", "#d6c34a"};

/* ---- text ---- */

static void put_power_of_ten(char text[32], double mantissa, int exponent) {
    static const char *const digits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    char plain[16];
    snprintf(plain, sizeof plain, "%d", exponent);
    int used = mantissa == 1 ? snprintf(text, 32, "10") : snprintf(text, 32, "%.4g·10", mantissa);
    for (const char *p = plain; *p && used < 28; p++)
        used += snprintf(text + used, 32 - (size_t)used, "%s", *p == '-' ? "⁻" : digits[*p - '0']);
}

void mn_svg_number(double value, char text[32]) {
    double size = fabs(value);
    if (size == 0 || (size >= 1e-3 && size < 1e4) || !isfinite(value)) {
        snprintf(text, 32, "%.6g", value);
    } else if (size >= 1e4 && size < 1e15) {
        int group = size < 1e6 ? 0 : size < 1e9 ? 1 : size < 1e12 ? 2 : 3;
        snprintf(text, 32, "%.6g%c", value / pow(1000, group + 1), "kMBT"[group]);
    } else {
        int exponent = (int)floor(log10(size));
        /* A mantissa that prints as 10 belongs to the next power. */
        double mantissa = round(value / pow(10, exponent) * 1000) / 1000;
        if (fabs(mantissa) >= 10) mantissa /= 10, exponent++;
        put_power_of_ten(text, mantissa, exponent);
    }
}

/* ---- axes ---- */

static bool usable(const mn_svg_axis *axis, double value) { return isfinite(value) && (!axis->log || value > 0); }

void mn_svg_axis_include(mn_svg_axis *axis, const double *values, size_t n) {
    bool empty = axis->min == 0 && axis->max == 0;
    for (size_t i = 0; i < n; i++) {
        if (!usable(axis, values[i])) continue;
        axis->min = empty ? values[i] : MN_MIN(axis->min, values[i]);
        axis->max = empty ? values[i] : MN_MAX(axis->max, values[i]);
        empty = false;
    }
}

void mn_svg_axis_pad(mn_svg_axis *axis, double share) {
    if (axis->log && axis->min > 0 && axis->max > 0) {
        double factor = pow(axis->max / axis->min, share);
        axis->min /= factor;
        axis->max *= factor;
    } else {
        double margin = (axis->max - axis->min) * share;
        axis->min -= margin;
        axis->max += margin;
    }
}

/* An axis that has no length, or cannot have a logarithm, gets one that can be drawn. */
static mn_svg_axis drawable(mn_svg_axis axis) {
    if (!isfinite(axis.min) || !isfinite(axis.max)) axis.min = 0, axis.max = 1;
    if (axis.log && (axis.min <= 0 || axis.max <= 0)) axis.log = false;
    if (axis.min == axis.max) {
        double margin = axis.min != 0 ? fabs(axis.min) * 0.1 : 1;
        axis.min -= margin;
        axis.max += margin;
    }
    return axis;
}

/* Where a value lies along its axis: 0 at min, 1 at max. */
static double along(const mn_svg_axis *axis, double value) {
    double low = axis->min, high = axis->max;
    if (axis->log) low = log(low), high = log(high), value = log(value); /* their ratios may be infinite */
    double t = (value - low) / (high - low);
    return MN_MAX(-20.0, MN_MIN(20.0, t)); /* far outside is far enough; the clip hides it */
}

static int put_tick(double at, double low, double high, double *ticks, int n) {
    double slack = 1e-9 * high - 1e-9 * low;
    if (n == MAX_TICKS || !isfinite(at) || at < low - slack || at > high + slack) return n;
    ticks[n] = at;
    return n + 1;
}

static int linear_ticks(double low, double high, double *ticks) {
    double rough = (high - low) / 6, unit = pow(10, floor(log10(rough))), ratio = rough / unit;
    double step = unit * (ratio < 1.5 ? 1 : ratio < 3.5 ? 2 : ratio < 7.5 ? 5 : 10);
    int n = 0;
    /* + 0.0 turns the -0 that ceil may give into 0. */
    for (double i = ceil(low / step - 1e-9) + 0.0; i * step <= high + 1e-9 * step && n < MAX_TICKS; i++)
        n = put_tick(i * step, low, high, ticks, n);
    return n;
}

static int log_ticks(double low, double high, double *ticks) {
    static const double all[] = {1, 2, 5};
    double decades = log10(high) - log10(low); /* their ratio may be infinite */
    if (decades < 0.7) return linear_ticks(low, high, ticks);
    int n = 0, n_steps = decades < 2.5 ? 3 : 1, stride = (int)fmax(1, ceil(decades / 10));
    int first = (int)floor(log10(low)), last = (int)ceil(log10(high));
    for (int decade = first; decade <= last; decade++)
        for (int i = 0; i < n_steps; i++)
            if (decade % stride == 0) n = put_tick(all[i] * pow(10, decade), low, high, ticks, n);
    return n;
}

static int find_ticks(const mn_svg_axis *axis, double *ticks) {
    double low = MN_MIN(axis->min, axis->max), high = MN_MAX(axis->min, axis->max);
    return axis->log ? log_ticks(low, high, ticks) : linear_ticks(low, high, ticks);
}

static double pixel_x(const mn_svg *svg, double value) { return LEFT + svg->width * along(&svg->x, value); }
static double pixel_y(const mn_svg *svg, double value) { return TOP + svg->height * (1 - along(&svg->y, value)); }

static bool visible(const mn_svg *svg, double x, double y) { return usable(&svg->x, x) && usable(&svg->y, y); }

/* ---- drawing ---- */

void mn_svg_begin(mn_svg *svg, const char *title, mn_svg_axis x, mn_svg_axis y) {
    *svg = (mn_svg){.title = title,
                    .x = drawable(x),
                    .y = drawable(y),
                    .width = 560,
                    .height = 360,
                    .body = MN_STRBUF_INIT,
                    .legend = MN_STRBUF_INIT};
}

static void put_class(mn_strbuf *out, char kind, int color) {
    if (color == MN_SVG_INK)
        mn_strbuf_printf(out, "class=\"%ci\"", kind);
    else
        mn_strbuf_printf(out, "class=\"%c%u\"", kind, (unsigned)color % N_COLORS);
}

/* Starts a row of the legend and returns the height of its middle; the caller draws the sample, the text is put here.
 */
static double legend_row(mn_svg *svg, const char *label) {
    double x = LEFT + svg->width + 22, y = TOP + 12 + 21.0 * svg->n_legend++;
    mn_strbuf_printf(&svg->legend, "<text x=\"%.0f\" y=\"%.1f\">", x + 32, y + 4);
    size_t chars = mn_xml_text_put(&svg->legend, label, SIZE_MAX);
    svg->legend_chars = MN_MAX(svg->legend_chars, chars);
    mn_strbuf_puts(&svg->legend, "</text>\n");
    return y;
}

static void draw_path(mn_svg *svg, int color, const double *x, const double *y, size_t n, const char *extra) {
    mn_strbuf_puts(&svg->body, "<path ");
    put_class(&svg->body, 's', color);
    mn_strbuf_printf(&svg->body, "%s d=\"", extra);
    bool pen_down = false;
    for (size_t i = 0; i < n; i++) {
        bool draw = visible(svg, x[i], y[i]);
        if (draw)
            mn_strbuf_printf(&svg->body, "%c%.1f %.1f", pen_down ? 'L' : 'M', pixel_x(svg, x[i]), pixel_y(svg, y[i]));
        pen_down = draw;
    }
    mn_strbuf_puts(&svg->body, "\"/>\n");
}

static void line(mn_svg *svg, int color, const char *label, const double *x, const double *y, size_t n,
                 const char *extra) {
    draw_path(svg, color, x, y, n, extra);
    if (!label) return;
    double row = legend_row(svg, label), left = LEFT + svg->width + 22;
    mn_strbuf_puts(&svg->legend, "<path ");
    put_class(&svg->legend, 's', color);
    mn_strbuf_printf(&svg->legend, "%s d=\"M%.0f %.1fh24\"/>\n", extra, left, row);
}

void mn_svg_line(mn_svg *svg, int color, const char *label, const double *x, const double *y, size_t n) {
    line(svg, color, label, x, y, n, "");
}

void mn_svg_dashes(mn_svg *svg, int color, const char *label, const double *x, const double *y, size_t n) {
    line(svg, color, label, x, y, n, " stroke-dasharray=\"6 4\"");
}

static void draw_dot(mn_strbuf *out, int color, double x, double y, double radius, const char *extra) {
    mn_strbuf_puts(out, "<circle ");
    put_class(out, 'f', color);
    mn_strbuf_printf(out, " cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"%s/>\n", x, y, radius, extra);
}

void mn_svg_points(mn_svg *svg, int color, const char *label, const double *x, const double *y, size_t n) {
    static const char faint[] = " fill-opacity=\".7\"";
    for (size_t i = 0; i < n; i++)
        if (visible(svg, x[i], y[i])) draw_dot(&svg->body, color, pixel_x(svg, x[i]), pixel_y(svg, y[i]), 2.6, faint);
    if (label) draw_dot(&svg->legend, color, LEFT + svg->width + 34, legend_row(svg, label), 3.4, faint);
}

void mn_svg_marker(mn_svg *svg, int color, const char *label, double x, double y) {
    static const char ring[] = " stroke=\"#fff\" stroke-width=\"2\"";
    if (visible(svg, x, y)) draw_dot(&svg->body, color, pixel_x(svg, x), pixel_y(svg, y), 6.5, ring);
    if (label) draw_dot(&svg->legend, color, LEFT + svg->width + 34, legend_row(svg, label), 6, ring);
}

void mn_svg_cell(mn_svg *svg, int color, double strength, double x0, double y0, double x1, double y1) {
    if (!visible(svg, x0, y0) || !visible(svg, x1, y1) || !(strength > 0)) return;
    double left = pixel_x(svg, x0), right = pixel_x(svg, x1), top = pixel_y(svg, y0), bottom = pixel_y(svg, y1);
    mn_strbuf_puts(&svg->body, "<rect ");
    put_class(&svg->body, 'f', color);
    mn_strbuf_printf(&svg->body, " x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill-opacity=\"%.3g\"/>\n",
                     MN_MIN(left, right), MN_MIN(top, bottom), fabs(right - left), fabs(bottom - top),
                     MN_MIN(strength, 1.0));
}

void mn_svg_note(mn_svg *svg, mn_svg_anchor anchor, double x, double y, const char *text) {
    static const char *const anchors[] = {"start", "middle", "end"};
    if (!visible(svg, x, y)) return;
    mn_strbuf_printf(&svg->body, "<text class=\"note\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", pixel_x(svg, x),
                     pixel_y(svg, y) + 4, anchors[anchor]);
    mn_xml_text_put(&svg->body, text, SIZE_MAX);
    mn_strbuf_puts(&svg->body, "</text>\n");
}

/* ---- the file ---- */

static void put_palette(mn_strbuf *out, const char *const *colors, const char *ink, const char *page,
                        const char *grid) {
    mn_strbuf_printf(out, "text,.fi{fill:%s}.si,.axis{stroke:%s}.page{fill:%s}.grid{stroke:%s}", ink, ink, page, grid);
    mn_strbuf_printf(out, ".note{stroke:%s}", page);
    for (int i = 0; i < N_COLORS; i++)
        mn_strbuf_printf(out, ".s%d{stroke:%s}.f%d{fill:%s}", i, colors[i], i, colors[i]);
}

static void put_style(mn_strbuf *out) {
    mn_strbuf_puts(out, "<style>\n"
                        "text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif}"
                        ".title{font-size:16px;font-weight:600}.small{font-size:11px}"
                        "path{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}"
                        "path.grid{stroke-width:1}path.axis{stroke-width:1.2}"
                        ".note{font-size:11px;paint-order:stroke;stroke-width:7px;stroke-linejoin:round}\n");
    put_palette(out, light, "#1f2937", "#ffffff", "#e5e7eb");
    mn_strbuf_puts(out, "\n@media(prefers-color-scheme:dark){");
    put_palette(out, dark, "#e5e7eb", "#11151c", "#2b3240");
    mn_strbuf_puts(out, "}\n</style>\n");
}

static void put_label(mn_strbuf *out, const char *attributes, double x, double y, const char *text) {
    mn_strbuf_printf(out, "<text x=\"%.1f\" y=\"%.1f\"%s>", x, y, attributes);
    mn_xml_text_put(out, text, SIZE_MAX);
    mn_strbuf_puts(out, "</text>\n");
}

static void put_axes(mn_strbuf *out, const mn_svg *svg) {
    double ticks[MAX_TICKS], bottom = TOP + svg->height;
    char text[32];
    int n = find_ticks(&svg->x, ticks);
    for (int i = 0; i < n; i++) {
        double x = pixel_x(svg, ticks[i]);
        mn_strbuf_printf(out, "<path class=\"grid\" d=\"M%.1f %dV%.1f\"/>\n", x, TOP, bottom);
        mn_svg_number(ticks[i], text);
        put_label(out, " text-anchor=\"middle\"", x, bottom + 18, text);
    }
    n = find_ticks(&svg->y, ticks);
    for (int i = 0; i < n; i++) {
        double y = pixel_y(svg, ticks[i]);
        mn_strbuf_printf(out, "<path class=\"grid\" d=\"M%d %.1fh%.1f\"/>\n", LEFT, y, svg->width);
        mn_svg_number(ticks[i], text);
        put_label(out, " text-anchor=\"end\"", LEFT - 8, y + 4, text);
    }
    mn_strbuf_printf(out, "<path class=\"axis\" d=\"M%d %dV%.1fh%.1f\"/>\n", LEFT, TOP, bottom, svg->width);
    put_label(out, " text-anchor=\"middle\"", LEFT + svg->width / 2, bottom + 42, svg->x.label);
    mn_strbuf_printf(out, "<g transform=\"translate(20 %.1f) rotate(-90)\">", TOP + svg->height / 2);
    put_label(out, " text-anchor=\"middle\"", 0, 0, svg->y.label);
    mn_strbuf_puts(out, "</g>\n");
}

static void put_file(mn_strbuf *out, const mn_svg *svg) {
    double legend_width = svg->n_legend ? 56 + 6.8 * (double)svg->legend_chars : 0;
    double width = LEFT + svg->width + RIGHT + legend_width;
    double height = TOP + BOTTOM + MN_MAX(svg->height, 21.0 * svg->n_legend);
    mn_strbuf_printf(out,
                     "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
                     "viewBox=\"0 0 %.0f %.0f\" role=\"img\">\n<title>",
                     width, height, width, height);
    mn_xml_text_put(out, svg->title, SIZE_MAX);
    mn_strbuf_puts(out, "</title>\n");
    put_style(out);
    mn_strbuf_puts(out, "<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n");
    mn_strbuf_printf(out, "<clipPath id=\"plot\"><rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%.1f\"/></clipPath>\n",
                     LEFT, TOP, svg->width, svg->height);
    put_label(out, " class=\"title\"", LEFT, 28, svg->title);
    if (svg->subtitle) put_label(out, " class=\"small\"", LEFT, 47, svg->subtitle);
    put_axes(out, svg);
    mn_strbuf_puts(out, "<g clip-path=\"url(#plot)\">\n");
    mn_strbuf_put(out, svg->body.data, svg->body.bytes);
    mn_strbuf_puts(out, "</g>\n");
    mn_strbuf_put(out, svg->legend.data, svg->legend.bytes);
    mn_strbuf_puts(out, "</svg>\n");
}

void mn_svg_release(mn_svg *svg) {
    mn_strbuf_release(&svg->body);
    mn_strbuf_release(&svg->legend);
}

void mn_svg_put(mn_svg *svg, mn_strbuf *out) {
    put_file(out, svg);
    out->failed |= svg->body.failed || svg->legend.failed;
    mn_svg_release(svg);
}

mn_status mn_svg_write(mn_svg *svg, const char *path, mn_error *err) {
    mn_strbuf out = MN_STRBUF_INIT;
    mn_svg_put(svg, &out);
    return mn_file_write(path, &out, err);
}
