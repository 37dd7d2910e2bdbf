-- diff against joins written out by hand: random tables of all kinds with columns of many types, the second damaged at random.
SET client_min_messages = warning;
SELECT plan(5);
CREATE EXTENSION IF NOT EXISTS citext; CREATE EXTENSION IF NOT EXISTS postgres_fdw;
SELECT format('CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host %L, port %L, dbname %L)', split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database()),
  format('CREATE USER MAPPING FOR CURRENT_USER SERVER here OPTIONS (user %L)', current_user) \gexec
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy'); CREATE TYPE pair AS (x int, y text); CREATE DOMAIN small AS int CHECK (value < 1000); CREATE DOMAIN price AS numeric(10,2);
-- types of the two sides, values, when they are the same (NULL: their bytes are)
CREATE TABLE vkind (n serial, a text, b text, vals text[], same text);
INSERT INTO vkind (a, b, vals, same) VALUES
  ('int2', 'int2', '{0,1,-1}', NULL), ('int', 'int', '{0,1,2147483647}', NULL), ('bigint', 'bigint', '{9007199254740992,9007199254740993}', NULL),
  ('numeric', 'numeric', '{1,1.0,1.00,NaN,0,1e100,-1}', NULL), ('numeric(10,2)', 'numeric(10,2)', '{1,1.5,NaN}', NULL),
  ('float4', 'float4', '{0,-0,0.1,NaN,Infinity}', NULL), ('float8', 'float8', '{0,-0,0.1,NaN,-Infinity}', NULL),
  ('text', 'text', '{"",NULL,"NULL",a,A,"a ",é,é}', NULL), ('text', 'text', array_fill(''::text, '{2}') || repeat('long ', 3000) || repeat('lonG ', 3000) || (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 300) i), NULL),
  ('varchar(10)', 'varchar(10)', '{"",a,"a "}', NULL), ('char(5)', 'char(5)', '{"",a,b}', NULL), ('name', 'name', '{a,b}', NULL), ('citext', 'citext', '{a,A,b}', NULL),
  ('bytea', 'bytea', '{"","\\x00","\\x0000",a}', NULL), ('boolean', 'boolean', '{t,f}', NULL), ('date', 'date', '{2020-01-01,infinity,"0044-03-15 BC"}', NULL),
  ('timestamp', 'timestamp', '{2020-01-01,-infinity,"2020-01-01 00:00:00.000001"}', NULL), ('timestamptz', 'timestamptz', '{2020-01-01 00:00+00,2020-01-01 01:00+01,2020-01-01 01:00+00}', NULL),
  ('interval', 'interval', '{1 day,24:00:00,1 mon,30 days}', NULL), ('timetz', 'timetz', '{12:00+00,13:00+01}', NULL), ('uuid', 'uuid', ARRAY[md5('1'), md5('2')], NULL),
  ('json', 'json', '{"{\"a\":1}","{\"a\": 1}","null"}', NULL), ('jsonb', 'jsonb', '{"{\"a\":1}","{\"a\": 1.0}","null"}', NULL), ('xml', 'xml', '{<a/>,<a></a>}', NULL), ('inet', 'inet', '{10.0.0.1,10.0.0.1/8,10.0.0.0/8}', NULL),
  ('int4range', 'int4range', '{"[1,2]","[1,3)","[1,4)",empty}', NULL), ('int[]', 'int[]', '{"{}","{1,NULL}","{1,2}","[0:1]={1,2}"}', NULL), ('text[]', 'text[]', '{"{}","{\"\"}","{NULL}","{\"NULL\"}"}', NULL),
  ('mood', 'mood', '{sad,ok,happy}', NULL), ('pair', 'pair', '{"(,)","(1,)","(1,\"\")"}', NULL), ('point', 'point', '{"(1,2)","(1,3)","(-0,0)","(0,0)"}', NULL), ('bit(3)', 'bit(3)', '{000,001}', NULL), ('money', 'money', '{1,2}', NULL),
  ('numeric(10,2)', 'numeric', '{1,1.5,2.25}', 'IS NOT DISTINCT FROM'), ('price', 'numeric(10,4)', '{1,1.5,2.25}', 'IS NOT DISTINCT FROM'), ('int', 'bigint', '{0,1,2}', 'IS NOT DISTINCT FROM'), ('int2', 'numeric', '{0,1,2}', 'IS NOT DISTINCT FROM'),
  ('numeric(8,3)', 'int', '{0,1,2}', 'IS NOT DISTINCT FROM'), ('small', 'int', '{0,1,2}', 'IS NOT DISTINCT FROM'), ('small', 'bigint', '{0,1,2}', 'IS NOT DISTINCT FROM'), ('float4', 'float8', '{0.5,1,NaN}', 'IS NOT DISTINCT FROM'),
  ('date', 'timestamp', '{2020-01-01,2020-01-02}', 'IS NOT DISTINCT FROM'), ('text', 'varchar(20)', '{"",a,"a ",A}', 'IS NOT DISTINCT FROM'), ('char(5)', 'char(8)', '{a,b,""}', 'IS NOT DISTINCT FROM'), ('char(5)', 'text', '{a,b,""}', '::text IS NOT DISTINCT FROM'),
  ('int', 'text', '{0,1,2}', '::text IS NOT DISTINCT FROM'), ('mood', 'text', '{sad,ok}', '::text IS NOT DISTINCT FROM'), ('int[]', 'text', '{"{1,2}","{1,NULL}"}', '::text IS NOT DISTINCT FROM'), ('boolean', 'text', '{true,false}', '::text IS NOT DISTINCT FROM');
-- types of a key's column, the value for i, the same written differently, how it is matched
CREATE TABLE kkind (n serial, a text, b text, val text, again text, same text DEFAULT 'a.%1$I = b.%1$I');
INSERT INTO kkind (a, b, val, again) VALUES
  ('int', 'int', 'i', 'i'), ('bigint', 'bigint', 'i * 10000000000', 'i * 10000000000'), ('text', 'text', '''k'' || i', '''k'' || i'), ('text', 'text', 'CASE i WHEN 7 THEN '''' WHEN 8 THEN ''NULL'' ELSE chr(64 + i % 60) || i END', 'CASE i WHEN 7 THEN '''' WHEN 8 THEN ''NULL'' ELSE chr(64 + i % 60) || i END'),
  ('numeric', 'numeric', 'i', 'i || ''.00'''), ('citext', 'citext', '''k'' || i', '''K'' || i'), ('text COLLATE nocase', 'text COLLATE nocase', '''k'' || i', '''K'' || i'), ('text COLLATE "und-x-icu"', 'text COLLATE "und-x-icu"', 'chr(64 + i % 60) || i', 'chr(64 + i % 60) || i'),
  ('uuid', 'uuid', 'md5(i::text)', 'md5(i::text)'), ('float8', 'float8', 'CASE i WHEN 3 THEN 0 WHEN 4 THEN ''NaN'' ELSE i / 3.0 END', 'CASE i WHEN 3 THEN ''-0'' WHEN 4 THEN ''NaN'' ELSE i / 3.0 END'), ('char(6)', 'char(6)', '''k'' || i', '''k'' || i || '' '''),
  ('interval', 'interval', 'i * interval ''1 day''', 'i * interval ''24 hours'''), ('int4range', 'int4range', 'int4range(i, i + 1)', 'int4range(i, i, ''[]'')'), ('int[]', 'int[]', 'ARRAY[i, NULL]', 'ARRAY[i, NULL]'), ('pair', 'pair', 'ROW(i, NULL)', 'ROW(i, NULL)'), ('jsonb', 'jsonb', 'to_jsonb(i)', 'to_jsonb(i || ''.0'')'),
  ('timestamptz', 'timestamptz', 'now()::date + i', 'now()::date + i'), ('small', 'small', 'i', 'i'), ('date', 'timestamp', 'date ''2020-01-01'' + i', 'date ''2020-01-01'' + i'), ('int', 'bigint', 'i', 'i'), ('bigint', 'numeric', 'i', 'i'), ('small', 'numeric(5,1)', 'i', 'i'), ('varchar(20)', 'text', '''k'' || i', '''k'' || i'),
  ('float4', 'float8', 'i', 'i');
INSERT INTO kkind (a, b, val, again, same) VALUES ('int', 'text', 'i', 'i', 'a.%1$I::text = b.%1$I'), ('text COLLATE "C"', 'text COLLATE "und-x-icu"', 'chr(64 + i % 60) || i', 'chr(64 + i % 60) || i', 'a.%1$I = b.%1$I COLLATE "C"'), ('xml', 'xml', 'format(''<a>%s</a>'', i)', 'format(''<a>%s</a>'', i)', 'a.%1$I::text = b.%1$I::text'),
  ('mood', 'mood', '(ARRAY[''sad'', ''ok'', ''happy''])[1 + i % 3]', '(ARRAY[''sad'', ''ok'', ''happy''])[1 + i % 3]', NULL), ('boolean', 'boolean', 'i % 2 = 0', 'i % 2 = 0', NULL);
CREATE TABLE col (name text, ord int, key boolean, a text, b text, val text, again text, vals text[], same text);
CREATE TABLE tally (what text, n bigint); CREATE TABLE wrong (round int, shape text, what text, rows text);
CREATE FUNCTION r(n int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT floor(random() * n)::int';
CREATE FUNCTION pick(vals text[]) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT CASE WHEN r(6) > 0 THEN vals[1 + r(cardinality(vals))] END';
CREATE FUNCTION list(f text, o text = 'ord', keys text = 'true') RETURNS text LANGUAGE plpgsql AS $$ DECLARE l text; BEGIN
  EXECUTE format('SELECT string_agg(format(%L, name, a, b, quote_literal(vals), val, again), '', '' ORDER BY %s) FROM col WHERE %s', f, o, keys) INTO l; RETURN l; END $$;
-- One table, and what is between its columns.
CREATE FUNCTION make_table(name text, side text, keyed boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE o text = CASE WHEN r(3) = 0 THEN 'md5(name)' ELSE 'ord' END; parts int = CASE WHEN keyed AND r(4) = 0 AND NOT EXISTS (SELECT FROM col WHERE key AND (a LIKE '%nocase%' OR a IN ('xml', 'pair'))) THEN 2 ELSE 0 END;
BEGIN
  EXECUTE format('CREATE TABLE %I (%s%s) %s', name, CASE WHEN r(3) = 0 THEN 'gone int, ' END, list(CASE side WHEN 'a' THEN '%1$I %2$s' ELSE '%1$I %3$s' END, o), CASE WHEN parts > 0 THEN format('PARTITION BY HASH (%s)', list('%1$I', 'ord', 'key')) END);
  FOR p IN 0 .. parts - 1 LOOP EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS %s, REMAINDER %s)', name || p, name, parts, p); END LOOP;
  EXECUTE format('ALTER TABLE %I DROP COLUMN IF EXISTS gone', name);
  IF r(4) = 0 THEN EXECUTE format('ALTER TABLE %I ADD COLUMN only_%s int DEFAULT 7', name, side); END IF;
  IF keyed AND NOT EXISTS (SELECT FROM col WHERE key AND a = 'xml') THEN
    EXECUTE format('ALTER TABLE %I ADD PRIMARY KEY (%s)', name, list('%1$I', CASE r(2) WHEN 0 THEN 'ord' ELSE '-ord' END, 'key'));
  END IF;
END $$;
CREATE FUNCTION make_tables(keyed boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  TRUNCATE col;
  INSERT INTO col (name, ord, key, a, b, val, again, same) SELECT 'k' || ord, ord, true, a, b, val, again, same FROM (SELECT *, row_number() OVER (ORDER BY random()) AS ord FROM kkind WHERE same IS NOT NULL AND (NOT keyed OR a <> 'xml')) k LIMIT 1 + r(2);
  -- one of few values, which is a key with others only
  IF r(3) = 0 THEN INSERT INTO col (name, ord, key, a, b, val, again, same) SELECT 'few', 0, true, a, b, val, again, 'a.%1$I = b.%1$I' FROM kkind WHERE same IS NULL ORDER BY random() LIMIT 1; END IF;
  INSERT INTO col (name, ord, key, a, b, vals, same) SELECT CASE WHEN n % 10 = 0 THEN 'V "' ELSE 'v' END || n, 10 + n, false, a, b, vals, same FROM (SELECT * FROM vkind ORDER BY random() LIMIT r(9)) v;
  PERFORM make_table('ta', 'a', keyed), make_table('tb', 'b', keyed);
  EXECUTE format('INSERT INTO ta (%s) SELECT %s FROM generate_series(1, %s) i WHERE random() < 0.9', list('%1$I'), list(CASE WHEN r(2) = 0 THEN '(%5$s)::text::%2$s' ELSE '(%6$s)::text::%2$s' END, 'ord', 'key') || coalesce(', ' || list('pick(%4$s)::%2$s', 'ord', 'NOT key'), ''), CASE r(5) WHEN 0 THEN 0 ELSE 80 END);
  -- a copy, and rows of its own
  EXECUTE format('INSERT INTO tb (%s) SELECT %s FROM ta WHERE random() < 0.9', list('%1$I'), (SELECT string_agg(CASE WHEN a = b THEN format('%I', name) ELSE format('%I::%s', name, b) END, ', ' ORDER BY ord) FROM col));
  EXECUTE format('INSERT INTO tb (%s) SELECT %s FROM generate_series(1, 90) i WHERE random() < 0.3 ON CONFLICT DO NOTHING', list('%1$I'), list('(%6$s)::text::%3$s', 'ord', 'key') || coalesce(', ' || list('pick(%4$s)::%3$s', 'ord', 'NOT key'), ''));
END $$;
CREATE FUNCTION damage() RETURNS void LANGUAGE plpgsql AS $$
DECLARE c record; BEGIN
  FOR c IN SELECT * FROM col WHERE NOT key LOOP
    IF r(3) = 0 THEN EXECUTE format('UPDATE tb SET %1$I = pick(%2$L)::%3$s WHERE random() < 0.2', c.name, c.vals, c.b); END IF;
  END LOOP;
END $$;
-- Without an index a table may have a row twice, and keys of NULL.
CREATE FUNCTION unkey() RETURNS void LANGUAGE plpgsql AS $$
DECLARE c record; t text; BEGIN
  FOREACH t IN ARRAY '{ta,tb}'::text[] LOOP
    EXECUTE format('DELETE FROM %1$I x WHERE EXISTS (SELECT FROM %1$I y WHERE y.ctid < x.ctid AND %2$s)', t, (SELECT string_agg(format(CASE WHEN a = 'xml' THEN 'x.%1$I::text = y.%1$I::text' ELSE 'x.%1$I = y.%1$I' END, name), ' AND ') FROM col WHERE key));
    SELECT * INTO c FROM col WHERE key ORDER BY random() LIMIT 1;
    EXECUTE format('UPDATE %1$I SET %2$I = NULL WHERE ctid IN (SELECT ctid FROM %1$I ORDER BY random() LIMIT 1)', t, c.name);
  END LOOP;
END $$;
CREATE FUNCTION wrap(t text, side text, keyed boolean) RETURNS text LANGUAGE plpgsql AS $$
DECLARE w text = t || '_w'; columns text = list('%1$I', 'md5(name || ''x'')'); BEGIN
  CASE r(CASE WHEN keyed THEN 8 ELSE 4 END)
    WHEN 0 THEN EXECUTE format('CREATE VIEW %I AS SELECT %s, 1 AS more_%s FROM %I', w, columns, side, t);
    WHEN 1 THEN EXECUTE format('CREATE MATERIALIZED VIEW %I AS SELECT %s FROM %I', w, columns, t);
    WHEN 2 THEN EXECUTE format('CREATE FOREIGN TABLE %I (%s) SERVER here OPTIONS (table_name %L, use_remote_estimate ''true'')', w, list(CASE side WHEN 'a' THEN '%1$I %2$s' ELSE '%1$I %3$s' END), t);
    ELSE RETURN t;
  END CASE;
  RETURN w;
END $$;
CREATE FUNCTION expected(s text, t text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  matched text = (SELECT string_agg(format('(' || same || ' OR (a.%1$I IS NULL AND b.%1$I IS NULL))', name), ' AND ') FROM col WHERE key);
  -- a's order is that of its columns
  differs text = format('array_remove(ARRAY[%s], NULL)', (SELECT string_agg(format(CASE WHEN c.a = c.b AND NOT (c.key AND c.same IS NULL) OR c.same IS NULL THEN 'CASE WHEN NOT record_image_eq(ROW(a.%1$I), ROW(b.%1$I)) THEN %2$L END'
    WHEN c.key THEN 'CASE WHEN NOT (' || c.same || ' OR (a.%1$I IS NULL AND b.%1$I IS NULL)) THEN %2$L END' ELSE 'CASE WHEN NOT (a.%1$I ' || c.same || ' b.%1$I) THEN %2$L END' END, name, name), ', '
    ORDER BY (SELECT attnum FROM pg_attribute WHERE attrelid = s::regclass AND attname = name)) FROM col c));
  row_of text = '(SELECT to_jsonb(x) FROM (SELECT ' || list('%%1$s.%1$I') || ') x)'; key_of text = '(SELECT to_jsonb(x) FROM (SELECT ' || list('%%1$s.%1$I', 'ord', 'key') || ') x)';
BEGIN
  RETURN format('SELECT ''only_a'', %3$s, %4$s, NULL::jsonb, NULL::text[] FROM %1$I a WHERE NOT EXISTS (SELECT FROM %2$I b WHERE %5$s) UNION ALL '
    'SELECT ''only_b'', %6$s, NULL, %7$s, NULL FROM %2$I b WHERE NOT EXISTS (SELECT FROM %1$I a WHERE %5$s) UNION ALL '
    'SELECT ''differs'', %3$s, %4$s, %7$s, %8$s FROM %1$I a, %2$I b WHERE %5$s AND %8$s <> ''{}''', s, t, format(key_of, 'a'), format(row_of, 'a'), matched, format(key_of, 'b'), format(row_of, 'b'), differs);
END $$;
CREATE FUNCTION compare(round int, a text, b text, key text[], flat boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  want text = expected(a, b); bad text; n bigint;
  got text = format(CASE WHEN flat THEN 'SELECT * FROM tracksync.diff(%L, %L, %L)' ELSE 'SELECT (d).* FROM (SELECT tracksync.diff(%L, %L, %L) AS d OFFSET 0) x' END, a, b, key);
BEGIN
  EXECUTE format('SELECT string_agg(x::text, E''\n'') FROM ((SELECT ''missing'', * FROM (%1$s) w EXCEPT ALL SELECT ''missing'', * FROM (%2$s) g) UNION ALL (SELECT ''too many'', * FROM (%2$s) g EXCEPT ALL SELECT ''too many'', * FROM (%1$s) w)) x', want, got) INTO bad;
  IF bad IS NOT NULL THEN
    INSERT INTO wrong VALUES (round, (SELECT string_agg(format('%s%s %s/%s', name, CASE WHEN c.key THEN '!' END, c.a, c.b), ', ' ORDER BY ord) FROM col c), format('%s %s %s', a, b, key), left(bad, 2000));
  END IF;
  EXECUTE format('INSERT INTO tally SELECT kind, count(*) FROM (%s) x GROUP BY 1', got);
EXCEPTION WHEN OTHERS THEN INSERT INTO wrong VALUES (round, (SELECT string_agg(format('%s%s %s/%s', name, CASE WHEN c.key THEN '!' END, c.a, c.b), ', ' ORDER BY ord) FROM col c), format('%s %s %s', a, b, key), SQLSTATE || ' ' || SQLERRM);
END $$;
CREATE PROCEDURE run(seed float8, rounds int) LANGUAGE plpgsql AS $$
DECLARE keyed boolean; a text; b text; key text[]; BEGIN
  PERFORM setseed(seed);
  FOR round IN 1 .. rounds LOOP
    keyed := r(3) > 0;
    PERFORM make_tables(keyed), damage();
    IF NOT keyed THEN PERFORM unkey(); END IF;
    COMMIT;
    a := wrap('ta', 'a', keyed); b := wrap('tb', 'b', keyed);
    -- an index of either side is enough
    key := CASE WHEN keyed AND (a = 'ta' OR b = 'tb') AND r(2) = 0 THEN NULL ELSE (SELECT array_agg(name ORDER BY random()) FROM col WHERE col.key) END;
    PERFORM compare(round, a, b, key, r(2) = 0);
    INSERT INTO tally SELECT (SELECT relkind::text FROM pg_class WHERE oid = t::regclass), 1 FROM unnest(ARRAY[a, b]) t;
    -- the other session has the tables open until then
    COMMIT;
    PERFORM drop_all();
    COMMIT;
  END LOOP;
END $$;
CREATE FUNCTION drop_all() RETURNS void LANGUAGE plpgsql AS $$
DECLARE c record; BEGIN
  FOR c IN SELECT oid::regclass AS t, relkind FROM pg_class WHERE relname ~ '^t[ab]_w$' LOOP
    EXECUTE format('DROP %s %s', CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'FOREIGN TABLE' END, c.t);
  END LOOP;
  DROP TABLE ta, tb;
END $$;
CALL run(coalesce(nullif(current_setting('oracle.seed', true), ''), '0.6')::float8, coalesce(nullif(current_setting('oracle.rounds', true), ''), '150')::int);
SELECT is(count(*), 0::bigint, 'all that differs and nothing else') FROM wrong;
SELECT diag(format(E'round %s: %s\n%s\n%s', round, shape, what, rows)) FROM wrong ORDER BY round LIMIT 3;
SELECT is(string_agg(what, ' ' ORDER BY what), 'differs f m only_a only_b p r v', 'all kinds came') FROM (SELECT what FROM tally GROUP BY 1 HAVING sum(n) > 3) x;
-- and the other way round, in pieces
CREATE TABLE x (id int PRIMARY KEY, v text); CREATE TABLE y (LIKE x INCLUDING ALL);
INSERT INTO x SELECT i, r(3) FROM generate_series(1, 20000) i WHERE r(20) > 0; INSERT INTO y SELECT i, r(3) FROM generate_series(1, 20000) i WHERE r(20) > 0;
SELECT results_eq($$SELECT translate(kind, 'ab', 'ba'), key, a, b, columns FROM tracksync.diff('x', 'y') WHERE kind <> 'differs'$$, $$SELECT translate(kind, 'ab', 'ab'), key, b, a, columns FROM tracksync.diff('y', 'x') WHERE kind <> 'differs'$$, 'the other way round');
SELECT results_eq($$SELECT (d).* FROM (SELECT tracksync.diff('x', 'y') AS d OFFSET 0) q$$, $$SELECT * FROM tracksync.diff('x', 'y')$$, 'as they come, or all at once');
SELECT results_eq($$SELECT kind, (key ->> 'id')::int, columns FROM tracksync.diff('x', 'y')$$,
  $$SELECT CASE WHEN y.id IS NULL THEN 'only_a' WHEN x.id IS NULL THEN 'only_b' ELSE 'differs' END, id, CASE WHEN x.id = y.id THEN '{v}'::text[] END FROM x FULL JOIN y USING (id) WHERE x.v IS DISTINCT FROM y.v ORDER BY id$$, 'many, in the order of the key');
SELECT * FROM finish();
