/* Words, sentences, chunks, keys and postings: the parts that an index is made of. */
#include "support/support.h"

#include "graph/chunks.h"
#include "graph/keys.h"
#include "graph/postings.h"
#include "graph/sentences.h"
#include "graph/turns.h"

#include <stdlib.h>
#include <math.h>
#include <string.h>

static mn_error err;

/* The terms of a text, function words left out, with a blank between them. */
static void terms_of(const char *text, char *out, size_t out_bytes) {
    mn_lexicon lexicon = {0};
    mn_word_list words = {0};
    size_t used = 0;
    *out = '\0';
    assert_ok(mn_words_find(&lexicon, text, strlen(text), &words, &err), err);
    for (size_t i = 0; i < words.n; i++)
        if (!(words.items[i].traits & MN_WORD_STOP))
            used += (size_t)snprintf(out + used, out_bytes - used, "%s%s", used ? " " : "",
                                     mn_intern_text(&lexicon.terms, mn_word_term(&lexicon, &words.items[i]), NULL));
    mn_word_list_release(&words);
    mn_lexicon_release(&lexicon);
}

static void words_are_folded_and_stemmed(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"The Running dogs' owners", "run dog owner"},
        {"Zürich, ZURICH; Zu\xcc\x88rich", "zurich zurich zurich"},
        {"\xef\xac\x81sh \xd0\x9c\xd0\xbe\xd1\x81\xd0\xba\xd0\xb2\xd0\xb0",
         "fish \xd0\xbc\xd0\xbe\xd1\x81\xd0\xba\xd0\xb2\xd0\xb0"},
        {"1984 B2B x", "1984 b2b x"},
        {"\xe6\x9d\x8e\xe7\x99\xbd\xe5\xad\x97", "\xe6\x9d\x8e\xe7\x99\xbd \xe7\x99\xbd\xe5\xad\x97"},
        {"\xff\xfe broken \xc3", "broken"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char got[256];
        terms_of(cases[i][0], got, sizeof got);
        assert_string_equal(got, cases[i][1]);
    }
}

static void sentences_end_where_they_end(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t n;
        const char *second;
    } cases[] = {
        {"He left. She stayed.", 2, "She stayed."},
        {"Dr. Smith met J. R. R. Tolkien in the U.S. Army. Then?", 2, "Then?"},
        {"It cost 3.50 dollars. \"Why?\" he asked.", 2, "\"Why?\" he asked."},
        {"One (two!) three. Four", 2, "Four"},
        {"A line\nthat goes on.\n\nAnother", 2, "Another"},
        {"- one\n- two\n- three", 3, "- two"},
        {"\xe4\xbd\xa0\xe5\xa5\xbd\xe3\x80\x82\xe5\x86\x8d\xe8\xa7\x81\xe3\x80\x82", 2,
         "\xe5\x86\x8d\xe8\xa7\x81\xe3\x80\x82"},
        {"   \n\n ", 0, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t at = 0, begin, end, n = 0, bytes = strlen(cases[i].text);
        while (mn_sentence_next(cases[i].text, bytes, &at, &begin, &end)) {
            if (++n != 2) continue;
            if (strncmp(cases[i].text + begin, cases[i].second, end - begin) || strlen(cases[i].second) != end - begin)
                fail_msg("%s: %.*s", cases[i].text, (int)(end - begin), cases[i].text + begin);
        }
        if (n != cases[i].n) fail_msg("%s: %zu sentences", cases[i].text, n);
    }
}

/* Random texts: sentences and chunks rise, do not overlap, hold all but blanks, and stay within their limits. */
static void nothing_is_lost_or_doubled(void **state) {
    (void)state;
    static const char alphabet[] = "aB .!?\n\n\t#-\"\xc3\xa9";
    uint64_t seed = 7;
    for (int round = 0; round < 200; round++) {
        size_t bytes = 1 + (size_t)round * 60, at = 0, begin, end, last = 0;
        char *text = malloc(bytes + 1);
        for (size_t i = 0; i < bytes; i++) {
            seed = seed * 6364136223846793005U + 1442695040888963407U;
            text[i] = alphabet[(seed >> 40) % (sizeof alphabet - 1)];
        }
        text[bytes] = '\0';
        while (mn_sentence_next(text, bytes, &at, &begin, &end)) {
            assert_true(begin >= last && end > begin && end - begin <= MN_SENTENCE_BYTES);
            for (size_t i = last; i < begin; i++) assert_non_null(strchr(" \n\t", text[i]));
            last = end;
        }
        for (size_t i = last; i < bytes; i++) assert_non_null(strchr(" \n\t", text[i]));
        const mn_document document = {.text = text, .bytes = bytes};
        const mn_chunk_params params = {.max_bytes = 1200};
        mn_chunks chunks;
        assert_ok(mn_chunks_cut(&document, &params, &chunks, &err), err);
        last = 0;
        for (size_t i = 0; i < chunks.n; i++) {
            assert_true(chunks.items[i].begin >= last && chunks.items[i].end - chunks.items[i].begin <= 1200);
            for (size_t k = last; k < chunks.items[i].begin; k++) assert_non_null(strchr(" \n\t", text[k]));
            last = chunks.items[i].end;
        }
        for (size_t i = last; i < bytes; i++) assert_non_null(strchr(" \n\t", text[i]));
        mn_chunks_release(&chunks);
        free(text);
    }
}

typedef struct found {
    const mn_lexicon *lexicon;
    char text[512];
} found;

static void note_key(void *arg, const mn_word_list *words, size_t first, size_t end) {
    found *f = arg;
    mn_strbuf form = MN_STRBUF_INIT;
    if (mn_key_form(f->lexicon, words, first, end, &form)) {
        strcat(f->text, "[");
        strcat(f->text, form.data);
        strcat(f->text, "]");
    }
    mn_strbuf_release(&form);
}

static void keys_are_names_and_what_is_quoted(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"The University of the Free State's dean met G. Stanley Hall, in May.",
         "[university of the free state][g stanley hall]"},
        {"He read \"the road\" in Marks & Spencer.", "[marks spencer][road]"},
        {"In London nobody cared.", "[london]"},
        {"nothing here", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mn_lexicon lexicon = {0};
        mn_word_list words = {0};
        found f = {.lexicon = &lexicon};
        assert_ok(mn_words_find(&lexicon, cases[i][0], strlen(cases[i][0]), &words, &err), err);
        mn_keys_find(cases[i][0], strlen(cases[i][0]), &words, note_key, &f);
        assert_string_equal(f.text, cases[i][1]);
        mn_word_list_release(&words);
        mn_lexicon_release(&lexicon);
    }
    assert_int_equal(mn_key_title_bytes("Lilu (mythology)"), 4);
    assert_int_equal(mn_key_title_bytes("(odd)"), 5);
}

static void postings_come_back_and_damage_is_seen(void **state) {
    (void)state;
    mn_packed list = {0};
    mn_postings p;
    uint32_t places[3] = {0, 5, 1000000};
    for (uint32_t unit = 0; unit < 1000; unit++) assert_true(mn_postings_add(&list, unit * unit, places, 1 + unit % 3));
    assert_ok(mn_postings_unpack(list.data, list.bytes, 999 * 999 + 1, &p, &err), err);
    assert_int_equal(p.n, 1000);
    for (uint32_t i = 0; i < p.n; i++) {
        assert_int_equal(p.units[i], i * i);
        assert_int_equal(p.counts[i], 1 + i % 3);
        for (uint32_t k = 0; k < p.counts[i]; k++) assert_int_equal(p.places[p.first_places[i] + k], places[k]);
    }
    mn_postings_release(&p);
    assert_int_equal(mn_postings_unpack(list.data, list.bytes, 999 * 999, &p, &err), MN_ERR_FORMAT);
    /* Bytes turned at random are an error or other numbers, within bounds. */
    uint64_t seed = 3;
    for (int round = 0; round < 2000; round++) {
        seed = seed * 6364136223846793005U + 1442695040888963407U;
        uint32_t at = (uint32_t)(seed >> 33) % list.bytes;
        uint8_t before = list.data[at];
        list.data[at] ^= (uint8_t)(1U << (seed >> 20) % 8);
        if (mn_postings_unpack(list.data, list.bytes, 1000000, &p, &err) == MN_OK)
            for (uint32_t i = 0; i < p.n; i++) assert_true(p.units[i] < 1000000);
        mn_postings_release(&p);
        list.data[at] = before;
    }
    mn_packed_release(&list);
}

static void times_are_read(void **state) {
    (void)state;
    assert_int_equal(mn_turn_time("1970-01-02"), 86400);
    assert_int_equal(mn_turn_time("2023-05-08T13:56:00"), 1683554160);
    assert_int_equal(mn_turn_time("1:56 pm on 8 May, 2023"), 1683554160);
    assert_int_equal(mn_turn_time("2023/05/08 (Mon) 13:56"), 1683554160);
    assert_int_equal(mn_turn_time("2023/05/08"), 1683504000);
    assert_int_equal(mn_turn_time("12:48 am on 1 February, 2023"), 1675212480);
    assert_int_equal(mn_turn_time("1683554160"), 1683554160);
    assert_int_equal(mn_turn_time("yesterday"), MN_NO_TIME);
    assert_int_equal(mn_turn_time("2023-99-08"), MN_NO_TIME);
    assert_int_equal(mn_turn_time(""), MN_NO_TIME);
    /* offsets, with and without parts of seconds */
    assert_int_equal(mn_turn_time("2023-05-08T15:56:00+02:00"), 1683554160);
    assert_int_equal(mn_turn_time("2023-05-08T13:56:00.123456Z"), 1683554160);
    assert_int_equal(mn_turn_time("2023-05-08 08:26:00.5-0530"), 1683554160);
    assert_int_equal(mn_turn_time("2023-05-08 13:56 UTC"), 1683554160);
    assert_int_equal(mn_turn_time("2023-05-08T15:56+02"), 1683554160);
    /* days and clocks that there are not */
    static const char *const none[] = {"2023-02-31",
                                       "2023-02-29",
                                       "2023-05-08T24:00:00",
                                       "2023-05-08T13:60",
                                       "2023-05-08T13:-1:00",
                                       "0000-01-01",
                                       "13:00 pm on 8 May, 2023",
                                       "99999999999999999",
                                       "9999999999999999999999",
                                       "12 34",
                                       "-5"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (mn_turn_time(none[i]) != MN_NO_TIME) fail_msg("%s: %lld", none[i], (long long)mn_turn_time(none[i]));
    assert_int_equal(mn_turn_time("2024-02-29"), 1709164800);
    assert_int_equal(mn_turn_time("1683554160123"), 1683554160); /* milliseconds */
    assert_int_equal(mn_turn_seconds(1683554160.9), 1683554160);
    assert_int_equal(mn_turn_seconds(NAN), MN_NO_TIME);
    assert_int_equal(mn_turn_seconds(1e300), MN_NO_TIME);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_folded_and_stemmed),
        cmocka_unit_test(sentences_end_where_they_end),
        cmocka_unit_test(nothing_is_lost_or_doubled),
        cmocka_unit_test(keys_are_names_and_what_is_quoted),
        cmocka_unit_test(postings_come_back_and_damage_is_seen),
        cmocka_unit_test(times_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
