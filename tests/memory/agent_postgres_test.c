/* Agents in PostgreSQL: killed at random points, and with a server that goes away in the middle of a turn. */
#include "support/support.h"

#if defined MNEMO_HAVE_POSTGRES && defined MNEMO_HAVE_GRAPH
#include "memory/agent_postgres.h"
#include "memory/kills.h"
#include "memory/recall_saved_cases.h"
#include "memory/restore_cases.h"

static void it_goes_on(void **state) {
    (void)state;
    kill_often(12, 10, 100000);
}

/* ---- a server that goes away ---- */

typedef struct outage {
    int at, n_calls; /* before which call of the model the server goes away, and how many there were */
    bool stops;      /* it stops; else this connection alone is cut */
    bool is_down;
} outage;

static mn_status worker_with_outage(void *arg, const mn_llm_request *request, mn_llm_reply *reply, mn_error *e) {
    outage *o = arg;
    if (o->n_calls++ == o->at) {
        if (o->stops)
            halt_server();
        else
            assert_int_equal(cut_connections(), 0);
        o->is_down = o->stops;
    }
    return worker(NULL, request, reply, e);
}

static int n_said;
static bool count_said(void *arg, int64_t message, const char *text) {
    (void)arg;
    assert_true(message > 0);
    assert_string_equal(text, "turn-0");
    n_said++;
    return true;
}

/* A turn with an outage ends in a sentence; opened again, it goes on, and everything is there once. */
static void lose(outage o) {
    static const mn_agent_params params = {.style = MN_AGENT_MEMGPT, .said = count_said};
    char place[512];
    mn_agent *agent;
    mn_llm *llm;
    int64_t n;
    mn_store *store = new_store("agent-lost.db");
    place_of("agent-lost.db", place, sizeof place);
    n_said = 0;
    assert_ok(mn_llm_open_script("worker", 5500, worker_with_outage, &o, &llm, &err), err);
    assert_ok(mn_agent_open(store, llm, "ann", &params, &agent, &err), err);
    assert_ok(mn_agent_say(agent, "turn-0", NULL, &err), err);
    assert_int_equal(mn_agent_run(agent, &err), MN_ERR_IO);
    if (!strstr(err.text, "The connection to PostgreSQL is lost")) fail_msg("%s", err.text);
    assert_non_null(strstr(err.text, "What was committed is kept"));
    /* As long as it is away every call ends so. */
    assert_int_equal(mn_agent_say(agent, "turn-1", NULL, &err), MN_ERR_IO);
    assert_int_equal(mn_agent_run(agent, &err), MN_ERR_IO);
    mn_agent_close(agent);
    mn_store_close(store);
    if (o.is_down) {
        assert_int_equal(mn_store_open(place, NULL, &store, &err), MN_ERR_IO);
        assert_non_null(strstr(err.text, "PostgreSQL cannot be reached"));
        assert_int_equal(resume_server(), 0);
    }
    assert_ok(mn_store_open(place, NULL, &store, &err), err);
    assert_ok(mn_agent_open(store, llm, "ann", &params, &agent, &err), err);
    assert_true(mn_agent_goes_on(agent));
    assert_ok(mn_agent_run(agent, &err), err);
    assert_int_equal(n_said, 1);
    assert_ok(mn_recall_check(store, 1, &n, &err), err);
    assert_int_equal(number(store, "SELECT count(*) FROM message WHERE role = 'user'"), 1);
    assert_int_equal(number(store, "SELECT count(*) FROM message WHERE role = 'tool'"), 3);
    assert_int_equal(number(store, "SELECT count(*) FROM archival"), 1);
    assert_int_equal(number(store, "SELECT count(*) FROM block_version"), 3);
    assert_int_equal(number(store, "SELECT count(*) FROM outbox"), 0);
    mn_agent_close(agent);
    mn_llm_close(llm);
    mn_store_close(store);
}

static void a_lost_connection_loses_nothing(void **state) {
    (void)state;
    for (int at = 0; at < 3; at++) lose((outage){.at = at});
}

static void a_stopped_server_loses_nothing(void **state) {
    (void)state;
    lose((outage){.at = 1, .stops = true});
}

/* ---- from store to store ---- */

static mn_store *moved(const char *name, const char *text, const char *where) {
    const char *before = server_folder;
    server_folder = where;
    mn_store *store = restored(name, text);
    server_folder = before;
    return store;
}

static void stores_go_from_file_to_server_and_back(void **state) {
    (void)state;
    mn_store *stores[3];
    char *texts[3];
    server_folder = NULL;
    put_texts(&stores[0], "moves-0");
    server_folder = folder;
    put_memory(stores[0]);
    put_vectors(stores[0]);
    put_call(stores[0]);
    for (int i = 0; i < 3; i++) {
        if (i) stores[i] = moved(i == 1 ? "moves-1.db" : "moves-2.db", texts[i - 1], i == 1 ? folder : NULL);
        texts[i] = export_of(stores[i]);
        assert_string_equal(texts[i], texts[0]);
        check_search(stores[i]);
    }
    for (int i = 0; i < 3; i++) {
        mn_store_close(stores[i]);
        free(texts[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_goes_on),
        cmocka_unit_test(a_lost_connection_loses_nothing),
        cmocka_unit_test(a_stopped_server_loses_nothing),
        RESTORE_CASES,
        cmocka_unit_test(a_damaged_index_is_made_anew),
        cmocka_unit_test(stores_go_from_file_to_server_and_back),
    };
    return run_on_server(tests);
}
#else
int main(void) {
    puts("skipped: this build has no memory, or cannot reach PostgreSQL");
    return 77;
}
#endif
