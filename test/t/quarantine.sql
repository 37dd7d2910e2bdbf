-- Random rows in four tables with foreign keys in a circle, mirrored as a group with on_error => 'quarantine' onto targets that refuse rows
-- by rules that come and go: CHECK constraints, NOT NULL, unique indexes, triggers that refuse an operation, a foreign key to a table
-- outside of the push. Rows get better at the source, or the rules go. After each push all rows that are not in quarantine are the same on
-- both sides, and those in it are as the push found them, and there is a reason for each. When all rules are gone, one push brings all.
-- Some targets' rows are changed by hand while they wait: conflicts, and the source wins. (Not yet merge or a function: a decision that the
-- target refuses fails the push, and of what the target had before the row waited nothing is known.) No keys change: these may fail a push.
-- With the setting oracle.server the targets are reached through that server, which is this database; nothing there makes a circle wait
-- whose keys are not deferrable.
CREATE EXTENSION IF NOT EXISTS tracksync;
CREATE SCHEMA q; CREATE SCHEMA s; CREATE SCHEMA t;
CREATE FUNCTION q.server() RETURNS name LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('oracle.server', true), '')::name $$;
CREATE TABLE q.trace (i bigserial, sql text, result text);
CREATE TABLE q.ban (t text, op text, v int);
CREATE TABLE q.before (t text, key jsonb, j jsonb);
CREATE SEQUENCE q.fresh;
CREATE VIEW q.waiting AS SELECT link, key, op, sqlstate FROM tracksync.quarantine;
CREATE FUNCTION q.r(n int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT floor(random() * n)::int';
CREATE FUNCTION q.tables() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$ SELECT '{parent,child,self,plain}'::text[] $$;
CREATE FUNCTION q.make(n text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('SET LOCAL search_path = %I, public', n);
  CREATE TABLE parent (id int PRIMARY KEY, v int, u int, chief int);
  CREATE TABLE child (id int, n int, parent int REFERENCES parent ON DELETE CASCADE, v int, code int, PRIMARY KEY (id, n));
  CREATE TABLE self (id int PRIMARY KEY, boss int REFERENCES self ON DELETE SET NULL, parent int REFERENCES parent ON DELETE SET NULL, v int);
  EXECUTE 'ALTER TABLE parent ADD FOREIGN KEY (chief) REFERENCES self ON DELETE SET NULL ' || CASE WHEN q.server() IS NOT NULL AND n = 't' THEN 'DEFERRABLE' ELSE '' END;
  CREATE TABLE plain (id int PRIMARY KEY, v int, w int);
END $$;
SELECT q.make('s'), q.make('t');
CREATE TABLE t.code (code int PRIMARY KEY);
ALTER TABLE t.child ADD FOREIGN KEY (code) REFERENCES t.code;
CREATE FUNCTION q.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM q.ban b WHERE b.t = TG_TABLE_NAME AND b.op = TG_OP AND b.v = CASE TG_OP WHEN 'DELETE' THEN OLD.v ELSE NEW.v END) THEN
    RAISE EXCEPTION '% of % refused', TG_OP, TG_TABLE_NAME;
  END IF;
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON t.parent FOR EACH ROW EXECUTE FUNCTION q.refuse();
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON t.child FOR EACH ROW EXECUTE FUNCTION q.refuse();
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON t.self FOR EACH ROW EXECUTE FUNCTION q.refuse();
CREATE FUNCTION q.rows_of(n text, t text) RETURNS TABLE (key jsonb, j jsonb) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RETURN QUERY EXECUTE format('SELECT jsonb_build_object(''id'', id%s), to_jsonb(t) FROM %I.%I t', CASE t WHEN 'child' THEN ', ''n'', n' ELSE '' END, n, t);
END $$;
CREATE FUNCTION q.dml() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  x text := (q.tables())[1 + q.r(4)];
  a int := q.r(20); b int := q.r(20); c int := q.r(20); v int := q.r(7); m int := q.r(5);
  n text := CASE q.r(8) WHEN 0 THEN 'NULL' ELSE v::text END;
BEGIN
  RETURN CASE q.r(13)
    WHEN 0 THEN format('INSERT INTO s.parent VALUES (%s, %s, %s) ON CONFLICT DO NOTHING', a, n, c)
    WHEN 1 THEN format('INSERT INTO s.child VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING', a, q.r(3), b, n, CASE q.r(3) WHEN 0 THEN q.r(4)::text ELSE 'NULL' END)
    WHEN 2 THEN format('INSERT INTO s.self VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING', a, CASE q.r(3) WHEN 0 THEN 'NULL' ELSE b::text END, CASE q.r(2) WHEN 0 THEN 'NULL' ELSE c::text END, n)
    WHEN 3 THEN format('INSERT INTO s.plain SELECT i, %s, i FROM generate_series(%s, %s) i ON CONFLICT DO NOTHING', n, a, a + 5)
    WHEN 4 THEN format('DELETE FROM s.%I WHERE id = %s', x, a)
    WHEN 5 THEN format('DELETE FROM s.%I WHERE id %% 5 = %s', x, m)
    WHEN 6 THEN format('UPDATE s.%I SET v = %s WHERE id %% 5 = %s', x, n, m)
    WHEN 7 THEN format('UPDATE s.%I SET v = %s WHERE id = %s', x, n, a)
    WHEN 8 THEN format('UPDATE s.parent SET u = %s, chief = (SELECT min(id) FROM s.self WHERE id > %s) WHERE id %% 5 = %s', c, b, m)
    WHEN 9 THEN format('UPDATE s.child SET parent = (SELECT min(id) FROM s.parent WHERE id > %s), code = %s WHERE id %% 5 = %s', b, q.r(4), m)
    WHEN 10 THEN format('UPDATE s.self SET boss = (SELECT min(id) FROM s.self WHERE id > %s), parent = (SELECT max(id) FROM s.parent WHERE id < %s) WHERE id %% 5 = %s', b, c, m)
    WHEN 11 THEN format('DELETE FROM s.plain WHERE id = %s; INSERT INTO s.plain VALUES (%1$s, %s, %s)', a, n, b)
    -- a gap, and emptied: the push compares
    ELSE CASE q.r(6) WHEN 0 THEN format('ALTER TABLE s.%I DISABLE TRIGGER ALL; ALTER TABLE s.%1$I ENABLE TRIGGER ALL', x) WHEN 1 THEN 'TRUNCATE s.plain'
      ELSE format('UPDATE s.plain SET w = w + 1 WHERE id %% 5 = %s', m) END END;
END $$;
-- what the target's owner does about rules
CREATE FUNCTION q.rule() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  x text := (q.tables())[1 + q.r(4)]; v int := q.r(7);
BEGIN
  RETURN CASE q.r(11)
    WHEN 0 THEN format('ALTER TABLE t.%I ADD CONSTRAINT no%s CHECK (v <> %2$s) NOT VALID', x, v)
    WHEN 1 THEN format('ALTER TABLE t.%I ADD CONSTRAINT no%s CHECK (v <> %2$s) NOT VALID', x, v)
    WHEN 2 THEN format('ALTER TABLE t.%I DROP CONSTRAINT no%s', x, v)
    WHEN 3 THEN format('INSERT INTO q.ban VALUES (%L, %L, %s)', x, (ARRAY['INSERT', 'UPDATE', 'DELETE', 'DELETE'])[1 + q.r(4)], v)
    WHEN 4 THEN format('DELETE FROM q.ban WHERE v = %s', v)
    WHEN 5 THEN 'CREATE UNIQUE INDEX parent_u ON t.parent (u)'
    WHEN 6 THEN 'DROP INDEX t.parent_u'
    WHEN 7 THEN format('ALTER TABLE t.%I ALTER v SET NOT NULL', x)
    WHEN 8 THEN format('ALTER TABLE t.%I ALTER v DROP NOT NULL', x)
    WHEN 9 THEN format('INSERT INTO t.code VALUES (%s) ON CONFLICT DO NOTHING', q.r(4))
    ELSE format('DELETE FROM t.code WHERE code = %s', q.r(4)) END;
END $$;
-- somebody changes the target's row while the source's change waits
CREATE FUNCTION q.hand() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  w record; c text;
BEGIN
  SELECT link, key, op INTO w FROM q.waiting ORDER BY random() LIMIT 1;
  IF w IS NULL THEN RETURN 'SELECT 1'; END IF;
  c := format('id = %s', w.key -> 'id') || coalesce(format(' AND n = %s', w.key -> 'n'), '');
  IF w.link <> 'child' THEN c := format('id = %s', w.key -> 'id'); END IF;
  RETURN CASE q.r(4)
    -- what others refer to takes them along, or their references: nothing that the source undoes
    WHEN 0 THEN CASE WHEN w.link IN ('child', 'plain') THEN format('DELETE FROM t.%I WHERE %s', w.link, c) ELSE 'SELECT 1' END
    WHEN 1 THEN format('INSERT INTO t.%I (id%s, v) VALUES (%s, %s) ON CONFLICT DO NOTHING; UPDATE s.%1$I SET v = %s WHERE %s', w.link, CASE w.link WHEN 'child' THEN ', n' ELSE '' END, concat_ws(', ', w.key ->> 'id', w.key ->> 'n'), q.r(7), 100 + nextval('q.fresh'), c)
    -- what the source has not changed since is not a conflict, and stays: so it changes, too
    ELSE format('UPDATE t.%I SET v = %s WHERE %s; UPDATE s.%1$I SET v = %s WHERE %3$s', w.link, q.r(7), c, 100 + nextval('q.fresh')) END;
END $$;
CREATE FUNCTION q.try(q text, what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE q;
  INSERT INTO q.trace (sql, result) VALUES (q, what);
EXCEPTION WHEN OTHERS THEN
  IF SQLSTATE !~ '^(23|42|P0)' THEN RAISE; END IF;
  INSERT INTO q.trace (sql, result) VALUES (q, SQLSTATE);
END $$;
-- Is there a reason why the target cannot take the row? Of those it names, for one.
CREATE FUNCTION q.reason(l text, k jsonb, op text, state text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  src jsonb := (SELECT j FROM q.rows_of('s', l) WHERE key = k);
  tgt jsonb := (SELECT j FROM q.rows_of('t', l) WHERE key = k);
  val int := (CASE op WHEN 'DELETE' THEN tgt ELSE src END) ->> 'v';
BEGIN
  -- nothing is to be done about it
  IF src IS NOT DISTINCT FROM tgt THEN RETURN false; END IF;
  IF op <> (CASE WHEN tgt IS NULL THEN 'INSERT' WHEN src IS NULL THEN 'DELETE' ELSE 'UPDATE' END) THEN RETURN false; END IF;
  RETURN CASE state
    WHEN '23514' THEN op <> 'DELETE' AND EXISTS (SELECT FROM pg_constraint WHERE conrelid = ('t.' || l)::regclass AND conname = 'no' || val)
    WHEN '23502' THEN op <> 'DELETE' AND val IS NULL AND (SELECT attnotnull FROM pg_attribute WHERE attrelid = ('t.' || l)::regclass AND attname = 'v')
    WHEN 'P0001' THEN EXISTS (SELECT FROM q.ban b WHERE b.t = l AND b.op = reason.op AND b.v = val)
    WHEN '23505' THEN l = 'parent' AND EXISTS (SELECT FROM t.parent p WHERE p.u = (src ->> 'u')::int)
    -- what it refers to is not there, or it is referred to
    WHEN '23503' THEN CASE WHEN op = 'DELETE' THEN CASE l WHEN 'parent' THEN EXISTS (SELECT FROM t.child WHERE parent = (k ->> 'id')::int) OR EXISTS (SELECT FROM t.self WHERE parent = (k ->> 'id')::int)
        WHEN 'self' THEN EXISTS (SELECT FROM t.self WHERE boss = (k ->> 'id')::int) OR EXISTS (SELECT FROM t.parent WHERE chief = (k ->> 'id')::int) END
      ELSE CASE l WHEN 'parent' THEN NOT EXISTS (SELECT FROM t.self WHERE id = (src ->> 'chief')::int)
        WHEN 'child' THEN NOT EXISTS (SELECT FROM t.parent WHERE id = (src ->> 'parent')::int) OR NOT EXISTS (SELECT FROM t.code WHERE code = (src ->> 'code')::int)
        WHEN 'self' THEN NOT EXISTS (SELECT FROM t.parent WHERE id = (src ->> 'parent')::int) OR NOT EXISTS (SELECT FROM t.self WHERE id = (src ->> 'boss')::int) END END
    ELSE false END;
END $$;
CREATE FUNCTION q.differ(l text) RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT nullif(concat_ws('; ',
    (SELECT 'not in quarantine, but ' || string_agg(format('source %s target %s', s.j, t.j), ', ') FROM q.rows_of('s', l) s FULL JOIN q.rows_of('t', l) t USING (key)
      WHERE s.j IS DISTINCT FROM t.j AND key NOT IN (SELECT q.key FROM q.waiting q WHERE q.link = l)),
    (SELECT 'in quarantine, but ' || string_agg(format('%s was %s and is %s', q.key, b.j, t.j), ', ') FROM q.waiting q LEFT JOIN (SELECT * FROM q.before WHERE t = l) b USING (key) LEFT JOIN q.rows_of('t', l) t USING (key)
      WHERE q.link = l AND b.j IS DISTINCT FROM t.j)), '') $$;
CREATE FUNCTION q.unreasonable(l text) RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT 'no reason for quarantine: ' || string_agg(format('%s %s %s source %s target %s', q.key, q.op, q.sqlstate, s.j, t.j), ', ') FROM q.waiting q LEFT JOIN q.rows_of('s', l) s USING (key) LEFT JOIN q.rows_of('t', l) t USING (key)
    WHERE q.link = l AND NOT coalesce(q.reason(l, q.key, q.op, q.sqlstate), false) $$;
CREATE FUNCTION q.drop_rules() RETURNS void LANGUAGE plpgsql AS $$
DECLARE c record;
BEGIN
  DELETE FROM q.ban;
  DROP INDEX IF EXISTS t.parent_u;
  INSERT INTO t.code SELECT generate_series(0, 3) ON CONFLICT DO NOTHING;
  FOR c IN SELECT conrelid::regclass AS t, conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 't'::regnamespace LOOP
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.t, c.conname);
  END LOOP;
  FOR c IN SELECT x FROM unnest(q.tables()) x LOOP EXECUTE format('ALTER TABLE t.%I ALTER v DROP NOT NULL', c.x); END LOOP;
  INSERT INTO q.trace (sql) VALUES ('no rules');
END $$;
-- A reason may go within the push: a unique value that a row has whose turn comes later, a row that others refer to which was refused for
-- one of these. So where there is none the push is repeated, and there must be one the third time.
CREATE PROCEDURE q.push(name text, sabotage boolean) LANGUAGE plpgsql AS $$
DECLARE
  problem text; late text; l text; remote boolean := q.server() IS NOT NULL; links text[] := CASE name WHEN 'g' THEN q.tables() ELSE ARRAY[name] END;
BEGIN
  PERFORM set_config('tracksync.batch_rows', CASE q.r(3) WHEN 0 THEN (1 + q.r(5))::text ELSE '1000' END, false);
  FOR try IN 1 .. 3 LOOP
    DELETE FROM q.before;
    INSERT INTO q.before SELECT x, r.* FROM unnest(q.tables()) x, q.rows_of('t', x) r;
    IF remote THEN COMMIT; END IF;
    BEGIN
      IF q.r(8) = 0 THEN PERFORM tracksync.push(name, dry_run => true); END IF;
      IF q.r(8) = 0 THEN
        BEGIN
          PERFORM tracksync.push(name);
          RAISE EXCEPTION 'undo' USING ERRCODE = 'UN001';
        EXCEPTION WHEN SQLSTATE 'UN001' THEN NULL;
        END;
      END IF;
      INSERT INTO q.trace (sql, result) SELECT 'push ' || name, string_agg(format('%s %s%s', link, kind, rows), ' ' ORDER BY step) FROM tracksync.push(name);
      INSERT INTO q.trace (sql, result) SELECT 'waiting', string_agg(format('%s %s %s %s', link, key, op, sqlstate), ', ') FROM tracksync.quarantine;
    EXCEPTION WHEN OTHERS THEN problem := format('and its source differ after a push that failed: %s %s', SQLSTATE, SQLERRM);
    END;
    IF remote THEN COMMIT; END IF;
    IF sabotage THEN UPDATE t.plain SET w = coalesce(w, 0) + 1 WHERE id = (SELECT min((key ->> 'id')::int) FROM q.rows_of('t', 'plain') WHERE key NOT IN (SELECT key FROM q.waiting WHERE link = 'plain')); END IF;
    late := NULL;
    FOREACH l IN ARRAY links LOOP
      problem := coalesce(problem, l || ' and its source differ after a push: ' || q.differ(l));
      late := coalesce(late, l || ' and its source differ after a push: ' || q.unreasonable(l));
    END LOOP;
    EXIT WHEN problem IS NOT NULL OR late IS NULL;
  END LOOP;
  IF problem IS NOT NULL OR late IS NOT NULL THEN
    COMMIT;
    RAISE EXCEPTION '%: %', name, coalesce(problem, late);
  END IF;
END $$;
CREATE PROCEDURE q.run(seed float8, rounds int, sabotage boolean) LANGUAGE plpgsql AS $$
DECLARE
  pushes int := 0; most bigint := 0; by_hand boolean; conflicts text;
BEGIN
  PERFORM setseed(seed);
  by_hand := q.r(3) > 0;
  SET client_min_messages = warning;
  PERFORM tracksync.create_link(x, ('s.' || x)::regclass, 't.' || x, q.server(), initial => 'mirror', on_error => 'quarantine', on_conflict => CASE WHEN by_hand THEN 'source_wins' ELSE 'error' END) FROM unnest(q.tables()) x;
  PERFORM tracksync.create_group('g', q.tables());
  INSERT INTO t.code VALUES (0), (1);
  INSERT INTO s.parent SELECT i, i % 7, i FROM generate_series(0, 14) i;
  INSERT INTO s.self SELECT i, i / 2, i, (i + 3) % 7 FROM generate_series(0, 12) i;
  INSERT INTO s.child SELECT i, i % 3, i * 7 % 15, i % 5, CASE WHEN i % 3 = 0 THEN i % 4 END FROM generate_series(0, 19) i;
  COMMIT;
  FOR round IN 1 .. rounds LOOP
    FOR i IN 0 .. q.r(6) LOOP PERFORM q.try(q.dml(), 'ok'); END LOOP;
    FOR i IN 1 .. q.r(3) LOOP PERFORM q.try(q.rule(), 'rule'); END LOOP;
    IF by_hand AND q.r(3) = 0 THEN PERFORM q.try(q.hand(), 'by hand'); END IF;
    IF q.r(10) = 0 THEN PERFORM tracksync.release((q.tables())[1 + q.r(4)]); END IF;
    IF q.r(2) = 0 THEN COMMIT; END IF;
    CASE q.r(4) WHEN 0 THEN CALL q.push((ARRAY['child', 'plain'])[1 + q.r(2)], sabotage AND pushes > 5); WHEN 1 THEN CONTINUE; ELSE CALL q.push('g', sabotage AND pushes > 5); END CASE;
    pushes := pushes + 1; most := greatest(most, (SELECT count(*) FROM tracksync.quarantine));
    IF q.r(15) = 0 OR round = rounds THEN
      PERFORM q.drop_rules();
      CALL q.push('g', false);
      IF EXISTS (SELECT FROM tracksync.quarantine) THEN RAISE EXCEPTION 'without rules quarantine and nothing differ after a push'; END IF;
      COMMIT;
    END IF;
  END LOOP;
  SET client_min_messages = notice;
  RAISE NOTICE 'quarantine: % pushes, at most % rows waiting; %', pushes, most, (SELECT string_agg(kind || ' ' || n, ', ') FROM (SELECT kind, count(*) AS n FROM tracksync.conflict GROUP BY 1) x);
END $$;
