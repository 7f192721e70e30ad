-- What a job waits for, what is ahead of it, and which device will probably run it when; or why it ran where it did.
create or replace function qgjob.get_why(p_job_id bigint, p_org_id text default null)
returns table (
  job_id bigint, status text, reason text, jobs_ahead integer, work_ahead_s double precision, groups_ahead integer,
  devices_fitting integer, devices_on_group integer, predicted_device text, predicted_start_s double precision
) language plpgsql stable as $$
#variable_conflict use_column
declare
  v_now timestamptz := qgjob.now();
  v_details qgjob.job_details;
  v_job qgjob.job;
  v_group qgjob.job_group;
  v_batch qgjob.batch;
  v_next record;
  v_sick record;
begin
  select * into v_details from qgjob.get_job(p_job_id, p_org_id);
  select * into v_job from qgjob.job where job.job_id = p_job_id;
  select * into v_group from qgjob.job_group where group_id = v_job.group_id;

  select count(*), coalesce(sum(predicted_s), 0) into jobs_ahead, work_ahead_s
  from qgjob.job as other
  where other.group_id = v_job.group_id and other.status = 'pending' and v_job.status = 'pending'
    and (other.priority, other.failed_before::integer, other.predicted_s, -other.job_id)
      > (v_job.priority, v_job.failed_before::integer, v_job.predicted_s, -v_job.job_id);

  select count(*) into groups_ahead
  from qgjob.job_group as other
  join qgjob.lane on lane.lane_id = other.lane_id
  join qgjob.lane as own on own.lane_id = v_group.lane_id
  where v_job.status = 'pending' and v_group.devices = 0 and lane.active and lane.target = own.target
    and other.head_priority is not null and other.devices = 0 and other.group_id <> v_group.group_id
    and (lane.pass < own.pass or lane.lane_id = own.lane_id and (
      other.head_priority > v_group.head_priority
      or other.head_priority = v_group.head_priority and other.rank_at < v_group.rank_at));

  -- When each device that fits is free: what is left of its batch, as far as that can be told.
  select count(*) as fitting, count(*) filter (where free.group_id = v_group.group_id) as on_group,
    (array_agg(free.name order by free.start_s, free.name))[1] as name, min(free.start_s) as start_s into v_next
  from (
    select device.name, batch.group_id,
      coalesce((
        select sum(case when held.status = 'running'
          then greatest(0, held.predicted_s - extract(epoch from v_now - held.started_at)) else held.predicted_s end)
        from qgjob.job as held where held.batch_id = batch.batch_id), 0)
      + case when v_group.build is distinct from coalesce(current_group.build, device.installed_build)
          then qgjob.install_s(v_group.org_id, v_group.target) else 0 end as start_s
    from qgjob.device
    join qgjob.worker on worker.worker_id = device.worker_id and qgjob.worker_status(worker) = 'live'
    left join qgjob.batch on batch.device_id = device.device_id and batch.ended_at is null
    left join qgjob.job_group as current_group on current_group.group_id = batch.group_id
    where device.target = v_group.target and device.labels @> v_group.selector and device.quarantined_at is null
  ) as free;
  select device.name, quarantine_reason as why into v_sick
  from qgjob.device join qgjob.worker on worker.worker_id = device.worker_id and qgjob.worker_status(worker) = 'live'
  where target = v_group.target and labels @> v_group.selector and quarantined_at is not null
  order by quarantined_at desc limit 1;
  devices_fitting := v_next.fitting;
  devices_on_group := v_next.on_group;
  if v_job.status = 'pending' and v_next.fitting > 0 then
    predicted_device := v_next.name;
    predicted_start_s := v_next.start_s + work_ahead_s / greatest(1, devices_on_group);
  end if;

  if v_job.batch_id is not null or v_job.finished_at is not null then
    select batch.* into v_batch from qgjob.batch
    where batch_id = coalesce(v_job.batch_id, (
      select attempt.batch_id from qgjob.attempt where attempt.job_id = p_job_id order by number desc limit 1));
  end if;
  reason := case
    when v_job.status = 'cancelled' and v_batch.batch_id is null then 'It was cancelled before a device had it.'
    when v_batch.chosen = 'continued' then format('%s had its build installed and went on with it.', v_details.device)
    when v_batch.chosen = 'first' then format('%s was free, and no device served its group.', v_details.device)
    when v_batch.chosen = 'joined' then format(
      '%s joined its group: its share of the remaining work was worth an installation.', v_details.device)
    when v_batch.chosen = 'taken back' then format(
      '%s was idle and took it from a device that had not started it.', v_details.device)
    when devices_fitting = 0 and v_sick.name is not null then format(
      'Every device that it could run on is in quarantine. %s: %s', v_sick.name, v_sick.why)
    when devices_fitting = 0 then format('No live worker drives a device for target %s%s.', v_group.target,
      case when v_group.selector <> '{}' then ' with ' || v_group.selector::text else '' end)
    when not qgjob.has_room(v_job.org_id) then 'Its organisation already has all the devices that it may have.'
    when devices_on_group > 0 then format('%s on its group; %s before it.',
      case devices_on_group when 1 then '1 device is' else devices_on_group || ' devices are' end,
      case jobs_ahead when 1 then '1 job comes' else jobs_ahead || ' jobs come' end)
    when groups_ahead > 0 then format('All devices are busy, and %s before its group.',
      case groups_ahead when 1 then '1 group comes' else groups_ahead || ' groups come' end)
    else 'Its group is the next that a free device takes.' end;
  job_id := p_job_id;
  status := v_job.status;
  return next;
end $$;
