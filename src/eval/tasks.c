#include "eval/tasks.h"

#include "eval/ruler.h"

#include <stddef.h>

const mn_task *const mn_tasks[] = {
    &mn_task_niah_single_1,
    &mn_task_niah_single_2,
    &mn_task_niah_single_3,
    &mn_task_niah_multikey_1,
    &mn_task_niah_multikey_2,
    &mn_task_niah_multikey_3,
    &mn_task_niah_multivalue,
    &mn_task_niah_multiquery,
    &mn_task_vt,
    &mn_task_cwe,
    &mn_task_fwe,
    &mn_task_qa_1,
    &mn_task_qa_2, /* the 13 of RULER, in its order */
    &mn_task_graphwalks,
    &mn_task_kv,
    &mn_task_mrcr_2,
    &mn_task_mrcr_4,
    &mn_task_mrcr_8,
    &mn_task_needle,
    &mn_task_passkey,
    &mn_task_passkey_filler,
    &mn_task_keys,
    &mn_task_facts,
    &mn_task_chain,
    &mn_task_values,
    &mn_task_json,
    NULL,
};
