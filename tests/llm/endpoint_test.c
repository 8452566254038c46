/* An endpoint, played by a small server in a thread: what it is sent, and what each of its moods ends in. */
#include "support/support.h"

#include "llm/llm.h"

#ifdef MNEMO_HAVE_CURL
#include <arpa/inet.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static mn_error err;

/* Answers the connections in turn with these texts; NULL: closes without one. */
typedef struct server {
    const char *const *answers;
    int n_answers, listener, port;
    _Atomic int n_served; /* read by the test while the thread waits for the next connection */
    pthread_t thread;
    char last[65536]; /* request */
} server;

static size_t content_length(const char *request) {
    const char *at = strcasestr(request, "Content-Length:");
    return at ? strtoul(at + 15, NULL, 10) : 0;
}

static void read_request(int peer, server *s) {
    size_t n = 0;
    ssize_t got;
    while (n + 1 < sizeof s->last && (got = read(peer, s->last + n, sizeof s->last - 1 - n)) > 0) {
        s->last[n += (size_t)got] = '\0';
        const char *body = strstr(s->last, "\r\n\r\n");
        if (body && n - (size_t)(body + 4 - s->last) >= content_length(s->last)) return;
    }
}

static void *serve(void *arg) {
    server *s = arg;
    while (s->n_served < s->n_answers) {
        int peer = accept(s->listener, NULL, NULL);
        if (peer < 0) break;
        read_request(peer, s);
        const char *answer = s->answers[s->n_served++];
        /* In two pieces, so that lines come broken. */
        size_t n = answer ? strlen(answer) : 0, half = n / 2;
        if (n && (send(peer, answer, half, MSG_NOSIGNAL) < 0 || usleep(2000) ||
                  send(peer, answer + half, n - half, MSG_NOSIGNAL) < 0))
            continue;
        shutdown(peer, SHUT_WR);
        char rest[256];
        while (read(peer, rest, sizeof rest) > 0) continue;
        close(peer);
    }
    return NULL;
}

static void start(server *s, const char *const *answers, int n) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    *s = (server){.answers = answers, .n_answers = n, .listener = socket(AF_INET, SOCK_STREAM, 0)};
    assert_int_equal(bind(s->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(s->listener, 8), 0);
    getsockname(s->listener, (struct sockaddr *)&address, &length);
    s->port = ntohs(address.sin_port);
    pthread_create(&s->thread, NULL, serve, s);
}

static void stop(server *s) {
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
}

#define STREAM "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
#define BUSY                                                                                                           \
    "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nConnection: close\r\n\r\n{\"error\":{\"message\":\"slow "     \
    "down\"}}"
#define DELTA(text) "data: {\"choices\":[{\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define END(reason)                                                                                                    \
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"" reason                                                    \
    "\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n"
static const char good[] = STREAM ": a comment\n\n" DELTA("Paris \\u00fc") DELTA(" is.") END("stop");

static mn_llm *open_at(const server *s, int max_tries) {
    char url[64];
    mn_llm *llm;
    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1/", s->port);
    const mn_endpoint_params params = {.url = url,
                                       .model = "tester",
                                       .max_tries = max_tries,
                                       .first_wait_ms = 1,
                                       .connect_ms = 2000,
                                       .silence_ms = 1000};
    assert_ok(mn_llm_open_endpoint(&params, &llm, &err), err);
    return llm;
}

static mn_status ask(mn_llm *llm, mn_llm_request *request, mn_llm_reply *reply) {
    static const mn_llm_message messages[] = {{.role = "system", .content = "Be brief."},
                                              {.role = "user", .content = "Where? \"\xc3\xa9\""}};
    request->messages = messages;
    request->n_messages = 2;
    return mn_llm_ask(llm, request, reply, &err);
}

static bool collect(void *arg, const char *text, size_t bytes) {
    strncat(arg, text, bytes);
    return true;
}

static void an_answer_is_streamed(void **state) {
    (void)state;
    const char *answers[] = {good};
    char text[64] = "";
    server s;
    mn_llm_reply reply;
    setenv("MNEMO_API_KEY", "sk-secret", 1);
    start(&s, answers, 1);
    mn_llm *llm = open_at(&s, 1);
    mn_llm_request request = {.temperature = 0.2,
                              .max_tokens = 64,
                              .schema_json = "{\"type\":\"object\"}",
                              .text = collect,
                              .text_arg = text};
    assert_ok(ask(llm, &request, &reply), err);
    assert_string_equal(reply.content, "Paris \xc3\xbc is.");
    assert_string_equal(text, reply.content);
    assert_int_equal(reply.prompt_tokens, 11);
    assert_int_equal(reply.completion_tokens, 3);
    assert_int_equal(reply.finish, MN_LLM_END);
    mn_llm_reply_release(&reply);
    stop(&s);
    assert_non_null(strstr(s.last, "POST /v1/chat/completions "));
    assert_non_null(strstr(s.last, "Authorization: Bearer sk-secret\r\n"));
    json_t *sent = json_loads(strstr(s.last, "\r\n\r\n") + 4, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(sent, "model")), "tester");
    assert_int_equal(json_integer_value(json_object_get(sent, "max_tokens")), 64);
    assert_true(json_is_true(json_object_get(sent, "stream")));
    const json_t *message = json_array_get(json_object_get(sent, "messages"), 1);
    assert_string_equal(json_string_value(json_object_get(message, "content")), "Where? \"\xc3\xa9\"");
    const json_t *format = json_object_get(json_object_get(sent, "response_format"), "json_schema");
    assert_non_null(json_object_get(format, "schema"));
    json_decref(sent);
    mn_llm_close(llm);
    unsetenv("MNEMO_API_KEY");
}

static void calls_come_in_pieces(void **state) {
    (void)state;
    const char *answers[] = {
        STREAM
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"find\","
        "\"arguments\":\"{\\\"q\\\":\"}}]}}]}\n\n"
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"\\\"x\\\"}\"}},"
        "{\"index\":1,\"id\":\"c2\",\"function\":{\"name\":\"stop\",\"arguments\":\"{}\"}},"
        "{\"index\":-5,\"id\":\"bad\"},{\"index\":99999,\"id\":\"bad\"}]}}]}\n\n" END("tool_calls"),
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"choices\":[{\"message\":{\"content\":null,\"tool_calls\":"
        "[{\"id\":\"c3\",\"function\":{\"name\":\"whole\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}]"
        "}"};
    server s;
    mn_llm_reply reply;
    mn_llm_request request = {.tools_json = "[]"};
    start(&s, answers, 2);
    mn_llm *llm = open_at(&s, 1);
    assert_ok(ask(llm, &request, &reply), err);
    assert_int_equal(reply.finish, MN_LLM_CALLS);
    assert_int_equal(reply.n_calls, 2);
    assert_string_equal(reply.calls[0].name, "find");
    assert_string_equal(reply.calls[0].arguments, "{\"q\":\"x\"}");
    assert_string_equal(reply.calls[1].id, "c2");
    mn_llm_reply_release(&reply);
    assert_ok(ask(llm, &request, &reply), err);
    assert_int_equal(reply.n_calls, 1);
    assert_string_equal(reply.calls[0].name, "whole");
    mn_llm_reply_release(&reply);
    mn_llm_close(llm);
    stop(&s);
}

/* A lost connection, no answer, an error of the server, a request to wait; then it works. */
static void it_is_tried_again(void **state) {
    (void)state;
    const char *answers[] = {NULL, STREAM DELTA("half"), "HTTP/1.1 503 Busy\r\nConnection: close\r\n\r\n", BUSY, good};
    server s;
    mn_llm_reply reply;
    mn_llm_request request = {0};
    start(&s, answers, 5);
    mn_llm *llm = open_at(&s, 5);
    assert_ok(ask(llm, &request, &reply), err);
    assert_string_equal(reply.content, "Paris \xc3\xbc is.");
    assert_true(reply.seconds >= 1.0); /* Retry-After */
    assert_int_equal(s.n_served, 5);
    mn_llm_reply_release(&reply);
    assert_int_equal(mn_llm_used(llm).n_calls, 1);
    mn_llm_close(llm);
    stop(&s);
}

#define X65 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static void failures_are_sentences_without_the_key(void **state) {
    (void)state;
    static const struct {
        const char *answer, *says;
        int n_served;
    } cases[] = {
        {"HTTP/1.1 401 No\r\nConnection: close\r\n\r\n{\"error\":{\"message\":\"bad key sk-secret\\u001b[2J\"}}", "401",
         1},
        {"HTTP/1.1 400 No\r\nConnection: close\r\n\r\n{\"error\":\"too long\"}", "too long", 1},
        {"HTTP/1.1 500 No\r\nConnection: close\r\n\r\n<html>oops</html>", "500", 2},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<html>a page</html>", "no answer as OpenAI", 2},
        {STREAM "data: {broken\n\ndata: {\"choices\":7}\n\ndata: []\n\n", "no answer", 2},
        {STREAM "data: {\"error\":{\"message\":\"overloaded\"}}\n\n", "overloaded", 2},
        {"", "cannot be reached", 2},
        {"HTTP/1.1 400 No\r\nConnection: close\r\n\r\n{\"error\":\"" X65 X65 X65 " sk-secret\"}", "xxx", 1},
        {"HTTP/1.1 429 No\r\nRetry-After: 9223372036854775807\r\nConnection: close\r\n\r\n", "to come back in", 1},
    };
    setenv("MNEMO_API_KEY", "sk-secret", 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *answers[] = {cases[i].answer, cases[i].answer};
        server s;
        mn_llm_reply reply;
        mn_llm_request request = {0};
        start(&s, answers, 2);
        mn_llm *llm = open_at(&s, 2);
        assert_int_not_equal(ask(llm, &request, &reply), MN_OK);
        if (!strstr(err.text, cases[i].says)) fail_msg("%zu: %s", i, err.text);
        assert_null(strstr(err.text, "sk-")); /* nor its beginning, where the sentence is cut */
        assert_null(strchr(err.text, '\033'));
        assert_null(reply.content);
        assert_int_equal(s.n_served, cases[i].n_served);
        mn_llm_close(llm);
        stop(&s);
    }
    unsetenv("MNEMO_API_KEY");
}

static bool refuse(void *arg, const char *text, size_t bytes) {
    (void)arg, (void)text, (void)bytes;
    return false;
}

static void the_receiver_may_stop_it(void **state) {
    (void)state;
    const char *answers[] = {good};
    server s;
    mn_llm_reply reply;
    mn_llm_request request = {.text = refuse};
    start(&s, answers, 1);
    mn_llm *llm = open_at(&s, 3);
    assert_ok(ask(llm, &request, &reply), err);
    assert_int_equal(reply.finish, MN_LLM_STOPPED);
    assert_string_equal(reply.content, "Paris \xc3\xbc");
    mn_llm_reply_release(&reply);
    mn_llm_close(llm);
    stop(&s);
}

static void a_url_is_needed(void **state) {
    (void)state;
    mn_llm *llm;
    const mn_endpoint_params file = {.url = "file:///etc/passwd"}, none = {0};
    assert_int_equal(mn_llm_open_endpoint(&file, &llm, &err), MN_ERR_ARGUMENT);
    assert_int_equal(mn_llm_open_endpoint(&none, &llm, &err), MN_ERR_ARGUMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_streamed),    cmocka_unit_test(calls_come_in_pieces),
        cmocka_unit_test(it_is_tried_again),        cmocka_unit_test(failures_are_sentences_without_the_key),
        cmocka_unit_test(the_receiver_may_stop_it), cmocka_unit_test(a_url_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
int main(void) {
    puts("skipped: this build has no libcurl");
    return 77;
}
#endif
