/* base/strbuf: always a terminated string, any bytes inside, and one failure that sticks. */
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"

static void grows(void **state) {
    (void)state;
    mn_strbuf buf = MN_STRBUF_INIT;
    assert_string_equal(buf.data, "");
    for (int i = 0; i < 5000; i++) {
        mn_strbuf_printf(&buf, "%d,", i % 10);
        assert_int_equal(buf.bytes, strlen(buf.data));
    }
    assert_int_equal(buf.bytes, 10000);
    assert_memory_equal(buf.data + 9980, "0,1,2,3,4,5,6,7,8,9,", 21);
    mn_strbuf_reset(&buf);
    assert_string_equal(buf.data, "");
    mn_strbuf_puts(&buf, "again");
    assert_string_equal(buf.data, "again");
    mn_strbuf_release(&buf);
    assert_string_equal(buf.data, "");
}

static void holds_any_bytes(void **state) {
    (void)state;
    mn_strbuf buf = MN_STRBUF_INIT;
    mn_strbuf_put(&buf, "a\0b", 3);
    mn_strbuf_putc(&buf, 0);
    mn_strbuf_putc(&buf, 'c');
    assert_int_equal(buf.bytes, 5);
    assert_memory_equal(buf.data, "a\0b\0c", 6);
    mn_strbuf_release(&buf);
}

static void detached_text_is_the_callers(void **state) {
    (void)state;
    mn_strbuf buf = MN_STRBUF_INIT;
    size_t bytes;
    char *empty = mn_strbuf_detach(&buf, &bytes);
    assert_string_equal(empty, "");
    assert_int_equal(bytes, 0);
    mn_strbuf_puts(&buf, "text");
    char *text = mn_strbuf_detach(&buf, &bytes);
    mn_strbuf_puts(&buf, "other");
    assert_string_equal(text, "text");
    assert_int_equal(bytes, 4);
    assert_string_equal(buf.data, "other");
    free(empty);
    free(text);
    mn_strbuf_release(&buf);
}

static void a_failure_sticks(void **state) {
    (void)state;
    mn_strbuf buf = MN_STRBUF_INIT;
    buf.max_bytes = 10;
    mn_strbuf_puts(&buf, "0123456789");
    assert_false(buf.failed);
    mn_strbuf_putc(&buf, 'x');
    assert_true(buf.failed);
    assert_string_equal(buf.data, "0123456789");
    mn_strbuf_puts(&buf, "");
    mn_strbuf_printf(&buf, "%s", "y");
    assert_true(buf.failed);
    assert_int_equal(buf.bytes, 10);
    size_t bytes = 1;
    assert_null(mn_strbuf_detach(&buf, &bytes));
    assert_int_equal(bytes, 0);
    assert_false(buf.failed);
    assert_int_equal(buf.max_bytes, 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(grows), cmocka_unit_test(holds_any_bytes),
                                       cmocka_unit_test(detached_text_is_the_callers),
                                       cmocka_unit_test(a_failure_sticks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
