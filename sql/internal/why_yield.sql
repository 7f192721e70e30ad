-- Why a device that could go on with this group must leave it for one of better right that it would be given, which
-- is_worth_joining; null: it goes on.
--   urgent    at once, for a higher priority of the same organisation that no device serves
--   stayed    after stay_s on the build (or when the clock has gone back since its installation) for a group of equal or
--             better right that no device serves, and for one that devices serve, where its organisation is behind by as
--             much
drop function if exists qgjob.should_yield(qgjob.device, qgjob.job_group);
create or replace function qgjob.why_yield(p_device qgjob.device, p_group qgjob.job_group) returns text
language sql volatile as $$
  select case
    when exists (
      select from qgjob.lanes_of_org(p_group.org_id, p_device) as lane join qgjob.job_group as other using (lane_id)
      where other.head_priority > p_group.head_priority and other.devices = 0 and qgjob.is_worth_joining(other)
    ) then 'urgent'
    when p_device.installed_at not between
        qgjob.now() - make_interval(secs => qgjob.stay_s(p_group.org_id, p_group.target)) and qgjob.now()
      and exists (
        select from qgjob.lane
        join qgjob.org using (org_id)
        join qgjob.lane as own on own.lane_id = p_group.lane_id
        where lane.target = own.target and lane.active and lane.pass <= own.pass and p_device.labels @> lane.selector
          and qgjob.serves(p_device.org_ids, lane.org_id)
          and qgjob.has_room(lane.org_id)
          and exists (
            select from qgjob.job_group as other
            where other.lane_id = lane.lane_id and other.head_priority is not null and other.group_id <> p_group.group_id
              and (lane.org_id <> own.org_id or other.head_priority >= p_group.head_priority)
              and (other.devices = 0 or (
                lane.org_id <> own.org_id
                and (own.pass - lane.pass) * org.weight >= qgjob.stay_s(p_group.org_id, p_group.target)))
              and qgjob.is_worth_joining(other)))
    then 'stayed' end
$$;
