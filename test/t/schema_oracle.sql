-- Random ALTER TABLE and random rows on one source, and by hand on its two targets (one with a trigger, so that it is written by
-- statements), in savepoints of which some are rolled back; pushes at random moments. After each the mapped columns of the target
-- must be what so.expect() says (the source's, but for what was made different by hand), the target's own columns are untouched,
-- and all rows are the same. With the setting oracle.server the targets are reached through that server, which is this database.
CREATE EXTENSION IF NOT EXISTS tracksync;
CREATE SCHEMA so;
CREATE FUNCTION so.server() RETURNS name LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('oracle.server', true), '')::name $$;
CREATE SCHEMA so_a;
CREATE TABLE so.s (id int PRIMARY KEY, a text, b int, c numeric(8,2));
CREATE TABLE so.t (LIKE so.s INCLUDING ALL);
CREATE TABLE so.u (LIKE so.s INCLUDING ALL);
CREATE FUNCTION so.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER nothing BEFORE INSERT OR UPDATE ON so.u FOR EACH ROW EXECUTE FUNCTION so.nothing();
CREATE TABLE so.trace (i bigserial, sql text, result text);
-- the tables, which are renamed and moved
CREATE TABLE so.place (name text, rel regclass);
INSERT INTO so.place VALUES ('s', 'so.s'), ('t', 'so.t'), ('u', 'so.u');
-- the source's columns at a link's last push
CREATE TABLE so.state (link text, attnum int, name text, type text, nn boolean, def text);
-- columns of a target that were renamed by hand, or added as the source's; and the target's own columns
CREATE TABLE so.renamed (link text, old text, new text);
CREATE TABLE so.added (link text, name text);
CREATE TABLE so.own (link text, name text, def text);
CREATE TABLE so.want (link text, name text, type text, nn boolean, def text, loose text);

CREATE FUNCTION so.r(n int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT floor(random() * n)::int';
CREATE FUNCTION so.pick(VARIADIC a text[]) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT a[1 + floor(random() * cardinality(a))::int]';
CREATE FUNCTION so.rel(n text) RETURNS regclass LANGUAGE sql STABLE AS 'SELECT rel FROM so.place WHERE name = n';
-- names are quoted
CREATE FUNCTION so.cols(r regclass) RETURNS TABLE (attnum int, name text, type text, nn boolean, def text) LANGUAGE sql STABLE AS $$
  SELECT a.attnum, quote_ident(attname), format_type(atttypid, atttypmod) || CASE WHEN attcollation NOT IN (0, 100) THEN ' COLLATE ' || attcollation::regcollation ELSE '' END,
         attnotnull, nullif(pg_get_expr(adbin, adrelid), 'NULL::' || format_type(atttypid, -1))
  FROM pg_attribute a LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = a.attnum WHERE attrelid = r AND a.attnum > 0 AND NOT attisdropped $$;
-- a column that is not the key
CREATE FUNCTION so.col() RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT name FROM so.cols(so.rel('s')) WHERE attnum > 1 ORDER BY random() LIMIT 1 $$;
CREATE FUNCTION so.type() RETURNS text LANGUAGE sql VOLATILE AS
  $$ SELECT so.pick('int', 'bigint', 'text', 'varchar(8)', 'varchar(3)', 'numeric(10,2)', 'numeric', 'float8', 'text COLLATE "C"', 'timestamptz', 'jsonb', 'int[]') $$;
-- an expression for a value of a column's type
CREATE FUNCTION so.val(c text, nulls boolean = true) RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT CASE WHEN nulls AND so.r(5) = 0 AND NOT attnotnull THEN 'NULL' ELSE CASE typcategory
    WHEN 'N' THEN so.r(50)::text WHEN 'S' THEN quote_literal(so.pick('x', 'yy', 'zzz', '')) WHEN 'D' THEN format('timestamptz ''2024-01-01'' + %s * interval ''1 hour''', so.r(99))
    WHEN 'A' THEN format('ARRAY[%s, %s]', so.r(9), so.r(9)) ELSE format('''{"k": %s}''', so.r(9)) END END
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE attrelid = so.rel('s') AND quote_ident(attname) = c $$;
-- a move of a table to another name, or schema, or of the schema
CREATE FUNCTION so.move(n text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  r text := so.rel(n)::text;
  a text := (SELECT nspname FROM pg_namespace WHERE nspname ~ '^so_');
BEGIN
  RETURN CASE so.r(3)
    WHEN 0 THEN format('ALTER TABLE %s RENAME TO %s%s', r, n, so.r(9))
    WHEN 1 THEN format('ALTER TABLE %s SET SCHEMA %s', r, so.pick('so', a))
    ELSE format('ALTER SCHEMA %s RENAME TO so_%s', a, so.pick('a', 'b', 'c')) END;
END $$;
CREATE FUNCTION so.ddl() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  s text := 'ALTER TABLE ' || so.rel('s')::text || ' ';
  c text := so.col();
  o text := so.col();
  n text := so.pick('a', 'b', 'c', 'd', 'e', '"F f"', 'g');
  t text := so.type();
BEGIN
  RETURN CASE so.r(16)
    WHEN 0 THEN s || format('ADD COLUMN %s %s', n, t)
    WHEN 1 THEN s || format('ADD COLUMN %s int DEFAULT %s', n, so.r(9))
    WHEN 2 THEN s || format('ADD COLUMN %s text NOT NULL DEFAULT md5(random()::text)', n)
    WHEN 3 THEN s || format('ADD COLUMN %s int NOT NULL DEFAULT 3', n)
    WHEN 4 THEN s || format('DROP COLUMN %s', c)
    WHEN 5 THEN s || format('RENAME COLUMN %s TO %s', c, n)
    WHEN 6 THEN s || format('RENAME COLUMN %s TO %s', c, n)
    WHEN 7 THEN s || format('ALTER COLUMN %s TYPE %s', c, t)
    WHEN 8 THEN s || format('ALTER COLUMN %s DROP DEFAULT, ALTER COLUMN %1$s TYPE %s USING %s', c, t, CASE WHEN t ~ '^(int|bigint|num|float)' AND t <> 'int[]' THEN 'id % 5'
      WHEN t ~ '^(text|varchar)' THEN '''v'' || id % 7' WHEN t = 'jsonb' THEN 'to_jsonb(id)' WHEN t = 'int[]' THEN 'ARRAY[id]' ELSE 'timestamptz ''2024-01-01'' + id * interval ''1 day''' END)
    WHEN 9 THEN s || format('ALTER COLUMN %s DROP NOT NULL', c)
    -- where rows allow, or after making them so
    WHEN 10 THEN CASE so.r(2) WHEN 0 THEN format('UPDATE %s SET %s = %s WHERE %2$s IS NULL; ', so.rel('s'), c, so.val(c, false)) ELSE '' END || s || format('ALTER COLUMN %s SET NOT NULL', c)
    WHEN 11 THEN s || format('ALTER COLUMN %s %s', c, 'DROP DEFAULT')
    WHEN 12 THEN s || format('ALTER COLUMN %s SET DEFAULT %s', c, so.val(c, false))
    -- two columns swap their names
    WHEN 13 THEN CASE WHEN c <> o THEN s || format('RENAME %s TO swap; ', c) || s || format('RENAME %s TO %s; ', o, c) || s || format('RENAME swap TO %s', o) ELSE 'SELECT 1' END
    -- the same name, another column
    WHEN 14 THEN s || format('DROP COLUMN %s, ADD COLUMN %1$s %s', c, t)
    ELSE so.move('s') END;
END $$;
CREATE FUNCTION so.dml() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  s text := so.rel('s')::text;
  c text := so.col();
BEGIN
  RETURN CASE so.r(5)
    WHEN 0 THEN format('DELETE FROM %s WHERE id = %s', s, so.r(40))
    WHEN 1 THEN format('INSERT INTO %s (id%s) SELECT i%s FROM generate_series(%s, %4$s + 2) i ON CONFLICT DO NOTHING', s, coalesce(', ' || c, ''), coalesce(', ' || so.val(c), ''), so.r(40))
    WHEN 2 THEN format('UPDATE %s SET id = id + 100 WHERE id = %s', s, so.r(40))
    ELSE CASE WHEN c IS NULL THEN 'SELECT 1' ELSE format('UPDATE %s SET %s = %s WHERE id %% 7 = %s', s, c, so.val(c), so.r(7)) END END;
END $$;
-- what somebody does to a target by hand
CREATE FUNCTION so.hand(l text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  t text := 'ALTER TABLE ' || so.rel(l)::text || ' ';
  c record;
  o record;
  x text := so.pick('x1', 'x2', 'x3');
BEGIN
  SELECT * INTO c FROM so.cols(so.rel(l)) WHERE attnum > 1 AND name !~ '^[xh]\d' ORDER BY random() LIMIT 1;
  SELECT * INTO o FROM so.cols(so.rel(l)) WHERE attnum <> c.attnum AND name !~ '^h\d' ORDER BY random() LIMIT 1;
  CASE so.r(13)
    -- columns of its own
    WHEN 0 THEN RETURN t || format('ADD COLUMN %s %s; INSERT INTO so.own VALUES (%L, %1$L, %4$L)', x,
      CASE x WHEN 'x1' THEN 'int' WHEN 'x2' THEN 'text DEFAULT ''own''' ELSE 'int NOT NULL DEFAULT 9' END, l, CASE x WHEN 'x1' THEN NULL WHEN 'x2' THEN 'own' ELSE '9' END);
    WHEN 1 THEN RETURN t || format('DROP COLUMN %s; DELETE FROM so.own WHERE link = %L AND name = %L', x, l, x);
    WHEN 2 THEN RETURN CASE so.r(3) WHEN 0 THEN format('CREATE INDEX ON %s (%s)', so.rel(l), c.name) WHEN 1 THEN format('CREATE INDEX ON %s (id) WHERE %s IS NOT NULL', so.rel(l), c.name)
      ELSE format('CREATE INDEX ON %s (%s, %s)', so.rel(l), c.name, o.name) END;
    WHEN 3 THEN RETURN t || format('ADD CHECK (%s)', CASE so.r(3) WHEN 0 THEN format('%s IS NULL OR %1$s IS NOT NULL', c.name) WHEN 1 THEN 'id > -1' ELSE format('%s IS NULL OR %s IS NOT NULL OR id > -1', c.name, o.name) END);
    -- on another server a target is what has its name
    WHEN 4 THEN RETURN CASE WHEN so.server() IS NULL THEN so.move(l) ELSE 'SELECT 1' END;
    WHEN 5 THEN
      x := 'h' || so.r(3);
      RETURN t || format('RENAME COLUMN %s TO %s; INSERT INTO so.renamed VALUES (%L, %1$L, %2$L)', c.name, x, l);
    -- as the source did, or another type that holds all its values
    WHEN 6 THEN RETURN t || format('ALTER COLUMN %s TYPE %s', c.name, CASE WHEN so.r(2) = 0 THEN 'text' WHEN c.type = 'integer' THEN 'bigint' WHEN c.type ~ '^numeric' THEN 'numeric' ELSE 'text' END);
    WHEN 7 THEN RETURN t || format('ALTER COLUMN %s SET DEFAULT %s', c.name, CASE WHEN c.type ~ '^(int|big|num|dou)' AND c.type !~ '\[' THEN '77' WHEN c.type ~ '^(text|char)' THEN '''hd''' WHEN c.type = 'jsonb' THEN '''[]''' WHEN c.type ~ '\[' THEN '''{}''' ELSE '''2024-02-02''' END);
    WHEN 8 THEN RETURN t || format('ALTER COLUMN %s DROP DEFAULT', c.name);
    WHEN 9 THEN RETURN t || format('ALTER COLUMN %s SET STATISTICS 50, ALTER COLUMN %1$s SET (n_distinct = 5)', c.name);
    WHEN 10 THEN RETURN t || format('ALTER COLUMN %s DROP NOT NULL', c.name);
    -- what the source did already
    WHEN 11 THEN
      SELECT n.* INTO c FROM so.cols(so.rel('s')) n WHERE NOT EXISTS (SELECT FROM so.state s WHERE s.link = l AND (s.attnum = n.attnum OR s.name = n.name)) LIMIT 1;
      RETURN CASE WHEN c.name IS NULL THEN 'SELECT 1' ELSE t || format('ADD COLUMN %s %s%s; INSERT INTO so.added VALUES (%L, %1$L)', c.name, c.type, ' DEFAULT ' || c.def, l) END;
    ELSE
      SELECT n.name AS new, s.name AS old INTO c FROM so.cols(so.rel('s')) n JOIN so.state s ON s.link = l AND s.attnum = n.attnum AND s.name <> n.name LIMIT 1;
      RETURN CASE WHEN c.new IS NULL THEN 'SELECT 1' ELSE t || format('RENAME COLUMN %s TO %s; INSERT INTO so.renamed VALUES (%L, %1$L, %2$L)', c.old, c.new, l) END;
  END CASE;
END $$;
CREATE FUNCTION so.category(t text) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT typcategory::text FROM pg_type WHERE oid = regexp_replace(t, ' COLLATE.*|\(.*\)', '')::regtype $$;
-- what a push is to make of the target's mapped columns. A column that was like its source at the last push becomes like it
-- again, each of type, nullability and default; one that was made different keeps what it has.
CREATE FUNCTION so.expect(l text) RETURNS void LANGUAGE sql VOLATILE AS $$
  DELETE FROM so.want WHERE link = l;
  INSERT INTO so.want
  SELECT l, i.name, CASE WHEN t.name IS NULL OR t.type = w.type THEN i.type ELSE t.type END,
         CASE WHEN t.name IS NULL OR t.nn = w.nn THEN i.nn ELSE t.nn END,
         CASE WHEN t.name IS NULL OR (w.attnum IS NOT NULL AND t.def IS NOT DISTINCT FROM w.def) THEN i.def ELSE t.def END,
         -- a default of the target's own whose column gets another type is converted, or goes where it cannot be
         CASE WHEN t.def IS DISTINCT FROM w.def AND t.type = w.type AND t.type <> i.type THEN
           CASE WHEN t.def IS NULL THEN 'none' WHEN so.category(i.type) IN ('S', so.category(t.type)) THEN 'kept' ELSE 'either' END END
  FROM so.cols(so.rel('s')) i
  LEFT JOIN (SELECT * FROM so.state WHERE link = l) w USING (attnum)
  LEFT JOIN so.cols(so.rel(l)) t ON CASE
    -- a column that came since: one that somebody added
    WHEN w.attnum IS NULL THEN t.name = i.name AND NOT EXISTS (SELECT FROM so.state WHERE link = l AND name = i.name)
    -- the others are followed by number, whatever somebody calls them
    ELSE t.attnum = (SELECT m.t FROM tracksync.link k, unnest(k.source_attnums, k.target_attnums) m(s, t) WHERE k.name = l AND m.s = i.attnum) END $$;
-- columns that somebody renamed get their source's names again
CREATE FUNCTION so.name_back(l text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  c record;
  found_any boolean := false;
BEGIN
  FOR c IN SELECT m.t AS given, i.name AS wanted FROM tracksync.link k, unnest(k.source_attnums, k.target_columns) m(s, t), so.cols(so.rel('s')) i
      WHERE k.name = l AND i.attnum = m.s AND quote_ident(m.t) <> i.name AND EXISTS (SELECT FROM so.renamed r WHERE r.link = l AND r.new = quote_ident(m.t)) AND NOT EXISTS (SELECT FROM so.cols(so.rel(l)) x WHERE x.name = i.name) LOOP
    EXECUTE format('ALTER TABLE %s RENAME COLUMN %I TO %s', so.rel(l), c.given, c.wanted);
    found_any := true;
  END LOOP;
  RETURN found_any;
END $$;
CREATE FUNCTION so.remember(l text) RETURNS void LANGUAGE sql VOLATILE AS $$
  DELETE FROM so.state WHERE link = l;
  INSERT INTO so.state SELECT l, * FROM so.cols(so.rel('s'));
  DELETE FROM so.added WHERE link = l AND name IN (SELECT name FROM so.cols(so.rel('s'))) $$;
CREATE FUNCTION so.differ(l text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  t regclass := so.rel(l);
  n bigint;
  w text; h text; sc text; tc text; bad text;
BEGIN
  SELECT string_agg(concat_ws(' ', name, type, nn, coalesce(loose, def)), ', ' ORDER BY name COLLATE "C"),
         string_agg(CASE WHEN type ~ 'COLLATE' THEN name ELSE format('%s::%s', name, type) END, ', ' ORDER BY name COLLATE "C"), string_agg(name, ', ' ORDER BY name COLLATE "C")
    INTO w, sc, tc FROM so.want WHERE link = l;
  SELECT string_agg(concat_ws(' ', c.name, c.type, c.nn, CASE WHEN loose = 'either' THEN loose WHEN loose IS NOT NULL THEN CASE WHEN c.def IS NULL THEN 'none' ELSE 'kept' END ELSE c.def END), ', ' ORDER BY c.name COLLATE "C")
    INTO h FROM so.cols(t) c LEFT JOIN so.want ON want.link = l AND want.name = c.name WHERE c.name !~ '^[xh]\d'
      AND NOT (want.name IS NULL AND EXISTS (SELECT FROM so.added a WHERE a.link = l AND a.name = c.name));
  IF w <> h THEN
    RETURN format('columns [%s] [%s]', w, h);
  END IF;
  EXECUTE format('SELECT (SELECT count(*) FROM (SELECT ROW(%1$s)::text FROM %3$s EXCEPT ALL SELECT ROW(%2$s)::text FROM %4$s) x) + '
                 '(SELECT count(*) FROM (SELECT ROW(%2$s)::text FROM %4$s EXCEPT ALL SELECT ROW(%1$s)::text FROM %3$s) y)', sc, tc, so.rel('s'), t) INTO n;
  IF n > 0 THEN
    RETURN n || ' rows';
  END IF;
  SELECT string_agg(o.name, ', ') INTO bad FROM so.own o WHERE link = l AND NOT EXISTS (SELECT FROM so.cols(t) c WHERE c.name = o.name);
  IF bad IS NOT NULL THEN
    RETURN 'the target''s own columns: missing ' || bad;
  END IF;
  SELECT string_agg(format('%s IS DISTINCT FROM %L', name, def), ' OR ') INTO bad FROM so.own WHERE link = l;
  EXECUTE format('SELECT count(*) FROM %s WHERE %s', t, coalesce(bad, 'false')) INTO n;
  RETURN CASE WHEN n > 0 THEN 'the target''s own columns: values' END;
END $$;
-- Takes away the cause of an error that is documented for it; NULL if there is none.
CREATE FUNCTION so.remedy(l text, state text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  t regclass := so.rel(l);
  q text;
BEGIN
  -- what is gone may be looked for in another column
  IF state IN ('42804', '42701') AND EXISTS (SELECT FROM so.renamed r WHERE link = l AND NOT EXISTS (SELECT FROM so.cols(t) c WHERE c.name = r.old)) THEN
    state := '42703';
  END IF;
  CASE state
    -- a mapped column of the target got another name
    WHEN '42703' THEN
      WITH back AS (DELETE FROM so.renamed r WHERE link = l AND EXISTS (SELECT FROM so.cols(t) c WHERE c.name = r.new) AND NOT EXISTS (SELECT FROM so.cols(t) c WHERE c.name = r.old)
        AND EXISTS (SELECT FROM so.state s JOIN so.cols(so.rel('s')) i USING (attnum) WHERE s.link = l AND s.name = r.old) RETURNING old, new)
      SELECT string_agg(DISTINCT format('ALTER TABLE %s RENAME COLUMN %s TO %s', t, new, old), '; ') INTO q FROM back;
    -- a column of the target's own has the name that the source's column got
    WHEN '42701' THEN
      SELECT string_agg(format('ALTER TABLE %s DROP COLUMN %s', t, c.name), '; ') INTO q FROM so.cols(t) c JOIN so.cols(so.rel('s')) i USING (name)
        JOIN so.state w ON w.link = l AND w.attnum = i.attnum AND w.name <> c.name WHERE NOT EXISTS (SELECT FROM so.state s WHERE s.link = l AND s.name = c.name);
    -- an index or a check on several columns
    WHEN '2BP01' THEN
      SELECT string_agg(CASE WHEN classid = 'pg_constraint'::regclass THEN format('ALTER TABLE %s DROP CONSTRAINT %I', t, (SELECT conname FROM pg_constraint WHERE oid = objid)) ELSE format('DROP INDEX %s', objid::regclass) END, '; ')
        INTO q FROM (SELECT classid, objid FROM pg_depend WHERE refclassid = 'pg_class'::regclass AND refobjid = t AND refobjsubid > 0
          AND (classid = 'pg_constraint'::regclass OR (classid = 'pg_class'::regclass AND objid IN (SELECT indexrelid FROM pg_index)))
          GROUP BY 1, 2 HAVING count(DISTINCT refobjsubid) > 1) d;
    -- the type given by hand does not take the source's values: one that does
    WHEN '42804', '22P02', '22000', '22003', '22007', '22008' THEN
      SELECT string_agg(format('ALTER TABLE %s ALTER COLUMN %s DROP DEFAULT, ALTER COLUMN %2$s TYPE text', t, c.name), '; ') INTO q
        FROM so.cols(t) c LEFT JOIN so.state s ON s.link = l AND s.name = c.name LEFT JOIN so.cols(so.rel('s')) i ON i.name = c.name
        WHERE c.type <> coalesce(s.type, i.type) AND c.type <> 'text' AND c.attnum > 1;
    -- a column renamed by hand, whose source is gone
    WHEN '23502' THEN
      SELECT string_agg(format('ALTER TABLE %s DROP COLUMN %s', t, name), '; ') INTO q FROM so.cols(t) WHERE name ~ '^h\d' AND nn;
    ELSE NULL;
  END CASE;
  IF q IS NOT NULL THEN
    RAISE DEBUG 'remedy: %', q;
    EXECUTE q;
    INSERT INTO so.trace (sql, result) VALUES (q, 'remedy for ' || state);
  END IF;
  RETURN q;
END $$;
-- how: push, dry (a dry run first), undo (a push that is rolled back first)
CREATE PROCEDURE so.push(l text, how text, sabotage boolean, INOUT problem text) LANGUAGE plpgsql AS $$
DECLARE
  d text; code text; msg text; remote boolean := so.server() IS NOT NULL;
BEGIN
  FOR try IN 1 .. 5 LOOP
    PERFORM so.expect(l);
    IF remote THEN COMMIT; END IF;
    code := NULL;
    BEGIN
      IF how = 'dry' THEN PERFORM tracksync.push(l, dry_run => true); END IF;
      IF how = 'undo' THEN
        BEGIN
          PERFORM tracksync.push(l);
          RAISE EXCEPTION 'undo' USING ERRCODE = 'UN001';
        EXCEPTION WHEN SQLSTATE 'UN001' THEN NULL;
        END;
      END IF;
      INSERT INTO so.trace (sql, result) SELECT how || ' ' || l, string_agg(kind || rows, ' ' ORDER BY step) FROM tracksync.push(l);
    EXCEPTION WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT;
      RAISE DEBUG '% %: % %', how, l, code, msg;
      INSERT INTO so.trace (sql, result) VALUES (how || ' ' || l, code || ' ' || msg);
    END;
    IF remote THEN COMMIT; END IF;
    EXIT WHEN code IS NULL;
    IF try = 5 OR so.remedy(l, code) IS NULL THEN
      problem := format('link %s: push failed without a cause that explains it: %s %s', l, code, msg);
      RETURN;
    END IF;
  END LOOP;
  IF so.name_back(l) THEN
    IF remote THEN COMMIT; END IF;
    BEGIN
      INSERT INTO so.trace (sql, result) SELECT 'names back, push ' || l, string_agg(kind || rows, ' ' ORDER BY step) FROM tracksync.push(l);
    EXCEPTION WHEN OTHERS THEN problem := format('link %s: names back, and the push failed: %s %s', l, SQLSTATE, SQLERRM);
    END;
    IF remote THEN COMMIT; END IF;
    IF problem IS NOT NULL THEN RETURN; END IF;
  END IF;
  IF sabotage THEN EXECUTE format('UPDATE %s SET id = id + 10000 WHERE id = (SELECT min(id) FROM %1$s)', so.rel(l)); END IF;
  d := so.differ(l);
  IF d IS NOT NULL THEN
    problem := format('link %s: %s differ after a push', l, d);
    RETURN;
  END IF;
  PERFORM so.remember(l);
END $$;
-- some statements, in savepoints within each other
CREATE FUNCTION so.act(depth int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  q text;
  undo boolean := so.r(6) = 0;
BEGIN
  FOR i IN 1 .. 1 + so.r(4) LOOP
    IF depth < 3 AND so.r(8) = 0 THEN
      PERFORM so.act(depth + 1);
      CONTINUE;
    END IF;
    q := CASE so.r(12) WHEN 0 THEN so.hand(so.pick('t', 'u')) WHEN 1 THEN so.ddl() WHEN 2 THEN so.ddl() WHEN 3 THEN so.ddl() WHEN 4 THEN so.ddl() ELSE so.dml() END;
    BEGIN
      RAISE DEBUG '%', q;
      EXECUTE q;
      INSERT INTO so.trace (sql, result) VALUES (q, 'ok');
    EXCEPTION WHEN OTHERS THEN
      INSERT INTO so.trace (sql, result) VALUES (q, SQLERRM);
    END;
  END LOOP;
  IF undo THEN RAISE EXCEPTION 'undo' USING ERRCODE = 'UN001'; END IF;
EXCEPTION WHEN SQLSTATE 'UN001' THEN
  INSERT INTO so.trace (sql) VALUES ('-- some statements, which were undone');
END $$;
CREATE PROCEDURE so.run(seed float8, rounds int, sabotage boolean) LANGUAGE plpgsql AS $$
DECLARE
  l text; pushes int := 0; problem text;
BEGIN
  PERFORM setseed(seed);
  INSERT INTO so.s SELECT i, 'a' || i, i, i FROM generate_series(1, 30) i;
  PERFORM tracksync.create_link('t', 'so.s', 'so.t', so.server()), tracksync.create_link('u', 'so.s', 'so.u', so.server());
  PERFORM so.remember('t'), so.remember('u');
  COMMIT;
  FOR round IN 1 .. rounds LOOP
    PERFORM so.act(0);
    IF so.r(2) = 0 THEN COMMIT; END IF;
    FOREACH l IN ARRAY ARRAY['t', 'u'] LOOP
      CONTINUE WHEN so.r(3) > 0;
      problem := NULL;
      CALL so.push(l, so.pick('push', 'push', 'push', 'push', 'push', 'push', 'dry', 'undo'), sabotage AND pushes > 5, problem);
      IF problem IS NOT NULL THEN
        COMMIT;
        RAISE EXCEPTION 'round %, %', round, problem;
      END IF;
      pushes := pushes + 1;
    END LOOP;
  END LOOP;
  RAISE NOTICE 'schema oracle: % statements, % pushes, remedies for: %', (SELECT count(*) FROM so.trace WHERE result = 'ok'), pushes,
    (SELECT string_agg(right(result, 5) || ' ' || n, ', ') FROM (SELECT result, count(*) AS n FROM so.trace WHERE result LIKE 'remedy%' GROUP BY 1) x);
END $$;
