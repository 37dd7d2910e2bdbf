-- Random writers on both sides of two links, there and back (140_both_directions.pl). On one server: schemas l and r; on two: each has its own.
CREATE SCHEMA bd;
CREATE FUNCTION bd.r(n int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT floor(random() * n)::int';
-- what each side added to which counter
CREATE TABLE bd.added (side text, id int, n int, m numeric);
-- the greater row wins, and says so: both directions decide the same
CREATE FUNCTION bd.decide(kind text, key jsonb, old jsonb, source jsonb, target jsonb) RETURNS jsonb LANGUAGE sql AS $$
  SELECT CASE WHEN source IS NULL THEN target WHEN target IS NULL THEN source
    WHEN (source ->> 'v') COLLATE "C" > (target ->> 'v') COLLATE "C" THEN target || source || jsonb_build_object('q', coalesce(source ->> 'q', '') || '+')
    ELSE target END $$;
-- always the target's: where it is the same in both directions, only the log can tell who was first
CREATE FUNCTION bd.mine(kind text, key jsonb, old jsonb, source jsonb, target jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT CASE kind WHEN 'update_missing' THEN source ELSE target END $$;

-- the tables of one side
CREATE PROCEDURE bd.make(side text) LANGUAGE plpgsql AS $$
DECLARE t text; BEGIN
  EXECUTE format('CREATE SCHEMA %I', side);
  EXECUTE format('CREATE TABLE %I.counter (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, m numeric NOT NULL DEFAULT 0, note text)', side);
  -- f: -0; j: no equality; d: a column of the other side is behind it
  FOREACH t IN ARRAY '{merged,decided,mine}'::text[] LOOP
    EXECUTE format('CREATE TABLE %I.%I (k int, "K" text, n int, g numeric, l int, s text, z text, f float8, j json, v text, q text, a int[], PRIMARY KEY ("K", k))', side, t);
  END LOOP;
END $$;
CREATE FUNCTION bd.tables() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$ SELECT '{counter,merged,decided,mine}'::text[] $$;
CREATE FUNCTION bd.policy(t text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT CASE t WHEN 'decided' THEN 'bd.decide' WHEN 'mine' THEN 'bd.mine' ELSE 'merge' END $$;
-- links of all tables from one side to another; master: does the source's side win where one has to?
CREATE PROCEDURE bd.link(name text, side text, other text, server name, master boolean, initial text) LANGUAGE plpgsql AS $$
DECLARE t text; w text; BEGIN
  FOREACH t IN ARRAY bd.tables() LOOP
    PERFORM tracksync.create_link(name || '_' || t, format('%I.%I', side, t)::regclass, format('%I.%I', other, t), server => server, on_conflict => bd.policy(t), initial => initial);
    w := CASE WHEN master THEN 'source' ELSE 'target' END;
    IF t = 'counter' THEN
      PERFORM tracksync.set_merge_rule(name || '_counter', 'n', 'add'), tracksync.set_merge_rule(name || '_counter', 'm', 'add'), tracksync.set_merge_rule(name || '_counter', 'note', w);
    -- no 'add' where rows are deleted: of one that came back nobody may know what was added to
    ELSIF t = 'merged' THEN
      PERFORM tracksync.set_merge_rule(name || '_merged', c, r) FROM (VALUES ('n', 'least'), ('g', 'greatest'), ('l', 'least'), ('s', w), ('z', 'target'), ('f', 'greatest'), ('j', w), ('v', 'source'), ('q', w), ('a', w), ('*', 'keep')) x(c, r);
    END IF;
  END LOOP;
END $$;

CREATE FUNCTION bd.value(c text) RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT CASE WHEN c NOT IN ('v', 'j') AND bd.r(8) = 0 THEN NULL ELSE CASE c
    WHEN 'n' THEN bd.r(9)::text WHEN 'g' THEN (ARRAY['1', '1.0', '1.00', '2.5', 'NaN', '-3'])[1 + bd.r(6)] WHEN 'l' THEN bd.r(5)::text
    WHEN 'f' THEN (ARRAY['0', '-0', '1e300', 'NaN', '-Infinity', '0.1'])[1 + bd.r(6)] WHEN 'j' THEN (ARRAY['{"a": 1}', '{"a":1}', '[1,  2]', '{"a":1,"a":2}'])[1 + bd.r(4)]
    WHEN 'a' THEN (ARRAY['{}', '{1,NULL}', '{{1,2},{3,4}}', '[2:3]={1,2}'])[1 + bd.r(4)] ELSE (ARRAY['', 'a', 'A', E'\t"''', 'ü', 'NULL'])[1 + bd.r(6)] || bd.r(3) END END $$;
-- (of a null in j nobody knows whether it is JSON's or SQL's: a merge does not decide about it)
-- one change of one table
CREATE PROCEDURE bd.change(side text, t text) LANGUAGE plpgsql AS $$
DECLARE
  k text := format('"K" = %L AND k = %s', (ARRAY['x', 'X'])[1 + bd.r(2)], bd.r(8));
  c text[] := ARRAY(SELECT x FROM unnest('{n,g,l,s,z,f,j,v,q,a}'::text[]) x ORDER BY random() LIMIT 1 + bd.r(3));
BEGIN
  CASE bd.r(8)
    WHEN 0, 1 THEN
      EXECUTE format('INSERT INTO %I.%I ("K", k, n, g, l, s, v, f, j) SELECT %L, %s, %L, %L, %L, %L, %L, %L, %L ON CONFLICT DO NOTHING', side, t, (ARRAY['x', 'X'])[1 + bd.r(2)], bd.r(8),
        bd.value('n'), bd.value('g'), bd.value('l'), bd.value('s'), bd.value('v'), bd.value('f'), bd.value('j'));
    WHEN 2 THEN EXECUTE format('DELETE FROM %I.%I WHERE %s', side, t, k);
    WHEN 3 THEN
      BEGIN
        EXECUTE format('UPDATE %I.%I SET k = %s, v = %L WHERE %s', side, t, bd.r(8), bd.value('v'), k);
      EXCEPTION WHEN unique_violation THEN NULL;
      END;
    ELSE EXECUTE format('UPDATE %I.%I SET %s WHERE %s', side, t, (SELECT string_agg(format('%I = %L', x, bd.value(x)), ', ') FROM unnest(c) x), k);
  END CASE;
END $$;
-- one addition
CREATE PROCEDURE bd.add(side text) LANGUAGE plpgsql AS $$
DECLARE i int := bd.r(6); more int := 1 + bd.r(2); moren numeric := (1 + bd.r(2)) / 4.0; BEGIN
  EXECUTE format('INSERT INTO %I.counter (id, n, m) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET n = counter.n + excluded.n, m = counter.m + excluded.m', side) USING i, more, moren;
  INSERT INTO bd.added VALUES (side, i, more, moren);
  IF bd.r(4) = 0 THEN EXECUTE format('UPDATE %I.counter SET note = %L WHERE id = %s', side, bd.value('s'), bd.r(6)); END IF;
END $$;
-- some statements in one transaction; some of them rolled back
CREATE PROCEDURE bd.work(side text, n int) LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1 .. n LOOP
    BEGIN
      CALL bd.change(side, (bd.tables())[2 + bd.r(3)]);
      IF bd.r(2) = 0 THEN CALL bd.add(side); END IF;
      IF bd.r(10) = 0 THEN RAISE EXCEPTION 'undone'; END IF;
    EXCEPTION WHEN raise_exception THEN NULL;
    END;
  END LOOP;
END $$;
-- a writer: transactions as long as the table stop is empty
CREATE TABLE bd.stop (at timestamptz DEFAULT now());
CREATE PROCEDURE bd.writer(side text, seed float8) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM setseed(seed);
  WHILE NOT EXISTS (SELECT FROM bd.stop) LOOP
    BEGIN
      CALL bd.work(side, 1 + bd.r(3));
      IF bd.r(3) = 0 THEN PERFORM pg_sleep(random() * 0.01); END IF;
    -- both wait for each other: one has to give way
    EXCEPTION WHEN deadlock_detected THEN NULL;
    END;
    COMMIT;
    PERFORM pg_sleep(random() * 0.01);
  END LOOP;
END $$;
-- the rows of a side, for comparing; and what the counters should be
CREATE FUNCTION bd.rows(side text, t text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text; BEGIN
  EXECUTE format('SELECT string_agg(x::text, E''\n'' ORDER BY x::text COLLATE "C") FROM %I.%I x', side, t) INTO result;
  RETURN coalesce(result, '');
END $$;
