-- From now on the token opens nothing. May be repeated.
create or replace function qgjob.revoke_token(p_token_id bigint, p_org_id text default null)
returns table (
  token_id bigint, hint text, name text, org_id text, scopes text[], created_at timestamptz, expires_at timestamptz,
  last_used_at timestamptz, revoked_at timestamptz
) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  return query
  update qgjob.api_token as token set revoked_at = coalesce(token.revoked_at, qgjob.now())
  where token.token_id = p_token_id and (p_org_id is null or token.org_id = p_org_id)
    and coalesce(qgjob.may_see(token.org_id), false)
  returning token.token_id, token.hint, token.name, token.org_id, token.scopes, token.created_at, token.expires_at,
    token.last_used_at, token.revoked_at;
  if not found then
    raise exception using errcode = 'QJ404', constraint = 'token_exists',
      message = format('There is no token %s.', p_token_id);
  end if;
end $$;
