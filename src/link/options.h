/* options.h: the options of links, checked. */
#ifndef TS_LINK_OPTIONS_H
#define TS_LINK_OPTIONS_H

#include "link/create.h"

/* 22023 for a value that an option does not have, 0A000 for what is not supported yet. */
extern void ts_link_check_options(TsLinkOptions *options);
/* Stores on_cast; NULL: as it is. */
extern void ts_link_set_on_cast(const char *name, const char *on_cast);
/* 0A000: "<what> not supported yet". */
extern void ts_not_yet(const char *what, const char *hint);

#endif
