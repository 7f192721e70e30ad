-- The devices_for this group, and what they do. keeps: it holds the build and goes on with this group, as choose_group
-- has it. leaves: it goes on with another of the organisation, but not while that has something more urgent. start_s: seconds
-- until it could start one more of the group's jobs, by what is left of an install and of its batch; null where it goes on
-- with another group that has its build.
drop function if exists qgjob.fitting_devices(qgjob.job_group);
create or replace function qgjob.fitting_devices(p_group qgjob.job_group)
returns table (
  device qgjob.device, busy boolean, on_group boolean, keeps boolean, leaves boolean, start_s double precision
) language sql stable
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
  select device, batch.batch_id is not null, batch.group_id is not distinct from p_group.group_id,
    coalesce(kept.group_id = p_group.group_id, false),
    coalesce(further.org_id = p_group.org_id and yields = 'urgent', false),
    case when kept.group_id is null or kept.group_id = p_group.group_id then
      case when batch.install and batch.installed_at is null then greatest(0,
        qgjob.install_s(batch.org_id, device.target) - extract(epoch from qgjob.now() - batch.claimed_at)) else 0 end
      + qgjob.busy_s(batch.batch_id)
      + case when kept.group_id is null and held.build is distinct from p_group.build
          then qgjob.install_s(p_group.org_id, p_group.target) else 0 end
    end
  from qgjob.devices_for(p_group) as device
  left join qgjob.batch on batch.device_id = device.device_id and batch.ended_at is null
  left join qgjob.job_group as current_group on current_group.group_id = batch.group_id
  cross join lateral (  -- once its batch has ended
    select case when not qgjob.is_wiped(device.target)
      then coalesce(batch.build, current_group.build, device.installed_build) end as build
  ) as held
  left join lateral qgjob.group_to_continue(device, held.build) as further
    on further.org_id = batch.org_id or qgjob.has_room(further.org_id)
  cross join lateral (select case when yields is null then further.group_id end as group_id) as kept
$$;
