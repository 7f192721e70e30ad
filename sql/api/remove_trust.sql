-- Trust it no longer, and revoke the tokens that it has led to.
create or replace function qgjob.remove_trust(p_trust_id bigint, p_org_id text default null) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
begin
  delete from qgjob.trust
  where trust_id = p_trust_id and (p_org_id is null or org_id = p_org_id) and qgjob.may_see(org_id);
  if not found then
    raise exception using errcode = 'QJ404', constraint = 'trust_exists',
      message = format('There is no trust %s.', p_trust_id);
  end if;
  -- Whoever exchanges just now holds a key share lock on the trust, and has committed its token by now.
  update qgjob.api_token set revoked_at = qgjob.now()
  where trust_id = p_trust_id and revoked_at is null and expires_at > qgjob.now();
end $$;
