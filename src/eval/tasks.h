/* Tasks beside RULER's that separate models (eval/graphwalks.c, kv.c, needle.c). */
#ifndef MN_EVAL_TASKS_H
#define MN_EVAL_TASKS_H

#include "eval/task.h"

extern const mn_task mn_task_graphwalks;                             /* graphwalks.c */
extern const mn_task mn_task_kv;                                     /* kv.c: JSON pairs of UUIDs */
extern const mn_task mn_task_mrcr_2, mn_task_mrcr_4, mn_task_mrcr_8; /* mrcr.c */
extern const mn_task mn_task_needle, mn_task_passkey, mn_task_passkey_filler, mn_task_keys, mn_task_facts,
    mn_task_chain, mn_task_values, mn_task_json; /* needle.c: the forms that our own models know */

#endif
