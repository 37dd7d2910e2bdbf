-- A source whose columns are of other types than those of its two targets: of the link "strict", which refuses what does not fit, and of
-- "lossy", which rounds and cuts. Random values, most of which fit. What each target must hold is modelled by SQL: a value is assigned to a
-- column of the target's type, and cast back. Rows with a value that is not held wait in quarantine, and the target has them as they were.
-- With the setting oracle.server the targets are reached through that server, which is this database.
CREATE EXTENSION IF NOT EXISTS tracksync;
CREATE SCHEMA ca;
CREATE FUNCTION ca.server() RETURNS name LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('oracle.server', true), '')::name $$;
CREATE FUNCTION ca.r(n int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT floor(random() * n)::int';
CREATE FUNCTION ca.digits(n int) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT round((random() * 10 ^ ca.r(6) - 50)::numeric, n)::text $$;
CREATE TABLE ca.trace (i bigserial, sql text, result text);
CREATE TYPE ca.mood AS ENUM ('sad', 'ok', 'Sehr "gut"');
CREATE DOMAIN ca.tiny AS numeric(3,1);
-- via: how the value is brought to the target's type, %s the value (assignment does the rest); same: is v, which came out, the value x
CREATE TABLE ca.pair (i serial PRIMARY KEY, source text, target text, via text DEFAULT '%s', same text, good text[], odd text[]);
INSERT INTO ca.pair (source, target, via, same, good, odd) VALUES
  ('numeric', 'int', DEFAULT, 'v::numeric = x', '{1,2.0,-3.00}', '{0.5,NaN,1e10,2.5000001}'),
  ('numeric(12,4)', 'numeric(6,2)', DEFAULT, 'v = x', '{1,2.5000,-3.1200}', '{1.005,12345,0.0001}'),
  ('bigint', 'smallint', DEFAULT, 'v = x', '{1,-32768,32767}', '{32768,-9000000000}'),
  ('bigint', 'float8', DEFAULT, 'v::bigint = x', '{1,9007199254740992}', '{9007199254740993,-9007199254740995}'),
  ('float8', 'float4', DEFAULT, 'v::float8 = x', '{0.5,-0,NaN,Infinity,3}', '{0.1,1e300,3.3}'),
  ('float8', 'numeric', DEFAULT, 'v::float8 = x', '{0.5,-0,NaN,0.1}', '{0.30000000000000004,1.2345678901234567}'),
  ('numeric', 'ca.tiny', DEFAULT, 'v = x', '{1,99.9,-0.5}', '{100,0.25,NaN}'),
  ('int', 'bigint', DEFAULT, 'v = x', '{1,-2147483648}', '{5}'),
  ('text', 'varchar(4)', DEFAULT, 'v::text = x', '{abc,"",éé,abcd}', '{"abcd ",abcde,"a    "}'),
  ('text', 'char(4)', DEFAULT, 'v::text = x', '{abc,"",abcd}', '{"ab ",abcde}'),
  ('char(6)', 'varchar(4)', DEFAULT, 'v::char(6) = x', '{abc,"",abcd}', '{abcde}'),
  ('timestamp', 'timestamp(1)', DEFAULT, 'v = x', '{2024-01-01 10:00:00.5,infinity,2024-02-29}', '{2024-01-01 10:00:00.55,2024-01-01 23:59:59.99}'),
  ('timestamp', 'date', DEFAULT, 'v::timestamp = x', '{2024-01-01,-infinity}', '{2024-01-01 10:00}'),
  ('timestamptz', 'timestamp', DEFAULT, 'v::timestamptz = x', '{2024-01-01,2024-07-01 12:00+02}', '{2024-10-27 02:30+02,2024-10-27 02:30+01}'),
  ('interval', 'interval(0)', DEFAULT, 'v = x', '{1 day,-5 minutes}', '{0.5 seconds}'),
  ('uuid', 'text', DEFAULT, 'v::uuid = x', '{0e8f1c1a-8e1c-4a0e-8d34-0c5b0b7a4a11}', '{00000000-0000-0000-0000-000000000000}'),
  ('ca.mood', 'text', DEFAULT, 'v::ca.mood = x', '{sad,"Sehr \"gut\""}', '{ok}'),
  ('int[]', 'smallint[]', DEFAULT, 'v::int[] = x', '{"{1,2}","{}","{NULL}"}', '{"{1,70000}"}'),
  ('jsonb', 'text', DEFAULT, 'v::jsonb = x', E'{null,"{\\"a\\":1}"}', '{"\"x\""}'),
  ('text', 'int', '%s::int', 'true', '{1,-5,007," 8"}', '{x,"",1.5,3000000000}'),
  ('text', 'numeric(6,2)', '%s::numeric', 'v = x::numeric', '{1,2.50,-0003.1}', '{1.005,x,123456}'),
  ('text', 'float8', '%s::float8', 'v::text = x OR v::text::numeric = x::numeric', '{1,2.50,NaN,1e3}', '{x,0.12345678901234567890}'),
  ('text', 'date', '%s::date', 'v::timestamp = x::timestamp', '{2024-01-01,2024-2-1,infinity}', '{2024-01-01 10:00,2024-13-01,""}'),
  ('text', 'ca.mood', '%s::ca.mood', 'true', '{sad,ok}', '{OK,""}'),
  ('text', 'jsonb', '%s::jsonb', 'true', E'{null,"{\\"b\\":1,\\"a\\":[ ]}"}', '{"{",x}'),
  ('jsonb', 'int', '%s::text::int', 'v::text::jsonb = x', '{1,-7}', '{"\"1\"",null,1.5}'),
  ('int', 'boolean', '%s::text::boolean', 'v::int = x', '{0,1}', '{2,-1}'),
  ('point', 'text', DEFAULT, 'v = x::text', '{"(1,2)","(0.1,-0)"}', '{"(1e300,0)"}');
CREATE TABLE ca.memo (strict boolean, pair int, value text, held text, fits boolean, PRIMARY KEY (strict, pair, value));
CREATE TABLE ca.want (link text, id int, held text[], PRIMARY KEY (link, id));
DO $$ DECLARE s text; t text; BEGIN
  SELECT string_agg(format('c%s %s', i, source), ', ' ORDER BY i), string_agg(format('c%s %s', i, target), ', ' ORDER BY i DESC) INTO s, t FROM ca.pair;
  EXECUTE format('CREATE TABLE ca.s (id int PRIMARY KEY, %s)', s);
  EXECUTE format('CREATE TABLE ca.strict (%s, id int PRIMARY KEY); CREATE TABLE ca.lossy (LIKE ca.strict INCLUDING ALL)', t);
  FOR s, t IN SELECT i, target FROM ca.pair LOOP EXECUTE format('CREATE TABLE ca.one_%s (v %s)', s, t); END LOOP;
END $$;
-- what the target holds of a value, and whether it does
CREATE FUNCTION ca.model(strictly boolean, p ca.pair, x text) RETURNS ca.memo LANGUAGE plpgsql AS $$
DECLARE m ca.memo; same boolean;
BEGIN
  SELECT * INTO m FROM ca.memo WHERE strict = strictly AND pair = p.i AND value = x;
  IF FOUND THEN RETURN m; END IF;
  m := (strictly, p.i, x, NULL, true)::ca.memo;
  BEGIN
    EXECUTE format('TRUNCATE ca.one_%s', p.i);
    EXECUTE format('INSERT INTO ca.one_%s VALUES (%s)', p.i, format(p.via, format('%L::%s', x, p.source)));
    EXECUTE format('SELECT v::text FROM ca.one_%s', p.i) INTO m.held;
    BEGIN
      EXECUTE format('SELECT %s FROM ca.one_%s, (SELECT %L::%s AS x) y', p.same, p.i, x, p.source) INTO same;
    EXCEPTION WHEN OTHERS THEN same := false;
    END;
    m.fits := same OR NOT strictly;
  EXCEPTION WHEN OTHERS THEN m.fits := false;
  END;
  INSERT INTO ca.memo SELECT m.*;
  RETURN m;
END $$;
CREATE FUNCTION ca.value(p ca.pair, odd int) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE x text := p.good[1 + ca.r(cardinality(p.good))];
BEGIN
  IF ca.r(10) = 0 THEN RETURN NULL; END IF;
  IF ca.r(odd) = 0 THEN x := p.odd[1 + ca.r(cardinality(p.odd))]; END IF;
  IF ca.r(odd) = 0 AND p.source ~ '^numeric|^float' THEN x := ca.digits(ca.r(5)); END IF;
  IF ca.r(odd) = 0 AND p.source = 'text' THEN x := ca.digits(ca.r(5)); END IF;
  IF ca.r(odd) = 0 AND p.source = 'bigint' THEN x := ca.digits(0); END IF;
  RETURN x;
END $$;
CREATE FUNCTION ca.dml() RETURNS void LANGUAGE plpgsql AS $$
DECLARE k int := ca.r(40); q text;
BEGIN
  CASE ca.r(6)
    WHEN 0 THEN q := format('DELETE FROM ca.s WHERE id = %s', k);
    WHEN 1, 2 THEN SELECT format('INSERT INTO ca.s VALUES (%s, %s) ON CONFLICT DO NOTHING', k, string_agg(quote_nullable(ca.value(p, 60)), ', ' ORDER BY p.i)) INTO q FROM ca.pair p;
    ELSE SELECT format('UPDATE ca.s SET %s WHERE id = %s', string_agg(format('c%s = %s', p.i, quote_nullable(ca.value(p, 5))), ', '), k) INTO q
      FROM (SELECT * FROM ca.pair ORDER BY random() LIMIT 1 + ca.r(3)) p;
  END CASE;
  EXECUTE q;
  INSERT INTO ca.trace (sql) VALUES (q);
END $$;
CREATE FUNCTION ca.rows_of(t text) RETURNS TABLE (id int, held text[]) LANGUAGE plpgsql AS $$
DECLARE c text;
BEGIN
  SELECT string_agg(format('c%s::text', i), ', ' ORDER BY i) INTO c FROM ca.pair;
  RETURN QUERY EXECUTE format('SELECT id, ARRAY[%s] FROM ca.%I', c, t);
END $$;
-- what the link's target must hold now
CREATE FUNCTION ca.expect(l text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE row record; p ca.pair; m ca.memo; held text[]; fits boolean;
BEGIN
  DELETE FROM ca.want WHERE link = l AND id NOT IN (SELECT id FROM ca.s);
  FOR row IN SELECT * FROM ca.rows_of('s') LOOP
    held := '{}'; fits := true;
    FOR p IN SELECT * FROM ca.pair ORDER BY i LOOP
      IF row.held[p.i] IS NULL THEN held := held || NULL::text; CONTINUE; END IF;
      m := ca.model(l = 'strict', p, row.held[p.i]);
      held := held || m.held; fits := fits AND m.fits;
    END LOOP;
    IF fits THEN
      INSERT INTO ca.want VALUES (l, row.id, held) ON CONFLICT (link, id) DO UPDATE SET held = excluded.held;
    END IF;
  END LOOP;
END $$;
CREATE FUNCTION ca.differ(l text) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(format('row %s: %s, want %s', coalesce(t.id, w.id), t.held, w.held), '; ') FROM ca.rows_of(l) t
    FULL JOIN (SELECT * FROM ca.want WHERE link = l) w ON w.id = t.id WHERE t.held IS DISTINCT FROM w.held $$;
CREATE PROCEDURE ca.run(seed float8, rounds int, sabotage boolean) LANGUAGE plpgsql AS $$
DECLARE l text; problem text; n bigint; waiting bigint := 0; most bigint := 0;
BEGIN
  PERFORM setseed(seed);
  SET client_min_messages = warning;
  EXECUTE format('ALTER ROLE %I IN DATABASE %I SET TimeZone = %L', current_user, current_database(), CASE WHEN ca.server() IS NULL THEN 'Europe/Berlin' ELSE 'UTC' END);
  EXECUTE format('SET TimeZone = %L', CASE WHEN ca.server() IS NULL THEN 'Europe/Berlin' ELSE 'UTC' END);
  FOREACH l IN ARRAY '{strict,lossy}'::text[] LOOP
    PERFORM tracksync.create_link(l, 'ca.s', 'ca.' || l, ca.server(), on_cast => CASE l WHEN 'strict' THEN 'error' ELSE 'lossy' END, on_error => 'quarantine');
  END LOOP;
  COMMIT;
  FOR round IN 1 .. rounds LOOP
    FOR i IN 0 .. ca.r(12) LOOP PERFORM ca.dml(); END LOOP;
    COMMIT;
    l := (ARRAY['strict', 'lossy'])[1 + ca.r(2)];
    -- rows that came and went in between are as they are now
    PERFORM ca.expect(l);
    IF ca.r(4) = 0 THEN UPDATE tracksync.link SET state = 'resync' WHERE name = l AND state = 'active'; END IF;
    COMMIT;
    INSERT INTO ca.trace (sql, result) SELECT 'push ' || l, string_agg(format('%s%s', kind, rows), ' ' ORDER BY step) FROM tracksync.push(l);
    COMMIT;
    IF sabotage AND round > 5 THEN EXECUTE format('UPDATE ca.%I SET c1 = 99 WHERE id = (SELECT min(id) FROM ca.%1$I)', l); END IF;
    problem := ca.differ(l);
    IF problem IS NOT NULL THEN RAISE EXCEPTION '% and its source differ after a push: %', l, problem; END IF;
    SELECT count(*) INTO waiting FROM tracksync.quarantine WHERE link = l;
    most := greatest(most, waiting);
    -- a comparison finds nothing but what waits
    UPDATE tracksync.link SET state = 'resync' WHERE name = l;
    COMMIT;
    SELECT coalesce(sum(rows), 0) INTO n FROM tracksync.plan(l);
    IF n <> waiting THEN RAISE EXCEPTION '% and its source differ after a push: % rows to be written, % wait', l, n, waiting; END IF;
    COMMIT;
    UPDATE tracksync.link SET state = 'active' WHERE name = l;
    IF ca.r(20) = 0 THEN DELETE FROM ca.s WHERE id IN (SELECT (key ->> 'id')::int FROM tracksync.quarantine); END IF;
    COMMIT;
  END LOOP;
  SET client_min_messages = notice;
  RAISE NOTICE 'casts: % values, at most % rows waiting', (SELECT count(*) FROM ca.memo), most;
END $$;
