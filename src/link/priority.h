/* priority.h: the order in which a plan's steps run; the numbers are shown to users. */
#ifndef TS_PRIORITY_H
#define TS_PRIORITY_H

typedef enum TsPriority
{
	TS_PRIORITY_CREATE_TABLE = 0,
	TS_PRIORITY_RENAME_COLUMN = 1,
	TS_PRIORITY_DROP_COLUMN = 2,
	TS_PRIORITY_ADD_COLUMN = 3,
	TS_PRIORITY_ALTER_COLUMN = 4,
	TS_PRIORITY_DELETE = 10,
	TS_PRIORITY_UPDATE = 20,
	TS_PRIORITY_INSERT = 30,
	TS_PRIORITY_SEQUENCE = 40
} TsPriority;

#endif
