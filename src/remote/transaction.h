/* transaction.h: the transactions on other servers follow the local one; see connection.h. */
#ifndef TS_TRANSACTION_H
#define TS_TRANSACTION_H

#include "remote/state.h"

/*
 * To be called before each statement: begins the transaction there, and the savepoints of the running subtransaction. Raises the
 * connection's first error if there was one, and 08001 as ts_connection_get.
 */
extern void ts_transaction_reach(TsConnection *connection);
extern void ts_transaction_init(void);

#endif
