/* mnemo agent: what an agent remembers. */
#include "cli/agent_recall.h"

#include "cli/options.h"

#include <stdio.h>
#include <string.h>

int cmd_agent(int argc, char **argv) {
    static const mn_option options[] = {MN_OPTIONS_END};
    static const mn_usage usage = {.verb = "agent",
                                   .synopsis = "import FILE... | search -q QUESTION [--store FILE]",
                                   .about = "Takes messages in, and finds those that answer a question. mnemo agent "
                                            "import --help and mnemo agent search --help tell more.",
                                   .example = "mnemo agent import --store memory.db talk.jsonl",
                                   .options = options,
                                   .max_positional = MN_MAX_TEXTS};
    mn_text_list words;
#ifdef MNEMO_HAVE_GRAPH
    if (argc > 1 && !strcmp(argv[1], "import")) return cmd_agent_import(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "search")) return cmd_agent_search(argc - 1, argv + 1);
#endif
    int code = mn_options_parse(&usage, argc, argv, &words);
    if (code >= 0) return code;
    return mn_cli_wrong(&usage, "wanted: import or search, in a build with memory (libsqlite3-dev, libstemmer-dev).");
}
