-- Verify and repair: random changes of the sources, pushed now and then, and random damage on the targets. What verify names must be exactly the
-- rows that are not as they were at the last push, whatever is pending (a row that already is as the source has it now is none); what repair
-- writes, the rows that are not as the source has them; then nothing is left to be named. Large enough for the sums over rows on other servers.
-- a: values of all kinds, which look alike; b: a key with an equality of its own, no images; c: values that are cast, partitions.
CREATE EXTENSION IF NOT EXISTS tracksync; CREATE EXTENSION citext;
CREATE SCHEMA vo; CREATE SCHEMA s; CREATE SCHEMA t;
CREATE FUNCTION vo.server() RETURNS name LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('oracle.server', true), '')::name $$;
CREATE TABLE vo.trace (i bigserial, sql text, result text);
CREATE FUNCTION vo.r(n int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT floor(random() * n)::int';
CREATE FUNCTION vo.pick(VARIADIC a text[]) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT a[1 + floor(random() * cardinality(a))::int]';
CREATE TYPE vo.mood AS ENUM ('sad', 'happy');
CREATE DOMAIN vo.amount AS numeric CHECK (VALUE IS NULL OR VALUE < 1e9);
CREATE TABLE s.a (id int, gone int, k text, v text, n vo.amount, f float8, x bigint, y bigint, c char(4), vc varchar(9), m vo.mood, arr text[], js json, iv interval, ba bytea, PRIMARY KEY (k, id));
ALTER TABLE s.a DROP COLUMN gone;
CREATE TABLE t.a (ba bytea, k text, v text, id int, n vo.amount, f float8, y bigint, x bigint, c char(4), vc varchar(9), m vo.mood, arr text[], js json, iv interval, own int DEFAULT 7, PRIMARY KEY (id, k));
CREATE TABLE s.b (k citext PRIMARY KEY, v text, n numeric);
CREATE TABLE t.b (k citext PRIMARY KEY, v text, n numeric);
CREATE TABLE s.c (id bigint PRIMARY KEY, v varchar(50), n int, d date);
CREATE TABLE t.c (id bigint PRIMARY KEY, v text, n numeric(12,2), d timestamp) PARTITION BY HASH (id);
CREATE TABLE t.c0 PARTITION OF t.c FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE t.c1 PARTITION OF t.c FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO s.a SELECT g, 'k' || g % 3, 'v' || g, g * 1.5, g, g, -g, 'c', 'vc', 'sad', ARRAY['a', NULL], '{"a": 1}', '1 day', '\x00' FROM generate_series(1, 3000) g;
INSERT INTO s.b SELECT 'K' || g, 'v', g FROM generate_series(1, 2500) g;
INSERT INTO s.c SELECT g, 'v' || g, g, '2024-01-01' FROM generate_series(1, 2500) g;
SELECT tracksync.track('s.b', images => 'none');
SELECT tracksync.create_link(x, ('s.' || x)::regclass, 't.' || x, vo.server(), on_conflict => 'source_wins') FROM unnest('{a,b,c}'::text[]) x;
SELECT tracksync.create_group('g', '{a,b,c}');
ANALYZE s.a; ANALYZE s.b; ANALYZE s.c;
CREATE TABLE vo.tab (l text, key text, cols text, form text, cast_ boolean);
INSERT INTO vo.tab VALUES ('a', 'id, k', 'id, k, v, n, f, x, y, c, vc, m, arr, js, iv, ba', 'id, k, v, n, f, x, y, c, vc, m, arr, js, iv, ba', false),
  ('b', 'k', 'k, v, n', 'k, v, n', false), ('c', 'id', 'id, v, n, d', 'id, v::text, n::numeric(12,2), d::timestamp', true);
CREATE TABLE vo.a AS SELECT * FROM s.a LIMIT 0; CREATE TABLE vo.b AS SELECT * FROM s.b LIMIT 0; CREATE TABLE vo.c AS SELECT * FROM s.c LIMIT 0;

CREATE FUNCTION vo.val(col text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF random() < 0.12 THEN RETURN 'NULL'; END IF;
  RETURN CASE col WHEN 'v' THEN vo.pick('''''', '''NULL''', '''x''', 'v || ''!''', '''x ''') WHEN 'n' THEN vo.pick('1', '1 + n', '0', '4', '44') WHEN 'f' THEN vo.pick('0', '''-0''', '''NaN''', '1')
    WHEN 'x' THEN vo.pick('1', '4294967296', 'y', '0') WHEN 'y' THEN vo.pick('x', '4294967296', '-1') WHEN 'c' THEN vo.pick('''''', '''c''', '''C''') WHEN 'vc' THEN vo.pick('''vc ''', '''vc''', '''''')
    WHEN 'm' THEN '''happy''' WHEN 'arr' THEN vo.pick('''{}''', '''{a,"NULL"}''', '''[2:3]={a,NULL}''', '''{a,NULL}''') WHEN 'js' THEN vo.pick('''{"a":1}''', '''{"a": 1}''')
    WHEN 'iv' THEN vo.pick('''24:00''', '''1 day''') WHEN 'ba' THEN vo.pick('''\x''', '''\x0000''', '''\x00''') WHEN 'd' THEN vo.pick('''2024-01-02''', '''infinity''') END;
END $$;
-- A change of a few rows of one side; of a target's they are damage.
CREATE FUNCTION vo.dml(side text, l text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  cols text[] := CASE l WHEN 'a' THEN '{v,n,f,x,y,c,vc,m,arr,js,iv,ba}' WHEN 'b' THEN '{v,n}' ELSE '{v,n,d}' END;
  col text := vo.pick(VARIADIC cols); col2 text := vo.pick(VARIADIC cols);
  k int := 1 + vo.r(40); k2 int := 1 + vo.r(40);
  w text := CASE l WHEN 'b' THEN format('k IN (%L, %L)', 'K' || k, 'k' || k2) ELSE format('id IN (%s, %s)', k, k2) END;
BEGIN
  CASE vo.r(10)
  WHEN 0, 1, 2 THEN RETURN format('UPDATE %s.%s SET %s = %s WHERE %s', side, l, col, vo.val(col), w);
  WHEN 3 THEN RETURN format('UPDATE %s.%s SET %s = %s%s WHERE %s', side, l, col, vo.val(col), CASE WHEN col2 <> col THEN format(', %s = %s', col2, vo.val(col2)) ELSE '' END, w);
  WHEN 4 THEN RETURN format('DELETE FROM %s.%s WHERE %s', side, l, w);
  WHEN 5 THEN                   -- two rows' values change places
    RETURN format('UPDATE %s.%s p SET %s = q.%3$s FROM %1$s.%2$s q WHERE p.%4$s AND q.%4$s AND p.%5$s <> q.%5$s', side, l, col, w, CASE l WHEN 'b' THEN 'k' ELSE 'id' END);
  WHEN 6 THEN                   -- two columns'
    RETURN CASE l WHEN 'a' THEN format('UPDATE %s.a SET x = y, y = x WHERE %s', side, w) ELSE format('UPDATE %s.%s SET v = n::text WHERE %s', side, l, w) END;
  WHEN 7 THEN                   -- another key, or the same one written otherwise
    RETURN CASE l WHEN 'a' THEN format('UPDATE %s.a SET k = %L WHERE %s', side, vo.pick('k0', 'k1', 'k2', ''), 'id = ' || k) WHEN 'b' THEN format('UPDATE %s.b SET k = %L WHERE k = %L', side, vo.pick('k', 'K') || k, 'K' || k)
      ELSE format('UPDATE %s.c SET id = %s WHERE id = %s', side, 9000 + vo.r(50), k) END;
  ELSE
    RETURN CASE l WHEN 'a' THEN format('INSERT INTO %s.a (id, k, v) VALUES (%s, %L, %L)', side, k, vo.pick('k0', 'k1', 'k2'), 'new') WHEN 'b' THEN format('INSERT INTO %s.b VALUES (%L, ''new'')', side, vo.pick('K', 'k') || vo.pick(k::text, (9000 + k)::text))
      ELSE format('INSERT INTO %s.c VALUES (%s, ''new'', %s)', side, vo.pick(k::text, (9000 + k)::text), k) END;
  END CASE;
END $$;
CREATE FUNCTION vo.act(side text, l text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE q text := vo.dml(side, l);
BEGIN
  BEGIN
    EXECUTE q;
    INSERT INTO vo.trace (sql, result) VALUES (q, 'ok');
  EXCEPTION WHEN OTHERS THEN
    INSERT INTO vo.trace (sql, result) VALUES (q, SQLSTATE || ' ' || SQLERRM);
  END;
END $$;
-- The rows of a table that are not those of another one, by key: kind|key.
CREATE FUNCTION vo.differing(tab vo.tab, want text, new text, OUT odd text[]) LANGUAGE plpgsql AS $$
DECLARE k text := (SELECT string_agg(format('%L, %s', x, x), ', ') FROM unnest(string_to_array(tab.key, ', ')) x);
BEGIN
  EXECUTE format('WITH w AS (SELECT %1$s, row(%2$s)::text COLLATE "C" AS r, jsonb_build_object(%7$s) AS j FROM %3$s), t AS (SELECT %1$s, row(%4$s)::text COLLATE "C" AS r, jsonb_build_object(%7$s) AS j FROM t.%5$s), '
    'n AS (SELECT %1$s, row(%2$s)::text COLLATE "C" AS r FROM %6$s) SELECT coalesce(array_agg(x ORDER BY x COLLATE "C"), ''{}'') FROM (SELECT CASE WHEN t.r IS NULL THEN ''only_source'' WHEN w.r IS NULL THEN ''only_target'' ELSE ''differs'' END || ''|'' || CASE WHEN %9$L THEN lower(coalesce(w.j, t.j)::text) ELSE coalesce(w.j, t.j)::text END AS x '
    'FROM (w FULL JOIN t USING (%1$s)) LEFT JOIN n USING (%1$s) WHERE w.r IS DISTINCT FROM t.r AND NOT (%8$s)) y',
    tab.key, tab.form, want, tab.cols, tab.l, coalesce(new, want), k,
    CASE WHEN new IS NULL THEN 'false' ELSE 't.r IS NOT DISTINCT FROM n.r' END, tab.l = 'b') INTO odd;
END $$;
CREATE FUNCTION vo.named(l text) RETURNS text[] LANGUAGE sql AS $$
  SELECT coalesce(array_agg(x ORDER BY x COLLATE "C"), '{}') FROM (SELECT kind || '|' || CASE WHEN l = 'b' THEN lower(key::text) ELSE key::text END AS x FROM tracksync.verify(l)) y $$;
CREATE FUNCTION vo.minus(a text[], b text[]) RETURNS text[] LANGUAGE sql AS $$ SELECT ARRAY(SELECT unnest(a) EXCEPT SELECT unnest(b) ORDER BY 1) $$;
CREATE FUNCTION vo.remember(l text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('TRUNCATE vo.%1$s; INSERT INTO vo.%1$s SELECT * FROM s.%1$s', l);
END $$;

CREATE PROCEDURE vo.run(seed float8, rounds int, sabotage boolean = false) LANGUAGE plpgsql AS $$
DECLARE
  tab vo.tab; want text[]; named text[]; away text[]; extra boolean; wrote bigint; n bigint := 0; mended bigint := 0; fuzzy bigint := 0; pulled int := 0; pending text[];
BEGIN
  PERFORM setseed(seed);
  COMMIT;
  PERFORM tracksync.push('g');
  PERFORM vo.remember(l) FROM vo.tab;
  COMMIT;
  FOR round IN 1 .. rounds LOOP
    SELECT * INTO tab FROM vo.tab ORDER BY l OFFSET vo.r(3) LIMIT 1;
    FOR i IN 1 .. vo.r(4) LOOP PERFORM vo.act('s', tab.l); END LOOP;
    COMMIT;
    IF random() < 0.3 THEN
      PERFORM tracksync.push(tab.l);
      PERFORM vo.remember(tab.l);
      INSERT INTO vo.trace (sql) VALUES ('push ' || tab.l);
      COMMIT;
      FOR i IN 1 .. vo.r(3) LOOP PERFORM vo.act('s', tab.l); END LOOP;
    END IF;
    FOR i IN 1 .. vo.r(4) LOOP PERFORM vo.act('t', tab.l); END LOOP;
    COMMIT;
    want := vo.differing(tab, 'vo.' || tab.l, 's.' || tab.l);
    IF sabotage AND round = rounds THEN want := want || 'differs|{"id": 0}'::text; END IF;
    named := vo.named(tab.l);
    COMMIT;
    -- without images it is not known what a changed column held: a row with pending changes may or may not be named, but for no other reason
    IF tab.l = 'b' THEN
      SELECT coalesce(array_agg(key::text), '{}') INTO pending FROM tracksync.net_changes('b');
      SELECT coalesce(array_agg(x ORDER BY x COLLATE "C"), '{}') INTO away FROM unnest(vo.minus(want, named)) x WHERE lower(split_part(x, '|', 2)) <> ALL (SELECT lower(unnest(pending)));
      IF vo.minus(named, want) = '{}' AND away = '{}' THEN
        fuzzy := fuzzy + cardinality(want) - cardinality(named);
        want := named;
      END IF;
    END IF;
    IF want <> named THEN
      RAISE EXCEPTION 'what verify names of % differ after a push: missing %, too many %', tab.l, vo.minus(want, named), vo.minus(named, want);
    END IF;
    n := n + cardinality(named);
    COMMIT;
    -- the source takes the target's state
    IF random() < 0.2 THEN
      SELECT count(*) INTO wrote FROM tracksync.net_changes(tab.l);
      COMMIT;
      extra := random() < 0.5;
      BEGIN
        PERFORM tracksync.pull(tab.l, extra);
        named := '{}';
      EXCEPTION WHEN object_not_in_prerequisite_state THEN
        named := '{refused}';
      END;
      INSERT INTO vo.trace (sql, result) VALUES (format('pull %s, %s', tab.l, extra), named);
      COMMIT;
      IF (named = '{refused}') <> (wrote > 0 AND NOT extra) THEN RAISE EXCEPTION 'a pull of % with % pending: %, does differ after a push', tab.l, wrote, named; END IF;
      CONTINUE WHEN named <> '{}';
      want := vo.differing(tab, 's.' || tab.l, NULL) || vo.named(tab.l) || ARRAY(SELECT op || key FROM tracksync.net_changes(tab.l)) || ARRAY(SELECT kind FROM tracksync.plan(tab.l));
      IF want <> '{}' THEN RAISE EXCEPTION 'source and target of % differ after a push that was a pull: %', tab.l, want; END IF;
      PERFORM vo.remember(tab.l);
      pulled := pulled + 1;
      COMMIT;
    END IF;
    CONTINUE WHEN random() < 0.5;
    extra := random() < 0.5;
    want := vo.differing(tab, 's.' || tab.l, NULL);
    EXECUTE format('SELECT coalesce(array_agg(jsonb_build_object(%s)::text), ''{}'') FROM vo.%s w WHERE (%s) NOT IN (SELECT %3$s FROM s.%2$s)',
                   (SELECT string_agg(format('%L, %s', x, x), ', ') FROM unnest(string_to_array(tab.key, ', ')) x), tab.l, tab.key) INTO pending;
    -- what was deleted at the source goes in any case
    IF NOT extra THEN
      SELECT coalesce(array_agg(x ORDER BY x COLLATE "C"), '{}') INTO want FROM unnest(want) x WHERE x NOT LIKE 'only_target%' OR lower(split_part(x, '|', 2)) = ANY (SELECT lower(unnest(pending)));
    END IF;
    COMMIT;
    SELECT coalesce(sum(rows), 0) INTO wrote FROM tracksync.repair(tab.l, extra) WHERE kind IN ('insert', 'update', 'delete');
    PERFORM vo.remember(tab.l);
    INSERT INTO vo.trace (sql, result) VALUES (format('repair %s, %s', tab.l, extra), wrote);
    COMMIT;
    -- a delete that finds its row gone counts
    IF wrote <> cardinality(want) + (CASE WHEN extra THEN 0 ELSE cardinality(pending) - (SELECT count(*) FROM unnest(want) x WHERE x LIKE 'only_target%') END) THEN RAISE EXCEPTION 'what repair of % (%) wrote, %, does differ after a push: %, %', tab.l, extra, wrote, want, pending; END IF;
    named := vo.named(tab.l);
    want := vo.differing(tab, 's.' || tab.l, NULL);
    IF named <> want OR EXISTS (SELECT FROM unnest(named) x WHERE extra OR x NOT LIKE 'only_target%') THEN
      RAISE EXCEPTION 'rows of % differ after a push that repaired: %, named are %', tab.l, want, named;
    END IF;
    IF (SELECT x.pending FROM tracksync.status x WHERE x.link = tab.l) <> 0 THEN RAISE EXCEPTION 'changes of % are pending after a push that repaired', tab.l; END IF;
    mended := mended + wrote;
    COMMIT;
  END LOOP;
  RAISE NOTICE '% rows named, % mended, % could not be told, % pulls', n, mended, fuzzy, pulled;
END $$;
