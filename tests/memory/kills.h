/* An agent that is killed, again and again, at random points of its turns: in the end nothing that was said is lost,
 * and each effect is there once. */
#ifndef MN_TESTS_KILLS_H
#define MN_TESTS_KILLS_H

#include "base/random.h"
#include "memory/scripted.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

/* The model: for each message it writes a block, puts a text away, and answers; what comes next it sees by the results
 * in its prompt. */
static mn_status worker(void *arg, const mn_llm_request *request, mn_llm_reply *reply, mn_error *e) {
    static const char *const calls[] = {
        "memory_rethink {\"label\":\"human\",\"new_memory\":\"%s\",\"request_heartbeat\":true}",
        "archival_memory_insert {\"content\":\"%s\",\"request_heartbeat\":true}",
        "send_message {\"message\":\"%s\"}",
    };
    (void)arg, (void)e;
    if (request->purpose && !strcmp(request->purpose, "summary")) {
        reply->content = strdup("They counted.");
        return MN_OK;
    }
    size_t n = 0;
    const char *turn = NULL;
    for (size_t i = request->n_messages; i-- && !turn;) {
        const mn_llm_message *m = &request->messages[i];
        n += !strcmp(m->role, "tool");
        if (!strcmp(m->role, "user")) turn = strstr(m->content, "turn-");
    }
    assert_non_null(turn);
    char name[16], call[200];
    snprintf(name, sizeof name, "%.*s", (int)strspn(turn, "turn-0123456789"), turn);
    snprintf(call, sizeof call, calls[n < 3 ? n : 2], name);
    take_calls(call, reply);
    return MN_OK;
}

/* Writes "NUMBER TEXT" at once, so that a line is there or not. */
static bool hand_over(void *arg, int64_t message, const char *text) {
    char line[64];
    int n = snprintf(line, sizeof line, "%lld %s\n", (long long)message, text);
    return write(*(int *)arg, line, (size_t)n) == n;
}

enum { DONE, FAILED, MET_ANOTHER };

/* Takes up the agent where it is, and goes on to n_turns; never returns. A server may still commit the last step of a
 * worker that was killed: the next one may meet it, and says so. */
static void work(const char *place, const char *handed, const char *taken, int n_turns) {
    mn_error e;
    mn_store *store;
    mn_llm *llm;
    mn_agent *agent;
    int64_t done;
    char text[900], filler[800];
    int out = open(handed, O_WRONLY | O_CREAT | O_APPEND, 0600), in = open(taken, O_WRONLY | O_CREAT | O_APPEND, 0600);
    const mn_agent_params params = {.style = MN_AGENT_MEMGPT, .said = hand_over, .arg = &out};
    memset(filler, 'x', sizeof filler - 1);
    filler[sizeof filler - 1] = '\0';
    bool ok = out >= 0 && in >= 0 && mn_store_open(place, NULL, &store, &e) == MN_OK &&
              mn_llm_open_script("worker", 5500, worker, NULL, &llm, &e) == MN_OK &&
              mn_agent_open(store, llm, "ann", &params, &agent, &e) == MN_OK && mn_agent_run(agent, &e) == MN_OK;
    while (ok) {
        ok = mn_store_number(store, 0, &done, &e, "SELECT count(*) FROM message WHERE role = 'user'", "") == MN_OK;
        if (!ok || done == n_turns) break;
        int n = snprintf(text, sizeof text, "turn-%lld %s", (long long)done, filler);
        ok = n > 0 && mn_agent_say(agent, text, NULL, &e) == MN_OK;
        if (ok) dprintf(in, "%lld\n", (long long)done); /* from here on it was said */
        ok = ok && mn_agent_run(agent, &e) == MN_OK;
    }
    bool met = !ok && server_folder && strstr(e.text, "Another program spoke");
    if (!ok && !met) fprintf(stderr, "%s\n", e.text);
    _exit(ok ? DONE : met ? MET_ANOTHER : FAILED);
}

/* Runs a worker and kills it after some microseconds; true when it was done before. */
static bool work_a_while(const char *place, const char *handed, const char *taken, int n_turns, unsigned microseconds) {
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) work(place, handed, taken, n_turns);
    if (microseconds) usleep(microseconds);
    if (microseconds) kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) assert_int_not_equal(WEXITSTATUS(status), FAILED);
    return WIFEXITED(status) && WEXITSTATUS(status) == DONE;
}

/* Each message handed over, by number; the same number has the same text. */
static int count_handed(const char *path) {
    size_t bytes;
    char *text = read_all(path, &bytes), *rest = text;
    long long last = 0;
    int n = 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        long long number_ = atoll(line);
        if (number_ == last) continue; /* it came twice */
        char wanted[40];
        snprintf(wanted, sizeof wanted, "turn-%d", n++);
        assert_true(number_ > last);
        assert_string_equal(strchr(line, ' ') + 1, wanted);
        last = number_;
    }
    free(text);
    return n;
}

static int count_lines(const char *path) {
    size_t bytes;
    char *text = read_all(path, &bytes);
    int n = 0;
    for (size_t i = 0; i < bytes; i++) n += text[i] == '\n';
    free(text);
    return n;
}

static void check_all(mn_store *store, const char *handed, const char *taken, int n_turns) {
    int64_t n;
    assert_ok(mn_recall_check(store, 1, &n, &err), err);
    assert_int_equal(number(store, "SELECT count(*) FROM message WHERE role = 'user'"), n_turns);
    assert_true(count_lines(taken) <= n_turns);
    assert_int_equal(number(store, "SELECT count(*) FROM block_version v JOIN block b ON b.id = v.block "
                                   "WHERE b.label = 'human'"),
                     n_turns + 1);
    assert_int_equal(number(store, "SELECT count(*) FROM archival"), n_turns);
    assert_int_equal(number(store, "SELECT count(*) FROM message WHERE role = 'tool'"), 3 * n_turns);
    assert_int_equal(number(store, "SELECT count(*) FROM message WHERE name = 'said'"), n_turns);
    assert_int_equal(number(store, "SELECT count(*) FROM outbox"), 0);
    assert_true(number(store, "SELECT count(*) FROM summary") > n_turns / 20);
    assert_int_equal(count_handed(handed), n_turns);
}

/* Kills come up to max_microseconds after a worker began. */
static void kill_often(int n_kills, int n_turns, uint32_t max_microseconds) {
    char place[4096], handed[4200], taken[4200];
    mn_random rng;
    int kills = 0;
    mn_store *store = new_store("agent-kills.db");
    assert_ok(mn_memory_migrate(store, &err), err);
    mn_store_close(store);
    snprintf(handed, sizeof handed, "%s.handed", temp_path("agent-kills"));
    snprintf(taken, sizeof taken, "%s.taken", temp_path("agent-kills"));
    place_of("agent-kills.db", place, sizeof place);
    unlink(handed);
    unlink(taken);
    mn_random_seed(&rng, 7, 1);
    while (kills < n_kills) {
        /* Where all turns are done before there were enough kills, there are more turns. */
        if (work_a_while(place, handed, taken, n_turns, 2000 + mn_random_below(&rng, max_microseconds)))
            n_turns += 10;
        else
            kills++;
    }
    for (int i = 0; i < 10 && !work_a_while(place, handed, taken, n_turns, 0); i++) usleep(100000);
    assert_true(work_a_while(place, handed, taken, n_turns, 0));
    assert_ok(mn_store_open(place, NULL, &store, &err), err);
    check_all(store, handed, taken, n_turns);
    mn_store_close(store);
    printf("%d kills in %d turns\n", kills, n_turns);
}

#endif
