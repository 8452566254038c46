/* An OpenAI-compatible endpoint as a model that answers: libcurl, streamed, with tries that wait. */
#include "llm/endpoint_reply.h"
#include "llm/kind.h"
#include "llm/wire.h"

#include "base/safe_text.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_WAIT_MS = 60000 };

typedef struct endpoint {
    char *url, *model, *key; /* key NULL = none */
    int connect_ms, silence_ms, max_tries, first_wait_ms;
} endpoint;

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static void start_curl(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

static void close_endpoint(void *self) {
    endpoint *e = self;
    if (e->key) explicit_bzero(e->key, strlen(e->key));
    free(e->key);
    free(e->url);
    free(e->model);
    free(e);
}

/* ---- one try ---- */

/* What a try came to. */
typedef struct outcome {
    long http_status; /* 0: no answer came */
    CURLcode code;
    int64_t retry_after_ms;
} outcome;

static size_t receive(char *data, size_t size, size_t n, void *arg) {
    return mn_endpoint_reply_take(arg, data, size * n) ? size * n : 0;
}

static char *body_of(const endpoint *e, const mn_llm_request *request) {
    json_t *body = mn_llm_request_json(request);
    if (!body) return NULL;
    json_object_set_new(body, "model", json_string(e->model));
    json_object_set_new(body, "stream", json_true());
    json_object_set_new(body, "stream_options", json_pack("{s:b}", "include_usage", 1));
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return text;
}

static struct curl_slist *headers_of(const endpoint *e) {
    struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/json");
    char *line = NULL;
    if (e->key && asprintf(&line, "Authorization: Bearer %s", e->key) > 0) list = curl_slist_append(list, line);
    if (line) explicit_bzero(line, strlen(line));
    free(line);
    return list;
}

static void set_up(CURL *curl, const endpoint *e, const char *body, struct curl_slist *headers,
                   mn_endpoint_reply *into) {
    curl_easy_setopt(curl, CURLOPT_URL, e->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, into);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)e->connect_ms);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)(e->silence_ms + 999) / 1000);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "mnemo/" MNEMO_VERSION);
}

static mn_status try_once(const endpoint *e, const char *body, mn_endpoint_reply *into, outcome *out, mn_error *err) {
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = headers_of(e);
    if (!curl || !headers) {
        curl_slist_free_all(headers);
        curl_easy_cleanup(curl);
        return mn_fail(err, MN_ERR_MEMORY, "There is no memory to ask %s.", e->url);
    }
    set_up(curl, e, body, headers, into);
    into->curl = curl;
    out->code = curl_easy_perform(curl);
    curl_off_t after = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &out->http_status);
    curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &after);
    out->retry_after_ms = after > INT64_MAX / 1000 ? INT64_MAX : after > 0 ? (int64_t)after * 1000 : 0;
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return MN_OK;
}

/* ---- tries ---- */

static bool may_try_again(const outcome *o, const mn_endpoint_reply *reply) {
    if (reply->n_handed_out || reply->stopped || reply->failed) return false;
    long s = o->http_status;
    if (s == 408 || s == 409 || s == 429 || s >= 500) return true;
    if (s >= 400) return false;
    return o->code != CURLE_OK ? o->code != CURLE_URL_MALFORMAT && o->code != CURLE_UNSUPPORTED_PROTOCOL
                               : !reply->is_whole;
}

static void wait_ms(int64_t ms) {
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&left, &left) && errno == EINTR) continue;
}

/* Twice as long for each try, less up to a quarter by chance, so that many callers do not come back at once. */
static int64_t wait_of(const endpoint *e, int n_tries, const outcome *o) {
    int64_t ms = e->first_wait_ms;
    struct timespec now;
    for (int i = 1; i < n_tries && ms < MAX_WAIT_MS; i++) ms *= 2;
    if (ms > MAX_WAIT_MS) ms = MAX_WAIT_MS;
    clock_gettime(CLOCK_MONOTONIC, &now);
    ms -= ms / 4 * (now.tv_nsec / 1000 % 1000) / 1000;
    return ms > o->retry_after_ms ? ms : o->retry_after_ms;
}

/* What the server said, without the key, should it repeat it, and safe to print. */
static void said(const endpoint *e, const mn_endpoint_reply *reply, char out[200]) {
    json_t *body = json_loadb(reply->body.data, reply->body.bytes, JSON_DISABLE_EOF_CHECK, NULL);
    const json_t *error = json_object_get(body, "error");
    const char *message = json_string_value(json_is_object(error) ? json_object_get(error, "message") : error);
    char *text = strdup(message ? message : reply->body.bytes ? reply->body.data : "nothing");
    size_t key_bytes = e->key ? strlen(e->key) : 0;
    /* Before it is cut: the beginning of a key tells of it too. */
    for (char *at = text; at && key_bytes && (at = strstr(at, e->key)); at += key_bytes) memset(at, '*', key_bytes);
    snprintf(out, 200, "%s", text ? text : "");
    free(text);
    json_decref(body);
    mn_text_make_safe(out, strlen(out));
    for (char *p = out; *p; p++)
        if (*p == '\n' || *p == '\t') *p = ' ';
}

static mn_status explain(const endpoint *e, const outcome *o, const mn_endpoint_reply *reply, int n_tries,
                         mn_error *err) {
    char text[200];
    said(e, reply, text);
    if (reply->failed) return mn_fail(err, MN_ERR_LIMIT, "The answer of %s is beyond 64 MiB, or memory.", e->url);
    if (o->retry_after_ms > 10 * (int64_t)MAX_WAIT_MS)
        return mn_fail(err, MN_ERR_IO, "%s asks to come back in %lld s; it says: %s.", e->url,
                       (long long)o->retry_after_ms / 1000, text);
    if (o->http_status == 401 || o->http_status == 403)
        return mn_fail(err, MN_ERR_IO,
                       "%s refuses the key (status %ld): %s. The key is taken from the environment: MNEMO_API_KEY.",
                       e->url, o->http_status, text);
    if (o->http_status >= 400)
        return mn_fail(err, MN_ERR_IO, "%s answers with status %ld after %d %s: %s.", e->url, o->http_status, n_tries,
                       n_tries == 1 ? "try" : "tries", text);
    if (o->code == CURLE_OPERATION_TIMEDOUT)
        return mn_fail(err, MN_ERR_IO,
                       "%s fell silent in each of %d tries (limits: %d ms to connect, %d ms of silence).", e->url,
                       n_tries, e->connect_ms, e->silence_ms);
    if (o->code != CURLE_OK)
        return mn_fail(err, MN_ERR_IO, "%s cannot be reached after %d %s: %s.", e->url, n_tries,
                       n_tries == 1 ? "try" : "tries", curl_easy_strerror(o->code));
    return mn_fail(err, MN_ERR_FORMAT, "%s sends no answer as OpenAI's API does, but: %s.", e->url, text);
}

static mn_status ask(void *self, const mn_llm_request *request, mn_llm_reply *reply, mn_error *err) {
    const endpoint *e = self;
    char *body = body_of(e, request);
    if (!body)
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "A message of the prompt is no UTF-8, or its tools or schema are no JSON.");
    mn_status status = MN_OK;
    for (int n_tries = 1;; n_tries++) {
        mn_endpoint_reply into = {
            .request = request, .body = MN_STRBUF_INIT, .line = MN_STRBUF_INIT, .text = MN_STRBUF_INIT};
        outcome o = {0};
        status = try_once(e, body, &into, &o, err);
        bool is_whole = status == MN_OK && mn_endpoint_reply_finish(&into, reply);
        bool ok = is_whole && (into.stopped || (o.code == CURLE_OK && o.http_status < 400));
        bool again = status == MN_OK && !ok && n_tries < e->max_tries && may_try_again(&o, &into) &&
                     o.retry_after_ms <= 10 * (int64_t)MAX_WAIT_MS;
        if (status == MN_OK && !ok && !again) status = explain(e, &o, &into, n_tries, err);
        mn_endpoint_reply_release(&into);
        if (!again) break;
        mn_llm_reply_release(reply);
        wait_ms(wait_of(e, n_tries, &o));
    }
    free(body);
    return status;
}

/* ---- opening ---- */

static char *url_of(const char *given) {
    static const char path[] = "/chat/completions";
    size_t n = strlen(given), m = sizeof path - 1;
    char *url = NULL;
    if (n >= m && !strcmp(given + n - m, path)) return strdup(given);
    while (n && given[n - 1] == '/') n--;
    return asprintf(&url, "%.*s%s", (int)n, given, path) < 0 ? NULL : url;
}

static const char *key_of(const mn_endpoint_params *p) {
    const char *key = getenv(p->key_name ? p->key_name : "MNEMO_API_KEY");
    if (!key && !p->key_name) key = getenv("OPENAI_API_KEY");
    return key && *key && !strpbrk(key, "\r\n") ? key : NULL;
}

mn_status mn_llm_open_endpoint(const mn_endpoint_params *p, mn_llm **out, mn_error *err) {
    static const mn_llm_kind kind = {.ask = ask, .close = close_endpoint};
    *out = NULL;
    if (!p->url || (strncmp(p->url, "http://", 7) && strncmp(p->url, "https://", 8)))
        return mn_fail(err, MN_ERR_ARGUMENT, "An endpoint is a URL that begins with http:// or https://, not \"%s\".",
                       p->url ? p->url : "");
    pthread_once(&curl_once, start_curl);
    const char *key = key_of(p), *model = p->model ? p->model : "default";
    endpoint *e = calloc(1, sizeof *e);
    if (!e) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for the endpoint %s.", p->url);
    *e = (endpoint){.url = url_of(p->url),
                    .model = strdup(model),
                    .key = key ? strdup(key) : NULL,
                    .connect_ms = p->connect_ms > 0 ? p->connect_ms : 10000,
                    .silence_ms = p->silence_ms > 0 ? p->silence_ms : 120000,
                    .max_tries = p->max_tries > 0 ? p->max_tries : 5,
                    .first_wait_ms = p->first_wait_ms > 0 ? p->first_wait_ms : 500};
    if (!e->url || !e->model || (key && !e->key)) {
        close_endpoint(e);
        return mn_fail(err, MN_ERR_MEMORY, "There is no memory for the endpoint %s.", p->url);
    }
    return mn_llm_create(&kind, e, model, p->n_ctx > 0 ? p->n_ctx : 8192, out, err);
}
