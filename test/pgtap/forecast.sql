-- What explain_row says that a push would do is what it does: random changes on both sides, all keys, all policies.
SET client_min_messages = warning;
SELECT plan(7);
CREATE TABLE s (id int PRIMARY KEY, v text, w text, n int); CREATE TABLE t (LIKE s INCLUDING ALL, own int DEFAULT 0);
INSERT INTO s SELECT i, 'v', 'w', i FROM generate_series(1, 12) i;
SELECT tracksync.create_link('l', 's', 'public.t', initial => 'mirror'); SELECT tracksync.set_merge_rule('l', 'n', 'greatest');
CREATE TABLE said (id int PRIMARY KEY, what text, detail jsonb, before jsonb, source jsonb);
CREATE TABLE seen (policy text, what text, n int);
CREATE FUNCTION r(n int) RETURNS int LANGUAGE sql AS 'SELECT 1 + floor(random() * n)::int';
CREATE FUNCTION letter() RETURNS text LANGUAGE sql AS $$ SELECT chr(96 + r(3)) $$;
CREATE FUNCTION change(t text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  CASE r(CASE t WHEN 's' THEN 6 ELSE 5 END)
    WHEN 1 THEN EXECUTE format('DELETE FROM %s WHERE id = %s', t, r(16));
    WHEN 2 THEN EXECUTE format('INSERT INTO %s VALUES (%s, %L, %L, %s) ON CONFLICT DO NOTHING', t, r(16), letter(), letter(), r(3));
    WHEN 3 THEN EXECUTE format('UPDATE %s SET v = %L WHERE id = %s', t, letter(), r(16));
    WHEN 4 THEN EXECUTE format('UPDATE %s SET w = %L, n = %s WHERE id = %s', t, letter(), r(3), r(16));
    WHEN 5 THEN EXECUTE format('UPDATE %s SET n = n WHERE id = %s', t, r(16));
    WHEN 6 THEN EXECUTE format('UPDATE s SET id = x.new FROM (SELECT %s AS old, %s AS new) x WHERE id = x.old AND NOT EXISTS (SELECT FROM s WHERE id = x.new)', r(16), r(16));
  END CASE;
END $$;
-- The row is as was said; NULL: nothing can be told of it.
CREATE FUNCTION holds(x said) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE now jsonb = (SELECT to_jsonb(t) FROM t WHERE t.id = x.id);
BEGIN
  RETURN CASE WHEN x.what LIKE 'nothing%' THEN now IS NOT DISTINCT FROM x.before
    WHEN x.what LIKE 'delete%' THEN now IS NULL
    WHEN x.what LIKE 'insert%' OR x.what LIKE 'overwrite%' THEN now - 'own' = x.source
    WHEN x.what LIKE 'update%' THEN now = x.before || (x.detail -> 'row')
    WHEN x.what LIKE 'write%' THEN now - 'own' = (x.detail -> 'row') - 'own' END;
END $$;
CREATE FUNCTION rounds(policy text, n int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE fails boolean; failed boolean; bad text; wrong text = '';
BEGIN
  PERFORM tracksync.alter_link('l', on_conflict => policy);
  FOR i IN 1 .. n LOOP
    FOR j IN 1 .. r(8) LOOP PERFORM change('s'); END LOOP;
    FOR j IN 1 .. r(6) - 1 LOOP PERFORM change('t'); END LOOP;
    DELETE FROM said;
    -- rows that get another key are told under both: they are looked at by whether the push fails
    INSERT INTO said SELECT id, min(what), (array_agg(detail))[1], (SELECT to_jsonb(t) FROM t WHERE t.id = x.id), (SELECT to_jsonb(s) FROM s WHERE s.id = x.id)
      FROM generate_series(1, 16) AS x(id), LATERAL tracksync.explain_row('l', jsonb_build_object('id', id)) WHERE aspect = 'push' GROUP BY id HAVING count(*) = 1;
    INSERT INTO seen SELECT policy, substring(what from '^[a-z]+ ?[a-z]*'), count(*) FROM said GROUP BY 2;
    fails = EXISTS (SELECT FROM said WHERE what LIKE 'the push fails%');
    failed = false;
    BEGIN
      PERFORM FROM tracksync.push('l');
    EXCEPTION WHEN serialization_failure THEN failed = true; WHEN unique_violation THEN failed = NULL;
    END;
    IF failed IS NOT NULL AND failed <> fails AND NOT EXISTS (SELECT FROM generate_series(1, 16) AS k WHERE k NOT IN (SELECT id FROM said)) THEN
      wrong = wrong || format('round %s: said %s, was %s; ', i, fails, failed);
    END IF;
    IF NOT failed THEN
      SELECT string_agg(format('%s: %s', x.id, x.what), ', ') INTO bad FROM said x WHERE NOT holds(x);
      wrong = wrong || CASE WHEN bad IS NULL THEN '' ELSE format('round %s: %s; ', i, bad) END;
    ELSE
      PERFORM tracksync.alter_link('l', target => 'public.t'); PERFORM FROM tracksync.push('l');
    END IF;
  END LOOP;
  RETURN wrong;
END $$;
SELECT setseed(0.4); SELECT count(*) FROM tracksync.push('l');
SELECT is(rounds(p, 20), '', p) FROM unnest('{error,source_wins,target_wins,merge}'::text[]) p;
SELECT is((SELECT string_agg(DISTINCT trim(what), ', ' ORDER BY trim(what)) FROM seen WHERE what NOT LIKE '%write of%'), 'change of, delete, insert, nothing, the push, update of', 'all of this was said');
-- what chance brings seldom
SELECT tracksync.alter_link('l', target => 'public.t'); INSERT INTO s VALUES (99, 'v', 'w', 1); SELECT count(*) FROM tracksync.push('l');
UPDATE s SET n = 5 WHERE id = 99; UPDATE t SET n = 3, v = 'x' WHERE id = 99;
SELECT is((SELECT what FROM tracksync.explain_row('l', '{"id": 99}') WHERE aspect = 'push'), 'write of the merged row (update_differs: merge)', 'a merge'); SELECT count(*) FROM tracksync.push('l');
SELECT is((SELECT v || w || n FROM t WHERE id = 99), 'xw5', 'is done');
SELECT * FROM finish();
