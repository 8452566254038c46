/* The 13 tasks of RULER (Hsieh et al. 2024, arXiv:2404.06654), in our own words; and those beside them. */
#ifndef MN_EVAL_RULER_H
#define MN_EVAL_RULER_H

#include "eval/task.h"

extern const mn_task mn_task_niah_single_1, mn_task_niah_single_2, mn_task_niah_single_3, mn_task_niah_multikey_1,
    mn_task_niah_multikey_2, mn_task_niah_multikey_3, mn_task_niah_multivalue,
    mn_task_niah_multiquery;                     /* ruler_niah.c */
extern const mn_task mn_task_vt;                 /* ruler_vt.c: variable tracking */
extern const mn_task mn_task_cwe;                /* ruler_cwe.c: common words */
extern const mn_task mn_task_fwe;                /* ruler_fwe.c: frequent words */
extern const mn_task mn_task_qa_1, mn_task_qa_2; /* ruler_qa.c: questions among shuffled documents */

enum { MN_RULER_TASKS = 13 };

#endif
