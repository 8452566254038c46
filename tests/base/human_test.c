/* Figures as people read them: three digits that count, never "1024 KiB". */
#include "support/support.h"

#include "base/human.h"

static void bytes_have_three_digits(void **state) {
    (void)state;
    static const struct {
        size_t bytes;
        const char *text;
    } cases[] = {{0, "0 bytes"},        {1023, "1023 bytes"},          {1024, "1.00 KiB"},
                 {51200, "50.0 KiB"},   {1023 << 10, "1023 KiB"},      {(1 << 20) - 1, "1.00 MiB"},
                 {4428800, "4.22 MiB"}, {(size_t)3 << 30, "3.00 GiB"}, {(size_t)1 << 60, "1048576 TiB"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mn_human text;
        assert_string_equal(mn_human_bytes(text, cases[i].bytes), cases[i].text);
    }
}

static void seconds_have_units(void **state) {
    (void)state;
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {{-1, "0 s"},        {0, "0 s"},        {3.2e-6, "3.2 µs"},    {0.0005, "500 µs"},
                 {0.0042, "4.2 ms"}, {0.417, "417 ms"}, {6.34, "6.3 s"},       {99, "99 s"},
                 {125, "2 min 5 s"}, {3600, "1 h"},     {12000, "3 h 20 min"}, {1036800, "12 days"},
                 {1e10, "317 years"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mn_human text;
        assert_string_equal(mn_human_seconds(text, cases[i].seconds), cases[i].text);
    }
}

static void counts_have_units(void **state) {
    (void)state;
    mn_human text;
    assert_string_equal(mn_human_count(text, 917), "917");
    assert_string_equal(mn_human_count(text, 9999), "9999");
    assert_string_equal(mn_human_count(text, 10000), "10.0 k");
    assert_string_equal(mn_human_count(text, 999999), "1.00 M");
    assert_string_equal(mn_human_count(text, 2180000), "2.18 M");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(bytes_have_three_digits), cmocka_unit_test(seconds_have_units),
                                       cmocka_unit_test(counts_have_units)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
