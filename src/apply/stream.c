/*
 * stream.c: rows to be inserted into a target on another server, as one COPY.
 *
 * COPY knows no rules, and takes a value's text where INSERT would cast the value: so they are cast here.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "apply/fitting.h"
#include "apply/stream.h"
#include "base/catalog.h"
#include "link/remote.h"

#define CHUNK 65536

TsStream *
ts_stream_prepare(const TsLink *link)
{
	TsStream   *stream = palloc0(sizeof(TsStream));

	if (link->remote->rules)
		return NULL;
	stream->link = link;
	stream->output = palloc(sizeof(FmgrInfo) * link->ncolumns);
	stream->fits = palloc0(sizeof(TsFit *) * (link->ncolumns + 1));
	for (int i = 0; i < link->ncolumns; i++)
	{
		const TsColumn *col = &link->columns[i];
		Oid			output;
		bool		varlena;

		if (col->bridge != TS_BRIDGE_NONE || (col->opaque == NULL && col->source_type != col->target_base))
			stream->fits[i] = ts_fitting_create(link, i);
		getTypeOutputInfo(stream->fits[i] ? col->target_base : col->source_type, &output, &varlena);
		fmgr_info(output, &stream->output[i]);
	}
	return stream;
}

/* As COPY's text format wants it. */
static void
append_escaped(StringInfo out, const char *text)
{
	static const char escapes[128] = {['\\'] = '\\', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};

	for (const char *c = text; *c != '\0'; c++)
	{
		char		escape = (unsigned char) *c < 128 ? escapes[(unsigned char) *c] : '\0';

		if (escape != '\0')
			appendStringInfoChar(out, '\\');
		appendStringInfoCharMacro(out, escape != '\0' ? escape : *c);
	}
}

static void
begin(TsStream *stream)
{
	const TsLink *link = stream->link;
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < link->ncolumns; i++)
		appendStringInfo(&names, "%s%s", i ? ", " : "", quote_identifier(link->columns[i].target_name));
	ts_copy_in_begin(link->remote->connection, psprintf("COPY %s (%s) FROM STDIN", ts_link_target(link), names.data));
	stream->begun = true;
}

void
ts_stream_put(TsStream *stream, int n, const TsChange *rows)
{
	TsConnection *connection = stream->link->remote->connection;
	int			ncolumns = stream->link->ncolumns;
	Datum	  **values = palloc0(sizeof(Datum *) * (ncolumns + 1));
	bool	  **nulls = palloc0(sizeof(bool *) * (ncolumns + 1));
	int		   *all = palloc(sizeof(int) * (n + 1));
	int			level;
	StringInfoData data;

	for (int r = 0; r < n; r++)
		all[r] = r;
	for (int i = 0; i < ncolumns; i++)
	{
		if (stream->fits[i] == NULL)
			continue;
		values[i] = palloc(sizeof(Datum) * (n + 1));
		nulls[i] = palloc(sizeof(bool) * (n + 1));
		ts_fitting_column(stream->link, stream->fits[i], i, false, rows, n, all, values[i], nulls[i]);
	}
	level = ts_texts_enter();
	if (!stream->begun)
		begin(stream);
	initStringInfo(&data);
	for (int r = 0; r < n; r++)
	{
		for (int i = 0; i < ncolumns; i++)
		{
			if (i > 0)
				appendStringInfoChar(&data, '\t');
			if (nulls[i] ? nulls[i][r] : rows[r].new_nulls[i])
				appendStringInfoString(&data, "\\N");
			else
			{
				char	   *text = OutputFunctionCall(&stream->output[i], values[i] ? values[i][r] : rows[r].new_values[i]);

				append_escaped(&data, text);
				pfree(text);
			}
		}
		appendStringInfoChar(&data, '\n');
		if (data.len > CHUNK || r == n - 1)
		{
			ts_copy_in_data(connection, data.data, data.len);
			resetStringInfo(&data);
		}
	}
	pfree(data.data);
	ts_texts_leave(level);
}

uint64
ts_stream_end(TsStream *stream)
{
	stream->begun = false;
	return ts_copy_in_end(stream->link->remote->connection);
}
