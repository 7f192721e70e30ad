-- Who shows this token, and for how long it is good. One answer for whatever is wrong with it, so that nothing is learned
-- by trying. Its last use is written down once a minute at most.
create or replace function qgjob.resolve_token(p_hash bytea)
returns table (
  token_id bigint, hint text, name text, org_id text, scopes text[], expires_at timestamptz, expires_in_s double precision
) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
#variable_conflict use_column
declare
  v_now timestamptz := qgjob.now();
  v_token qgjob.api_token;
begin
  select * into v_token from qgjob.api_token
  where hash = p_hash and revoked_at is null and (expires_at is null or expires_at > v_now);
  if v_token.token_id is null then
    raise exception using errcode = 'QJ401', constraint = 'token_is_valid',
      message = 'This token is unknown, revoked or expired.',
      hint = 'qgjob login takes another; whoever administers the server creates one with qgjob token create.';
  end if;
  if coalesce(v_token.last_used_at < v_now - interval '1 min', true) then
    -- Whoever else is writing it down writes the same.
    update qgjob.api_token set last_used_at = v_now where token_id = (
      select token_id from qgjob.api_token where token_id = v_token.token_id for no key update skip locked);
  end if;
  return query select v_token.token_id, v_token.hint, v_token.name, v_token.org_id, v_token.scopes, v_token.expires_at,
    extract(epoch from v_token.expires_at - v_now)::double precision;
end $$;
