/* session/channels: of an answer in Harmony only what is said in the final channel is shown. */
#include "support/support.h"

#include <string.h>

#include "base/strbuf.h"
#include "session/channels.h"

enum { CHANNEL = 1, MESSAGE, END, START, WORD };

/* Tokens of a line: the markers as <c> <m> <e> <s>, each other character a token. */
static void expect(const char *line, const char *shown) {
    mn_channels c = {CHANNEL, MESSAGE, END, START, .at = MN_CHANNEL_TEXT};
    mn_strbuf text = MN_STRBUF_INIT;
    for (const char *p = line; *p;) {
        const char *markers = "cmes", *marker = *p == '<' && p[2] == '>' ? strchr(markers, p[1]) : NULL;
        int32_t token = marker ? CHANNEL + (int32_t)(marker - markers) : WORD;
        size_t bytes = marker ? 3 : 1;
        if (mn_channels_take(&c, token, marker ? "" : p, marker ? 0 : 1)) mn_strbuf_put(&text, p, bytes);
        p += bytes;
    }
    assert_string_equal(text.bytes ? text.data : "", shown);
    mn_strbuf_release(&text);
}

static void only_the_final_channel_is_shown(void **state) {
    (void)state;
    expect("<c>analysis<m>They greet.<e><s>assistant<c>final<m>Hello!", "Hello!");
    expect("<c>commentary to=f<m>{}<e><s>assistant<c>final <m>a < b", "a < b");
    expect("<c>analysis<m>a<e><s>assistant<c>analysis<m>b<e><s>assistant<m>c", "c");
    expect("<c>finality<m>no<e><s>assistant<c>final<m>yes", "yes");
    expect("plain text", "plain text");
    expect("<c>analysis that has a very long name<m>x", "");
}

static void without_channels_all_is_shown(void **state) {
    (void)state;
    mn_channels c = {.channel = -1, .message = MESSAGE};
    assert_true(mn_channels_take(&c, MESSAGE, "", 0) && mn_channels_take(&c, WORD, "x", 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_final_channel_is_shown),
        cmocka_unit_test(without_channels_all_is_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
