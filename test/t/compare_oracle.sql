-- Links that compare (detect => 'diff'): random SQL on what their sources read, random damage to their targets, pushes of single links and
-- of a group; after each push the target must hold what a plain query over the source gives.
--
--   CALL co.run(seed, rounds, sabotage);   -- every statement is in co.trace
CREATE EXTENSION IF NOT EXISTS tracksync;
CREATE SCHEMA co;
CREATE FUNCTION co.server() RETURNS name LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('oracle.server', true), '')::name $$;
CREATE TABLE co.trace (i bigserial, sql text, result text);
CREATE TABLE co.a (id int PRIMARY KEY, junk int, grp text, qty int, price numeric, note text);
ALTER TABLE co.a DROP COLUMN junk;
CREATE TABLE co.b (id int PRIMARY KEY, a int, w float8, "Day" date);
CREATE TABLE co.p (k int NOT NULL, region text, v text) PARTITION BY LIST (region);           -- no key
CREATE TABLE co.p_eu PARTITION OF co.p FOR VALUES IN ('eu');
CREATE TABLE co.p_other PARTITION OF co.p DEFAULT;
CREATE TABLE co.c (id int, c0 text);                                                         -- no key, and its columns come and go
CREATE TABLE co.e (id int PRIMARY KEY, v text);
CREATE TABLE co.day (today int);
INSERT INTO co.day VALUES (5);
CREATE FUNCTION co.today() RETURNS int LANGUAGE sql STABLE AS 'SELECT today FROM co.day';

CREATE VIEW co.agg AS SELECT a.id, a.grp, count(b.id) AS n, sum(b.w) AS w, max(b."Day") AS "Last day", array_agg(b.id ORDER BY b.id) AS bs
  FROM co.a LEFT JOIN co.b ON b.a = a.id GROUP BY a.id;
CREATE VIEW co.both AS SELECT 'a' AS src, id, note AS t FROM co.a UNION ALL SELECT 'b', id, "Day"::text FROM co.b;
CREATE VIEW co.place AS SELECT id, row_number() OVER (ORDER BY qty NULLS LAST, id) AS pos FROM co.a;
CREATE VIEW co.nested AS SELECT grp, sum(n)::int AS n FROM co.agg WHERE grp IS NOT NULL GROUP BY grp;
CREATE MATERIALIZED VIEW co.m AS SELECT a, count(*) AS n, min(w) AS w FROM co.b WHERE a IS NOT NULL GROUP BY a;
CREATE UNIQUE INDEX ON co.m (a);

CREATE TABLE co.t1 (id int PRIMARY KEY, grp text, n bigint, w float8, "Last day" date, bs int[]);
CREATE TABLE co.t2 (src text, id bigint, t text, own int DEFAULT 7, PRIMARY KEY (id, src));
CREATE TABLE co.t3 (a int PRIMARY KEY, n int, w text);
CREATE TABLE co.t4 (k int, region text, v text, UNIQUE (region, k));
CREATE TABLE co.t5 (id int PRIMARY KEY, total numeric, label text);
CREATE TABLE co.t6 (LIKE co.a INCLUDING ALL);
CREATE TABLE co.t7 (id int PRIMARY KEY, grp text, qty int);
CREATE TABLE co.t8 (id int PRIMARY KEY, pos bigint UNIQUE);
CREATE TABLE co.t9 (grp text PRIMARY KEY, n int);
CREATE TABLE co.te (id int PRIMARY KEY, v text);

-- rows: what the target has to hold; own: which of the target's rows x are the link's
CREATE TABLE co.link (l text PRIMARY KEY, s text, t text, rows text, own text, damage text[]);
INSERT INTO co.link VALUES
 ('d1', 'co.agg', 'co.t1', 'SELECT * FROM co.agg', 'true', '{n,w,grp,bs}'),
 ('d2', 'co.both', 'co.t2', 'SELECT src, id, t, 7 FROM co.both', 'true', '{t}'),
 ('d3', 'co.m', 'co.t3', 'SELECT a, n, w::text FROM co.m', 'true', '{n,w}'),
 ('d4', 'co.p', 'co.t4', 'SELECT * FROM co.p', 'true', '{v}'),
 ('d5', 'co.a', 'co.t5', 'SELECT id, qty * price, upper(note) FROM co.a WHERE qty < co.today()', 'true', '{total,label}'),
 ('d6', 'co.a', 'co.t6', 'SELECT * FROM co.a', 'true', '{}'),
 ('d7a', 'co.a', 'co.t7', 'SELECT id, grp, qty FROM co.a WHERE grp = ''x''', 'grp = ''x''', '{qty}'),
 ('d7b', 'co.a', 'co.t7', 'SELECT id, grp, qty FROM co.a WHERE grp = ''y''', 'grp = ''y''', '{qty}'),
 ('d8', 'co.place', 'co.t8', 'SELECT * FROM co.place', 'true', '{}'),
 ('d9', 'co.nested', 'co.t9', 'SELECT * FROM co.nested', 'true', '{n}'),
 ('dc', 'co.c', 'co.tc', 'SELECT to_jsonb(c) FROM co.c', 'true', '{}'),
 ('de', 'co.e', 'co.te', 'SELECT * FROM co.e', 'true', '{}');
SELECT FROM tracksync.create_link('d1', 'co.agg', 'co.t1', co.server(), detect => 'diff', initial => 'mirror');
SELECT FROM tracksync.create_link('d2', 'co.both', 'co.t2', co.server(), detect => 'diff', on_conflict => 'source_wins');
SELECT FROM tracksync.create_link('d3', 'co.m', 'co.t3', co.server(), detect => 'diff');
SELECT FROM tracksync.create_link('d4', 'co.p', 'co.t4', co.server(), detect => 'diff', key => '{k,region}', initial => 'none');
SELECT FROM tracksync.create_link('d5', 'co.a', 'co.t5', co.server(), detect => 'diff', filter => 'qty < co.today()',
  columns => '{"id": "id", "total": "qty * price", "label": "upper(note)"}');
SELECT FROM tracksync.create_link('d6', 'co.a', 'co.t6', co.server());
SELECT FROM tracksync.create_link('d7a', 'co.a', 'co.t7', co.server(), detect => 'diff', filter => 'grp = ''x''', initial => 'mirror');
SELECT FROM tracksync.create_link('d7b', 'co.a', 'co.t7', co.server(), detect => 'diff', filter => 'grp = ''y''');
SELECT FROM tracksync.create_link('d8', 'co.place', 'co.t8', co.server(), detect => 'diff', key => '{id}');
SELECT FROM tracksync.create_link('d9', 'co.nested', 'co.t9', co.server(), detect => 'diff');
SELECT FROM tracksync.create_link('dc', 'co.c', 'co.tc', co.server(), detect => 'diff', key => '{id}', create_target => true);
SELECT FROM tracksync.create_link('de', 'co.e', 'co.te', co.server(), detect => 'diff', key => '{id}');
SELECT FROM tracksync.create_group('g', '{d1,d5,d6,d8}');

CREATE FUNCTION co.r(n int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT floor(random() * n)::int';
CREATE FUNCTION co.pick(VARIADIC a text[]) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT a[1 + floor(random() * cardinality(a))::int]';
CREATE FUNCTION co.note_name() RETURNS text LANGUAGE sql STABLE AS $$ SELECT attname::text FROM pg_attribute WHERE attrelid = 'co.a'::regclass AND attnum = 6 $$;

CREATE FUNCTION co.dml() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  id text := co.r(20);
  cols text[] := ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = 'co.c'::regclass AND attnum > 1 AND NOT attisdropped ORDER BY attnum);
BEGIN
  CASE co.r(20)
  WHEN 0, 1, 2 THEN RETURN format('INSERT INTO co.a (id, grp, qty, price, %I) VALUES (%s, %L, %s, %s, %L) ON CONFLICT DO NOTHING', co.note_name(), id,
    co.pick('x', 'y', 'z', NULL), co.pick('NULL', '1', '4', '9'), co.pick('1.5', '1.50', 'NULL'), co.pick('n', 'N', '', NULL));
  WHEN 3, 4 THEN RETURN format('UPDATE co.a SET grp = %L WHERE id = %s', co.pick('x', 'y', 'z', NULL), id);
  WHEN 5, 6 THEN RETURN format('UPDATE co.a SET qty = %s, price = %s WHERE id %% 3 = %s', co.pick('qty + 1', '0', 'NULL', '6'), co.pick('price', '2.0', '2.00'), co.r(3));
  WHEN 7 THEN RETURN format('UPDATE co.a SET id = id + %s WHERE id = %s', co.pick('1', '100', '-100'), id);
  WHEN 8 THEN RETURN format('DELETE FROM co.a WHERE id = %s', id);
  WHEN 9, 10 THEN RETURN format('INSERT INTO co.b VALUES (%s, %s, %s, %L) ON CONFLICT (id) DO UPDATE SET a = excluded.a, w = excluded.w', co.r(40), co.pick(id, 'NULL'),
    co.pick('1', '-0.0', '0', '''NaN''', 'NULL'), co.pick('2024-02-29', 'infinity', NULL));
  WHEN 11 THEN RETURN format('DELETE FROM co.b WHERE a = %s', id);
  WHEN 12, 13 THEN RETURN format('INSERT INTO co.p SELECT %s, %2$L, %3$L WHERE NOT EXISTS (SELECT FROM co.p WHERE k = %1$s AND region = %2$L)', id, co.pick('eu', 'us'), co.pick('v', 'w', NULL));
  WHEN 14 THEN RETURN format('UPDATE co.p SET v = %L WHERE k = %s', co.pick('v', 'u', NULL), id);
  WHEN 15 THEN RETURN format('DELETE FROM co.p WHERE k = %s', id);
  WHEN 16 THEN RETURN format('INSERT INTO co.c (id) SELECT max(id) + 1 FROM (SELECT id FROM co.c UNION ALL SELECT 0) x');
  WHEN 17 THEN
    IF cols = '{}' THEN RETURN 'DELETE FROM co.c WHERE id % 5 = 0'; END IF;
    RETURN format('UPDATE co.c SET %I = %L WHERE id %% 3 = %s', cols[1 + co.r(cardinality(cols))], co.r(9), co.r(3));
  WHEN 18 THEN RETURN format('INSERT INTO co.e VALUES (%s, %L) ON CONFLICT (id) DO UPDATE SET v = excluded.v || %L', id, 'v', co.pick('', '+'));
  ELSE RETURN co.pick(format('DELETE FROM co.e WHERE id = %s', id), 'REFRESH MATERIALIZED VIEW co.m', 'REFRESH MATERIALIZED VIEW CONCURRENTLY co.m',
    format('UPDATE co.day SET today = %s', co.r(8)), CASE WHEN random() < 0.2 THEN 'TRUNCATE co.b' ELSE 'REFRESH MATERIALIZED VIEW co.m' END);
  END CASE;
END $$;

CREATE FUNCTION co.ddl() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  cols text[] := ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = 'co.c'::regclass AND attnum > 1 AND NOT attisdropped ORDER BY attnum);
  col text := cols[1 + co.r(cardinality(cols))];
  new text := 'c' || co.r(6);
BEGIN
  CASE (CASE WHEN col IS NULL THEN 5 ELSE co.r(6) END)
  WHEN 0 THEN RETURN format('ALTER TABLE co.a RENAME COLUMN %I TO %I', co.note_name(), co.pick('note', 'N''ote', 'label'));
  WHEN 1 THEN RETURN format('ALTER TABLE co.c DROP COLUMN %I', col);
  WHEN 2 THEN RETURN format('ALTER TABLE co.c RENAME COLUMN %I TO %I', col, new);
  WHEN 3 THEN RETURN format('ALTER TABLE co.e RENAME COLUMN v TO v');
  ELSE RETURN format('ALTER TABLE co.c ADD COLUMN %I %s', new, co.pick('text', 'int DEFAULT 3', 'text DEFAULT ''d'' NOT NULL'));
  END CASE;
END $$;

CREATE FUNCTION co.damage(x co.link) RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT CASE co.r(3) WHEN 0 THEN format('DELETE FROM %s WHERE random() < 0.2', x.t)
    WHEN 1 THEN format('UPDATE %s SET %I = NULL WHERE random() < 0.3', x.t, x.damage[1 + co.r(cardinality(x.damage))])
    ELSE format('INSERT INTO %s SELECT (jsonb_populate_record(x, %L)).* FROM %1$s x WHERE random() < 0.3 ON CONFLICT DO NOTHING', x.t,
      CASE x.l WHEN 'd3' THEN '{"a": 777}' WHEN 'd4' THEN '{"k": 777}' WHEN 'd9' THEN '{"grp": "777"}' ELSE '{"id": 777}' END) END $$;

-- Rows that are on one side only, or more often there.
CREATE FUNCTION co.differs(link co.link) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
  EXECUTE format('WITH s AS (SELECT row(x.*)::text FROM (%s) x), t AS (SELECT row(%s)::text FROM %s x WHERE %s) '
                 'SELECT count(*) FROM ((TABLE s EXCEPT ALL TABLE t) UNION ALL (TABLE t EXCEPT ALL TABLE s)) d',
                 replace(link.rows, '(note)', format('(%I)', co.note_name())), CASE link.l WHEN 'dc' THEN 'to_jsonb(x)' ELSE 'x.*' END, link.t, link.own) INTO n;
  RETURN n;
END $$;

CREATE PROCEDURE co.push(name text, links text[], local boolean, sabotage boolean) LANGUAGE plpgsql AS $$
DECLARE
  x co.link;
  q text;
BEGIN
  -- to another server nothing goes that is not committed
  IF NOT local OR random() < 0.5 THEN COMMIT; END IF;
  SELECT format('push of %s: ', name) || coalesce(string_agg(kind || ' ' || rows, ', '), 'nothing') INTO q FROM tracksync.push(name);
  INSERT INTO co.trace (sql) VALUES (q);
  COMMIT;
  FOR x IN SELECT * FROM co.link WHERE l = ANY (links) ORDER BY l LOOP
    IF sabotage THEN
      EXECUTE format('DELETE FROM %s x WHERE (%s) AND ctid = (SELECT min(ctid) FROM %1$s x WHERE %2$s)', x.t, x.own);
    END IF;
    IF co.differs(x) <> 0 THEN
      RAISE EXCEPTION 'link %: % rows differ after a push', x.l, co.differs(x);
    END IF;
  END LOOP;
  IF random() < 0.3 THEN
    COMMIT;
    IF EXISTS (SELECT FROM tracksync.plan(name)) THEN
      RAISE EXCEPTION '%: there is a plan after a push, rows differ after a push', name;
    END IF;
  END IF;
  COMMIT;
END $$;

CREATE PROCEDURE co.run(seed float8, rounds int, sabotage boolean = false) LANGUAGE plpgsql AS $$
DECLARE
  x co.link;
  q text;
  said text;
  first boolean;
BEGIN
  PERFORM setseed(seed);
  INSERT INTO co.c SELECT i, i FROM generate_series(1, 5) i;
  FOR i IN 1 .. rounds LOOP
    FOR j IN 1 .. 1 + co.r(8) LOOP
      q := CASE WHEN random() < 0.06 THEN co.ddl() ELSE co.dml() END;
      BEGIN
        EXECUTE q;
        said := 'done';
      EXCEPTION WHEN unique_violation OR duplicate_column OR not_null_violation OR null_value_not_allowed OR syntax_error THEN said := SQLERRM;
      END;
      INSERT INTO co.trace (sql, result) VALUES (q, said);
      IF random() < 0.3 THEN COMMIT; END IF;
    END LOOP;
    COMMIT;
    IF random() < 0.1 THEN
      SELECT detect INTO q FROM tracksync.link WHERE name = 'de';
      PERFORM tracksync.alter_link('de', detect => CASE q WHEN 'diff' THEN 'log' ELSE 'diff' END);
      INSERT INTO co.trace (sql) VALUES ('de no more by ' || q);
      COMMIT;
    END IF;
    IF random() < 0.3 THEN
      CALL co.push('g', '{d1,d5,d6,d8}', co.server() IS NULL, false);
    END IF;
    FOR x IN SELECT * FROM co.link ORDER BY l LOOP
      CONTINUE WHEN random() < 0.6;
      SELECT last_push IS NULL INTO first FROM tracksync.link WHERE name = x.l;
      -- a first push leaves what only the target has
      IF NOT first AND x.damage <> '{}' AND random() < 0.3 THEN
        q := co.damage(x);
        EXECUTE q;
        INSERT INTO co.trace (sql) VALUES (q);
      END IF;
      CALL co.push(x.l, ARRAY[x.l], co.server() IS NULL, sabotage);
    END LOOP;
  END LOOP;
END $$;
