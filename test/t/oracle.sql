-- The oracle: random SQL on source tables by four sessions that commit out of order, pushes at random moments, and after each
-- push a full comparison of source and target. Deterministic from its seed: only this session draws random numbers, and the
-- sessions' keys are disjoint (key % 4 = session), so that nobody waits for anybody.
--
--   CALL o.run(seed, rounds);   -- seed between 0 and 1; every statement is in o.trace, with its result
--
-- With the setting oracle.server the targets are reached through that server, which is this database.
CREATE EXTENSION dblink;
CREATE EXTENSION citext;
CREATE EXTENSION IF NOT EXISTS tracksync;
CREATE SCHEMA o;
CREATE FUNCTION o.server() RETURNS name LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('oracle.server', true), '')::name $$;

-- Sources and targets. s1: all kinds of types, two links at different positions; s2: composite key, other column order;
-- s3: a key with an equality of its own; s4: partitioned on both sides; s5: images none, a trigger that changes the row again;
-- s6: a self-referencing target; s7: as s5 with images, and more rows changed by the trigger.
CREATE TYPE o.mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN o.pos AS int CHECK (VALUE > 0);
CREATE DOMAIN o.ints AS int[];
CREATE TYPE o.comp AS (x int, y text);
CREATE TABLE o.s1 (id int PRIMARY KEY, gone int, v text, n numeric(12,3), n2 numeric, f float8, arr int[], tarr text[],
  j jsonb, js json, ct citext, e o.mood, c o.comp, r int4range, by bytea, p o.pos, di o.ints, ts timestamptz, pt point,
  big text, g int GENERATED ALWAYS AS (id * 2) STORED);
ALTER TABLE o.s1 DROP COLUMN gone;
CREATE TABLE o.t1 (LIKE o.s1, PRIMARY KEY (id));
CREATE TABLE o.t1b (own text DEFAULT 'mine', LIKE o.s1, UNIQUE (id));
CREATE TABLE o.s2 (b int, v text, a text, d date, w varchar(20), ch char(5), PRIMARY KEY (a, b));
CREATE TABLE o.t2 (a text, b int, w varchar(20), v text, ch char(5), d date, PRIMARY KEY (b, a));
CREATE TABLE o.s3 (k citext PRIMARY KEY, v text, n int);
CREATE TABLE o.t3 (LIKE o.s3 INCLUDING ALL);
CREATE TABLE o.s4 (id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE o.s4a PARTITION OF o.s4 FOR VALUES IN ('a');
CREATE TABLE o.s4b (v text, region text NOT NULL, junk int, id int NOT NULL);
ALTER TABLE o.s4b DROP COLUMN junk;
ALTER TABLE o.s4 ATTACH PARTITION o.s4b FOR VALUES IN ('b');
CREATE TABLE o.s4c PARTITION OF o.s4 DEFAULT;
CREATE TABLE o.t4 (id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY HASH (id);
CREATE TABLE o.t4_0 PARTITION OF o.t4 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE o.t4_1 PARTITION OF o.t4 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE o.s5 (id bigint PRIMARY KEY, v text, n int);
CREATE TABLE o.t5 (id bigint PRIMARY KEY, v text, n bigint);
CREATE TABLE o.s6 (id int PRIMARY KEY, v text, n int);
CREATE TABLE o.t6 (id int PRIMARY KEY, v text, n int REFERENCES o.t6);
CREATE TABLE o.s7 (LIKE o.s5 INCLUDING ALL);
CREATE TABLE o.t7 (LIKE o.s5 INCLUDING ALL);

-- A trigger whose name sorts first: its changes reach the capture trigger before those that caused them.
CREATE FUNCTION o.again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF pg_trigger_depth() > 1 THEN RETURN NULL; END IF;
  IF NEW.id % 3 = 0 THEN
    EXECUTE format('UPDATE %s SET n = coalesce(n, 0) + 1, v = CASE WHEN $1 %% 2 = 0 THEN $2 ELSE v || ''+'' END WHERE id = $1', TG_RELID::regclass)
      USING NEW.id, OLD.v;
  END IF;
  IF NEW.id % 7 = 0 THEN
    EXECUTE format('DELETE FROM %s WHERE id = $1', TG_RELID::regclass) USING NEW.id;
  END IF;
  IF NEW.id % 5 = 0 AND TG_RELID = 'o.s7'::regclass THEN
    UPDATE o.s7 SET v = OLD.v WHERE id BETWEEN NEW.id - 4 AND NEW.id + 4 AND id % 4 = NEW.id % 4;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER " first" AFTER UPDATE ON o.s5 FOR EACH ROW EXECUTE FUNCTION o.again();
CREATE TRIGGER " first" AFTER UPDATE ON o.s7 FOR EACH ROW EXECUTE FUNCTION o.again();

SELECT tracksync.track('o.s5', images => 'none');
CREATE TABLE o.link (l text, s regclass, t regclass, cols text);
INSERT INTO o.link
SELECT 'l' || x, s, ('o.t' || x)::regclass,
       (SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute WHERE attrelid = s AND attnum > 0 AND NOT attisdropped)
FROM unnest('{1,1b,2,3,4,5,6,7}'::text[]) x, LATERAL (SELECT ('o.s' || left(x, 1))::regclass) y(s);
SELECT tracksync.create_link(l, s, t::text, o.server(), initial => CASE l WHEN 'l1b' THEN 'mirror' WHEN 'l7' THEN 'none' ELSE 'copy' END) FROM o.link;

CREATE TABLE o.trace (i bigserial, sql text, result text);

-- Rows of one table that the other has not, both ways, compared byte for byte on their text.
CREATE FUNCTION o.diff(s regclass, t regclass, cols text, OUT n bigint) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('WITH s AS (SELECT row(%1$s)::text COLLATE "C" FROM %2$s), t AS (SELECT row(%1$s)::text COLLATE "C" FROM %3$s) '
                 'SELECT count(*) FROM ((TABLE s EXCEPT ALL TABLE t) UNION ALL (TABLE t EXCEPT ALL TABLE s)) x', cols, s, t) INTO n;
END $$;

-- Random numbers, choices, values and statements.
CREATE FUNCTION o.r(n int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT floor(random() * n)::int';
CREATE FUNCTION o.pick(VARIADIC a text[]) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT a[1 + floor(random() * cardinality(a))::int]';

CREATE FUNCTION o.val(col text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF random() < 0.12 THEN RETURN 'NULL'; END IF;
  RETURN CASE col
    WHEN 'v' THEN o.pick('''x''', '''y''', '''''', '''NULL''', 'v || ''!''', 'upper(v)', '''"q\''''''')
    WHEN 'n' THEN o.pick('1.5', '1.50', '0', 'n', '1000.125', 'n + 1')
    WHEN 'n2' THEN o.pick('1.5', '1.50', '''NaN''', '0', '-0.0', '1e20')
    WHEN 'f' THEN o.pick('0', '''-0''', '''NaN''', '1.5', '''Infinity''', '0.1::float8 + 0.2')
    WHEN 'arr' THEN o.pick('''{}''', '''{1,2}''', '''{1,NULL}''', '''[2:3]={1,2}''', '''{{1,2},{3,4}}''')
    WHEN 'tarr' THEN o.pick('''{}''', '''{"a,b","","NULL",NULL}''', '''{x}''')
    WHEN 'j' THEN o.pick('''{"a":1}''', '''{"a":1.0}''', '''[]''', '''null''')
    WHEN 'js' THEN o.pick('''{"a":1}''', '''{"a": 1}''', '''[]''')
    WHEN 'ct' THEN o.pick('''A''', '''a''', '''b''')
    WHEN 'e' THEN o.pick('''sad''', '''ok''', '''happy''')
    WHEN 'c' THEN o.pick('''(1,a)''', '''(,)''', '''(2,"x,y")''')
    WHEN 'r' THEN o.pick('''[1,5)''', '''empty''', '''(,3]''')
    WHEN 'by' THEN o.pick('''\x00ff''', '''\x''', '''\x5c''')
    WHEN 'p' THEN o.pick('1', '2', '7')
    WHEN 'di' THEN o.pick('''{}''', '''{1,2}''')
    WHEN 'ts' THEN o.pick('''2024-01-01''', '''infinity''', '''2024-06-01 12:00+02''')
    WHEN 'pt' THEN o.pick('''(1,2)''', '''(-0,0)''', '''(0,0)''')
    WHEN 'big' THEN o.pick('big', format('repeat(''ab'', %s)', 1 + o.r(20000)),
                           format('(SELECT string_agg(md5(i::text), '''') FROM generate_series(1, %s) i)', 1 + o.r(200)), '''short''')
    WHEN 'd' THEN o.pick('''2024-01-01''', '''-infinity''', '''2024-02-29''')
    WHEN 'w' THEN o.pick('''w''', '''w ''', '''W''')
    WHEN 'ch' THEN o.pick('''c''', '''ccccc''', '''c  ''')
  END;
END $$;

-- A statement on one table for the keys of one session.
CREATE FUNCTION o.dml(tab text, c int) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  k int := o.r(12) * 4 + c;
  k2 int := o.r(12) * 4 + c;
  cols text[] := CASE tab WHEN 's1' THEN '{v,n,n2,f,arr,tarr,j,js,ct,e,c,r,by,p,di,ts,pt,big}' WHEN 's2' THEN '{v,d,w,ch}'
                          WHEN 's4' THEN '{v}' WHEN 's6' THEN '{v}' ELSE '{v,n}' END;
  col text := o.pick(VARIADIC cols);
  col2 text := o.pick(VARIADIC cols);
  num text := CASE tab WHEN 's3' THEN 'substr(k::text, 2)::int' WHEN 's2' THEN 'b' ELSE 'id' END;
  keycols text := CASE tab WHEN 's2' THEN 'a, b' WHEN 's3' THEN 'k' WHEN 's4' THEN 'id, region' ELSE 'id' END;
  w text := CASE tab WHEN 's2' THEN format('a = %L AND b = %s', chr(97 + k % 3), k) WHEN 's3' THEN format('k = %L', 'K' || k)
                     ELSE 'id = ' || k END;
  newkey text := CASE tab WHEN 's2' THEN format('%L, %s', chr(97 + k % 3), k) WHEN 's3' THEN quote_literal(o.pick('K', 'k') || k)
                          WHEN 's4' THEN format('%s, %L', k, o.pick('a', 'b', 'z')) ELSE k::text END;
  v text := o.val(col);
BEGIN
  IF random() < 0.15 THEN w := format('%s %% 4 = %s AND %1$s %% 3 = %s', num, c, o.r(3)); END IF;
  CASE o.r(14)
  WHEN 0, 1, 2, 3 THEN
    RETURN format('INSERT INTO o.%s (%s, %s) VALUES (%s, %s)%s', tab, keycols, col, newkey,
                  CASE WHEN v ~ '^(v|n|big|upper)' THEN 'NULL' ELSE v END,
                  o.pick('', format(' ON CONFLICT (%s) DO UPDATE SET %s = excluded.%2$s', keycols, col), ' ON CONFLICT DO NOTHING'));
  WHEN 4, 5, 6, 7 THEN
    RETURN format('UPDATE o.%s SET %s = %s%s WHERE %s', tab, col, v,
                  CASE WHEN col2 <> col AND random() < 0.4 THEN format(', %s = %s', col2, o.val(col2)) ELSE '' END, w);
  WHEN 8, 9 THEN
    RETURN format('DELETE FROM o.%s WHERE %s', tab, w);
  WHEN 10 THEN                  -- the key changes, perhaps only in case, perhaps with the partition
    RETURN CASE tab
      WHEN 's2' THEN format('UPDATE o.s2 SET b = %s, v = %s WHERE %s', k2, o.val('v'), w)
      WHEN 's3' THEN format('UPDATE o.s3 SET k = %L, n = %s WHERE k = %L', o.pick('K', 'k') || CASE WHEN random() < 0.5 THEN k ELSE k2 END, o.r(9), 'K' || k)
      WHEN 's4' THEN format('UPDATE o.s4 SET region = %L, id = %s WHERE id = %s', o.pick('a', 'b', 'z'), CASE WHEN random() < 0.5 THEN k ELSE k2 END, k)
      ELSE format('UPDATE o.%s SET id = %s WHERE id = %s', tab, k2, k) END;
  WHEN 11 THEN                  -- straight into a leaf; or rows that leave and come back in one statement
    IF tab = 's4' THEN
      RETURN o.pick(format('INSERT INTO o.s4b (id, region, v) VALUES (%s, ''b'', ''leaf'')', k),
                    format('UPDATE o.s4a SET v = v || ''l'' WHERE id = %s', k), format('DELETE FROM o.s4c WHERE id = %s', k));
    ELSIF tab = 's1' THEN
      RETURN format('WITH d AS (DELETE FROM o.s1 WHERE %s RETURNING *) INSERT INTO o.s1 (id, v, n, arr, big) SELECT id, v, n, arr, big FROM d', w);
    END IF;
    RETURN format('WITH d AS (DELETE FROM o.%s WHERE %s RETURNING *) INSERT INTO o.%1$s SELECT * FROM d', tab, w);
  WHEN 12 THEN                  -- a TRUNCATE, of one partition perhaps; or an UPDATE that changes nothing
    IF random() < 0.15 AND tab <> 's6' THEN
      RETURN 'TRUNCATE o.' || CASE WHEN tab = 's4' THEN o.pick('s4', 's4a') ELSE tab END;
    END IF;
    RETURN format('UPDATE o.%s SET %s = %2$s WHERE %s', tab, col, w);
  ELSE                          -- an exception caught in plpgsql
    RETURN format('DO $d$ BEGIN BEGIN UPDATE o.%s SET %s = %s WHERE %s; DELETE FROM o.%1$s WHERE %4$s; '
                  'IF %s THEN RAISE EXCEPTION ''x''; END IF; EXCEPTION WHEN raise_exception THEN NULL; END; '
                  'UPDATE o.%1$s SET %s = %s WHERE %4$s; END $d$', tab, col, v, w, (random() < 0.6)::text, col2, o.val(col2));
  END CASE;
END $$;

-- A command, and a query with one text column, in session c.
CREATE FUNCTION o.ex(c int, q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  res text := 'ok';
BEGIN
  BEGIN PERFORM dblink_exec('c' || c, q); EXCEPTION WHEN OTHERS THEN res := SQLSTATE || ' ' || SQLERRM; END;
  INSERT INTO o.trace (sql, result) VALUES (format('c%s: %s', c, q), res);
  RETURN res;
END $$;
CREATE FUNCTION o.qu(c int, q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  res text;
BEGIN
  BEGIN
    SELECT string_agg(x, ',') INTO res FROM dblink('c' || c, q) AS t(x text);
  EXCEPTION WHEN OTHERS THEN res := 'ERR ' || SQLSTATE || ' ' || SQLERRM;
  END;
  INSERT INTO o.trace (sql, result) VALUES (format('c%s: %s', c, q), res);
  RETURN res;
END $$;

-- Errors that concurrency brings: an aborted transaction, a lock timeout, a serialization failure of the server's own.
CREATE FUNCTION o.excused(res text) RETURNS boolean LANGUAGE sql AS $$
  SELECT res LIKE 'ERR 25P02%' OR res LIKE 'ERR 55P03%' OR res LIKE 'ERR 40001 could not serialize%'
$$;

-- After a push of one link by session c the tables are the same and the plan is empty.
CREATE FUNCTION o.compare(c int, lk o.link) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  different text; after text;
BEGIN
  different := o.qu(c, format('SELECT n::text FROM o.diff(%L, %L, %L)', lk.s, lk.t, lk.cols));
  IF o.excused(different) THEN RETURN; END IF;
  IF different <> '0' THEN RAISE EXCEPTION 'link %: % rows differ after a push', lk.l, different; END IF;
  after := o.qu(c, format('SELECT count(*)::text FROM tracksync.plan(%L)', lk.l));
  IF after <> '0' THEN RAISE EXCEPTION 'link %: the plan after a push is not empty: %', lk.l, after; END IF;
END $$;

-- A push of one link by session c: plan, net changes and push agree. False: an error that was to be expected.
CREATE FUNCTION o.push_once(c int, lk o.link) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  planned text; net text; pushed text;
BEGIN
  planned := o.qu(c, format('SELECT coalesce(string_agg(kind || n, '' '' ORDER BY o), '''') FROM (SELECT kind, sum(rows) n, min(step) o FROM tracksync.plan(%L) WHERE kind <> ''sequence'' GROUP BY kind) x', lk.l));
  net := o.qu(c, format('SELECT coalesce(string_agg(k || n, '' '' ORDER BY o), '''') FROM (SELECT lower(op) k, count(*) n, '
    'min(CASE op WHEN ''DELETE'' THEN 1 WHEN ''UPDATE'' THEN 2 ELSE 3 END) o FROM tracksync.net_changes(%L) GROUP BY op) x', lk.l));
  IF random() < 0.1 THEN PERFORM o.qu(c, format('SELECT count(*)::text FROM tracksync.push(%L, dry_run => true)', lk.l)); END IF;
  IF random() < 0.2 THEN PERFORM o.qu(c, format('SELECT count(*)::text FROM tracksync.changes(%L)', lk.s)); END IF;
  pushed := o.qu(c, format('SELECT coalesce(string_agg(kind || n, '' '' ORDER BY o), '''') FROM (SELECT kind, sum(rows) n, min(step) o FROM tracksync.push(%L) WHERE kind <> ''sequence'' GROUP BY kind) x', lk.l));
  IF o.excused(pushed) THEN RETURN false; END IF;
  IF pushed LIKE 'ERR %' THEN RAISE EXCEPTION 'push of % failed: %', lk.l, pushed; END IF;
  IF planned IS DISTINCT FROM pushed THEN RAISE EXCEPTION 'plan of %: "%", push: "%"', lk.l, planned, pushed; END IF;
  IF net IS DISTINCT FROM planned THEN RAISE EXCEPTION 'net changes of %: "%", plan: "%"', lk.l, net, planned; END IF;
  RETURN true;
END $$;
CREATE FUNCTION o.push(c int, lk o.link) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF o.push_once(c, lk) THEN PERFORM o.compare(c, lk); END IF;
END $$;

-- To another server from within a transaction, which then ends: changes of its own are refused, those of others are there after COMMIT;
-- by an older snapshot they are not all that the tables have now, which a second push sees to.
CREATE FUNCTION o.push_within(c int, lk o.link) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  own text := o.qu(c, format('SELECT EXISTS (SELECT FROM tracksync.changes(%L) WHERE txid = pg_current_xact_id_if_assigned())::text', lk.s));
  level text := o.qu(c, 'SELECT current_setting(''transaction_isolation'')');
  result text;
BEGIN
  IF own = 'true' THEN
    PERFORM o.ex(c, 'SAVEPOINT own');
    result := o.qu(c, format('SELECT count(*)::text FROM tracksync.push(%L)', lk.l));
    IF result NOT LIKE 'ERR 25001%' AND NOT o.excused(result) THEN RAISE EXCEPTION 'push of %, with changes of its own: %', lk.l, result; END IF;
    PERFORM o.ex(c, 'ROLLBACK TO own');
    IF o.ex(c, 'COMMIT') = 'ok' THEN PERFORM o.push(c, lk); END IF;
  ELSIF o.push_once(c, lk) THEN
    result := o.pick('COMMIT', 'COMMIT', 'ROLLBACK');
    IF o.ex(c, result) = 'ok' AND result = 'COMMIT' THEN
      IF level = 'read committed' THEN PERFORM o.compare(c, lk); ELSE PERFORM o.push(c, lk); END IF;
    END IF;
  ELSE
    PERFORM o.ex(c, 'ROLLBACK');
  END IF;
END $$;

CREATE PROCEDURE o.run(seed float8, rounds int, sabotage boolean = false) LANGUAGE plpgsql AS $$
DECLARE
  open boolean[] := '{f,f,f,f}';     -- the session is in a transaction block
  depth int[] := '{0,0,0,0}';        -- its savepoints
  prepared text[] := '{}';
  k int; x text; lk o.link; pushes int := 0; statements int := 0;
BEGIN
  PERFORM setseed(seed);
  FOR k IN 0..3 LOOP
    PERFORM dblink_connect('c' || k, format('host=%s port=%s dbname=%s user=%s', split_part(current_setting('unix_socket_directories'), ',', 1),
                                            current_setting('port'), current_database(), session_user));
    PERFORM o.ex(k, format('SET lock_timeout = ''50ms''; SET statement_timeout = ''60s''; SET tracksync.buffer_rows = %s; SET tracksync.batch_rows = %s; SET tracksync.direct_writes = %s',
      1 + o.r(20), 1 + o.r(8), o.r(3) > 0));
  END LOOP;
  FOR round IN 1..rounds LOOP
    FOR turn IN 1..(1 + o.r(8)) LOOP
      k := o.r(4);
      IF NOT open[k + 1] AND random() < 0.5 THEN
        PERFORM o.ex(k, 'BEGIN ' || o.pick('', '', '', 'ISOLATION LEVEL REPEATABLE READ', 'ISOLATION LEVEL SERIALIZABLE'));
        open[k + 1] := true;
        depth[k + 1] := 0;
      END IF;
      x := o.ex(k, o.dml('s' || (1 + o.r(7)), k));
      statements := statements + 1;
      IF x <> 'ok' AND open[k + 1] THEN
        IF depth[k + 1] > 0 AND o.ex(k, 'ROLLBACK TO p' || depth[k + 1]) = 'ok' THEN NULL;
        ELSE
          PERFORM o.ex(k, 'ROLLBACK');
          open[k + 1] := false;
        END IF;
      END IF;
      CONTINUE WHEN NOT open[k + 1];
      CASE o.r(12)
      WHEN 0, 1 THEN
        depth[k + 1] := depth[k + 1] + 1;
        PERFORM o.ex(k, 'SAVEPOINT p' || depth[k + 1]);
      WHEN 2 THEN
        IF depth[k + 1] > 0 THEN
          depth[k + 1] := 1 + o.r(depth[k + 1]);
          PERFORM o.ex(k, 'ROLLBACK TO p' || depth[k + 1]);
        END IF;
      WHEN 3 THEN
        IF depth[k + 1] > 0 THEN
          PERFORM o.ex(k, 'RELEASE p' || depth[k + 1]);
          depth[k + 1] := depth[k + 1] - 1;
        END IF;
      WHEN 4, 5, 6 THEN
        PERFORM o.ex(k, 'COMMIT');
        open[k + 1] := false;
      WHEN 7 THEN
        PERFORM o.ex(k, 'ROLLBACK');
        open[k + 1] := false;
      WHEN 8 THEN
        IF cardinality(prepared) < 3 THEN
          x := 'g' || round || '_' || statements;
          IF o.ex(k, format('PREPARE TRANSACTION %L', x)) = 'ok' THEN prepared := prepared || x; END IF;
          open[k + 1] := false;
        END IF;
      WHEN 9 THEN               -- a push of its own changes, in the transaction that made them
        SELECT * INTO lk FROM o.link ORDER BY l OFFSET o.r(8) LIMIT 1;
        IF o.server() IS NULL THEN
          PERFORM o.push(k, lk);
          PERFORM o.ex(k, o.pick('COMMIT', 'COMMIT', 'ROLLBACK'));
        ELSE
          PERFORM o.push_within(k, lk);
        END IF;
        pushes := pushes + 1;
        open[k + 1] := false;
      ELSE NULL;
      END CASE;
    END LOOP;
    IF cardinality(prepared) > 0 AND random() < 0.4 THEN
      k := o.r(4);
      IF NOT open[k + 1] THEN
        PERFORM o.ex(k, format('%s PREPARED %L', o.pick('COMMIT', 'COMMIT', 'ROLLBACK'), prepared[1]));
        prepared := prepared[2:];
      END IF;
    END IF;
    k := o.r(4);
    IF random() < 0.7 AND NOT open[k + 1] THEN
      SELECT * INTO lk FROM o.link ORDER BY l OFFSET o.r(8) LIMIT 1;
      PERFORM o.push(k, lk);
      pushes := pushes + 1;
    END IF;
    IF round % 50 = 0 THEN COMMIT; END IF;
  END LOOP;
  FOR k IN 0..3 LOOP
    IF open[k + 1] THEN PERFORM o.ex(k, 'COMMIT'); END IF;
  END LOOP;
  FOREACH x IN ARRAY prepared LOOP PERFORM o.ex(0, format('COMMIT PREPARED %L', x)); END LOOP;
  -- a change that the log lost: the comparison must see it
  IF sabotage THEN
    FOR lk IN SELECT * FROM o.link WHERE s = 'o.s1'::regclass LOOP PERFORM o.push(0, lk); END LOOP;
    PERFORM o.ex(0, 'INSERT INTO o.s1 (id, v) VALUES (9999, ''unseen'')');
    PERFORM o.ex(0, format('DELETE FROM %s', (SELECT log FROM tracksync.tracked_table WHERE source = 'o.s1'::regclass)));
  END IF;
  FOR lk IN SELECT * FROM o.link ORDER BY l LOOP
    PERFORM o.push(0, lk);
    pushes := pushes + 1;
  END LOOP;
  SELECT string_agg(DISTINCT left(result, 100), E'\n') INTO x FROM o.trace WHERE result ~ '^(ERR )?(XX|08|57|58|22|42|55000)...';
  IF x IS NOT NULL THEN RAISE EXCEPTION 'unexpected errors: %', x; END IF;
  RAISE NOTICE 'oracle: % statements, % pushes', statements, pushes;
END $$;
