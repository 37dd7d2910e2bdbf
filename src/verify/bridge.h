/* bridge.h: how values of two types are compared: in a type that can hold both without loss, else by their text. */
#ifndef TS_BRIDGE_H
#define TS_BRIDGE_H

#include "catalog/pg_attribute.h"

typedef struct TsBridge
{
	Oid			common;			/* the type, without domain, that keys are matched in */
	bool		casts;			/* at least one side is cast to it */
	Oid			image_type;		/* in which values are the same exactly if their bytes are */
	bool		trims;			/* the sides declare different scales: trailing zeros do not count */
} TsBridge;

extern TsBridge ts_bridge(Form_pg_attribute a, Form_pg_attribute b);
/* Both sides go by their text. */
extern void ts_bridge_by_text(TsBridge *bridge);
/* A column of that type, as SQL: what is compared, and what keys are matched by. */
extern char *ts_bridge_image(const TsBridge *bridge, Oid type, char *column);
extern char *ts_bridge_match(const TsBridge *bridge, Oid type, char *column);

#endif
