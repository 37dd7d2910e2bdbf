-- Filters, expressions, keys made of them: what is shipped, and what is refused.
SET client_min_messages = warning;
SELECT plan(78);
CREATE FUNCTION done(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(kind || rows, ' ' ORDER BY step), '') FROM tracksync.push(name) $$;
CREATE FUNCTION rows_of(t text) RETURNS text LANGUAGE plpgsql AS
  $$ DECLARE r text; BEGIN EXECUTE format('SELECT coalesce(string_agg(x::text, '' '' ORDER BY x), '''') FROM (%s) x', t) INTO r; RETURN r; END $$;

-- a filter: rows enter and leave it
CREATE TABLE s (id int PRIMARY KEY, region text, qty int, note text);
CREATE TABLE t (LIKE s INCLUDING ALL);
INSERT INTO s VALUES (1, 'eu', 1, 'a'), (2, 'us', 2, 'b'), (3, NULL, 3, 'c');
INSERT INTO t VALUES (9, 'us', 9, 'own');
SELECT lives_ok($$SELECT tracksync.create_link('l', 's', 't', filter => 'region = ''eu''')$$, 'a filter');
SELECT is(done('l'), 'insert1', 'only rows that pass; NULL is not true');
UPDATE s SET region = 'eu', note = 'B' WHERE id = 2; UPDATE s SET region = 'us' WHERE id = 1; UPDATE s SET qty = 33 WHERE id = 3;
SELECT is((SELECT string_agg(op || key::text, ' ' ORDER BY key) FROM tracksync.net_changes('l')), 'DELETE{"id": 1} INSERT{"id": 2}', 'one leaves, one enters');
SELECT is((SELECT old FROM tracksync.net_changes('l') WHERE op = 'DELETE'), '{"id": 1, "qty": 1, "note": "a", "region": "eu"}', 'the old row is known');
SELECT is(done('l'), 'delete1 insert1', 'a DELETE and an INSERT');
SELECT is(rows_of('SELECT * FROM t'), '(2,eu,2,B) (9,us,9,own)', 'the rows that pass, and the target''s own');
UPDATE s SET qty = 5 WHERE id = 2; UPDATE s SET qty = 6 WHERE id = 1;
SELECT is(done('l'), 'update1', 'changes of other rows are none');
UPDATE s SET region = 'us' WHERE id = 2; UPDATE s SET region = 'eu' WHERE id = 2;
SELECT is(done('l'), '', 'out and in again: nothing');
DELETE FROM s WHERE id = 1;
SELECT is(done('l'), '', 'a row that did not pass is deleted: nothing');
UPDATE s SET id = 20 WHERE id = 2;
SELECT is(done('l'), 'update1', 'a changed key is an UPDATE');
UPDATE s SET id = 21, region = 'us' WHERE id = 20; UPDATE s SET id = 30, region = 'eu' WHERE id = 3;
SELECT is(done('l'), 'delete1 insert1', 'keys change, and rows leave and enter');
SELECT is(rows_of('SELECT * FROM t'), '(9,us,9,own) (30,eu,33,c)', 'as they are');
UPDATE t SET qty = 0 WHERE id = 30; UPDATE s SET region = 'us' WHERE id = 30;
SELECT throws_like($$SELECT done('l')$$, '%1 delete_differs%', 'a row that leaves, changed at the target: a conflict');
UPDATE t SET qty = 33 WHERE id = 30; DELETE FROM t WHERE id = 30;
SELECT throws_like($$SELECT done('l')$$, '%1 delete_missing%', 'or gone there');
INSERT INTO t VALUES (30, 'eu', 33, 'c');
SELECT is(done('l'), 'delete1', 'as it was');
-- another filter
UPDATE s SET region = 'eu' WHERE id = 30; SELECT done('l');
SELECT lives_ok($$SELECT tracksync.alter_link('l', filter => 'qty > 10 AND note <> ''x''')$$, 'altered');
INSERT INTO s VALUES (4, 'us', 11, 'd'), (5, 'eu', 1, 'e'); INSERT INTO t VALUES (5, 'eu', 1, 'e');
SELECT is(done('l'), 'delete1 insert1', 'what was in the one filter and is not in the other goes');
SELECT is(rows_of('SELECT * FROM t'), '(4,us,11,d) (9,us,9,own) (30,eu,33,c)', 'the target''s own rows stay');
ALTER TABLE s RENAME COLUMN note TO remark;
UPDATE s SET remark = 'x' WHERE id = 4;
SELECT is(done('l'), 'rename_column0 delete1', 'the filter follows a renamed column');
SELECT is((SELECT filter FROM tracksync.link WHERE name = 'l'), '(("qty" > 10) AND ("note" <> ''x''::"text"))', 'as it was written');
SELECT lives_ok($$SELECT tracksync.alter_link('l', filter => '')$$, 'no filter');
SELECT is(done('l'), 'delete1 insert3', 'all rows');
ALTER TABLE s DROP COLUMN qty; SELECT done('l');
SELECT throws_ok($$SELECT tracksync.alter_link('l', filter => 'qty > 1')$$, '42703', NULL, 'a column that is gone');
SELECT tracksync.alter_link('l', filter => 'region = ''eu'''); SELECT done('l'); ALTER TABLE s DROP COLUMN region;
SELECT throws_ok($$SELECT done('l')$$, '42703', 'column "region" of the filter of link "l" was dropped', 'dropped under a filter');
SELECT lives_ok($$SELECT tracksync.alter_link('l', filter => '')$$, 'mended');
SELECT is(done('l'), 'drop_column0 insert2', 'and goes on');

-- images none: the outcome is the same
CREATE TABLE sn (id int PRIMARY KEY, v text, n int);
CREATE TABLE tn (LIKE sn INCLUDING ALL);
SELECT tracksync.track('sn', images => 'none');
INSERT INTO sn SELECT i, 'v' || i, i FROM generate_series(1, 6) i;
SELECT tracksync.create_link('n', 'sn', 'tn', filter => 'n > 2');
SELECT done('n');
UPDATE sn SET n = 0 WHERE id = 3; UPDATE sn SET n = 7, v = 'new' WHERE id = 1; UPDATE sn SET v = 'w' WHERE id IN (2, 4); DELETE FROM sn WHERE id IN (2, 5);
SELECT is(done('n'), 'delete3 update2', 'what was there before is not known');
SELECT is(rows_of('SELECT * FROM tn'), '(1,new,7) (4,w,4) (6,v6,6)', 'the same rows');
SELECT is(done('n'), '', 'in step');

INSERT INTO tn VALUES (2, 'own', 0); INSERT INTO sn VALUES (2, 'x', 1); SELECT done('n'); UPDATE sn SET n = 2 WHERE id = 2;
SELECT is(done('n'), 'delete1', 'a row that never passed: what is there is not the link''s');
SELECT is(rows_of('SELECT * FROM tn WHERE id = 2'), '(2,own,0)', 'and stays');

-- rows that were rewritten: whether they passed, their old values do not tell
CREATE TABLE rw (id int PRIMARY KEY, d int, v text); CREATE TABLE rwt (LIKE rw INCLUDING ALL); INSERT INTO rw VALUES (1, 1, 'a'), (2, 1, 'b'), (3, 5, 'c');
SELECT tracksync.create_link('rw', 'rw', 'rwt', filter => 'd <> 0'); SELECT done('rw');
ALTER TABLE rw ALTER d TYPE int USING 1 - d; DELETE FROM rw WHERE id = 1; UPDATE rw SET d = 1, v = 'x' WHERE id = 2;
SELECT is(done('rw'), 'delete1 update1 backfill1', 'rewritten, then deleted or changed');
SELECT is(rows_of('SELECT * FROM rwt'), '(2,1,x) (3,-4,c)', 'none is left behind');

-- expressions
CREATE TABLE o (id int PRIMARY KEY, price numeric(10,2), qty int, name text, seen int, junk text);
CREATE TABLE v (id int PRIMARY KEY, total numeric, label varchar(20), kind text, n bigint, at timestamptz);
INSERT INTO o VALUES (1, 2.50, 2, 'one', 0, 'j'), (2, 1.00, 0, 'two', 0, 'j');
SELECT lives_ok($$SELECT tracksync.create_link('v', 'o', 'v', columns => '{"id": "id", "total": "price * qty", "label": "upper(name)", "kind": "''order''", "n": "seen", "at": "now()"}')$$, 'expressions');
SELECT is(done('v'), 'insert2', 'copied');
SELECT is(rows_of('SELECT id, total, label, kind, n FROM v'), '(1,5.00,ONE,order,0) (2,0.00,TWO,order,0)', 'values');
UPDATE o SET junk = 'k';
SELECT is(done('v'), '', 'an UPDATE of what no column is made of ships nothing');
UPDATE o SET name = 'ONE' WHERE id = 1;
SELECT is(done('v'), '', 'nor one that gives the same value');
UPDATE o SET qty = 3, name = 'uno' WHERE id = 1;
SELECT is((SELECT changed FROM tracksync.net_changes('v')), '{at,label,total}', 'the columns made of it');
SELECT is((SELECT old ->> 'total' FROM tracksync.net_changes('v')), '5.00', 'and what they were');
UPDATE v SET total = 99 WHERE id = 1;
SELECT throws_like($$SELECT done('v')$$, '%1 update_differs%', 'a conflict');
UPDATE v SET total = 5.00 WHERE id = 1;
SELECT is(done('v'), 'update1', 'shipped');
SELECT is(rows_of('SELECT id, total, label FROM v'), '(1,7.50,UNO) (2,0.00,TWO)', 'values');
SELECT tracksync.alter_link('v', columns => '{"id": "id", "total": "price * qty", "label": "upper(name)", "kind": "''order''", "n": "seen", "at": "now()"}');
SELECT is(done('v'), '', 'a comparison finds nothing: what is another value each time is not compared');
ALTER TABLE o RENAME COLUMN qty TO quantity; UPDATE o SET quantity = 4 WHERE id = 1;
SELECT is(done('v'), 'update1', 'an expression follows a renamed column');
SELECT tracksync.alter_link('v', on_conflict => 'merge'); SELECT lives_ok($$SELECT tracksync.set_merge_rule('v', 'total', 'greatest')$$, 'a merge rule');
UPDATE o SET quantity = 5 WHERE id = 1; UPDATE v SET total = 11 WHERE id = 1; SELECT done('v');
SELECT is((SELECT total FROM v WHERE id = 1), 12.50, 'of a column that is an expression');
SELECT is((SELECT detail -> 'total' ->> 'from' FROM tracksync.explain_row('v', '{"id": 1}') WHERE aspect = 'mapping'), '("price" * ("quantity")::numeric)', 'explain_row shows it');
ALTER TABLE o ADD COLUMN more int DEFAULT 1; UPDATE o SET more = 2;
SELECT is(done('v'), '', 'columns that were named do not grow');
SELECT throws_like($$UPDATE o SET price = 1; ALTER TABLE o DROP COLUMN name; SELECT done('v')$$, 'column "name" of the expression for column "label" of link "v" was dropped', 'what it is made of is gone');

-- keys
CREATE TABLE k (a text, b int, v text, PRIMARY KEY (a, b));
INSERT INTO k VALUES ('x', 1, 'v'), ('y', 2, 'v');
CREATE TABLE kt (k text PRIMARY KEY, v text);
SELECT lives_ok($$SELECT tracksync.create_link('k', 'k', 'kt', columns => '{"k": "a || ''-'' || b::text", "v": "v"}')$$, 'a key made of two');
SELECT is(done('k'), 'insert2', 'copied');
UPDATE k SET a = 'z' WHERE b = 1; UPDATE k SET v = 'w' WHERE b = 2; INSERT INTO k VALUES ('q', 3, 'n');
SELECT is(done('k'), 'update1 update1 insert1', 'a changed key is an UPDATE');
SELECT is(rows_of('SELECT * FROM kt'), '(q-3,n) (y-2,w) (z-1,v)', 'rows');
DELETE FROM k WHERE a = 'q';
SELECT is((SELECT count(*)::int FROM tracksync.explain_row('k', '{"k": "q-3"}') WHERE aspect = 'event'), 1, 'explain_row knows its events');
SELECT is(done('k'), 'delete1', 'deleted by it');
SELECT throws_ok($$SELECT tracksync.create_link('k2', 'k', 'kt', columns => '{"k": "a || b", "v": "v"}')$$, '42P10', NULL, 'a key that is not immutable');
CREATE TABLE kn (k int PRIMARY KEY, v text);
SELECT throws_ok($$SELECT tracksync.create_link('k2', 'k', 'kn', columns => '{"k": "b", "v": "v"}')$$, '42P10', NULL, 'a part of the key');
SELECT tracksync.create_link('kc', 'k', 'kc', columns => '{"b": "b + 10", "a": "upper(a)", "v": "v"}', create_target => true);
SELECT is(done('kc'), 'create_table0 insert2', 'create_target with expressions for a key');
SELECT is(pg_get_constraintdef(oid), 'PRIMARY KEY (a, b)', 'its key') FROM pg_constraint WHERE conrelid = 'kc'::regclass AND contype = 'p';
SELECT is(rows_of('SELECT a, b, v FROM kc'), '(Y,12,w) (Z,11,v)', 'its rows');

-- two sources, one target: a constant in the key
CREATE TABLE f1 (id int PRIMARY KEY, v text); CREATE TABLE f2 (id int PRIMARY KEY, v text);
CREATE TABLE fan (tenant text, id int, v text, PRIMARY KEY (tenant, id));
INSERT INTO f1 VALUES (1, 'a'); INSERT INTO f2 VALUES (1, 'b');
SELECT tracksync.create_link('f1', 'f1', 'fan', columns => '{"tenant": "''one''", "id": "id", "v": "v"}', target_filter => 'tenant = ''one''', initial => 'mirror');
SELECT tracksync.create_link('f2', 'f2', 'fan', columns => '{"tenant": "''two''", "id": "id", "v": "v"}', target_filter => 'tenant = ''two''', initial => 'mirror');
SELECT done('f1'); SELECT done('f2');
SELECT is(rows_of('SELECT * FROM fan'), '(one,1,a) (two,1,b)', 'both');
INSERT INTO fan VALUES ('one', 7, 'x'), ('three', 7, 'x'); SELECT tracksync.alter_link('f1', columns => '{"tenant": "''one''", "id": "id", "v": "v"}');
SELECT is(done('f1'), 'delete1', 'a mirror of the rows it maps to');

-- disjoint filters, one source, one target
CREATE TABLE d (id int PRIMARY KEY, region text, v text); CREATE TABLE dt (LIKE d INCLUDING ALL);
INSERT INTO d VALUES (1, 'eu', 'a'), (2, 'us', 'b');
SELECT tracksync.create_link('eu', 'd', 'dt', filter => 'region = ''eu''', initial => 'mirror'), tracksync.create_link('us', 'd', 'dt', filter => 'region = ''us''', initial => 'mirror');
SELECT done('eu'); SELECT is(done('us'), 'insert1', 'a mirror leaves the other link''s rows');
UPDATE d SET region = 'us', v = 'moved' WHERE id = 1; UPDATE d SET region = 'eu' WHERE id = 2;
SELECT is(done('us') || ' / ' || done('eu'), 'delete1 insert1 / insert1 delete1', 'rows go from one to the other, whichever is pushed first') WHERE false
UNION ALL SELECT is(done('us'), 'delete1 insert1', 'rows go from one to the other: the one');
SELECT is(done('eu'), 'delete1 insert1', 'and the other');
SELECT is(rows_of('SELECT * FROM dt'), '(1,us,moved) (2,eu,b)', 'none is lost');
UPDATE d SET region = 'eu' WHERE id = 1; SELECT done('eu'); UPDATE d SET region = 'us' WHERE id = 1; SELECT done('eu'); SELECT done('us');
SELECT is(rows_of('SELECT * FROM dt'), '(1,us,moved) (2,eu,b)', 'there and back');
SELECT tracksync.create_group('both', '{eu,us}'); UPDATE d SET region = CASE region WHEN 'eu' THEN 'us' ELSE 'eu' END;
SELECT is(done('both'), 'delete1 delete1 insert1 insert1', 'in a group: deletes first');
CREATE TABLE dx (id int PRIMARY KEY, v text);
SELECT tracksync.create_link('x1', 'd', 'dx', filter => 'region = ''eu''');
SELECT throws_ok($$SELECT tracksync.create_link('x2', 'd', 'dx', filter => 'region = ''us''')$$, '55000', NULL, 'whose rows are whose must be known');

-- what is refused
SELECT throws_ok($$SELECT tracksync.create_link('z', 'd', 'dt', filter => 'v')$$, '42804', NULL, 'not boolean');
SELECT throws_ok($$SELECT tracksync.create_link('z', 'd', 'dt', filter => 'random() > 0.5')$$, '42P17', NULL, 'volatile');
SELECT throws_ok($$SELECT tracksync.create_link('z', 'd', 'dt', filter => 'v::regclass IS NULL')$$, '42P17', NULL, 'stable: no filter');
SELECT throws_ok($$SELECT tracksync.create_link('z', 'd', 'dt', filter => 'EXISTS (SELECT FROM s)')$$, '0A000', NULL, 'a subquery');
SELECT tracksync.track('f1', ignore => '{v}');
SELECT throws_ok($$SELECT tracksync.create_link('z', 'f1', 'kn', columns => '{"k": "id"}', filter => 'v = ''x''')$$, '55000', NULL, 'an ignored column');
SELECT throws_ok($$SELECT tracksync.create_link('z', 'd', 'zz', filter => 'id > 0', target_filter => 'id > 0', create_target => true)$$, '42P01', NULL, 'a target_filter of nothing');

-- rights: the owner needs them on what a filter reads
CREATE ROLE mapper; GRANT CREATE ON SCHEMA public TO mapper; CREATE TABLE r (id int PRIMARY KEY, secret int, v text);
GRANT SELECT (id, v) ON r TO mapper; ALTER TABLE r OWNER TO CURRENT_USER; CREATE TABLE rt (id int PRIMARY KEY, v text); GRANT ALL ON rt TO mapper;
SELECT tracksync.track('r');
SET ROLE mapper;
SELECT throws_ok($$SELECT tracksync.create_link('r', 'r', 'rt', filter => 'secret > 0')$$, '42501', NULL, 'a filter over a column that the owner may not read');
SELECT throws_ok($$SELECT tracksync.create_link('r', 'r', 'rt', columns => '{"id": "id", "v": "secret::text"}')$$, '42501', NULL, 'an expression');
RESET ROLE;
SELECT * FROM finish();
