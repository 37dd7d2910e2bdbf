-- Fills what rental.sql made, in the first schema of the search path: about 9000 rows, always the same ones but for last_update. Numbers
-- that look random are multiples of primes.
BEGIN;
INSERT INTO language (name) SELECT unnest('{Basque,Danish,Greek,Hindi,Polish,Welsh}'::text[]);
INSERT INTO category (name)
  SELECT unnest('{Cartoon,Concert,Crime,Drama,Family,History,Horror,Nature,Science,Silent,Sport,Western}'::text[]);
INSERT INTO actor (first_name, last_name)
  SELECT ('{Ada,Bo,Cleo,Dan,Eve,Finn,Gus,Hana,Ivo,Jo}'::text[])[1 + i % 10], ('{Abel,Birch,Crane,Dove,Elm,Fox,Gray,Hill}'::text[])[1 + i * 7 % 8] || i
  FROM generate_series(1, 150) i;
INSERT INTO film (title, description, release_year, language_id, original_language_id, sequel_of, rental_days, rental_rate,
    replacement_cost, length, rating, special_features)
  SELECT format('The %s %s', ('{Broken,Last,Quiet,Second,Winter}'::text[])[1 + i % 5], ('{Bridge,Harbour,Letter,Road,Tide,Train,Witness}'::text[])[1 + i % 7]),
    CASE WHEN i % 9 > 0 THEN repeat(format('Somebody finds number %s, and nobody is what they were. ', i), 1 + i % 4) END,
    1930 + i * 13 % 90, 1 + i * 11 % 6, CASE i % 4 WHEN 0 THEN 1 + i * 5 % 6 END, CASE WHEN i % 8 = 0 THEN i - 7 END, 1 + i % 7,
    0.99 + i % 5, 9.99 + i % 20, 40 + i * 17 % 130, (enum_range(NULL::film_rating))[1 + i % 5],
    CASE i % 6 WHEN 0 THEN NULL WHEN 1 THEN '{}' WHEN 2 THEN '{Trailer}' WHEN 3 THEN '{"Deleted scenes",Trailer}' ELSE ARRAY['Talk', NULL, 'It''s "that"'] END
  FROM generate_series(1, 300) i;
INSERT INTO film_actor (actor_id, film_id, part)
  SELECT 1 + (i * 7 + k * 31) % 150, i, CASE WHEN k = 0 THEN 'lead' END FROM generate_series(1, 300) i, generate_series(0, 3) k;
INSERT INTO film_category SELECT i, 1 + (i + k * 5) % 12 FROM generate_series(1, 300) i, generate_series(0, 1) k WHERE k = 0 OR i % 3 = 0;
INSERT INTO country (country) SELECT 'Country ' || i FROM generate_series(1, 30) i;
INSERT INTO city (city, country_id) SELECT 'City ' || i, 1 + i * 7 % 30 FROM generate_series(1, 150) i;
INSERT INTO address (street, district, city_id, postal_code, phone, place)
  SELECT i || ' Mill Lane', CASE WHEN i % 3 > 0 THEN 'District ' || i % 20 END, 1 + i * 11 % 120, lpad((i * 37 % 100000)::text, 5, '0'),
    '+44 ' || i * 104729, CASE WHEN i % 2 = 0 THEN point(i * 0.37 - 40, i / 3.0) END
  FROM generate_series(1, 300) i;
-- staff first: only its foreign key can wait
INSERT INTO staff (first_name, last_name, address_id, username, store_id, picture, settings)
  SELECT 'Sam', 'Worker ' || i, CASE WHEN i % 4 > 0 THEN 10 + i END, 'sam' || i, 1 + (i - 1) % 3, CASE WHEN i % 2 = 0 THEN decode(repeat(md5(i::text), i * 20), 'hex') END,
    CASE WHEN i % 3 = 0 THEN format('{"theme": "dark",  "n": %s}', i)::json END
  FROM generate_series(1, 12) i;
INSERT INTO store (manager_staff_id, address_id, opening)
  SELECT i, i, jsonb_build_object('mon-fri', '9-' || 17 + i, 'sat', CASE WHEN i > 1 THEN '10-14' END) FROM generate_series(1, 3) i;
INSERT INTO customer (store_id, first_name, last_name, email, address_id, active, born, discount)
  SELECT 1 + i % 3, 'Kit', 'Buyer ' || i, CASE WHEN i % 10 > 0 THEN 'kit' || i || '@example.org' END, 30 + i % 250, i % 13 > 0, date '1950-01-01' + i * 83,
    CASE WHEN i % 5 = 0 THEN i / 700.0 END
  FROM generate_series(1, 250) i;
INSERT INTO inventory (film_id, store_id, barcode) SELECT 1 + i * 7 % 290, 1 + i % 3, md5('copy ' || i)::uuid FROM generate_series(1, 900) i;
-- a copy's turn comes each 900 hours, and it is out for four days at most; of each the last one may still be out
INSERT INTO rental (rental_date, inventory_id, customer_id, return_date, staff_id)
  SELECT t, 1 + i % 900, 1 + i * 7 % 250, CASE WHEN i < 1600 OR i % 4 > 0 THEN t + (1 + i % 4) * interval '1 day' END, 1 + i % 12
  FROM (SELECT i, '2024-01-01 00:00 UTC'::timestamptz + i * interval '1 hour' FROM generate_series(1, 2400) i) x (i, t);
INSERT INTO payment (payment_date, customer_id, staff_id, rental_id, amount, note)
  SELECT rental_date + interval '20 minutes', customer_id, staff_id, CASE WHEN rental_id % 50 > 0 THEN rental_id END, 0.99 + rental_id % 6, CASE WHEN rental_id % 40 = 0 THEN 'cash' END
  FROM rental WHERE rental_id % 11 > 0;
COMMIT;
