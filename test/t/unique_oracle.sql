-- Unique values of every kind (NULL or not, of several columns, of an expression, of some rows, of ranges that must not overlap) that are
-- swapped, shifted, turned round, freed and taken at random, with keys that change as well and children that refer to them. The source's
-- constraints are deferrable, so that it can; the target's are not. Two sources share a target. After each push all tables are the same.
-- With the setting oracle.server the targets are reached through that server, which is this database.
CREATE EXTENSION IF NOT EXISTS tracksync; CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE SCHEMA uo; CREATE SCHEMA s; CREATE SCHEMA t;
CREATE FUNCTION uo.server() RETURNS name LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('oracle.server', true), '')::name $$;
CREATE TABLE uo.trace (i bigserial, sql text, result text);
CREATE FUNCTION uo.r(n int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT floor(random() * n)::int';
CREATE FUNCTION uo.make(n text, put_off text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('SET LOCAL search_path = %I, public', n);
  EXECUTE format('CREATE TABLE item (id int PRIMARY KEY %1$s, pos int UNIQUE %1$s, code text NOT NULL UNIQUE %1$s, grp int NOT NULL, rank int NOT NULL, name text, live boolean,
    during int4range NOT NULL, v int, UNIQUE (grp, rank) %1$s, EXCLUDE USING gist (during WITH &&) %1$s)', put_off);
  CREATE TABLE part (id int PRIMARY KEY, item int, code text);
END $$;
SELECT uo.make('s', 'DEFERRABLE'); SELECT uo.make('t', '');
-- these cannot be deferrable, so that the source must not have them; nor can keys that are referred to
ALTER TABLE t.part ADD FOREIGN KEY (item) REFERENCES t.item ON DELETE CASCADE ON UPDATE CASCADE, ADD FOREIGN KEY (code) REFERENCES t.item (code) ON DELETE CASCADE ON UPDATE CASCADE;
CREATE UNIQUE INDEX ON t.item (lower(name)); CREATE UNIQUE INDEX ON t.item (v) WHERE live;
CREATE TABLE s.one (id int PRIMARY KEY, u int); CREATE TABLE s.two (id int PRIMARY KEY, u int); CREATE TABLE t.shared (id int PRIMARY KEY, u int UNIQUE, own int DEFAULT 1);
INSERT INTO s.item SELECT i, i, 'c' || i, i % 3, i, 'n' || i, i % 2 = 0, int4range(i, i + 1), i FROM generate_series(1, 30) i;
INSERT INTO s.part SELECT i, i % 30 + 1, 'c' || (i % 30 + 1) FROM generate_series(1, 60) i;
INSERT INTO s.one SELECT i, i FROM generate_series(1, 20) i; INSERT INTO s.two SELECT i, i FROM generate_series(101, 120) i;
-- is the source as the target can be?
CREATE FUNCTION uo.fits() RETURNS boolean LANGUAGE sql AS $$
  SELECT NOT EXISTS (SELECT lower(name) FROM s.item WHERE name IS NOT NULL GROUP BY 1 HAVING count(*) > 1) AND NOT EXISTS (SELECT v FROM s.item WHERE live AND v IS NOT NULL GROUP BY 1 HAVING count(*) > 1)
    AND NOT EXISTS (SELECT u FROM (TABLE s.one UNION ALL TABLE s.two) x WHERE u IS NOT NULL GROUP BY 1 HAVING count(*) > 1) $$;
CREATE FUNCTION uo.dml() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  a int := 1 + uo.r(34); b int := 1 + uo.r(34); m int := 2 + uo.r(5);
  c text := (ARRAY['pos', 'code', 'name', 'during', 'v', 'grp, rank', 'live', 'id'])[1 + uo.r(8)];
BEGIN
  RETURN CASE uo.r(13)
    -- of two rows, of as many as there are, of some
    WHEN 0 THEN format('UPDATE s.item x SET (%s) = (SELECT %1$s FROM s.item y WHERE y.id = %s + %s - x.id) WHERE id IN (%2$s, %3$s) AND (SELECT count(*) FROM s.item WHERE id IN (%2$s, %3$s)) = 2', c, a, b)
    WHEN 1 THEN format('UPDATE s.item x SET (%s) = (SELECT %1$s FROM (SELECT *, lead(id, 1, (SELECT min(id) FROM s.item)) OVER (ORDER BY id) AS before FROM s.item) y WHERE y.before = x.id)', c)
    WHEN 2 THEN format('WITH p AS (SELECT id, row_number() OVER (ORDER BY random()) AS n, row_number() OVER (ORDER BY id) AS k FROM s.item WHERE id %% %s = 0) '
                       'UPDATE s.item x SET (%s) = (SELECT %2$s FROM s.item y WHERE y.id = (SELECT q.id FROM p AS q JOIN p ON p.n = q.k WHERE p.id = x.id)) WHERE id %% %1$s = 0', m, c)
    WHEN 3 THEN 'UPDATE s.item SET pos = pos + 1, v = v - 1'
    WHEN 4 THEN 'UPDATE s.item SET during = int4range(lower(during) + 1, upper(during) + 1)'
    WHEN 5 THEN format('DELETE FROM s.item WHERE id = %s; UPDATE s.item SET pos = %s, code = %L, during = int4range(%2$s, %2$s + 1) WHERE id = %4$s', a, 100 + uo.r(40), 'c' || a, b)
    WHEN 6 THEN format('DELETE FROM s.item WHERE id %% %s = 0', 11 + uo.r(10))
    WHEN 7 THEN format('INSERT INTO s.item SELECT %s, %s, %L, %s, %s, %L, true, int4range(%s, %s), %s', a, b, 'c' || uo.r(40), uo.r(3), b, 'N' || uo.r(40), 200 + a, 200 + a + 1 + uo.r(3), uo.r(200))
    WHEN 8 THEN format('UPDATE s.item SET id = id + 1; UPDATE s.item SET name = upper(name), live = NOT live WHERE id %% %s = 0', m)
    WHEN 9 THEN format('INSERT INTO s.part SELECT %s, id, code FROM s.item ORDER BY random() LIMIT 1 ON CONFLICT DO NOTHING', uo.r(80))
    WHEN 10 THEN format('UPDATE s.one SET u = u + 1; UPDATE s.two x SET u = (SELECT u FROM s.one y WHERE y.id = %s) WHERE id = %s; UPDATE s.one SET u = (SELECT u FROM t.shared WHERE id = %2$s) WHERE id = %1$s', 1 + uo.r(20), 101 + uo.r(20))
    WHEN 11 THEN format('UPDATE s.one SET u = 200 - u WHERE id > %s; UPDATE s.two SET u = 200 - u', uo.r(20))
    ELSE format('UPDATE s.item SET pos = NULL, name = NULL, v = NULL WHERE id = %s', a) END;
END $$;
CREATE FUNCTION uo.act() RETURNS void LANGUAGE plpgsql AS $$
DECLARE q text;
BEGIN
  FOR i IN 0 .. uo.r(4) LOOP
    q := uo.dml();
    BEGIN
      SET CONSTRAINTS ALL DEFERRED;
      EXECUTE q;
      SET CONSTRAINTS ALL IMMEDIATE;
      DELETE FROM s.part p WHERE NOT EXISTS (SELECT FROM s.item i WHERE i.id = p.item) OR NOT EXISTS (SELECT FROM s.item i WHERE i.code = p.code);
      IF NOT uo.fits() THEN RAISE EXCEPTION 'does not fit' USING ERRCODE = 'UO001'; END IF;
      INSERT INTO uo.trace (sql, result) VALUES (q, 'ok');
    EXCEPTION WHEN integrity_constraint_violation OR SQLSTATE 'UO001' THEN
      INSERT INTO uo.trace (sql, result) VALUES (q, SQLSTATE);
    END;
  END LOOP;
END $$;
CREATE FUNCTION uo.differ() RETURNS text LANGUAGE sql AS $$
  SELECT format('%s rows of %s', sum(n), string_agg(x, ', ')) FROM (
    SELECT 'item' AS x, count(*) AS n FROM ((TABLE s.item EXCEPT ALL TABLE t.item) UNION ALL (TABLE t.item EXCEPT ALL TABLE s.item)) d
    UNION ALL SELECT 'part', count(*) FROM ((TABLE s.part EXCEPT ALL TABLE t.part) UNION ALL (TABLE t.part EXCEPT ALL TABLE s.part)) d
    UNION ALL SELECT 'shared', count(*) FROM ((SELECT *, 1 FROM (TABLE s.one UNION ALL TABLE s.two) x EXCEPT ALL TABLE t.shared) UNION ALL
      (TABLE t.shared EXCEPT ALL SELECT *, 1 FROM (TABLE s.one UNION ALL TABLE s.two) x)) d) x WHERE n > 0 HAVING count(*) > 0 $$;
CREATE PROCEDURE uo.run(seed float8, rounds int, sabotage boolean) LANGUAGE plpgsql AS $$
DECLARE
  d text; remote boolean := uo.server() IS NOT NULL; pushes int := 0; swaps int;
BEGIN
  PERFORM setseed(seed);
  PERFORM tracksync.create_link(x, ('s.' || x)::regclass, 't.' || CASE WHEN x IN ('one', 'two') THEN 'shared' ELSE x END, uo.server()) FROM unnest('{item,part,one,two}'::text[]) x;
  PERFORM tracksync.create_group('g', '{item,part,one,two}');
  IF remote THEN COMMIT; END IF;
  -- some are written directly, some by statements
  IF uo.r(2) = 0 THEN
    CREATE FUNCTION uo.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER nothing BEFORE INSERT OR UPDATE ON t.shared FOR EACH ROW EXECUTE FUNCTION uo.nothing();
  ELSE ALTER TABLE t.part DROP CONSTRAINT part_item_fkey, DROP CONSTRAINT part_code_fkey; END IF;
  COMMIT;
  FOR round IN 1 .. rounds LOOP
    PERFORM uo.act();
    IF uo.r(2) = 0 THEN COMMIT; END IF;
    CONTINUE WHEN uo.r(3) > 0;
    IF remote THEN COMMIT; END IF;
    INSERT INTO uo.trace (sql, result) SELECT 'push', string_agg(format('%s %s%s', link, kind, rows), ' ' ORDER BY step) FROM tracksync.push('g');
    IF remote THEN COMMIT; END IF;
    pushes := pushes + 1;
    IF sabotage AND pushes > 3 THEN DELETE FROM t.shared; END IF;
    d := uo.differ();
    IF d IS NOT NULL THEN
      COMMIT;
      RAISE EXCEPTION 'round %: % differ after a push', round, d;
    END IF;
  END LOOP;
  SELECT count(*) INTO swaps FROM uo.trace WHERE result = 'ok' AND sql ~ '^(UPDATE s.item x|WITH)';
  RAISE NOTICE 'unique oracle: % pushes, % statements that exchange values, % rows', pushes, swaps, (SELECT count(*) FROM t.item);
END $$;
