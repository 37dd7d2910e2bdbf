-- Updates that change no indexed column stay HOT on the target: only changed columns are written, and pages are tidied up on the way.
SET client_min_messages = warning;
SELECT plan(8);
CREATE TABLE hs (id int PRIMARY KEY, a int, b text, c int);
CREATE TABLE ht (id int PRIMARY KEY, a int, b text, c int) WITH (fillfactor = 60);
CREATE INDEX ON ht (a);
CREATE INDEX ON ht (b);
INSERT INTO hs SELECT i, i, 'b' || i, 0 FROM generate_series(1, 500) i;
SELECT tracksync.create_link('h', 'hs', 'public.ht') \g /dev/null
SELECT count(*) FROM tracksync.push('h') \g /dev/null

-- how many rows a push updates, and how many of them in their page
CREATE FUNCTION hot() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  was bigint := pg_stat_get_xact_tuples_updated('ht'::regclass);
  hot bigint := pg_stat_get_xact_tuples_hot_updated('ht'::regclass);
BEGIN
  PERFORM tracksync.push('h');
  RETURN format('%s of %s', pg_stat_get_xact_tuples_hot_updated('ht'::regclass) - hot, pg_stat_get_xact_tuples_updated('ht'::regclass) - was);
END $$;

UPDATE hs SET c = c + 1 WHERE id % 5 = 0;
SELECT is(hot(), '100 of 100', 'a column without an index');
UPDATE hs SET c = c + 1, a = a WHERE id % 5 = 0;
SELECT is(hot(), '100 of 100', 'an indexed column was written, but not changed');
UPDATE hs SET a = a + 1 WHERE id % 50 = 0;
SELECT is(hot(), '0 of 10', 'an indexed column');
UPDATE hs SET c = c + 1 WHERE id <= 3;
UPDATE hs SET b = b || '.' WHERE id = 4;
SELECT is(hot(), '3 of 4', 'rows that differ in what changed');
SET tracksync.direct_writes = off;
UPDATE hs SET c = c + 1 WHERE id % 5 = 1;
SELECT is(hot(), '100 of 100', 'a column without an index, by statements');
UPDATE hs SET c = c + 1, a = a WHERE id % 5 = 1;
SELECT is(hot(), '100 of 100', 'an indexed column was written, but not changed, by statements');
UPDATE hs SET a = a + 1 WHERE id % 50 = 1;
SELECT is(hot(), '0 of 10', 'an indexed column, by statements');
SELECT results_eq('TABLE hs ORDER BY id', 'TABLE ht ORDER BY id', 'and the rows are right');
SELECT * FROM finish();
