-- What all measurements need: the samples, and what to read before and after a statement.

CREATE SCHEMA bench;
ALTER DATABASE :"DBNAME" SET search_path = bench, public;
SET search_path = bench;

CREATE TABLE sample (
  part      text,
  contender text,
  operation text,
  rows      bigint,
  round     int,      -- 0 is to warm up
  wall      float8,   -- microseconds
  cpu       float8,   -- microseconds, user and system, of the backend; NULL where the system does not tell
  wal       float8,   -- bytes
  log       float8    -- bytes
);

-- The processor time of this backend in microseconds: its exact run time, else user and system time in ticks.
CREATE FUNCTION cpu() RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
  line text := pg_read_file('/proc/self/schedstat', 0, 100, true);
  stat text[];
BEGIN
  IF split_part(line, ' ', 1) NOT IN ('', '0') THEN
    RETURN split_part(line, ' ', 1)::float8 / 1000;
  END IF;
  line := pg_read_file('/proc/self/stat', 0, 1000, true);
  IF line IS NULL THEN
    RETURN NULL;
  END IF;
  stat := string_to_array(regexp_replace(line, '^.*\) ', ''), ' ');
  RETURN (stat[12]::float8 + stat[13]::float8) * 10000;
END
$$;

-- The size of all logs, tracksync's and the peers'.
CREATE FUNCTION log_bytes() RETURNS bigint LANGUAGE sql AS $$
  SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND n.nspname IN ('tracksync_log', 'pgq', 'audit_log')
$$;

CREATE FUNCTION record(part text, contender text, operation text, rows bigint, round int, wall interval, cpu float8, wal numeric,
                       log bigint) RETURNS void LANGUAGE sql AS $$
  INSERT INTO bench.sample VALUES (part, contender, operation, rows, round, extract(epoch FROM wall) * 1e6, cpu, wal, log)
$$;

-- A number of microseconds, a ratio: as they are printed.
CREATE FUNCTION show(x float8, digits int) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT round(x::numeric, digits)::text $$;
CREATE FUNCTION verdict(x float8, bar float8) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN x <= bar THEN 'ok' WHEN x > bar THEN 'MISSED' END
$$;
CREATE FUNCTION median(x float8[]) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$
  SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY v) FROM unnest(x) v
$$;

-- Waits until a condition, one on what is in shared memory, holds; gives up after ten minutes.
CREATE FUNCTION wait_for(condition text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  holds boolean;
  started timestamptz := clock_timestamp();
BEGIN
  LOOP
    EXECUTE 'SELECT ' || condition INTO holds;
    EXIT WHEN holds;
    IF clock_timestamp() > started + interval '10 minutes' THEN
      RAISE 'waited in vain for: %', condition;
    END IF;
    PERFORM pg_sleep(0.002);
  END LOOP;
END
$$;
