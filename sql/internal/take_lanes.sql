-- From now on no other transaction claims for this organisation and target: the first of its lanes is locked for all of
-- them. p_may_wait: else the answer is no where somebody else has it; and so it is where they keep it, for a device must
-- not wait for whoever does not commit.
create or replace function qgjob.take_lanes(p_org_id text, p_target text, p_may_wait boolean) returns boolean
language plpgsql volatile set lock_timeout = '2s' as $$
declare
  v_first bigint := (select min(lane_id) from qgjob.lane where org_id = p_org_id and target = p_target);
begin
  perform from qgjob.lane where lane_id = v_first for no key update skip locked;
  if not found and p_may_wait then
    begin
      perform from qgjob.lane where lane_id = v_first for no key update;
    exception when lock_not_available then
      return false;
    end;
  end if;
  return found;
end $$;
