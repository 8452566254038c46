/* A row of the table of techniques that README.md shows and `mnemo info --techniques` prints. Every technique describes
 * itself in the file that holds it, or in the registry that lists its kind.
 */
#ifndef MN_BASE_TECHNIQUE_H
#define MN_BASE_TECHNIQUE_H

#include <stdbool.h>

typedef enum mn_training {
    MN_TRAINING_FREE,   /* made for models as they are */
    MN_TRAINING_HELPS,  /* works without, better with it */
    MN_TRAINING_NEEDED, /* a model that was not trained with it loses quality */
    MN_TRAINING_DONE    /* part of the models that have it, from the start */
} mn_training;

typedef struct mn_technique {
    const char *name;
    const char *paper;       /* "Peng et al. 2023 (arXiv:2309.00071)", NULL = none */
    const char *flag;        /* "--rope-scaling yarn", NULL = the model file decides */
    const char *file, *test; /* from the root of the repository */
    bool exact;              /* computes what the model as it was trained computes */
    mn_training training;
} mn_technique;

#endif
