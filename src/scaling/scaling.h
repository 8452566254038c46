/* Inside the room: how each paper hands over its law. */
#ifndef MN_SCALING_SCALING_H
#define MN_SCALING_SCALING_H

#include <mnemo/scaling.h>

mn_scaling_law mn_kaplan_law(void);
mn_scaling_law mn_chinchilla_law(void);       /* the rounded constants of the paper's text */
mn_scaling_law mn_chinchilla_exact_law(void); /* the constants before rounding */
mn_scaling_law mn_besiroglu_law(void);        /* the constants as their computation prints them */
mn_scaling_law mn_besiroglu_exact_law(void);

#endif
