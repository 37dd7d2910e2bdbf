-- Large logs: ten links at different positions, transactions that commit late, in a log that grows, is exchanged, cut off, vacuumed and
-- rewritten. After each push source and target are compared. The keys are wide, so that few events fill a page.
--
--   CALL lo.run(seed, rounds, sabotage)
CREATE EXTENSION dblink;
CREATE EXTENSION IF NOT EXISTS tracksync;
CREATE SCHEMA lo;
CREATE TABLE lo.s (id int, pad text, v int, PRIMARY KEY (id, pad));
CREATE FUNCTION lo.pad(id int) RETURNS text LANGUAGE sql IMMUTABLE AS
  $$ SELECT string_agg(md5((id * 100 + i)::text), '') FROM generate_series(1, 45) i $$;
INSERT INTO lo.s SELECT i, lo.pad(i), 0 FROM generate_series(0, 199) i;
SELECT tracksync.track('lo.s', images => 'none');
DO $$ BEGIN FOR i IN 0..9 LOOP
  EXECUTE format('CREATE TABLE lo.t%s (LIKE lo.s INCLUDING ALL)', i);
  PERFORM tracksync.create_link('l' || i, 'lo.s', 'lo.t' || i);
END LOOP; END $$;
-- which asks for a replica identity of whatever is updated or deleted
CREATE PUBLICATION everything FOR ALL TABLES;
CREATE TABLE lo.trace (i bigserial, sql text, result text);

CREATE FUNCTION lo.r(n int) RETURNS int LANGUAGE sql VOLATILE AS $$ SELECT floor(random() * n)::int $$;
CREATE FUNCTION lo.ex(c int, q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE res text := 'ok';
BEGIN
  BEGIN PERFORM dblink_exec('c' || c, q); EXCEPTION WHEN OTHERS THEN res := SQLSTATE || ' ' || SQLERRM; END;
  INSERT INTO lo.trace (sql, result) VALUES (format('c%s: %s', c, q), res);
  RETURN res;
END $$;
CREATE FUNCTION lo.qu(c int, q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE res text;
BEGIN
  BEGIN SELECT x INTO res FROM dblink('c' || c, q) AS t(x text); EXCEPTION WHEN OTHERS THEN res := 'ERR ' || SQLSTATE || ' ' || SQLERRM; END;
  INSERT INTO lo.trace (sql, result) VALUES (format('c%s: %s', c, q), res);
  RETURN res;
END $$;

-- Rows of some keys of session c (key % 4 = c): a few, or all of them. No value comes twice: without images a row that has its former value again is
-- pushed, too, and would be counted.
CREATE SEQUENCE lo.value;
CREATE FUNCTION lo.dml(c int) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  w text := format('id %% 4 = %s AND id < 200', c) || CASE WHEN lo.r(2) > 0 THEN format(' AND id / 4 %% 10 = %s', lo.r(10)) ELSE '' END;
BEGIN
  RETURN CASE lo.r(6)
    WHEN 0 THEN 'DELETE FROM lo.s WHERE ' || w
    WHEN 1 THEN format('INSERT INTO lo.s SELECT id, lo.pad(id), %s FROM generate_series(0, 199) id WHERE %s ON CONFLICT DO NOTHING', nextval('lo.value'), w)
    ELSE format('UPDATE lo.s SET v = %s WHERE %s', nextval('lo.value'), w) END;
END $$;

CREATE FUNCTION lo.difference(c int, l int) RETURNS text LANGUAGE sql AS $$
  SELECT lo.qu(c, format('SELECT count(*)::text FROM lo.s FULL JOIN lo.t%s t USING (id, pad) WHERE s.v IS DISTINCT FROM t.v OR s.* IS NULL OR t.* IS NULL', l))
$$;

-- Session 4 pushes; some links far more often than others.
CREATE FUNCTION lo.push(l int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  before text := lo.difference(4, l);
  has text := lo.qu(4, 'SELECT tracksync.has_changes(''lo.s'')::text');
  done text;
BEGIN
  IF before <> '0' AND has <> 'true' THEN RAISE EXCEPTION 'link %: has_changes tells nothing of % rows: %', l, before, has; END IF;
  done := lo.qu(4, format('SELECT coalesce(sum(rows), 0)::text FROM tracksync.push(%L)', 'l' || l));
  IF lo.difference(4, l) <> '0' THEN RAISE EXCEPTION 'link %: % rows differ after a push', l, lo.difference(4, l); END IF;
  IF done <> before THEN RAISE EXCEPTION 'link %: % rows were pushed, not %', l, done, before; END IF;
END $$;

CREATE PROCEDURE lo.run(seed float8, rounds int, sabotage boolean = false) LANGUAGE plpgsql AS $$
DECLARE
  open boolean[] := '{f,f,f,f}';
  depth int[] := '{0,0,0,0}';
  prepared text[] := '{}';
  old_snapshot text; old_link int;      -- session 5 has an older snapshot, under which this link lags by so many rows
  k int; l int; x text; spare boolean; was_spare boolean := false; exchanges int := 0; bounds int := 0; cut int := 0; size bigint; was_size bigint := 0;
BEGIN
  PERFORM setseed(seed);
  FOR k IN 0..5 LOOP
    PERFORM dblink_connect('c' || k, format('host=%s port=%s dbname=%s user=%s', split_part(current_setting('unix_socket_directories'), ',', 1),
                                            current_setting('port'), current_database(), session_user));
    PERFORM lo.ex(k, format('SET lock_timeout = ''50ms''; SET tracksync.buffer_rows = %s', CASE lo.r(2) WHEN 0 THEN 1 + lo.r(5) ELSE 10000 END));
  END LOOP;
  FOR l IN 0..9 LOOP PERFORM lo.qu(4, format('SELECT count(*)::text FROM tracksync.push(%L)', 'l' || l)); END LOOP;
  FOR round IN 1..rounds LOOP
    k := lo.r(4);
    IF NOT open[k + 1] AND lo.r(2) = 0 THEN
      PERFORM lo.ex(k, 'BEGIN ' || CASE lo.r(4) WHEN 0 THEN 'ISOLATION LEVEL REPEATABLE READ' ELSE '' END);
      open[k + 1] := true; depth[k + 1] := 0;
    END IF;
    x := lo.ex(k, lo.dml(k));
    IF x <> 'ok' THEN PERFORM lo.ex(k, 'ROLLBACK'); open[k + 1] := false; END IF;
    IF open[k + 1] THEN
      CASE lo.r(k * 4 + 8)      -- the sessions stay in their transactions for longer and longer
      WHEN 0 THEN PERFORM lo.ex(k, 'COMMIT'); open[k + 1] := false;
      WHEN 1 THEN PERFORM lo.ex(k, CASE lo.r(3) WHEN 0 THEN 'ROLLBACK' ELSE 'COMMIT' END); open[k + 1] := false;
      WHEN 2 THEN
        IF cardinality(prepared) < 2 AND lo.r(3) = 0 AND lo.ex(k, format('PREPARE TRANSACTION %L', current_database() || round)) = 'ok' THEN
          prepared := prepared || (current_database() || round);
          open[k + 1] := false;
        ELSE PERFORM lo.ex(k, 'ROLLBACK'); open[k + 1] := false;
        END IF;
      WHEN 3, 4 THEN depth[k + 1] := depth[k + 1] + 1; PERFORM lo.ex(k, 'SAVEPOINT p' || depth[k + 1]);
      WHEN 5 THEN
        IF depth[k + 1] > 0 THEN PERFORM lo.ex(k, 'ROLLBACK TO p' || depth[k + 1]); END IF;
      WHEN 6 THEN
        IF depth[k + 1] > 0 THEN PERFORM lo.ex(k, 'RELEASE p' || depth[k + 1]); depth[k + 1] := depth[k + 1] - 1; END IF;
      ELSE NULL;
      END CASE;
    END IF;
    IF cardinality(prepared) > 0 AND lo.r(20) = 0 AND NOT open[1] THEN
      PERFORM lo.ex(0, format('COMMIT PREPARED %L', prepared[1]));
      prepared := prepared[2:];
    END IF;
    -- an older snapshot, and what it shows later on
    IF old_snapshot IS NULL AND lo.r(15) = 0 THEN
      PERFORM lo.ex(5, 'BEGIN ISOLATION LEVEL REPEATABLE READ');
      old_link := lo.r(10);
      old_snapshot := lo.difference(5, old_link);
    ELSIF old_snapshot IS NOT NULL AND lo.r(15) = 0 THEN
      x := lo.qu(5, format('SELECT coalesce(sum(rows), 0)::text FROM tracksync.plan(%L)', 'l' || old_link));
      IF x NOT LIKE 'ERR 40001%' AND x <> old_snapshot THEN RAISE EXCEPTION 'link % lagged by % rows, its plan shows %', old_link, old_snapshot, x; END IF;
      PERFORM lo.ex(5, 'COMMIT');
      old_snapshot := NULL;
    END IF;
    IF lo.r(3) = 0 THEN PERFORM lo.push(least(lo.r(10), lo.r(10), lo.r(4) * lo.r(4))); END IF;
    IF lo.r(50) = 0 THEN
      FOR l IN 0..9 LOOP PERFORM lo.push(l); END LOOP;
    END IF;
    SELECT in_spare, pg_relation_size(log) + pg_relation_size(t.spare) INTO spare, size FROM tracksync.tracked_table t;
    exchanges := exchanges + (spare <> was_spare)::int;
    cut := cut + (size < was_size)::int;
    was_spare := spare; was_size := size;
    bounds := greatest(bounds, (SELECT count(*)::int FROM tracksync.log_bound));
    IF lo.r(25) = 0 THEN
      PERFORM lo.ex(4, format('VACUUM %s %s', CASE lo.r(6) WHEN 0 THEN '(FULL)' WHEN 1 THEN '(FREEZE)' ELSE '' END,
                              (SELECT CASE lo.r(2) WHEN 0 THEN log ELSE t.spare END FROM tracksync.tracked_table t)));
    END IF;
    -- or this session's snapshot would hold everything back
    COMMIT;
  END LOOP;
  FOR k IN 0..3 LOOP
    IF open[k + 1] THEN PERFORM lo.ex(k, 'COMMIT'); END IF;
  END LOOP;
  PERFORM lo.ex(5, 'ROLLBACK');
  FOREACH x IN ARRAY prepared LOOP PERFORM lo.ex(0, format('COMMIT PREPARED %L', x)); END LOOP;
  -- a bound that is wrong must be seen
  IF sabotage THEN
    FOR i IN 1..20 LOOP
      PERFORM lo.ex(0, 'UPDATE lo.s SET v = v + 1');
      PERFORM lo.push(0);
    END LOOP;
    -- the position is to be some transactions after the last bound: bounds are made for later ones (TS_LOG_AIMED)
    FOR i IN 1..20 LOOP PERFORM lo.qu(0, 'SELECT pg_current_xact_id()::text'); END LOOP;
    PERFORM lo.push(1);
    PERFORM lo.ex(0, 'UPDATE lo.s SET v = v + 1 WHERE id < 10');
    PERFORM lo.ex(4, 'UPDATE tracksync.log_bound SET block = block + 1000000 WHERE txid <> ''0''');
    PERFORM lo.push(1);
  END IF;
  FOR l IN 0..9 LOOP PERFORM lo.push(l); END LOOP;
  SELECT string_agg(DISTINCT left(result, 100), E'\n') INTO x FROM lo.trace WHERE result ~ '^(ERR )?(XX|08|57|58|22|42|55000)...';
  IF x IS NOT NULL THEN RAISE EXCEPTION 'unexpected errors: %', x; END IF;
  -- what is dead to all is cut off, whatever happened
  FOR i IN 1..3 LOOP
    COMMIT;
    PERFORM lo.push(0);
  END LOOP;
  SELECT pg_relation_size(CASE WHEN in_spare THEN t.log ELSE t.spare END) INTO size FROM tracksync.tracked_table t;
  RAISE NOTICE 'oracle: % exchanges, % cuts, up to % bounds', exchanges, cut, bounds;
  IF size > 0 THEN RAISE EXCEPTION 'the half that is not written has % bytes', size; END IF;
  IF rounds >= 200 AND (exchanges = 0 OR cut = 0 OR bounds < 4) THEN RAISE EXCEPTION 'the log did not grow enough'; END IF;
END $$;
