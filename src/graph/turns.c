/* Turns of conversations in memory: adding. turns_search.c asks. */
#include "graph/turns_index.h"

#include "base/checked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

mn_status mn_turns_create(mn_turns **out, mn_error *err) {
    *out = calloc(1, sizeof **out);
    return *out ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory for an index of turns.");
}

void mn_turns_destroy(mn_turns *t) {
    if (!t) return;
    for (size_t i = 0; i < t->n_lists; i++) mn_packed_release(&t->lists[i]);
    free(t->lists);
    free(t->items);
    free(t->sessions);
    free(t->marks);
    mn_intern_release(&t->session_names);
    mn_intern_release(&t->conversations);
    mn_intern_release(&t->speakers);
    mn_word_list_release(&t->words);
    mn_lexicon_release(&t->lexicon);
    free(t);
}

uint32_t mn_turns_n(const mn_turns *t) { return t->n; }
int64_t mn_turns_id(const mn_turns *t, uint32_t turn) { return t->items[turn].id; }

/* ---- times ---- */

typedef struct moment {
    int year, month, day, hour, minute, second;
} moment;

static int64_t seconds_of(const moment *m) {
    struct tm parts = {
        .tm_year = m->year - 1900, .tm_mon = m->month - 1, .tm_mday = m->day, .tm_hour = m->hour, .tm_min = m->minute};
    bool is_date = m->year >= 1 && m->year <= 9999 && m->month >= 1 && m->month <= 12 && m->day >= 1;
    bool is_clock =
        m->hour >= 0 && m->hour < 24 && m->minute >= 0 && m->minute < 60 && m->second >= 0 && m->second < 61;
    if (!is_date || !is_clock) return MN_NO_TIME;
    time_t seconds = timegm(&parts);
    if (parts.tm_mday != m->day) return MN_NO_TIME; /* 31 February became a day of March */
    return seconds + m->second;
}

/* Reads "13:56", "13:56:00" and "13:56:00.123"; returns what stands behind, NULL: no clock is there. */
static const char *read_clock(const char *text, moment *m) {
    int used = 0, more = 0;
    if (sscanf(text, "%2d:%2d%n", &m->hour, &m->minute, &used) != 2) return NULL;
    text += used;
    if (sscanf(text, ":%2d%n", &m->second, &more) == 1) text += more;
    if ((*text == '.' || *text == ',') && text[1] >= '0' && text[1] <= '9') text += 1 + strspn(text + 1, "0123456789");
    return text;
}

/* The seconds by which the clock of "+02:00", "+0200" or "+02" is ahead of UTC; 0 of all else. */
static int64_t zone_seconds(const char *text) {
    static const char digits[] = "0123456789";
    int hours = 0, minutes = 0;
    text += *text == ' ';
    if ((*text != '+' && *text != '-') || strspn(text + 1, digits) < 2) return 0;
    sscanf(text + 1, "%2d", &hours);
    const char *rest = text + 3 + (text[3] == ':');
    if (strspn(rest, digits) >= 2) sscanf(rest, "%2d", &minutes);
    int64_t ahead = hours * INT64_C(3600) + minutes * INT64_C(60);
    return *text == '-' ? -ahead : ahead;
}

/* The time of a date and the clock that is read at `clock`, NULL: none is there. */
static int64_t seconds_with(moment *m, const char *clock) {
    const char *zone = clock ? read_clock(clock, m) : NULL;
    int64_t seconds = seconds_of(m);
    return zone && seconds != MN_NO_TIME ? seconds - zone_seconds(zone) : seconds;
}

int64_t mn_turn_seconds(double number) {
    const double most_seconds = 95617584000.0; /* the year 5000 */
    if (number > most_seconds) number /= 1000;
    return number >= 0 && number <= most_seconds ? (int64_t)number : MN_NO_TIME;
}

int64_t mn_turn_time(const char *text) {
    moment m = {0};
    int used = 0;
    char half[3], name[16];
    if (sscanf(text, "%4d-%2d-%2d%n", &m.year, &m.month, &m.day, &used) == 3)
        return seconds_with(&m, text[used] && strchr("Tt ", text[used]) ? text + used + 1 : NULL);
    if (sscanf(text, "%4d/%2d/%2d%n", &m.year, &m.month, &m.day, &used) == 3) {
        const char *clock = strchr(text + used, ':');
        while (clock && clock > text + used && clock[-1] >= '0' && clock[-1] <= '9') clock--;
        return seconds_with(&m, clock);
    }
    if (sscanf(text, "%2d:%2d %2[apm] on %2d %15[A-Za-z], %4d", &m.hour, &m.minute, half, &m.day, name, &m.year) == 6) {
        for (char *p = name; *p; p++) *p |= 32;
        m.month = mn_month_of(name);
        if (m.hour < 1 || m.hour > 12) return MN_NO_TIME;
        m.hour = m.hour % 12 + (half[0] == 'p' ? 12 : 0);
        return seconds_of(&m);
    }
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits < 18 && !text[digits] ? mn_turn_seconds((double)strtoll(text, NULL, 10)) : MN_NO_TIME;
}

/* Months since the year 0, -1 = unknown. */
static int32_t month_at(int64_t time) {
    struct tm parts;
    time_t seconds = time;
    if (time < 0 || !gmtime_r(&seconds, &parts)) return -1;
    return (parts.tm_year + 1900) * 12 + parts.tm_mon;
}

/* ---- adding ---- */

static bool grow(void **list, size_t item_bytes, size_t n, size_t *capacity) {
    if (n < *capacity) return true;
    size_t more = MN_MAX(2 * n, 256);
    char *grown = realloc(*list, more * item_bytes);
    if (!grown) return false;
    memset(grown + *capacity * item_bytes, 0, (more - *capacity) * item_bytes);
    *list = grown;
    *capacity = more;
    return true;
}

/* The name of its session. */
static bool find_session(mn_turns *t, const mn_turn *turn, uint32_t *out) {
    char name[512];
    const char *conversation = turn->conversation ? turn->conversation : "";
    int n = snprintf(name, sizeof name, "%.200s\n%.200s", conversation, turn->session ? turn->session : "");
    uint32_t c = mn_intern_put(&t->conversations, conversation, strlen(conversation));
    *out = mn_intern_put(&t->session_names, name, (size_t)n);
    return c != MN_INTERN_NONE && *out != MN_INTERN_NONE;
}

/* Notes who takes part in a session. More than fit are not told apart. */
static void take_part(mn_turn_session *s, uint32_t speaker) {
    for (int i = 0; i < s->n_speakers; i++)
        if (s->speakers[i] == speaker) return;
    if (s->n_speakers < MN_TURN_SPEAKERS) s->speakers[s->n_speakers++] = speaker;
}

typedef struct occurrence {
    uint32_t term, place;
} occurrence;

static int by_term(const void *a, const void *b) {
    const occurrence *x = a, *y = b;
    if (x->term != y->term) return x->term < y->term ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static bool add_terms(mn_turns *t, occurrence *found, uint32_t *places, uint32_t n) {
    qsort(found, n, sizeof *found, by_term);
    for (uint32_t i = 0; i < n; i++) places[i] = found[i].place;
    for (uint32_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && found[end].term == found[i].term;) end++;
        if (!grow((void **)&t->lists, sizeof *t->lists, found[i].term, &t->lists_capacity)) return false;
        t->n_lists = MN_MAX(t->n_lists, (size_t)found[i].term + 1);
        if (!mn_postings_add(&t->lists[found[i].term], t->n, places + i, end - i)) return false;
    }
    return true;
}

static bool add_words(mn_turns *t, mn_turn_item *item) {
    size_t n = t->words.n;
    occurrence *found = malloc((n + 1) * (sizeof *found + sizeof(uint32_t)));
    if (!found) return false;
    for (size_t i = 0; i < n; i++)
        if (!(t->words.items[i].traits & MN_WORD_STOP)) {
            found[item->n_content] = (occurrence){mn_word_term(&t->lexicon, &t->words.items[i]), item->n_content};
            item->n_content++;
        }
    item->n_words = (uint32_t)n;
    bool ok = add_terms(t, found, (uint32_t *)(found + n + 1), item->n_content);
    free(found);
    return ok;
}

static bool ends_with_question(const char *text, size_t bytes) {
    while (bytes && (text[bytes - 1] == ' ' || text[bytes - 1] == '\n' || text[bytes - 1] == '\r')) bytes--;
    return bytes && text[bytes - 1] == '?';
}

bool mn_turns_place(mn_turns *t, mn_turn_item *item) {
    if (!grow((void **)&t->items, sizeof *t->items, t->n, &t->items_capacity) ||
        !grow((void **)&t->sessions, sizeof *t->sessions, item->session, &t->sessions_capacity))
        return false;
    mn_turn_session *s = &t->sessions[item->session];
    if (!s->n_turns) *s = (mn_turn_session){.last = MN_TURN_NONE};
    s->n_turns++;
    if (item->speaker != MN_TURN_NONE) take_part(s, item->speaker);
    item->before = s->last;
    item->after = MN_TURN_NONE;
    if (s->last != MN_TURN_NONE) t->items[s->last].after = t->n;
    s->last = t->n;
    t->items[t->n++] = *item;
    return true;
}

mn_status mn_turns_add(mn_turns *t, const mn_turn *turn, mn_error *err) {
    mn_turn_item item = {.id = turn->id, .month = month_at(turn->time), .speaker = MN_TURN_NONE};
    if (t->n == UINT32_MAX / 2) return mn_fail(err, MN_ERR_LIMIT, "An index holds %u turns, no more.", t->n);
    bool ok = find_session(t, turn, &item.session);
    if (ok && turn->speaker && *turn->speaker) {
        item.speaker = mn_intern_put(&t->speakers, turn->speaker, strlen(turn->speaker));
        ok = item.speaker != MN_INTERN_NONE;
    }
    item.asks = memchr(turn->text, '?', turn->bytes) != NULL;
    item.ends_asking = ends_with_question(turn->text, turn->bytes);
    if (ok) MN_TRY(mn_words_find(&t->lexicon, turn->text, turn->bytes, &t->words, err));
    ok = ok && add_words(t, &item) && mn_turns_place(t, &item);
    return ok ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory for turn %u.", t->n);
}
