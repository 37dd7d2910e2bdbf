-- ALTER TABLE on the source: what it does to plan and target, under each policy.
SET client_min_messages = warning;
SELECT plan(50);
CREATE FUNCTION planned(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(kind || CASE WHEN rows > 0 THEN rows::text ELSE '' END || CASE WHEN destructive THEN '!' ELSE '' END, ' ' ORDER BY step), '') FROM tracksync.plan(name) $$;
CREATE FUNCTION done(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(kind || CASE WHEN rows > 0 THEN rows::text ELSE '' END, ' ' ORDER BY step), '') FROM tracksync.push(name) $$;
CREATE FUNCTION shape(r regclass) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
    || CASE WHEN attcollation <> 0 AND attcollation <> 'default'::regcollation THEN ' ' || attcollation::regcollation ELSE '' END
    || coalesce(' = ' || pg_get_expr(adbin, adrelid), ''), ', ' ORDER BY attname COLLATE "C")
  FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attrelid = r AND attnum > 0 AND NOT attisdropped $$;
CREATE FUNCTION same(s text, t text, what text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  cols text := (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attname) FROM pg_attribute WHERE attrelid = s::regclass AND attnum > 0 AND NOT attisdropped);
  n bigint;
BEGIN
  EXECUTE format('SELECT (SELECT count(*) FROM (SELECT ROW(%1$s)::text FROM %2$s EXCEPT ALL SELECT ROW(%1$s)::text FROM %3$s) x) + '
                 '(SELECT count(*) FROM (SELECT ROW(%1$s)::text FROM %3$s EXCEPT ALL SELECT ROW(%1$s)::text FROM %2$s) y)', cols, s, t) INTO n;
  RETURN NEXT is(shape(t::regclass) || ' ' || n, shape(s::regclass) || ' 0', what);
END $$;

CREATE TABLE s (id int PRIMARY KEY, a text, b int, c numeric(8,2) DEFAULT 1.5);
CREATE TABLE t (LIKE s INCLUDING ALL);
INSERT INTO s SELECT i, 'a' || i, i, i FROM generate_series(1, 20) i;
SELECT tracksync.create_link('l', 's', 'public.t');
SELECT is(done('l'), 'insert20', 'the first copy');

ALTER TABLE s RENAME a TO "Name";
SELECT is(planned('l'), 'rename_column', 'a rename');
SELECT is((SELECT sql FROM tracksync.plan('l')), 'ALTER TABLE public.t RENAME COLUMN a TO "Name"', 'its SQL');
SELECT isnt(tracksync.plan_fingerprint('l'), NULL, 'it has a fingerprint');
SELECT throws_ok($$SELECT * FROM tracksync.push('l', expect => 'x')$$, '55000', NULL, 'another one is refused');
SELECT is(done('l'), 'rename_column', 'renamed');
SELECT * FROM same('s', 't', 'after a rename');
ALTER TABLE s ADD d int NOT NULL DEFAULT 7, ADD e text;
UPDATE s SET e = 'e' WHERE id = 3;
SELECT is(planned('l'), 'add_column add_column update1', 'added columns: the constant comes through the default');
SELECT is(done('l'), 'add_column add_column update1', 'added');
SELECT * FROM same('s', 't', 'after ADD COLUMN');
ALTER TABLE s ADD u uuid NOT NULL DEFAULT gen_random_uuid(), ADD g int GENERATED ALWAYS AS (b * 2) STORED;
SELECT is(planned('l'), 'add_column add_column backfill20', 'volatile and generated values are filled in');
SELECT is(done('l'), 'add_column add_column backfill20', 'filled in');
SELECT is((SELECT count(*) FROM s JOIN t USING (id, u, g)), 20::bigint, 'values of a volatile default and a generated column');
ALTER TABLE s DROP COLUMN g;
SELECT is(planned('l'), 'drop_column!', 'a drop is destructive');
SELECT is(done('l'), 'drop_column', 'dropped');
SELECT * FROM same('s', 't', 'after a drop');
ALTER TABLE s ALTER b TYPE bigint, ALTER e SET DEFAULT 'x', ALTER d DROP NOT NULL, ALTER c SET NOT NULL, ALTER c DROP DEFAULT;
SELECT is(planned('l'), 'alter_column alter_column alter_column alter_column', 'a widening, defaults and nullability');
SELECT is(done('l'), 'alter_column alter_column alter_column alter_column', 'altered');
SELECT * FROM same('s', 't', 'after ALTER COLUMN');
ALTER TABLE s ALTER "Name" TYPE varchar(2) USING left("Name", 2), ALTER b TYPE int USING 100 - b;
SELECT is(planned('l'), 'alter_column! alter_column! backfill20', 'narrowing is destructive, USING is filled in');
SELECT is(done('l'), 'alter_column alter_column backfill20', 'narrowed');
SELECT * FROM same('s', 't', 'after narrowing');
ALTER TABLE s RENAME b TO x; ALTER TABLE s RENAME d TO b; ALTER TABLE s RENAME x TO d;
UPDATE s SET b = -1 WHERE id = 5;
SELECT is(planned('l'), 'rename_column rename_column update1', 'a swap of names');
SELECT is(done('l'), 'rename_column rename_column update1', 'swapped');
SELECT * FROM same('s', 't', 'after a swap');
ALTER TABLE s RENAME id TO key;
UPDATE s SET e = 'renamed key' WHERE key = 6;
DELETE FROM s WHERE key = 7;
SELECT is(done('l'), 'rename_column delete1 update1', 'the key is renamed');
SELECT * FROM same('s', 't', 'after a rename of the key');
ALTER TABLE s ALTER key TYPE bigint;
SELECT is(done('l'), 'alter_column', 'the key is widened');
INSERT INTO s (key, c) VALUES (5000000000, 1);
DELETE FROM s WHERE key = 8;
SELECT lives_ok($$SELECT done('l')$$, 'rows with the new key');
SELECT * FROM same('s', 't', 'after a widening of the key');

-- policies
CREATE TABLE ps (id int PRIMARY KEY, a text, b int NOT NULL, c varchar(5));
CREATE TABLE pt (LIKE ps INCLUDING ALL, own int);
INSERT INTO ps VALUES (1, 'a', 1, 'c');
SELECT tracksync.create_link('p', 'ps', 'public.pt', schema_policy => 'error');
SELECT done('p');
ALTER TABLE ps RENAME a TO aa;
SELECT throws_ok($$SELECT * FROM tracksync.plan('p')$$, '55000', NULL, 'error: a rename is refused');
SELECT tracksync.alter_link('p', schema_policy => 'ignore');
UPDATE ps SET aa = 'ignored name';
SELECT is(done('p'), 'update1', 'ignore: data goes on');
SELECT is((SELECT a FROM pt), 'ignored name', 'ignore: data goes on under the target''s name');
ALTER TABLE ps ADD n int DEFAULT 3;
SELECT is(planned('p'), '', 'ignore: a new column stays away');
SELECT tracksync.alter_link('p', schema_policy => 'additive');
SELECT done('p');
ALTER TABLE ps ADD m int DEFAULT 4, ALTER c TYPE varchar(50);
SELECT is(done('p'), 'add_column alter_column', 'additive: adds and widens');
ALTER TABLE ps ALTER c TYPE varchar(3);
SELECT is(done('p'), '', 'additive: does not narrow');
ALTER TABLE ps DROP COLUMN m;
SELECT is(done('p') || (SELECT m FROM pt), '4', 'additive: keeps what the source drops');
ALTER TABLE ps DROP COLUMN b;
SELECT throws_ok($$SELECT * FROM tracksync.plan('p')$$, '55000', NULL, 'additive: a NOT NULL column without default cannot be kept');
ALTER TABLE pt ALTER b DROP NOT NULL;
INSERT INTO ps VALUES (2);
SELECT is(done('p'), 'insert1', 'additive: it can when the target allows NULL');
SELECT is((SELECT count(*) FROM pg_attribute WHERE attrelid = 'pt'::regclass AND attname = 'own' AND NOT attisdropped), 1::bigint, 'a column of the target''s own stays');

-- names, rights, dependants
CREATE TABLE ns (id int PRIMARY KEY, a int, b int);
CREATE TABLE nt (LIKE ns INCLUDING ALL, taken int);
SELECT tracksync.create_link('n', 'ns', 'public.nt');
INSERT INTO ns VALUES (1, 1, 1);
SELECT done('n');
ALTER TABLE ns RENAME a TO taken;
SELECT throws_ok($$SELECT * FROM tracksync.plan('n')$$, '42701', NULL, 'a name that is taken on the target');
ALTER TABLE nt RENAME taken TO mine;
SELECT is(done('n'), 'rename_column', 'until it is free');
CREATE INDEX ON nt (b, mine);
ALTER TABLE ns DROP COLUMN b;
SELECT throws_ok($$SELECT * FROM tracksync.push('n')$$, '2BP01', NULL, 'an index on other columns, too, keeps a column');
DROP INDEX nt_b_mine_idx;
SELECT is(done('n'), 'drop_column', 'without it the column goes');
CREATE ROLE schema_other;
GRANT ALL ON ns, nt TO schema_other;
GRANT CREATE ON SCHEMA public TO schema_other;
SELECT tracksync.drop_link('n');
SELECT tracksync.track('ns');
SET ROLE schema_other;
SELECT tracksync.create_link('n2', 'ns', 'public.nt');
SELECT done('n2');
RESET ROLE;
ALTER TABLE ns ADD z int;
SELECT throws_ok($$SELECT * FROM tracksync.plan('n2')$$, '42501', NULL, 'to alter the target one must own it');
-- code of the source's owner does not come along
CREATE TABLE mine (id int PRIMARY KEY, v int);
GRANT USAGE ON SCHEMA public TO schema_other;
SET ROLE schema_other;
CREATE TABLE theirs (id int PRIMARY KEY, v int);
CREATE FUNCTION theirs_evil() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE 'ran as %', current_user; END $$;
CREATE DOMAIN theirs_type AS int;
RESET ROLE;
SELECT tracksync.create_link('x', 'theirs', 'public.mine');
SET ROLE schema_other;
ALTER TABLE theirs ADD w int, ALTER v SET DEFAULT theirs_evil();
ALTER TABLE theirs ALTER w SET DEFAULT theirs_evil();
RESET ROLE;
SELECT is(done('x'), 'add_column', 'a column with a default of somebody''s own');
SELECT is((SELECT count(*) FROM pg_attrdef WHERE adrelid = 'mine'::regclass), 0::bigint, 'comes without it');
SET ROLE schema_other;
ALTER TABLE theirs ADD q xml DEFAULT query_to_xml('SELECT 1', false, false, '');
RESET ROLE;
SELECT is(done('x') || (SELECT count(*) FROM pg_attrdef WHERE adrelid = 'mine'::regclass), 'add_column0', 'nor does a call of the server''s own functions');
SET ROLE schema_other;
ALTER TABLE theirs ADD t theirs_type;
RESET ROLE;
SELECT throws_ok($$SELECT * FROM tracksync.plan('x')$$, '42501', NULL, 'a column of a type of somebody''s own');
SET ROLE schema_other;
ALTER TABLE theirs DROP t; ALTER TABLE theirs ALTER v DROP DEFAULT; ALTER TABLE theirs ALTER v TYPE theirs_type;
RESET ROLE;
SELECT throws_ok($$SELECT * FROM tracksync.plan('x')$$, '42501', NULL, 'nor is a column given one');
SELECT tracksync.drop_link('x');
DROP OWNED BY schema_other;
