/* Inside an engine: what its sessions share. */
#ifndef MN_SESSION_ENGINE_H
#define MN_SESSION_ENGINE_H

#include "base/notes.h"
#include "base/turn.h"
#include "kernels/kernels.h"
#include "kernels/profile.h"
#include "model/backend_cpu.h"
#include "model/forward.h"
#include "model/identity.h"
#include "session/adapters.h"
#include "session/ledger.h"
#include "tokenizer/tokenizer.h"

#include <mnemo/engine.h>

struct mn_engine {
    mn_model model;
    mn_tokenizer *tokenizer;
    mn_turn turn; /* who has it may use the pool and the scratch memory */
    mn_pool *pool;
    mn_arena scratch;   /* step lifetime, one step at a time */
    mn_ledger ledger;   /* of the sessions' memory */
    mn_compute compute; /* kernels, pool, scratch */
    mn_backend backend; /* computes on it */
    mn_adapters adapters;
    mn_notes notes;
    mn_identity identity; /* of the model, when has_identity */
    bool has_identity;
    char *name, *chat_template, *ask_template; /* NULL where the file has none */
};

/* Charges the time of the steps that follow, and of what happens between them, to this profile (of the model's
 * n_layers; borrowed), until another takes its place; NULL: nobody asks any more. While nobody else uses the engine. */
void mn_engine_profile(mn_engine *engine, mn_profile *profile);
/* The identity of the engine's model, computed when somebody asks for it first (see mn_identity_of). */
mn_status mn_engine_identity(mn_engine *engine, mn_identity *out, mn_error *err);

#endif
