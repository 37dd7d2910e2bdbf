/* create_table.c: the SQL of a target that does not exist yet. */
#include "postgres.h"

#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/quote.h"
#include "link/retype.h"
#include "log/shape.h"
#include "plan/statement.h"

char *
ts_statement_create_table(const TsLink *link, Relation source)
{
	const TsShape *shape = ts_shape_now(source);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE %s (", ts_link_target(link));
	for (int i = 0; i < link->ncolumns; i++)
	{
		const TsColumn *col = &link->columns[i];
		Form_pg_attribute att = col->value ? NULL : TupleDescAttr(RelationGetDescr(source), col->attnum - 1);
		int32		typmod = att ? att->atttypmod : exprTypmod(col->value);

		appendStringInfo(&sql, "%s %s", quote_identifier(col->target_name), ts_quote_type(col->source_declared, typmod));
		if (OidIsValid(col->source_collation) && col->source_collation != get_typcollation(col->source_declared))
			appendStringInfo(&sql, " COLLATE %s", ts_quote_collation(col->source_collation));
		if (att && ts_default_is_safe(link, &shape->atts[col->attnum - 1]))
			appendStringInfo(&sql, " DEFAULT %s", shape->atts[col->attnum - 1].expression);
		if (att && att->attnotnull)
			appendStringInfoString(&sql, " NOT NULL");
		appendStringInfoString(&sql, ", ");
	}
	appendStringInfoString(&sql, "PRIMARY KEY (");
	for (int i = 0; i < link->nkeys; i++)
		appendStringInfo(&sql, "%s%s", i ? ", " : "", quote_identifier(link->columns[link->keys[i]].target_name));
	appendStringInfoString(&sql, "))");
	return sql.data;
}
