-- As has_room, and until this transaction ends nobody else is told so of an organisation whose devices are counted: two
-- claims for different lanes would both find the last room. p_may_wait: else the answer is no where somebody else is
-- being told, for whoever holds a lane or a group must not wait here.
create or replace function qgjob.take_room(p_org_id text, p_may_wait boolean) returns boolean
language plpgsql volatile as $$
begin
  if not exists (select from qgjob.org where org_id = p_org_id and max_devices is not null) then
    return true;
  elsif p_may_wait then
    perform from qgjob.org where org_id = p_org_id for no key update;
  else
    perform from qgjob.org where org_id = p_org_id for no key update skip locked;
    if not found then
      return false;
    end if;
  end if;
  return qgjob.has_room(p_org_id);
end $$;
