-- As has_room, and until this transaction ends nobody else is told so of an organisation whose devices are counted: two
-- claims for different lanes would both find the last room. p_may_wait: as in take_lanes, for whoever holds a lane or a
-- group must not wait here.
create or replace function qgjob.take_room(p_org_id text, p_may_wait boolean) returns boolean
language plpgsql volatile set lock_timeout = '2s' as $$
begin
  if not exists (select from qgjob.org where org_id = p_org_id and max_devices is not null) then
    return true;
  end if;
  perform from qgjob.org where org_id = p_org_id for no key update skip locked;
  if not found and p_may_wait then
    begin
      perform from qgjob.org where org_id = p_org_id for no key update;
    exception when lock_not_available then
      return false;
    end;
  end if;
  return found and qgjob.has_room(p_org_id);
end $$;
