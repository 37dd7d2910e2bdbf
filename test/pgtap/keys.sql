-- Keys of many shapes, changed sparsely and densely: net changes walk the source's index, direct writes the target's.
SET client_min_messages = warning;
SELECT plan(40);
CREATE EXTENSION IF NOT EXISTS citext;

-- name, columns of the key, its index in the source and in the target, the key of row i
CREATE TABLE shape (n int, name text, columns text, key text, source_key text, target_key text, make text);
INSERT INTO shape VALUES
  (1, 'bigint', 'a bigint NOT NULL', 'a', 'a', 'a', 'i * 3'),
  (2, 'int, descending', 'a int NOT NULL', 'a', 'a DESC', 'a', 'i'),
  (3, 'text in C, in another collation on the target', 'a text COLLATE "C" NOT NULL', 'a', 'a', 'a COLLATE "und-x-icu"', '(CASE WHEN i % 2 = 0 THEN ''a'' ELSE ''B'' END) || i'),
  (4, 'two columns, other order on the target', 'a int NOT NULL, b text NOT NULL', 'a, b', 'b, a', 'a, b', 'i / 7, ''b'' || i % 7'),
  (5, 'few first values', 'a boolean NOT NULL, b uuid NOT NULL, c numeric NOT NULL', 'a, b, c', 'a, b, c', 'c, b, a', 'i % 2 = 0, md5((i % 5)::text)::uuid, i / 10.0'),
  (6, 'name', 'a name NOT NULL', 'a', 'a', 'a', '(''n'' || i)::name'),
  (7, 'citext', 'a citext NOT NULL', 'a', 'a', 'a', '(CASE WHEN i % 2 = 0 THEN ''a'' ELSE ''A'' END) || i'),
  (8, 'long texts', 'a text NOT NULL', 'a', 'a', 'a', 'repeat(md5((i % 10)::text), 20) || i'),
  (9, 'varchar and char', 'a varchar(10) NOT NULL, b char(6) NOT NULL', 'a, b', 'a, b', 'b, a', '(i % 50)::text, (i / 50)::text'),
  (10, 'date and interval', 'a interval NOT NULL, b date NOT NULL', 'b, a', 'b, a', 'a, b', 'i * interval ''1 hour'', date ''2020-01-01'' + i % 30');

CREATE FUNCTION differ(s text, t text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  n bigint;
BEGIN
  EXECUTE format('SELECT (SELECT count(*) FROM (SELECT * FROM %1$s EXCEPT ALL SELECT * FROM %2$s) x) + '
                 '(SELECT count(*) FROM (SELECT * FROM %2$s EXCEPT ALL SELECT * FROM %1$s) y)', s, t) INTO n;
  RETURN n;
END $$;

CREATE FUNCTION try(which shape, every int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  s text := 'ks' || which.n;
  t text := 'kt' || which.n;
BEGIN
  -- in no order, so that row order is not key order
  EXECUTE format('UPDATE %s SET v = v + 1 WHERE r %% %s = 0', s, every);
  EXECUTE format('DELETE FROM %s WHERE r %% %s = 1 %% %2$s', s, every * 2);
  EXECUTE format('INSERT INTO %s SELECT %s, i, i FROM generate_series(1, 6000) i WHERE i %% %s = 3 %% %3$s ON CONFLICT DO NOTHING', s, which.make, every);
  PERFORM tracksync.push(s);
  RETURN every || ': ' || differ(s, t);
END $$;

SELECT lives_ok(format('CREATE TABLE ks%1$s (%2$s, r int, v int); CREATE TABLE kt%1$s (%2$s, r int, v int);
  CREATE UNIQUE INDEX ON ks%1$s (%3$s); CREATE UNIQUE INDEX ON kt%1$s (%4$s);
  INSERT INTO ks%1$s SELECT %5$s, i, 0 FROM generate_series(1, 4000) i ORDER BY md5(i::text);
  SELECT tracksync.create_link(''ks%1$s'', ''ks%1$s'', ''public.kt%1$s''); SELECT tracksync.push(''ks%1$s'')', n, columns, source_key, target_key, make), name)
FROM shape ORDER BY n;
SELECT is(try(s, 1), '1: 0', s.name || ', every key') FROM shape s ORDER BY n;
SELECT is(try(s, 40), '40: 0', s.name || ', some keys') FROM shape s ORDER BY n;
SELECT is(try(s, 1000), '1000: 0', s.name || ', few keys') FROM shape s ORDER BY n;
