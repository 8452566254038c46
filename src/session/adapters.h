/* The LoRA adapters of an engine. */
#ifndef MN_SESSION_ADAPTERS_H
#define MN_SESSION_ADAPTERS_H

#include "model/adapter.h"
#include "model/identity.h"

enum { MN_MAX_ADAPTERS = 8 };

typedef struct mn_adapters {
    mn_adapter items[MN_MAX_ADAPTERS];
    int n;
} mn_adapters;

/* Opens the adapters of a list "FILE[=SCALE],FILE[=SCALE]" (scale 1 when none is given) and attaches them to the model.
 * Errors: those of mn_adapter_open, more than MN_MAX_ADAPTERS, a scale that is no number. Close out also then, after
 * the model. */
mn_status mn_adapters_open(const char *list, mn_model *model, mn_adapters *out, mn_error *err);
void mn_adapters_close(mn_adapters *adapters);

/* Makes a model's identity that of the model with these adapters at their scales. */
mn_status mn_adapters_identity(const mn_adapters *adapters, mn_pool *pool, mn_identity *inout, mn_error *err);

#endif
