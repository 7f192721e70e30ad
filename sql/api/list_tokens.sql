-- The tokens that somebody created, newest first, without their text, which nobody has; of one organisation, or of all.
-- Those that were exchanged by a CI job last an hour at most and are not listed.
create or replace function qgjob.list_tokens(
  p_org_id text default null, p_limit integer default 50, p_cursor bigint default null
) returns table (
  token_id bigint, hint text, name text, org_id text, scopes text[], created_at timestamptz, expires_at timestamptz,
  last_used_at timestamptz, revoked_at timestamptz
) language sql stable as $$
  select token_id, hint, name, org_id, scopes, created_at, expires_at, last_used_at, revoked_at
  from qgjob.api_token
  where (p_org_id is null or org_id = p_org_id) and trust_id is null and (p_cursor is null or token_id < p_cursor)
  order by token_id desc
  limit qgjob.page_limit(p_limit)
$$;
