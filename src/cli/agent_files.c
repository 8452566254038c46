/* mnemo agent save, load, export and restore: an agent as a file, and a whole store. */
#include "cli/agent.h"

#ifdef MNEMO_HAVE_GRAPH
#include "cli/terminal.h"

#include "base/file.h"
#include "memory/agent_file.h"
#include "memory/restore.h"

#include <stdio.h>
#include <stdlib.h>

mn_status agent_save(mn_store *store, const mn_text_list *words, mn_error *err) {
    mn_writer writer;
    MN_TRY(mn_writer_open(words->items[1], &writer, err));
    mn_status status = mn_agent_file_write(store, agent_given.name, writer.file, err);
    if (status == MN_OK) status = mn_writer_commit(&writer, err);
    mn_writer_abort(&writer);
    return status;
}

mn_status agent_load(mn_store *store, const mn_text_list *words, mn_error *err) {
    enum { MAX_FILE_BYTES = 1 << 30 };
    char *text;
    size_t bytes;
    mn_agent_file_figures f;
    MN_TRY(mn_file_read(words->items[1], MAX_FILE_BYTES, &text, &bytes, err));
    mn_status status = mn_agent_file_read(store, text, bytes, words->n > 2 ? words->items[2] : NULL, &f, err);
    free(text);
    if (status == MN_OK)
        mn_print_line(stdout, 2, "%lld agents, %lld blocks, %lld messages, %lld archival texts are new",
                      (long long)f.n_agents, (long long)f.n_blocks, (long long)f.n_messages, (long long)f.n_archival);
    if (status == MN_OK && f.n_renamed)
        mn_print_line(stdout, 2,
                      "agents of the file with the name of one before them: %lld; the store has a number behind it, as "
                      "in \"NAME (2)\"",
                      (long long)f.n_renamed);
    return status;
}

mn_status agent_export(mn_store *store, const mn_text_list *words, mn_error *err) {
    (void)words;
    return mn_store_export(store, stdout, err);
}

/* Numbers of rows are what they were: a store that has agents already would mix them up. */
mn_status agent_restore(mn_store *store, const mn_text_list *words, mn_error *err) {
    int64_t has_memory, n = 0;
    (void)words;
    MN_TRY(mn_store_version(store, "memory", &has_memory, err));
    if (has_memory) MN_TRY(mn_memory_migrate(store, err));
    if (has_memory) MN_TRY(mn_store_number(store, 0, &n, err, "SELECT count(*) FROM agent", ""));
    if (n)
        return mn_fail(err, MN_ERR_ARGUMENT, "The store %s has agents; restore into a new one, or load agent files.",
                       mn_store_name(store));
    MN_TRY(mn_restore(store, stdin, &n, err));
    mn_print_line(stdout, 2, "%lld rows restored", (long long)n);
    return MN_OK;
}
#endif
