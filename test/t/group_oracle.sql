-- Random rows in six tables with every kind of foreign key (a chain, a circle, self-references; CASCADE, SET NULL, RESTRICT, NO ACTION;
-- deferrable or not), with key changes, swaps and shifts of keys, in transactions with savepoints of which some are rolled back. The
-- target's constraints are of their own mind about being deferrable. After each push of the group all tables are the same. With the setting
-- oracle.server the targets are reached through that server, which is this database.
CREATE EXTENSION IF NOT EXISTS tracksync;
CREATE SCHEMA go;
CREATE FUNCTION go.server() RETURNS name LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('oracle.server', true), '')::name $$;
CREATE SCHEMA s; CREATE SCHEMA t;
CREATE TABLE go.trace (i bigserial, sql text, result text);
CREATE FUNCTION go.r(n int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT floor(random() * n)::int';
-- circle: of the two keys that make one
CREATE FUNCTION go.make(n text, put_off text, circle text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('SET LOCAL search_path = %I, public', n);
  CREATE TABLE country (id int PRIMARY KEY, name text);
  CREATE TABLE city (id int PRIMARY KEY, country int REFERENCES country ON DELETE CASCADE ON UPDATE CASCADE, name text);
  CREATE TABLE club (id int PRIMARY KEY, chair int, city int REFERENCES city ON DELETE SET NULL ON UPDATE CASCADE);
  CREATE TABLE person (id int PRIMARY KEY, city int REFERENCES city ON DELETE SET NULL ON UPDATE CASCADE, boss int, club int, v text);
  EXECUTE 'ALTER TABLE person ADD FOREIGN KEY (boss) REFERENCES person ON DELETE SET NULL ON UPDATE CASCADE ' || put_off;
  EXECUTE 'ALTER TABLE person ADD FOREIGN KEY (club) REFERENCES club ON UPDATE CASCADE ' || circle;
  EXECUTE 'ALTER TABLE club ADD FOREIGN KEY (chair) REFERENCES person ON DELETE SET NULL ON UPDATE CASCADE ' || circle;
  CREATE TABLE pet (person int REFERENCES person ON DELETE CASCADE ON UPDATE CASCADE, n int, name text, PRIMARY KEY (person, n));
  CREATE TABLE visit (id int PRIMARY KEY, person int NOT NULL, n int NOT NULL, city int REFERENCES city ON DELETE RESTRICT ON UPDATE CASCADE,
    FOREIGN KEY (person, n) REFERENCES pet ON DELETE CASCADE ON UPDATE CASCADE);
END $$;
SELECT go.make('s', 'DEFERRABLE INITIALLY DEFERRED', 'DEFERRABLE INITIALLY DEFERRED');
CREATE FUNCTION go.dml() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  x text := (ARRAY['country', 'city', 'club', 'person', 'visit'])[1 + go.r(5)];
  a int := go.r(25); b int := go.r(25); c int := go.r(25);
BEGIN
  RETURN CASE go.r(14)
    WHEN 0 THEN format('INSERT INTO s.country VALUES (%s, %L) ON CONFLICT DO NOTHING', a, 'n' || b)
    WHEN 1 THEN format('INSERT INTO s.city VALUES (%s, %s, %L) ON CONFLICT DO NOTHING', a, b, 'n' || c)
    WHEN 2 THEN format('INSERT INTO s.club VALUES (%s, %s, %s) ON CONFLICT DO NOTHING', a, b, c)
    WHEN 3 THEN format('INSERT INTO s.person VALUES (%s, %s, %s, %s, %L) ON CONFLICT DO NOTHING', a, b, c, CASE go.r(2) WHEN 0 THEN 'NULL' ELSE go.r(25)::text END, 'v' || b)
    WHEN 4 THEN format('INSERT INTO s.pet SELECT id, %s, %L FROM s.person WHERE id %% 3 = %s ON CONFLICT DO NOTHING', go.r(3), 'p' || a, go.r(3))
    WHEN 5 THEN format('INSERT INTO s.visit SELECT %s, person, n, %s FROM s.pet ORDER BY random() LIMIT 1 ON CONFLICT DO NOTHING', a, b)
    WHEN 6 THEN format('DELETE FROM s.%I WHERE id = %s', x, a)
    WHEN 7 THEN format('DELETE FROM s.%I WHERE id %% 5 = %s', x, go.r(5))
    WHEN 8 THEN format('UPDATE s.person SET boss = %s, city = %s, club = (SELECT min(id) FROM s.club), v = %L WHERE id %% 4 = %s', a, b, 'w' || c, go.r(4))
    WHEN 9 THEN format('UPDATE s.club SET chair = %s WHERE id %% 3 = %s', a, go.r(3))
    -- keys: one, a swap, all by one place, pets that change their owners
    WHEN 10 THEN format('UPDATE s.%I SET id = %s WHERE id = %s', x, 25 + go.r(15), a)
    WHEN 11 THEN format('UPDATE s.%I SET id = -1 WHERE id = %s; UPDATE s.%1$I SET id = %2$s WHERE id = %s; UPDATE s.%1$I SET id = %3$s WHERE id = -1', x, a, b)
    WHEN 12 THEN format('UPDATE s.%I SET id = -id - 1; UPDATE s.%1$I SET id = -id', x)
    ELSE format('UPDATE s.pet SET person = %s WHERE person = %s', a, b) END;
END $$;
CREATE FUNCTION go.act(depth int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  undo boolean := go.r(4) = 0;
  q text;
BEGIN
  FOR i IN 0 .. go.r(6) LOOP
    IF depth < 3 AND go.r(5) = 0 THEN PERFORM go.act(depth + 1); CONTINUE; END IF;
    q := go.dml();
    BEGIN
      EXECUTE q;
      -- what stays broken to the end would fail the COMMIT
      SET CONSTRAINTS ALL IMMEDIATE;
      SET CONSTRAINTS ALL DEFERRED;
      INSERT INTO go.trace (sql, result) VALUES (q, CASE WHEN undo THEN 'undone' ELSE 'ok' END);
    EXCEPTION WHEN integrity_constraint_violation THEN
      INSERT INTO go.trace (sql, result) VALUES (q, SQLSTATE);
    END;
  END LOOP;
  IF undo AND depth > 0 THEN RAISE EXCEPTION 'undo' USING ERRCODE = 'UN001'; END IF;
EXCEPTION WHEN SQLSTATE 'UN001' THEN NULL;
END $$;
CREATE FUNCTION go.differ() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  x text; n bigint;
BEGIN
  FOREACH x IN ARRAY '{country,city,club,person,pet,visit}'::text[] LOOP
    EXECUTE format('SELECT count(*) FROM ((TABLE s.%1$I EXCEPT ALL TABLE t.%1$I) UNION ALL (TABLE t.%1$I EXCEPT ALL TABLE s.%1$I)) d', x) INTO n;
    IF n > 0 THEN RETURN format('%s rows of %s', n, x); END IF;
  END LOOP;
  RETURN NULL;
END $$;
CREATE PROCEDURE go.run(seed float8, rounds int, sabotage boolean) LANGUAGE plpgsql AS $$
DECLARE
  d text; put_off text; remote boolean := go.server() IS NOT NULL; pushes int := 0;
BEGIN
  PERFORM setseed(seed);
  put_off := (ARRAY['', 'DEFERRABLE', 'DEFERRABLE INITIALLY DEFERRED'])[1 + go.r(3)];
  -- on another server nothing makes a circle wait whose keys are not deferrable
  PERFORM go.make('t', put_off, CASE WHEN remote AND put_off = '' THEN 'DEFERRABLE' ELSE put_off END);
  IF remote THEN COMMIT; END IF;
  PERFORM tracksync.create_link(x, ('s.' || x)::regclass, 't.' || x, go.server()) FROM unnest('{country,city,club,person,pet,visit}'::text[]) x;
  PERFORM tracksync.create_group('g', '{country,city,club,person,pet,visit}');
  -- one target has a trigger of its own, so that it is written by statements whatever else
  CREATE FUNCTION go.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
  CREATE TRIGGER nothing BEFORE INSERT OR UPDATE ON t.city FOR EACH ROW EXECUTE FUNCTION go.nothing();
  COMMIT;
  FOR round IN 1 .. rounds LOOP
    PERFORM go.act(0);
    IF go.r(2) = 0 THEN COMMIT; END IF;
    CONTINUE WHEN go.r(3) > 0;
    IF remote THEN COMMIT; END IF;
    INSERT INTO go.trace (sql, result) SELECT 'push', string_agg(format('%s %s%s', link, kind, rows), ' ' ORDER BY step) FROM tracksync.push('g');
    IF remote THEN COMMIT; END IF;
    pushes := pushes + 1;
    IF sabotage AND pushes > 3 THEN DELETE FROM t.country; END IF;
    d := go.differ();
    IF d IS NOT NULL THEN
      COMMIT;
      RAISE EXCEPTION 'round %: % differ after a push', round, d;
    END IF;
  END LOOP;
  RAISE NOTICE 'group oracle: % pushes', pushes;
END $$;
