/* The walk by a model that follows instructions: prompts that fit, replies that are checked. */
#include "graph/walk_inside.h"

#include "base/checked.h"
#include "graph/prompts.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_PAYLOAD_TOKENS = 32 };

/* ---- text that fits ---- */

static int64_t count(const mn_walker *w, const char *text, size_t bytes) { return mn_llm_count(w->llm, text, bytes); }

/* As many bytes of the text, whole characters, as max_tokens hold: found by halving. */
static size_t fitting_bytes(const mn_walker *w, const char *text, int64_t max_tokens) {
    size_t low = 0, high = strlen(text);
    if (max_tokens <= 0) return 0;
    if (count(w, text, high) <= max_tokens) return high;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (count(w, text, middle) <= max_tokens)
            low = middle;
        else
            high = middle;
    }
    while (low && ((unsigned char)text[low] & 0xc0) == 0x80) low--;
    return low;
}

static void put_clipped(const mn_walker *w, mn_strbuf *out, const char *label, const char *text, int64_t max_tokens) {
    size_t bytes = fitting_bytes(w, text, max_tokens);
    mn_strbuf_printf(out, "%s: %.*s%s\n\n", label, (int)MN_MIN(bytes, (size_t)INT32_MAX), text,
                     text[bytes] ? " [...]" : "");
}

/* The last of the path's actions. */
static void put_actions(const mn_walker *w, mn_strbuf *out, const char *actions) {
    const char *at = actions;
    while (*at && count(w, at, strlen(at)) > w->params.window_tokens / 16) {
        const char *next = strchr(at, '\n');
        at = next ? next + 1 : at + strlen(at);
    }
    if (*at) mn_strbuf_printf(out, "Actions so far:\n%s\n", at);
}

/* ---- a call ---- */

/* What a stage asks: the constant prompt first and what changes last, so that prompts share their beginning. */
typedef struct question {
    const char *prompt, *purpose;
    const mn_walk_path *path; /* NULL = none */
    char **items;             /* payload, a line or more each, best first: as many as fit are shown */
    uint32_t n_items, n_shown;
    const char *complaint; /* about the last answer; NULL = none */
} question;

static void put_fixed(const mn_walker *w, const question *q, mn_strbuf *out) {
    int64_t window = w->params.window_tokens;
    put_clipped(w, out, "Question", w->walk->question, window / 4);
    if (w->walk->plan && *w->walk->plan) put_clipped(w, out, "Plan", w->walk->plan, window / 8);
    if (q->path && q->path->notebook.bytes) put_clipped(w, out, "Notebook", q->path->notebook.data, window / 4);
    if (q->path && q->path->actions.bytes) put_actions(w, out, q->path->actions.data);
    if (q->complaint) mn_strbuf_printf(out, "%s\n\n", q->complaint);
}

static void fill_request(const mn_walker *w, const question *q, const mn_strbuf *user, mn_llm_message messages[2],
                         mn_llm_request *request) {
    messages[0] = (mn_llm_message){.role = "system", .content = q->prompt};
    messages[1] = (mn_llm_message){.role = "user", .content = user->data};
    *request = (mn_llm_request){.messages = messages,
                                .n_messages = 2,
                                .purpose = q->purpose,
                                .temperature = w->params.temperature,
                                .max_tokens = w->params.reply_tokens};
}

static mn_status tokens_left(const mn_walker *w, const question *q, const mn_strbuf *user, int64_t *left,
                             mn_error *err) {
    mn_llm_message messages[2];
    mn_llm_request request;
    int64_t used;
    fill_request(w, q, user, messages, &request);
    MN_TRY(mn_llm_count_request(w->llm, &request, &used, err));
    *left = w->params.window_tokens - w->params.reply_tokens - used;
    return MN_OK;
}

/* Adds items while they fit; a first one that is too long is cut. */
static void put_items(const mn_walker *w, question *q, uint32_t max, int64_t left, mn_strbuf *out) {
    q->n_shown = 0;
    for (uint32_t i = 0; i < max; i++) {
        int64_t tokens = count(w, q->items[i], strlen(q->items[i])) + 2;
        if (tokens > left && i > 0) break;
        size_t bytes = tokens > left ? fitting_bytes(w, q->items[i], left - 4) : strlen(q->items[i]);
        mn_strbuf_put(out, q->items[i], bytes);
        mn_strbuf_putc(out, '\n');
        q->n_shown++;
        left -= tokens;
    }
}

/* The prompt with as much of the payload as the window holds, counted as a whole. */
static mn_status compose(const mn_walker *w, question *q, mn_strbuf *user, mn_error *err) {
    int64_t left, room;
    put_fixed(w, q, user);
    size_t fixed = user->bytes;
    MN_TRY(tokens_left(w, q, user, &room, err));
    if (room < LEAST_PAYLOAD_TOKENS)
        return mn_fail(err, MN_ERR_LIMIT,
                       "A window of %lld tokens is too small for a walk: prompt, question and notebook leave %lld.",
                       (long long)w->params.window_tokens, (long long)room);
    for (uint32_t max = q->n_items;; max = q->n_shown - 1) {
        put_items(w, q, max, room, user);
        MN_TRY(tokens_left(w, q, user, &left, err));
        if (left >= 0 || !q->n_shown) break;
        if (q->n_shown == 1) room /= 2;
        user->bytes = fixed;
        user->data[fixed] = '\0';
        if (q->n_shown == 1 && room >= 8) q->n_shown = 2; /* the one item again, shorter */
    }
    return user->failed ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for a prompt.") : MN_OK;
}

/* Asks; *text is the reply's, freed by the caller. */
static mn_status call(mn_walker *w, question *q, char **text, mn_error *err) {
    mn_strbuf user = MN_STRBUF_INIT;
    mn_llm_message messages[2];
    mn_llm_request request;
    mn_llm_reply reply = {0};
    *text = NULL;
    mn_status status = compose(w, q, &user, err);
    if (status == MN_OK) {
        fill_request(w, q, &user, messages, &request);
        status = mn_llm_ask(w->llm, &request, &reply, err);
    }
    if (status == MN_OK) {
        *text = reply.content;
        reply.content = NULL;
        w->last = (mn_llm_reply){.prompt_tokens = reply.prompt_tokens,
                                 .completion_tokens = reply.completion_tokens,
                                 .is_cached = reply.is_cached};
        w->was_asked = true;
        mn_llm_reply_release(&reply);
    }
    mn_strbuf_release(&user);
    return status;
}

/* The first JSON object in what a model wrote; NULL where there is none. */
static json_t *object_in(const char *text) {
    for (const char *at = text; (at = strchr(at, '{')); at++) {
        json_t *object = json_loads(at, JSON_DISABLE_EOF_CHECK, NULL);
        if (json_is_object(object)) return object;
        json_decref(object);
    }
    return NULL;
}

/* Whether a reply can be used; fills in the decision. */
typedef bool accept_fn(mn_walker *w, mn_walk_path *p, const question *q, const json_t *reply, mn_decision *out);

/* Asks, and once more with a complaint; then the decision stays as it was: the default. */
static mn_status decide(mn_walker *w, mn_walk_path *p, question *q, accept_fn *accept, mn_decision *out,
                        mn_error *err) {
    for (int n_tries = 0; n_tries < 2; n_tries++) {
        char *text;
        mn_decision fresh = *out;
        q->complaint = n_tries ? "Your last answer could not be used. Answer with the JSON object alone, and with an "
                                 "action and names that are listed here."
                               : NULL;
        MN_TRY(call(w, q, &text, err));
        json_t *reply = object_in(text);
        bool ok = reply && accept(w, p, q, reply, &fresh);
        json_decref(reply);
        free(text);
        if (!ok) continue;
        *out = fresh;
        return MN_OK;
    }
    out->is_default = true;
    return MN_OK;
}

/* ---- payloads and replies ---- */

static void free_items(question *q) {
    for (uint32_t i = 0; i < q->n_items; i++) free(q->items[i]);
    free(q->items);
}

static mn_status new_items(question *q, uint32_t n, mn_error *err) {
    q->items = calloc(n + (size_t)1, sizeof *q->items);
    return q->items ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory for a prompt of %u items.", n);
}

static mn_status add_item(question *q, mn_error *err, const char *format, ...) __attribute__((format(printf, 3, 4)));
static mn_status add_item(question *q, mn_error *err, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vasprintf(&q->items[q->n_items], format, args);
    va_end(args);
    if (n < 0) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a prompt.");
    q->n_items++;
    return MN_OK;
}

/* {"action": "x", "ids": ...} and {"action": {"name": "x", "ids": ...}} say the same. */
static const char *action_of(const json_t *reply, const json_t **arguments) {
    const json_t *action = json_object_get(reply, "action");
    *arguments = json_is_object(action) ? action : reply;
    const char *name = json_string_value(json_is_object(action) ? json_object_get(action, "name") : action);
    return name ? name : "";
}

/* The notebook as the model rewrites it, and the facts it cites; what was cited stays, whatever it writes later. */
static void take_notes(mn_walk_path *p, const json_t *reply, const uint32_t *facts, uint32_t n) {
    const char *notebook = json_string_value(json_object_get(reply, "notebook"));
    const json_t *cited = json_object_get(reply, "cite");
    if (notebook && *notebook) {
        mn_strbuf_reset(&p->notebook);
        mn_strbuf_puts(&p->notebook, notebook);
    }
    for (size_t i = 0; i < json_array_size(cited); i++)
        for (uint32_t f = 0; f < n; f++)
            if (json_integer_value(json_array_get(cited, i)) == (json_int_t)facts[f]) mn_met_add(&p->facts, facts[f]);
}

/* A notebook that takes more than a quarter of the window is rewritten, or cut where that does not help. */
static mn_status compact(mn_walker *w, mn_walk_path *p, mn_error *err) {
    int64_t most = w->params.window_tokens / 4;
    char *text;
    if (count(w, p->notebook.data, p->notebook.bytes) <= most) return MN_OK;
    question q = {.prompt = mn_prompt_compact, .purpose = "compact"};
    MN_TRY(new_items(&q, 1, err));
    mn_status status = add_item(&q, err, "%s", p->notebook.data);
    if (status == MN_OK) status = call(w, &q, &text, err);
    free_items(&q);
    MN_TRY(status);
    if (*text && count(w, text, strlen(text)) <= most) {
        mn_strbuf_reset(&p->notebook);
        mn_strbuf_puts(&p->notebook, text);
    } else {
        p->notebook.bytes = fitting_bytes(w, p->notebook.data, most / 2);
        p->notebook.data[p->notebook.bytes] = '\0';
    }
    free(text);
    return MN_OK;
}

/* ---- stages ---- */

static mn_status plan(mn_walker *w, mn_error *err) {
    question q = {.prompt = mn_prompt_plan, .purpose = "plan"};
    char *text;
    MN_TRY(call(w, &q, &text, err));
    json_t *reply = object_in(text);
    const char *said = json_string_value(json_object_get(reply, "plan"));
    w->walk->plan = strdup(said ? said : text);
    json_decref(reply);
    free(text);
    return w->walk->plan ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory for a plan.");
}

/* Edits between two texts, at most 3. */
static int distance(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b);
    int row[128];
    if (n >= 128 || m >= 128 || (n > m ? n - m : m - n) > 2) return 3;
    for (size_t k = 0; k <= m; k++) row[k] = (int)k;
    for (size_t i = 1; i <= n; i++) {
        int corner = row[0];
        row[0] = (int)i;
        for (size_t k = 1; k <= m; k++) {
            int up = row[k], change = corner + (a[i - 1] != b[k - 1]);
            row[k] = MN_MIN(change, MN_MIN(up, row[k - 1]) + 1);
            corner = up;
        }
    }
    return MN_MIN(row[m], 3);
}

/* The shown item whose key a model means: the same words, or up to two letters beside it; -1 = none. */
static int item_of(mn_walker *w, const question *q, const char *text) {
    mn_graph *g = w->graph;
    int best = -1, least = 3;
    mn_strbuf form = MN_STRBUF_INIT;
    if (mn_words_find(&g->lexicon, text, strlen(text), &g->words, NULL) == MN_OK &&
        mn_key_form(&g->lexicon, &g->words, 0, g->words.n, &form))
        for (uint32_t i = 0; i < q->n_shown && least > 0; i++) {
            size_t bytes = strcspn(q->items[i], "\t");
            if (mn_words_find(&g->lexicon, q->items[i], bytes, &g->words, NULL) != MN_OK ||
                !mn_key_form(&g->lexicon, &g->words, 0, g->words.n, &g->form))
                continue;
            int d = distance(form.data, g->form.data);
            if (d < least) {
                least = d;
                best = (int)i;
            }
        }
    mn_strbuf_release(&form);
    return best;
}

/* Inserts the item by its score; numbers are items until select_keys turns them into keys. */
static void insert_node(mn_decision *out, double *scores, uint32_t item, double score) {
    for (uint32_t i = 0; i < out->n; i++)
        if (out->numbers[i] == item) return;
    if (out->n == MN_WALK_PAGE) return;
    uint32_t at = out->n++;
    for (; at > 0 && scores[at - 1] < score; at--) {
        scores[at] = scores[at - 1];
        out->numbers[at] = out->numbers[at - 1];
    }
    scores[at] = score;
    out->numbers[at] = item;
}

static bool accept_nodes(mn_walker *w, mn_walk_path *p, const question *q, const json_t *reply, mn_decision *out) {
    const json_t *nodes = json_object_get(reply, "nodes");
    double scores[MN_WALK_PAGE];
    (void)p;
    out->n = 0;
    for (size_t i = 0; i < json_array_size(nodes) && i < MN_WALK_PAGE; i++) {
        const json_t *node = json_array_get(nodes, i),
                     *key = json_is_object(node) ? json_object_get(node, "key") : node;
        int item = json_is_string(key) ? item_of(w, q, json_string_value(key)) : -1;
        if (item >= 0) insert_node(out, scores, (uint32_t)item, json_number_value(json_object_get(node, "score")));
    }
    return out->n > 0;
}

static mn_status select_keys(mn_walker *w, const mn_hit *keys, uint32_t n, uint32_t max, mn_decision *out,
                             mn_error *err) {
    question q = {.prompt = mn_prompt_select, .purpose = "select"};
    MN_TRY(new_items(&q, n, err));
    mn_status status = MN_OK;
    for (uint32_t i = 0; status == MN_OK && i < n; i++) {
        mn_key key;
        status = mn_graph_key(w->graph, keys[i].number, &key, err);
        if (status == MN_OK) status = add_item(&q, err, "%s", key.text);
        mn_key_release(&key);
    }
    out->n = MN_MIN(n, max);
    for (uint32_t i = 0; i < out->n; i++) out->numbers[i] = i;
    if (status == MN_OK) status = decide(w, NULL, &q, accept_nodes, out, err);
    out->n = MN_MIN(out->n, max);
    for (uint32_t i = 0; i < out->n; i++) out->numbers[i] = keys[out->numbers[i]].number;
    free_items(&q);
    return status;
}

/* The page of facts that a reply is about. */
typedef struct page {
    question q; /* first: accept functions get a pointer to it */
    const uint32_t *facts;
    uint32_t n;
} page;

static bool accept_facts(mn_walker *w, mn_walk_path *p, const question *q, const json_t *reply, mn_decision *out) {
    const page *shown = (const page *)q;
    const json_t *arguments;
    const char *action = action_of(reply, &arguments);
    if (!strcmp(action, "stop_and_read_neighbor")) {
        *out = (mn_decision){.move = MN_MOVE_NEIGHBOUR};
        take_notes(p, reply, shown->facts, q->n_shown);
        return true;
    }
    if (strcmp(action, "read_chunk") != 0) return false;
    const json_t *ids = json_object_get(arguments, "ids");
    *out = (mn_decision){.move = MN_MOVE_READ};
    for (size_t i = 0; i < json_array_size(ids) && out->n < MN_WALK_PAGE; i++)
        for (uint32_t f = 0; f < q->n_shown; f++) {
            uint32_t passage = w->graph->passage_of[shown->facts[f]];
            bool known = false;
            for (uint32_t k = 0; k < out->n; k++) known = known || out->numbers[k] == passage;
            if (json_integer_value(json_array_get(ids, i)) != (json_int_t)passage || known) continue;
            out->numbers[out->n++] = passage;
            break;
        }
    if (out->n) take_notes(p, reply, shown->facts, q->n_shown);
    return out->n > 0;
}

/* Without a usable action: all passages listed, up to three. */
static void default_reads(const mn_walker *w, const uint32_t *facts, uint32_t n, mn_decision *out) {
    *out = (mn_decision){.move = MN_MOVE_READ};
    for (uint32_t i = 0; i < n && out->n < MN_WALK_MAX_READ; i++) {
        bool known = false;
        for (uint32_t k = 0; k < out->n; k++) known = known || out->numbers[k] == w->graph->passage_of[facts[i]];
        if (!known) out->numbers[out->n++] = w->graph->passage_of[facts[i]];
    }
}

static mn_status facts(mn_walker *w, mn_walk_path *p, const uint32_t *list, uint32_t n, mn_decision *out,
                       mn_error *err) {
    page shown = {.q = {.prompt = mn_prompt_facts, .purpose = "facts", .path = p}, .facts = list, .n = n};
    MN_TRY(compact(w, p, err));
    MN_TRY(new_items(&shown.q, n, err));
    mn_status status = MN_OK;
    for (uint32_t i = 0; status == MN_OK && i < n; i++) {
        mn_fact fact;
        status = mn_graph_fact(w->graph, list[i], &fact, err);
        if (status == MN_OK)
            status = add_item(&shown.q, err, "chunk %u, fact %u: %s", fact.passage, fact.number, fact.text);
        mn_fact_release(&fact);
    }
    default_reads(w, list, n, out);
    if (status == MN_OK) status = decide(w, p, &shown.q, accept_facts, out, err);
    free_items(&shown.q);
    return status;
}

static bool accept_chunk(mn_walker *w, mn_walk_path *p, const question *q, const json_t *reply, mn_decision *out) {
    static const mn_move moves[] = {MN_MOVE_MORE, MN_MOVE_PREVIOUS, MN_MOVE_SUBSEQUENT, MN_MOVE_END};
    const page *shown = (const page *)q;
    const json_t *arguments;
    const char *action = action_of(reply, &arguments);
    (void)w;
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++)
        if (!strcmp(action, mn_move_name(moves[i]))) {
            out->move = moves[i];
            take_notes(p, reply, shown->facts, shown->n);
            return true;
        }
    return false;
}

static mn_status chunk(mn_walker *w, mn_walk_path *p, const mn_passage *passage, mn_decision *out, mn_error *err) {
    uint32_t n = passage->end_fact - passage->first_fact, *numbers = malloc((n + (size_t)1) * sizeof *numbers);
    if (!numbers) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for %u facts.", n);
    page shown = {.q = {.prompt = mn_prompt_chunk, .purpose = "chunk", .path = p}, .facts = numbers, .n = n};
    mn_status status = compact(w, p, err);
    if (status == MN_OK) status = new_items(&shown.q, n + 1, err);
    if (status == MN_OK)
        status = add_item(&shown.q, err, "Chunk %u of %.200s%s%.200s%s%.100s", passage->number, passage->file,
                          *passage->title ? ", " : "", passage->title, *passage->speaker ? ", said by " : "",
                          passage->speaker);
    for (uint32_t i = 0; status == MN_OK && i < n; i++) {
        mn_fact fact;
        numbers[i] = passage->first_fact + i;
        status = mn_graph_fact(w->graph, numbers[i], &fact, err);
        if (status == MN_OK) status = add_item(&shown.q, err, "fact %u: %s", fact.number, fact.text);
        mn_fact_release(&fact);
    }
    out->move = MN_MOVE_MORE;
    if (status == MN_OK) status = decide(w, p, &shown.q, accept_chunk, out, err);
    free_items(&shown.q);
    free(numbers);
    return status;
}

static bool accept_neighbour(mn_walker *w, mn_walk_path *p, const question *q, const json_t *reply, mn_decision *out) {
    const json_t *arguments;
    const char *action = action_of(reply, &arguments);
    const char *key = json_string_value(json_object_get(arguments, "key"));
    (void)p;
    if (!strcmp(action, "termination")) return true;
    int item = !strcmp(action, "read_neighbor_node") && key ? item_of(w, q, key) : -1;
    if (item < 0) return false;
    *out = (mn_decision){.move = MN_MOVE_NEIGHBOUR, .numbers = {(uint32_t)item}, .n = 1};
    return true;
}

static mn_status neighbour(mn_walker *w, mn_walk_path *p, const mn_neighbour *keys, uint32_t n, mn_decision *out,
                           mn_error *err) {
    question q = {.prompt = mn_prompt_neighbour, .purpose = "neighbour", .path = p};
    MN_TRY(compact(w, p, err));
    MN_TRY(new_items(&q, n, err));
    mn_status status = MN_OK;
    for (uint32_t i = 0; status == MN_OK && i < n; i++) {
        mn_key key;
        status = mn_graph_key(w->graph, keys[i].key, &key, err);
        if (status == MN_OK) status = add_item(&q, err, "%s\t%u shared", key.text, keys[i].n_shared);
        mn_key_release(&key);
    }
    out->move = MN_MOVE_END;
    if (status == MN_OK) status = decide(w, p, &q, accept_neighbour, out, err);
    if (status == MN_OK && out->move == MN_MOVE_NEIGHBOUR) out->numbers[0] = keys[out->numbers[0]].key;
    free_items(&q);
    return status;
}

const mn_walk_policy mn_walk_by_model = {
    .plan = plan, .select = select_keys, .facts = facts, .chunk = chunk, .neighbour = neighbour};

/* ---- the answer ---- */

static mn_status add_evidence(mn_walker *w, question *q, mn_error *err) {
    for (uint32_t i = 0; i < w->walk->n_evidence; i++) {
        mn_fact fact;
        mn_status status = mn_graph_fact(w->graph, w->walk->evidence[i].number, &fact, err);
        if (status == MN_OK)
            status = w->params.reads_only ? add_item(q, err, "%s", fact.text)
                                          : add_item(q, err, "fact %u: %s", fact.number, fact.text);
        mn_fact_release(&fact);
        MN_TRY(status);
    }
    return MN_OK;
}

/* Facts that the answer cites come first among the evidence. */
static void take_citations(mn_walk *walk, const json_t *cited) {
    uint32_t n = 0;
    for (size_t i = 0; i < json_array_size(cited); i++)
        for (uint32_t e = n; e < walk->n_evidence; e++) {
            mn_hit hit = walk->evidence[e];
            if (json_integer_value(json_array_get(cited, i)) != (json_int_t)hit.number) continue;
            memmove(walk->evidence + n + 1, walk->evidence + n, (e - n) * sizeof hit);
            walk->evidence[n++] = hit;
            break;
        }
}

static mn_status answer_as_json(mn_walker *w, question *q, mn_error *err) {
    char *text;
    MN_TRY(call(w, q, &text, err));
    json_t *reply = object_in(text);
    const char *said = json_string_value(json_object_get(reply, "answer"));
    w->walk->answer = strdup(said ? said : text);
    take_citations(w->walk, json_object_get(reply, "citations"));
    json_decref(reply);
    free(text);
    return w->walk->answer ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory for an answer.");
}

/* A model that only reads: the evidence, best last so that it stands beside the question, and the question. */
static mn_status answer_in_words(mn_walker *w, const question *q, mn_error *err) {
    mn_llm_reply reply;
    mn_status status = MN_OK;
    for (uint32_t n = q->n_items; n > 0; n--) {
        mn_strbuf text = MN_STRBUF_INIT;
        for (uint32_t i = n; i-- > 0;) mn_strbuf_printf(&text, "%s%s", q->items[i], i ? " " : "");
        const mn_llm_message messages[] = {{.role = "system", .content = text.data},
                                           {.role = "user", .content = w->walk->question}};
        const mn_llm_request request = {.messages = messages, .n_messages = 2, .purpose = "answer", .max_tokens = 48};
        int64_t used;
        status = mn_llm_count_request(w->llm, &request, &used, err);
        bool fits = status == MN_OK && used + request.max_tokens <= w->params.window_tokens;
        if (fits) status = mn_llm_ask(w->llm, &request, &reply, err);
        mn_strbuf_release(&text);
        MN_TRY(status);
        if (!fits) continue;
        w->walk->answer = strdup(reply.content + strspn(reply.content, " \n"));
        mn_llm_reply_release(&reply);
        return w->walk->answer ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory for an answer.");
    }
    return mn_fail(err, MN_ERR_LIMIT, "A window of %lld tokens holds no fact beside the question.",
                   (long long)w->params.window_tokens);
}

mn_status mn_walk_answer_by_model(mn_walker *w, mn_error *err) {
    question q = {.prompt = mn_prompt_answer, .purpose = "answer"};
    uint32_t n_notebooks = w->params.reads_only ? 0 : (uint32_t)w->walk->n_paths;
    MN_TRY(new_items(&q, w->walk->n_evidence + n_notebooks, err));
    mn_status status = MN_OK;
    int64_t share = w->params.window_tokens / 2 / MN_MAX((int64_t)n_notebooks, 1);
    for (uint32_t i = 0; status == MN_OK && i < n_notebooks; i++) {
        const char *notebook = w->walk->notebooks[i];
        status = add_item(&q, err, "Notebook %u: %.*s", i + 1, (int)fitting_bytes(w, notebook, share), notebook);
    }
    if (status == MN_OK) status = add_evidence(w, &q, err);
    if (status == MN_OK) status = w->params.reads_only ? answer_in_words(w, &q, err) : answer_as_json(w, &q, err);
    free_items(&q);
    return status;
}
