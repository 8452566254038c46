/* base/svg: numbers as printed, ticks inside the axis, texts escaped, breaks at what cannot be drawn, tags balanced. */
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/svg.h"

static void numbers(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"},           {0.25, "0.25"},       {2048, "2048"},
                 {10000, "10k"},     {131072, "131.072k"}, {70e9, "70B"},
                 {1.4e12, "1.4T"},   {1e21, "10²¹"},       {5.76e23, "5.76·10²³"},
                 {-2e-5, "-2·10⁻⁵"}, {9.99999e20, "10²¹"}, {-5e6, "-5M"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[32];
        mn_svg_number(cases[i].value, text);
        assert_string_equal(text, cases[i].text);
    }
}

static size_t count(const char *text, const char *word) {
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, word)); p += strlen(word)) n++;
    return n;
}

/* Writes the chart, reads it back and checks that every opened tag is closed. The caller frees. */
static char *drawn(mn_svg *svg) {
    mn_error err;
    size_t bytes;
    const char *path = temp_path("chart.svg");
    assert_ok(mn_svg_write(svg, path, &err), err);
    char *text = read_all(path, &bytes);
    unlink(path);
    assert_int_equal(count(text, "<"), count(text, ">"));
    assert_int_equal(count(text, "<text"), count(text, "</text>"));
    assert_int_equal(count(text, "<g"), count(text, "</g>"));
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    return text;
}

static void lines_break(void **state) {
    (void)state;
    double x[] = {1, 10, -1, 100, 1000, 2000}, y[] = {1, 2, 3, 4, NAN, 6};
    mn_svg svg;
    mn_svg_begin(&svg, "a < b & \"c\"\xff", (mn_svg_axis){"x", 1, 1e4, .log = true}, (mn_svg_axis){"y", 0, 8, 0});
    mn_svg_line(&svg, 0, "one", x, y, 6);
    char *text = drawn(&svg);
    assert_non_null(strstr(text, "a &lt; b &amp; \"c\"?"));
    const char *path = strstr(text, "<path class=\"s0\"");
    assert_non_null(path);
    char *end = strstr(path, "/>");
    *end = 0;
    assert_int_equal(count(path, "M"), 3); /* 1,10 | 100 | 2000 */
    assert_int_equal(count(path, "L"), 1);
    free(text);
}

static void axis_labels(const mn_svg_axis *axis, const char *const *want, size_t n) {
    mn_svg svg;
    mn_svg_begin(&svg, "t", *axis, (mn_svg_axis){"y", 0, 1, 0});
    char *text = drawn(&svg);
    for (size_t i = 0; i < n; i++)
        if (!strstr(text, want[i])) fail_msg("no tick %s on the axis %g to %g", want[i], axis->min, axis->max);
    assert_true(count(text, "text-anchor=\"middle\"") <= 14);
    free(text);
}

static void ticks(void **state) {
    (void)state;
    axis_labels(&(mn_svg_axis){"x", 0, 120, 0}, (const char *[]){">0<", ">20<", ">120<"}, 3);
    axis_labels(&(mn_svg_axis){"x", 7, -3, 0}, (const char *[]){">-2<", ">0<", ">6<"}, 3);
    axis_labels(&(mn_svg_axis){"x", 1e8, 1e12, .log = true}, (const char *[]){">100M<", ">1B<", ">1T<"}, 3);
    axis_labels(&(mn_svg_axis){"x", 1, 30, .log = true}, (const char *[]){">1<", ">2<", ">5<", ">20<"}, 4);
    axis_labels(&(mn_svg_axis){"x", 1e-300, 1e300, .log = true}, (const char *[]){">1<"}, 1);
    axis_labels(&(mn_svg_axis){"x", 3, 3, 0}, (const char *[]){">3<"}, 1);
    axis_labels(&(mn_svg_axis){"x", NAN, INFINITY, 0}, (const char *[]){">0.2<"}, 1);
    axis_labels(&(mn_svg_axis){"x", -1, 1, .log = true}, (const char *[]){">0<"}, 1);
}

static void includes_values(void **state) {
    (void)state;
    mn_svg_axis axis = {"x", 0, 0, .log = true};
    mn_svg_axis_include(&axis, (double[]){-5, 3, INFINITY, 70, NAN, 9}, 6);
    assert_true(axis.min == 3 && axis.max == 70);
    mn_svg_axis_include(&axis, (double[]){2}, 1);
    assert_true(axis.min == 2 && axis.max == 70);
    axis = (mn_svg_axis){"x", 10, 1000, .log = true};
    mn_svg_axis_pad(&axis, 0.5);
    assert_true(fabs(axis.min - 1) < 1e-12 && fabs(axis.max - 1e4) < 1e-8);
    axis = (mn_svg_axis){"x", 10, 0, 0};
    mn_svg_axis_pad(&axis, 0.1);
    assert_true(axis.min == 11 && axis.max == -1);
}

static void cells_points_notes(void **state) {
    (void)state;
    mn_svg svg;
    mn_svg_begin(&svg, "mask", (mn_svg_axis){"key", 0, 4, 0}, (mn_svg_axis){"query", 4, 0, 0});
    for (int row = 0; row < 4; row++)
        for (int column = 0; column <= row; column++) mn_svg_cell(&svg, 1, 0.5, column, row, column + 1, row + 1);
    mn_svg_cell(&svg, 1, 0, 0, 0, 1, 1);
    mn_svg_points(&svg, -7, "points", (double[]){1, NAN}, (double[]){1, 1}, 2);
    mn_svg_marker(&svg, MN_SVG_INK, "here", 2, 2);
    mn_svg_note(&svg, MN_SVG_MIDDLE, 2, 2, "note");
    char *text = drawn(&svg);
    assert_int_equal(count(text, "fill-opacity=\"0.5\""), 10);
    assert_int_equal(count(text, "<circle"), 4);
    assert_non_null(strstr(text, ">note<"));
    free(text);
}

static void refuses_bad_path(void **state) {
    (void)state;
    mn_svg svg;
    mn_error err;
    mn_svg_begin(&svg, "t", (mn_svg_axis){"x", 0, 1, 0}, (mn_svg_axis){"y", 0, 1, 0});
    assert_int_equal(mn_svg_write(&svg, "/no/such/place/chart.svg", &err), MN_ERR_IO);
    assert_non_null(strstr(err.text, "/no/such/place/chart.svg"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),         cmocka_unit_test(lines_break),        cmocka_unit_test(ticks),
        cmocka_unit_test(includes_values), cmocka_unit_test(cells_points_notes), cmocka_unit_test(refuses_bad_path)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
