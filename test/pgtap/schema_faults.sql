-- Schema changes and data that cannot be applied: all is as before, and once the cause is gone the next push works. ALTER TABLE on
-- the target by hand, every kind.
SET client_min_messages = error;
SELECT plan(292);
CREATE FUNCTION done(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(kind || CASE WHEN rows > 0 THEN rows::text ELSE '' END, ' ' ORDER BY step), '') FROM tracksync.push(name) $$;
CREATE FUNCTION shape(r regclass) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
    || coalesce(' = ' || pg_get_expr(adbin, adrelid), ''), ', ' ORDER BY attname COLLATE "C")
  FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attrelid = r AND attnum > 0 AND NOT attisdropped $$;
-- the rows of the target in the source's columns, as text
CREATE FUNCTION same(s text, t text, what text, cols text = NULL) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  n bigint;
BEGIN
  cols := coalesce(cols, (SELECT string_agg(quote_ident(attname) || '::text', ', ' ORDER BY attname) FROM pg_attribute WHERE attrelid = s::regclass AND attnum > 0 AND NOT attisdropped));
  EXECUTE format('SELECT (SELECT count(*) FROM (SELECT %1$s FROM %2$s EXCEPT ALL SELECT %1$s FROM %3$s) x) + '
                 '(SELECT count(*) FROM (SELECT %1$s FROM %3$s EXCEPT ALL SELECT %1$s FROM %2$s) y)', cols, s, t) INTO n;
  RETURN NEXT is(n, 0::bigint, what || ': same rows');
EXCEPTION WHEN undefined_column THEN
  RETURN NEXT fail(what || ': same rows') || E'\n' || diag(SQLERRM);
END $$;
-- all that a failed push must leave alone
CREATE FUNCTION books(l text, t regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  rows text;
BEGIN
  EXECUTE format('SELECT md5(string_agg(x::text, '','' ORDER BY x::text)) FROM %s x', t) INTO rows;
  RETURN concat_ws(E'\n', t, shape(t), rows,
    (SELECT concat_ws(' ', state, position, own_txid, own_seq, shape, source_attnums, target_columns) FROM tracksync.link WHERE name = l),
    (SELECT concat_ws(' ', state, pending, last_push, last_rows, conflicts) FROM tracksync.status WHERE name = l),
    (SELECT count(*) FROM tracksync.push_history WHERE link = l));
END $$;
-- The push fails with this SQLSTATE; message, detail, hint and context together match all patterns.
CREATE FUNCTION fails(l text, t regclass, state text, what text, VARIADIC patterns text[] = '{}') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  before text := books(l, t);
  got text := 'no error'; said text := ''; m text; d text; h text; c text;
BEGIN
  BEGIN
    PERFORM tracksync.push(l);
  EXCEPTION WHEN query_canceled OR OTHERS THEN
    GET STACKED DIAGNOSTICS got = RETURNED_SQLSTATE, m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT, c = PG_EXCEPTION_CONTEXT;
    -- without the statements: they name all columns
    said := concat_ws(E'\n', m, d, h, regexp_replace(c, '\nSQL statement .*', ''));
  END;
  RETURN NEXT is(got, state, what || ': SQLSTATE') || CASE WHEN got <> state THEN E'\n' || diag(said) ELSE '' END;
  FOR i IN 1 .. cardinality(patterns) LOOP
    RETURN NEXT matches(said, patterns[i], format('%s: says %s', what, patterns[i]));
  END LOOP;
  RETURN NEXT is(books(l, t), before, what || ': target, link and status are as before');
END $$;
CREATE FUNCTION target_has(t regclass, col text) RETURNS boolean LANGUAGE sql AS
  $$ SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = t AND attname = col AND NOT attisdropped) $$;

-- a type that the link's owner may not use
CREATE ROLE faults_owner;
CREATE SCHEMA hidden;
CREATE TYPE hidden.mood AS ENUM ('sad', 'ok');
REVOKE ALL ON TYPE hidden.mood FROM PUBLIC;
GRANT CREATE, USAGE ON SCHEMA public TO faults_owner;
CREATE TABLE us (id int PRIMARY KEY, a text);
GRANT SELECT ON us TO faults_owner;
SELECT tracksync.track('us');
SET ROLE faults_owner;
CREATE TABLE ut (id int PRIMARY KEY, a text);
SELECT tracksync.create_link('u', 'us', 'public.ut');
RESET ROLE;
INSERT INTO us VALUES (1, 'one'), (2, 'two');
SELECT is(done('u'), 'insert2', 'a link of another role');
ALTER TABLE us ADD m hidden.mood;
UPDATE us SET m = 'ok', a = 'changed' WHERE id = 1;
SELECT * FROM fails('u', 'ut', '42501', 'a schema that the owner may not use', 'hidden', 'link "u"', 'add_column');
GRANT USAGE ON SCHEMA hidden TO faults_owner;
SELECT * FROM fails('u', 'ut', '42501', 'a type that the owner may not use', 'mood', 'link "u"', 'add_column');
GRANT USAGE ON TYPE hidden.mood TO faults_owner;
SELECT is(done('u'), 'add_column update1', 'with the right it works');
SELECT * FROM same('us', 'ut', 'a type that the owner may use');
-- the type goes, and with it the columns of both
UPDATE us SET m = 'sad', a = 'again' WHERE id = 2;
DROP TYPE hidden.mood CASCADE;
SELECT is(done('u'), 'update1', 'a type dropped with the columns of both sides');
SELECT * FROM same('us', 'ut', 'a type dropped with the columns of both sides');
-- the type of the target's column alone goes
CREATE DOMAIN label AS text;
SELECT tracksync.drop_link('u');
DROP TABLE ut;
CREATE TABLE ut (id int PRIMARY KEY, a label);
SELECT tracksync.create_link('u', 'us', 'public.ut');
SELECT is(done('u'), 'insert2', 'a domain on the target');
UPDATE us SET a = 'third' WHERE id = 1;
DROP DOMAIN label CASCADE;
SELECT * FROM fails('u', 'ut', '42703', 'the type of the target''s column was dropped', '"a"', 'link "u"');
ALTER TABLE ut ADD a text;
SELECT tracksync.alter_link('u', target => 'public.ut');
SELECT is(done('u'), 'update2', 'a column made anew is filled after alter_link');
SELECT * FROM same('us', 'ut', 'a column made anew');

-- a value that the target's column does not take: key, column and value are in the error
CREATE TABLE cs (id int PRIMARY KEY, "Num" int, b text, c numeric, d text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE ct (id int PRIMARY KEY, "Num" smallint, b varchar(3), c numeric(4,2), d text);
SELECT tracksync.create_link('c', 'cs', 'public.ct');
INSERT INTO cs SELECT i, i, 'b', 1, 'd' FROM generate_series(1, 20) i;
SELECT is(done('c'), 'insert20', 'narrower types on the target');
UPDATE cs SET d = 'x';
UPDATE cs SET "Num" = 100000 WHERE id = 7;
SELECT * FROM fails('c', 'ct', '22003', 'an update out of range', 'link "c"', 'public\.ct', 'update', '\m7\M', 'Num', '100000');
UPDATE cs SET "Num" = 7 WHERE id = 7;
INSERT INTO cs SELECT i, i, 'b', 1, 'd' FROM generate_series(21, 30) i;
UPDATE cs SET "Num" = -100001 WHERE id = 25;
SELECT * FROM fails('c', 'ct', '22003', 'an insert out of range', 'link "c"', 'insert', '\m25\M', 'Num', '-100001');
UPDATE cs SET "Num" = 7, b = 'lengthy' WHERE id = 25;
SELECT * FROM fails('c', 'ct', '22001', 'a string that is too long', '\m25\M', '"b"', 'lengthy');
UPDATE cs SET c = 123.4, b = 'b' WHERE id = 25;
SELECT * FROM fails('c', 'ct', '22003', 'a number that is too large', '\m25\M', '"c"', '123\.4');
UPDATE cs SET c = 1 WHERE id = 25;
SELECT is(done('c'), 'update20 insert10', 'all values fit again');
SELECT * FROM same('cs', 'ct', 'all values fit again', 'id, "Num"::int, b::text, c::numeric(4,2), d');
ALTER TABLE ct ALTER "Num" TYPE positive;
UPDATE cs SET "Num" = -5 WHERE id = 3;
SELECT * FROM fails('c', 'ct', '23514', 'a domain''s check', '\m3\M', 'Num', '-5', 'positive');
ALTER DOMAIN positive DROP CONSTRAINT positive_check;
SELECT is(done('c'), 'update1', 'without the check');
SELECT * FROM same('cs', 'ct', 'without the check', 'id, "Num"::int, b::text, c::numeric(4,2), d');
-- the same with a changed name and type in the same push
ALTER TABLE cs RENAME d TO e;
ALTER TABLE cs ADD f int NOT NULL DEFAULT 4;
UPDATE cs SET "Num" = 40000 WHERE id = 9;
ALTER TABLE ct ALTER "Num" TYPE smallint;
SELECT * FROM fails('c', 'ct', '22003', 'with column changes in the same push', '\m9\M', 'Num', '40000');
UPDATE cs SET "Num" = 4 WHERE id = 9;
SELECT is(done('c'), 'rename_column add_column update1', 'rename and new column come with the row');
SELECT * FROM same('cs', 'ct', 'rename and new column', 'id, "Num"::int, b::text, c::numeric(4,2), e, f');

-- a new type that the target's old values do not fit, though the source's do: an implicit cast can fail, too
CREATE TABLE ws (id int PRIMARY KEY, a numeric);
CREATE TABLE wt (LIKE ws INCLUDING ALL);
SELECT tracksync.create_link('w', 'ws', 'public.wt');
INSERT INTO ws VALUES (1, 1), (2, 1e39), (3, 3);
SELECT is(done('w'), 'insert3', 'before a new type');
DELETE FROM ws WHERE id = 2;
ALTER TABLE ws ALTER a TYPE real;
SELECT lives_ok($$SELECT done('w')$$, 'numeric to real: a value that is deleted in the same push is out of range');
SELECT * FROM same('ws', 'wt', 'numeric to real');
SELECT is(shape('wt'), shape('ws'), 'numeric to real: the same columns');
CREATE TABLE vs (id int PRIMARY KEY, a int);
CREATE TABLE vt (LIKE vs INCLUDING ALL);
SELECT tracksync.create_link('v', 'vs', 'public.vt');
INSERT INTO vs VALUES (1, 1), (2, -2);
SELECT is(done('v'), 'insert2', 'before a domain');
CREATE DOMAIN natural_number AS int CHECK (VALUE >= 0);
UPDATE vs SET a = 2 WHERE id = 2;
ALTER TABLE vs ALTER a TYPE natural_number;
SELECT lives_ok($$SELECT done('v')$$, 'int to a domain: a value that is updated in the same push does not satisfy it');
SELECT * FROM same('vs', 'vt', 'int to a domain');
SELECT is(shape('vt'), shape('vs'), 'int to a domain: the same columns');

-- domains that refuse NULL
CREATE TABLE ds (id int PRIMARY KEY, a text, b text);
CREATE TABLE dt (LIKE ds INCLUDING ALL);
SELECT tracksync.create_link('d', 'ds', 'public.dt');
INSERT INTO ds VALUES (1, '1', 'abcdef'), (2, '2', 'ghijkl');
SELECT is(done('d'), 'insert2', 'before domains');
CREATE DOMAIN needed AS int NOT NULL;
ALTER TABLE ds ADD n needed DEFAULT (random() * 100)::int;
SELECT lives_ok($$SELECT done('d')$$, 'a new column of a domain that refuses NULL, with a volatile default');
SELECT * FROM same('ds', 'dt', 'a new column of a domain that refuses NULL', 'id, n');
ALTER TABLE ds DROP n;
SELECT lives_ok($$SELECT done('d')$$, 'it is dropped');
ALTER TABLE ds ALTER a TYPE needed USING a::int + 1;
SELECT lives_ok($$SELECT done('d')$$, 'text to a domain that refuses NULL');
SELECT * FROM same('ds', 'dt', 'text to a domain that refuses NULL', 'id, a::text');
ALTER TABLE ds ALTER a TYPE text;
SELECT lives_ok($$SELECT done('d')$$, 'and back');
CREATE DOMAIN short AS varchar(3);
ALTER TABLE ds ALTER b TYPE short USING left(b, 2);
SELECT is((SELECT destructive FROM tracksync.plan('d') WHERE kind = 'alter_column'), true, 'text to a domain over varchar(3) is destructive');
SELECT lives_ok($$SELECT done('d')$$, 'text to a domain over varchar(3)');
SELECT * FROM same('ds', 'dt', 'text to a domain over varchar(3)', 'id, b::text');

-- ALTER TYPE that does not rewrite the source: what the target's values become must not depend on who pushes
CREATE TABLE zs (id int PRIMARY KEY, a timestamp);
CREATE TABLE zt (LIKE zs INCLUDING ALL);
SELECT tracksync.create_link('z', 'zs', 'public.zt');
INSERT INTO zs VALUES (1, '2024-01-01 12:00');
SELECT is(done('z'), 'insert1', 'before timestamptz');
SET timezone = 'UTC';
ALTER TABLE zs ALTER a TYPE timestamptz;
SET timezone = 'Europe/Berlin';
SELECT lives_ok($$SELECT done('z')$$, 'timestamp to timestamptz, pushed with another TimeZone');
SELECT * FROM same('zs', 'zt', 'timestamp to timestamptz, pushed with another TimeZone');
RESET timezone;
-- the value of ADD COLUMN … DEFAULT does not depend on the session's settings
ALTER TABLE zs ADD f float8 DEFAULT 0.1::float8 + 0.2::float8, ADD i interval DEFAULT '1 day -2:03', ADD d date DEFAULT '2024-02-01', ADD b bytea DEFAULT '\x00ff';
SET extra_float_digits = -5; SET intervalstyle = 'sql_standard'; SET datestyle = 'SQL, DMY'; SET bytea_output = 'escape';
SELECT is(done('z'), 'add_column add_column add_column add_column', 'constants, with odd settings');
RESET extra_float_digits; RESET intervalstyle; RESET datestyle; RESET bytea_output;
SELECT * FROM same('zs', 'zt', 'constants, with odd settings', 'id, f, i, d, b');

-- NOT NULL without a default, on a target that has rows of its own
CREATE TABLE ns (id int PRIMARY KEY, a text);
CREATE TABLE nt (LIKE ns INCLUDING ALL);
INSERT INTO nt VALUES (99, 'its own');
SELECT tracksync.create_link('n', 'ns', 'public.nt');
INSERT INTO ns VALUES (1, 'one'), (2, 'two');
SELECT is(done('n'), 'insert2', 'a target with a row of its own');
ALTER TABLE ns ADD must int;
UPDATE ns SET must = id;
ALTER TABLE ns ALTER must SET NOT NULL;
SELECT * FROM fails('n', 'nt', '23502', 'NOT NULL, and a row without a value', 'must', 'link "n"', 'public\.nt', 'add_column|alter_column');
UPDATE ns SET a = 'later' WHERE id = 2;
DELETE FROM nt WHERE id = 99;
SELECT is(done('n'), 'add_column update2', 'NOT NULL comes when the row is gone');
SELECT * FROM same('ns', 'nt', 'NOT NULL');
SELECT is(shape('nt'), shape('ns'), 'NOT NULL: the same columns');
-- the rows that stand in the way go in the same push
DELETE FROM ns;
ALTER TABLE ns ADD must_too int NOT NULL;
INSERT INTO ns VALUES (5, 'five', 5, 5);
SELECT is(done('n'), 'add_column delete2 insert1', 'NOT NULL after all rows were deleted');
SELECT * FROM same('ns', 'nt', 'NOT NULL after all rows were deleted');
SELECT is(shape('nt'), shape('ns'), 'NOT NULL after all rows were deleted: the same columns');
-- SET NOT NULL on a column that is NULL in a row of the target's own
ALTER TABLE ns ADD opt int DEFAULT 1;
SELECT is(done('n'), 'add_column', 'a column that may be NULL');
INSERT INTO nt VALUES (98, 'its own', 1, 1, NULL);
ALTER TABLE ns ALTER opt SET NOT NULL;
SELECT * FROM fails('n', 'nt', '23502', 'SET NOT NULL', 'opt', 'link "n"', 'alter_column');
UPDATE nt SET opt = 0 WHERE id = 98;
SELECT is(done('n'), 'alter_column', 'SET NOT NULL when the row has a value');
SELECT is(shape('nt'), shape('ns'), 'SET NOT NULL: the same columns');
DELETE FROM nt WHERE id = 98;

-- a NOT NULL column of the target's own
ALTER TABLE nt ADD own int NOT NULL DEFAULT 1;
ALTER TABLE nt ALTER own DROP DEFAULT;
UPDATE ns SET a = 'updates do not mind';
SELECT is(done('n'), 'update1', 'a NOT NULL column of the target''s own does not hinder an update');
INSERT INTO ns VALUES (6, 'six', 6, 6, 6);
SELECT * FROM fails('n', 'nt', '23502', 'a NOT NULL column of the target''s own', 'own', 'link "n"', 'insert', '\m6\M');
ALTER TABLE nt ALTER own SET DEFAULT 2;
SELECT is(done('n'), 'insert1', 'with a default it works');
SELECT * FROM same('ns', 'nt', 'a NOT NULL column of the target''s own');
SELECT is((SELECT string_agg(own::text, ' ' ORDER BY id) FROM nt), '1 2', 'and has its default');

-- a time-out while the target is rewritten
CREATE FUNCTION slow(bigint) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM pg_sleep(coalesce(current_setting('faults.sleep', true), '0')::float8); RETURN true; END $$;
CREATE TABLE ss (id int PRIMARY KEY, a int, b text);
CREATE TABLE st (LIKE ss INCLUDING ALL);
INSERT INTO ss SELECT i, i, 'b' FROM generate_series(1, 20) i;
SELECT tracksync.create_link('s', 'ss', 'public.st');
SELECT is(done('s'), 'insert20', 'before a rewrite');
ALTER TABLE st ADD CONSTRAINT slow CHECK (slow(a));
ALTER TABLE ss RENAME b TO bb;
ALTER TABLE ss ALTER a TYPE bigint;
UPDATE ss SET bb = 'c' WHERE id = 4;
SET faults.sleep = 0.1;
SET statement_timeout = '400ms';
SELECT * FROM fails('s', 'st', '57014', 'statement_timeout in a rewrite', 'link "s"', 'alter_column');
RESET statement_timeout;
SET faults.sleep = 0;
ALTER TABLE st DROP CONSTRAINT slow;
SELECT is(done('s'), 'rename_column alter_column update1', 'with time enough it works');
SELECT * FROM same('ss', 'st', 'with time enough');
SELECT is(shape('st'), shape('ss'), 'with time enough: the same columns');

-- what depends on a dropped or retyped column is named, and keeps it
CREATE VIEW depends_on_st AS SELECT id, bb FROM st;
UPDATE ss SET a = 0 WHERE id = 1;
ALTER TABLE ss ALTER bb TYPE varchar(30);
SELECT * FROM fails('s', 'st', '0A000', 'a view on a retyped column', 'depends_on_st', 'link "s"');
ALTER TABLE ss DROP bb;
SELECT * FROM fails('s', 'st', '2BP01', 'a view on a dropped column', 'depends_on_st', 'link "s"');
DROP VIEW depends_on_st;
SELECT is(done('s'), 'drop_column update1', 'without the view the column goes');
SELECT * FROM same('ss', 'st', 'without the view');
ALTER TABLE st ADD twice bigint GENERATED ALWAYS AS (a * 2) STORED;
UPDATE ss SET a = 5 WHERE id = 2;
ALTER TABLE ss DROP a;
SELECT * FROM fails('s', 'st', '2BP01', 'a generated column of a dropped column', 'twice', 'link "s"');
ALTER TABLE st DROP twice;
SELECT is(done('s'), 'drop_column', 'without the generated column it goes');
SELECT * FROM same('ss', 'st', 'without the generated column');
ALTER TABLE ss ADD code int NOT NULL DEFAULT 3;
SELECT is(done('s'), 'add_column', 'a column for a foreign key');
UPDATE ss SET code = id + 100;
SELECT is(done('s'), 'update20', 'and its values');
CREATE UNIQUE INDEX st_code ON st (code);
CREATE TABLE st_child (code int REFERENCES st (code));
ALTER TABLE ss DROP code;
SELECT * FROM fails('s', 'st', '2BP01', 'a foreign key to a dropped column', 'st_child', 'link "s"');
DROP TABLE st_child;
SELECT is(done('s'), 'drop_column', 'without the foreign key it goes, and its index');

-- ALTER TABLE on the target by hand
CREATE TABLE hs (id int PRIMARY KEY, a text, b int DEFAULT 1, c varchar(10), d int NOT NULL DEFAULT 0);
CREATE TABLE ht (LIKE hs INCLUDING ALL);
INSERT INTO hs SELECT i, 'a' || i, i, 'c', i FROM generate_series(1, 10) i;
SELECT tracksync.create_link('h', 'hs', 'public.ht');
SELECT is(done('h'), 'insert10', 'before ALTER TABLE by hand');
-- columns of its own stay, and are not written
ALTER TABLE ht ADD own1 int, ADD own2 text DEFAULT 'two', ADD own3 int NOT NULL DEFAULT 3;
UPDATE ht SET own1 = id, own2 = 'mine' WHERE id < 5;
INSERT INTO hs VALUES (11, 'a11');
UPDATE hs SET a = 'x' WHERE id = 1;
SELECT is(done('h'), 'update1 insert1', 'columns of the target''s own');
SELECT is((SELECT string_agg(concat_ws(',', own1, own2, own3), ' ' ORDER BY id) FROM ht WHERE id IN (1, 4, 5, 11)), '1,mine,3 4,mine,3 two,3 two,3', 'keep what they have, and get their defaults');
ALTER TABLE ht DROP own1;
UPDATE hs SET a = 'y' WHERE id = 1;
SELECT is(done('h'), 'update1', 'one of them dropped');
SELECT * FROM same('hs', 'ht', 'columns of the target''s own');
-- what leaves the columns as they are
ALTER TABLE ht SET (fillfactor = 70), ALTER a SET STATISTICS 10, ALTER a SET STORAGE EXTERNAL, ALTER b SET (n_distinct = 3), REPLICA IDENTITY FULL, CLUSTER ON ht_pkey, SET UNLOGGED;
CREATE INDEX ON ht (a);
ALTER TABLE ht ADD CHECK (id > 0);
COMMENT ON COLUMN ht.a IS 'a';
UPDATE hs SET a = 'z' WHERE id = 1;
ALTER TABLE hs ADD e int DEFAULT 5;
SELECT is(done('h'), 'add_column update1', 'storage, statistics, an index, a check');
SELECT * FROM same('hs', 'ht', 'storage, statistics, an index, a check');
-- name and place
CREATE SCHEMA elsewhere;
ALTER TABLE ht RENAME TO ht2;
ALTER TABLE ht2 SET SCHEMA elsewhere;
ALTER SCHEMA elsewhere RENAME TO moved;
UPDATE hs SET b = 77 WHERE id = 2;
ALTER TABLE hs RENAME e TO ee;
SELECT is(done('h'), 'rename_column update1', 'renamed and moved');
SELECT * FROM same('hs', 'moved.ht2', 'renamed and moved');
SELECT is((SELECT target FROM tracksync.status WHERE name = 'h'), 'moved.ht2', 'status shows where');
ALTER TABLE moved.ht2 SET SCHEMA public;
ALTER TABLE ht2 RENAME TO ht;
-- a mapped column renamed
ALTER TABLE ht RENAME a TO other;
UPDATE hs SET a = 'q' WHERE id = 3;
SELECT is(done('h'), 'update1', 'a mapped column was renamed: the link follows it');
SELECT is((SELECT target_columns FROM tracksync.link WHERE name = 'h'), '{id,other,b,c,d,ee}', 'and knows its name');
ALTER TABLE ht RENAME other TO a;
SELECT is(done('h'), '', 'back again');
SELECT * FROM same('hs', 'ht', 'back again');
ALTER TABLE ht RENAME id TO key;
UPDATE hs SET a = 'q' WHERE id = 4;
SELECT is(done('h'), 'update1', 'the key was renamed');
ALTER TABLE ht RENAME key TO id;
SELECT is(done('h'), '', 'the key is back again');
SELECT * FROM same('hs', 'ht', 'the key is back again');
-- renamed by hand as the source was
ALTER TABLE hs RENAME a TO "A";
ALTER TABLE ht RENAME a TO "A";
UPDATE hs SET "A" = 'r' WHERE id = 5;
SELECT is(done('h'), 'update1', 'somebody did the rename by hand');
SELECT * FROM same('hs', 'ht', 'somebody did the rename by hand');
ALTER TABLE hs ADD f int DEFAULT 6;
ALTER TABLE ht ADD f int;
SELECT is(done('h'), 'backfill11', 'somebody added the column by hand, without its values');
SELECT * FROM same('hs', 'ht', 'somebody added the column by hand');
ALTER TABLE hs DROP f;
ALTER TABLE ht DROP f;
SELECT is(done('h'), '', 'somebody dropped the column by hand');
-- a rename done by hand otherwise: the column that has the name now is another one
ALTER TABLE hs RENAME "A" TO a;
ALTER TABLE ht DROP "A", ADD a text;
SELECT lives_ok($$SELECT done('h')$$, 'a column dropped and added where the source renamed it');
SELECT * FROM same('hs', 'ht', 'a column dropped and added where the source renamed it');
UPDATE ht SET a = hs.a FROM hs WHERE hs.id = ht.id;
-- a mapped column dropped
ALTER TABLE ht DROP c;
UPDATE hs SET c = 'cc' WHERE id = 6;
SELECT * FROM fails('h', 'ht', '42703', 'a mapped column was dropped', '"c"', 'link "h"');
ALTER TABLE ht ADD c varchar(10);
SELECT tracksync.alter_link('h', target => 'public.ht');
SELECT ok(done('h') <> '', 'the column is filled after alter_link');
SELECT * FROM same('hs', 'ht', 'the column is filled');
-- another type
ALTER TABLE ht ALTER b TYPE bigint, ALTER c TYPE text;
UPDATE hs SET b = 5, c = 'ccc' WHERE id = 7;
SELECT is(done('h'), 'update1', 'wider types');
SELECT * FROM same('hs', 'ht', 'wider types');
ALTER TABLE hs ALTER c TYPE varchar(20), ALTER b TYPE smallint;
UPDATE hs SET c = 'cccccccccccccc' WHERE id = 8;
SELECT ok(done('h') !~ 'alter_column', 'types that were given by hand stay');
SELECT is((SELECT string_agg(format_type(atttypid, atttypmod), ', ' ORDER BY attname) FROM pg_attribute WHERE attrelid = 'ht'::regclass AND attname IN ('b', 'c')), 'bigint, text', 'types that were given by hand are kept');
SELECT * FROM same('hs', 'ht', 'types that were given by hand');
ALTER TABLE ht ALTER b DROP DEFAULT, ALTER b TYPE date USING NULL;
UPDATE hs SET b = 6 WHERE id = 7;
SELECT * FROM fails('h', 'ht', '22007', 'a type without a cast', '"b"', 'link "h"', '\m7\M', 'smallint to date');
ALTER TABLE ht ALTER b TYPE int USING NULL;
SELECT tracksync.alter_link('h', target => 'public.ht');
SELECT ok(done('h') <> '', 'a type with a cast');
SELECT * FROM same('hs', 'ht', 'a type with a cast');
ALTER TABLE ht ALTER id TYPE smallint;
SELECT * FROM fails('h', 'ht', '42804', 'a type that does not hold the keys', '"id"', 'link "h"');
ALTER TABLE ht ALTER id TYPE bigint;
INSERT INTO hs VALUES (12, 'twelve');
SELECT is(done('h'), 'insert1', 'a type that holds them');
SELECT * FROM same('hs', 'ht', 'a type that holds them');
-- default and nullability
ALTER TABLE ht ALTER a SET DEFAULT 'mine', ALTER d DROP NOT NULL, ALTER d DROP DEFAULT;
ALTER TABLE hs ALTER a SET DEFAULT 'theirs', ALTER d SET DEFAULT 9;
INSERT INTO hs (id) VALUES (13);
SELECT is(done('h'), 'insert1', 'defaults that were given by hand stay');
SELECT is((SELECT string_agg(concat(attname, attnotnull, pg_get_expr(adbin, adrelid)), ', ' ORDER BY attname) FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
  WHERE attrelid = 'ht'::regclass AND attname IN ('a', 'd')), 'af''mine''::text, df', 'defaults and nullability that were given by hand are kept');
ALTER TABLE hs ALTER a TYPE varchar(100);
SELECT is(done('h'), 'alter_column', 'a new type');
SELECT is((SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'ht'::regclass AND adnum = (SELECT attnum FROM pg_attribute WHERE attrelid = 'ht'::regclass AND attname = 'a')),
  '''mine''::text', 'a default that was given by hand is kept with a new type, too');
SELECT * FROM same('hs', 'ht', 'defaults');
ALTER TABLE ht ALTER ee SET NOT NULL;
INSERT INTO hs (id, ee) VALUES (14, NULL);
SELECT * FROM fails('h', 'ht', '23502', 'NOT NULL given by hand', 'ee', '\m14\M', 'insert', 'link "h"');
ALTER TABLE ht ALTER ee DROP NOT NULL;
SELECT is(done('h'), 'insert1', 'NOT NULL taken back');
-- constraints
UPDATE hs SET d = id;
SELECT lives_ok($$SELECT done('h')$$, 'before constraints');
ALTER TABLE ht ADD CONSTRAINT small CHECK (b < 1000), ADD CONSTRAINT alone UNIQUE (d);
UPDATE hs SET b = 2000 WHERE id = 9;
SELECT * FROM fails('h', 'ht', '23514', 'a check', 'small', '\m9\M', 'update', 'link "h"');
UPDATE hs SET b = 3 WHERE id = 9;
UPDATE hs SET d = 10 WHERE id = 9;
SELECT * FROM fails('h', 'ht', '23505', 'a unique constraint', 'alone', 'link "h"');
ALTER TABLE ht DROP CONSTRAINT alone;
SELECT lives_ok($$SELECT done('h')$$, 'without the constraint');
SELECT * FROM same('hs', 'ht', 'without the constraint');
CREATE TABLE parent (id int PRIMARY KEY);
INSERT INTO parent SELECT generate_series(0, 20);
ALTER TABLE ht ADD CONSTRAINT up FOREIGN KEY (d) REFERENCES parent;
UPDATE hs SET d = 21 WHERE id = 2;
SELECT * FROM fails('h', 'ht', '23503', 'a foreign key', 'up', '\m21\M', 'link "h"');
INSERT INTO parent VALUES (21);
SELECT is(done('h'), 'update1', 'with the parent');
ALTER TABLE ht DROP CONSTRAINT up, DROP CONSTRAINT ht_pkey;
UPDATE hs SET a = 'no key' WHERE id = 2;
SELECT * FROM fails('h', 'ht', '42P10', 'no unique index on the key', 'id', 'link "h"');
ALTER TABLE ht ADD UNIQUE (id);
SELECT is(done('h'), 'update1', 'another unique index');
SELECT * FROM same('hs', 'ht', 'another unique index');
-- a column that is generated, or identity
ALTER TABLE ht DROP d, ADD d int GENERATED ALWAYS AS (id * 2) STORED;
UPDATE hs SET a = 'generated' WHERE id = 2;
SELECT * FROM fails('h', 'ht', '428C9', 'a column that is generated now', '"d"', 'link "h"');
ALTER TABLE ht ALTER d DROP EXPRESSION, ALTER d SET NOT NULL;
SELECT tracksync.alter_link('h', target => 'public.ht');
SELECT lives_ok($$SELECT done('h')$$, 'an ordinary column again');
SELECT * FROM same('hs', 'ht', 'an ordinary column again');
ALTER TABLE ht ALTER d ADD GENERATED ALWAYS AS IDENTITY;
INSERT INTO hs (id, d) VALUES (15, 1500);
SELECT ok(done('h') ~ '^insert1', 'an identity column is written with the source''s values');
SELECT * FROM same('hs', 'ht', 'an identity column');
ALTER TABLE ht ALTER d DROP IDENTITY;
-- rules and triggers
CREATE RULE nothing AS ON DELETE TO ht DO INSTEAD NOTHING;
DELETE FROM hs WHERE id = 15;
SELECT * FROM fails('h', 'ht', '42809', 'an INSTEAD rule', 'link "h"');
DROP RULE nothing ON ht;
SELECT is(done('h'), 'delete1', 'without the rule');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one: %', NEW.id USING ERRCODE = 'P4242'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON ht FOR EACH ROW WHEN (NEW.id = 16) EXECUTE FUNCTION refuse();
INSERT INTO hs SELECT i, 'i' || i FROM generate_series(15, 17) i;
SELECT * FROM fails('h', 'ht', 'P4242', 'a trigger that refuses', '\m16\M', 'insert', 'link "h"');
ALTER TABLE ht DISABLE TRIGGER refuse;
SELECT is(done('h'), 'insert3', 'with the trigger disabled');
SELECT * FROM same('hs', 'ht', 'with the trigger disabled');
-- names of columns that the target exchanges: rows must not get another column's values in silence
UPDATE hs SET a = 'va' || id, c = 'vc' || id;
SELECT lives_ok($$SELECT done('h')$$, 'before columns are exchanged');
ALTER TABLE ht RENAME a TO swap; ALTER TABLE ht RENAME c TO a; ALTER TABLE ht RENAME swap TO c;
UPDATE hs SET b = 1 WHERE id = 1;
SELECT lives_ok($$SELECT done('h')$$, 'names exchanged by hand');
SELECT * FROM same('(SELECT id, a AS c, b, c AS a, d, ee FROM hs) x', 'ht', 'names exchanged by hand: columns are followed by number', 'id, a::text, b::text, c::text, d::text, ee::text');
SELECT tracksync.alter_link('h', target => 'public.ht');
SELECT lives_ok($$SELECT done('h')$$, 'after alter_link');
SELECT * FROM same('hs', 'ht', 'names exchanged by hand, after alter_link');
-- the target is gone
ALTER TABLE ht RENAME TO ht_old;
CREATE TABLE ht (LIKE hs INCLUDING ALL);
UPDATE hs SET b = 2 WHERE id = 1;
SELECT is(done('h') || (SELECT count(*) FROM ht), 'update10', 'a new table with the old name is not the target');
DROP TABLE ht_old;
UPDATE hs SET b = 3 WHERE id = 1;
SELECT * FROM fails('h', 'ht', '42P01', 'the target was dropped', 'was dropped', 'link "h"');
SELECT tracksync.alter_link('h', target => 'public.ht');
SELECT ok(done('h') ~ '^insert', 'another target');
SELECT * FROM same('hs', 'ht', 'another target');

-- all kinds of steps at once: each rename finds its name free
CREATE TABLE os (id int PRIMARY KEY, a int, b int, c int, d int, e int, f int, g int);
CREATE TABLE ot (LIKE os INCLUDING ALL);
INSERT INTO os VALUES (1, 1, 2, 3, 4, 5, 6, 7);
SELECT tracksync.create_link('o', 'os', 'public.ot');
SELECT is(done('o'), 'insert1', 'before many steps');
ALTER TABLE os DROP a;
ALTER TABLE os RENAME b TO a; ALTER TABLE os RENAME c TO b; ALTER TABLE os RENAME d TO c;
ALTER TABLE os DROP f, DROP g, ADD d bigint, ALTER a SET DEFAULT 1, ALTER b SET DEFAULT 1, ALTER c SET DEFAULT 1, ALTER e SET DEFAULT 1;
SELECT lives_ok($$SELECT done('o')$$, 'many steps');
SELECT * FROM same('os', 'ot', 'many steps');
SELECT is(shape('ot'), shape('os'), 'many steps: the same columns');

-- the same on both sides, by hand
CREATE TABLE bs (id int PRIMARY KEY, a int, b int, c int);
CREATE TABLE bt (LIKE bs INCLUDING ALL);
INSERT INTO bs VALUES (1, 1, 2, 3), (2, 3, 4, 5);
SELECT tracksync.create_link('b', 'bs', 'public.bt');
SELECT is(done('b'), 'insert2', 'before the same is done on both sides');
ALTER TABLE bs DROP a; ALTER TABLE bs RENAME b TO a;
ALTER TABLE bt DROP a; ALTER TABLE bt RENAME b TO a;
SELECT lives_ok($$SELECT done('b')$$, 'a drop, and a rename onto its name, on both sides');
SELECT * FROM same('bs', 'bt', 'a drop and a rename on both sides');
SELECT tracksync.alter_link('b', target => 'public.bt');
SELECT done('b');
ALTER TABLE bs RENAME a TO x; ALTER TABLE bs RENAME c TO a; ALTER TABLE bs RENAME x TO c;
ALTER TABLE bt RENAME a TO x; ALTER TABLE bt RENAME c TO a; ALTER TABLE bt RENAME x TO c;
SELECT lives_ok($$SELECT done('b')$$, 'a swap of names on both sides');
SELECT * FROM same('bs', 'bt', 'a swap of names on both sides');

-- a column that keeps its old name on the target, and a new one that has this name on the source
CREATE TABLE es (id int PRIMARY KEY, a text);
CREATE TABLE et (LIKE es INCLUDING ALL);
INSERT INTO es VALUES (1, 'one'), (2, 'two');
SELECT tracksync.create_link('e', 'es', 'public.et', schema_policy => 'additive');
SELECT is(done('e'), 'insert2', 'additive: before a rename');
ALTER TABLE es RENAME a TO b;
SELECT is(done('e'), '', 'additive: the target keeps the name');
ALTER TABLE es ADD a text DEFAULT 'new';
DO $$ BEGIN PERFORM tracksync.push('e'); EXCEPTION WHEN OTHERS THEN NULL; END $$;
SELECT is((SELECT string_agg(a, ' ' ORDER BY id) FROM et), 'one two', 'additive: a new column does not take the place of another');

-- a restored or copied database: the columns are looked for by name. One that is not found is an error, never a drop.
CREATE TABLE rs (id int PRIMARY KEY, a text, b int);
CREATE TABLE rt (LIKE rs INCLUDING ALL);
INSERT INTO rs VALUES (1, 'one', 1), (2, 'two', 2);
SELECT tracksync.create_link('r', 'rs', 'public.rt');
SELECT is(done('r'), 'insert2', 'before a restore');
CREATE FUNCTION restored(l text) RETURNS void LANGUAGE sql AS $$
  UPDATE tracksync.tracked_table SET system_identity = 'another/1' WHERE source = (SELECT source FROM tracksync.link WHERE name = l);
  UPDATE tracksync.link SET system_identity = 'another/1' WHERE name = l $$;
-- renamed while nothing wrote it down
ALTER EVENT TRIGGER tracksync_ddl_done DISABLE;
ALTER TABLE rs RENAME a TO renamed;
SELECT restored('r');
SELECT throws_ok($$SELECT * FROM tracksync.plan('r')$$, '42703', NULL, 'a column that is not found after a restore: plan');
SELECT throws_ok($$SELECT * FROM tracksync.push('r')$$, '42703', NULL, 'a column that is not found after a restore: push');
SELECT throws_ok($$SELECT * FROM tracksync.push('r')$$, '42703', NULL, 'and again');
SELECT ok(target_has('rt', 'a'), 'it was not dropped');
SELECT is((SELECT string_agg(a, ' ' ORDER BY id) FROM rt), 'one two', 'and has its values');
SELECT tracksync.alter_link('r', columns => '{"id": "id", "a": "renamed", "b": "b"}');
UPDATE rs SET renamed = 'uno' WHERE id = 1;
SELECT lives_ok($$SELECT done('r')$$, 'with the columns named anew it works');
SELECT is((SELECT string_agg(concat(a, b), ' ' ORDER BY id) FROM rt), 'uno1 two2', 'with the columns named anew');
ALTER EVENT TRIGGER tracksync_ddl_done ENABLE ALWAYS;
-- dropped before the restore, not pushed: an error as well
ALTER TABLE rs DROP b;
SELECT restored('r');
SELECT throws_ok($$SELECT * FROM tracksync.push('r')$$, '42703', NULL, 'dropped before the restore');
SELECT ok(target_has('rt', 'b'), 'the target''s column stays');
-- what was altered and not pushed when the database was copied: the right plan, or an error
CREATE TABLE qs (id int PRIMARY KEY, a text, b int);
CREATE TABLE qt (LIKE qs INCLUDING ALL);
INSERT INTO qs VALUES (1, 'one', 1);
SELECT tracksync.create_link('q', 'qs', 'public.qt');
SELECT is(done('q'), 'insert1', 'before a copy');
ALTER TABLE qs ADD c int DEFAULT 5;
ALTER TABLE qs RENAME a TO z;
ALTER TABLE qs ALTER b TYPE bigint;
SELECT restored('q');
SELECT lives_ok($$SELECT done('q')$$, 'a copy with column changes that were not pushed');
SELECT is(shape('qt'), shape('qs'), 'they are not forgotten');
DROP OWNED BY faults_owner;
DROP ROLE faults_owner;
