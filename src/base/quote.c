/* quote.c: names as SQL text. */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/quote.h"

char *
ts_relation_name(Oid relid)
{
	char	   *name = get_rel_name(relid);
	char	   *schema;

	if (name == NULL)
		return NULL;
	schema = get_namespace_name(get_rel_namespace(relid));
	return schema == NULL ? NULL : quote_qualified_identifier(schema, name);
}

char *
ts_quote_relation(Oid relid)
{
	char	   *name = ts_relation_name(relid);

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	return name;
}

char *
ts_quote_type(Oid typid, int32 typmod)
{
	return format_type_extended(typid, typmod, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

char *
ts_show_type(Oid typid, int32 typmod)
{
	char	   *type = ts_quote_type(typid, typmod);

	return strncmp(type, "pg_catalog.", 11) == 0 ? type + 11 : type;
}

char *
ts_quote_collation(Oid collid)
{
	HeapTuple	tup = SearchSysCache1(COLLOID, ObjectIdGetDatum(collid));
	Form_pg_collation coll;
	char	   *result;

	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for collation %u", collid);
	coll = (Form_pg_collation) GETSTRUCT(tup);
	result = quote_qualified_identifier(get_namespace_name(coll->collnamespace), NameStr(coll->collname));
	ReleaseSysCache(tup);
	return result;
}

char *
ts_quote_operator(Oid oproid)
{
	HeapTuple	tup = SearchSysCache1(OPEROID, ObjectIdGetDatum(oproid));
	Form_pg_operator op;
	char	   *result;

	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for operator %u", oproid);
	op = (Form_pg_operator) GETSTRUCT(tup);
	result = psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(op->oprnamespace)), NameStr(op->oprname));
	ReleaseSysCache(tup);
	return result;
}

void
ts_append_ident(StringInfo buf, const char *name)
{
	appendStringInfoString(buf, quote_identifier(name));
}

void
ts_append_column(StringInfo buf, const char *alias, const char *name)
{
	appendStringInfo(buf, "%s.%s", alias, quote_identifier(name));
}
