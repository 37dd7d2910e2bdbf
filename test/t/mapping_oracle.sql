-- Filters, expressions and keys made of them: random SQL on the sources, pushes of single links at random moments; after each the rows of
-- the target that are the link's must be what a plain query over the source gives.
--
--   CALL m.run(seed, rounds, sabotage);   -- every statement is in m.trace, with its result
CREATE EXTENSION IF NOT EXISTS tracksync;
CREATE SCHEMA m;
CREATE FUNCTION m.server() RETURNS name LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('oracle.server', true), '')::name $$;
CREATE TABLE m.trace (i bigserial, sql text, result text);

CREATE TABLE m.s (id int PRIMARY KEY, junk int, region text, qty int, price numeric, note text);
ALTER TABLE m.s DROP COLUMN junk;
CREATE TABLE m.n (LIKE m.s INCLUDING ALL);                    -- images none
CREATE TABLE m.p (id int, region text, qty int, note text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE m.p_eu PARTITION OF m.p FOR VALUES IN ('eu');
CREATE TABLE m.p_other PARTITION OF m.p DEFAULT;
CREATE TABLE m.k (a text, b int, qty int, note text, PRIMARY KEY (a, b));
CREATE TABLE m.d (n numeric PRIMARY KEY, d int, v text, w text); -- keys that are equal, but written otherwise; d may be 0; w is ignored
SELECT FROM tracksync.track('m.n', images => 'none');
SELECT FROM tracksync.track('m.d', ignore => '{w}');

CREATE TABLE m.t1 (LIKE m.s INCLUDING ALL);
CREATE TABLE m.t2 (id int PRIMARY KEY, total numeric, label text, one int, big boolean);
CREATE TABLE m.t3 (LIKE m.s INCLUDING ALL);
CREATE TABLE m.t4 (LIKE m.n INCLUDING ALL);
CREATE TABLE m.t5 (src text, id int, total numeric, PRIMARY KEY (src, id));
CREATE TABLE m.t6 (k text PRIMARY KEY, q int, note text);
CREATE TABLE m.t7 (id int, region text, qty int, note text, PRIMARY KEY (id, region));
CREATE TABLE m.t8 (id int PRIMARY KEY, qty int);
CREATE TABLE m.t9 (id int, code text, qty int, PRIMARY KEY (code, id));
CREATE TABLE m.t10 (k text PRIMARY KEY, part int, v text);

-- rows: what the target has to hold; own: which of the target's rows are the link's. note is renamed now and then.
CREATE TABLE m.link (l text PRIMARY KEY, s text, t text, rows text, own text);
INSERT INTO m.link VALUES
 ('l1', 'm.s', 'm.t1', 'SELECT * FROM m.s WHERE region = ''eu''', 'true'),
 ('l2', 'm.s', 'm.t2', 'SELECT id, qty * price, upper(note), 1, qty > 5 FROM m.s WHERE qty > 2', 'true'),
 ('l3a', 'm.s', 'm.t3', 'SELECT * FROM m.s WHERE region = ''eu'' OR region IS NULL', 'region = ''eu'' OR region IS NULL'),
 ('l3b', 'm.s', 'm.t3', 'SELECT * FROM m.s WHERE region = ''us''', 'region = ''us'''),
 ('l4a', 'm.n', 'm.t4', 'SELECT * FROM m.n WHERE region = ''eu''', 'region = ''eu'''),
 ('l4b', 'm.n', 'm.t4', 'SELECT * FROM m.n WHERE region = ''us'' AND qty IS NOT NULL', 'region = ''us'' AND qty IS NOT NULL'),
 ('l5s', 'm.s', 'm.t5', 'SELECT ''s'', id, qty * price FROM m.s WHERE price > 1', 'src = ''s'''),
 ('l5n', 'm.n', 'm.t5', 'SELECT ''n'', id, qty * price FROM m.n', 'src = ''n'''),
 ('l6', 'm.k', 'm.t6', 'SELECT a || ''/'' || b, -qty, lower(note) FROM m.k WHERE b % 3 > 0', 'true'),
 ('l7', 'm.p', 'm.t7', 'SELECT id, region, qty, note FROM m.p WHERE region <> ''us'' AND qty > 1', 'true'),
 ('l8', 'm.n', 'm.t8', 'SELECT id, qty FROM m.n WHERE note IS NOT NULL', 'true'),
 ('l10', 'm.d', 'm.t10', 'SELECT n::text, 100 / d, coalesce(v, left(w, 0)) FROM m.d WHERE d <> 0', 'true'),
 ('l9', 'm.k', 'm.t9', 'SELECT b * 2, upper(a), qty FROM m.k', 'true');

SELECT FROM tracksync.create_link('l1', 'm.s', 'm.t1', m.server(), filter => 'region = ''eu''');
SELECT FROM tracksync.create_link('l2', 'm.s', 'm.t2', m.server(), filter => 'qty > 2',
  columns => '{"id": "id", "total": "qty * price", "label": "upper(note)", "one": "1", "big": "qty > 5"}');
SELECT FROM tracksync.create_link('l3a', 'm.s', 'm.t3', m.server(), filter => 'region = ''eu'' OR region IS NULL');
SELECT FROM tracksync.create_link('l3b', 'm.s', 'm.t3', m.server(), filter => 'region = ''us''', initial => 'mirror');
SELECT FROM tracksync.create_link('l4a', 'm.n', 'm.t4', m.server(), filter => 'region = ''eu''');
SELECT FROM tracksync.create_link('l4b', 'm.n', 'm.t4', m.server(), filter => 'region = ''us'' AND qty IS NOT NULL');
SELECT FROM tracksync.create_link('l5s', 'm.s', 'm.t5', m.server(), filter => 'price > 1', target_filter => 'src = ''s''',
  columns => '{"src": "''s''", "id": "id", "total": "qty * price"}');
SELECT FROM tracksync.create_link('l5n', 'm.n', 'm.t5', m.server(), columns => '{"src": "''n''", "id": "id", "total": "qty * price"}', target_filter => 'src = ''n''');
SELECT FROM tracksync.create_link('l6', 'm.k', 'm.t6', m.server(), filter => 'b % 3 > 0', columns => '{"k": "a || ''/'' || b::text", "q": "-qty", "note": "lower(note)"}');
SELECT FROM tracksync.create_link('l7', 'm.p', 'm.t7', m.server(), filter => 'region <> ''us'' AND qty > 1');
SELECT FROM tracksync.create_link('l8', 'm.n', 'm.t8', m.server(), filter => 'note IS NOT NULL');
SELECT FROM tracksync.create_link('l9', 'm.k', 'm.t9', m.server(), columns => '{"id": "b * 2", "code": "upper(a)", "qty": "qty"}');
SELECT FROM tracksync.create_link('l10', 'm.d', 'm.t10', m.server(), filter => 'd <> 0', columns => '{"k": "n::text", "part": "100 / d", "v": "coalesce(v, left(w, 0))"}');

CREATE FUNCTION m.r(n int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT floor(random() * n)::int';
CREATE FUNCTION m.pick(VARIADIC a text[]) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT a[1 + floor(random() * cardinality(a))::int]';

CREATE FUNCTION m.dml_d() RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT format(m.pick('INSERT INTO m.d VALUES (%1$s%2$s, %3$s, %4$s, %5$L) ON CONFLICT DO NOTHING', 'UPDATE m.d SET n = %1$s%2$s, d = %3$s WHERE n = %1$s',
                       'UPDATE m.d SET n = %1$s%2$s WHERE n = %1$s', 'UPDATE m.d SET d = %3$s WHERE n = %1$s', 'UPDATE m.d SET v = %4$s, w = %5$L WHERE n = %1$s',
                       'DELETE FROM m.d WHERE n = %1$s', 'UPDATE m.d SET n = %6$s%2$s WHERE n = %1$s',
                       'WITH g AS (DELETE FROM m.d WHERE n = %1$s RETURNING *) INSERT INTO m.d SELECT %1$s%2$s, d, v, w FROM g'),
                m.r(9), m.pick('', '.0', '.00'), m.pick('0', '1', '7', 'NULL'), m.pick('NULL', quote_literal('v'), quote_literal('V')), m.pick('w', 'W'), m.r(9))
$$;
CREATE FUNCTION m.dml(note text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  tab text := m.pick('s', 's', 's', 'n', 'n', 'p', 'k');
  id text := m.r(25);
  w text := CASE tab WHEN 'k' THEN format('b = %s', id) ELSE format('id = %s', id) END;
  region text := m.pick('''eu''', '''us''', '''asia''', CASE tab WHEN 'p' THEN '''eu''' ELSE 'NULL' END);
  name text := CASE tab WHEN 's' THEN note ELSE 'note' END;
BEGIN
  IF random() < 0.1 THEN RETURN m.dml_d(); END IF;
  IF random() < 0.2 THEN w := format('%s %% 4 = %s', CASE tab WHEN 'k' THEN 'b' ELSE 'id' END, m.r(4)); END IF;
  CASE m.r(12)
  WHEN 0, 1, 2 THEN
    IF tab = 'k' THEN
      RETURN format('INSERT INTO m.k VALUES (%L, %s, %s, %L) ON CONFLICT DO NOTHING', m.pick('x', 'y'), id, m.r(9), m.pick('Note', 'nOTE'));
    END IF;
    RETURN format('INSERT INTO m.%s (id, region, qty, %I) VALUES (%s, %s, %s, %L) ON CONFLICT DO NOTHING', tab, name, id, region, m.pick('NULL', '1', '3', '8'),
                  m.pick('a', 'A', NULL));
  WHEN 3, 4 THEN
    IF tab = 'k' THEN RETURN format('UPDATE m.k SET a = CASE a WHEN ''x'' THEN ''z'' ELSE a || %L END WHERE %s', m.pick('', 'x'), w); END IF;
    RETURN format('UPDATE m.%s SET region = %s%s WHERE %s', tab, region, m.pick('', ', qty = coalesce(qty, 0) + 1'), w);
  WHEN 5, 6 THEN RETURN format('UPDATE m.%s SET qty = %s WHERE %s', tab, m.pick('qty + 1', '0', 'NULL', '4', 'qty'), w);
  WHEN 7 THEN
    IF tab IN ('s', 'n') THEN RETURN format('UPDATE m.%s SET price = %s WHERE %s', tab, m.pick('1.5', '1.50', 'NULL', 'price + 1', '0.5'), w); END IF;
    RETURN format('UPDATE m.%s SET note = upper(note) WHERE %s', tab, w);
  WHEN 8 THEN RETURN format('UPDATE m.%s SET %I = %s WHERE %s', tab, name, m.pick('NULL', '''a''', '''A''', format('upper(%I)', name)), w);
  WHEN 9 THEN RETURN format('DELETE FROM m.%s WHERE %s', tab, w);
  WHEN 10 THEN
    IF tab = 'k' THEN RETURN format('UPDATE m.k SET b = b + %s WHERE b = %s', m.pick('1', '3', '100', '-100'), id); END IF;
    RETURN format('UPDATE m.%s SET id = id + %s%s WHERE id = %s', tab, m.pick('1', '100', '-100'), m.pick('', ', region = ''eu''', ', region = ''us'''), id);
  ELSE
    IF random() < 0.15 THEN RETURN 'TRUNCATE m.' || tab; END IF;
    RETURN format('WITH gone AS (DELETE FROM m.%1$s WHERE %2$s RETURNING *) INSERT INTO m.%1$s SELECT * FROM gone', tab, w);
  END CASE;
END $$;

CREATE FUNCTION m.note_name() RETURNS text LANGUAGE sql STABLE AS
$$ SELECT attname::text FROM pg_attribute WHERE attrelid = 'm.s'::regclass AND attnum = 6 $$;

-- Rows that are on one side only, or more often there.
CREATE FUNCTION m.differs(link m.link) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
  EXECUTE format('WITH s AS (SELECT row(x.*)::text FROM (%s) x), t AS (SELECT row(x.*)::text FROM %s x WHERE %s) '
                 'SELECT count(*) FROM ((TABLE s EXCEPT ALL TABLE t) UNION ALL (TABLE t EXCEPT ALL TABLE s)) d',
                 replace(link.rows, '(note)', format('(%I)', CASE link.s WHEN 'm.s' THEN m.note_name() ELSE 'note' END)), link.t, link.own) INTO n;
  RETURN n;
END $$;

CREATE PROCEDURE m.run(seed float8, rounds int, sabotage boolean = false) LANGUAGE plpgsql AS $$
DECLARE
  x m.link;
  q text;
  said text;
  filters text[] := '{region = ''eu'',qty > 1,region = ''us'' OR note IS NULL,true}';
BEGIN
  PERFORM setseed(seed);
  FOR i IN 1 .. rounds LOOP
    FOR j IN 1 .. 1 + m.r(6) LOOP
      q := m.dml(m.note_name());
      BEGIN
        EXECUTE q;
        said := 'done';
      EXCEPTION WHEN unique_violation OR check_violation THEN said := SQLERRM;
      END;
      INSERT INTO m.trace (sql, result) VALUES (q, said);
      IF random() < 0.3 THEN COMMIT; END IF;
    END LOOP;
    IF random() < 0.05 THEN
      q := format('ALTER TABLE m.s RENAME COLUMN %I TO %I', m.note_name(), m.pick('note', 'N''ote', 'label'));
      IF NOT q LIKE format('%%RENAME COLUMN %I TO %I', m.note_name(), m.note_name()) THEN
        EXECUTE q;
        INSERT INTO m.trace (sql) VALUES (q);
      END IF;
    END IF;
    -- rewritten without an event: rows enter and leave filters
    IF random() < 0.04 THEN
      q := m.pick('ALTER TABLE m.n ALTER qty TYPE int USING nullif(qty - 1, 0)', 'ALTER TABLE m.n ALTER region TYPE text USING CASE region WHEN ''eu'' THEN ''us'' ELSE region END',
                  'ALTER TABLE m.d ALTER d TYPE int USING 1 - d');
      EXECUTE q;
      INSERT INTO m.trace (sql) VALUES (q);
    END IF;
    -- another filter: the rows that left it go, those that entered it come
    IF random() < 0.06 THEN
      q := replace(filters[1 + m.r(4)], 'note', quote_ident(m.note_name()));
      PERFORM tracksync.alter_link('l1', filter => q);
      UPDATE m.link SET rows = 'SELECT * FROM m.s WHERE ' || regexp_replace(q, '("N''ote"|label|note)', '(note)') WHERE l = 'l1';
      INSERT INTO m.trace (sql) VALUES ('filter of l1: ' || q);
    END IF;
    COMMIT;
    FOR x IN SELECT * FROM m.link ORDER BY l LOOP
      CONTINUE WHEN random() < 0.6;
      q := format('push of %s', x.l);
      SELECT q || ': ' || coalesce(string_agg(kind || ' ' || rows, ', '), 'nothing') INTO q FROM tracksync.push(x.l);
      INSERT INTO m.trace (sql) VALUES (q);
      COMMIT;
      IF sabotage THEN
        EXECUTE format('DELETE FROM %s WHERE (%s) AND ctid = (SELECT min(ctid) FROM %1$s WHERE %2$s)', x.t, x.own);
        COMMIT;
      END IF;
      SELECT * INTO x FROM m.link WHERE l = x.l;
      IF m.differs(x) <> 0 THEN
        RAISE EXCEPTION 'link %: % rows differ after a push', x.l, m.differs(x);
      END IF;
      IF random() < 0.3 AND EXISTS (SELECT FROM tracksync.plan(x.l)) THEN
        RAISE EXCEPTION 'link %: there is a plan after a push, rows differ after a push', x.l;
      END IF;
      COMMIT;
    END LOOP;
  END LOOP;
END $$;
