-- Random inserts, updates and deletes of the same few keys on a source and on a target per policy, pushes at random moments, and a model
-- of what each policy makes of each row, from the source's row at the last push (base), its row now and the target's. Three kinds of pushes:
--   exact  nobody else writes
--   held   another session has written the target and commits while the push waits for it (writer): the model knows what it wrote
--   storm  other sessions write the target all the time (storm). Triggers tell what each write of the push overwrote, and the model what it
--          should have made of that; of the rest there must be a moment when it was right to do nothing. Or there are no triggers, rows are
--          written directly, and just no row may be half written: c + d is 0 in every row that anybody writes.
-- With the setting oracle.server the targets are reached through that server, which is this database.
CREATE EXTENSION IF NOT EXISTS tracksync;
CREATE SCHEMA po;
CREATE FUNCTION po.server() RETURNS name LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('oracle.server', true), '')::name $$;
-- who writes: the others say so
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET po.who = push', current_database()); END $$;
CREATE TABLE po.trace (i bigserial, sql text, result text);
CREATE TABLE po.s (id int PRIMARY KEY, a int, b int, c int NOT NULL, d int NOT NULL, v text);
CREATE TABLE po.base (link text, id int, j jsonb, PRIMARY KEY (link, id));
CREATE TABLE po.rule (name text PRIMARY KEY, rule text);
CREATE TABLE po.asked (kind text, key jsonb, old jsonb, source jsonb, target jsonb);
-- what the writer saw last, and what it is to do: n statements, then wait, then commit
CREATE TABLE po.seen (id int, j jsonb);
CREATE TABLE po.job (id serial PRIMARY KEY, link text, seed float8, n int, wait float8, done boolean DEFAULT false);
CREATE TABLE po.weather (storm boolean); INSERT INTO po.weather VALUES (false);
CREATE TABLE po.audit (i bigserial, link text, id int, old jsonb, new jsonb, who text);
CREATE TABLE po.want (id int, base jsonb, source jsonb, target jsonb, op text, kind text, resolution text, carried jsonb, result jsonb);
CREATE FUNCTION po.r(n int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT floor(random() * n)::int';
CREATE FUNCTION po.links() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$ SELECT '{error,source_wins,target_wins,merge,function}'::text[] $$;
CREATE FUNCTION po.audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO po.audit (link, id, old, new, who) VALUES (TG_TABLE_NAME, coalesce(NEW.id, OLD.id), to_jsonb(OLD), to_jsonb(NEW), current_setting('po.who'));
  RETURN NULL;
END $$;
DO $$ DECLARE l text; BEGIN
  FOREACH l IN ARRAY po.links() LOOP EXECUTE format('CREATE TABLE po.%I (LIKE po.s INCLUDING ALL, own text)', l); END LOOP;
END $$;
-- what the policy "function" says, of some keys: nothing, the source's row, parts of both, a part of a row
CREATE FUNCTION po.ruling(kind text, key jsonb, source jsonb, target jsonb) RETURNS jsonb LANGUAGE sql AS $$
  SELECT CASE (key ->> 'id')::int % 4 WHEN 0 THEN NULL WHEN 1 THEN coalesce(source, target) WHEN 2 THEN coalesce(target, source) || jsonb_build_object('a', source -> 'a', 'v', kind)
    ELSE key || '{"a": 7, "c": 1, "d": -1}' END $$;
CREATE FUNCTION po.decide(kind text, key jsonb, old jsonb, source jsonb, target jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO po.asked VALUES (kind, key, old, source, target);
  -- time for others
  IF random() < (CASE kind WHEN 'update_missing' THEN 0.9 ELSE 0.2 END) THEN PERFORM pg_sleep(0.003); END IF;
  RETURN po.ruling(kind, key, source, target);
END $$;
-- a column's value as both sides changed it; NULL: no rule
CREATE FUNCTION po.clash(name text, o jsonb, s jsonb, t jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE how text := (SELECT rule FROM po.rule r WHERE r.name = clash.name);
BEGIN
  IF how IN ('source', 'target') THEN RETURN CASE how WHEN 'source' THEN s ELSE t END; END IF;
  IF clash.name = 'v' THEN
    RETURN CASE how WHEN 'greatest' THEN coalesce(to_jsonb(greatest(s #>> '{}', t #>> '{}')), 'null') WHEN 'least' THEN coalesce(to_jsonb(least(s #>> '{}', t #>> '{}')), 'null') END;
  END IF;
  RETURN CASE how WHEN 'greatest' THEN coalesce(to_jsonb(greatest((s #>> '{}')::int, (t #>> '{}')::int)), 'null') WHEN 'least' THEN coalesce(to_jsonb(least((s #>> '{}')::int, (t #>> '{}')::int)), 'null')
    WHEN 'add' THEN coalesce(to_jsonb((t #>> '{}')::int + (s #>> '{}')::int - coalesce((o #>> '{}')::int, 0)), 'null') END;
END $$;
-- What a push makes of one row of the target. kind: of the conflict; resolution: 'error' if it fails the push.
CREATE FUNCTION po.model(l text, b jsonb, s jsonb, t jsonb, OUT op text, OUT kind text, OUT resolution text, OUT carried jsonb, OUT result jsonb) LANGUAGE plpgsql STABLE AS $$
DECLARE
  mine jsonb := t - 'own';
  was jsonb; written jsonb; ruled jsonb;
  blank jsonb := '{"id": null, "a": null, "b": null, "c": null, "d": null, "v": null, "own": null}';
BEGIN
  result := t;
  IF b IS NOT DISTINCT FROM s THEN RETURN; END IF;
  op := CASE WHEN b IS NULL THEN 'INSERT' WHEN s IS NULL THEN 'DELETE' ELSE 'UPDATE' END;
  -- the columns that the source changed: their values before, and now
  SELECT jsonb_object_agg(e.key, b -> e.key), jsonb_object_agg(e.key, e.value) INTO was, carried FROM jsonb_each(s) e WHERE b IS NULL OR b -> e.key <> e.value;
  CASE op
    WHEN 'INSERT' THEN
      IF t IS NULL THEN result := blank || s; RETURN; END IF;
      IF mine = s THEN RETURN; END IF;
      kind := 'insert_exists'; written := t || s;
    WHEN 'UPDATE' THEN
      IF mine @> carried THEN RETURN; END IF;
      IF mine @> was THEN result := t || carried; RETURN; END IF;
      kind := CASE WHEN t IS NULL THEN 'update_missing' ELSE 'update_differs' END; written := CASE WHEN t IS NULL THEN blank || s ELSE t || carried END;
    ELSE
      IF t IS NULL AND l = 'error' THEN kind := 'delete_missing'; resolution := 'error'; END IF;
      IF t IS NULL THEN RETURN; END IF;
      IF mine = b THEN result := NULL; RETURN; END IF;
      kind := 'delete_differs';
  END CASE;
  resolution := l;
  CASE l
    WHEN 'error' THEN resolution := 'error';
    WHEN 'source_wins' THEN result := written;
    WHEN 'target_wins' THEN NULL;
    WHEN 'merge' THEN
      SELECT jsonb_object_agg(x.key, x.value) INTO ruled FROM (SELECT e.key, CASE WHEN e.value = t -> e.key THEN e.value WHEN b -> e.key = t -> e.key THEN e.value ELSE po.clash(e.key, b -> e.key, e.value, t -> e.key) END AS value
        FROM jsonb_each(carried) e) x HAVING bool_and(x.value IS NOT NULL);
      IF t IS NULL OR s IS NULL OR ruled IS NULL THEN resolution := 'error'; END IF;
      result := t || ruled;
    WHEN 'function' THEN
      ruled := po.ruling(kind, jsonb_build_object('id', coalesce(s, b) -> 'id'), s, t);
      carried := s;
      IF ruled IS NULL THEN resolution := 'function: target left alone'; ELSE result := coalesce(t, blank) || (ruled - 'own'); END IF;
  END CASE;
  IF l <> 'function' AND op = 'UPDATE' THEN carried := carried || jsonb_build_object('id', s -> 'id'); END IF;
END $$;
-- A statement of somebody's who writes; small: one row. Each column alone, but c and d together; a row as the source has it.
CREATE FUNCTION po.dml(t text, small boolean, present boolean DEFAULT false) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  k text := '(' || CASE WHEN small THEN 1 ELSE 1 + po.r(2) END || ' + ' || po.r(14) || ')';
  w text := CASE WHEN small OR po.r(3) > 0 THEN 'id = ' || k ELSE 'id % 4 = ' || po.r(4) END;
  n text := CASE po.r(9) WHEN 0 THEN 'NULL' ELSE po.r(3)::text END;
BEGIN
  RETURN CASE po.r(9)
    WHEN 0 THEN format('DELETE FROM po.%I WHERE %s', t, w)
    WHEN 1 THEN format('INSERT INTO po.%I SELECT %s, %s, %s, x, -x, %L FROM (SELECT %s AS x) x %s ON CONFLICT DO NOTHING', t, k, n, po.r(3), 'v' || po.r(3), po.r(3),
      CASE WHEN present THEN format('WHERE NOT EXISTS (SELECT FROM po.base WHERE link = %L AND id = %s)', t, k) ELSE '' END)
    WHEN 2 THEN format('UPDATE po.%I SET b = %s WHERE %s', t, n, w)
    WHEN 3 THEN format('UPDATE po.%I SET v = %s WHERE %s', t, CASE po.r(9) WHEN 0 THEN 'NULL' ELSE quote_literal('v' || po.r(3)) END, w)
    WHEN 4 THEN format('UPDATE po.%I SET c = %s, d = -%2$s WHERE %s', t, po.r(3), w)
    WHEN 5 THEN format('UPDATE po.%I SET c = c + 1, d = d - 1, a = a + 1 WHERE %s', t, w)
    WHEN 6 THEN CASE WHEN t = 's' THEN format('WITH x AS (DELETE FROM po.s WHERE %s RETURNING *) SELECT 1; INSERT INTO po.s VALUES %s ON CONFLICT DO NOTHING', w, format('(%s, %s, 0, 1, -1, %L)', k, n, 'again'))
      ELSE format('UPDATE po.%I t SET a = s.a, b = s.b, c = s.c, d = s.d, v = s.v FROM po.s WHERE s.id = t.id AND t.%s', t, w) END
    WHEN 7 THEN CASE WHEN t = 's' THEN 'SELECT 1' ELSE format('UPDATE po.%I SET own = %L WHERE %s', t, 'own' || po.r(3), w) END
    ELSE format('UPDATE po.%I SET a = %s WHERE %s', t, n, w) END;
END $$;
CREATE FUNCTION po.act(t text, n int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  q text; undo boolean;
BEGIN
  FOR i IN 1 .. n LOOP
    q := po.dml(t, false); undo := po.r(8) = 0;
    BEGIN
      EXECUTE q;
      IF undo THEN RAISE EXCEPTION 'undo' USING ERRCODE = 'UN001'; END IF;
    EXCEPTION WHEN SQLSTATE 'UN001' THEN NULL;
    END;
    INSERT INTO po.trace (sql, result) VALUES (q, CASE WHEN undo THEN 'undone' ELSE 'ok' END);
  END LOOP;
END $$;
CREATE FUNCTION po.rows_of(t text) RETURNS TABLE (id int, j jsonb) LANGUAGE plpgsql VOLATILE AS $$ BEGIN RETURN QUERY EXECUTE format('SELECT id, to_jsonb(t) FROM po.%I t', t); END $$;
-- what is to be expected, with the target's rows in po.seen
CREATE FUNCTION po.expect(l text) RETURNS void LANGUAGE sql VOLATILE AS $$
  DELETE FROM po.want;
  INSERT INTO po.want SELECT id, b.j, s.j, t.j, m.* FROM (SELECT id, j FROM po.base WHERE link = l) b FULL JOIN po.rows_of('s') s USING (id) FULL JOIN po.seen t USING (id), po.model(l, b.j, s.j, t.j) m $$;
-- the conflicts that the last push recorded are these
CREATE FUNCTION po.recorded(l text, since bigint) RETURNS TABLE (kind text, key jsonb, source jsonb, target jsonb, resolution text) LANGUAGE sql VOLATILE AS
  $$ SELECT kind, key, source, target, resolution FROM tracksync.conflict WHERE link = l AND id > since $$;
CREATE FUNCTION po.differ(l text, since bigint) RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT concat_ws('; ',
    (SELECT 'rows: ' || string_agg(format('%s is %s, not %s (base %s source %s target %s)', id, t.j, w.result, w.base, w.source, w.target), ', ') FROM po.rows_of(l) t FULL JOIN po.want w USING (id) WHERE t.j IS DISTINCT FROM w.result),
    (SELECT 'conflicts: ' || string_agg(format('%s %s', id, row_to_json(x)), ', ') FROM (
      SELECT coalesce((r.key ->> 'id')::int, w.id) AS id, r AS recorded, w AS expected FROM po.recorded(l, since) r
        FULL JOIN (SELECT * FROM po.want WHERE kind IS NOT NULL) w ON w.kind = r.kind AND r.key = jsonb_build_object('id', w.id) AND r.source IS NOT DISTINCT FROM w.carried
          AND r.target IS NOT DISTINCT FROM w.target AND r.resolution = w.resolution WHERE r IS NULL OR w IS NULL) x),
    (SELECT 'asked: ' || string_agg(a::text, ', ') FROM po.asked a FULL JOIN (SELECT * FROM po.want WHERE kind IS NOT NULL) w
        ON a.kind = w.kind AND (a.key ->> 'id')::int = w.id AND a.source IS NOT DISTINCT FROM w.source AND a.target IS NOT DISTINCT FROM w.target
          AND (w.base IS NULL OR a.old IS NULL OR w.base @> a.old) AND (op <> 'UPDATE' OR (SELECT bool_and(a.old ? e.key) FROM jsonb_each(w.source) e WHERE w.base -> e.key <> e.value))
      WHERE l = 'function' AND (a IS NULL OR w IS NULL))) $$;
CREATE FUNCTION po.pushed(l text) RETURNS void LANGUAGE sql VOLATILE AS $$
  DELETE FROM po.base WHERE link = l;
  INSERT INTO po.base SELECT l, * FROM po.rows_of('s') $$;
-- conflicts that fail the push, as its message counts them
CREATE FUNCTION po.counts() RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT string_agg(n || ' ' || kind, ', ' ORDER BY array_position('{insert_exists,update_missing,update_differs,delete_missing,delete_differs}', kind)) FROM (SELECT kind, count(*) AS n FROM po.want WHERE resolution = 'error' GROUP BY 1) x $$;
-- rows whose conflict fails the push: back as they were, or as they shall be
CREATE FUNCTION po.mend(l text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  w record; how text := CASE po.r(2) WHEN 0 THEN 'base' ELSE 'source' END; j jsonb;
BEGIN
  FOR w IN SELECT * FROM po.want WHERE resolution = 'error' LOOP
    EXECUTE format('DELETE FROM po.%I WHERE id = %s', l, w.id);
    -- gone already is a conflict, too
    j := CASE WHEN how = 'base' OR w.op = 'DELETE' THEN w.base ELSE w.source END;
    EXECUTE format('INSERT INTO po.%I SELECT * FROM jsonb_populate_record(NULL::po.%1$I, %L) WHERE id IS NOT NULL', l, j || '{"own": "mended"}');
  END LOOP;
  INSERT INTO po.trace (sql) VALUES ('mended as ' || how);
END $$;
-- One push. If conflicts must fail it, they do, and nothing else happens; mended, it succeeds.
CREATE PROCEDURE po.push(l text, held boolean, sabotage boolean) LANGUAGE plpgsql AS $$
DECLARE
  code text; msg text; problem text; counted text; since bigint; number int; remote boolean := po.server() IS NOT NULL;
BEGIN
  PERFORM set_config('tracksync.direct_writes', CASE po.r(3) WHEN 0 THEN 'off' ELSE 'on' END, false), set_config('tracksync.batch_rows', CASE po.r(3) WHEN 0 THEN (1 + po.r(4))::text ELSE '1000' END, false);
  DELETE FROM po.seen; DELETE FROM po.asked;
  INSERT INTO po.seen SELECT * FROM po.rows_of(l);
  IF held THEN
    INSERT INTO po.job (link, seed, n, wait) VALUES (l, random(), 1 + po.r(4), random() * 0.01) RETURNING id INTO number;
    COMMIT;
    WHILE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = number AND granted AND pid <> pg_backend_pid()) AND NOT (SELECT done FROM po.job WHERE id = number) LOOP PERFORM pg_sleep(0.001); END LOOP;
    PERFORM set_config('default_transaction_isolation', CASE po.r(8) WHEN 0 THEN 'repeatable read' WHEN 1 THEN 'serializable' ELSE 'read committed' END, false);
    COMMIT;
  END IF;
  FOR try IN 1 .. 2 LOOP
    IF remote THEN COMMIT; END IF;
    code := NULL;
    SELECT coalesce(max(id), 0) INTO since FROM tracksync.conflict_record;
    BEGIN
      INSERT INTO po.trace (sql, result) SELECT concat_ws(' ', 'push', l, CASE WHEN held THEN 'held, ' || current_setting('transaction_isolation') END), string_agg(kind || rows, ' ' ORDER BY step) FROM tracksync.push(l);
    EXCEPTION WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT;
      INSERT INTO po.trace (sql, result) VALUES ('push ' || l, code || ' ' || msg);
    END;
    -- the other session has committed by now, or need not wait
    IF held THEN
      PERFORM set_config('default_transaction_isolation', 'read committed', false);
      COMMIT;
    END IF;
    IF remote THEN COMMIT; END IF;
    WHILE held AND NOT (SELECT done FROM po.job WHERE id = number) LOOP PERFORM pg_sleep(0.001); END LOOP;
    IF sabotage THEN EXECUTE format('UPDATE po.%I SET a = coalesce(a, 0) + 1 WHERE id = (SELECT min(id) FROM po.%1$I)', l); END IF;
    PERFORM po.expect(l);
    counted := po.counts();
    IF code IS NULL AND counted IS NULL THEN
      problem := nullif(po.differ(l, since), '');
      EXIT;
    END IF;
    -- 40001, too, where an INSERT met another session's only after the push had looked, or an older snapshot was asked for: nothing is written then
    problem := CASE WHEN held AND code = '40001' AND msg ~ 'did not take|could not serialize' AND NOT EXISTS (SELECT FROM po.rows_of(l) t FULL JOIN po.seen s USING (id) WHERE t.j IS DISTINCT FROM s.j) THEN NULL
      WHEN counted IS NULL THEN 'no conflict, but ' || code || ' ' || msg WHEN code IS NULL THEN 'no error, but conflicts: ' || counted
      WHEN code <> '40001' OR msg NOT LIKE '%: ' || counted THEN format('%s %s, not 40001 %s', code, msg, counted)
      WHEN EXISTS (SELECT FROM po.rows_of(l) t FULL JOIN po.seen s USING (id) WHERE t.j IS DISTINCT FROM s.j) THEN 'a push that failed wrote'
      WHEN EXISTS (SELECT FROM po.recorded(l, since)) THEN 'a push that failed recorded conflicts' WHEN try = 2 THEN 'mended, but ' || msg END;
    EXIT WHEN problem IS NOT NULL;
    PERFORM po.mend(l);
    held := false;
    DELETE FROM po.seen;
    INSERT INTO po.seen SELECT * FROM po.rows_of(l);
  END LOOP;
  IF problem IS NOT NULL THEN
    COMMIT;
    RAISE EXCEPTION '% and its model differ after a push: %', l, problem;
  END IF;
  PERFORM po.pushed(l);
END $$;
-- Another session: writes, tells what the target is like then, waits, commits.
CREATE PROCEDURE po.writer() LANGUAGE plpgsql AS $$
DECLARE
  j record; q text;
BEGIN
  PERFORM set_config('po.who', 'writer', false);
  LOOP
    SELECT * INTO j FROM po.job WHERE NOT done ORDER BY id LIMIT 1;
    IF NOT FOUND THEN COMMIT; PERFORM pg_sleep(0.002); CONTINUE; END IF;
    PERFORM setseed(j.seed);
    FOR i IN 1 .. j.n LOOP
      -- of rows that are missing, only those that are to be inserted: a push does not wait for others
      q := po.dml(j.link, false, true);
      EXECUTE q;
      INSERT INTO po.trace (sql, result) VALUES (q, 'another session');
    END LOOP;
    DELETE FROM po.seen;
    INSERT INTO po.seen SELECT * FROM po.rows_of(j.link);
    UPDATE po.job SET done = true WHERE id = j.id;
    PERFORM pg_advisory_xact_lock(j.id);
    PERFORM pg_sleep(j.wait);
    COMMIT;
  END LOOP;
END $$;
-- Others: a row at a time, so that they cannot deadlock with a push.
CREATE PROCEDURE po.storm(n int) LANGUAGE plpgsql AS $$
DECLARE
  l text;
BEGIN
  PERFORM set_config('po.who', 'storm' || n, false), setseed(n / 10.0);
  LOOP
    PERFORM pg_advisory_xact_lock_shared(0);
    IF (SELECT storm FROM po.weather) THEN
      l := (SELECT link FROM po.job ORDER BY id DESC LIMIT 1);
      -- rows that go come back
      EXECUTE CASE po.r(3) WHEN 0 THEN format('INSERT INTO po.%I SELECT %s, 1, 1, x, -x, ''storm'' FROM (SELECT %s AS x) x ON CONFLICT DO NOTHING', l, 1 + po.r(14), po.r(3)) ELSE po.dml(l, true) END;
      IF po.r(3) = 0 THEN PERFORM pg_sleep(random() * 0.003); END IF;
    END IF;
    COMMIT;
    IF NOT (SELECT storm FROM po.weather) THEN PERFORM pg_sleep(0.003); END IF;
  END LOOP;
END $$;
-- A push of which no model knows what it will meet.
CREATE PROCEDURE po.push_in_storm(l text, audited boolean) LANGUAGE plpgsql AS $$
DECLARE
  code text; msg text; problem text; since bigint; audit bigint; n bigint;
BEGIN
  PERFORM set_config('tracksync.direct_writes', 'on', false), set_config('tracksync.batch_rows', CASE po.r(3) WHEN 0 THEN (1 + po.r(4))::text ELSE '1000' END, false);
  COMMIT;
  SELECT coalesce(max(i), 0) INTO audit FROM po.audit;
  DELETE FROM po.seen;
  INSERT INTO po.seen SELECT * FROM po.rows_of(l);
  SELECT coalesce(max(id), 0) INTO since FROM tracksync.conflict_record;
  BEGIN
    INSERT INTO po.trace (sql, result) SELECT 'in a storm: push ' || l, string_agg(kind || rows, ' ' ORDER BY step) FROM tracksync.push(l);
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT;
    INSERT INTO po.trace (sql, result) VALUES ('in a storm: push ' || l, code || ' ' || msg);
  END;
  COMMIT;
  EXECUTE format('SELECT count(*) FROM po.%I WHERE c + d <> 0', l) INTO n;
  -- 23505: once more, a row came while the function decided about a missing one; nothing is written then
  problem := CASE WHEN n > 0 THEN n || ' rows are half written' WHEN code <> '40001' AND NOT (code = '23505' AND l = 'function') THEN code || ' ' || msg END;
  IF code IS NULL AND audited AND problem IS NULL THEN
    -- what the push wrote
    SELECT string_agg(format('%s: %s was made %s, not %s', x.id, x.old, x.new, m.result), '; ') INTO problem
      FROM po.audit x LEFT JOIN (SELECT id, j FROM po.base WHERE link = l) b USING (id) LEFT JOIN po.rows_of('s') s USING (id), po.model(l, b.j, s.j, x.old) m
      WHERE x.i > audit AND x.link = l AND x.who = 'push' AND (x.new IS DISTINCT FROM m.result OR m.resolution = 'error');
    -- a conflict recorded is one
    problem := coalesce(problem, (SELECT string_agg(format('%s, but %s', r, m), '; ')
      FROM po.recorded(l, since) r LEFT JOIN (SELECT id, j FROM po.base WHERE link = l) b ON r.key = jsonb_build_object('id', b.id) LEFT JOIN po.rows_of('s') s ON r.key = jsonb_build_object('id', s.id), po.model(l, b.j, s.j, r.target) m
      WHERE (m.kind, m.resolution) IS DISTINCT FROM (r.kind, r.resolution)));
    -- a conflict resolved is one recorded
    problem := coalesce(problem, (SELECT string_agg(format('nothing is recorded of what was made of %s', x.old), '; ')
      FROM po.audit x LEFT JOIN (SELECT id, j FROM po.base WHERE link = l) b USING (id) LEFT JOIN po.rows_of('s') s USING (id), po.model(l, b.j, s.j, x.old) m
      WHERE x.i > audit AND x.link = l AND x.who = 'push' AND m.kind IS NOT NULL AND NOT EXISTS (SELECT FROM po.recorded(l, since) r WHERE r.key = jsonb_build_object('id', x.id) AND r.kind = m.kind)));
    -- of what it did not write it knew a moment when nothing was to be done; some who have lower numbers may have committed later
    problem := coalesce(problem, (SELECT string_agg(format('nothing was done about %s', coalesce(s.j, b.j)), '; ')
      FROM (SELECT id, j FROM po.base WHERE link = l) b FULL JOIN po.rows_of('s') s USING (id)
      WHERE b.j IS DISTINCT FROM s.j AND NOT EXISTS (SELECT FROM po.audit x WHERE x.i > audit AND x.link = l AND x.who = 'push' AND x.id = coalesce(s.id, b.id))
        AND NOT EXISTS (SELECT FROM po.recorded(l, since) r WHERE r.key = jsonb_build_object('id', coalesce(s.id, b.id)))
        AND NOT EXISTS (SELECT FROM (SELECT (SELECT j FROM po.seen t WHERE t.id = coalesce(s.id, b.id)) UNION ALL SELECT x.new FROM po.audit x WHERE x.i > audit - 10 AND x.link = l AND x.id = coalesce(s.id, b.id)) v(j),
          po.model(l, b.j, s.j, v.j) m WHERE m.kind IS NULL AND m.result IS NOT DISTINCT FROM v.j)));
  END IF;
  IF problem IS NOT NULL THEN
    RAISE EXCEPTION '% and its model differ after a push in a storm: %', l, problem;
  END IF;
  IF code IS NULL THEN PERFORM po.pushed(l); END IF;
  COMMIT;
END $$;
CREATE PROCEDURE po.make_storm(l text) LANGUAGE plpgsql AS $$
DECLARE
  audited boolean := po.r(3) > 0;
BEGIN
  IF audited THEN EXECUTE format('CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON po.%I FOR EACH ROW EXECUTE FUNCTION po.audit()', l); END IF;
  INSERT INTO po.job (link, done) VALUES (l, true);
  UPDATE po.weather SET storm = true;
  COMMIT;
  FOR i IN 1 .. 8 LOOP
    PERFORM po.act('s', 1 + po.r(5));
    COMMIT;
    CALL po.push_in_storm(l, audited);
  END LOOP;
  UPDATE po.weather SET storm = false;
  COMMIT;
  -- those who are at it still
  PERFORM pg_advisory_xact_lock(0);
  EXECUTE format('DROP TRIGGER IF EXISTS audit ON po.%I', l);
END $$;
CREATE PROCEDURE po.run(seed float8, rounds int, sabotage boolean) LANGUAGE plpgsql AS $$
DECLARE
  l text; x text; pushes int := 0;
BEGIN
  PERFORM setseed(seed), set_config('po.who', 'push', false);
  SET client_min_messages = warning;
  PERFORM tracksync.create_link(n, 'po.s', 'po.' || n, po.server(), on_conflict => CASE n WHEN 'function' THEN 'po.decide' ELSE n END, initial => 'none') FROM unnest(po.links()) n;
  -- c + d stays 0
  INSERT INTO po.rule VALUES ('a', (ARRAY['source', 'target', 'greatest', 'least', 'add', NULL])[1 + po.r(6)]), ('b', (ARRAY['add', 'source', NULL])[1 + po.r(3)]), ('v', (ARRAY['source', 'target', 'greatest', 'least'])[1 + po.r(4)]);
  x := (ARRAY['source', 'target', 'greatest', 'least', 'add'])[1 + po.r(5)];
  INSERT INTO po.rule VALUES ('c', x), ('d', CASE x WHEN 'greatest' THEN 'least' WHEN 'least' THEN 'greatest' ELSE x END);
  PERFORM tracksync.set_merge_rule('merge', name, rule) FROM po.rule WHERE rule IS NOT NULL;
  COMMIT;
  FOR round IN 1 .. rounds LOOP
    PERFORM po.act('s', 1 + po.r(6));
    FOREACH l IN ARRAY po.links() LOOP
      IF po.r(2) = 0 THEN PERFORM po.act(l, po.r(4)); END IF;
    END LOOP;
    IF po.r(2) = 0 THEN COMMIT; END IF;
    FOREACH l IN ARRAY po.links() LOOP
      CONTINUE WHEN po.r(2) = 0;
      CALL po.push(l, po.r(4) = 0, sabotage AND pushes > 5);
      pushes := pushes + 1;
    END LOOP;
    CONTINUE WHEN po.r(10) > 0;
    l := (po.links())[1 + po.r(5)];
    COMMIT;
    CALL po.make_storm(l);
    CALL po.push(l, false, false);
  END LOOP;
  SET client_min_messages = notice;
  RAISE NOTICE 'policies: % pushes, % of them held, % in storms (% of these failed); conflicts: %', pushes, (SELECT count(*) FROM po.job WHERE n > 0), (SELECT count(*) FROM po.trace WHERE sql LIKE 'in a storm%'),
    (SELECT count(*) FROM po.trace WHERE sql LIKE 'in a storm%' AND result LIKE '40001%'),
    (SELECT string_agg(resolution || ' ' || n, ', ' ORDER BY resolution) FROM (SELECT resolution, count(*) AS n FROM tracksync.conflict GROUP BY 1) x);
END $$;
