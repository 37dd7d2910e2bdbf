-- Links.

CREATE FUNCTION tracksync.create_link(name text, source regclass, target text, server name = NULL, columns jsonb = NULL,
    filter text = NULL, key text[] = NULL, initial text = 'copy', on_conflict text = 'error', on_error text = 'abort',
    schema_policy text = 'apply', detect text = 'log', create_target boolean = false, target_filter text = NULL, on_cast text = 'error') RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_create_link';
COMMENT ON FUNCTION tracksync.create_link(text, regclass, text, name, jsonb, text, text[], text, text, text, text, text, boolean, text, text) IS
'links a source table to a target table, tracking the source if need be; writes nothing to the target';

CREATE FUNCTION tracksync.alter_link(name text, target text = NULL, server name = NULL, columns jsonb = NULL,
    filter text = NULL, key text[] = NULL, initial text = NULL, on_conflict text = NULL, on_error text = NULL,
    schema_policy text = NULL, detect text = NULL, create_target boolean = NULL, target_filter text = NULL, on_cast text = NULL) RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_alter_link';
COMMENT ON FUNCTION tracksync.alter_link(text, text, name, jsonb, text, text[], text, text, text, text, text, boolean, text, text) IS
'alters a link; NULL keeps an option. Another target or other columns make the next push compare';

CREATE FUNCTION tracksync.drop_link(name text) RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_drop_link';
COMMENT ON FUNCTION tracksync.drop_link(text) IS
'drops a link; the target keeps its rows. A source tracked for its links only is untracked with the last of them';

CREATE FUNCTION tracksync.take_over(name text) RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_take_over';
COMMENT ON FUNCTION tracksync.take_over(text) IS
'lets a link whose target is on a server forget who pushed there under its name, after a fail-over or a restore of the source say; the next push compares';

CREATE FUNCTION tracksync.set_merge_rule(name text, column_name text, rule text) RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_set_merge_rule';
COMMENT ON FUNCTION tracksync.set_merge_rule(text, text, text) IS
'on_conflict => ''merge'': what becomes of a column of the target that both sides changed: source, target, greatest, least or add; of the column ''*'', a row that one side deleted and the other one changed: keep or delete';

CREATE FUNCTION tracksync.create_group(name text, links text[], transactions text = 'one') RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_create_group';
COMMENT ON FUNCTION tracksync.create_group(text, text[], text) IS
'names a set of links of one owner, to be planned and pushed together in one transaction; transactions => ''per_server'': in one for each server where its targets are';

CREATE FUNCTION tracksync.group_add(name text, link text) RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_group_add';
COMMENT ON FUNCTION tracksync.group_add(text, text) IS 'adds a link to a group';

CREATE FUNCTION tracksync.group_remove(name text, link text) RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_group_remove';
COMMENT ON FUNCTION tracksync.group_remove(text, text) IS 'takes a link out of a group';

CREATE FUNCTION tracksync.drop_group(name text) RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_drop_group';
COMMENT ON FUNCTION tracksync.drop_group(text) IS 'drops a group; its links stay';

CREATE FUNCTION tracksync.link_back(source regclass, origin text) RETURNS text
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_link_back';
COMMENT ON FUNCTION tracksync.link_back(regclass, text) IS
'internal: asked by a push from another server: do links of this table bring its changes there, and have they any to ship?';

CREATE FUNCTION tracksync.link_back_is_whole(source regclass, origin text) RETURNS boolean
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_link_back_is_whole';
COMMENT ON FUNCTION tracksync.link_back_is_whole(regclass, text) IS
'internal: asked by a push from another server: does a link of this table bring all of its rows there?';

CREATE FUNCTION tracksync.note_gone(target regclass, keys text[], origin text) RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_note_gone';
COMMENT ON FUNCTION tracksync.note_gone(regclass, text[], text) IS
'internal: a push, perhaps from another server, tells that rows which this table does not have are gone where it comes from, too';
