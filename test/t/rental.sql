-- Random business in a DVD rental shop (data/rental.sql): schema rental, mirrored to schema mirror as a group. Work is done in
-- transactions with savepoints of which some are rolled back; after each push all rows of the mirror are the source's, to the byte, and
-- its sequences are past its keys. With the setting oracle.server the mirror is reached through that server, which is this database.
CREATE EXTENSION IF NOT EXISTS tracksync;
CREATE SCHEMA re; CREATE SCHEMA rental; CREATE SCHEMA mirror;
CREATE FUNCTION re.server() RETURNS name LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('oracle.server', true), '')::name $$;
SET client_min_messages = warning;
SET search_path = mirror, public;
\i data/rental.sql
SET search_path = rental, public;
\i data/rental.sql
\i data/rental_rows.sql
RESET search_path;
ANALYZE;

-- In statements <film> is a random film's key, <film2> another one, <#5> a number from 0 to 4, <new> a number never used before.
CREATE TABLE re.work (often int NOT NULL, sql text NOT NULL, i serial);
INSERT INTO re.work (often, sql) VALUES
  -- rent, return, pay
  (10, $$INSERT INTO rental (rental_date, inventory_id, customer_id, staff_id)
       SELECT '2024-04-15 UTC'::timestamptz + <new> * interval '41 minutes', inventory_id, <customer>, <staff> FROM inventory i
       WHERE inventory_id >= <inventory> AND NOT EXISTS (SELECT FROM rental r WHERE r.inventory_id = i.inventory_id AND return_date IS NULL)
       ORDER BY 2 LIMIT 1 + <#4>$$),
  (6, $$UPDATE rental SET return_date = rental_date + (1 + <#9>) * interval '7 hours' WHERE return_date IS NULL AND rental_id % 12 = <#12>$$),
  (6, $$INSERT INTO payment (payment_date, customer_id, staff_id, rental_id, amount) SELECT return_date, customer_id, staff_id, rental_id, f.rental_rate
       FROM rental JOIN inventory USING (inventory_id) JOIN film f USING (film_id) WHERE rental_id BETWEEN <rental> AND <rental> + 9 AND return_date IS NOT NULL$$),
  (2, $$UPDATE rental SET customer_id = <customer>, staff_id = <staff> WHERE rental_id = <rental>$$),
  (2, $$DELETE FROM rental WHERE rental_id BETWEEN <rental> AND <rental> + <#5>$$),
  -- payments: corrected, given back, moved to another day and month (an UPDATE of the key and maybe of the partition), straight into a partition
  (3, $$UPDATE payment SET amount = amount + 0.5, note = coalesce(note || ', ', '') || 'late' WHERE customer_id = <customer>$$),
  (2, $$DELETE FROM payment WHERE payment_id % 97 = <#97>$$),
  (3, $$UPDATE payment SET payment_date = payment_date + (<#7> - 3) * interval '11 days' WHERE payment_id BETWEEN <payment> AND <payment> + <#20>$$),
  (1, $$UPDATE payment SET payment_date = payment_date + interval '1 month' WHERE payment_id % 50 = <#50> AND payment_date < '2024-05-28 UTC'$$),
  (2, $$INSERT INTO payment_2024_03 (payment_date, customer_id, staff_id, amount, note)
       SELECT '2024-03-01 UTC'::timestamptz + i * interval '5 hours', <customer>, <staff>, i, '' FROM generate_series(1, 1 + <#9>) i$$),
  (1, $$UPDATE payment_2024_02 SET payment_id = nextval('payment_payment_id_seq'), note = NULL WHERE payment_id % 60 = <#60>$$),
  (1, $$DELETE FROM payment_2024_01 WHERE customer_id = <customer>$$),
  -- customers: new ones, moves, merged ones, ones that go
  (5, $$WITH a AS (INSERT INTO address (street, city_id, phone) VALUES ('<new> Elm Street', <city>, '<#100>') RETURNING address_id)
       INSERT INTO customer (store_id, first_name, last_name, email, address_id, born) SELECT <store>, 'New', 'Buyer <new>', 'new<new>@example.org', address_id,
         date '1990-02-28' + <#999> FROM a$$),
  (4, $$UPDATE customer SET address_id = <address>, store_id = <store>, discount = <#70> / 7.0 WHERE customer_id = <customer>$$),
  (2, $$UPDATE customer SET email = 'changed<new>-' || customer_id || '@example.org' WHERE customer_id % 40 = <#40>$$),
  (2, $$UPDATE customer SET email = NULL, active = NOT active WHERE customer_id % 30 = <#30>$$),
  (2, $$UPDATE rental SET customer_id = <customer> WHERE customer_id = <customer2>; UPDATE payment SET customer_id = <customer> WHERE customer_id = <customer2>;
       DELETE FROM customer WHERE customer_id = <customer2> AND customer_id <> <customer>$$),
  (3, $$DELETE FROM customer WHERE customer_id = <customer>$$),
  (2, $$DELETE FROM address a WHERE address_id % 9 = <#9> AND NOT EXISTS (SELECT FROM customer c WHERE c.address_id = a.address_id)
       AND NOT EXISTS (SELECT FROM store s WHERE s.address_id = a.address_id)$$),
  (3, $$UPDATE address SET place = point(<#90>, <#90> / 7.0), postal_code = NULL, district = 'Moved' WHERE address_id % 20 = <#20>$$),
  -- staff and stores: hired, moved, exchanged managers, a new store, one that closes
  (2, $$INSERT INTO staff (first_name, last_name, username, store_id, picture) VALUES ('Nel', 'Hired', 'nel<new>', <store>, '\x00ff<#9><#9>')$$),
  (3, $$UPDATE staff SET store_id = <store>, settings = '{"moved":  <new>}' WHERE staff_id = <staff>$$),
  (3, $$UPDATE store s SET manager_staff_id = o.manager_staff_id FROM store o WHERE s.store_id IN (<store>, <store2>) AND o.store_id = <store> + <store2> - s.store_id$$),
  (1, $$UPDATE store SET manager_staff_id = <staff>, opening = opening || '{"sun": "<#12>-<#24>"}' WHERE store_id = <store>$$),
  (1, $$WITH p AS (INSERT INTO staff (first_name, last_name, username, store_id) VALUES ('Max', 'Chief', 'max<new>', 100 + <new>) RETURNING staff_id, store_id)
       INSERT INTO store (store_id, manager_staff_id, address_id) SELECT store_id, staff_id, <address> FROM p$$),
  (1, $$UPDATE staff SET store_id = <store> WHERE store_id = <store2>; UPDATE inventory SET store_id = <store> WHERE store_id = <store2>;
       UPDATE customer SET store_id = <store> WHERE store_id = <store2>; DELETE FROM store WHERE store_id = <store2> AND store_id <> <store>$$),
  (1, $$UPDATE rental SET staff_id = <staff> WHERE staff_id = <staff2>; UPDATE payment SET staff_id = <staff> WHERE staff_id = <staff2>;
       DELETE FROM staff WHERE staff_id = <staff2> AND staff_id <> <staff>$$),
  -- films: new ones with their actors and copies, prices, lists, ones that go with all they have
  (4, $$WITH f AS (INSERT INTO film (title, language_id, sequel_of, length, special_features) VALUES ('New <new>', <language>, <film>, 60 + <#90>, '{Talk}') RETURNING film_id),
         a AS (INSERT INTO film_actor (actor_id, film_id) SELECT DISTINCT v, film_id FROM f, unnest(ARRAY[<actor>, <actor2>, <actor3>]) v),
         c AS (INSERT INTO film_category SELECT film_id, <category> FROM f)
       INSERT INTO inventory (film_id, store_id, barcode) SELECT film_id, <store>, md5('new <new> ' || i)::uuid FROM f, generate_series(1, <#4>) i$$),
  (2, $$UPDATE film SET rental_rate = least(round(rental_rate * 1.1, 2), 500) WHERE film_id % 3 = <#3>$$),
  (1, $$UPDATE film SET rental_rate = rental_rate + 1, replacement_cost = rental_rate$$),
  (3, $$UPDATE film SET special_features = CASE <#3> WHEN 0 THEN special_features || 'Extra'::text WHEN 1 THEN special_features[2:] END, rating = 'adult',
       title = title || '!' WHERE film_id % 25 = <#25>$$),
  (3, $$UPDATE film SET description = repeat(md5('<new>') || ' ', <#200>), length = NULLIF(<#60>, 0), original_language_id = <language>, release_year = 1900 + <#100>
       WHERE film_id IN (<film>, <film2>)$$),
  (1, $$UPDATE film SET sequel_of = CASE film_id WHEN <film> THEN <film2> ELSE <film> END WHERE film_id IN (<film>, <film2>)$$),
  (4, $$DELETE FROM film WHERE film_id = <film>$$),
  (2, $$INSERT INTO film_actor (actor_id, film_id, part) SELECT <actor>, film_id, 'extra' FROM film WHERE film_id % 20 = <#20>
       ON CONFLICT (actor_id, film_id) DO UPDATE SET part = excluded.part || coalesce(film_actor.part, '')$$),
  (2, $$UPDATE film_actor SET film_id = <film> WHERE film_id = <film2>$$),
  (2, $$DELETE FROM film_category WHERE film_id % 15 = <#15>; INSERT INTO film_category SELECT film_id, <category> FROM film WHERE film_id % 15 = <#15>$$),
  (1, $$TRUNCATE film_category; INSERT INTO film_category SELECT film_id, <category> FROM film WHERE film_id % 2 = <#2>$$),
  (1, $$DELETE FROM actor WHERE actor_id = <actor>$$),
  (2, $$UPDATE actor SET last_name = last_name || 's' WHERE actor_id % 30 = <#30>$$),
  (1, $$DELETE FROM category WHERE category_id = <category>; INSERT INTO category (name) VALUES ('Kind <new>')$$),
  (1, $$UPDATE film SET language_id = <language> WHERE language_id = <language2>; DELETE FROM language WHERE language_id = <language2> AND language_id <> <language>$$),
  (1, $$INSERT INTO language (name) VALUES ('Language <new>')$$),
  (2, $$INSERT INTO country (country) VALUES ('Land <new>'); INSERT INTO city (city, country_id) SELECT 'Town <new> of ' || country_id, country_id FROM country WHERE country_id > <country>$$),
  (1, $$DELETE FROM country WHERE country_id = <country>$$),
  (1, $$DELETE FROM city WHERE city_id % 10 = <#10> AND city_id NOT IN (SELECT city_id FROM address)$$),
  -- keys that change, with all that refers to them: to a new number, a swap, all by one place
  (1, $$UPDATE film SET film_id = nextval('film_film_id_seq') WHERE film_id IN (<film>, <film2>)$$),
  (1, $$UPDATE city SET city_id = nextval('city_city_id_seq') WHERE city_id % 10 = <#10>$$),
  (1, $$UPDATE customer SET customer_id = nextval('customer_customer_id_seq') WHERE customer_id = <customer>$$),
  (1, $$UPDATE inventory SET inventory_id = nextval('inventory_inventory_id_seq') WHERE inventory_id % 50 = <#50>$$),
  (1, $$UPDATE rental SET rental_id = nextval('rental_rental_id_seq') WHERE rental_id % 90 = <#90>$$),
  (1, $$UPDATE country SET country_id = 1000 + <new> WHERE country_id = <country>$$),
  (1, $$UPDATE film SET film_id = -1 WHERE film_id = <film>; UPDATE film SET film_id = <film> WHERE film_id = <film2>; UPDATE film SET film_id = <film2> WHERE film_id = -1$$),
  (1, $$UPDATE city SET city_id = -1 WHERE city_id = <city>; UPDATE city SET city_id = <city> WHERE city_id = <city2>; UPDATE city SET city_id = <city2> WHERE city_id = -1$$),
  (1, $$UPDATE store SET store_id = -1 WHERE store_id = <store>; UPDATE store SET store_id = <store> WHERE store_id = <store2>; UPDATE store SET store_id = <store2> WHERE store_id = -1$$),
  (1, $$UPDATE staff SET staff_id = -1 WHERE staff_id = <staff>; UPDATE staff SET staff_id = <staff> WHERE staff_id = <staff2>; UPDATE staff SET staff_id = <staff2> WHERE staff_id = -1$$),
  (1, $$UPDATE customer SET customer_id = -1 WHERE customer_id = <customer>; UPDATE customer SET customer_id = <customer> WHERE customer_id = <customer2>;
       UPDATE customer SET customer_id = <customer2> WHERE customer_id = -1$$),
  (1, $$UPDATE language SET language_id = -language_id; UPDATE language SET language_id = 1 - language_id$$),
  (1, $$UPDATE country SET country_id = -country_id; UPDATE country SET country_id = 1 - country_id$$),
  -- values of other unique constraints that move between rows
  (3, $$UPDATE customer SET email = 'x' || email WHERE customer_id IN (<customer>, <customer2>);
       UPDATE customer c SET email = substr(o.email, 2) FROM customer o WHERE c.customer_id IN (<customer>, <customer2>) AND o.customer_id = <customer> + <customer2> - c.customer_id$$),
  (2, $$UPDATE customer SET email = email || 'x' WHERE customer_id = <customer>; UPDATE customer SET email = 'kit' || <customer> || '@example.org' WHERE customer_id = <customer2>$$),
  (2, $$UPDATE staff SET username = 'x' || username WHERE staff_id IN (<staff>, <staff2>);
       UPDATE staff c SET username = substr(o.username, 2) FROM staff o WHERE c.staff_id IN (<staff>, <staff2>) AND o.staff_id = <staff> + <staff2> - c.staff_id$$),
  (2, $$UPDATE inventory SET inventory_id = -1 WHERE inventory_id = <inventory>; UPDATE inventory SET inventory_id = <inventory> WHERE inventory_id = <inventory2>;
       UPDATE inventory SET inventory_id = <inventory2> WHERE inventory_id = -1$$),
  (2, $$UPDATE rental SET return_date = NULL WHERE rental_id = <rental>; UPDATE rental SET inventory_id = <inventory> WHERE rental_id = <rental2>$$),
  (2, $$UPDATE city SET country_id = <country>, city = 'City <#150>' WHERE city_id IN (<city>)$$),
  (1, $$UPDATE language SET name = 'x' || name; UPDATE language a SET name = substr(b.name, 2) FROM language b WHERE b.language_id =
       coalesce((SELECT min(language_id) FROM language WHERE language_id > a.language_id), (SELECT min(language_id) FROM language))$$);

CREATE TABLE re.trace (i bigserial, sql text, result text);
CREATE SEQUENCE re.new;
CREATE FUNCTION re.tables() RETURNS text[] IMMUTABLE LANGUAGE sql AS $$ SELECT
  '{language,category,actor,film,film_actor,film_category,country,city,address,store,staff,customer,inventory,rental,payment}'::text[] $$;
CREATE FUNCTION re.r(n int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT floor(random() * n)::int';
-- a key of the table: rather the newest ones
CREATE FUNCTION re.pick(x text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  r text;
BEGIN
  EXECUTE format('SELECT %1$I FROM rental.%2$I WHERE %1$I >= (SELECT min(%1$I) + sqrt($1) * (max(%1$I) - min(%1$I)) FROM rental.%2$I) ORDER BY 1 LIMIT 1',
    x || '_id', x) INTO r USING random();
  RETURN coalesce(r, 'NULL');
END $$;
CREATE FUNCTION re.dml() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  n int := re.r((SELECT sum(often) FROM re.work)::int);
  q text := (SELECT w.sql FROM (SELECT sql, i, sum(often) OVER (ORDER BY i) upto FROM re.work) w WHERE upto > n ORDER BY i LIMIT 1);
  m text[];
BEGIN
  LOOP
    m := regexp_match(q, '(<(#|[a-z]+)([0-9]*)>)');
    EXIT WHEN m IS NULL;
    -- each #n is drawn anew, all else is one value all over the statement
    q := CASE WHEN m[2] = '#' THEN regexp_replace(q, m[1], re.r(m[3]::int)::text)
      ELSE replace(q, m[1], CASE m[2] WHEN 'new' THEN nextval('re.new')::text ELSE re.pick(m[2]) END) END;
  END LOOP;
  RETURN q;
END $$;
CREATE FUNCTION re.act(depth int) RETURNS void LANGUAGE plpgsql SET search_path = rental, public AS $$
DECLARE
  undo boolean := depth > 0 AND re.r(4) = 0;
  q text;
BEGIN
  FOR i IN 0 .. re.r(6) LOOP
    IF depth < 3 AND re.r(5) = 0 THEN PERFORM re.act(depth + 1); CONTINUE; END IF;
    q := re.dml();
    BEGIN
      EXECUTE q;
      -- what stays broken to the end would fail the COMMIT
      SET CONSTRAINTS ALL IMMEDIATE;
      SET CONSTRAINTS ALL DEFERRED;
      INSERT INTO re.trace (sql, result) VALUES (q, 'ok');
    EXCEPTION WHEN integrity_constraint_violation THEN
      INSERT INTO re.trace (sql, result) VALUES (q, SQLSTATE || ' ' || SQLERRM);
    END;
  END LOOP;
  IF undo THEN RAISE EXCEPTION 'undo' USING ERRCODE = 'UN001'; END IF;
EXCEPTION WHEN SQLSTATE 'UN001' THEN NULL;
END $$;
-- Partitions come and go on both sides, a month at a time; their rows, if any, at the source only.
CREATE FUNCTION re.month(m date) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  p text := to_char(m, '"payment_"YYYY_MM');
  oldest text := (SELECT min(relname) FROM pg_class JOIN pg_inherits ON inhrelid = oid WHERE inhparent = 'rental.payment'::regclass);
  what int := re.r(6);		-- from 3 on the partition comes empty; else with rows, and 0 detaches the oldest one, 1 empties it
BEGIN
  SET LOCAL search_path = mirror, public;
  PERFORM mirror.add_payment_month(m);
  SET LOCAL search_path = rental, public;
  IF what > 2 THEN
    PERFORM rental.add_payment_month(m);
  ELSE
    EXECUTE format('CREATE TABLE %I (LIKE payment INCLUDING ALL)', p);
    EXECUTE format('INSERT INTO %I (payment_date, customer_id, staff_id, amount) SELECT $1 + customer_id %% 28, customer_id, (SELECT min(staff_id) FROM staff), 5
      FROM customer WHERE customer_id %% 10 = 0', p) USING m;
    EXECUTE format('ALTER TABLE payment ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', p, m || ' 00:00 UTC', (m + interval '1 month')::date || ' 00:00 UTC');
  END IF;
  IF what = 0 THEN EXECUTE format('ALTER TABLE payment DETACH PARTITION %I', oldest); END IF;
  IF what = 1 THEN EXECUTE format('TRUNCATE %I', oldest); END IF;
  SET LOCAL search_path = DEFAULT;
  RETURN what || ' ' || p || ' ' || oldest;
END $$;
-- Columns come, change and go at the source. The tables have no trigger on the mirror, which would stamp the rows that are filled in.
CREATE FUNCTION re.alter() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  x regclass := 'rental.' || ('{language,category,film_category,payment}'::text[])[1 + re.r(4)];
  c text := (SELECT attname FROM pg_attribute WHERE attrelid = x AND attname ~ '^extra' AND NOT attisdropped ORDER BY attname LIMIT 1);
  q text;
BEGIN
  q := format(CASE WHEN c IS NULL OR re.r(4) = 0 THEN 'ALTER TABLE %s ADD COLUMN extra_%3$s ' || (ARRAY['int', 'float8 DEFAULT random()', 'text DEFAULT ''none''',
        'numeric(5,2) NOT NULL DEFAULT 1.50', 'interval[] DEFAULT ''{1 day,24:00}'''])[1 + re.r(5)]
      ELSE (ARRAY['ALTER TABLE %s DROP COLUMN %I', 'ALTER TABLE %s RENAME COLUMN %I TO extra_%s', 'ALTER TABLE %s ALTER COLUMN %I TYPE text',
        'UPDATE %s SET %I = NULL', 'ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL, ALTER COLUMN %2$I DROP DEFAULT'])[1 + re.r(5)] END, x, c, nextval('re.new'));
  BEGIN
    EXECUTE q;
  EXCEPTION WHEN not_null_violation THEN RETURN SQLSTATE;
  END;
  RETURN q;
END $$;

-- The rows as text: equality of types would take 1.0 for 1.00, and some types have none.
CREATE FUNCTION re.differ() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  x text; n bigint; c record;
BEGIN
  FOREACH x IN ARRAY re.tables() LOOP
    EXECUTE format('SELECT count(*) FROM ((SELECT s::text FROM rental.%1$I s EXCEPT ALL SELECT t::text FROM mirror.%1$I t) UNION ALL '
      '(SELECT t::text FROM mirror.%1$I t EXCEPT ALL SELECT s::text FROM rental.%1$I s)) d', x) INTO n;
    IF n > 0 THEN RETURN format('%s rows of %s', n, x); END IF;
  END LOOP;
  FOR c IN SELECT tab, col, pg_get_serial_sequence(tab::text, col)::regclass AS seq FROM (SELECT attrelid::regclass AS tab, attname AS col FROM pg_attribute
    WHERE attrelid = ANY (SELECT ('mirror.' || unnest(re.tables()))::regclass) AND attnum > 0 AND (attidentity <> '' OR atthasdef) AND NOT attisdropped OFFSET 0) a
    WHERE pg_get_serial_sequence(tab::text, col) IS NOT NULL
  LOOP
    EXECUTE format('SELECT greatest(0, (SELECT max(%I) FROM %s) - (SELECT last_value FROM %s))', c.col, c.tab, c.seq) INTO n;
    IF n > 0 THEN RETURN format('sequences of %s.%s', c.tab, c.col); END IF;
  END LOOP;
  RETURN NULL;
END $$;
CREATE FUNCTION re.digest() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  x text; v text; d text := '';
BEGIN
  FOREACH x IN ARRAY re.tables() LOOP
    EXECUTE format('SELECT count(*) || coalesce(sum(hashtextextended(t::text, 0)), 0)::text FROM mirror.%I t', x) INTO v;
    d := d || ' ' || v;
  END LOOP;
  RETURN d;
END $$;
-- What plan says and what a push, or a dry run, says it did. Sequences are left alone by a dry run.
CREATE FUNCTION re.planned() RETURNS text LANGUAGE sql VOLATILE AS
  $$ SELECT coalesce(string_agg(format('%s %s %s %s %s', step, kind, link, target, rows), E'\n' ORDER BY step), '') FROM tracksync.plan('shop') WHERE kind <> 'sequence' $$;
CREATE FUNCTION re.pushed(dry boolean, expect text = NULL) RETURNS text LANGUAGE sql VOLATILE AS
  $$ SELECT coalesce(string_agg(format('%s %s %s %s %s', step, kind, link, target, rows), E'\n' ORDER BY step), '') FROM tracksync.push('shop', expect, dry) WHERE kind <> 'sequence' $$;
CREATE PROCEDURE re.run(seed float8, rounds int, sabotage boolean) LANGUAGE plpgsql AS $$
DECLARE
  plan text; done text; d text; was text; on_bad text; remote boolean := re.server() IS NOT NULL; pushes int := 0;
  month date := '2024-07-01';
BEGIN
  PERFORM setseed(seed);
  on_bad := (ARRAY['abort', 'quarantine'])[1 + re.r(2)];
  PERFORM set_config('tracksync.batch_rows', (1 + re.r(3) * re.r(500))::text, false), set_config('tracksync.buffer_rows', (1 + re.r(1000))::text, false);
  PERFORM tracksync.create_link(x, ('rental.' || x)::regclass, 'mirror.' || x, re.server(), initial => (ARRAY['copy', 'mirror'])[1 + re.r(2)], on_error => on_bad)
    FROM unnest(re.tables()) x;
  PERFORM tracksync.track(('rental.' || x)::regclass, images => 'none') FROM unnest(re.tables()) x WHERE re.r(6) = 0;
  PERFORM tracksync.create_group('shop', re.tables());
  COMMIT;
  FOR round IN 1 .. rounds LOOP
    PERFORM re.act(0);
    IF re.r(2) = 0 THEN COMMIT; END IF;
    IF re.r(20) = 0 THEN
      COMMIT;
      INSERT INTO re.trace (sql, result) VALUES ('month', re.month(month));
      month := month + interval '1 month';
      COMMIT;
    END IF;
    IF re.r(12) = 0 THEN
      COMMIT;
      INSERT INTO re.trace (sql, result) VALUES ('alter', re.alter());
    END IF;
    CONTINUE WHEN re.r(3) > 0 AND round < rounds;
    IF remote THEN COMMIT; END IF;
    plan := CASE WHEN re.r(3) = 0 THEN re.planned() END;
    IF re.r(5) = 0 THEN
      was := re.digest();
      done := re.pushed(true);
      IF done <> plan THEN RAISE EXCEPTION E'round %: the plan said\n%\nand the dry run\n%', round, plan, done; END IF;
      IF re.digest() <> was THEN RAISE EXCEPTION 'round %: a dry run changed the mirror', round; END IF;
    END IF;
    done := re.pushed(false, CASE WHEN plan <> '' AND re.r(2) = 0 THEN tracksync.plan_fingerprint('shop') END);
    INSERT INTO re.trace (sql, result) VALUES ('push', done);
    IF done <> plan THEN RAISE EXCEPTION E'round %: the plan said\n%\nand the push\n%', round, plan, done; END IF;
    pushes := pushes + 1;
    -- what is rolled back nobody sees there
    IF remote AND re.r(10) = 0 THEN ROLLBACK; CONTINUE; END IF;
    IF remote THEN COMMIT; END IF;
    IF sabotage AND pushes > 2 THEN
      UPDATE mirror.customer SET discount = discount + 1 WHERE customer_id = (SELECT max(customer_id) FROM mirror.customer WHERE discount > 0);
    END IF;
    d := re.differ();
    IF d IS NOT NULL THEN
      COMMIT;
      RAISE EXCEPTION 'round %: % differ after a push', round, d;
    END IF;
    IF remote THEN COMMIT; END IF;
    IF re.r(4) = 0 AND re.pushed(false) <> '' THEN RAISE EXCEPTION 'round %: a second push found something to do', round; END IF;
    IF NOT remote AND re.r(10) = 0 THEN ROLLBACK; END IF;
  END LOOP;
  RAISE NOTICE 'rental: % pushes', pushes;
END $$;
