/* A chunk's words, keys and postings. */
#include "graph/build.h"

#include "base/checked.h"
#include "graph/keys.h"
#include "graph/sentences.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

bool mn_numbers_add(mn_numbers *list, uint64_t value) {
    if (list->n == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 1024;
        uint64_t *items = realloc(list->items, capacity * sizeof *items);
        if (!items) return false;
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->n++] = value;
    return true;
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void mn_numbers_sort(mn_numbers *list) {
    size_t n = 0;
    if (list->n) qsort(list->items, list->n, sizeof *list->items, by_value);
    for (size_t i = 0; i < list->n; i++)
        if (!n || list->items[n - 1] != list->items[i]) list->items[n++] = list->items[i];
    list->n = n;
}

bool mn_numbers_turn(const mn_numbers *list, mn_numbers *out) {
    for (size_t i = 0; i < list->n; i++)
        if (!mn_numbers_add(out, list->items[i] << 32 | list->items[i] >> 32)) return false;
    mn_numbers_sort(out);
    return true;
}

static bool grow(void **list, size_t item_bytes, size_t n, size_t *capacity) {
    if (n < *capacity) return true;
    size_t more = MN_MAX(2 * n, 1024);
    char *grown = realloc(*list, more * item_bytes);
    if (!grown) return false;
    memset(grown + *capacity * item_bytes, 0, (more - *capacity) * item_bytes);
    *list = grown;
    *capacity = more;
    return true;
}

/* ---- keys ---- */

/* Bytes of a key's text that are kept: whole characters. */
static size_t kept_bytes(const char *text, size_t bytes) {
    enum { MOST = 480 };
    if (bytes <= MOST) return bytes;
    bytes = MOST;
    while (bytes > 0 && ((unsigned char)text[bytes] & 0xc0) == 0x80) bytes--;
    return bytes;
}

/* The id of words [first, end) as a key, new or known; MN_INTERN_NONE where they are none. A new one is shown as it is
 * spelled. */
static uint32_t key_spelled(mn_build *b, const mn_word_list *words, size_t first, size_t end, const char *spelled,
                            size_t bytes) {
    if (!mn_key_form(&b->lexicon, words, first, end, &b->form)) return MN_INTERN_NONE;
    uint32_t n = b->keys.n, key = mn_intern_put(&b->keys, b->form.data, b->form.bytes);
    if (key == n) {
        char surface[512]; /* with the key's number behind it so that each is different */
        int used = snprintf(surface, sizeof surface, "%.*s", (int)kept_bytes(spelled, bytes), spelled);
        used += 1 + snprintf(surface + used + 1, 16, "%u", key);
        if (mn_intern_put(&b->key_texts, surface, (size_t)used) != key) b->failed = true;
    }
    b->failed = b->failed || key == MN_INTERN_NONE;
    return key;
}

static uint32_t key_of(mn_build *b, const char *text, const mn_word_list *words, size_t first, size_t end) {
    size_t begin = words->items[first].begin;
    return key_spelled(b, words, first, end, text + begin, words->items[end - 1].end - begin);
}

typedef struct finding {
    mn_build *build;
    const char *text;
    uint32_t unit;
} finding;

/* A key where it is written: found again by the dictionary if it has a capital; one in quotes may have none. */
static void take_key(void *arg, const mn_word_list *words, size_t first, size_t end) {
    const finding *f = arg;
    mn_build *b = f->build;
    uint32_t key = key_of(b, f->text, words, first, end);
    if (key != MN_INTERN_NONE && !mn_numbers_add(&b->fact_keys, (uint64_t)f->unit << 32 | key)) b->failed = true;
}

static void take_head(mn_build *b, const char *text, size_t first, size_t end) {
    uint32_t key = key_of(b, text, &b->found, first, end);
    if (key != MN_INTERN_NONE && !mn_numbers_add(&b->head_keys, (uint64_t)b->n_passages << 32 | key)) b->failed = true;
}

/* "John Ronald Tolkien" also as "John Tolkien". */
static void take_short_name(mn_build *b, const char *text, size_t end) {
    mn_word pair[2] = {b->found.items[0], b->found.items[end - 1]};
    const mn_word_list words = {pair, 2, 2};
    int n_first = (int)(pair[0].end - pair[0].begin), n_last = (int)(pair[1].end - pair[1].begin);
    char spelled[512];
    if (end < 3 || end > 5 || n_first + n_last > 400) return;
    for (size_t i = 0; i < end; i++)
        if (!(b->found.items[i].traits & MN_WORD_CAPITAL)) return;
    int bytes =
        snprintf(spelled, sizeof spelled, "%.*s %.*s", n_first, text + pair[0].begin, n_last, text + pair[1].begin);
    uint32_t key = key_spelled(b, &words, 0, 2, spelled, (size_t)bytes);
    if (key != MN_INTERN_NONE && !mn_numbers_add(&b->head_keys, (uint64_t)b->n_passages << 32 | key)) b->failed = true;
}

/* What the passage's first sentence defines, else, without a title, its first capitalised span. */
static void take_subject(mn_build *b, const char *text, size_t bytes, bool has_title, uint32_t unit) {
    size_t end;
    if (mn_key_subject(text, bytes, &b->found, &end)) {
        take_head(b, text, 0, end);
        take_short_name(b, text, end);
        return;
    }
    size_t n = b->fact_keys.n;
    while (!has_title && n && b->fact_keys.items[n - 1] >> 32 == unit) n--;
    if (!has_title && n < b->fact_keys.n &&
        !mn_numbers_add(&b->head_keys, (uint64_t)b->n_passages << 32 | (uint32_t)b->fact_keys.items[n]))
        b->failed = true;
}

/* ---- words and postings ---- */

/* Adds the words found as a unit: its terms with their places among the content words. */
static bool add_postings(mn_build *b, uint32_t unit) {
    size_t n = b->found.n, n_content = 0;
    uint64_t *pairs = malloc((n + 1) * sizeof *pairs);
    uint32_t *places = malloc((n + 1) * sizeof *places);
    bool ok = pairs && places;
    for (size_t i = 0; ok && i < n; i++)
        if (!(b->found.items[i].traits & MN_WORD_STOP)) {
            pairs[n_content] = (uint64_t)mn_word_term(&b->lexicon, &b->found.items[i]) << 32 | n_content;
            n_content++;
        }
    if (ok && n_content) qsort(pairs, n_content, sizeof *pairs, by_value);
    for (size_t i = 0, end; ok && i < n_content; i = end) {
        size_t term = pairs[i] >> 32;
        for (end = i; end < n_content && pairs[end] >> 32 == term; end++) places[end - i] = (uint32_t)pairs[end];
        ok = grow((void **)&b->postings, sizeof *b->postings, term, &b->lists_capacity);
        if (!ok) break;
        b->n_lists = MN_MAX(b->n_lists, term + 1);
        ok = mn_postings_add(&b->postings[term], unit, places, (uint32_t)(end - i));
    }
    free(pairs);
    free(places);
    return ok;
}

static mn_status add_unit(mn_build *b, const char *text, size_t begin, size_t end, bool is_title, mn_error *err) {
    MN_TRY(mn_words_find(&b->lexicon, text + begin, end - begin, &b->found, err));
    bool ok = b->n_units < UINT32_MAX / 2 &&
              grow((void **)&b->units, sizeof *b->units, b->n_units, &b->units_capacity) &&
              grow((void **)&b->words, sizeof *b->words, b->n_words + b->found.n, &b->words_capacity);
    if (!ok) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for an index of %zu facts.", b->n_units);
    b->units[b->n_units] = (mn_unit){.begin = is_title ? 0 : (uint32_t)begin,
                                     .end = is_title ? 0 : (uint32_t)end,
                                     .n_words = (uint32_t)b->found.n,
                                     .passage = (uint32_t)b->n_passages,
                                     .first_word = b->n_words};
    for (size_t i = 0; i < b->found.n; i++)
        b->words[b->n_words++] = b->found.items[i].id << 1 | ((b->found.items[i].traits & MN_WORD_CAPITAL) ? 1U : 0U);
    if (!add_postings(b, (uint32_t)b->n_units)) b->failed = true;
    b->n_units++;
    return MN_OK;
}

static mn_status add_facts(mn_build *b, const char *text, size_t bytes, bool has_title, mn_error *err) {
    size_t at = 0, begin, end;
    bool is_first = true;
    while (mn_sentence_next(text, bytes, &at, &begin, &end)) {
        finding f = {b, text + begin, (uint32_t)b->n_units};
        if (has_title && text[begin] == '#') continue; /* the heading, which is the title's unit */
        MN_TRY(add_unit(b, text, begin, end, false, err));
        mn_keys_find(text + begin, end - begin, &b->found, take_key, &f);
        if (is_first) take_subject(b, text + begin, end - begin, has_title, f.unit);
        is_first = false;
    }
    return MN_OK;
}

mn_status mn_build_add(mn_build *b, const char *title, const char *text, size_t bytes, mn_error *err) {
    bool has_title = title && *title;
    if (!grow((void **)&b->first_units, sizeof *b->first_units, b->n_passages + 1, &b->passages_capacity))
        return mn_fail(err, MN_ERR_MEMORY, "There is no memory for an index of %zu passages.", b->n_passages);
    b->first_units[b->n_passages] = (uint32_t)b->n_units;
    MN_TRY(add_unit(b, has_title ? title : "", 0, has_title ? strlen(title) : 0, true, err));
    if (has_title) {
        size_t n = 0, limit = mn_key_title_bytes(title);
        while (n < b->found.n && b->found.items[n].end <= limit) n++;
        if (n) take_head(b, title, 0, n);
    }
    MN_TRY(add_facts(b, text, bytes, has_title, err));
    b->first_units[++b->n_passages] = (uint32_t)b->n_units;
    if (b->failed || b->form.failed)
        return mn_fail(err, MN_ERR_MEMORY, "There is no memory for an index of %zu passages.", b->n_passages);
    return MN_OK;
}

/* ---- facts by a model ---- */

/* Words alone: no postings, no length. */
static bool add_silent_unit(mn_build *b, size_t begin, size_t end) {
    bool ok = b->n_units < UINT32_MAX / 2 &&
              grow((void **)&b->units, sizeof *b->units, b->n_units, &b->units_capacity) &&
              grow((void **)&b->words, sizeof *b->words, b->n_words + b->found.n, &b->words_capacity);
    if (!ok) return false;
    b->units[b->n_units++] = (mn_unit){.begin = (uint32_t)begin,
                                       .end = (uint32_t)end,
                                       .n_words = (uint32_t)b->found.n,
                                       .passage = (uint32_t)b->n_passages - 1,
                                       .first_word = b->n_words,
                                       .text = b->fact_texts.bytes + 1};
    for (size_t i = 0; i < b->found.n; i++)
        b->words[b->n_words++] = b->found.items[i].id << 1 | ((b->found.items[i].traits & MN_WORD_CAPITAL) ? 1U : 0U);
    return true;
}

static mn_status take_given_keys(mn_build *b, const char *keys, uint32_t unit, mn_error *err) {
    json_t *list = json_loads(keys, 0, NULL);
    mn_status status = MN_OK;
    for (size_t i = 0; status == MN_OK && i < json_array_size(list); i++) {
        const char *key = json_string_value(json_array_get(list, i));
        finding f = {b, key, unit};
        if (!key) continue;
        status = mn_words_find(&b->lexicon, key, strlen(key), &b->found, err);
        if (status == MN_OK && b->found.n && b->found.n <= MN_KEY_WORDS) take_key(&f, &b->found, 0, b->found.n);
    }
    json_decref(list);
    return status;
}

mn_status mn_build_add_extracted(mn_build *b, const char *text, const char *keys, size_t begin, size_t end,
                                 mn_error *err) {
    uint32_t unit = (uint32_t)b->n_units;
    MN_TRY(mn_words_find(&b->lexicon, text, strlen(text), &b->found, err));
    if (!add_silent_unit(b, begin, end))
        return mn_fail(err, MN_ERR_MEMORY, "There is no memory for an index of %zu facts.", b->n_units);
    mn_strbuf_put(&b->fact_texts, text, strlen(text) + 1);
    b->first_units[b->n_passages] = (uint32_t)b->n_units;
    MN_TRY(take_given_keys(b, keys, unit, err));
    if (!b->failed && !b->fact_texts.failed) return MN_OK;
    return mn_fail(err, MN_ERR_MEMORY, "There is no memory for an index of %zu facts.", b->n_units);
}

void mn_build_release(mn_build *b) {
    for (size_t i = 0; i < b->n_lists; i++) mn_packed_release(&b->postings[i]);
    mn_lexicon_release(&b->lexicon);
    mn_intern_release(&b->keys);
    mn_intern_release(&b->key_texts);
    mn_word_list_release(&b->found);
    mn_strbuf_release(&b->form);
    mn_strbuf_release(&b->fact_texts);
    free(b->units);
    free(b->first_units);
    free(b->words);
    free(b->postings);
    free(b->fact_keys.items);
    free(b->head_keys.items);
    free(b->links);
    free(b->first_links);
    *b = (mn_build){.form = MN_STRBUF_INIT, .fact_texts = MN_STRBUF_INIT};
}
