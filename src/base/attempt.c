/* attempt.c: work that may fail. */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/attempt.h"

ErrorData *
ts_attempt(void (*work) (void *), void *arg, bool undo)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		work(arg);
		if (!undo)
			ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	if (error != NULL || undo)
		RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

bool
ts_error_is_about_values(int sqlstate)
{
	static const int classes[] = {
		MAKE_SQLSTATE('2', '2', '0', '0', '0'), MAKE_SQLSTATE('2', '3', '0', '0', '0'), MAKE_SQLSTATE('4', '4', '0', '0', '0'),
		MAKE_SQLSTATE('P', '0', '0', '0', '0'), MAKE_SQLSTATE('0', '9', '0', '0', '0'), MAKE_SQLSTATE('2', '7', '0', '0', '0'),
		MAKE_SQLSTATE('5', '4', '0', '0', '0'),
	};

	for (int i = 0; i < lengthof(classes); i++)
		if (ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_TO_CATEGORY(classes[i]))
			return true;
	return false;
}
