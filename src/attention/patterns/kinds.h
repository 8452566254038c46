/* The kinds, for registry.c: one per file of this folder, two where one is a turn of the other. */
#ifndef MN_ATTENTION_PATTERNS_KINDS_H
#define MN_ATTENTION_PATTERNS_KINDS_H

#include "attention/patterns/pattern.h"

extern const mn_pattern_kind mn_pattern_full, mn_pattern_causal, mn_pattern_window, mn_pattern_global,
    mn_pattern_random, mn_pattern_bigbird, mn_pattern_longformer, mn_pattern_sinks, mn_pattern_sinks_abs;

#endif
