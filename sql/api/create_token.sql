-- A token with these scopes, for an organisation; without one, for all, which only `work` and `admin` may be. The database
-- never sees its text: p_hash is the SHA-256, p_hint its beginning, by which people recognise it. p_expires_in_s null: it
-- does not expire. Who is bound to an organisation creates tokens for that one only. No token outlives the one that
-- created it (p_created_by), or one that leaks for an hour would be good for ever.
create or replace function qgjob.create_token(
  p_hash bytea, p_hint text, p_name text, p_scopes text[], p_org_id text default null,
  p_expires_in_s integer default null, p_created_by bigint default null
) returns table (
  token_id bigint, hint text, name text, org_id text, scopes text[], created_at timestamptz, expires_at timestamptz,
  last_used_at timestamptz, revoked_at timestamptz
) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_now timestamptz := qgjob.now();
  v_scopes text[] := array(select distinct scope from unnest(p_scopes) as scope order by scope);
begin
  perform qgjob.require_org(p_org_id) where p_org_id is not null or not qgjob.may_see(null);
  if p_org_id is not null then
    perform qgjob.require_name('org_id', p_org_id);
  end if;
  perform qgjob.check_token(p_hash, p_hint);
  if p_created_by is not null
      and not exists (select from qgjob.api_token as creator where creator.token_id = p_created_by) then
    raise exception using errcode = 'QJ404', constraint = 'token_exists', column = 'created_by',
      message = format('There is no token %s that could create one.', p_created_by);
  elsif p_name is null or length(p_name) not between 1 and 255 or p_name ~ '[[:cntrl:]]' then
    raise exception using errcode = 'QJ422', constraint = 'token_name_is_short', column = 'name',
      message = 'The name of a token has 1 to 255 characters, all of which can be printed.';
  elsif coalesce(cardinality(v_scopes), 0) = 0 or not v_scopes <@ array['submit', 'read', 'work', 'admin'] then
    raise exception using errcode = 'QJ422', constraint = 'scopes_are_known', column = 'scopes',
      message = 'A token has one or more of the scopes submit, read, work and admin.';
  elsif p_org_id is null and not v_scopes <@ array['work', 'admin'] then
    raise exception using errcode = 'QJ422', constraint = 'only_machines_serve_all', column = 'org_id',
      message = 'A token to submit or read belongs to an organisation.',
      hint = 'Name it. Only tokens with the scopes work or admin may be for all.';
  elsif p_expires_in_s not between 60 and 315360000 then
    raise exception using errcode = 'QJ422', constraint = 'expiry_in_range', column = 'expires_in_s',
      message = 'A token expires after 60 seconds to 10 years, or never.';
  end if;
  perform qgjob.make_orgs(array[p_org_id]) where p_org_id is not null;
  return query
  insert into qgjob.api_token as token (hash, hint, name, org_id, scopes, created_by, created_at, expires_at)
  values (p_hash, p_hint, p_name, p_org_id, v_scopes, p_created_by, v_now, least(
    v_now + make_interval(secs => p_expires_in_s),
    (select creator.expires_at from qgjob.api_token as creator where creator.token_id = p_created_by)))
  returning token.token_id, token.hint, token.name, token.org_id, token.scopes, token.created_at, token.expires_at,
    token.last_used_at, token.revoked_at;
end $$;
