/* option.c: the options that servers and user mappings have. */
#include "postgres.h"

#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/varlena.h"

#include "remote/option.h"
#include "remote/pq.h"

typedef enum Place
{
	NOWHERE,					/* no such option */
	REFUSED,					/* libpq has it, and it is not for users */
	ON_SERVER,
	ON_MAPPING,
} Place;

/* What differs from what libpq says of its options. */
static const struct
{
	const char *name;
	Place		place;
}			special[] =
{
	{"user", ON_MAPPING},
	{"sslcert", ON_MAPPING},
	{"sslkey", ON_MAPPING},
	{"client_encoding", REFUSED},
	{"application_name", REFUSED},
	{"fallback_application_name", REFUSED},
	{"replication", REFUSED},
};

/* libpq's options, read once. */
static const PQconninfoOption *
all_options(void)
{
	static PQconninfoOption *options = NULL;

	if (options == NULL)
		options = PQconndefaults();
	if (options == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OUT_OF_MEMORY),
				 errmsg("could not read the options of libpq"),
				 errhint("Is there a service file that cannot be read, in the environment of the server?")));
	return options;
}

static Place
place_of_libpq(const PQconninfoOption *option)
{
	for (int i = 0; i < lengthof(special); i++)
		if (strcmp(special[i].name, option->keyword) == 0)
			return special[i].place;
	/* * are secrets, D is for debugging */
	if (strchr(option->dispchar, 'D'))
		return REFUSED;
	return strchr(option->dispchar, '*') ? ON_MAPPING : ON_SERVER;
}

static Place
place_of(const char *name)
{
	if (strcmp(name, "password_required") == 0)
		return ON_MAPPING;
	for (const PQconninfoOption *o = all_options(); o->keyword; o++)
		if (strcmp(o->keyword, name) == 0)
			return place_of_libpq(o);
	return NOWHERE;
}

bool
ts_option_passed_on(const char *name)
{
	/* our own wait has the timeout */
	return strcmp(name, "password_required") != 0 && strcmp(name, "connect_timeout") != 0 && place_of(name) >= ON_SERVER;
}

/* The one at this place that is spelt most like it; NULL: none is. */
static const char *
closest(const char *name, Place place)
{
	const char *best = NULL;
	int			size = strlen(name);
	int			distance = Min(4, size / 2) + 1;

	if (size > 255)
		return NULL;
	for (const PQconninfoOption *o = all_options(); o->keyword; o++)
		if (place_of_libpq(o) == place)
		{
			int			d = varstr_levenshtein_less_equal(name, size, o->keyword, strlen(o->keyword), 1, 1, 1, distance, true);

			if (d < distance)
			{
				distance = d;
				best = o->keyword;
			}
		}
	return best;
}

static char *
list_options(Place place)
{
	StringInfoData list;

	initStringInfo(&list);
	for (const PQconninfoOption *o = all_options(); o->keyword; o++)
		if (place_of_libpq(o) == place)
			appendStringInfo(&list, "%s%s", list.len ? ", " : "", o->keyword);
	if (place == ON_MAPPING)
		appendStringInfoString(&list, ", password_required");
	return list.data;
}

/* Raises what is wrong with an option that has no place there. */
static void
refuse(const char *name, Place wanted)
{
	static const char *const kinds[] = {[ON_SERVER] = "server", [ON_MAPPING] = "user mapping"};
	Place		place = place_of(name);
	const char *similar;

	if (wanted == NOWHERE)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("invalid option \"%s\"", name),
				 errhint("Foreign-data wrapper tracksync_fdw has no options; its servers and user mappings have.")));
	if (place == REFUSED)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("option \"%s\" cannot be set", name),
				 errhint("Leave it out: tracksync sets what it needs.")));
	if (place != NOWHERE)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("option \"%s\" is not an option of a %s", name, kinds[wanted]),
				 errhint("It is an option of a %s.", kinds[place])));
	similar = closest(name, wanted);
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\"", name),
			 similar ? errhint("Perhaps you meant the option \"%s\".", similar) :
			 errhint("Options of a %s are: %s.", kinds[wanted], list_options(wanted))));
}

/* What only a superuser may say in a user mapping. */
static void
check_mapping_option(DefElem *option)
{
	const char *name = option->defname;

	if (strcmp(name, "password_required") == 0)
	{
		if (!defGetBoolean(option) && !superuser())
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("password_required=false is superuser-only"),
					 errhint("User mappings with the password_required option set to false may only be created or modified by the superuser.")));
	}
	else if ((strcmp(name, "sslcert") == 0 || strcmp(name, "sslkey") == 0) && !superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("sslcert and sslkey are superuser-only"),
				 errhint("User mappings with the sslcert or sslkey options set may only be created or modified by the superuser.")));
}

void
ts_option_check(List *options, Oid catalog)
{
	Place		wanted = catalog == ForeignServerRelationId ? ON_SERVER : catalog == UserMappingRelationId ? ON_MAPPING : NOWHERE;
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *option = lfirst(lc);

		if (wanted == NOWHERE || place_of(option->defname) != wanted)
			refuse(option->defname, wanted);
		if (wanted == ON_MAPPING)
			check_mapping_option(option);
	}
}
