-- Rules: what rows have to be like to be pushed. validate lists, a push stops before its first step or puts the rows into quarantine.
SET client_min_messages = warning;
SELECT plan(203);
CREATE FUNCTION done(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(format('%s %s%s', link, kind, rows), ', ' ORDER BY step), '') FROM tracksync.push(name) $$;
CREATE FUNCTION bad(l text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(format('%s %s %s %s', op, key, sqlstate, "constraint"), ', ' ORDER BY key), '') FROM tracksync.quarantine WHERE link = l $$;
CREATE FUNCTION broken(n text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(format('%s %s', key ->> 'id', rule), ', ' ORDER BY key, rule), '') FROM tracksync.validate(n) $$;
CREATE FUNCTION all_of(t text) RETURNS text LANGUAGE plpgsql AS
  $$ DECLARE r text; BEGIN EXECUTE format('SELECT coalesce(string_agg(t::text, '' '' ORDER BY t::text), '''') FROM %s t', t) INTO r; RETURN r; END $$;
-- error(SQL): SQLSTATE, message, detail and hint
CREATE FUNCTION error(q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE m text; d text; h text;
BEGIN
  EXECUTE q;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
  RETURN format('%s: %s|%s|%s', SQLSTATE, m, d, h);
END $$;

-- an expression
CREATE TABLE s (id int PRIMARY KEY, a int, b text, c numeric); CREATE TABLE t (id int PRIMARY KEY, a int, b text, c numeric(10,2));
SELECT tracksync.create_link('l', 's', 'public.t');
SELECT tracksync.add_rule('l', 'positive', 'a > 0', 'a must be positive');
INSERT INTO s VALUES (1, 1, 'x', 1), (2, -1, 'x', 2), (3, NULL, 'x', 3);
SELECT results_eq($$SELECT * FROM tracksync.validate('l')$$, $$VALUES ('l', '{"id": 2}'::jsonb, 'positive', 'a', '-1', 'a must be positive')$$, 'false breaks a rule, NULL does not');
SELECT is(error($$SELECT done('l')$$), '23514: push of "l" would write 1 row that breaks rules of the link (1 violation)|They are:'
  || E'\nkey {"id": 2}: rule "positive", column "a", value "-1": a must be positive'
  || $$|See all of them with tracksync.validate('l'). Mend the rows at the source, drop the rule, or leave such rows out: tracksync.alter_link('l', on_error => 'quarantine').$$, 'the push is stopped');
SELECT is(all_of('t'), '', 'and nothing is written');
SELECT throws_ok($$SELECT tracksync.push('l', dry_run => true)$$, '23514', NULL, 'nor rehearsed');
SELECT is((SELECT string_agg(kind || rows, ' ') FROM tracksync.plan('l')), 'insert3', 'the plan is what it was');
SELECT is((SELECT count(*) FROM tracksync.validate('l')), 1::bigint, 'validate changes nothing');
SELECT ok((SELECT what LIKE 'the push fails: rule "positive": a must be positive' FROM tracksync.explain_row('l', '{"id": 2}') WHERE aspect = 'push'), 'explain_row tells');
UPDATE s SET a = 2 WHERE id = 2;
SELECT is(broken('l'), '', 'mended'); SELECT is(done('l'), 'l insert3', 'pushed');
UPDATE s SET b = 'y'; DELETE FROM s WHERE id = 1; UPDATE s SET a = -5 WHERE id = 3;
SELECT is(broken('l'), '3 positive', 'the new row counts');
UPDATE t SET a = -7 WHERE id = 1;
SELECT is(broken('l'), '3 positive', 'rows to be deleted do not');
UPDATE s SET a = 5 WHERE id = 3; UPDATE t SET a = 1 WHERE id = 1; SELECT is(done('l'), 'l delete1, l update2', 'pushed');
-- a default message; several columns; none
SELECT tracksync.add_rule('l', 'sum', 'a + c < 100'), tracksync.add_rule('l', 'never', 'current_setting(''server_version_num'')::int < 0');
UPDATE s SET a = 200 WHERE id = 2;
SELECT results_eq($$SELECT rule, "column", value, message FROM tracksync.validate('l')$$,
  $$VALUES ('never', NULL, NULL, 'does not hold: current_setting(''server_version_num'')::int < 0'), ('sum', NULL, NULL, 'does not hold: a + c < 100')$$, 'rules of several columns, and of none');
SELECT tracksync.drop_rule('l', 'never'), tracksync.drop_rule('l', 'sum');
SELECT is(done('l'), 'l update1', 'without them it goes');
-- one that fails for a row, among others
SELECT tracksync.add_rule('l', 'ratio', '100 / a > 1', 'too large'), tracksync.add_rule('l', 'b', 'b <> ''bad''');
INSERT INTO s SELECT i, i % 50, CASE i % 7 WHEN 0 THEN 'bad' ELSE 'x' END, 1 FROM generate_series(100, 999) i;
SELECT is((SELECT string_agg(DISTINCT message, ', ') FROM tracksync.validate('l') WHERE value = '0' AND rule = 'ratio'), 'too large (division by zero)', 'one that fails for a row is broken by it');
SELECT is(broken('l'), (SELECT string_agg(format('%s %s', id, r), ', ' ORDER BY id::text::jsonb, r) FROM (SELECT id, 'ratio' AS r FROM s WHERE id >= 100 AND CASE a WHEN 0 THEN true ELSE NOT 100 / a > 1 END
  UNION ALL SELECT id, 'positive' FROM s WHERE id >= 100 AND NOT a > 0 UNION ALL SELECT id, 'b' FROM s WHERE id >= 100 AND b = 'bad') x), 'and by no other');
SELECT is((SELECT count(*) FROM regexp_matches(error($$SELECT done('l')$$), 'key \{', 'g')), 10::bigint, 'the first ten are shown');
DELETE FROM s WHERE id >= 100;
SELECT tracksync.drop_rule('l', 'ratio'), tracksync.drop_rule('l', 'b'), tracksync.drop_rule('l', 'positive');
SELECT is((SELECT count(*) FROM tracksync.rule), 0::bigint, 'none is left');

-- ready-made rules, in all the ways they are written
CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE DOMAIN short AS text CHECK (length(VALUE) < 1000);
CREATE TABLE r (id int PRIMARY KEY, email text, price numeric, name short, state mood, tags text[], raw bytea, f float8, d date, "Odd ""Name" int, p point, j json);
CREATE TABLE tr (LIKE r INCLUDING ALL);
SELECT tracksync.create_link('r', 'r', 'public.tr');
CREATE FUNCTION tries(rule text, expression text, "column" text, value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
  PERFORM tracksync.add_rule('r', rule, expression);
  EXECUTE format('INSERT INTO r (id, %I) VALUES (1, %s)', "column", value);
  SELECT string_agg(format('%s: %s', v."column", v.message), '; ') INTO result FROM tracksync.validate('r') v;
  DELETE FROM r; PERFORM tracksync.drop_rule('r', rule);
  RETURN coalesce(result, 'fine');
END $$;
SELECT is(tries('required', 'email', 'email', 'NULL'), 'email: email is required', 'required');
SELECT is(tries('required', 'email', 'email', ''''''), 'fine', 'what is empty is there');
SELECT is(tries('required', 'EMAIL', 'email', 'NULL'), 'email: email is required', 'a column as SQL has it');
SELECT is(tries('required', ' "email" ', 'email', 'NULL'), 'email: email is required', 'in quotes');
SELECT is(tries('required', 'Odd "Name', 'price', '1'), 'Odd "Name: Odd "Name is required', 'just as it is called');
SELECT is(tries('required', '"Odd ""Name"', 'price', '1'), 'Odd "Name: Odd "Name is required', 'or quoted as SQL has it');
SELECT is(tries('there', 'required(email)', 'email', 'NULL'), 'email: email is required', 'a call, under another name');
SELECT is(tries('required', 'required( email )', 'email', 'NULL'), 'email: email is required', 'a call, under the same');
SELECT is(tries('required', 'email IS NOT NULL AND price > 0', 'email', 'NULL'), ': does not hold: email IS NOT NULL AND price > 0', 'an expression under the name of a kind');
SELECT is(tries('required', 'tags', 'tags', 'ARRAY[NULL]::text[]'), 'fine', 'an array of NULL is there');
SELECT is(tries('range', x.e, 'price', x.v), x.want, x.e || ' of ' || x.v) FROM (VALUES
  ('price, 0, 100', '50', 'fine'), ('price, 0, 100', '0', 'fine'), ('price, 0, 100', '100.001', 'price: price must be between 0 and 100'), ('price, 0, 100', 'NULL', 'fine'),
  ('price, 0, 100', '''NaN''', 'price: price must be between 0 and 100'), ('price, 0', '-1', 'price: price must be at least 0'), ('price, , 5', '6', 'price: price must be at most 5'),
  ('price, NULL, 5', '-6', 'fine'), ('range(price, ''0'', ''100'')', '-1', 'price: price must be between 0 and 100')) x(e, v, want);
SELECT is(tries('range', 'd, 2020-01-01, 2020-12-31', 'd', '''2021-01-01'''), 'd: d must be between 2020-01-01 and 2020-12-31', 'a range of dates');
SELECT is(tries('range', 'f, 0', 'f', '''-Infinity'''), 'f: f must be at least 0', 'of floats');
SELECT is(tries('range', 'email, a, b', 'email', '''c'''), 'email: email must be between a and b', 'of texts');
SELECT is(tries('range', 'state, good, good', 'state', '''bad'''), 'state: state must be good', 'of an enum');
SELECT is(tries('length', x.e, x.c, x.v), x.want, x.e || ' of ' || x.v) FROM (VALUES
  ('name, 1, 3', 'name', '''äöü''', 'fine'), ('name, 1, 3', 'name', '''''', 'name: the length of name must be between 1 and 3'), ('name, 3', 'name', '''abcd''', 'name: the length of name must be at most 3'),
  ('length(name, 2, )', 'name', '''a''', 'name: the length of name must be at least 2'), ('name, 2, 2', 'name', '''a''', 'name: the length of name must be 2'), ('raw, 2', 'raw', '''\x010203''', 'raw: the length of raw must be at most 2'),
  ('tags, 1, 2', 'tags', '''{}''', 'tags: the length of tags must be between 1 and 2'), ('tags, 1, 2', 'tags', '''{a,b}''', 'fine'), ('name, 1', 'name', 'NULL', 'fine')) x(e, c, v, want);
SELECT is(tries('pattern', x.e, 'email', x.v), x.want, x.e || ' of ' || x.v) FROM (VALUES
  ('email, ^[^@]+@[^@]+$', '''a@b''', 'fine'), ('email, ^[^@]+@[^@]+$', '''ab''', 'email: email does not match ^[^@]+@[^@]+$'), ('email, ^a{1,2}$', '''aaa''', 'email: email does not match ^a{1,2}$'),
  ('pattern(email, ''^it''''s$'')', '''its''', 'email: email does not match ^it''s$'), ('pattern(email, ^[(]x$)', '''(x''', 'fine'), ('email, ^a', 'NULL', 'fine')) x(e, v, want);
SELECT is(tries('pattern', 'price, ^\d+$', 'price', '1.5'), 'price: price does not match ^\d+$', 'a pattern of numbers');
SELECT is(tries('one_of', x.e, x.c, x.v), x.want, x.e || ' of ' || x.v) FROM (VALUES
  ('state, {good}', 'state', '''good''', 'fine'), ('state, {good}', 'state', '''bad''', 'state: state must be one of good'), ('email, new, paid', 'email', '''old''', 'email: email must be one of new, paid'),
  ('email, ''new'', ''paid''', 'email', '''paid''', 'fine'), ('one_of(email, ''a,b'', ''c'')', 'email', '''a,b''', 'fine'), ('email, ARRAY[''a'', ''b'']', 'email', '''b''', 'fine'), ('email, (''a'', ''b'')', 'email', '''c''', 'email: email must be one of a, b'),
  ('price, 1, 2.0', 'price', '2', 'fine'), ('price, 1, 2', 'price', 'NULL', 'fine'), ('email, {"x y",z}', 'email', '''x y''', 'fine')) x(e, c, v, want);
SELECT is(tries('one_of', 'one_of(tags, ''{a,b}'', ''{c}'')', 'tags', '''{c}'''), 'fine', 'one of several arrays');
-- their functions
SELECT tracksync.rule_required('r', 'email'), tracksync.rule_required('r', 'Odd "Name', 'odd'), tracksync.rule_range('r', 'price', 0, 10.5), tracksync.rule_range('r', 'd', '2020-01-01', NULL), tracksync.rule_length('r', 'name', NULL, 3),
  tracksync.rule_pattern('r', 'email', '^it''s, \w+$', 'pattern'), tracksync.rule_one_of('r', 'state', '{good}'), tracksync.rule_unique('r', '{email,"Odd \"Name"}');
INSERT INTO r (id, email, price, name, state, d, "Odd ""Name") VALUES (1, 'it''s, me', 10.5, 'abc', 'good', '2020-01-01', 1), (2, 'its', 11, 'abcd', 'bad', '2019-01-01', NULL), (3, 'it''s, me', 1, 'a', 'good', '2022-01-01', 1);
SELECT is(broken('r'), '1 unique, 2 length, 2 one_of, 2 pattern, 2 range, 2 range, 2 required, 3 unique', 'all of them');
SELECT throws_ok($$SELECT tracksync.rule_required('r', 'email')$$, '42710', NULL, 'the same rule of the same column');
SELECT throws_ok($$SELECT tracksync.add_rule('r', 'required', 'email IS NOT NULL')$$, '42710', NULL, 'a name that is taken by ready-made ones');
SELECT tracksync.drop_rule('r', 'required(email)'); SELECT is((SELECT string_agg(columns[1], ' ') FROM tracksync.rule WHERE rule = 'required'), 'Odd "Name', 'one of several is dropped');
SELECT tracksync.drop_rule('r', 'required("Odd ""Name")'); SELECT tracksync.drop_rule('r', 'range'); SELECT is((SELECT count(*) FROM tracksync.rule WHERE rule IN ('required', 'range')), 0::bigint, 'or all of that name');
DELETE FROM r; SELECT tracksync.drop_rule('r', rule) FROM (SELECT DISTINCT rule FROM tracksync.rule WHERE link = 'r') x;

-- bad input
SELECT is(left(error(format('SELECT tracksync.add_rule(%s)', x.args)), 5), x.state, x.args) FROM (VALUES
  ('''nosuch'', ''x'', ''true''', '42704'), ('''r'', NULL, ''true''', '22004'), ('NULL, ''x'', ''true''', '22004'), ('''r'', ''x'', NULL', '22004'), ('''r'', '''', ''true''', '22023'), ('''r'', ''x'', ''nosuch > 1''', '42703'),
  ('''r'', ''x'', ''price''', '42804'), ('''r'', ''x'', ''price >''', '42601'), ('''r'', ''x'', ''true, false''', '42601'), ('''r'', ''x'', ''(SELECT true)''', '0A000'), ('''r'', ''x'', ''count(*) > 1''', '42803'), ('''r'', ''x'', ''random() > 1''', '42P17'),
  ('''r'', ''x'', ''r IS NOT NULL''', '42703'), ('''r'', ''x'', ''ctid IS NOT NULL''', '42703'), ('''r'', ''required'', ''nosuch''', '42703'), ('''r'', ''required'', ''email, price''', '22023'), ('''r'', ''range'', ''price''', '22023'), ('''r'', ''range'', ''price, , ''', '22023'),
  ('''r'', ''range'', ''price, a, b''', '22P02'), ('''r'', ''range'', ''p, 1, 2''', '42883'), ('''r'', ''length'', ''name, x''', '22023'), ('''r'', ''length'', ''name, -1''', '22023'), ('''r'', ''pattern'', ''email, (''', '2201B'), ('''r'', ''pattern'', ''email''', '22023'),
  ('''r'', ''one_of'', ''state, {nosuch}''', '22P02'), ('''r'', ''one_of'', ''state''', '22023'), ('''r'', ''one_of'', ''email, {a,NULL}''', '22023'), ('''r'', ''one_of'', ''email, {a''', 'no er'), ('''r'', ''unique'', ''email, nosuch''', '42703'), ('''r'', ''unique'', ''j''', '42883'), ('''r'', ''unique'', ''lower(email)''', '42804'), ('''r'', ''unique'', ''email, price, email''', '42701')) x(args, state);
SELECT tracksync.drop_rule('r', 'one_of');
SELECT throws_ok($$SELECT tracksync.drop_rule('r', 'nosuch')$$, '42704', 'link "r" has no rule "nosuch"', 'no such rule');
SELECT throws_ok($$SELECT tracksync.drop_rule('nosuch', 'x')$$, '42704', NULL, 'no such link');
SELECT throws_ok($$SELECT tracksync.drop_rule('r', NULL)$$, '22004', NULL, 'NULL');
SELECT throws_ok($$SELECT tracksync.validate(NULL)$$, '22004', NULL, 'NULL');
SELECT throws_ok($$SELECT tracksync.validate('nosuch')$$, '42704', NULL, 'no such link or group');
SELECT tracksync.create_group('g', '{l,r}'); SELECT throws_ok($$SELECT tracksync.add_rule('g', 'x', 'true')$$, '42704', NULL, 'a group has no rules');

-- groups
SELECT tracksync.add_rule('l', 'a', 'a < 1000'), tracksync.add_rule('r', 'e', 'email <> ''x''');
INSERT INTO s VALUES (50, 1000, 'x', 1), (51, 1, 'x', 1); INSERT INTO r (id, email) VALUES (1, 'x'), (2, 'y');
SELECT results_eq($$SELECT link, key, rule FROM tracksync.validate('g')$$, $$VALUES ('l', '{"id": 50}'::jsonb, 'a'), ('r', '{"id": 1}', 'e')$$, 'validate of a group');
SELECT alike(error($$SELECT done('g')$$), '23514: push of "g" would write 2 rows that break rules of its links (2 violations)|%link "l", key {"id": 50}:%link "r", key {"id": 1}:%', 'a group is stopped by each of its links');
SELECT tracksync.alter_link('r', on_error => 'quarantine');
SELECT alike(error($$SELECT done('g')$$), '23514: %1 row that%', 'one that aborts stops all');
SELECT tracksync.alter_link('l', on_error => 'quarantine');
SELECT is(done('g'), 'l insert1, r insert1', 'quarantine');
SELECT is(bad('l') || '; ' || bad('r'), 'INSERT {"id": 50} 23514 a; INSERT {"id": 1} 23514 e', 'with the name of the rule');
SELECT is((SELECT message FROM tracksync.quarantine WHERE link = 'l'), 'does not hold: a < 1000', 'and the message');
SELECT ok((SELECT what LIKE 'nothing: it is left out: rule "a": %, tried again' FROM tracksync.explain_row('l', '{"id": 50}') WHERE aspect = 'push'), 'explain_row tells');
SELECT is((SELECT string_agg(kind || rows, ' ') FROM tracksync.plan('g')), 'insert1 insert1', 'they are pending');
SELECT is(done('g'), 'l insert0, r insert0', 'tried again'); SELECT is((SELECT string_agg(attempts::text, ' ') FROM tracksync.quarantine), '2 2', 'and counted');
UPDATE s SET a = 999 WHERE id = 50; SELECT is(done('l') || bad('l'), 'l insert1', 'mended at the source');
SELECT tracksync.drop_rule('r', 'e'); SELECT is(done('r') || bad('r'), 'r insert1', 'or the rule is dropped');
UPDATE s SET a = 2000, b = 'z' WHERE id = 50; SELECT done('l'); SELECT is(tracksync.release('l', '{"id": 50}'), 1::bigint, 'released'); SELECT done('l');
SELECT is(bad('l'), 'UPDATE {"id": 50} 23514 a', 'it is left out again'); SELECT is(tracksync.discard('l', '{"id": 50}'), 1::bigint, 'given up'); SELECT is(done('l') || bad('l'), '', 'and not tried any more');
SELECT is((SELECT a FROM t WHERE id = 50), 999, 'the target''s row is as it was'); DELETE FROM t WHERE id = 50; DELETE FROM s WHERE id = 50; SELECT tracksync.alter_link('l', on_conflict => 'source_wins'); SELECT done('l');
-- a row that gets another key is not left out
UPDATE s SET id = 60, a = 5000 WHERE id = 51;
SELECT alike(error($$SELECT done('l')$$), '23514: %A row that gets another key cannot be left out%', 'a row that gets another key'); UPDATE s SET a = 1 WHERE id = 60; SELECT done('l'); SELECT is(all_of('t'), all_of('(SELECT id, a, b, c::numeric(10,2) FROM s)'), 'equal in the end');
-- one that aborts after all
UPDATE s SET a = 1001 WHERE id = 60; SELECT done('l'); SELECT tracksync.alter_link('l', on_error => 'abort'); SELECT throws_ok($$SELECT done('l')$$, '23514', NULL, 'rows in quarantine stop a push that leaves none out');
SELECT tracksync.drop_rule('l', 'a'); SELECT is(done('l') || bad('l'), 'l update1', 'without the rule they go'); SELECT tracksync.drop_group('g');

-- rows that refer to one that breaks a rule wait with it
CREATE TABLE pa (id int PRIMARY KEY, v text); CREATE TABLE ch (id int PRIMARY KEY, pa int); CREATE TABLE tpa (LIKE pa INCLUDING ALL); CREATE TABLE tch (id int PRIMARY KEY, pa int REFERENCES tpa);
SELECT tracksync.create_link('pa', 'pa', 'public.tpa', on_error => 'quarantine'), tracksync.create_link('ch', 'ch', 'public.tch', on_error => 'quarantine'), tracksync.create_group('f', '{pa,ch}'), tracksync.add_rule('pa', 'v', 'required(v)');
INSERT INTO pa VALUES (1, 'x'), (2, NULL); INSERT INTO ch VALUES (10, 1), (20, 2);
SELECT is(done('f'), 'pa insert1, ch insert1', 'the family of the good row'); SELECT is(bad('pa') || '; ' || bad('ch'), 'INSERT {"id": 2} 23514 v; INSERT {"id": 20} 23503 tch_pa_fkey', 'that of the other one waits');
UPDATE pa SET v = 'y' WHERE id = 2; SELECT is(done('f') || bad('pa') || bad('ch'), 'pa insert1, ch insert1', 'and comes');

-- unique
CREATE TABLE u (id int PRIMARY KEY, e text, n numeric, x int); CREATE TABLE tu (id int PRIMARY KEY, e text, n numeric(6,1), x int);
INSERT INTO tu VALUES (100, 'there', 1), (101, 'old', 2); INSERT INTO u SELECT * FROM tu;
SELECT tracksync.create_link('u', 'u', 'public.tu', initial => 'none'), tracksync.add_rule('u', 'unique', 'e');
INSERT INTO u VALUES (1, 'a', 1), (2, 'a', 2), (3, NULL, 3), (4, NULL, 4), (5, 'there', 5), (6, 'b', 6);
SELECT is(broken('u'), '1 unique, 2 unique, 5 unique', 'among the rows to be pushed, and with those that stay; NULLs are never equal');
SELECT results_eq($$SELECT DISTINCT "column", message FROM tracksync.validate('u')$$, $$VALUES ('e', 'e must be unique')$$, 'message');
SELECT throws_ok($$SELECT done('u')$$, '23514', NULL, 'stopped');
UPDATE u SET e = 'c' WHERE id = 2; DELETE FROM u WHERE id = 100;
SELECT is(broken('u'), '', 'a row that goes gives its value up'); SELECT is(done('u'), 'u delete1, u insert6', 'pushed');
UPDATE u SET e = CASE id WHEN 1 THEN 'b' WHEN 6 THEN 'a' ELSE e END; UPDATE u SET e = 'c' WHERE id = 5; UPDATE u SET e = 'there' WHERE id = 2;
SELECT is(broken('u'), '', 'values that change places'); SELECT done('u'); SELECT is(all_of('tu'), all_of('(SELECT id, e, n::numeric(6,1), x FROM u)'), 'pushed');
UPDATE u SET id = 200 WHERE id = 6; INSERT INTO u VALUES (7, 'a', 7);
SELECT is(broken('u'), '7 unique, 200 unique', 'a row that gets another key has its value still');
UPDATE u SET e = 'd' WHERE id = 200; SELECT is(broken('u'), '', 'or gives it up'); SELECT done('u'); SELECT is(all_of('tu'), all_of('(SELECT id, e, n::numeric(6,1), x FROM u)'), 'pushed');
UPDATE u SET x = 1; SELECT is(broken('u'), '', 'rows are not compared with themselves'); SELECT done('u');
-- as the target holds it; several columns
SELECT tracksync.drop_rule('u', 'unique'), tracksync.add_rule('u', 'sole', 'unique(n, x)', 'taken');
INSERT INTO u VALUES (300, 'x', 1.04, 1), (301, 'x', 99, NULL), (302, 'x', 99, NULL);
SELECT results_eq($$SELECT key, rule, "column", value, message FROM tracksync.validate('u')$$, $$VALUES ('{"id": 300}'::jsonb, 'sole', NULL, NULL, 'taken')$$, 'rounded as the target rounds it; several columns');
DELETE FROM u WHERE id >= 300; SELECT tracksync.drop_rule('u', 'sole');
-- quarantine: a value that a row which was left out has still
SELECT tracksync.alter_link('u', on_error => 'quarantine'), tracksync.add_rule('u', 'unique', 'e'), tracksync.add_rule('u', 'x', 'x < 10'); SELECT done('u');
UPDATE u SET e = 'moved', x = 10 WHERE id = 1; UPDATE u SET e = 'b' WHERE id = 2;
SELECT is(broken('u'), '1 x', 'of the values the one is free'); SELECT is(done('u'), 'u update0', 'unless the other one does not go');
SELECT is(bad('u'), 'UPDATE {"id": 1} 23514 x, UPDATE {"id": 2} 23514 unique', 'then it waits'); SELECT is((SELECT message FROM tracksync.quarantine WHERE "constraint" = 'unique'), 'e must be unique: the row with the key {"id": 1} has it still', 'and says so');
UPDATE u SET x = 1 WHERE id = 1; SELECT done('u'); SELECT is(bad('u') || all_of('tu'), all_of('(SELECT id, e, n::numeric(6,1), x FROM u)'), 'until it goes');
-- one that the target refuses, likewise
ALTER TABLE tu ADD CHECK (e <> 'refused'); UPDATE u SET e = 'refused' WHERE id = 1; UPDATE u SET e = 'moved' WHERE id = 3;
SELECT done('u'); SELECT is(bad('u'), 'UPDATE {"id": 1} 23514 tu_e_check, UPDATE {"id": 3} 23514 unique', 'a row that the target refuses has its value still'); UPDATE u SET e = 'fine' WHERE id = 1; SELECT done('u'); SELECT is(bad('u') || all_of('tu'), all_of('(SELECT id, e, n::numeric(6,1), x FROM u)'), 'equal');
-- two that are left out for the same value, and one of them mended
INSERT INTO u VALUES (400, 'twice', 1, 1), (401, 'twice', 1, 1); SELECT done('u'); SELECT is(bad('u'), 'INSERT {"id": 400} 23514 unique, INSERT {"id": 401} 23514 unique', 'both are left out'); UPDATE u SET e = 'once' WHERE id = 400; SELECT done('u'); SELECT is(bad('u') || all_of('tu'), all_of('(SELECT id, e, n::numeric(6,1), x FROM u)'), 'until they differ');

-- columns with other names and types, expressions
CREATE TABLE m (id int PRIMARY KEY, txt text, q int); CREATE TABLE tm (id int PRIMARY KEY, n int, twice int, v varchar(3));
SELECT tracksync.create_link('m', 'm', 'public.tm', columns => '{"id": "id", "n": "txt::int", "twice": "q * 2", "v": "txt"}');
SELECT tracksync.add_rule('m', 'even', 'twice < 10'), tracksync.add_rule('m', 'n', 'n + 1 > 0'), tracksync.add_rule('m', 'len', 'length(v, 1, 3)');
INSERT INTO m VALUES (1, '5', 1), (2, '-5', 20), (3, '12345', 0);
SELECT results_eq($$SELECT key, rule, value FROM tracksync.validate('m')$$, $$VALUES ('{"id": 2}'::jsonb, 'even', '40'), ('{"id": 2}', 'n', '-5'), ('{"id": 3}', 'len', '12345')$$, 'the target''s columns, not cut yet');
SELECT tracksync.drop_rule('m', 'n'), tracksync.drop_rule('m', 'even'); DELETE FROM m WHERE id = 3; SELECT done('m');
-- renames: at the source, and by hand at the target
CREATE TABLE re (id int PRIMARY KEY, a int, b int); CREATE TABLE tre (id int PRIMARY KEY, a int, b int);
SELECT tracksync.create_link('re', 're', 'public.tre'), tracksync.add_rule('re', 'a', 'a > b'), tracksync.add_rule('re', 'required', 'a'), tracksync.add_rule('re', 'unique', 'a, b'); INSERT INTO re VALUES (1, 2, 1); SELECT done('re');
ALTER TABLE re RENAME a TO c; ALTER TABLE re RENAME b TO a; ALTER TABLE re RENAME c TO b; INSERT INTO re VALUES (2, 1, 9), (3, NULL, 5);
SELECT results_eq($$SELECT key, rule, "column", message FROM tracksync.validate('re')$$, $$VALUES ('{"id": 2}'::jsonb, 'a', NULL, 'does not hold: (b > a)'), ('{"id": 3}', 'required', 'b', 'b is required')$$, 'rules follow renamed columns');
SELECT tracksync.add_rule('re', 'sum', 'a + b < 20', 'sum'); UPDATE re SET b = 11, a = 10 WHERE id = 2; SELECT is(broken('re'), '2 sum, 3 required', 'a rule made meanwhile');
UPDATE re SET b = 8, a = 7 WHERE id = 2; DELETE FROM re WHERE id = 3; SELECT is(broken('re'), '', 'mended'); SELECT done('re');
SELECT is((SELECT string_agg(format('%s %s', rule, expression), ' ' ORDER BY rule) FROM tracksync.rule WHERE link = 're'), 'a ("b" > "a") required ("b" IS NOT NULL) sum (("a" + "b") < 20) unique ', 'under their new names');
INSERT INTO re VALUES (4, 40, 50); SELECT is(broken('re'), '4 a, 4 sum', 'as before'); DELETE FROM re WHERE id = 4;
ALTER TABLE tre RENAME b TO own; INSERT INTO re VALUES (5, 40, 50); SELECT is(broken('re'), '5 a, 5 sum', 'renamed by hand'); UPDATE re SET a = 3, b = 4 WHERE id = 5; SELECT done('re');
SELECT is((SELECT string_agg(array_to_string(columns, ' '), ', ' ORDER BY rule) FROM tracksync.rule WHERE link = 're'), 'own a, own, own a, own a', 'kept under that name');
SELECT alike(error($$SELECT tracksync.alter_link('re', columns => '{"id": "id", "a": "a"}')$$), '42703: rule "a" of link "re" is about column "own", which the link does not write|%tracksync.drop_rule(''re'', ''a'')%', 'a column that a rule is about stays in the link');
ALTER TABLE re DROP COLUMN b; SELECT throws_ok($$SELECT done('re')$$, '42703', NULL, 'one that the source dropped'); SELECT tracksync.drop_rule('re', rule) FROM (SELECT DISTINCT rule FROM tracksync.rule WHERE link = 're') x; SELECT lives_ok($$SELECT done('re')$$, 'goes without its rules');
-- another type; a column that comes
CREATE TABLE ty (id int PRIMARY KEY, v int); SELECT tracksync.create_link('ty', 'ty', 'public.tty', create_target => true), tracksync.add_rule('ty', 'v', 'v < 10'), tracksync.add_rule('ty', 'unique', 'v'); INSERT INTO ty VALUES (1, 1), (2, 10), (3, 3), (4, 3);
SELECT is(broken('ty'), '2 v, 3 unique, 4 unique', 'a target that is not there yet'); DELETE FROM ty WHERE id IN (2, 4); SELECT done('ty');
ALTER TABLE ty ALTER v TYPE numeric, ADD w text; UPDATE ty SET v = 9.999 WHERE id = 1; INSERT INTO ty VALUES (5, 3, 'x'), (6, 10.5, NULL); SELECT is(broken('ty'), '5 unique, 6 v', 'another type'); SELECT tracksync.add_rule('ty', 'w', 'w <> ''x''');
SELECT is(broken('ty'), '5 unique, 5 w, 6 v', 'a new column'); UPDATE ty SET v = id WHERE id >= 5; UPDATE ty SET w = 'y'; SELECT is(broken('ty'), '', 'mended'); SELECT done('ty'); SELECT is(all_of('ty'), all_of('tty'), 'equal');
-- a column that an UPDATE leaves alone; filters
CREATE TABLE fi (id int PRIMARY KEY, v int, w int); CREATE TABLE tfi (LIKE fi INCLUDING ALL); INSERT INTO fi VALUES (1, 100, 1), (2, 1, 1); SELECT tracksync.create_link('fi', 'fi', 'public.tfi', filter => 'w > 0'); SELECT done('fi'); SELECT tracksync.add_rule('fi', 'v', 'v < 10');
SELECT is(broken('fi'), '', 'rows that are there are not looked at'); UPDATE fi SET w = 2; SELECT is(broken('fi'), '1 v', 'until they change, in whatever column'); UPDATE fi SET w = 0; SELECT is(broken('fi'), '', 'a row that leaves the filter goes'); SELECT done('fi');
INSERT INTO fi VALUES (3, 100, 0); SELECT is(broken('fi'), '', 'one that does not pass it does not come'); UPDATE fi SET w = 1; SELECT is(broken('fi'), '1 v, 3 v', 'one that enters does');

-- a chain of values behind a row that is left out: each waits for the one before it
CREATE TABLE chain (id int PRIMARY KEY, u int, ok boolean DEFAULT true); CREATE TABLE tchain (LIKE chain INCLUDING ALL); SELECT tracksync.create_link('chain', 'chain', 'public.tchain', on_error => 'quarantine'), tracksync.add_rule('chain', 'unique', 'u'), tracksync.add_rule('chain', 'ok', 'ok'); INSERT INTO chain SELECT i, i FROM generate_series(1, 60) i; SELECT done('chain');
UPDATE chain SET u = u + 1, ok = id <> 40; SELECT done('chain'); SELECT results_eq($$SELECT min(id), max(id), count(*) FROM tchain WHERE u = id$$, 'VALUES (1, 40, 40::bigint)', 'those behind it have their old values, the others go'); SELECT is((SELECT count(*) FROM tracksync.quarantine WHERE link = 'chain'), 40::bigint, 'and are listed');
UPDATE chain SET ok = true; SELECT done('chain'); SELECT is(bad('chain') || all_of('chain'), all_of('tchain'), 'until it is mended'); SELECT tracksync.drop_link('chain');
-- of values that are rounded: what the target will have
CREATE TABLE lo (id int PRIMARY KEY, n numeric); CREATE TABLE tlo (id int PRIMARY KEY, n numeric(10,2)); SELECT tracksync.create_link('lo', 'lo', 'public.tlo', on_cast => 'lossy'), tracksync.add_rule('lo', 'n', 'n > 0 AND n <= 1'); INSERT INTO lo VALUES (1, 0.001), (2, 1.001), (3, 1.006); SELECT is(broken('lo'), '1 n, 3 n', 'rounded'); SELECT tracksync.drop_link('lo');
-- the fingerprint is that of the plan
CREATE TABLE fp (id int PRIMARY KEY, v text, n int); CREATE TABLE tfp (LIKE fp INCLUDING ALL); INSERT INTO fp SELECT i, 'v' || i, i FROM generate_series(1, 500) i; SELECT tracksync.create_link('fp', 'fp', 'public.tfp'), tracksync.add_rule('fp', 'unique', 'v'), tracksync.add_rule('fp', 'n', '1000 / n > 0');
SELECT lives_ok($$SELECT tracksync.push('fp', expect => tracksync.plan_fingerprint('fp'))$$, 'of a comparison');
UPDATE fp SET v = v || 'x' WHERE id % 3 = 0; UPDATE fp SET n = n + 1 WHERE id % 2 = 0; UPDATE fp SET id = id + 1000 WHERE id BETWEEN 20 AND 30; DELETE FROM fp WHERE id % 7 = 0; INSERT INTO fp SELECT i, repeat('long', i * 10), i FROM generate_series(600, 700) i;
SELECT lives_ok($$SELECT tracksync.push('fp', expect => tracksync.plan_fingerprint('fp'))$$, 'of the log'); SELECT is(all_of('fp'), all_of('tfp'), 'equal');
-- rows whose fields are NULL are not null
CREATE TYPE pair AS (a int, b int); CREATE TABLE co (id int PRIMARY KEY, p pair, v numeric); CREATE TABLE tco (LIKE co INCLUDING ALL); SELECT tracksync.create_link('co', 'co', 'public.tco'), tracksync.add_rule('co', 'unique', 'p'), tracksync.add_rule('co', 'required', 'p');
INSERT INTO co VALUES (1, ROW(1, NULL)), (2, ROW(1, NULL)), (3, ROW(NULL, NULL)), (4, ROW(NULL, NULL)), (5, NULL), (6, NULL); SELECT is(broken('co'), '1 unique, 2 unique, 3 unique, 4 unique, 5 required, 6 required', 'composite values');

-- names, and what they are called in messages
CREATE TABLE "S s" ("I d" int PRIMARY KEY, "va'l" text); CREATE TABLE "T t" (LIKE "S s" INCLUDING ALL); SELECT tracksync.create_link('l ''"l', '"S s"', 'public."T t"'), tracksync.add_rule('l ''"l', 'ru''le "x"', '"va''l" <> ''it''''s''', 'me''ss');
INSERT INTO "S s" VALUES (1, 'it''s'); SELECT results_eq($$SELECT * FROM tracksync.validate('l ''"l')$$, $$VALUES ('l ''"l', '{"I d": 1}'::jsonb, 'ru''le "x"', 'va''l', 'it''s', 'me''ss')$$, 'odd names');
SELECT tracksync.drop_rule('l ''"l', 'ru''le "x"'); SELECT is(done('l ''"l'), 'l ''"l insert1', 'gone');

-- names are looked up as they were when the rule was made, functions run as the link's owner
CREATE SCHEMA mine; CREATE FUNCTION mine.ok(int) RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT $1 < 10 AND current_user = 'rule_owner' $$;
CREATE ROLE rule_owner; CREATE ROLE rule_other; CREATE ROLE rule_member IN ROLE rule_owner; GRANT USAGE ON SCHEMA mine TO rule_owner, rule_other;
DO $$ BEGIN EXECUTE format('GRANT ALL ON SCHEMA public TO rule_owner'); END $$;
SET ROLE rule_owner; CREATE TABLE public.os (id int PRIMARY KEY, v int); CREATE TABLE public.ot (id int PRIMARY KEY, v int); SELECT tracksync.create_link('o', 'os', 'public.ot');
SET search_path = mine, public; SELECT tracksync.add_rule('o', 'ok', 'ok(v)'); RESET search_path; INSERT INTO os VALUES (1, 1), (2, 20);
SELECT is((SELECT string_agg(key ->> 'id', ' ') FROM tracksync.validate('o')), '2', 'by its own path'); RESET ROLE;
SELECT is(broken('o'), '2 ok', 'as the owner, whoever asks');
SET ROLE rule_other;
SELECT throws_ok($$SELECT tracksync.add_rule('o', 'x', 'true')$$, '42501', NULL, 'others add no rules'); SELECT throws_ok($$SELECT tracksync.drop_rule('o', 'ok')$$, '42501', NULL, 'drop none'); SELECT throws_ok($$SELECT tracksync.validate('o')$$, '42501', NULL, 'and are told none');
SELECT is((SELECT count(*) FROM tracksync.rule), 0::bigint, 'nor do they see any'); SELECT throws_ok($$SELECT * FROM tracksync.rule_record$$, '42501', NULL, 'whatever they look at'); RESET ROLE;
SET ROLE rule_member; SELECT lives_ok($$SELECT tracksync.add_rule('o', 'x', 'true')$$, 'members do'); SELECT is((SELECT string_agg(rule, ' ' ORDER BY rule) FROM tracksync.rule), 'ok x', 'and see them'); RESET ROLE;
REVOKE EXECUTE ON FUNCTION mine.ok(int) FROM PUBLIC; SELECT throws_ok($$SELECT tracksync.validate('o')$$, '42501', NULL, 'a function that the owner may not call');
SET ROLE rule_owner; SELECT tracksync.drop_link('o'); RESET ROLE; SELECT is((SELECT count(*) FROM tracksync.rule_record WHERE link = 'o'), 0::bigint, 'rules go with their link');
-- a function that fails in the middle of its work, and goes on to be asked
CREATE FUNCTION mine.slow(int) RETURNS boolean LANGUAGE plpgsql STABLE AS $$ BEGIN IF $1 % 3 = 0 THEN RAISE EXCEPTION 'three' USING ERRCODE = 'P0777'; END IF; RETURN $1 % 2 = 0; END $$;
CREATE FUNCTION mine.again(int) RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT count(*) > 0 AND bool_and(mine.slow($1)) FROM generate_series(1, 3) $$;
SELECT tracksync.drop_rule('fi', 'v'); TRUNCATE fi, tfi; INSERT INTO fi SELECT i, i, 1 FROM generate_series(1, 500) i; SELECT tracksync.add_rule('fi', 'again', 'mine.again(v)', 'no');
SELECT results_eq($$SELECT (key ->> 'id')::int, message FROM tracksync.validate('fi')$$, $$SELECT i, CASE WHEN i % 3 = 0 THEN 'no (three)' ELSE 'no' END FROM generate_series(1, 500) i WHERE i % 3 = 0 OR i % 2 = 1 ORDER BY i$$, 'functions that fail');
-- an error that is not about values
CREATE OR REPLACE FUNCTION mine.slow(int) RETURNS boolean LANGUAGE plpgsql STABLE AS $$ BEGIN RAISE EXCEPTION 'full' USING ERRCODE = '53100'; END $$; SELECT throws_ok($$SELECT tracksync.validate('fi')$$, '53100', NULL, 'a full disk is not the row''s fault');
DROP FUNCTION mine.again(int); SELECT alike(error($$SELECT done('fi')$$), '42883: %', 'a function that is gone'); SELECT tracksync.drop_rule('fi', 'again'); SELECT lives_ok($$SELECT done('fi')$$, 'goes with the rule');
-- the time zone is that of the owner, not of who asks
CREATE TABLE tz (id int PRIMARY KEY, v timestamptz); CREATE TABLE ttz (LIKE tz INCLUDING ALL); SELECT tracksync.create_link('tz', 'tz', 'public.ttz'), tracksync.add_rule('tz', 'day', 'v::date = ''2020-01-01'''); SET TimeZone = 'Asia/Tokyo'; INSERT INTO tz VALUES (1, '2020-01-01 23:30+00'), (2, '2019-12-31 23:30+00');
SELECT is(broken('tz'), '2 day', 'in the owner''s time zone'); RESET TimeZone;
DROP OWNED BY rule_owner, rule_other; DROP ROLE rule_member; DROP ROLE rule_owner; DROP ROLE rule_other;
SELECT finish();
