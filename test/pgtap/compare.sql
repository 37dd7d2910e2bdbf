-- The columns that an UPDATE changed: what changes() shows after random updates is compared with what a trigger finds column by column.
SET client_min_messages = warning;
SELECT plan(7);
SELECT setseed(0.42);
-- NULL, short, around the limit of the short header, compressed, out of line
CREATE FUNCTION cmp_text(k int) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE r float := random();
BEGIN
  RETURN CASE WHEN r < 0.15 THEN NULL WHEN r < 0.25 THEN '' WHEN r < 0.55 THEN repeat(chr(97 + random()::int), (random() * 10)::int)
    WHEN r < 0.65 THEN repeat('x', 120 + (random() * 12)::int) WHEN r < 0.75 THEN repeat('ab', 1200 + (random() * 4)::int)
    WHEN r < 0.85 THEN (SELECT string_agg(md5((i * k)::text), '') FROM generate_series(1, 60 + (random() * 3)::int) i)
    ELSE (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 400 + random()::int) i) END;
END $$;
-- one of few values of the type, as a literal
CREATE FUNCTION cmp_value(type text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE i int := (random() * 2)::int;
BEGIN
  RETURN coalesce(quote_literal(CASE WHEN random() < 0.2 THEN NULL ELSE CASE
    WHEN type IN ('int2', 'int4', 'int8') THEN i::text WHEN type = 'bool' THEN (i = 1)::text WHEN type = 'char' THEN chr(97 + i)
    WHEN type = 'float8' THEN (ARRAY['0', '-0', 'NaN'])[i + 1] WHEN type = 'numeric' THEN (ARRAY['1.0', '1.00', '12345678901234567890'])[i + 1]
    WHEN type = 'uuid' THEN '00000000-0000-0000-0000-00000000000' || i WHEN type = 'name' THEN 'n' || i
    WHEN type = 'interval' THEN (ARRAY['1 day', '24 hours', '0'])[i + 1] WHEN type = 'timetz' THEN '10:0' || i || '+0' || i
    WHEN type = 'macaddr' THEN '08:00:2b:01:02:0' || i WHEN type = 'tid' THEN '(0,' || i + 1 || ')'
    WHEN type = 'jsonb' THEN '{"a": ' || i || '}' WHEN type = '_int4' THEN (ARRAY['{}', '{1}', '[0:0]={1}'])[i + 1]
    ELSE cmp_text(i + 1) END END), 'NULL') || '::' || quote_ident(type);
END $$;
CREATE TABLE cmp_seen (n bigserial, id int, changed text[], old jsonb);
CREATE FUNCTION cmp_see() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  c text;
  same boolean;
  found text[] := '{}';
BEGIN
  FOR c IN SELECT attname FROM pg_attribute WHERE attrelid = TG_RELID AND attnum > 0 AND NOT attisdropped ORDER BY attname COLLATE "C" LOOP
    EXECUTE format('SELECT ($1).%I::text IS NOT DISTINCT FROM ($2).%I::text', c, c) INTO same USING OLD, NEW;
    IF NOT same THEN found := found || c; END IF;
  END LOOP;
  IF found <> '{}' THEN INSERT INTO cmp_seen (id, changed, old) VALUES (OLD.id, found, to_jsonb(OLD)); END IF;
  RETURN NULL;
END $$;
CREATE FUNCTION cmp_meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF random() < 0.2 THEN NEW.c1 := cmp_text(3); ELSIF random() < 0.1 THEN NEW.c1 := OLD.c1; END IF;
  RETURN NEW;
END $$;
-- A table of random columns, partitioned or not, the second partition's in another order.
CREATE FUNCTION cmp_table(name text, partitioned boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  types text[] := '{int2,int4,int8,bool,"char",float8,numeric,uuid,name,interval,timetz,macaddr,tid,jsonb,_int4,text,text,text}';
  cols text := 'id int, c1 text';
BEGIN
  FOR i IN 2..3 + (random() * 12)::int LOOP
    cols := cols || format(', c%s %I', i, types[1 + floor(random() * array_length(types, 1))::int]);
    IF random() < 0.15 THEN cols := cols || format(', d%s %s', i, CASE WHEN random() < 0.5 THEN 'text' ELSE 'int8' END); END IF;
  END LOOP;
  IF random() < 0.5 THEN cols := cols || ', g text GENERATED ALWAYS AS (left(c1, 3)) STORED'; END IF;
  EXECUTE format('CREATE TABLE %I (%s, d text, PRIMARY KEY (id)) %s', name, cols, CASE WHEN partitioned THEN 'PARTITION BY RANGE (id)' END);
  IF partitioned THEN
    EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (0) TO (10)', name || 'a', name);
    SELECT string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)) || CASE WHEN attgenerated <> '' THEN
      ' GENERATED ALWAYS AS (left(c1, 3)) STORED' ELSE '' END || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END, ', ' ORDER BY random()) INTO cols
      FROM pg_attribute WHERE attrelid = name::regclass AND attnum > 0;
    EXECUTE format('CREATE TABLE %I (gone int, %s)', name || 'b', cols);
    EXECUTE format('ALTER TABLE %I DROP gone', name || 'b');
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (10) TO (1000)', name, name || 'b');
  END IF;
  EXECUTE format('ALTER TABLE %I ALTER c1 SET STORAGE %s', name, (ARRAY['EXTERNAL', 'MAIN', 'EXTENDED'])[1 + (random() * 2)::int]);
  EXECUTE format('INSERT INTO %I (id) SELECT generate_series(1, 20)', name);
  EXECUTE format('CREATE TRIGGER see AFTER UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION cmp_see()', name);
  EXECUTE format('CREATE TRIGGER meddle BEFORE UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION cmp_meddle()', name);
  PERFORM tracksync.track(name::regclass);
END $$;
CREATE FUNCTION cmp_update(name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE sets text;
BEGIN
  FOR step IN 1..80 LOOP
    -- rows that are older than a column, and others that are not
    IF step % 30 = 10 THEN
      EXECUTE format('ALTER TABLE %I ADD e%s %s', name, step, CASE WHEN random() < 0.5 THEN 'int DEFAULT 7' ELSE $d$text DEFAULT repeat('z', 200)$d$ END);
    ELSIF step = 55 THEN
      EXECUTE format('ALTER TABLE %I DROP d', name);
    END IF;
    SELECT string_agg(format('%I = %s', attname, CASE WHEN atttypid = 'text'::regtype AND random() < 0.3 THEN attname::text ELSE cmp_value(typname) END), ', ')
      INTO sets FROM pg_attribute JOIN pg_type t ON t.oid = atttypid WHERE attrelid = name::regclass AND attnum > 0 AND NOT attisdropped
      AND attname NOT IN ('id', 'g') AND attname NOT LIKE 'd%' AND random() < (ARRAY[0.05, 0.2, 0.6])[1 + step % 3];
    IF sets IS NOT NULL THEN EXECUTE format('UPDATE %I SET %s WHERE id %% 4 = %s', name, sets, step % 4); END IF;
  END LOOP;
END $$;
-- The first update of which both do not say the same.
CREATE FUNCTION cmp_differ(name text) RETURNS SETOF text LANGUAGE sql AS $$
  WITH c AS (SELECT row_number() OVER (PARTITION BY key ORDER BY seq) AS n, (key ->> 'id')::int AS id, old,
               ARRAY(SELECT x COLLATE "C" FROM unnest(changed) x ORDER BY 1) AS changed FROM tracksync.changes(name::regclass) WHERE op = 'UPDATE'),
       s AS (SELECT row_number() OVER (PARTITION BY id ORDER BY n) AS n, id, old, changed FROM cmp_seen)
  SELECT format('row %s, its update %s: %s, seen %s', id, n, c.changed, s.changed) FROM c FULL JOIN s USING (id, n)
    WHERE c.changed IS DISTINCT FROM s.changed OR EXISTS (SELECT FROM unnest(s.changed) k WHERE s.old -> k IS DISTINCT FROM c.old -> k) ORDER BY n LIMIT 1
$$;
CREATE FUNCTION cmp_run(name text, partitioned boolean) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
  TRUNCATE cmp_seen;
  PERFORM cmp_table(name, partitioned);
  PERFORM cmp_update(name);
  RETURN QUERY SELECT * FROM cmp_differ(name);
END $$;
SELECT is_empty(format('SELECT cmp_run(%L, %L)', 'cmp' || i, i % 3 = 0), 'random updates of table ' || i) FROM generate_series(1, 6) i;
SELECT cmp_ok((SELECT count(*) FROM cmp_seen), '>', 100::bigint, 'there were some');
SELECT * FROM finish();
