-- Random rows, and rules that come and go, on two links: one that aborts, whose rows change their keys, too, and one with quarantine. Before
-- each push validate must name exactly the rules that plain queries say the rows to be pushed break. Where there are any the first link's
-- push must fail and change nothing; the second one must leave just these rows out, and those that wait for a value which one of them has
-- still. No row that is written may have what a unique rule allows another one only.
CREATE EXTENSION IF NOT EXISTS tracksync;
CREATE SCHEMA v;
CREATE FUNCTION v.server() RETURNS name LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('oracle.server', true), '')::name $$;
CREATE TABLE v.trace (i bigserial, sql text, result text);
CREATE FUNCTION v.r(n int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT floor(random() * n)::int';
CREATE FUNCTION v.pick(VARIADIC a text[]) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT a[1 + v.r(cardinality(a))]';
CREATE TABLE v.s1 (id int PRIMARY KEY, a int, b text, c numeric(8,1), e text, g text);
CREATE TABLE v.s2 (LIKE v.s1 INCLUDING ALL);
CREATE TABLE v.t1 (id bigint PRIMARY KEY, a int, b varchar(20), c numeric(8,1), e text, g text);
-- values that have to be cast are not compared while a row is in quarantine: a row that is the same by now would be pushed
CREATE TABLE v.t2 (id int PRIMARY KEY, a int, b text, c numeric, e text, g text);
CREATE TABLE v.before (id int PRIMARY KEY, j text);
CREATE TABLE v.pool (n serial, rule text, expression text, broken text);
INSERT INTO v.pool (rule, expression, broken) VALUES
  ('required', 'b', 'r.b IS NULL'), ('range', 'a, 1, 17', 'r.a < 1 OR r.a > 17'), ('length', 'b, 1, 3', 'length(r.b) NOT BETWEEN 1 AND 3'), ('pattern', 'b, ^[a-x]', 'r.b !~ ''^[a-x]'''),
  ('one_of', '%1$I, {x,y,z}', 'r.%1$I NOT IN (''x'', ''y'', ''z'')'), ('unique', 'e', 'EXISTS (SELECT FROM %2$s o WHERE o.id <> r.id AND o.e = r.e)'),
  ('two', 'unique(%1$I, c)', 'EXISTS (SELECT FROM %2$s o WHERE o.id <> r.id AND o.%1$I = r.%1$I AND o.c = r.c)'), ('ratio', '100 / a > 5', 'CASE r.a WHEN 0 THEN true ELSE 100 / r.a <= 5 END'),
  ('sum', 'a + c < 38', 'r.a + r.c >= 38'), ('either', 'b <> ''x'' OR %1$I = ''x''', 'NOT (r.b <> ''x'' OR r.%1$I = ''x'')');
CREATE TABLE v.rule (link text, n int, PRIMARY KEY (link, n));
SELECT tracksync.create_link('l1', 'v.s1', 'v.t1', server => v.server()), tracksync.create_link('l2', 'v.s2', 'v.t2', server => v.server(), on_error => 'quarantine');
-- the column that is called otherwise now and then
CREATE FUNCTION v.g(i int) RETURNS text LANGUAGE sql STABLE AS $$ SELECT attname::text FROM pg_attribute WHERE attrelid = format('v.s%s', i)::regclass AND attnum = 6 $$;
CREATE FUNCTION v.dml(i int) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  s text := 's' || i; k int := v.r(40); m int := v.r(7);
  a text := CASE v.r(12) WHEN 0 THEN 'NULL' ELSE (v.r(19))::text END;
  b text := quote_nullable(v.pick('a', 'bc', 'x', 'xyz', 'm', 'n', 'long', '', 'zz', NULL));
  c text := CASE v.r(10) WHEN 0 THEN 'NULL' ELSE (v.r(210) / 10.0)::text END;
  e text := quote_nullable(CASE v.r(6) WHEN 0 THEN NULL ELSE 'e' || v.r(60) END);
  g text := quote_nullable(v.pick('x', 'y', 'z', 'x', 'y', 'z', 'w', NULL));
BEGIN
  RETURN CASE v.r(CASE i WHEN 1 THEN 11 ELSE 9 END)
    WHEN 0 THEN format('INSERT INTO v.%I VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING', s, k, a, b, c, e, g)
    WHEN 1 THEN format('INSERT INTO v.%I SELECT i, %s, %s, i, ''e'' || i, %s FROM generate_series(%s, %s) i ON CONFLICT DO NOTHING', s, a, b, g, k, k + 5)
    WHEN 2 THEN format('DELETE FROM v.%I WHERE id = %s', s, k)
    WHEN 3 THEN format('UPDATE v.%I SET a = %s, c = %s WHERE id %% 7 = %s', s, a, c, m)
    WHEN 4 THEN format('UPDATE v.%I SET b = %s WHERE id = %s', s, b, k)
    WHEN 5 THEN format('UPDATE v.%I SET e = %s, %I = %s WHERE id = %s', s, e, v.g(i), g, k)
    -- values that go round
    WHEN 6 THEN format('UPDATE v.%I x SET e = (SELECT e FROM v.%1$I y WHERE y.id > x.id ORDER BY y.id LIMIT 1) WHERE id %% 7 < %s', s, m)
    WHEN 7 THEN format('UPDATE v.%I x SET e = y.e FROM v.%1$I y WHERE x.id IN (%s, %s) AND y.id IN (%2$s, %3$s) AND x.id <> y.id', s, k, v.r(40))
    -- a gap: the next push compares
    WHEN 8 THEN CASE v.r(5) WHEN 0 THEN format('ALTER TABLE v.%I DISABLE TRIGGER ALL; ALTER TABLE v.%1$I ENABLE TRIGGER ALL', s) ELSE format('UPDATE v.%I SET c = c + 0.1 WHERE id = %s', s, k) END
    WHEN 9 THEN format('UPDATE v.%I SET id = %s WHERE id = %s AND NOT EXISTS (SELECT FROM v.%1$I WHERE id = %2$s)', s, v.r(40), k)
    ELSE format('UPDATE v.%I SET id = id + 1 WHERE id BETWEEN 10 AND 12 AND NOT EXISTS (SELECT FROM v.%1$I WHERE id = 13)', s) END;
END $$;
-- the rows to be pushed, and the rules that they break: the target will be what the source is
CREATE FUNCTION v.expected(i int) RETURNS TABLE (id int, rule text) LANGUAGE plpgsql VOLATILE AS $$
DECLARE p v.pool;
BEGIN
  FOR p IN SELECT o.* FROM v.pool o JOIN v.rule u USING (n) WHERE u.link = 'l' || i LOOP
    RETURN QUERY EXECUTE format('SELECT r.id::int, %L FROM (TABLE v.s%s EXCEPT TABLE v.t%2$s) AS r(id, a, b, c, e, %I) WHERE %s', p.rule, i, v.g(i), format(p.broken, v.g(i), 'v.s' || i));
  END LOOP;
END $$;
CREATE FUNCTION v.rules(i int) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE p v.pool; l text := 'l' || i;
BEGIN
  SELECT * INTO p FROM v.pool ORDER BY random() LIMIT 1;
  IF EXISTS (SELECT FROM v.rule WHERE link = l AND n = p.n) THEN
    DELETE FROM v.rule WHERE link = l AND n = p.n;
    PERFORM tracksync.drop_rule(l, p.rule);
    RETURN format('%s: rule %s is dropped', l, p.rule);
  END IF;
  INSERT INTO v.rule VALUES (l, p.n);
  PERFORM tracksync.add_rule(l, p.rule, format(p.expression, v.g(i)));
  RETURN format('%s: rule %s', l, p.rule);
END $$;
CREATE FUNCTION v.same_as_before() RETURNS bigint LANGUAGE sql VOLATILE AS
  $$ SELECT count(*) FROM (SELECT t.id::int, t::text AS j FROM v.t1 t) t FULL JOIN v.before b USING (id) WHERE t.j IS DISTINCT FROM b.j $$;
-- what is wrong after the second link's push
CREATE FUNCTION v.wrong() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE x text; p v.pool;
BEGIN
  SET LOCAL client_min_messages = warning; CREATE TEMP TABLE IF NOT EXISTS waiting (id int PRIMARY KEY, sqlstate text, message text);
  TRUNCATE waiting; INSERT INTO waiting SELECT (key ->> 'id')::int, q.sqlstate, q.message FROM tracksync.quarantine q WHERE link = 'l2';
  SELECT string_agg(id::text, ' ') INTO x FROM (SELECT id FROM ((TABLE v.s2 EXCEPT TABLE v.t2) UNION ALL (TABLE v.t2 EXCEPT TABLE v.s2)) d(id) WHERE id NOT IN (SELECT w.id FROM waiting w)) d;
  IF x IS NOT NULL THEN RETURN 'not in quarantine, but differ after a push: ' || x; END IF;
  SELECT string_agg(w.id::text, ' ') INTO x FROM waiting w LEFT JOIN v.before b USING (id) LEFT JOIN v.t2 t USING (id) WHERE b.j IS DISTINCT FROM t::text;
  IF x IS NOT NULL THEN RETURN 'in quarantine, but written: ' || x; END IF;
  SELECT string_agg(id::text, ' ') INTO x FROM v.broken WHERE id NOT IN (SELECT w.id FROM waiting w);
  IF x IS NOT NULL THEN RETURN 'break a rule, but not in quarantine: ' || x; END IF;
  SELECT string_agg(w.id || ' ' || w.message, ' ') INTO x FROM waiting w WHERE w.id NOT IN (SELECT b.id FROM v.broken b) AND w.message NOT LIKE '%has it still';
  IF x IS NOT NULL THEN RETURN 'in quarantine for nothing: ' || x; END IF;
  -- rows that wait want what a row in quarantine has
  SELECT string_agg(w.id || ' ' || w.message, ' ') INTO x FROM waiting w JOIN v.s2 s USING (id) WHERE w.id NOT IN (SELECT b.id FROM v.broken b) AND NOT EXISTS (SELECT FROM v.t2 t JOIN waiting q USING (id) WHERE t.id <> w.id
    AND CASE WHEN w.message LIKE 'e must%' THEN t.e = s.e ELSE t.c = s.c AND to_jsonb(t) ->> v.g(2) = to_jsonb(s) ->> v.g(2) END);
  IF x IS NOT NULL THEN RETURN 'wait for nothing: ' || x; END IF;
  FOR p IN SELECT o.* FROM v.pool o JOIN v.rule u USING (n) WHERE u.link = 'l2' LOOP
    EXECUTE format('SELECT string_agg(r.id::text, '' '') FROM v.t2 r LEFT JOIN v.before b USING (id) WHERE b.j IS DISTINCT FROM r::text AND (%s)', format(p.broken, v.g(2), 'v.t2')) INTO x;
    IF x IS NOT NULL THEN RETURN format('written, but break rule %s: %s', p.rule, x); END IF;
  END LOOP;
  RETURN NULL;
END $$;
CREATE TABLE v.broken (id int, rule text);

CREATE PROCEDURE v.validate(i int) LANGUAGE plpgsql AS $$
DECLARE x text;
BEGIN
  TRUNCATE v.broken, v.before;
  INSERT INTO v.broken SELECT * FROM v.expected(i);
  SELECT string_agg(format('%s %s %s', id, rule, n), ', ') INTO x FROM (SELECT id, rule, sum(n) AS n FROM (SELECT id, rule, 1 AS n FROM v.broken UNION ALL
    SELECT (key ->> 'id')::int, rule, -1 FROM tracksync.validate('l' || i)) y GROUP BY id, rule) z WHERE n <> 0;
  IF x IS NOT NULL THEN RAISE EXCEPTION 'link l%: validate tells otherwise: %', i, x; END IF;
  EXECUTE format('INSERT INTO v.before SELECT id, t::text FROM v.t%s t', i);
END $$;

CREATE PROCEDURE v.run(seed float8, rounds int, sabotage boolean = false) LANGUAGE plpgsql AS $$
DECLARE q text; said text; n int; state text;
BEGIN
  PERFORM setseed(seed);
  FOR round IN 1 .. rounds LOOP
    FOR i IN 1 .. 2 LOOP
      FOR j IN 1 .. 1 + v.r(4) LOOP
        q := v.dml(i); said := 'done';
        BEGIN EXECUTE q; EXCEPTION WHEN unique_violation THEN said := SQLERRM; END;
        INSERT INTO v.trace (sql, result) VALUES (q, said);
        IF random() < 0.3 THEN COMMIT; END IF;
      END LOOP;
      IF random() < 0.04 THEN
        q := format('ALTER TABLE v.s%s RENAME %I TO %I', i, v.g(i), CASE v.g(i) WHEN 'g' THEN 'G g' ELSE 'g' END); EXECUTE q; INSERT INTO v.trace (sql) VALUES (q);
      END IF;
      IF random() < 0.4 THEN INSERT INTO v.trace (sql) VALUES (v.rules(i)); END IF;
      COMMIT;
    END LOOP;
    -- the one that aborts
    CALL v.validate(1);
    COMMIT;
    SELECT count(*) INTO n FROM v.broken;
    state := '00000';
    BEGIN PERFORM * FROM tracksync.push('l1'); EXCEPTION WHEN OTHERS THEN state := SQLSTATE; said := SQLERRM; END;
    COMMIT;
    INSERT INTO v.trace (sql, result) VALUES ('push of l1', format('%s violations, %s', n, state));
    IF (state = '23514') <> (n > 0) OR state NOT IN ('00000', '23514') THEN RAISE EXCEPTION 'link l1: % violations, push says % %', n, state, said; END IF;
    IF sabotage THEN DELETE FROM v.t1 WHERE id = (SELECT min(id) FROM v.t1); END IF;
    IF n > 0 AND v.same_as_before() <> 0 THEN RAISE EXCEPTION 'link l1: a push that failed wrote: differ after a push'; END IF;
    IF n = 0 AND EXISTS ((TABLE v.s1 EXCEPT TABLE v.t1) UNION ALL (TABLE v.t1 EXCEPT TABLE v.s1)) THEN RAISE EXCEPTION 'link l1: rows differ after a push'; END IF;
    IF n > 0 AND random() < 0.7 THEN
      DELETE FROM v.s1 WHERE id IN (SELECT b.id FROM v.broken b); INSERT INTO v.trace (sql) VALUES ('-- rows that break rules are deleted');
    END IF;
    COMMIT;
    -- the one with quarantine
    CONTINUE WHEN random() < 0.4;
    CALL v.validate(2);
    COMMIT;
    SELECT count(*) INTO n FROM v.broken;
    PERFORM * FROM tracksync.push('l2');
    COMMIT;
    INSERT INTO v.trace (sql, result) VALUES ('push of l2', format('%s violations', n));
    IF v.wrong() IS NOT NULL THEN RAISE EXCEPTION 'link l2: %', v.wrong(); END IF;
    COMMIT;
  END LOOP;
  -- without rules all goes
  FOR q, n IN SELECT link, rank() OVER (ORDER BY link) FROM v.rule GROUP BY link LOOP
    PERFORM tracksync.drop_rule(u.link, p.rule) FROM v.rule u JOIN v.pool p USING (n) WHERE u.link = q;
  END LOOP;
  COMMIT;
  PERFORM tracksync.push('l1'), tracksync.push('l2');
  COMMIT;
  SELECT count(*) INTO n FROM ((TABLE v.s1 EXCEPT TABLE v.t1) UNION ALL (TABLE v.t1 EXCEPT TABLE v.s1) UNION ALL (TABLE v.s2 EXCEPT TABLE v.t2) UNION ALL (TABLE v.t2 EXCEPT TABLE v.s2)) d;
  IF n <> 0 THEN RAISE EXCEPTION '% rows differ after a push without rules', n; END IF;
END $$;
