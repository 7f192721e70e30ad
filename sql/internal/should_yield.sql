-- Must a device that could go on with this group leave it, because a group that no device serves has a better right? At
-- once for a higher priority of the same lane; after 20 installs' time on the build for a group of equal or better right.
create or replace function qgjob.should_yield(p_device qgjob.device, p_group qgjob.job_group) returns boolean
language sql volatile as $$
  select exists (
    select from qgjob.job_group as other
    where other.lane_id = p_group.lane_id and other.head_priority > p_group.head_priority and other.devices = 0
  ) or (
    p_device.installed_at < qgjob.now() - make_interval(secs => 20 * qgjob.install_s(p_group.org_id, p_group.target))
    and exists (
      select from qgjob.lane, qgjob.lane as own
      where own.lane_id = p_group.lane_id
        and lane.target = own.target and lane.active and lane.pass <= own.pass and p_device.labels @> lane.selector
        and qgjob.serves(p_device.org_ids, lane.org_id)
        and qgjob.has_room(lane.org_id)
        and exists (
          select from qgjob.job_group as other
          where other.lane_id = lane.lane_id and other.devices = 0 and other.head_priority is not null
            and other.group_id <> p_group.group_id
            and (lane.lane_id <> own.lane_id or other.head_priority >= p_group.head_priority)))
  )
$$;
