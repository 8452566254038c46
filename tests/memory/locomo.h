/* LoCoMo's conversations (shared data, CC BY-NC, never committed) as messages of an agent. */
#ifndef MN_TESTS_LOCOMO_H
#define MN_TESTS_LOCOMO_H

#include "memory/importer.h"

#include <jansson.h>

static void put_session(FILE *out, const json_t *all, int session, const char *prefix) {
    char key[32], date_key[48], id[64], name[64];
    snprintf(key, sizeof key, "session_%d", session);
    snprintf(date_key, sizeof date_key, "session_%d_date_time", session);
    const json_t *list = json_object_get(all, key);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *turn = json_array_get(list, i);
        snprintf(id, sizeof id, "%s%s", prefix, json_string_value(json_object_get(turn, "dia_id")));
        snprintf(name, sizeof name, "%s%s", prefix, key);
        json_t *line =
            json_pack("{s:s, s:O, s:O, s:s, s:O}", "id", id, "name", json_object_get(turn, "speaker"), "time",
                      json_object_get(all, date_key), "session", name, "text", json_object_get(turn, "text"));
        json_dumpf(line, out, JSON_COMPACT);
        putc('\n', out);
        json_decref(line);
    }
}

static void import_conversation(mn_store *store, int64_t agent, const json_t *item, const char *prefix) {
    char *text;
    size_t bytes;
    mn_import_figures f;
    FILE *out = open_memstream(&text, &bytes);
    for (int session = 1; session < 64; session++)
        put_session(out, json_object_get(item, "conversation"), session, prefix);
    fclose(out);
    assert_ok(import_text(store, agent, text, bytes, &f), import_err);
    assert_int_equal(f.n_known + f.n_untimed, 0);
    free(text);
}

static json_t *load(void) {
    json_t *data = json_load_file(shared_path("agents/locomo10.json"), 0, NULL);
    assert_int_equal(json_array_size(data), 10);
    return data;
}

#endif
