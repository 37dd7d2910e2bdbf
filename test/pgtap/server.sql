-- Other servers: their options, who may use them, which password is needed, and what the session there is like. The server is this one:
-- another database of it.
SET client_min_messages = warning;
SELECT plan(65);
SELECT current_database() || '_there' AS there, current_setting('unix_socket_directories') AS host, current_setting('port') AS port, current_database() AS here,
  current_user AS me, current_database() || '_alice' AS alice, current_database() || '_bob' AS bob \gset
CREATE DATABASE :"there";
CREATE ROLE :"alice" LOGIN; CREATE ROLE :"bob" LOGIN;
-- options
CREATE FUNCTION said(command text) RETURNS text LANGUAGE plpgsql AS
  $$ DECLARE d text; h text; BEGIN EXECUTE command; RETURN 'no error'; EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
     RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(d, ''), nullif(h, '')); END $$;
CREATE FUNCTION server_said(options text) RETURNS text LANGUAGE sql AS $$ SELECT said('CREATE SERVER bad FOREIGN DATA WRAPPER tracksync_fdw OPTIONS (' || options || ')') $$;
CREATE FUNCTION mapping_said(options text) RETURNS text LANGUAGE sql AS $$ SELECT said('CREATE USER MAPPING FOR PUBLIC SERVER plain OPTIONS (' || options || ')') $$;
CREATE SERVER plain FOREIGN DATA WRAPPER tracksync_fdw;
SELECT is(server_said($$hots 'secret'$$), 'HV00D | invalid option "hots" | Perhaps you meant the option "host".', 'misspelt');
SELECT alike(server_said($$frobnicate_all_of_it 'secret'$$), 'HV00D | invalid option "frobnicate_all_of_it" | Options of a server are: service, %', 'no such option');
SELECT is(server_said(format('%I %L', o, 'secret')), format('HV00D | option "%s" is not an option of a server | It is an option of a user mapping.', o), o || ' is no option of a server')
  FROM unnest('{user,password,sslcert,sslkey,sslpassword,password_required}'::text[]) o;
SELECT is(mapping_said(format('%I %L', o, 'secret')), format('HV00D | option "%s" is not an option of a user mapping | It is an option of a server.', o), o || ' is none of a mapping')
  FROM unnest('{host,port,dbname,connect_timeout,passfile}'::text[]) o;
SELECT is(server_said(format('%I %L', o, 'secret')), format('HV00D | option "%s" cannot be set | Leave it out: tracksync sets what it needs.', o), o || ' is ours to set')
  FROM unnest('{client_encoding,application_name,fallback_application_name,replication}'::text[]) o;
SELECT is(mapping_said($$client_encoding 'secret'$$), 'HV00D | option "client_encoding" cannot be set | Leave it out: tracksync sets what it needs.', 'neither in a mapping');
SELECT is(mapping_said($$usr 'secret'$$), 'HV00D | invalid option "usr" | Perhaps you meant the option "user".', 'misspelt in a mapping');
SELECT is(mapping_said($$password_required 'secret'$$), '42601 | password_required requires a Boolean value', 'no Boolean');
SELECT alike(said($$ALTER FOREIGN DATA WRAPPER tracksync_fdw OPTIONS (ADD host 'secret')$$), 'HV00D | invalid option "host" | Foreign-data wrapper%', 'the wrapper has none');
SELECT alike(said($$CREATE FOREIGN TABLE f (a int) SERVER plain OPTIONS (table_name 'secret')$$), 'HV00D%', 'nor has a foreign table');
SELECT is(count(*), 0::bigint, 'no message shows a value') FROM (SELECT server_said($$password 'secret'$$) UNION ALL SELECT server_said($$hots 'secret'$$)
  UNION ALL SELECT mapping_said($$passwort 'secret'$$) UNION ALL SELECT mapping_said($$password_required 'secret'$$)) x(m) WHERE m LIKE '%secret%';
SELECT is(said($$ALTER SERVER plain OPTIONS (ADD host 'h', ADD port '1', ADD dbname 'd', ADD sslmode 'prefer', ADD keepalives_idle '10', ADD options '-c a.b=1')$$), 'no error', 'libpq''s own');
SELECT is(said($$ALTER SERVER plain OPTIONS (SET nost 'h')$$), '42704 | option "nost" not found', 'ALTER SERVER of one that is not there');
SELECT is(mapping_said($$user 'u', password 'p', password_required 'true'$$), 'no error', 'a user mapping');

-- as in a session that has not seen the target yet
CREATE FUNCTION no_stub() RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN EXECUTE (SELECT coalesce(string_agg('DROP TABLE ' || oid::regclass, '; '), '') FROM pg_class WHERE relpersistence = 't' AND relkind = 'r' AND relname ~ '^tracksync_[0-9]+$'); END $$;

-- who may use a server
CREATE SERVER hq FOREIGN DATA WRAPPER tracksync_fdw OPTIONS (host :'host', port :'port', dbname :'there');
CREATE TABLE s (id int PRIMARY KEY, v text);
CREATE EXTENSION dblink;
SELECT format('host=%s port=%s dbname=%s user=%s options=''-c statement_timeout=0 -c default_transaction_read_only=off''', :'host', :'port', :'there', :'me') AS conn \gset
SELECT dblink_exec(:'conn', format($$
  CREATE TABLE public.t (id int PRIMARY KEY, v text);
  CREATE TABLE public.seen (name text, setting text);
  GRANT ALL ON public.t, public.seen TO %1$I;
  GRANT CREATE ON DATABASE %2$I TO %1$I;
  CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN DELETE FROM public.seen; INSERT INTO public.seen SELECT name, setting FROM pg_settings; RETURN NULL; END';
  CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON public.t FOR EACH STATEMENT EXECUTE FUNCTION public.see();
$$, :'alice', :'there')) AS made \gset
-- settings that must not matter
ALTER DATABASE :"there" SET search_path = nowhere; ALTER DATABASE :"there" SET datestyle = 'German'; ALTER DATABASE :"there" SET timezone = 'Asia/Tokyo';
ALTER ROLE :"me" SET intervalstyle = 'sql_standard'; ALTER ROLE :"me" SET extra_float_digits = -5; ALTER ROLE :"me" IN DATABASE :"there" SET lc_monetary = 'C.UTF-8';
ALTER DATABASE :"there" SET client_encoding = 'LATIN1'; ALTER DATABASE :"there" SET standard_conforming_strings = off; ALTER DATABASE :"there" SET bytea_output = escape;
ALTER DATABASE :"there" SET default_transaction_isolation = 'serializable'; ALTER DATABASE :"there" SET default_transaction_read_only = on;
ALTER DATABASE :"there" SET statement_timeout = '2s'; ALTER DATABASE :"there" SET transform_null_equals = on;

SELECT is(said($$SELECT tracksync.create_link('l', 's', 'public.t', server => 'nowhere')$$),
  '42704 | server "nowhere" does not exist | Create it with CREATE SERVER … FOREIGN DATA WRAPPER tracksync_fdw; pg_foreign_server lists those there are.', 'no such server');
CREATE FOREIGN DATA WRAPPER strange; CREATE SERVER strange FOREIGN DATA WRAPPER strange;
SELECT is(said($$SELECT tracksync.create_link('l', 's', 'public.t', server => 'strange')$$),
  '42809 | server "strange" belongs to foreign-data wrapper "strange" | Use a server of tracksync_fdw or postgres_fdw.', 'a server of another kind');
SELECT is(said($$SELECT tracksync.create_link('l', 's', 'public.t', server => 'hq')$$),
  format('42704 | role "%s" has no user mapping for server "hq" | Use CREATE USER MAPPING FOR the role SERVER … OPTIONS (user ''…'', password ''…'').', :'me'), 'no user mapping');
GRANT CREATE ON SCHEMA public TO :"alice";
SET ROLE :"alice";
CREATE TABLE sa (id int PRIMARY KEY, v text);
INSERT INTO sa VALUES (1, 'one');
SELECT is(said($$SELECT tracksync.create_link('a', 'sa', 'public.t', server => 'hq')$$),
  '42501 | permission denied for foreign server hq | Ask the server''s owner for USAGE.', 'no USAGE');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER hq TO :"alice", :"bob"; GRANT USAGE ON FOREIGN DATA WRAPPER tracksync_fdw TO :"alice";
SET ROLE :"alice";
CREATE USER MAPPING FOR CURRENT_USER SERVER hq OPTIONS (user :'alice');
SELECT is(said($$SELECT tracksync.create_link('a', 'sa', 'public.t', server => 'hq')$$),
  format('2F003 | password is required | Role "%s" is no superuser, and its user mapping for server "hq" has no password. | %s', :'alice',
         'Use ALTER USER MAPPING … OPTIONS (ADD password ''…''), or have a superuser set password_required ''false''.'), 'no password');
ALTER USER MAPPING FOR CURRENT_USER SERVER hq OPTIONS (ADD password '');
SELECT alike(said($$SELECT tracksync.create_link('a', 'sa', 'public.t', server => 'hq')$$), '2F003 | password is required%', 'an empty one');
ALTER USER MAPPING FOR CURRENT_USER SERVER hq OPTIONS (SET password 'sesame');
SELECT is(said($$SELECT tracksync.create_link('a', 'sa', 'public.t', server => 'hq')$$),
  format('2F003 | password is required | Role "%s" is no superuser, and server "hq" did not ask for the password of its user mapping. | %s', :'alice',
         'Change the authentication method there, or have a superuser set password_required ''false'' in the user mapping.'), 'one that was not asked for');
SELECT alike(said($$ALTER USER MAPPING FOR CURRENT_USER SERVER hq OPTIONS (ADD password_required 'false')$$), '42501 | password_required=false is superuser-only | %', 'who must not say so');
SELECT alike(said($$ALTER USER MAPPING FOR CURRENT_USER SERVER hq OPTIONS (ADD sslkey '/etc/shadow')$$), '42501 | sslcert and sslkey are superuser-only | %', 'nor this');
SELECT is(said($$ALTER USER MAPPING FOR CURRENT_USER SERVER hq OPTIONS (ADD password_required 'true')$$), 'no error', 'the harmless way');
RESET ROLE;
ALTER USER MAPPING FOR :"alice" SERVER hq OPTIONS (SET password_required 'false');
SET ROLE :"alice";
SELECT is(said($$SELECT tracksync.create_link('a', 'sa', 'public.t', server => 'hq')$$), 'no error', 'a superuser said so');
SELECT is(said($$SELECT count(*) FROM tracksync.push('a')$$), 'no error', 'and it is pushed');
SELECT alike(said($$ALTER USER MAPPING FOR CURRENT_USER SERVER hq OPTIONS (SET user 'postgres')$$), '42501 | password_required=false is superuser-only%', 'the mapping cannot be altered any more');
RESET ROLE;
-- who pushes another one's link uses its owner's mapping
SET ROLE :"bob";
SELECT alike(said($$SELECT count(*) FROM tracksync.push('a')$$), '42501 | permission denied for link "a"%', 'somebody else may not');
RESET ROLE;
SELECT no_stub();
INSERT INTO sa VALUES (2, 'two');
SELECT is(said($$SELECT count(*) FROM tracksync.push('a')$$), 'no error', 'a superuser pushes the link of somebody else');
GRANT :"alice" TO :"bob";
SELECT no_stub();
INSERT INTO sa VALUES (3, 'three');
SET ROLE :"bob";
SELECT is(said($$SELECT count(*) FROM tracksync.plan('a')$$), 'no error', 'a member of its owner''s role plans');
SELECT is(said($$SELECT count(*) FROM tracksync.push('a')$$), 'no error', 'and pushes');
RESET ROLE;
REVOKE USAGE ON FOREIGN SERVER hq FROM :"alice";
INSERT INTO sa VALUES (4, 'four');
SELECT alike(said($$SELECT count(*) FROM tracksync.push('a')$$), '42501 | permission denied for foreign server hq%', 'REVOKE USAGE counts at the next push');
GRANT USAGE ON FOREIGN SERVER hq TO :"alice";
DROP USER MAPPING FOR :"alice" SERVER hq;
SELECT alike(said($$SELECT count(*) FROM tracksync.push('a')$$), format('42704 | role "%s" has no user mapping for server "hq"%%', :'alice'), 'so does DROP USER MAPPING');
CREATE USER MAPPING FOR PUBLIC SERVER hq OPTIONS (user :'alice', password_required 'false');
SELECT is(said($$SELECT count(*) FROM tracksync.push('a')$$), 'no error', 'the mapping of PUBLIC');
ALTER USER MAPPING FOR PUBLIC SERVER hq OPTIONS (SET password_required 'true');
INSERT INTO sa VALUES (5, 'five');
SELECT alike(said($$SELECT count(*) FROM tracksync.push('a')$$), '2F003 | password is required%', 'it needs a password no less');
SELECT tracksync.drop_link('a');
DROP USER MAPPING FOR PUBLIC SERVER hq;

-- connections
CREATE USER MAPPING FOR CURRENT_USER SERVER hq OPTIONS (user :'me');
SELECT tracksync.disconnect() \gset
SELECT is(tracksync.disconnect(), 0, 'nothing to close');
SELECT tracksync.create_link('l', 's', 'public.t', server => 'hq', initial => 'mirror');
INSERT INTO s VALUES (1, 'one');
SELECT is(said($$SELECT count(*) FROM tracksync.push('l')$$), 'no error', 'pushed');
SELECT is((SELECT string_agg(application_name, ',') FROM pg_stat_activity WHERE datname = :'there'), left(format('tracksync link l from %s@%s', :'here',
  CASE current_setting('cluster_name') WHEN '' THEN (SELECT system_identifier::text FROM pg_control_system()) ELSE current_setting('cluster_name') END), 63), 'its name tells link and source');
CREATE SERVER hq2 FOREIGN DATA WRAPPER tracksync_fdw OPTIONS (host :'host', port :'port', dbname :'there');
CREATE USER MAPPING FOR CURRENT_USER SERVER hq2 OPTIONS (user :'me');
CREATE TABLE s2 (id int PRIMARY KEY, v text);
SELECT tracksync.create_link('l2', 's2', 'public.t', server => 'hq2');
SELECT is(tracksync.disconnect('hq2'), 1, 'one is closed');
SELECT is(tracksync.disconnect('hq2'), 0, 'it was');
SELECT tracksync.drop_link('l2');
SELECT is(tracksync.disconnect(), 1, 'all of them');
SELECT is(said($$SELECT tracksync.disconnect('nowhere')$$), '42704 | server "nowhere" does not exist | pg_foreign_server lists those there are.', 'no such server');
INSERT INTO s VALUES (2, 'two');
BEGIN;
SELECT count(*) FROM tracksync.push('l') \gset
SELECT is(said($$SELECT tracksync.disconnect('hq')$$), '55000 | the connection to server "hq" is in use by this transaction | Disconnect after the end of the transaction.', 'in use');
SELECT is(said($$SELECT tracksync.disconnect()$$), '55000 | a connection is in use by this transaction | Disconnect after the end of the transaction.', 'one of them is');
COMMIT;
BEGIN;
SELECT count(*) FROM tracksync.plan('l') \gset
SELECT is(said($$SELECT tracksync.disconnect('hq')$$), 'no error', 'not for a plan');
COMMIT;
SELECT is(tracksync.disconnect(NULL), 1, 'that one is closed now');

-- ALTER counts from the next transaction on
INSERT INTO s VALUES (3, 'three');
BEGIN;
SELECT count(*) FROM tracksync.push('l') \gset
SELECT pid AS before FROM pg_stat_activity WHERE datname = :'there' \gset
ALTER SERVER hq OPTIONS (ADD connect_timeout '7');
INSERT INTO s2 VALUES (1, 'x');
SELECT count(*) FROM tracksync.plan('l') \gset
SELECT is((SELECT pid FROM pg_stat_activity WHERE datname = :'there'), :'before'::int, 'the transaction keeps its connection');
COMMIT;
INSERT INTO s VALUES (4, 'four');
SELECT count(*) FROM tracksync.push('l') \gset
SELECT isnt((SELECT pid FROM pg_stat_activity WHERE datname = :'there'), :'before'::int, 'the next one has another');
SELECT pid AS before FROM pg_stat_activity WHERE datname = :'there' \gset
ALTER USER MAPPING FOR CURRENT_USER SERVER hq OPTIONS (ADD password 'x');
SELECT count(*) FROM tracksync.plan('l') \gset
SELECT isnt((SELECT pid FROM pg_stat_activity WHERE datname = :'there'), :'before'::int, 'so with ALTER USER MAPPING');
ALTER SERVER hq OPTIONS (SET dbname 'no_such_database');
INSERT INTO s VALUES (5, 'five');
SET tracksync.retries = 0;
SELECT alike(said($$SELECT count(*) FROM tracksync.push('l')$$), '08001 | could not connect to server "hq" | %database "no_such_database" does not exist | Check that the server runs%', 'another database');
RESET tracksync.retries;
ALTER SERVER hq OPTIONS (SET dbname :'there');
SELECT is(said($$SELECT count(*) FROM tracksync.push('l')$$), 'no error', 'and back');

-- what the session there was like, as a trigger of the target saw it
ALTER SERVER hq OPTIONS (SET connect_timeout '8');
SELECT count(*) FROM tracksync.push('l') \gset
SELECT tracksync.disconnect() \gset
SELECT v AS seen FROM dblink(:'conn', $$SELECT string_agg(format('%s=%s', name, setting), ', ' ORDER BY name COLLATE "C") FROM public.seen WHERE name IN ('search_path',
  'TimeZone', 'DateStyle', 'IntervalStyle', 'extra_float_digits', 'client_encoding', 'standard_conforming_strings', 'lc_monetary', 'bytea_output',
  'transform_null_equals', 'statement_timeout')$$) AS x(v text) \gset
SELECT v AS rows FROM dblink(:'conn', $$SELECT string_agg(format('%s=%s', id, v), ', ' ORDER BY id) FROM public.t$$) AS x(v text) \gset
SELECT is(:'seen'::text, 'DateStyle=ISO, MDY, IntervalStyle=postgres, TimeZone=UTC, bytea_output=hex, client_encoding=UTF8, extra_float_digits=3, lc_monetary=C, '
  'search_path=pg_catalog, standard_conforming_strings=on, statement_timeout=0, transform_null_equals=off', 'settings are pinned');
SELECT is(:'rows'::text, '1=one, 2=two, 3=three, 4=four, 5=five', 'and the rows are there');
SELECT * FROM finish();
-- nothing may stay in the cluster
SELECT tracksync.disconnect() \gset
SELECT tracksync.drop_link('l');
DROP DATABASE :"there" WITH (FORCE);
ALTER ROLE :"me" RESET ALL;
DROP TABLE sa; DROP USER MAPPING IF EXISTS FOR :"alice" SERVER hq;
DROP OWNED BY :"alice", :"bob"; DROP ROLE :"bob", :"alice";
