/* open.h: opening and closing a connection. */
#ifndef TS_OPEN_H
#define TS_OPEN_H

#include "remote/conninfo.h"
#include "remote/state.h"

/* Connects, with all settings pinned; 08001, 2F003, 0A000. */
extern void ts_remote_open(TsConnection *connection, const ForeignServer *server, const UserMapping *mapping);
/* Closes it; what was under way has failed. Raises nothing. */
extern void ts_remote_close(TsConnection *connection);

#endif
