-- append beside a model of it: random rows, keys of many types, duplicates inside and outside, each policy, batches of a few rows. The
-- model takes the rows one by one. ORACLE_SEED=n has another seed, ORACLE_ROUNDS=n more of it.
SET client_min_messages = warning;
\set seed `echo ${ORACLE_SEED:-1}`
\set rounds `echo ${ORACLE_ROUNDS:-12}`
CREATE EXTENSION IF NOT EXISTS citext;
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);

-- A table per shape: its key's columns, how a key is made from a number k (and something random, r), when two rows have the same key.
CREATE TABLE shape (n int, name text, columns text, key text, make text, same text, index text, rest text DEFAULT '');
INSERT INTO shape VALUES
  (1, 'int', 'a int NOT NULL', 'a', 'k', 'x.a = y.a', 'UNIQUE (a)', ''),
  (2, 'text and date', 'b date NOT NULL, a text NOT NULL', 'a, b', '''k'' || k / 3, date ''2020-01-01'' + k % 3', 'x.a = y.a AND x.b = y.b', 'PRIMARY KEY (a, b)', ''),
  (3, 'citext', 'a citext NOT NULL', 'a', 'CASE WHEN r < 0.5 THEN ''a'' ELSE ''A'' END || k', 'x.a = y.a', 'UNIQUE (a)', ''),
  (4, 'numeric', 'a numeric NOT NULL', 'a', 'CASE WHEN r < 0.5 THEN k::numeric ELSE k + 0.00 END', 'x.a = y.a', 'PRIMARY KEY (a)', ''),
  (5, 'a nondeterministic collation', 'a text COLLATE nocase NOT NULL', 'a', 'CASE WHEN r < 0.5 THEN ''a'' ELSE ''A'' END || k', 'x.a = y.a', 'UNIQUE (a)', ''),
  (6, 'may be NULL', 'a int, b int', 'a, b', 'k, CASE WHEN r < 0.7 THEN k % 2 END', 'x.a = y.a AND x.b = y.b', 'UNIQUE (b, a)', ''),
  (7, 'partitioned', 'a int NOT NULL, b "char" NOT NULL', 'a, b', 'k, CASE WHEN k % 3 = 0 THEN ''x'' ELSE ''y'' END', 'x.a = y.a AND x.b = y.b', 'PRIMARY KEY (a, b)', 'PARTITION BY LIST (b)'),
  (8, 'deferrable', 'a varchar(5) NOT NULL', 'a', 'k::text', 'x.a = y.a', 'UNIQUE (a) DEFERRABLE INITIALLY DEFERRED', ''),
  (9, 'float8 and array', 'a float8 NOT NULL, b int[] NOT NULL', 'a, b', 'CASE WHEN k < 4 THEN CASE WHEN r < 0.5 THEN 0.0 ELSE ''-0''::float8 END WHEN k < 8 THEN ''NaN'' ELSE k END, ARRAY[k % 4]', 'x.a = y.a AND x.b = y.b', 'PRIMARY KEY (b, a)', ''),
  (10, 'descending, char', 'a char(4) NOT NULL', 'a', 'k::text', 'x.a = y.a', '', '');
-- from version 15 on NULL may be a value
INSERT INTO shape SELECT 11, 'NULLS NOT DISTINCT', 'a int, b int', 'a, b', 'k / 2, CASE WHEN r < 0.7 THEN k % 2 END',
  'x.a IS NOT DISTINCT FROM y.a AND x.b IS NOT DISTINCT FROM y.b', 'UNIQUE NULLS NOT DISTINCT (a, b)' WHERE current_setting('server_version_num')::int >= 150000;

CREATE FUNCTION setup(s shape) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE t%s (junk int, v text DEFAULT ''dflt'', %s, n numeric(8,2)%s) %s', s.n, s.columns, ', ' || nullif(s.index, ''), s.rest);
  EXECUTE format('ALTER TABLE t%s DROP junk', s.n);
  IF s.index = '' THEN EXECUTE format('CREATE UNIQUE INDEX ON t%s (%s DESC)', s.n, s.key); END IF;
  IF s.rest <> '' THEN
    EXECUTE format('CREATE TABLE t%1$s_x PARTITION OF t%1$s FOR VALUES IN (''x''); CREATE TABLE t%1$s_y PARTITION OF t%1$s DEFAULT', s.n);
  END IF;
  EXECUTE format('CREATE TABLE m%1$s AS TABLE t%1$s; ALTER TABLE m%1$s ALTER v SET DEFAULT ''dflt''; CREATE TABLE b%1$s AS TABLE t%1$s; CREATE TABLE inc%1$s AS SELECT 0 AS ord, * FROM t%1$s; CREATE TABLE dup%1$s AS SELECT %2$s FROM t%1$s', s.n, s.key);
END $$;

-- The rows one by one; returns how many keys are duplicates.
CREATE FUNCTION model(s shape, policy text, given text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  i int;
  there boolean;
  differs boolean;
  result bigint;
BEGIN
  EXECUTE format('DELETE FROM dup%s', s.n);
  FOR i IN EXECUTE format('SELECT ord FROM inc%s ORDER BY ord', s.n) LOOP
    EXECUTE format('SELECT count(*) > 0, coalesce(bool_or(ROW(%3$s)::text <> ROW(%4$s)::text), false) FROM inc%1$s x JOIN m%1$s y ON %2$s WHERE x.ord = $1', s.n, s.same,
      regexp_replace(given, '(\w+)', 'x.\1', 'g'), regexp_replace(given, '(\w+)', 'y.\1', 'g')) USING i INTO there, differs;
    IF NOT there THEN
      EXECUTE format('INSERT INTO m%1$s (%2$s) SELECT %2$s FROM inc%1$s WHERE ord = $1', s.n, given) USING i;
    ELSIF differs AND policy = 'last' THEN
      EXECUTE format('UPDATE m%1$s y SET (%2$s) = ROW(%3$s) FROM inc%1$s x WHERE x.ord = $1 AND %4$s', s.n, given, regexp_replace(given, '(\w+)', 'x.\1', 'g'), s.same) USING i;
    ELSIF differs AND policy = 'error' THEN
      EXECUTE format('INSERT INTO dup%1$s SELECT %2$s FROM inc%1$s x WHERE ord = $1 AND NOT EXISTS (SELECT FROM dup%1$s y WHERE %3$s)', s.n, s.key, s.same) USING i;
    END IF;
  END LOOP;
  EXECUTE format('SELECT count(*) FROM dup%s', s.n) INTO result;
  RETURN result;
END $$;

CREATE FUNCTION contents(t text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
  EXECUTE format('SELECT coalesce(string_agg(r, '' '' ORDER BY r COLLATE "C"), '''') FROM (SELECT t::text AS r FROM %s t) x', t) INTO result;
  RETURN result;
END $$;

-- So many rounds; nothing, or what was wrong.
CREATE FUNCTION try(s shape, rounds int, sabotage boolean = false) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  policy text;
  given text;
  batch int;
  duplicates bigint;
  expected text;
  got text;
BEGIN
  FOR round IN 1 .. rounds LOOP
    policy := (ARRAY['error', 'first', 'last', 'last'])[1 + floor(random() * 4)::int];
    given := s.key || CASE WHEN random() < 0.8 THEN ', v' ELSE '' END || CASE WHEN random() < 0.8 THEN ', n' ELSE '' END;
    batch := (ARRAY[1, 2, 3, 7, 1000])[1 + floor(random() * 5)::int];
    PERFORM set_config('tracksync.batch_rows', batch::text, false);
    EXECUTE format('DELETE FROM inc%s', s.n);
    EXECUTE format('INSERT INTO inc%s (ord, %s, v, n) SELECT o, %s, CASE WHEN q < 0.8 THEN ''same'' WHEN q < 0.9 THEN ''v'' || o %% 3 WHEN q < 0.95 THEN NULL ELSE '''' END,
        CASE WHEN q < 0.9 THEN 1 ELSE q * 10 END
      FROM (SELECT o, floor(random() * $1)::int AS k, random() AS r, random() AS q FROM generate_series(1, $2) o) z', s.n, s.key, s.make)
      USING CASE WHEN policy = 'error' THEN 30 + 10 * round ELSE 25 END, floor(random() * CASE WHEN policy = 'error' THEN 6 ELSE 40 END)::int;
    EXECUTE format('DELETE FROM b%1$s; INSERT INTO b%1$s TABLE m%1$s', s.n);
    duplicates := model(s, policy, given);
    IF duplicates > 0 THEN
      expected := format('%s duplicate key%s in the rows for table "t%s"', duplicates, CASE WHEN duplicates > 1 THEN 's' ELSE '' END, s.n);
      EXECUTE format('DELETE FROM m%1$s; INSERT INTO m%1$s TABLE b%1$s', s.n);
    ELSE
      EXECUTE format('SELECT concat_ws('' '', n, u, (SELECT count(*) FROM inc%1$s) - n - u) FROM
        (SELECT (SELECT count(*) FROM m%1$s) - (SELECT count(*) FROM b%1$s) AS n, (SELECT count(*) FROM m%1$s x JOIN b%1$s y ON %2$s AND x::text <> y::text) AS u) c', s.n, s.same) INTO expected;
    END IF;
    BEGIN
      EXECUTE format('SELECT concat_ws('' '', inserted, updated, skipped) FROM tracksync.append(''t%1$s'', ''SELECT %2$s FROM inc%1$s ORDER BY ord'', $1, $2)', s.n, given)
        USING CASE WHEN sabotage AND policy = 'last' THEN 'first' ELSE policy END, string_to_array(s.key, ', ') INTO got;
    EXCEPTION WHEN unique_violation THEN
      got := SQLERRM;
    END;
    IF got IS DISTINCT FROM expected OR contents('t' || s.n) <> contents('m' || s.n) THEN
      RETURN format('round %s, %s, %s, batches of %s: %s instead of %s; %s instead of %s; from %s; incoming %s', round, policy, given, batch, got, expected,
        contents('t' || s.n), contents('m' || s.n), contents('b' || s.n), contents('inc' || s.n));
    END IF;
  END LOOP;
  RETURN '';
END $$;

SELECT plan(count(*)::int + 1) FROM shape;
SELECT setup(s) FROM shape s;
SELECT diag('seed ' || :seed);
SELECT NULL FROM (SELECT setseed(:seed / 1000.0)) x;
SELECT is(try(s, :rounds), '', s.name) FROM shape s ORDER BY n;
SELECT isnt(try(s, 40, true), '', 'a wrong row would be seen') FROM shape s WHERE n = 1;
SELECT * FROM finish();
