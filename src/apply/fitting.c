/* fitting.c: rows' values as the target's columns hold them. */
#include "postgres.h"

#include <limits.h>

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "apply/fitting.h"
#include "base/attempt.h"
#include "base/compat.h"
#include "base/quote.h"
#include "base/srf.h"

/* What is shown of a value, and of what a cast says of it. */
#define SHOWN_BYTES 100
#define SHOWN_MESSAGE 200

/* Values being fitted; at: the one at hand. */
typedef struct Fitting
{
	const TsLink *link;
	TsFit	   *fit;
	int			column;
	bool		exactly;
	const TsChange *rows;
	const int  *chosen;
	int			from;
	int			to;
	Datum	   *values;
	bool	   *nulls;
} Fitting;

TsFit *
ts_fitting_create(const TsLink *link, int column)
{
	const TsColumn *col = &link->columns[column];

	return ts_fit_create(col->source_type, col->target_base, col->target_typmod);
}

static char *
show_key(const TsLink *link, const TsChange *row)
{
	char	  **names = palloc(sizeof(char *) * link->nkeys);
	Oid		   *types = palloc(sizeof(Oid) * link->nkeys);
	Datum	   *values = palloc(sizeof(Datum) * link->nkeys);
	bool	   *nulls = palloc(sizeof(bool) * link->nkeys);

	for (int i = 0; i < link->nkeys; i++)
	{
		int			k = link->keys[i];

		names[i] = link->columns[k].target_name;
		types[i] = link->columns[k].source_type;
		values[i] = row->new_values[k];
		nulls[i] = row->new_nulls[k];
	}
	return ts_to_json_text(link->nkeys, names, types, values, nulls, NULL, INT_MAX);
}

static const char *
shorten(const char *text, int limit)
{
	int			len = (int) strlen(text);

	return len <= limit ? text : psprintf("%.*s…", pg_mbcliplen(text, len, limit), text);
}

static const char *
show_value(Oid type, Datum value)
{
	Oid			output;
	bool		varlena;

	getTypeOutputInfo(type, &output, &varlena);
	return shorten(OidOutputFunctionCall(output, value), SHOWN_BYTES);
}

/* The declared type, a domain say, as people know it. */
static char *
show_type(Oid declared, Oid base, int32 typmod)
{
	return ts_show_type(declared, declared == base ? typmod : -1);
}

/* From numeric(10,4) to integer */
static char *
show_types(const TsColumn *col)
{
	return psprintf("%s to %s", show_type(col->source_declared, col->source_type, col->source_typmod),
					show_type(col->target_type, col->target_base, col->target_typmod));
}

/* again: what came back; NULL: nothing did. */
pg_noreturn static void
refuse_inexact(const Fitting *f, int i, Datum held, const char *again)
{
	const TsChange *row = &f->rows[f->chosen[i]];
	const TsColumn *col = &f->link->columns[f->column];
	const char *source = show_value(col->source_type, row->new_values[f->column]);
	const char *target = show_value(col->target_base, held);

	/* float8 0.1 and float4 0.1 */
	if (again != NULL && strcmp(source, target) == 0)
		target = psprintf("%s\", which is \"%s", target, shorten(again, SHOWN_BYTES));
	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("column \"%s\" of link \"%s\" cannot hold the value \"%s\" of row %s: %s makes it \"%s\"", col->target_name, f->link->name,
					source, show_key(f->link, row), show_types(col), target),
			 col->is_key ? errhint("Change the value, or give the key's column of the target a type that holds it.") :
			 errhint("Change the value, give the target's column a type that holds it, or have such values rounded and cut: tracksync.alter_link(%s, on_cast => 'lossy').",
					 quote_literal_cstr(f->link->name))));
}

/* A cast that failed says why, but not of which row. */
pg_noreturn static void
refuse(const Fitting *f, int i, const ErrorData *error)
{
	const TsChange *row = &f->rows[f->chosen[i]];
	const TsColumn *col = &f->link->columns[f->column];
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);
	/* a table of that name does not exist, say: still it is this value that is wrong */
	bool		foreign = category == ERRCODE_TO_CATEGORY(ERRCODE_SYNTAX_ERROR);

	ereport(ERROR,
			(errcode(foreign ? ERRCODE_INVALID_CHARACTER_VALUE_FOR_CAST : error->sqlerrcode),
			 errmsg("column \"%s\" of link \"%s\" cannot hold the value \"%s\" of row %s: %s: %s", col->target_name, f->link->name,
					show_value(col->source_type, row->new_values[f->column]), show_key(f->link, row), show_types(col), shorten(error->message ? error->message : "", SHOWN_MESSAGE)),
			 error->detail ? errdetail_internal("%s", shorten(error->detail, SHOWN_MESSAGE)) : 0,
			 errhint("Change the value, or give the target's column a type that takes it.")));
}

/* New values. */
static void
fit_new(Fitting *f)
{
	MemoryContext context = CurrentMemoryContext;
	volatile int i;
	volatile bool done = false;

	PG_TRY();
	{
		for (i = f->from; i < f->to; i++)
		{
			const TsChange *row = &f->rows[f->chosen[i]];

			CHECK_FOR_INTERRUPTS();
			done = false;
			f->nulls[i] = row->new_nulls[f->column];
			if (f->nulls[i])
				continue;
			f->values[i] = ts_fit_cast(f->fit, row->new_values[f->column], &f->nulls[i]);
			done = true;
			if (f->exactly && (f->nulls[i] || !ts_fit_is_exact(f->fit, row->new_values[f->column], f->values[i])))
				break;
		}
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (!ts_fit_is_about_value(error->sqlerrcode))
			PG_RE_THROW();
		FlushErrorState();
		/* it does not come back */
		if (done)
			refuse_inexact(f, i, f->values[i], NULL);
		refuse(f, i, error);
	}
	PG_END_TRY();
	if (i < f->to && f->nulls[i])
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("column \"%s\" of link \"%s\" cannot hold the value \"%s\" of row %s: %s makes it NULL", f->link->columns[f->column].target_name,
						f->link->name, show_value(f->link->columns[f->column].source_type, f->rows[f->chosen[i]].new_values[f->column]),
						show_key(f->link, &f->rows[f->chosen[i]]), show_types(&f->link->columns[f->column])),
				 errhint("Change the value, or give the target's column a type that holds it.")));
	if (i < f->to)
		refuse_inexact(f, i, f->values[i], ts_fit_again(f->fit, f->values[i]));
}

/* Old ones; the target's keys are exact. */
static void
fit_old(void *arg)
{
	Fitting    *f = arg;

	for (int i = f->from; i < f->to; i++)
	{
		Datum		value = f->rows[f->chosen[i]].old_values[f->column];

		CHECK_FOR_INTERRUPTS();
		f->nulls[i] = f->rows[f->chosen[i]].old_nulls[f->column];
		if (f->nulls[i])
			continue;
		f->values[i] = ts_fit_cast(f->fit, value, &f->nulls[i]);
		if (!f->nulls[i] && f->exactly && !ts_fit_is_exact(f->fit, value, f->values[i]))
			f->nulls[i] = true;
	}
}

/* All of them at once, and each for itself only if that fails. */
static void
fit_all_old(Fitting *f, int n)
{
	ErrorData  *error;

	f->from = 0;
	f->to = n;
	error = ts_attempt(fit_old, f, false);
	for (int i = 0; error != NULL && i < n; i++)
	{
		ErrorData  *one;

		f->from = i;
		f->to = i + 1;
		one = ts_attempt(fit_old, f, false);
		if (one != NULL && !ts_fit_is_about_value(one->sqlerrcode))
			ReThrowError(one);
		if (one != NULL)
			f->nulls[i] = true;
	}
}

void
ts_fitting_column(const TsLink *link, TsFit *fit, int column, bool old, const TsChange *rows, int n, const int *chosen, Datum *values,
				  bool *nulls)
{
	Fitting		f = {.link = link, .fit = fit, .column = column, .rows = rows, .chosen = chosen, .to = n, .values = values, .nulls = nulls};

	f.exactly = link->columns[column].is_key || (!old && !link->lossy);
	if (old)
		fit_all_old(&f, n);
	else
		fit_new(&f);
}

Datum
ts_fitting_value(const TsLink *link, int column, Datum value, bool *isnull)
{
	static const int one[] = {0};
	TsChange	row;
	Datum		held = (Datum) 0;

	ts_change_init(&row, link->ncolumns);
	row.old_values[column] = value;
	ts_fitting_column(link, ts_fitting_create(link, column), column, true, &row, 1, one, &held, isnull);
	return held;
}

void
ts_fitting_check(const TsLink *link, const TsChange *row, const unsigned char *mask)
{
	static const int one[] = {0};
	Datum		value;
	bool		isnull;

	for (int i = 0; i < link->ncolumns; i++)
		if (link->columns[i].bridge != TS_BRIDGE_NONE && (mask == NULL || (mask[i] & TS_COLUMN_CHANGED) != 0))
			ts_fitting_column(link, ts_fitting_create(link, i), i, false, row, 1, one, &value, &isnull);
}
