/* mnemo agent import: messages of a file into an agent's recall. */
#include "cli/agent_recall.h"

#ifdef MNEMO_HAVE_GRAPH
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/terminal.h"

#include "memory/import.h"
#include "memory/recall_index.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct settings {
    const char *store, *agent;
    bool json;
} settings;

static bool step(void *arg, int64_t bytes) {
    mn_progress_at(arg, bytes);
    return !mn_signals_interrupted();
}

static mn_status import_file(mn_store *store, int64_t agent, const char *path, mn_import_figures *figures,
                             mn_error *err) {
    bool is_input = !strcmp(path, "-");
    FILE *in = is_input ? stdin : fopen(path, "rb");
    struct stat about;
    mn_progress progress;
    if (!in || (!is_input && (fstat(fileno(in), &about) || S_ISDIR(about.st_mode)))) {
        if (in) fclose(in);
        return mn_fail(err, MN_ERR_IO, "%s cannot be read: it is no file, or not yours to read.", path);
    }
    const mn_import_options options = {.name = is_input ? "standard input" : path, .progress = step, .arg = &progress};
    mn_progress_begin(&progress, "import", "bytes", is_input ? 0 : about.st_size);
    mn_status status = mn_messages_import(store, agent, in, &options, figures, err);
    mn_progress_end(&progress);
    if (!is_input) fclose(in);
    return status;
}

static void print_notes(const mn_import_figures *f) {
    if (f->n_changed)
        mn_print_line(
            stderr, 0,
            "mnemo agent import: %lld messages bear the id of one that says something else, the first in line "
            "%lld; the one that was there stays. Give them other ids.",
            (long long)f->n_changed, (long long)f->changed_line);
    if (f->n_untimed)
        mn_print_line(stderr, 0,
                      "mnemo agent import: the time of %lld messages cannot be read, the first in line %lld; as in "
                      "2023-05-08T13:56:00 it can.",
                      (long long)f->n_untimed, (long long)f->untimed_line);
}

static mn_status print_figures(const settings *s, mn_store *store, int64_t agent, const mn_import_figures *f,
                               mn_error *err) {
    int64_t n_all;
    MN_TRY(mn_store_number(store, 0, &n_all, err, "SELECT n_messages FROM agent WHERE id = $1", "i", agent));
    print_notes(f);
    if (s->json)
        printf("{\"lines\": %lld, \"new\": %lld, \"known\": %lld, \"changed\": %lld, \"untimed\": %lld, \"messages\": "
               "%lld}\n",
               (long long)f->n_lines, (long long)f->n_new, (long long)f->n_known, (long long)f->n_changed,
               (long long)f->n_untimed, (long long)n_all);
    else
        mn_print_line(stdout, 2, "%lld messages new, %lld known before; %s remembers %lld", (long long)f->n_new,
                      (long long)f->n_known, s->agent, (long long)n_all);
    return MN_OK;
}

/* So that the first search need not make it. */
static mn_status update_index(mn_store *store, int64_t agent, mn_error *err) {
    mn_recall_index *index;
    MN_TRY(mn_recall_index_open(store, agent, &index, err));
    mn_status status = mn_recall_index_update(index, err);
    mn_recall_index_close(index);
    return status;
}

static mn_status import_all(const settings *s, mn_store *store, const mn_text_list *paths, mn_error *err) {
    int64_t agent;
    mn_import_figures figures = {0};
    MN_TRY(mn_memory_migrate(store, err));
    MN_TRY(mn_agent_find_or_add(store, s->agent, &agent, err));
    mn_signals_catch_interrupt();
    mn_status status = MN_OK;
    for (int i = 0; status == MN_OK && i < paths->n; i++)
        status = import_file(store, agent, paths->items[i], &figures, err);
    mn_signals_release_interrupt();
    if (status == MN_OK) status = update_index(store, agent, err);
    mn_status printed = print_figures(s, store, agent, &figures, status == MN_OK ? err : NULL);
    return status == MN_OK ? printed : status;
}

int cmd_agent_import(int argc, char **argv) {
    settings s = {0};
    const mn_option options[] = {
        MN_OPTION_TEXT("store", &s.store, "FILE", "agent.db", "where memory is kept: a file, or postgresql://..."),
        MN_OPTION_TEXT("name", &s.agent, "NAME", MN_AGENT_DEFAULT_NAME, "whose memory"),
        MN_OPTION_FLAG("json", &s.json, "print one JSON object"),
        MN_OPTIONS_END,
    };
    const mn_usage usage = {
        .verb = "agent import",
        .synopsis = "--store FILE MESSAGES.jsonl... [--name NAME] [--json]",
        .about = "Takes messages into an agent's recall: JSON lines with text, and role or name, time, session, id if "
                 "there are any (- is standard input). What is there already, by its id, is not taken again.",
        .example = "mnemo agent import --store memory.db talk.jsonl && mnemo agent search --store memory.db -q \"Where "
                   "did Ann go?\"",
        .options = options,
        .min_positional = 1,
        .max_positional = MN_MAX_TEXTS,
    };
    mn_text_list paths;
    mn_error err;
    mn_store *store;
    int code = mn_options_parse(&usage, argc, argv, &paths);
    if (code >= 0) return code;
    mn_status status = mn_store_open(s.store, NULL, &store, &err);
    if (status == MN_OK) {
        status = import_all(&s, store, &paths, &err);
        mn_store_close(store);
    }
    return mn_cli_past_usage(status, &err) == MN_OK ? MN_EXIT_DONE : mn_cli_fail("agent import", &err);
}
#endif
