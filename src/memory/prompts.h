/* The prompts of an agent, as they stand in src/memory/prompts/: the first line of each file is its version, and is not
 * sent. */
#ifndef MN_MEMORY_PROMPTS_H
#define MN_MEMORY_PROMPTS_H

extern const char mn_prompt_agent[], mn_prompt_agent_plain[], mn_prompt_agent_automatic[], mn_prompt_summary[],
    mn_prompt_sleep[];

#endif
