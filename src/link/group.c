/* group.c: named sets of links. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "base/catalog.h"
#include "link/group.h"
#include "link/link.h"
#include "link/step.h"

List *
ts_group_links(const char *name, bool *group)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name)};
	MemoryContext context = CurrentMemoryContext;
	List	   *links = NIL;
	TsCatalog	cat;
	uint64		n;
	bool		found;

	ts_catalog_enter(&cat);
	*group = ts_sql("SELECT FROM tracksync.link WHERE name = $1", SPI_OK_SELECT, 1, types, values, NULL) == 0;
	found = !*group || ts_sql("SELECT FROM tracksync.link_group WHERE name = $1", SPI_OK_SELECT, 1, types, values, NULL) == 1;
	n = *group ? ts_sql("SELECT link FROM tracksync.group_member WHERE group_name = $1 ORDER BY link COLLATE \"C\"", SPI_OK_SELECT, 1, types,
						values, NULL) : 0;
	links = ts_sql_texts(n, context);
	ts_catalog_leave(&cat);
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("link or group \"%s\" does not exist", name),
				 errhint("See tracksync.status for the links there are.")));
	return *group ? links : list_make1(pstrdup(name));
}

bool
ts_group_is_split(const char *name)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name)};
	TsCatalog	cat;
	bool		split;

	ts_catalog_enter(&cat);
	split = ts_sql("SELECT FROM tracksync.link_group WHERE name = $1 AND transactions = 'per_server'", SPI_OK_SELECT, 1, types, values, NULL) == 1;
	ts_catalog_leave(&cat);
	return split;
}

void
ts_name_reserve(const char *name)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name)};
	TsCatalog	cat;

	ts_catalog_enter(&cat);
	ts_sql("LOCK TABLE tracksync.link_group IN SHARE ROW EXCLUSIVE MODE", SPI_OK_UTILITY, 0, NULL, NULL, NULL);
	for (int i = 0; i < 2; i++)
		if (ts_sql(i == 0 ? "SELECT FROM tracksync.link WHERE name = $1" : "SELECT FROM tracksync.link_group WHERE name = $1", SPI_OK_SELECT,
				   1, types, values, NULL) > 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("%s \"%s\" already exists", i == 0 ? "link" : "group", name),
					 errhint("Choose another name, or drop the %s with tracksync.%s.", i == 0 ? "link" : "group",
							 i == 0 ? "drop_link" : "drop_group")));
	ts_catalog_leave(&cat);
}

/* The group's owner; locks its row. The caller must be a member. */
static Oid
lock_group(const char *name)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name)};
	Oid			owner = InvalidOid;
	TsCatalog	cat;
	bool		isnull;

	ts_catalog_enter(&cat);
	if (ts_sql("SELECT owner::oid FROM tracksync.link_group WHERE name = $1 FOR UPDATE", SPI_OK_SELECT, 1, types, values, NULL) == 1)
		owner = DatumGetObjectId(ts_sql_value(0, 1, &isnull));
	ts_catalog_leave(&cat);
	if (!OidIsValid(owner))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("group \"%s\" does not exist", name),
				 errhint("Make it with tracksync.create_group.")));
	/* one whose owner was dropped is a superuser's to drop */
	if (GetUserNameFromId(owner, true) == NULL ? !superuser() : !has_privs_of_role(GetUserId(), owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for group \"%s\"", name),
				 errdetail("Only members of its owner may use it.")));
	return owner;
}

static void
add_member(const char *name, Oid owner, const char *linkname)
{
	static const Oid types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name), CStringGetTextDatum(linkname)};
	TsLink	   *link = ts_link_load(linkname, true);
	TsCatalog	cat;

	if (link->owner != owner)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("link \"%s\" does not belong to the owner of group \"%s\"", linkname, name),
				 errdetail("It belongs to role \"%s\", the group to role \"%s\".", GetUserNameFromId(link->owner, false),
						   GetUserNameFromId(owner, false)),
				 errhint("The links of a group run with the rights of one role.")));
	ts_catalog_enter(&cat);
	if (ts_sql("INSERT INTO tracksync.group_member (group_name, link) VALUES ($1, $2) ON CONFLICT DO NOTHING", SPI_OK_INSERT, 2, types,
			   values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("link \"%s\" is in group \"%s\" already", linkname, name),
				 errhint("Name each link once.")));
	ts_catalog_leave(&cat);
}

void
ts_group_create(const char *name, List *links, const char *transactions)
{
	static const Oid types[] = {TEXTOID, OIDOID, TEXTOID};
	Datum		values[3];
	Oid			owner;
	TsCatalog	cat;
	ListCell   *lc;

	if (name[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a group's name must not be empty"),
				 errhint("Give the group a name.")));
	if (strcmp(transactions, "one") != 0 && strcmp(transactions, "per_server") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for transactions: \"%s\"", transactions),
				 errhint("Use 'one' or 'per_server'.")));
	ts_name_reserve(name);
	owner = links == NIL ? GetUserId() : ts_link_load(linitial(links), true)->owner;
	values[0] = CStringGetTextDatum(name);
	values[1] = ObjectIdGetDatum(owner);
	values[2] = CStringGetTextDatum(transactions);
	ts_catalog_enter(&cat);
	ts_sql("INSERT INTO tracksync.link_group (name, owner, transactions) VALUES ($1, $2, $3)", SPI_OK_INSERT, 3, types, values, NULL);
	ts_catalog_leave(&cat);
	foreach(lc, links)
		add_member(name, owner, lfirst(lc));
}

void
ts_group_add(const char *name, const char *link)
{
	add_member(name, lock_group(name), link);
}

void
ts_group_remove(const char *name, const char *link)
{
	static const Oid types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name), CStringGetTextDatum(link)};
	TsCatalog	cat;

	(void) lock_group(name);
	ts_catalog_enter(&cat);
	if (ts_sql("DELETE FROM tracksync.group_member WHERE group_name = $1 AND link = $2", SPI_OK_DELETE, 2, types, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("link \"%s\" is not in group \"%s\"", link, name),
				 errhint("Name a link of the group.")));
	ts_catalog_leave(&cat);
}

void
ts_group_drop(const char *name)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name)};
	TsCatalog	cat;

	(void) lock_group(name);
	ts_catalog_enter(&cat);
	ts_sql("DELETE FROM tracksync.group_member WHERE group_name = $1", SPI_OK_DELETE, 1, types, values, NULL);
	ts_sql("DELETE FROM tracksync.link_group WHERE name = $1", SPI_OK_DELETE, 1, types, values, NULL);
	ts_steps_forget(name);
	ts_catalog_leave(&cat);
}

void
ts_group_check_owner(const char *name)
{
	(void) lock_group(name);
}
