-- Random ALTER TABLE and random rows on one source, pushes at random moments to two targets (one with a trigger, so that it is
-- written by statements); after each push the tables must have the same columns, types, nullability and rows.
CREATE EXTENSION IF NOT EXISTS tracksync;
CREATE SCHEMA so;
CREATE TABLE so.s (id int PRIMARY KEY, a text, b int, c numeric(8,2));
CREATE TABLE so.t (LIKE so.s INCLUDING ALL);
CREATE TABLE so.u (LIKE so.s INCLUDING ALL);
CREATE FUNCTION so.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER nothing BEFORE INSERT OR UPDATE ON so.u FOR EACH ROW EXECUTE FUNCTION so.nothing();
CREATE TABLE so.trace (i bigserial, sql text, result text);

CREATE FUNCTION so.r(n int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT floor(random() * n)::int';
CREATE FUNCTION so.pick(VARIADIC a text[]) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT a[1 + floor(random() * cardinality(a))::int]';
-- a column that is not the key
CREATE FUNCTION so.col() RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = 'so.s'::regclass AND attnum > 1 AND NOT attisdropped AND attgenerated = '' ORDER BY random() LIMIT 1 $$;
CREATE FUNCTION so.type() RETURNS text LANGUAGE sql VOLATILE AS
  $$ SELECT so.pick('int', 'bigint', 'text', 'varchar(8)', 'varchar(3)', 'numeric(10,2)', 'numeric', 'float8', 'text COLLATE "C"', 'timestamptz', 'jsonb', 'int[]') $$;
-- an expression for a value of a column's type
CREATE FUNCTION so.val(c text) RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT CASE WHEN so.r(5) = 0 AND NOT attnotnull THEN 'NULL' ELSE CASE typcategory
    WHEN 'N' THEN so.r(50)::text WHEN 'S' THEN quote_literal(so.pick('x', 'yy', 'zzz', '')) WHEN 'D' THEN format('timestamptz ''2024-01-01'' + %s * interval ''1 hour''', so.r(99))
    WHEN 'A' THEN format('ARRAY[%s, %s]', so.r(9), so.r(9)) ELSE format('''{"k": %s}''', so.r(9)) END END
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE attrelid = 'so.s'::regclass AND quote_ident(attname) = c $$;
CREATE FUNCTION so.ddl() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  c text := so.col();
  n text := so.pick('a', 'b', 'c', 'd', 'e', '"F f"', 'g');
  t text := so.type();
BEGIN
  RETURN 'ALTER TABLE so.s ' || CASE so.r(11)
    WHEN 0 THEN format('ADD COLUMN %s %s', n, t)
    WHEN 1 THEN format('ADD COLUMN %s int DEFAULT %s', n, so.r(9))
    WHEN 2 THEN format('ADD COLUMN %s text NOT NULL DEFAULT md5(random()::text)', n)
    WHEN 3 THEN format('ADD COLUMN %s int NOT NULL DEFAULT 3', n)
    WHEN 4 THEN format('DROP COLUMN %s', c)
    WHEN 5 THEN format('RENAME COLUMN %s TO %s', c, n)
    WHEN 6 THEN format('RENAME COLUMN %s TO %s', c, n)
    WHEN 7 THEN format('ALTER COLUMN %s TYPE %s', c, t)
    WHEN 8 THEN format('ALTER COLUMN %s DROP DEFAULT, ALTER COLUMN %1$s TYPE %s USING %s', c, t, CASE WHEN t ~ '^(int|bigint|num|float)' AND t <> 'int[]' THEN 'id % 5'
      WHEN t ~ '^(text|varchar)' THEN '''v'' || id % 7' WHEN t = 'jsonb' THEN 'to_jsonb(id)' WHEN t = 'int[]' THEN 'ARRAY[id]' ELSE 'timestamptz ''2024-01-01'' + id * interval ''1 day''' END)
    WHEN 9 THEN format('ALTER COLUMN %s %s NOT NULL', c, so.pick('SET', 'DROP'))
    ELSE format('ALTER COLUMN %s %s', c, so.pick('SET DEFAULT NULL', 'DROP DEFAULT')) END;
END $$;
CREATE FUNCTION so.dml() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  c text := so.col();
BEGIN
  RETURN CASE so.r(5)
    WHEN 0 THEN format('DELETE FROM so.s WHERE id = %s', so.r(40))
    WHEN 1 THEN format('INSERT INTO so.s (id%s) SELECT i%s FROM generate_series(%s, %3$s + 2) i ON CONFLICT DO NOTHING', coalesce(', ' || c, ''), coalesce(', ' || so.val(c), ''), so.r(40))
    WHEN 2 THEN format('UPDATE so.s SET id = id + 100 WHERE id = %s', so.r(40))
    ELSE CASE WHEN c IS NULL THEN 'SELECT 1' ELSE format('UPDATE so.s SET %s = %s WHERE id %% 7 = %s', c, so.val(c), so.r(7)) END END;
END $$;
CREATE FUNCTION so.shape(r regclass) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(quote_ident(attname) || ' ' || format_type(atttypid, atttypmod) || ' ' || attnotnull || ' ' || attcollation::regcollation, ', ' ORDER BY attname COLLATE "C")
  FROM pg_attribute WHERE attrelid = r AND attnum > 0 AND NOT attisdropped $$;
CREATE FUNCTION so.differ(t regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  cols text := (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attname) FROM pg_attribute WHERE attrelid = 'so.s'::regclass AND attnum > 0 AND NOT attisdropped);
  n bigint;
BEGIN
  IF so.shape('so.s') <> so.shape(t) THEN
    RETURN format('columns [%s] [%s]', so.shape('so.s'), so.shape(t));
  END IF;
  EXECUTE format('SELECT (SELECT count(*) FROM (SELECT ROW(%1$s)::text FROM so.s EXCEPT ALL SELECT ROW(%1$s)::text FROM %2$s) x) + '
                 '(SELECT count(*) FROM (SELECT ROW(%1$s)::text FROM %2$s EXCEPT ALL SELECT ROW(%1$s)::text FROM so.s) y)', cols, t) INTO n;
  RETURN CASE WHEN n > 0 THEN n || ' rows' END;
END $$;
CREATE PROCEDURE so.run(seed float8, rounds int, sabotage boolean) LANGUAGE plpgsql AS $$
DECLARE
  q text; l text; d text; undo boolean; pushes int := 0; done int := 0;
BEGIN
  PERFORM setseed(seed);
  INSERT INTO so.s SELECT i, 'a' || i, i, i FROM generate_series(1, 30) i;
  PERFORM tracksync.create_link('t', 'so.s', 'so.t'), tracksync.create_link('u', 'so.s', 'so.u');
  COMMIT;
  FOR round IN 1 .. rounds LOOP
    undo := so.r(6) = 0;
    BEGIN
      FOR i IN 1 .. 1 + so.r(4) LOOP
        q := CASE WHEN so.r(3) = 0 THEN so.ddl() ELSE so.dml() END;
        BEGIN
          EXECUTE q;
          done := done + 1;
          INSERT INTO so.trace (sql, result) VALUES (q, CASE WHEN undo THEN 'undone' ELSE 'ok' END);
        EXCEPTION WHEN OTHERS THEN
          INSERT INTO so.trace (sql, result) VALUES (q, SQLERRM);
        END;
      END LOOP;
      IF undo THEN RAISE EXCEPTION 'undo' USING ERRCODE = 'UN001'; END IF;
    EXCEPTION WHEN SQLSTATE 'UN001' THEN NULL;
    END;
    IF so.r(2) = 0 THEN COMMIT; END IF;
    FOREACH l IN ARRAY ARRAY['t', 'u'] LOOP
      CONTINUE WHEN so.r(3) > 0;
      INSERT INTO so.trace (sql, result) SELECT 'push ' || l, string_agg(kind || rows, ' ' ORDER BY step) FROM tracksync.push(l);
      IF sabotage AND pushes > 5 THEN UPDATE so.t SET id = id + 10000 WHERE id = (SELECT min(id) FROM so.t); END IF;
      d := so.differ(('so.' || l)::regclass);
      IF d IS NOT NULL THEN
        COMMIT;
        RAISE EXCEPTION 'round %, link %: % differ after a push', round, l, d;
      END IF;
      pushes := pushes + 1;
    END LOOP;
  END LOOP;
  RAISE NOTICE 'schema oracle: % statements, % pushes', done, pushes;
END $$;
