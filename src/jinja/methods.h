/* The tables of methods, one for each kind of value. */
#ifndef MN_JINJA_METHODS_H
#define MN_JINJA_METHODS_H

#include "jinja/builtins.h"

extern const jinja_builtin mn_jinja_string_methods[];
extern const int mn_jinja_n_string_methods;

/* Whether s has a cased letter and all of them are as wanted: str.islower and str.isupper. */
bool mn_jinja_has_case(jinja_string s, bool (*wanted)(uint32_t));

#endif
