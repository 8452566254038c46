/* The walk: hostile models and hubs never break the window, what was asked is not asked again, answers have places. */
#include "graph/collections.h"

#include "graph/walk.h"

static mn_error err;

static const char towns[] =
    "{\"id\":\"tolkien\",\"text\":\"John Ronald Reuel Tolkien was an English writer. He was born in Bloemfontein in "
    "1892.\"}\n"
    "{\"id\":\"city\",\"text\":\"Bloemfontein is a city in the Free State. It lies 1395 m above the sea.\"}\n"
    "{\"id\":\"state\",\"text\":\"The Free State is a province of South Africa. Its rivers are the Orange and the "
    "Vaal.\"}\n"
    "{\"id\":\"lewis\",\"text\":\"C. S. Lewis was a friend of Tolkien. He was born in Belfast.\"}\n";
static const char question[] = "How high above the sea lies the city where Tolkien was born?";

/* ---- without a model ---- */

static bool rests_on(mn_graph *graph, const mn_walk *walk, const char *text) {
    bool found = false;
    for (uint32_t i = 0; i < walk->n_evidence; i++) {
        mn_fact fact;
        assert_ok(mn_graph_fact(graph, walk->evidence[i].number, &fact, &err), err);
        found = found || strstr(fact.text, text);
        mn_fact_release(&fact);
    }
    return found;
}

static void words_alone_find_both_facts(void **state) {
    (void)state;
    mn_store *store;
    mn_graph *graph = graph_of_lines("walk-lexical", towns, &store);
    mn_walk first, second;
    assert_ok(mn_walk_run(graph, question, NULL, NULL, &first, &err), err);
    assert_true(rests_on(graph, &first, "1395 m"));
    assert_true(rests_on(graph, &first, "born in Bloemfontein"));
    assert_true(first.n_paths > 0 && first.n_steps > 4);
    assert_ok(mn_walk_run(graph, question, NULL, NULL, &second, &err), err);
    assert_int_equal(first.n_steps, second.n_steps);
    for (size_t i = 0; i < first.n_steps; i++) assert_string_equal(first.steps[i].action, second.steps[i].action);
    mn_walk_release(&first);
    mn_walk_release(&second);
    assert_ok(mn_walk_run(graph, "xyzzy?", NULL, NULL, &first, &err), err);
    assert_non_null(strstr(first.answer, "Nothing"));
    assert_int_equal(first.n_evidence, 0);
    mn_walk_release(&first);
    mn_graph_close(graph);
    mn_store_close(store);
}

/* ---- a model that does what the prompts say ---- */

typedef struct good_model {
    int n_calls, fails_at; /* 0 = never */
} good_model;

/* The number that stands behind `word` in the line of the prompt that holds `text`; -1 = none. */
static long number_before(const char *prompt, const char *text, const char *word) {
    const char *at = strstr(prompt, text), *number = NULL;
    for (const char *p = prompt; at && (p = strstr(p, word)) && p < at; p++) number = p + strlen(word);
    return number ? strtol(number, NULL, 10) : -1;
}

static mn_status answer_well(void *arg, const mn_llm_request *r, mn_llm_reply *reply, mn_error *e) {
    good_model *m = arg;
    const char *prompt = r->messages[1].content;
    char text[256];
    if (++m->n_calls == m->fails_at) return mn_fail(e, MN_ERR_IO, "The model went away.");
    if (!strcmp(r->purpose, "plan"))
        snprintf(text, sizeof text, "{\"plan\": \"Find the birthplace, then its height.\"}");
    else if (!strcmp(r->purpose, "select"))
        snprintf(text, sizeof text,
                 "Sure! {\"nodes\": [{\"key\": \"bloemfontain\", \"score\": 50}, "
                 "{\"key\": \"Atlantis\", \"score\": 99}, {\"key\": \"Tolkien\", \"score\": 90}]}");
    else if (!strcmp(r->purpose, "facts") && number_before(prompt, "1395", "chunk ") >= 0)
        snprintf(text, sizeof text, "{\"notebook\": \"1395 m\", \"action\": \"read_chunk\", \"ids\": [%ld]}",
                 number_before(prompt, "1395", "chunk "));
    else if (!strcmp(r->purpose, "facts"))
        snprintf(text, sizeof text, "{\"notebook\": \"\", \"action\": {\"name\": \"stop_and_read_neighbor\"}}");
    else if (!strcmp(r->purpose, "chunk"))
        snprintf(text, sizeof text,
                 "{\"notebook\": \"It lies 1395 m high.\", \"cite\": [%ld], \"action\": \"termination\"}",
                 number_before(prompt, ": It lies 1395", "fact "));
    else if (!strcmp(r->purpose, "neighbour"))
        snprintf(text, sizeof text, "{\"action\": \"read_neighbor_node\", \"key\": \"%s\"}",
                 strstr(prompt, "Bloemfontein\t") ? "Bloemfontein" : "John Ronald Reuel Tolkien");
    else
        snprintf(text, sizeof text, "{\"answer\": \"1395 m\", \"citations\": [%ld, 99999]}",
                 number_before(prompt, ": It lies 1395", "fact "));
    reply->content = strdup(text);
    return MN_OK;
}

static void run_well(good_model *m, mn_graph *graph, mn_store *store, mn_status wanted, mn_walk *walk) {
    mn_llm *llm;
    assert_ok(mn_llm_open_script("good", 8192, answer_well, m, &llm, &err), err);
    assert_ok(mn_llm_set_journal(llm, store, &err), err);
    mn_status status = mn_walk_run(graph, question, NULL, llm, walk, &err);
    if (status != wanted) fail_msg("%s", err.text);
    mn_llm_close(llm);
}

static void a_model_walks_and_cites(void **state) {
    (void)state;
    mn_store *store;
    mn_graph *graph = graph_of_lines("walk-model", towns, &store);
    good_model m = {0};
    mn_walk walk;
    mn_fact fact;
    run_well(&m, graph, store, MN_OK, &walk);
    assert_string_equal(walk.answer, "1395 m");
    assert_int_equal(walk.n_paths, 2); /* Atlantis is no key; a slip of one letter is a key */
    assert_string_equal(walk.notebooks[0], "It lies 1395 m high.");
    assert_true(walk.n_evidence > 0);
    assert_ok(mn_graph_fact(graph, walk.evidence[0].number, &fact, &err), err);
    assert_string_equal(fact.text, "It lies 1395 m above the sea.");
    mn_fact_release(&fact);
    mn_walk_release(&walk);
    int all = m.n_calls;
    /* Again: nothing is asked. */
    run_well(&m, graph, store, MN_OK, &walk);
    assert_int_equal(m.n_calls, all);
    assert_string_equal(walk.answer, "1395 m");
    mn_walk_release(&walk);
    mn_graph_close(graph);
    mn_store_close(store);
}

/* A model that goes away at any call: asked again, the walk goes on there, and ends as one that was never cut off. */
static void a_walk_goes_on_where_it_was(void **state) {
    (void)state;
    for (int fails_at = 1; fails_at < 7; fails_at++) {
        mn_store *store;
        mn_graph *graph = graph_of_lines("walk-resume", towns, &store);
        good_model m = {.fails_at = fails_at};
        mn_walk walk;
        run_well(&m, graph, store, MN_ERR_IO, &walk);
        assert_non_null(strstr(err.text, "went away"));
        mn_walk_release(&walk);
        m.fails_at = 0;
        run_well(&m, graph, store, MN_OK, &walk);
        assert_string_equal(walk.answer, "1395 m");
        good_model whole = {0};
        mn_walk_release(&walk);
        mn_graph_close(graph);
        mn_store_close(store);
        graph = graph_of_lines("walk-resume", towns, &store);
        run_well(&whole, graph, store, MN_OK, &walk);
        assert_int_equal(m.n_calls, whole.n_calls + 1);
        mn_walk_release(&walk);
        mn_graph_close(graph);
        mn_store_close(store);
    }
}

/* ---- hubs, and models that answer anything ---- */

typedef struct hostile_model {
    uint64_t seed;
    int64_t most_tokens;
    int n_calls;
} hostile_model;

static uint32_t draw(hostile_model *m, uint32_t n) {
    m->seed = m->seed * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(m->seed >> 33) % n;
}

static mn_status answer_badly(void *arg, const mn_llm_request *r, mn_llm_reply *reply, mn_error *e) {
    static const char *const rubbish[] = {
        "",
        "I do not know.",
        "{\"action\": \"fly\"}",
        "{\"action\": \"read_chunk\", \"ids\": [0, 1, 99999999, -4, \"x\", 7e30, null]}",
        "{\"action\": \"read_chunk\", \"ids\": {\"a\": 1}}",
        "{\"nodes\": [{\"key\": \"Hub\", \"score\": \"high\"}, 7, {\"key\": null}, [[]]]}",
        "{\"action\": \"search_more\", \"cite\": [1, 2, 3]}",
        "{\"action\": \"read_subsequent_chunk\"}",
        "{\"action\": \"read_previous_chunk\"}",
        "{\"action\": {\"name\": \"read_neighbor_node\", \"key\": \"Person 77\"}}",
        "{\"action\": \"read_neighbor_node\", \"key\": 5}",
        "{\"action\": \"stop_and_read_neighbor\"}",
        "{\"answer\": [], \"citations\": \"all\"}",
        "{{{{[[[[\"\\u0000",
    };
    hostile_model *m = arg;
    int64_t tokens = 0;
    for (size_t i = 0; i < r->n_messages; i++) tokens += 8 + (int64_t)(strlen(r->messages[i].content) + 2) / 3;
    if (tokens + r->max_tokens > m->most_tokens) return mn_fail(e, MN_ERR_LIMIT, "A prompt of %d.", (int)tokens);
    m->n_calls++;
    if (draw(m, 4) == 0) {
        /* A notebook as long as the answer may be, or longer. */
        size_t n = 6000;
        char *text = malloc(n + 64);
        int used = snprintf(text, 64, "{\"action\": \"search_more\", \"notebook\": \"");
        memset(text + used, 'n', n);
        strcpy(text + (size_t)used + n - 64, "\"}");
        reply->content = text;
    } else {
        reply->content = strdup(rubbish[draw(m, sizeof rubbish / sizeof *rubbish)]);
    }
    return MN_OK;
}

static mn_graph *hub_graph(mn_store **store) {
    enum { N_NEIGHBOURS = 25000 };
    char *lines;
    size_t bytes;
    FILE *out = open_memstream(&lines, &bytes);
    for (int i = 0; i < N_NEIGHBOURS; i++)
        fprintf(out, "{\"id\":\"%d\",\"text\":\"On a day the Hub met Person%d, a name of %d letters and more.\"}\n", i,
                i, i % 9);
    fclose(out);
    mn_graph *graph = graph_of_lines("walk-hub", lines, store);
    free(lines);
    return graph;
}

static void no_model_breaks_the_window(void **state) {
    (void)state;
    mn_store *store;
    mn_graph *graph = hub_graph(&store);
    mn_key hub;
    bool found;
    mn_neighbour few[8];
    uint32_t n, n_all;
    assert_ok(mn_graph_find_key(graph, "the hub", &hub, &found, &err), err);
    assert_true(found);
    assert_int_equal(hub.n_facts, 25000);
    assert_ok(mn_graph_neighbours(graph, &hub, 8, few, &n, &n_all, &err), err);
    assert_true(n == 8 && n_all >= 20000);
    mn_key_release(&hub);
    static const int64_t windows[] = {1400, 2048, 4096};
    for (uint64_t seed = 1; seed <= 4; seed++) {
        hostile_model m = {.seed = seed, .most_tokens = windows[seed % 3]};
        const mn_walk_params params = {
            .n_paths = 2, .max_calls = 6, .window_tokens = m.most_tokens, .temperature = 0.2};
        mn_llm *llm;
        mn_walk walk;
        assert_ok(mn_llm_open_script("hostile", 1 << 20, answer_badly, &m, &llm, &err), err);
        assert_ok(mn_walk_run(graph, "Whom did the Hub meet on the day of Person4711?", &params, llm, &walk, &err),
                  err);
        assert_non_null(walk.answer);
        for (int path = 0; path < 2; path++) {
            int n_steps = 0;
            for (size_t i = 0; i < walk.n_steps; i++) n_steps += walk.steps[i].path == path;
            assert_true(n_steps <= 6);
        }
        assert_true(m.n_calls > 2);
        mn_walk_release(&walk);
        mn_llm_close(llm);
    }
    /* A question that no window holds is cut in the prompts; a window that is too small is a sentence. */
    char *large = calloc(1, 60000);
    memset(large, 'q', 50000);
    memcpy(large + 50000, " Hub?", 5);
    hostile_model m = {.seed = 3, .most_tokens = 2048};
    mn_walk_params params = {.n_paths = 1, .max_calls = 3, .window_tokens = 2048};
    mn_llm *llm;
    mn_walk walk;
    assert_ok(mn_llm_open_script("hostile", 1 << 20, answer_badly, &m, &llm, &err), err);
    assert_ok(mn_walk_run(graph, large, &params, llm, &walk, &err), err);
    mn_walk_release(&walk);
    params.window_tokens = 600;
    assert_int_equal(mn_walk_run(graph, "Hub?", &params, llm, &walk, &err), MN_ERR_LIMIT);
    assert_non_null(strstr(err.text, "too small"));
    mn_walk_release(&walk);
    mn_llm_close(llm);
    free(large);
    mn_graph_close(graph);
    mn_store_close(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_alone_find_both_facts),
        cmocka_unit_test(a_model_walks_and_cites),
        cmocka_unit_test(a_walk_goes_on_where_it_was),
        cmocka_unit_test(no_model_breaks_the_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
