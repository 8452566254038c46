/* The queue manager under random messages: sizes from a token to three windows, groups of calls, rubbish. What must
 * hold at every prompt is checked by the model that gets it. */
#ifndef MN_TESTS_QUEUE_CASES_H
#define MN_TESTS_QUEUE_CASES_H

#include "base/clock.h"
#include "base/random.h"
#include "memory/agent_inside.h"
#include "memory/scripted.h"

#include <math.h>

enum { WINDOW = 6000 };

typedef struct fuzz {
    mn_random rng;
    mn_llm *llm;
    mn_agent *agent;
    int64_t n_users; /* messages said so far */
    int64_t n_calls, n_summaries, n_flushes, seen_summaries, most_tokens, n_allowed, n_refused;
} fuzz;

static const mn_agent_params fuzz_params = {
    .style = MN_AGENT_PLAIN, .max_steps = 12, .consent = "archival_memory_insert,no_such_function"};

/* Message number i: always the same text; its size in tokens is log-uniform from 1 to 3 windows. */
static void make_message(int64_t i, mn_strbuf *out) {
    mn_random rng;
    mn_random_seed(&rng, (uint64_t)i, 5);
    size_t bytes = (size_t)(3.0 * exp(mn_random_double(&rng) * log(3.0 * WINDOW)));
    mn_strbuf_reset(out);
    mn_strbuf_printf(out, "u%lld", (long long)i);
    while (out->bytes < bytes) mn_strbuf_printf(out, " w%u", mn_random_below(&rng, 3000));
    if (mn_random_below(&rng, 8) == 0) mn_strbuf_puts(out, " \xe2\x9c\x93\"\\\n\t");
}

/* A result stands behind the call it belongs to, and each call has its result. */
static void check_groups(const mn_llm_request *r) {
    for (size_t i = 1; i < r->n_messages; i++) {
        if (strcmp(r->messages[i].role, "tool") == 0) {
            size_t k = i - 1;
            while (!strcmp(r->messages[k].role, "tool")) k--;
            assert_true(i - k <= r->messages[k].n_calls);
            assert_string_equal(r->messages[k].calls[i - k - 1].id, r->messages[i].call_id);
        }
        for (size_t c = 0; c < r->messages[i].n_calls; c++) {
            assert_true(i + c + 1 < r->n_messages);
            assert_string_equal(r->messages[i + c + 1].role, "tool");
        }
    }
}

/* The user's last message is there, as itself or by its number. */
static void check_last_user(const fuzz *f, const mn_llm_request *r) {
    char name[40], number_[40];
    int64_t id = 0;
    for (size_t i = 0; i < f->agent->queue.n; i++)
        if (!strcmp(f->agent->queue.items[i].message.at.role, "user")) id = f->agent->queue.items[i].message.at.id;
    snprintf(name, sizeof name, "u%lld", (long long)f->n_users - 1);
    snprintf(number_, sizeof number_, "message %lld]", (long long)id);
    bool found = false;
    for (size_t i = 1; i < r->n_messages && !found; i++)
        if (!strcmp(r->messages[i].role, "user"))
            found = !strncmp(r->messages[i].content, name, strlen(name)) || strstr(r->messages[i].content, number_);
    assert_true(found);
}

static void check_counts(fuzz *f, const mn_llm_request *r) {
    const mn_agent *a = f->agent;
    const mn_agent_context *c = &a->context;
    int64_t tokens, budget = mn_agent_budget(a);
    assert_ok(mn_llm_count_request(f->llm, r, &tokens, &err), err);
    assert_true(tokens <= budget);
    assert_true(r->max_tokens == a->params.reserve_tokens);
    if (tokens > f->most_tokens) f->most_tokens = tokens;
    if (r->n_messages != a->queue.n + 1) return; /* with a complaint */
    assert_int_equal(
        c->instructions + c->functions + c->blocks + c->metadata + c->summary + c->template_ + a->queue.tokens, tokens);
    if (f->n_summaries == f->seen_summaries) {
        if ((double)tokens >= 0.7 * (double)budget) assert_true(a->row.warned);
    } else { /* messages have just left */
        f->seen_summaries = f->n_summaries;
        f->n_flushes++;
        assert_true(2 * a->queue.tokens <= mn_agent_queue_room(a));
    }
}

static void answer_at_random(fuzz *f, mn_llm_reply *reply) {
    static const char *const calls[] = {"conversation_search {\"query\":\"u%u\",\"limit\":3}",
                                        "archival_memory_insert {\"content\":\"w%u\"}",
                                        "core_memory_append {\"label\":\"human\",\"content\":\"%u\"}",
                                        "memory_rethink {\"label\":\"human\",\"new_memory\":\"%u\"}",
                                        "conversation_read {\"message\":%u}",
                                        "no_such_function {\"x\":%u}",
                                        "conversation_search rubbish %u"};
    mn_strbuf text = MN_STRBUF_INIT;
    uint32_t kind = mn_random_below(&f->rng, 16), n = kind < 9 ? 1 + mn_random_below(&f->rng, 6) : 0;
    for (uint32_t i = 0; i < n; i++) {
        char call[160];
        snprintf(call, sizeof call, calls[mn_random_below(&f->rng, 7)], mn_random_below(&f->rng, 3000));
        mn_strbuf_printf(&text, "%s%s", i ? "|" : "", call);
    }
    if (n) {
        take_calls(text.data, reply);
        mn_strbuf_reset(&text);
    }
    for (uint32_t i = mn_random_below(&f->rng, 300); i > 0 && kind != 15; i--) mn_strbuf_printf(&text, "a%u ", i);
    reply->content = mn_strbuf_detach(&text, NULL);
}

static mn_status fuzz_model(void *arg, const mn_llm_request *request, mn_llm_reply *reply, mn_error *e) {
    fuzz *f = arg;
    int64_t tokens;
    if (!strcmp(request->purpose, "summary")) {
        f->n_summaries++;
        assert_ok(mn_llm_count_request(f->llm, request, &tokens, e), *e);
        assert_true(tokens + request->max_tokens <= WINDOW);
        if (mn_random_below(&f->rng, 20) == 0) return mn_fail(e, MN_ERR_IO, "The summariser is away.");
        mn_strbuf text = MN_STRBUF_INIT;
        for (uint32_t i = mn_random_below(&f->rng, 2000); i > 0; i--) mn_strbuf_putc(&text, 's');
        reply->content = mn_strbuf_detach(&text, NULL);
        return MN_OK;
    }
    f->n_calls++;
    check_counts(f, request);
    check_groups(request);
    check_last_user(f, request);
    answer_at_random(f, reply);
    return MN_OK;
}

/* Calls that wait: allowed, refused, or left for another program to decide. What waits is in the queue, and stays. */
static void decide(fuzz *f, mn_store *store) {
    bool waits;
    mn_llm_reply call;
    assert_ok(mn_agent_waits(f->agent, &waits, &call, &err), err);
    if (!waits) return;
    assert_true(mn_agent_needs_consent(f->agent, call.calls[0].name));
    assert_int_equal(mn_agent_say(f->agent, "Meanwhile.", NULL, &err), MN_ERR_ARGUMENT);
    if (mn_random_below(&f->rng, 64) == 0) {
        mn_llm_reply again;
        mn_agent_close(f->agent);
        assert_ok(mn_agent_open(store, f->llm, "ann", &fuzz_params, &f->agent, &err), err);
        assert_ok(mn_agent_waits(f->agent, &waits, &again, &err), err);
        assert_true(waits);
        assert_string_equal(again.calls[0].id, call.calls[0].id);
        assert_string_equal(again.calls[0].arguments, call.calls[0].arguments);
        mn_llm_reply_release(&again);
    }
    mn_llm_reply_release(&call);
    bool allowed = mn_random_below(&f->rng, 3) > 0;
    *(allowed ? &f->n_allowed : &f->n_refused) += 1;
    assert_ok(mn_agent_decide(f->agent, allowed, "Not now.", &err), err);
}

/* The turn to its end. */
static void run_turn(fuzz *f, mn_store *store) {
    do {
        while (mn_agent_run(f->agent, &err) != MN_OK) /* of no use thrice, or too many steps */
            assert_true(err.status == MN_ERR_FORMAT || err.status == MN_ERR_LIMIT);
        decide(f, store);
    } while (mn_agent_goes_on(f->agent));
}

static bool compare_message(void *arg, const mn_message *m) {
    static mn_strbuf text = MN_STRBUF_INIT;
    int64_t *n = arg;
    if (strcmp(m->role, "user") != 0) return true;
    make_message((*n)++, &text);
    assert_int_equal(m->bytes, text.bytes);
    assert_memory_equal(m->text, text.data, text.bytes);
    return true;
}

static void fuzz_queue(const char *file, int64_t n_messages) {
    fuzz f = {0};
    mn_strbuf text = MN_STRBUF_INIT;
    mn_store *store = new_store(file);
    int64_t n = 0;
    double start = mn_clock_seconds();
    /* What outlives the machine is not asked here. */
    if (!server_folder) assert_ok(mn_store_exec(store, "PRAGMA synchronous = OFF", &err), err);
    mn_random_seed(&f.rng, 3, 3);
    assert_ok(mn_llm_open_script("fuzz", WINDOW, fuzz_model, &f, &f.llm, &err), err);
    assert_ok(mn_agent_open(store, f.llm, "ann", &fuzz_params, &f.agent, &err), err);
    while (f.agent->row.n_messages < n_messages) {
        make_message(f.n_users++, &text);
        if (f.n_users % 10000 == 0) {
            printf("%lld messages, %.0f s\n", (long long)f.agent->row.n_messages, mn_clock_seconds() - start);
            fflush(stdout);
        }
        assert_ok(mn_agent_say(f.agent, text.data, NULL, &err), err);
        run_turn(&f, store);
    }
    int64_t alerts = number(store, "SELECT count(*) FROM message WHERE role = 'event' AND text LIKE '%nearly full%'");
    assert_true(alerts == f.n_flushes || alerts == f.n_flushes + 1);
    assert_ok(mn_recall_each(store, 1, 0, compare_message, &n, &err), err);
    assert_int_equal(n, f.n_users);
    assert_ok(mn_recall_check(store, 1, &n, &err), err);
    assert_int_equal(n, f.agent->row.n_messages);
    assert_true(f.n_allowed > n / 1000 && f.n_refused > n / 1000);
    printf("%lld messages, %lld of them users', %lld calls allowed, %lld refused: %.1f s; %lld flushes, %.1f calls for "
           "summaries and %.1f for answers a thousand messages; the longest prompt %lld of %lld tokens\n",
           (long long)n, (long long)f.n_users, (long long)f.n_allowed, (long long)f.n_refused,
           mn_clock_seconds() - start, (long long)f.n_flushes, 1e3 * (double)f.n_summaries / (double)n,
           1e3 * (double)f.n_calls / (double)n, (long long)f.most_tokens, (long long)mn_agent_budget(f.agent));
    mn_agent_close(f.agent);
    mn_llm_close(f.llm);
    mn_strbuf_release(&text);
    mn_store_close(store);
}

#endif
