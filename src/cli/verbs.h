/* The verbs of the command line, one file each. argv[0] is the verb; the result is the exit code. */
#ifndef MN_CLI_VERBS_H
#define MN_CLI_VERBS_H

typedef int mn_verb_fn(int argc, char **argv);

mn_verb_fn cmd_agent;
mn_verb_fn cmd_attn;
mn_verb_fn cmd_bench;
mn_verb_fn cmd_chat;
mn_verb_fn cmd_convert;
mn_verb_fn cmd_detokenize;
mn_verb_fn cmd_embed;
mn_verb_fn cmd_eval;
mn_verb_fn cmd_finetune;
mn_verb_fn cmd_info;
mn_verb_fn cmd_init;
mn_verb_fn cmd_logits;
mn_verb_fn cmd_read;
mn_verb_fn cmd_run;
mn_verb_fn cmd_mcp;
mn_verb_fn cmd_plan;
mn_verb_fn cmd_scaling;
mn_verb_fn cmd_tokenize;
mn_verb_fn cmd_train;

#endif
