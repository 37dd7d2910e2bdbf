/* option.h: the options that servers and user mappings have: those of libpq, but what is ours to set, and password_required. */
#ifndef TS_OPTION_H
#define TS_OPTION_H

#include "nodes/pg_list.h"

/* Is it an option that libpq is given as it is? */
extern bool ts_option_passed_on(const char *name);
/* Checks the options (DefElems) of an object of the catalog: HV00D for what has no place there, 22023 for values, 42501. */
extern void ts_option_check(List *options, Oid catalog);

#endif
