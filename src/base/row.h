/* row.h: rows of a query's result as they are handed on. */
#ifndef TS_ROW_H
#define TS_ROW_H

/* A row as text, good until it returns; NULL: null. ncolumns as the statement's text has them. */
typedef void (*TsRowFunction) (void *arg, int ncolumns, char *const *values);

#endif
