/* Charts as SVG: one plot with two axes, any number of series, a legend to its right.
 *
 *     mn_svg svg;
 *     mn_svg_begin(&svg, "Speed by depth", (mn_svg_axis){"context (tokens)", 1e3, 1e5, .log = true},
 *                  (mn_svg_axis){"tokens per second", 0, 120});
 *     mn_svg_line(&svg, 0, "flash", depth, speed, n);
 *     mn_svg_write(&svg, "speed.svg", &err);
 *
 * Values are in the units of the axes. What is not finite (or not above 0 on a log axis) breaks a line and is left out
 * of points. Drawing is clipped to the plot. Texts are UTF-8, copied and escaped. Colours are indexes of a palette of
 * eight that reads well on a light and on a dark page; the file follows the reader's setting. Failures of memory are
 * remembered and told by mn_svg_write.
 */
#ifndef MN_BASE_SVG_H
#define MN_BASE_SVG_H

#include "base/status.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct mn_svg_axis {
    const char *label; /* with its unit; borrowed until mn_svg_write */
    double min, max;   /* min > max turns the axis round: row 0 of a matrix at the top */
    bool log;          /* decades instead of equal steps; both ends above 0 */
} mn_svg_axis;

enum { MN_SVG_INK = -1 }; /* the colour of the text */

typedef enum mn_svg_anchor { MN_SVG_START, MN_SVG_MIDDLE, MN_SVG_END } mn_svg_anchor;

typedef struct mn_svg {
    mn_svg_axis x, y;
    double width, height; /* of the plot, pixels; may be changed after mn_svg_begin and before the first series */
    const char *title;    /* borrowed until mn_svg_write */
    const char *subtitle; /* NULL = none; may be set at any time */
    mn_strbuf body, legend;
    int n_legend;
    size_t legend_chars; /* of the longest entry */
} mn_svg;

/* An empty plot; an axis without length, or a logarithmic one that cannot be, is made one that can be drawn. */
void mn_svg_begin(mn_svg *svg, const char *title, mn_svg_axis x, mn_svg_axis y);

/* Widens the axis until every finite value lies within; an axis with min == max == 0 starts from the values alone. */
void mn_svg_axis_include(mn_svg_axis *axis, const double *values, size_t n);
/* Moves both ends outward by a share of the axis, so that what lies at an end is drawn whole. */
void mn_svg_axis_pad(mn_svg_axis *axis, double share);

/* label NULL: not in the legend. */
void mn_svg_line(mn_svg *svg, int color, const char *label, const double *x, const double *y, size_t n);
void mn_svg_dashes(mn_svg *svg, int color, const char *label, const double *x, const double *y, size_t n);
void mn_svg_points(mn_svg *svg, int color, const char *label, const double *x, const double *y, size_t n);
/* One large ringed point: "you are here". */
void mn_svg_marker(mn_svg *svg, int color, const char *label, double x, double y);
/* A filled rectangle between two corners, strength 0 (unseen) to 1: cells of a mask or a heat map. */
void mn_svg_cell(mn_svg *svg, int color, double strength, double x0, double y0, double x1, double y1);
/* A note at a point of the plot, anchored there by its start, middle or end. */
void mn_svg_note(mn_svg *svg, mn_svg_anchor anchor, double x, double y, const char *text);

/* A number as charts print it: 0.25, 2048, 70B, 10²¹. */
void mn_svg_number(double value, char text[32]);

/* Appends the picture to a page, and releases svg; without memory out->failed is set. */
void mn_svg_put(mn_svg *svg, mn_strbuf *out);
/* Writes the file whole or not at all, and releases svg in either case. */
mn_status mn_svg_write(mn_svg *svg, const char *path, mn_error *err);
/* Drops a chart that will not be written. */
void mn_svg_release(mn_svg *svg);

#endif
