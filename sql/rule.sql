-- Rules for the rows that are pushed.

CREATE FUNCTION tracksync.add_rule(link text, rule text, expression text, message text = NULL) RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_add_rule';
COMMENT ON FUNCTION tracksync.add_rule(text, text, text, text) IS
'says what a link''s rows have to be like to be pushed: a boolean expression over the target''s columns, or a ready-made rule: required, range, length, pattern, one_of, unique';

CREATE FUNCTION tracksync.drop_rule(link text, rule text) RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_drop_rule';
COMMENT ON FUNCTION tracksync.drop_rule(text, text) IS
'drops a link''s rule; of several with the name of their kind all, or one: required(email)';

CREATE FUNCTION tracksync.validate(name text,
    OUT link text, OUT key jsonb, OUT rule text, OUT "column" text, OUT value text, OUT message text) RETURNS SETOF record
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_validate';
COMMENT ON FUNCTION tracksync.validate(text) IS
'every rule that a row which the next push would insert or update breaks; no row: none. Changes nothing';

CREATE FUNCTION tracksync.rule_required(link text, column_name text, message text = NULL) RETURNS void
  LANGUAGE sql AS $$ SELECT tracksync.add_rule($1, 'required', pg_catalog.format('%I', $2), $3) $$;
COMMENT ON FUNCTION tracksync.rule_required(text, text, text) IS 'adds the rule: the column is not NULL';

CREATE FUNCTION tracksync.rule_range(link text, column_name text, at_least text, at_most text, message text = NULL) RETURNS void
  LANGUAGE sql AS $$ SELECT tracksync.add_rule($1, 'range', pg_catalog.format('%I, %L, %L', $2, $3, $4), $5) $$;
COMMENT ON FUNCTION tracksync.rule_range(text, text, text, text, text) IS
'adds the rule: the column''s value is between the two, or NULL; a limit that is NULL is none';

CREATE FUNCTION tracksync.rule_range(link text, column_name text, at_least numeric, at_most numeric, message text = NULL) RETURNS void
  LANGUAGE sql AS $$ SELECT tracksync.add_rule($1, 'range', pg_catalog.format('%I, %L, %L', $2, $3, $4), $5) $$;
COMMENT ON FUNCTION tracksync.rule_range(text, text, numeric, numeric, text) IS
'adds the rule: the column''s value is between the two, or NULL; a limit that is NULL is none';

CREATE FUNCTION tracksync.rule_length(link text, column_name text, at_least int, at_most int, message text = NULL) RETURNS void
  LANGUAGE sql AS $$ SELECT tracksync.add_rule($1, 'length', pg_catalog.format('%I, %s, %s', $2, $3, $4), $5) $$;
COMMENT ON FUNCTION tracksync.rule_length(text, text, int, int, text) IS
'adds the rule: the column''s value has so many characters, bytes (bytea) or elements (arrays), or is NULL; a limit that is NULL is none';

CREATE FUNCTION tracksync.rule_pattern(link text, column_name text, regex text, message text = NULL) RETURNS void
  LANGUAGE sql AS $$ SELECT tracksync.add_rule($1, 'pattern',
    pg_catalog.format('%I, ''%s''', $2, pg_catalog.replace($3, '''', '''''')), $4) $$;
COMMENT ON FUNCTION tracksync.rule_pattern(text, text, text, text) IS 'adds the rule: the column''s text matches the regular expression, or it is NULL';

CREATE FUNCTION tracksync.rule_one_of(link text, column_name text, allowed text[], message text = NULL) RETURNS void
  LANGUAGE sql AS $$ SELECT tracksync.add_rule($1, 'one_of', pg_catalog.format('%I, %s', $2, $3), $4) $$;
COMMENT ON FUNCTION tracksync.rule_one_of(text, text, text[], text) IS 'adds the rule: the column has one of the values, or is NULL';

CREATE FUNCTION tracksync.rule_unique(link text, columns text[], message text = NULL) RETURNS void
  LANGUAGE sql AS $$ SELECT tracksync.add_rule($1, 'unique', (SELECT pg_catalog.string_agg(pg_catalog.format('%I', c), ', ' ORDER BY n)
    FROM pg_catalog.unnest($2) WITH ORDINALITY AS u(c, n)), $3) $$;
COMMENT ON FUNCTION tracksync.rule_unique(text, text[], text) IS
'adds the rule: no two rows of the target have the same values in the columns, unless one of them is NULL';
