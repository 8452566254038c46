#include "graph/extract.h"

#include "base/checked.h"
#include "base/strbuf.h"
#include "graph/prompts.h"
#include "graph/schema.h"
#include "graph/sentences.h"
#include "graph/words.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_TOKENS = 1024, PAGE = 64, MAX_FACTS = 200, MAX_KEYS = 32 };

typedef struct extraction {
    mn_store *store;
    mn_llm *llm;
    mn_extract_figures *figures;
    char recipe[MN_ID_BYTES]; /* model and prompt */
    mn_lexicon lexicon;
    mn_word_list passage_words, fact_words, key_words;
    int64_t in_tokens, out_tokens; /* of the passage at hand */
} extraction;

/* A passage, or a half of one. */
typedef struct passage {
    char *id, *title, *text;
    size_t bytes;
} passage;

static void begin(extraction *x, mn_store *store, mn_llm *llm) {
    const char *name = mn_llm_name(llm);
    *x = (extraction){.store = store, .llm = llm};
    mn_store_id(x->recipe, name, strlen(name), mn_prompt_extract, strlen(mn_prompt_extract), NULL);
}

static void end(extraction *x) {
    mn_word_list_release(&x->passage_words);
    mn_word_list_release(&x->fact_words);
    mn_word_list_release(&x->key_words);
    mn_lexicon_release(&x->lexicon);
}

/* ---- asking ---- */

static mn_status ask(extraction *x, const passage *p, size_t from, size_t to, const char *complaint, char **out,
                     mn_error *err) {
    mn_strbuf user = MN_STRBUF_INIT;
    mn_llm_reply reply;
    if (*p->title) mn_strbuf_printf(&user, "Title: %.300s\n\n", p->title);
    mn_strbuf_put(&user, p->text + from, to - from);
    if (complaint) mn_strbuf_printf(&user, "\n\n%s", complaint);
    if (user.failed) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a prompt of %zu bytes.", p->bytes);
    const mn_llm_message messages[2] = {{.role = "system", .content = mn_prompt_extract},
                                        {.role = "user", .content = user.data}};
    const mn_llm_request request = {
        .messages = messages, .n_messages = 2, .purpose = "extract", .max_tokens = ANSWER_TOKENS, .temperature = 0.2};
    *out = NULL;
    mn_status status = mn_llm_ask(x->llm, &request, &reply, err);
    mn_strbuf_release(&user);
    MN_TRY(status);
    x->in_tokens += reply.prompt_tokens;
    x->out_tokens += reply.completion_tokens;
    *out = reply.content;
    reply.content = NULL;
    mn_llm_reply_release(&reply);
    return *out ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory for a reply.");
}

/* ---- reading a reply ---- */

/* "3. fact | key | key", the form of the paper, as an object of the list. */
static void take_line(json_t *facts, char *line) {
    char *text = line + strspn(line, " \t-*"), *rest = strchr(line, '|');
    size_t digits = strspn(text, "0123456789");
    if (!rest) return;
    if (digits && (text[digits] == '.' || text[digits] == ')')) text += digits + 1;
    json_t *keys = json_array();
    *rest++ = '\0';
    for (char *save, *key = strtok_r(rest, "|", &save); key; key = strtok_r(NULL, "|", &save))
        json_array_append_new(keys, json_string(key));
    json_array_append_new(facts, json_pack("{s:s, s:o}", "text", text, "keys", keys));
}

/* The list of facts in a reply, as JSON wherever it stands in it, or as lines; NULL where there is none. */
static json_t *parse(char *reply) {
    for (const char *at = reply; (at = strchr(at, '{')); at++) {
        json_t *object = json_loads(at, JSON_DISABLE_EOF_CHECK, NULL);
        json_t *facts = json_object_get(object, "facts");
        json_incref(facts);
        json_decref(object);
        if (json_is_array(facts)) return facts;
        json_decref(facts);
    }
    json_t *facts = json_array();
    for (char *save, *line = strtok_r(reply, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save))
        take_line(facts, line);
    if (json_array_size(facts)) return facts;
    json_decref(facts);
    return NULL;
}

/* ---- checking ---- */

static bool holds_term(const extraction *x, const mn_word_list *words, size_t first, size_t end, uint32_t term) {
    for (size_t i = first; i < end; i++)
        if (mn_word_term(&x->lexicon, &words->items[i]) == term) return true;
    return false;
}

/* How many content words of the fact stand among words [first, end) of the passage; *n_all: how many it has. */
static size_t count_shared(const extraction *x, size_t first, size_t end, size_t *n_all) {
    size_t n = 0;
    *n_all = 0;
    for (size_t i = 0; i < x->fact_words.n; i++) {
        if (x->fact_words.items[i].traits & MN_WORD_STOP) continue;
        ++*n_all;
        n += holds_term(x, &x->passage_words, first, end, mn_word_term(&x->lexicon, &x->fact_words.items[i]));
    }
    return n;
}

/* Whether the key's words stand in the fact, one behind the other. */
static bool has_key(const extraction *x) {
    const mn_word_list *fact = &x->fact_words, *key = &x->key_words;
    for (size_t i = 0; key->n && i + key->n <= fact->n; i++) {
        size_t k = 0;
        while (k < key->n && fact->items[i + k].id == key->items[k].id) k++;
        if (k == key->n) return true;
    }
    return false;
}

/* The sentence that shares most words with the fact. */
static void find_source(const extraction *x, const passage *p, size_t *begin, size_t *end) {
    size_t at = 0, from, to, word = 0, most = 0, n_all;
    *begin = 0;
    *end = p->bytes;
    while (mn_sentence_next(p->text, p->bytes, &at, &from, &to)) {
        while (word < x->passage_words.n && x->passage_words.items[word].begin < from) word++;
        size_t stop = word;
        while (stop < x->passage_words.n && x->passage_words.items[stop].begin < to) stop++;
        size_t n = count_shared(x, word, stop, &n_all);
        if (n <= most) continue;
        most = n;
        *begin = from;
        *end = to;
    }
}

static mn_status keep_keys(extraction *x, const json_t *keys, json_t *kept, mn_error *err) {
    for (size_t i = 0; i < json_array_size(keys) && json_array_size(kept) < MAX_KEYS; i++) {
        const json_t *key = json_array_get(keys, i);
        if (!json_is_string(key)) continue;
        MN_TRY(mn_words_find(&x->lexicon, json_string_value(key), json_string_length(key), &x->key_words, err));
        if (has_key(x)) {
            json_array_append_new(kept, json_string(json_string_value(key)));
            x->figures->n_keys++;
        } else {
            x->figures->n_lost_keys++;
        }
    }
    return MN_OK;
}

/* ---- keeping ---- */

static mn_status write_fact(extraction *x, const passage *p, const char *text, const json_t *keys, mn_error *err) {
    char id[MN_ID_BYTES];
    size_t from, to;
    char *list = json_dumps(keys, JSON_COMPACT);
    if (!list) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a fact.");
    find_source(x, p, &from, &to);
    mn_store_id(id, p->id, strlen(p->id), text, strlen(text), NULL);
    mn_status status = mn_store_run(x->store, err,
                                    "INSERT INTO extracted_fact (id, chunk, text, keys, first_byte, last_byte) "
                                    "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
                                    "ttttii", id, p->id, text, list, (int64_t)from, (int64_t)to);
    free(list);
    x->figures->n_facts += status == MN_OK;
    return status;
}

static mn_status keep_fact(extraction *x, const passage *p, const json_t *fact, mn_error *err) {
    const char *text = json_string_value(json_object_get(fact, "text"));
    size_t n_all, n_shared;
    if (text) text += strspn(text, " \t");
    if (!text || !*text) return MN_OK;
    MN_TRY(mn_words_find(&x->lexicon, text, strlen(text), &x->fact_words, err));
    n_shared = count_shared(x, 0, x->passage_words.n, &n_all);
    if (n_all == 0 || 2 * n_shared < n_all) {
        x->figures->n_lost_facts++;
        return MN_OK;
    }
    json_t *kept = json_array();
    mn_status status = keep_keys(x, json_object_get(fact, "keys"), kept, err);
    if (status == MN_OK) status = write_fact(x, p, text, kept, err);
    json_decref(kept);
    return status;
}

static mn_status keep_facts(extraction *x, const passage *p, const json_t *facts, mn_error *err) {
    MN_TRY(mn_words_find(&x->lexicon, p->text, p->bytes, &x->passage_words, err));
    for (size_t i = 0; i < json_array_size(facts) && i < MAX_FACTS; i++)
        MN_TRY(keep_fact(x, p, json_array_get(facts, i), err));
    return MN_OK;
}

static mn_status write_ledger(extraction *x, const passage *p, const char *state, mn_error *err) {
    char id[MN_ID_BYTES];
    mn_store_id(id, p->id, strlen(p->id), x->recipe, strlen(x->recipe), NULL);
    return mn_store_run(x->store, err,
                        "INSERT INTO extraction (id, chunk, recipe, model, state, in_tokens, out_tokens) VALUES "
                        "($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
                        "tttttii", id, p->id, x->recipe, mn_llm_name(x->llm), state, x->in_tokens, x->out_tokens);
}

/* ---- a passage ---- */

/* The facts of bytes [from, to); *facts NULL: two replies were of no use. */
static mn_status ask_twice(extraction *x, const passage *p, size_t from, size_t to, json_t **facts, mn_error *err) {
    static const char complaint[] = "Your last answer was not the JSON object that is wanted. Answer with it alone.";
    *facts = NULL;
    for (int i = 0; i < 2 && !*facts; i++) {
        char *reply;
        MN_TRY(ask(x, p, from, to, i ? complaint : NULL, &reply, err));
        *facts = parse(reply);
        free(reply);
    }
    return MN_OK;
}

/* Where the passage's second half begins: at the sentence nearest to its middle; 0 where there is but one. */
static size_t middle_of(const passage *p) {
    size_t at = 0, from, to, middle = 0, half = p->bytes / 2, nearest = p->bytes;
    while (mn_sentence_next(p->text, p->bytes, &at, &from, &to)) {
        size_t distance = from > half ? from - half : half - from;
        if (from == 0 || distance >= nearest) continue;
        nearest = distance;
        middle = from;
    }
    return middle;
}

static mn_status ask_halves(extraction *x, const passage *p, json_t **facts, mn_error *err) {
    size_t middle = middle_of(p);
    json_t *first, *second = NULL;
    *facts = NULL;
    if (!middle) return MN_OK;
    MN_TRY(ask_twice(x, p, 0, middle, &first, err));
    mn_status status = ask_twice(x, p, middle, p->bytes, &second, err);
    if (status == MN_OK && (first || second)) {
        *facts = json_array();
        json_array_extend(*facts, first);
        json_array_extend(*facts, second);
    }
    json_decref(first);
    json_decref(second);
    return status;
}

static mn_status keep(extraction *x, const passage *p, const json_t *facts, mn_error *err) {
    if (!facts) x->figures->n_given_up++;
    MN_TRY(mn_store_begin(x->store, err));
    mn_status status = facts ? keep_facts(x, p, facts, err) : MN_OK;
    if (status == MN_OK) status = write_ledger(x, p, facts ? "done" : "quarantined", err);
    if (status == MN_OK) status = mn_graph_touch(x->store, err);
    return mn_store_end(x->store, status, err);
}

static mn_status extract(extraction *x, const passage *p, mn_error *err) {
    json_t *facts;
    x->in_tokens = x->out_tokens = 0;
    MN_TRY(ask_twice(x, p, 0, p->bytes, &facts, err));
    if (!facts) MN_TRY(ask_halves(x, p, &facts, err));
    mn_status status = keep(x, p, facts, err);
    x->figures->n_passages += status == MN_OK;
    json_decref(facts);
    return status;
}

/* ---- all passages ---- */

#define OPEN_PASSAGES                                                                                                  \
    "FROM chunk c JOIN doc d ON d.id = c.doc WHERE d.kind <> 'conversation' AND NOT EXISTS "                           \
    "(SELECT 1 FROM extraction e WHERE e.chunk = c.id AND e.recipe = $1)"

static void release(passage *list, int n) {
    for (int i = 0; i < n; i++) {
        free(list[i].id);
        free(list[i].title);
        free(list[i].text);
    }
}

/* Some passages that are to be asked about, with texts of their own, so that others may be written meanwhile. */
static mn_status next_passages(extraction *x, passage list[PAGE], int *n, mn_error *err) {
    mn_rows *rows;
    *n = 0;
    MN_TRY(mn_store_query(x->store, &rows, err,
                          "SELECT c.id, c.title, c.text " OPEN_PASSAGES " ORDER BY d.seq, c.ord LIMIT 64", "t",
                          x->recipe));
    mn_status status;
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows) && *n < PAGE) {
        passage *p = &list[(*n)++];
        *p = (passage){.id = strdup(mn_rows_text(rows, 0, NULL)), .title = strdup(mn_rows_text(rows, 1, NULL))};
        p->text = strdup(mn_rows_text(rows, 2, &p->bytes));
        if (!p->id || !p->title || !p->text) {
            status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for a passage.");
            break;
        }
    }
    mn_rows_done(rows);
    return status;
}

static mn_status count_open(extraction *x, int64_t *n, int64_t *bytes, mn_error *err) {
    MN_TRY(mn_store_number(x->store, 0, n, err, "SELECT count(*) " OPEN_PASSAGES, "t", x->recipe));
    return mn_store_number(x->store, 0, bytes, err, "SELECT sum(c.last_byte - c.first_byte) " OPEN_PASSAGES, "t",
                           x->recipe);
}

mn_status mn_extract_cost(mn_store *store, mn_llm *llm, int64_t *n_passages, int64_t *prompt_tokens,
                          int64_t *answer_tokens, mn_error *err) {
    extraction x;
    int64_t bytes;
    begin(&x, store, llm);
    MN_TRY(mn_graph_migrate(store, err));
    MN_TRY(count_open(&x, n_passages, &bytes, err));
    int64_t prompt = mn_llm_count(llm, mn_prompt_extract, strlen(mn_prompt_extract)) + 64;
    *prompt_tokens = *n_passages * prompt + bytes / 3;
    *answer_tokens = *n_passages * ANSWER_TOKENS;
    return MN_OK;
}

static mn_status run_all(extraction *x, const mn_extract_options *options, int64_t all, mn_error *err) {
    for (int64_t done = 0;;) {
        passage list[PAGE];
        int n;
        mn_status status = next_passages(x, list, &n, err);
        for (int i = 0; status == MN_OK && i < n; i++) {
            status = extract(x, &list[i], err);
            if (status == MN_OK && options->progress && !options->progress(options->arg, ++done, all))
                status = mn_fail(err, MN_ERR_CANCELLED, "The extraction was stopped; start it again to go on.");
        }
        release(list, n);
        if (status != MN_OK || n == 0) return status;
    }
}

mn_status mn_extract_run(mn_store *store, mn_llm *llm, const mn_extract_options *options, mn_extract_figures *figures,
                         mn_error *err) {
    static const mn_extract_options defaults = {0};
    extraction x;
    int64_t n_open = 0, bytes, n_all;
    begin(&x, store, llm);
    x.figures = figures;
    MN_TRY(mn_graph_migrate(store, err));
    mn_status status = count_open(&x, &n_open, &bytes, err);
    if (status == MN_OK) status = mn_store_number(store, 0, &n_all, err, "SELECT count(*) FROM chunk", "");
    if (status == MN_OK) figures->n_known += n_all - n_open;
    if (status == MN_OK) status = run_all(&x, options ? options : &defaults, n_open, err);
    end(&x);
    return status;
}
