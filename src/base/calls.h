/* calls.h: whose functions an expression calls. */
#ifndef TS_CALLS_H
#define TS_CALLS_H

#include "nodes/nodes.h"

/*
 * Are all functions of casts the role's own or superusers'? These the server looks up by the types of the columns, which others may alter.
 */
extern bool ts_expression_trusts_casts(const Node *expression, Oid role);
/* Does it call functions that not every server has? */
extern bool ts_expression_calls_users(const Node *expression);
/* Has it only functions, operators and types of the server itself? */
extern bool ts_expression_is_builtin(const Node *expression);

#endif
