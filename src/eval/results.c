#include "eval/results.h"

#include "base/checked.h"
#include "base/file.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_FILE_BYTES = 1 << 30 };

static mn_status keep(mn_results *r, const mn_result *result, mn_error *err) {
    if (r->n == r->capacity) {
        int64_t capacity = r->capacity ? 2 * r->capacity : 256;
        mn_result *grown = reallocarray(r->items, (size_t)capacity, sizeof *grown);
        if (!grown) return mn_fail(err, MN_ERR_MEMORY, "no memory for %lld results.", (long long)capacity);
        r->items = grown;
        r->capacity = capacity;
    }
    r->items[r->n++] = *result;
    return MN_OK;
}

static void copy_text(const json_t *object, const char *key, char *out, size_t bytes) {
    const char *text = json_string_value(json_object_get(object, key));
    snprintf(out, bytes, "%s", text ? text : "");
}

static double number(const json_t *object, const char *key, double missing) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : missing;
}

/* A count; -1 when it is none, or beyond what a double counts to. */
static int64_t count(const json_t *object, const char *key, int64_t missing) {
    double value = number(object, key, (double)missing);
    return value >= 0 && value <= 9007199254740992.0 ? (int64_t)value : -1;
}

static bool read_result(const json_t *o, mn_result *out) {
    *out = (mn_result){.length = count(o, "length", -1),
                       .sample = count(o, "sample", -1),
                       .depth = number(o, "depth", -1),
                       .score = number(o, "score", NAN),
                       .n_prompt = count(o, "prompt_tokens", 0),
                       .n_reused = count(o, "reused_tokens", 0),
                       .n_answer = count(o, "answer_tokens", 0),
                       .prefill_s = number(o, "prefill_s", 0),
                       .decode_s = number(o, "decode_s", 0),
                       .kv_bytes = number(o, "kv_bytes", 0)};
    copy_text(o, "task", out->task, sizeof out->task);
    copy_text(o, "setting", out->setting, sizeof out->setting);
    copy_text(o, "failure", out->failure, sizeof out->failure);
    bool counted =
        out->length >= 0 && out->sample >= 0 && out->n_prompt >= 0 && out->n_reused >= 0 && out->n_answer >= 0;
    return *out->task && counted && ((out->score >= 0 && out->score <= 1) || *out->failure);
}

/* Whether the bytes behind the last line's end can be a result whose writing was cut: the beginning of one, or the
 * zeros that a file system may leave there. */
static bool is_cut_result(const char *line, size_t bytes) {
    static const char begin[] = "{\"task\":";
    return *line == '\0' || !strncmp(line, begin, MN_MIN(bytes, sizeof begin - 1));
}

/* Takes up one line; *good: it is a result. */
static mn_status take_line(mn_results *r, const char *line, size_t bytes, bool *good, mn_error *err) {
    mn_result result;
    json_t *o = json_loadb(line, bytes, 0, NULL);
    const char *origin = json_string_value(json_object_get(o, "made_with"));
    mn_status status = MN_OK;
    *good = json_is_object(o) && read_result(o, &result);
    if (*good && r->origin && origin && strcmp(origin, r->origin))
        status =
            mn_fail(err, MN_ERR_ARGUMENT,
                    "its results were made with \"%.300s\" and not with \"%.300s\"; go on with the same options, or "
                    "write to another file.",
                    origin, r->origin);
    else if (*good)
        status = keep(r, &result, err);
    json_decref(o);
    return status;
}

/* Takes up the results of a text; *whole: the bytes of its lines, behind which a result may stand that was cut. */
static mn_status take_up(mn_results *r, const char *text, size_t bytes, size_t *whole, mn_error *err) {
    int64_t number = 1;
    for (size_t at = *whole = 0; at < bytes; number++) {
        const char *line = text + at, *end = memchr(line, '\n', bytes - at);
        size_t length = end ? (size_t)(end - line) : bytes - at;
        bool good;
        MN_TRY(take_line(r, line, length, &good, err));
        if (!good && (end || !is_cut_result(line, length)))
            return mn_fail(err, MN_ERR_FORMAT, "line %lld is no result of mnemo eval.", (long long)number);
        at += length + (end != NULL);
        if (good) *whole = at;
    }
    return MN_OK;
}

static mn_status read_all(mn_results *r, const char *path, char **text, size_t *whole, size_t *bytes, mn_error *err) {
    MN_TRY(mn_file_read(path, MAX_FILE_BYTES, text, bytes, err));
    mn_status status = take_up(r, *text, *bytes, whole, err);
    return status == MN_OK ? MN_OK : mn_fail_in(err, status, path);
}

mn_status mn_results_read(const char *path, mn_results *out, mn_error *err) {
    char *text = NULL;
    size_t whole = 0, bytes = 0;
    *out = (mn_results){0};
    mn_status status = read_all(out, path, &text, &whole, &bytes, err);
    free(text);
    if (status != MN_OK) mn_results_close(out);
    return status;
}

/* Takes up the results of the file, and writes it again where it does not end with a whole line. */
static mn_status reread(mn_results *r, const char *path, mn_error *err) {
    char *text = NULL;
    size_t whole = 0, bytes = 0;
    mn_writer w;
    mn_status status = read_all(r, path, &text, &whole, &bytes, err);
    bool ended = whole == 0 || (status == MN_OK && text[whole - 1] == '\n');
    if (status == MN_OK && (whole < bytes || !ended) && (status = mn_writer_open(path, &w, err)) == MN_OK) {
        mn_writer_put(&w, text, whole);
        if (!ended) mn_writer_put(&w, "\n", 1);
        status = mn_writer_commit(&w, err);
    }
    free(text);
    return status;
}

mn_status mn_results_open(const char *path, const char *origin, mn_results *out, mn_error *err) {
    struct stat info;
    *out = (mn_results){.origin = origin};
    if (!path) return MN_OK;
    mn_status status = !stat(path, &info) && info.st_size > 0 ? reread(out, path, err) : MN_OK;
    if (status == MN_OK && !(out->file = fopen(path, "ae")))
        status = mn_fail(err, MN_ERR_IO, "%s: cannot open: %s.", path, strerror(errno));
    if (status != MN_OK) mn_results_close(out);
    return status;
}

void mn_results_close(mn_results *r) {
    if (r->file) fclose(r->file);
    free(r->items);
    *r = (mn_results){0};
}

static bool is_of(const mn_result *x, const char *task, const char *setting, int64_t length, double depth) {
    return (!task || !strcmp(x->task, task)) && !strcmp(x->setting, setting) && (length < 0 || x->length == length) &&
           (depth < 0 || fabs(x->depth - depth) < 1e-9);
}

const mn_result *mn_results_find(const mn_results *r, const char *task, const char *setting, int64_t length,
                                 double depth, int64_t sample) {
    for (int64_t i = 0; i < r->n; i++) {
        const mn_result *x = &r->items[i];
        bool same_depth = depth < 0 ? x->depth < 0 : fabs(x->depth - depth) < 1e-9;
        if (x->sample == sample && is_of(x, task, setting, length, -1) && same_depth) return x;
    }
    return NULL;
}

static json_t *line_of(const mn_result *x, const char *origin, const mn_task_sample *sample, const mn_asked *asked) {
    json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:f}", "task", x->task, "setting", x->setting, "length",
                          (json_int_t)x->length, "sample", (json_int_t)x->sample, "depth", x->depth);
    if (origin) json_object_set_new(o, "made_with", json_string(origin));
    if (*x->failure)
        json_object_set_new(o, "failure", json_string(x->failure));
    else
        json_object_set_new(o, "score", json_real(x->score));
    if (!asked) return o;
    json_object_set_new(o, "prompt_tokens", json_integer(x->n_prompt));
    json_object_set_new(o, "reused_tokens", json_integer(x->n_reused));
    json_object_set_new(o, "answer_tokens", json_integer(x->n_answer));
    json_object_set_new(o, "prefill_s", json_real(x->prefill_s));
    json_object_set_new(o, "decode_s", json_real(x->decode_s));
    json_object_set_new(o, "kv_bytes", json_real(x->kv_bytes));
    json_object_set_new(o, "answer", json_stringn(asked->answer.data, asked->answer.bytes));
    json_t *references = json_array();
    for (int i = 0; sample && i < sample->n_references; i++)
        json_array_append_new(references, json_string(sample->references[i]));
    json_object_set_new(o, "references", references);
    return o;
}

mn_status mn_results_add(mn_results *r, const mn_result *result, const mn_task_sample *sample, const mn_asked *asked,
                         mn_error *err) {
    MN_TRY(keep(r, result, err));
    if (!r->file) return MN_OK;
    json_t *line = line_of(result, r->origin, sample, asked);
    int failed = json_dumpf(line, r->file, JSON_COMPACT) || fputc('\n', r->file) == EOF || fflush(r->file);
    json_decref(line);
    return failed ? mn_fail(err, MN_ERR_IO, "a result could not be written: %s.", strerror(errno)) : MN_OK;
}

mn_cell mn_results_cell(const mn_results *r, const char *task, const char *setting, int64_t length, double depth) {
    mn_cell c = {0};
    double prompt = 0, prefill = 0, answered = 0, decode = 0, score = 0;
    for (int64_t i = 0; i < r->n; i++) {
        const mn_result *x = &r->items[i];
        if (!is_of(x, task, setting, length, depth)) continue;
        c.n++;
        if (*x->failure) {
            c.n_failed++;
            continue;
        }
        score += x->score;
        prompt += (double)(x->n_prompt - x->n_reused);
        prefill += x->prefill_s;
        answered += (double)x->n_answer;
        decode += x->decode_s;
        c.kv_bytes += x->kv_bytes;
    }
    int64_t n = c.n - c.n_failed;
    c.mean = n ? score / (double)n : NAN;
    c.interval = mn_wilson(n ? c.mean : 0, n);
    c.kv_bytes = n ? c.kv_bytes / (double)n : 0;
    c.prefill_tokens_per_s = prefill > 0 ? prompt / prefill : 0;
    c.decode_tokens_per_s = decode > 0 ? answered / decode : 0;
    return c;
}

mn_difference mn_results_difference(const mn_results *r, const char *task, int64_t length, const char *a,
                                    const char *b) {
    mn_difference d = {0};
    double *x = malloc(2 * ((size_t)r->n + 1) * sizeof *x), *y = x + r->n;
    if (!x) return d;
    for (int64_t i = 0; i < r->n; i++) {
        const mn_result *p = &r->items[i];
        if (*p->failure || !is_of(p, task, a, length, -1)) continue;
        const mn_result *q = mn_results_find(r, p->task, b, p->length, p->depth, p->sample);
        if (!q || *q->failure) continue;
        x[d.n] = p->score;
        y[d.n] = q->score;
        d.mean += p->score - q->score;
        d.n++;
    }
    if (d.n) {
        d.mean /= (double)d.n;
        d.interval = mn_paired_bootstrap(x, y, d.n, 1);
    }
    free(x);
    return d;
}
