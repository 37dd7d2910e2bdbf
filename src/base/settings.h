/* settings.h: the extension's settings (GUCs). */
#ifndef TS_SETTINGS_H
#define TS_SETTINGS_H

/* tracksync.buffer_rows: how many events a (sub)transaction holds in memory before it writes them to the log. */
extern int	ts_buffer_rows;
/* tracksync.batch_rows: how many rows one statement of a push takes. */
extern int	ts_batch_rows;
/* tracksync.direct_writes: a push writes local tables without SQL statements, where that comes to the same. */
extern bool ts_direct_writes;
/* tracksync.connect_timeout: seconds to wait for a connection to another server; 0: no limit. */
extern int	ts_connect_timeout;
/* tracksync.retries: how often a push to another server is tried again after an error that may pass. */
extern int	ts_retries;
/* tracksync.context: a free text kept with each transaction's changes. */
extern char *ts_context;
/* tracksync.origin: set by a push from another server, see capture/origin.h. */
extern char *ts_origin_setting;

/* Bytes of row data after which a batch ends, however few its rows: an array value may not pass 1 GB. */
#define TS_BATCH_BYTES (8 * 1024 * 1024)
/* So many bytes of events are held at most by one subtransaction; all nested ones together hold so many times that. */
#define TS_BUFFER_BYTES (1024 * 1024)
#define TS_BUFFER_LEVELS 64
/* How many sequence numbers one nextval() of a log's sequence stands for. */
#define TS_SEQ_BLOCK 1024

/* Kilobytes for sorting the log, and for keeping the rows of one step: work_mem, and somewhat more, since a push is rare. */
#define TS_SORT_KB (work_mem + 32 * 1024)
#define TS_STORE_KB (work_mem + 8 * 1024)

extern void ts_settings_init(void);

#endif
