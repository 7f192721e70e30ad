-- A short token to submit, for a job of GitHub Actions that showed its own. p_claims are what that one says, p_issuer who
-- signed it; its signature and audience have been checked, everything else is checked here, by this clock. It is
-- exchanged once. p_org_id is needed only where more than one organisation trusts the repository.
create or replace function qgjob.exchange_token(
  p_issuer text, p_claims jsonb, p_hash bytea, p_hint text, p_org_id text default null
) returns table (token_id bigint, hint text, name text, org_id text, scopes text[], expires_at timestamptz)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
#variable_conflict use_column
declare
  c_leeway constant interval := '10 s';
  c_lifetime constant interval := '1 hour';
  v_now timestamptz := qgjob.now();
  v_expires_at timestamptz;
  v_trust qgjob.trust;
  v_orgs text[];
  v_trusts bigint[];
begin
  perform qgjob.check_token(p_hash, p_hint);
  if jsonb_typeof(p_claims) is distinct from 'object' or jsonb_typeof(p_claims -> 'exp') is distinct from 'number'
      or jsonb_typeof(p_claims -> 'iat') is distinct from 'number'
      or coalesce(jsonb_typeof(p_claims -> 'nbf') <> 'number', false)
      or coalesce(length(p_claims ->> 'jti') not between 1 and 255, true)
      or greatest((p_claims ->> 'exp')::numeric, (p_claims ->> 'iat')::numeric, (p_claims ->> 'nbf')::numeric) > 32503680000
      or least((p_claims ->> 'exp')::numeric, (p_claims ->> 'iat')::numeric, (p_claims ->> 'nbf')::numeric) < 0 then
    raise exception using errcode = 'QJ401', constraint = 'oidc_token_is_complete',
      message = 'The token of GitHub lacks exp, iat or jti.';
  end if;
  v_expires_at := to_timestamp((p_claims ->> 'exp')::double precision);
  if v_expires_at <= v_now - c_leeway then
    raise exception using errcode = 'QJ401', constraint = 'oidc_token_is_fresh',
      message = 'The token of GitHub has expired.', hint = 'Ask for it just before it is exchanged.';
  elsif to_timestamp(greatest((p_claims ->> 'iat')::double precision, (p_claims ->> 'nbf')::double precision))
      > v_now + c_leeway then
    raise exception using errcode = 'QJ401', constraint = 'oidc_token_is_fresh',
      message = 'The token of GitHub is not valid yet.', hint = 'Is the clock of this server right?';
  elsif p_claims ->> 'event_name' = 'pull_request_target' then
    raise exception using errcode = 'QJ403', constraint = 'event_can_be_trusted',
      message = 'Workflows on pull_request_target are never trusted.',
      hint = 'They run with the rights of the repository on behalf of anybody; use pull_request.';
  end if;

  select array_agg(distinct org_id), array_agg(trust_id) into v_orgs, v_trusts from qgjob.trust
  where issuer = p_issuer and repository_owner_id = p_claims ->> 'repository_owner_id'
    and (repository_id is null or repository_id = p_claims ->> 'repository_id')
    and (ref is null or ref = p_claims ->> 'ref')
    and (environment is null or environment = p_claims ->> 'environment')
    and (event_name is null or event_name = p_claims ->> 'event_name')
    and (p_org_id is null or org_id = p_org_id);
  if v_orgs is null then
    raise exception using errcode = 'QJ403', constraint = 'repository_is_trusted',
      message = 'No organisation here trusts this workflow of this repository.',
      hint = format('An admin can: qgjob trust add --org-id=… --owner-id=%s --repository-id=%s',
        left(p_claims ->> 'repository_owner_id', 20), left(p_claims ->> 'repository_id', 20));
  elsif cardinality(v_orgs) > 1 then
    raise exception using errcode = 'QJ422', constraint = 'org_is_named', column = 'org_id',
      message = 'More than one organisation trusts this repository: name one.';
  end if;
  select * into v_trust from qgjob.trust where trust_id = any (v_trusts) order by trust_id limit 1 for key share;
  if v_trust.trust_id is null then  -- removed while this waited
    raise exception using errcode = 'QJ403', constraint = 'repository_is_trusted',
      message = 'No organisation here trusts this workflow of this repository.';
  end if;

  insert into qgjob.exchanged (issuer, jti, expires_at) values (p_issuer, p_claims ->> 'jti', v_expires_at + 2 * c_leeway)
  on conflict do nothing;
  if not found then
    raise exception using errcode = 'QJ401', constraint = 'oidc_token_is_used_once',
      message = 'The token of GitHub has been exchanged before.', hint = 'Ask GitHub for another one.';
  end if;
  -- What no longer matters goes here, so that nobody needs to look after it; a few at a time.
  delete from qgjob.exchanged where (issuer, jti) in (
    select issuer, jti from qgjob.exchanged where expires_at < v_now order by expires_at limit 10
    for update skip locked);
  delete from qgjob.api_token where token_id in (
    select token_id from qgjob.api_token where trust_id is not null and expires_at < v_now - interval '30 days'
    order by expires_at limit 10 for update skip locked);

  return query
  insert into qgjob.api_token as token (hash, hint, name, org_id, scopes, trust_id, created_at, expires_at)
  values (p_hash, p_hint, left('github ' || coalesce(p_claims ->> 'repository', '?') || ' run ' || coalesce(p_claims ->> 'run_id', '?'), 255),
    v_trust.org_id, array['submit'], v_trust.trust_id, v_now, v_now + c_lifetime)
  returning token.token_id, token.hint, token.name, token.org_id, token.scopes, token.expires_at;
end $$;
