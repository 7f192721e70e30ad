-- There are pending jobs in these lanes. A lane that was idle starts level with those that are served: it has no claim to
-- what it did not use. Nor does a new lane give its organisation a new start. The key share lock keeps claim_batch from
-- putting a lane to rest while jobs are being added. p_limited: refuse what limit_lanes refuses.
drop function if exists qgjob.activate_lanes(bigint[]);
create or replace function qgjob.activate_lanes(p_lane_ids bigint[], p_limited boolean default false) returns void
language plpgsql volatile as $$
begin
  perform from qgjob.lane where lane_id = any (p_lane_ids) order by lane_id for key share;
  if exists (select from qgjob.lane where lane_id = any (p_lane_ids) and not active) then
    perform from qgjob.lane where lane_id = any (p_lane_ids) and not active order by lane_id for no key update;
    -- After these locks, for it holds lanes that are not in their order.
    perform qgjob.limit_lanes(p_lane_ids) where p_limited;
    update qgjob.lane set active = true, pass = greatest(
      pass,
      qgjob.pass_level(lane.target, lane.selector),
      (select max(sibling.pass) from qgjob.lane as sibling
       where sibling.org_id = lane.org_id and sibling.target = lane.target
         and qgjob.may_compete(sibling.selector, lane.selector)))
    where lane_id = any (p_lane_ids) and not active;
  end if;
end $$;
