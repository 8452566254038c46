/* The prompts of a walk, as they stand in src/graph/prompts/: the first line of each file is its version, and is not
 * sent. */
#ifndef MN_GRAPH_PROMPTS_H
#define MN_GRAPH_PROMPTS_H

extern const char mn_prompt_plan[], mn_prompt_select[], mn_prompt_facts[], mn_prompt_chunk[], mn_prompt_neighbour[],
    mn_prompt_compact[], mn_prompt_answer[], mn_prompt_extract[];

#endif
