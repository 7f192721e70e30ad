-- Refuse an organisation that is not the token's, in the words that an unknown one gets.
create or replace function qgjob.require_org(p_org_id text) returns void language plpgsql stable as $$
begin
  if not coalesce(qgjob.may_see(p_org_id), false) then
    raise exception using errcode = 'QJ404', constraint = 'org_exists', column = 'org_id',
      message = format('There is no organisation %s.', p_org_id),
      hint = 'A token works for its own organisation only; qgjob whoami says which that is.';
  end if;
end $$;
