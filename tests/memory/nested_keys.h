/* MemGPT's nested key-value task (Packer et al. 2023, section 3.2.2): the value of a key may be a key again. A policy
 * in the place of the model looks each up in archival memory until a value is no key. */
#ifndef MN_TESTS_NESTED_KEYS_H
#define MN_TESTS_NESTED_KEYS_H

#include "base/random.h"
#include "memory/archival.h"
#include "memory/scripted.h"

#include <time.h>

enum { LEVELS = 5, ORDERINGS = 30, UUID = 37 };

static void make_uuid(mn_random *rng, char out[UUID]) {
    snprintf(out, UUID, "%08x-%04x-%04x-%04x-%08x%04x", mn_random_u32(rng), mn_random_below(rng, 65536),
             mn_random_below(rng, 65536), mn_random_below(rng, 65536), mn_random_u32(rng), mn_random_below(rng, 65536));
}

static void put_pair(mn_store *store, const char *archive, const char *key, const char *value) {
    char text[96];
    int64_t id;
    int bytes = snprintf(text, sizeof text, "%s: %s", key, value);
    const mn_archival_text pair = {.text = text, .bytes = (size_t)bytes, .time = 1};
    assert_ok(mn_archival_add(store, archive, &pair, &id, &err), err);
}

/* A key whose value is found after `level` more look-ups; puts level + 1 pairs. */
static void put_chain(mn_store *store, const char *archive, mn_random *rng, int level, char key[UUID],
                      char value[UUID]) {
    char next[UUID];
    make_uuid(rng, key);
    snprintf(value, UUID, "%s", key);
    for (int i = 0; i <= level; i++) {
        make_uuid(rng, next);
        put_pair(store, archive, value, next);
        snprintf(value, UUID, "%s", next);
    }
}

static void put_others(mn_store *store, const char *archive, mn_random *rng, int64_t n) {
    char key[UUID], value[UUID];
    for (int64_t i = 0; i < n; i++) {
        make_uuid(rng, key);
        make_uuid(rng, value);
        put_pair(store, archive, key, value);
    }
}

/* Looks up what the last look-up gave, and answers with what is no key. */
static mn_status follow(void *arg, const mn_llm_request *request, mn_llm_reply *reply, mn_error *e) {
    char key[UUID] = "", call[160], pair[UUID + 2];
    const char *found = NULL;
    (void)arg, (void)e;
    for (size_t i = 0; i < request->n_messages; i++) {
        const mn_llm_message *m = &request->messages[i];
        if (!strcmp(m->role, "user") && m->content[0] != '{') { /* no alert */
            snprintf(key, sizeof key, "%.36s", m->content);
            found = NULL;
        }
        if (strcmp(m->role, "tool") != 0) continue;
        snprintf(pair, sizeof pair, "%s: ", key);
        found = strstr(m->content, pair);
        if (found) snprintf(key, sizeof key, "%.36s", found + strlen(pair));
    }
    if (!strcmp(request->messages[request->n_messages - 1].role, "tool") && !found) {
        reply->content = strdup(key);
        return MN_OK;
    }
    snprintf(call, sizeof call, "archival_memory_search {\"query\":\"%s\",\"top_k\":5}", key);
    take_calls(call, reply);
    return MN_OK;
}

/* Asks an agent of this name for the value of a key; seconds of a processor that it took are added. */
static bool finds(mn_store *store, const char *name, const char *key, const char *value, double *seconds) {
    script s = {.said = MN_STRBUF_INIT};
    const mn_agent_params params = {.style = MN_AGENT_PLAIN, .said = script_said, .arg = &s};
    mn_agent *agent;
    assert_ok(mn_llm_open_script("follow", 8000, follow, NULL, &s.llm, &err), err);
    assert_ok(mn_agent_open(store, s.llm, name, &params, &agent, &err), err);
    clock_t start = clock();
    assert_ok(mn_agent_say(agent, key, NULL, &err), err);
    assert_ok(mn_agent_run(agent, &err), err);
    *seconds += (double)(clock() - start) / CLOCKS_PER_SEC;
    bool right = strlen(s.said.data) == UUID && !strncmp(s.said.data, value, UUID - 1);
    if (!right) printf("%s: wanted %s, got %s", key, value, s.said.data);
    mn_agent_close(agent);
    mn_llm_close(s.llm);
    mn_strbuf_release(&s.said);
    return right;
}

/* n pairs in one archive, with 30 chains of each level among them. */
static void nested_keys(const char *file, int64_t n) {
    static char keys[LEVELS][ORDERINGS][UUID], values[LEVELS][ORDERINGS][UUID];
    mn_random rng;
    mn_store *store = new_store(file);
    assert_ok(mn_memory_migrate(store, &err), err);
    mn_random_seed(&rng, 11, (uint64_t)n);
    assert_ok(mn_store_begin(store, &err), err);
    int64_t chained = ORDERINGS * LEVELS * (LEVELS + 1) / 2, each = (n - chained) / ORDERINGS;
    for (int k = 0; k < ORDERINGS; k++) {
        put_others(store, "ann", &rng, each);
        for (int level = 0; level < LEVELS; level++)
            put_chain(store, "ann", &rng, level, keys[level][k], values[level][k]);
    }
    assert_ok(mn_store_commit(store, &err), err);
    for (int level = 0; level < LEVELS; level++) {
        double seconds = 0.0;
        int right = 0;
        for (int k = 0; k < ORDERINGS; k++) right += finds(store, "ann", keys[level][k], values[level][k], &seconds);
        printf("%lld pairs, level %d: %d of %d right, %.2f ms of a processor a chain\n", (long long)n, level, right,
               ORDERINGS, 1e3 * seconds / ORDERINGS);
        assert_int_equal(right, ORDERINGS);
    }
    mn_store_close(store);
}

/* The paper's setting: 140 pairs, one chain among them, in 30 orders. */
static void nested_keys_of_the_paper(void) {
    mn_store *store = new_store("nested-140.db");
    assert_ok(mn_memory_migrate(store, &err), err);
    for (int level = 0; level < LEVELS; level++) {
        double seconds = 0.0;
        int right = 0;
        for (int k = 0; k < ORDERINGS; k++) {
            char name[32], key[UUID], value[UUID];
            mn_random rng;
            snprintf(name, sizeof name, "l%d-o%d", level, k);
            mn_random_seed(&rng, (uint64_t)level, (uint64_t)k);
            assert_ok(mn_store_begin(store, &err), err);
            int64_t before = mn_random_below(&rng, (uint32_t)(139 - level));
            put_others(store, name, &rng, before);
            put_chain(store, name, &rng, level, key, value);
            put_others(store, name, &rng, 139 - level - before);
            assert_ok(mn_store_commit(store, &err), err);
            right += finds(store, name, key, value, &seconds);
        }
        printf("140 pairs, level %d: %d of %d right, %.2f ms of a processor a chain\n", level, right, ORDERINGS,
               1e3 * seconds / ORDERINGS);
        assert_int_equal(right, ORDERINGS);
    }
    mn_store_close(store);
}

#endif
