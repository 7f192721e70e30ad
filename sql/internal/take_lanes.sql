-- From now on no other transaction claims for this organisation and target: the first of its lanes is locked for all of
-- them. p_may_wait: else the answer is no where somebody else has it.
create or replace function qgjob.take_lanes(p_org_id text, p_target text, p_may_wait boolean) returns boolean
language plpgsql volatile as $$
declare
  v_first bigint := (select min(lane_id) from qgjob.lane where org_id = p_org_id and target = p_target);
begin
  if p_may_wait then
    perform from qgjob.lane where lane_id = v_first for no key update;
  else
    perform from qgjob.lane where lane_id = v_first for no key update skip locked;
  end if;
  return found;
end $$;
