-- A worker or device that serves others, too, is the operator's. Whoever sees it listed is told so; for everybody else it
-- is not there.
create or replace function qgjob.refuse_shared(p_what text, p_org_ids text[]) returns void language plpgsql stable as $$
begin
  if not qgjob.may_see(null) and cardinality(p_org_ids) is distinct from 1
    and qgjob.serves(p_org_ids, current_setting('qgjob.org_id'))
  then
    raise exception using errcode = 'QJ403', constraint = 'shared_devices_are_the_operators',
      message = p_what || ' serves other organisations, too.', hint = 'That takes an admin of all organisations.';
  end if;
end $$;
