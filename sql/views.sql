-- What users look at: each sees the links of the roles he is a member of.

CREATE VIEW tracksync.status WITH (security_barrier) AS
SELECT l.name, l.name AS link, l.source::regclass AS source,
       -- as it is called now; what does not exist, as it was called
       coalesce((SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) FROM pg_catalog.pg_class c
                   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = l.target),
                pg_catalog.quote_ident(l.target_schema) || '.' || pg_catalog.quote_ident(l.target_name)) AS target,
       l.server::name AS server, l.state, p.pending, p.oldest_pending,
       (SELECT pg_catalog.sum(pg_catalog.pg_relation_size(c.oid) + coalesce(pg_catalog.pg_relation_size(nullif(c.reltoastrelid, 0)), 0))::bigint
          FROM tracksync.tracked_table t JOIN pg_catalog.pg_class c ON c.oid IN (t.log, t.spare) WHERE t.source = l.source AND l.detect = 'log') AS log_bytes,
       l.last_push, l.last_rows, l.last_elapsed,
       (SELECT pg_catalog.count(*) FROM tracksync.quarantine_record q WHERE q.link = l.name AND NOT q.released) AS quarantined,
       (SELECT pg_catalog.count(*) FROM tracksync.conflict_record r WHERE r.link = l.name) AS conflicts
FROM tracksync.link l, LATERAL tracksync.link_pending(l.name) p
WHERE pg_catalog.pg_has_role(l.owner::oid, 'USAGE');
COMMENT ON VIEW tracksync.status IS 'the links: what is pending, how large the log is, when the last push was';

CREATE VIEW tracksync.push_history WITH (security_barrier) AS
SELECT r.id, r.link, r.started, r.elapsed, r.deletes, r.updates, r.inserts, r.outcome, r.error
FROM tracksync.push_record r JOIN tracksync.link l ON l.name = r.link
WHERE pg_catalog.pg_has_role(l.owner::oid, 'USAGE');
COMMENT ON VIEW tracksync.push_history IS 'one row per push and link that was committed; a failed push leaves none, it rolls back everything';

CREATE VIEW tracksync.conflict WITH (security_barrier) AS
SELECT r.id, r.link, r.at, r.kind, r.key, r.source, r.target, r.resolution
FROM tracksync.conflict_record r JOIN tracksync.link l ON l.name = r.link
WHERE pg_catalog.pg_has_role(l.owner::oid, 'USAGE');
COMMENT ON VIEW tracksync.conflict IS 'conflicts that a push met and resolved';

CREATE VIEW tracksync.quarantine WITH (security_barrier) AS
SELECT q.link, q.key, q.op, q.sqlstate, q.message, q.constraint_name AS "constraint", q.row_values AS "row", q.since, q.tried, q.attempts
FROM tracksync.quarantine_record q JOIN tracksync.link l ON l.name = q.link
WHERE NOT q.released AND pg_catalog.pg_has_role(l.owner::oid, 'USAGE');
COMMENT ON VIEW tracksync.quarantine IS 'rows that a push left out because the target did not take them; each push tries them again';

CREATE VIEW tracksync.rule WITH (security_barrier) AS
SELECT r.link, r.rule, r.kind, r.columns, r.expression, r.message, r.created_at
FROM tracksync.rule_record r JOIN tracksync.link l ON l.name = r.link
WHERE pg_catalog.pg_has_role(l.owner::oid, 'USAGE');
COMMENT ON VIEW tracksync.rule IS 'what rows have to be like to be pushed';

CREATE VIEW tracksync.operation AS
SELECT txid, source, by, application_name, context, started, logged, commands,
       inserts, updates, deletes, truncates, schema_changes
FROM tracksync.operations();
COMMENT ON VIEW tracksync.operation IS
'who changed which tracked table, when, why and how much: a row per transaction and table, as long as the log is kept';
