/* Facts taken out of passages by a model that follows instructions (GraphReader, arXiv:2406.14550, section 3.2), beside
 * the sentences, which stay facts too: a fact whose pronouns were resolved stands under the names it is about.
 *
 * Every passage is asked about once for each model and prompt: the table `extraction` is the ledger, a row for each
 * that is done or given up, so that a run which was ended goes on where it was, and a second one asks nothing. What a
 * model answers is checked: keys that do not stand in their fact are dropped, and so are facts of whose words less than
 * half stand in the passage. Each fact has its source, the sentence it shares most words with: citations quote that.
 *
 * A reply that is of no use is asked for once more with a complaint, then for each half of the passage; then the
 * passage is given up (quarantined), and its sentences are all there is.
 */
#ifndef MN_GRAPH_EXTRACT_H
#define MN_GRAPH_EXTRACT_H

#include "llm/llm.h"
#include "store/store.h"

typedef struct mn_extract_figures {
    int64_t n_passages, n_known;       /* asked about now; done or given up before */
    int64_t n_facts, n_keys;           /* kept */
    int64_t n_lost_facts, n_lost_keys; /* dropped by the checks */
    int64_t n_given_up;
} mn_extract_figures;

typedef struct mn_extract_options {
    bool (*progress)(void *arg, int64_t done, int64_t all); /* passages; false: MN_ERR_CANCELLED, nothing is lost */
    void *arg;
} mn_extract_options;

/* What a run would cost at most, before it starts: passages to ask about, tokens of their prompts, and of the answers
 * at 1024 each. */
mn_status mn_extract_cost(mn_store *store, mn_llm *llm, int64_t *n_passages, int64_t *prompt_tokens,
                          int64_t *answer_tokens, mn_error *err);
/* Asks about every passage of the store that this model was not asked about. The index is made anew by the next
 * mn_graph_open. options may be NULL; *figures is added to, also when the run ends early. */
mn_status mn_extract_run(mn_store *store, mn_llm *llm, const mn_extract_options *options, mn_extract_figures *figures,
                         mn_error *err);

#endif
