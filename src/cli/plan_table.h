/* What other heads, types and patterns would cost a model in KV entries: the table of mnemo plan. */
#ifndef MN_CLI_PLAN_TABLE_H
#define MN_CLI_PLAN_TABLE_H

#include "model/sequence.h"

#include <jansson.h>

/* Prints the table. Figures beyond spare_bytes (free memory less weights) are marked. */
void mn_plan_table_print(const mn_config *config, size_t spare_bytes);
/* [{"heads", "type", "pattern", "own", "n_ctx", "bytes", "fits"}, ...]; the caller's reference. */
json_t *mn_plan_table_json(const mn_config *config, size_t spare_bytes);

#endif
