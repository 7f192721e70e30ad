-- What get_why answers. What a job waits for are the jobs of others, too, so this looks at everybody's, and tells numbers
-- only. Callers have seen to it that the job is theirs.
create or replace function qgjob.explain_job(p_job_id bigint)
returns table (
  job_id bigint, status text, reason text, jobs_ahead integer, work_ahead_s double precision, groups_ahead integer,
  devices_fitting integer, devices_on_group integer, predicted_device text, predicted_start_s double precision
) language plpgsql stable security definer
set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_details qgjob.job_details;
  v_job qgjob.job;
  v_group qgjob.job_group;
  v_batch qgjob.batch;
  v_fit record;
  v_away record;
  v_groups text;
  v_has_room boolean;
begin
  select * into v_details from qgjob.get_job(p_job_id);
  select * into v_job from qgjob.job where job.job_id = p_job_id;
  select * into v_group from qgjob.job_group where group_id = v_job.group_id;

  select count(*), coalesce(sum(predicted_s), 0) into jobs_ahead, work_ahead_s
  from qgjob.job as other
  where other.group_id = v_job.group_id and other.status = 'pending' and v_job.status = 'pending'
    and (other.priority, other.failed_before::integer, other.predicted_s, -other.job_id)
      > (v_job.priority, v_job.failed_before::integer, v_job.predicted_s, -v_job.job_id);

  -- A device that keeps the group goes on with it. Else one takes it that is free, once no other group comes before.
  with free as materialized (select * from qgjob.fitting_devices(v_group))
  select found.*, best.name, best.start_s into v_fit
  from (
    select count(*) as devices, count(*) filter (where on_group) as on_group, count(*) filter (where keeps) as keepers,
      coalesce(bool_or(leaves), false) as leave,
      coalesce(bool_and(busy), false) as busy, array_agg(device) as list
    from free
  ) as found
  left join (
    select (device).name, start_s from free where start_s is not null
    order by keeps desc, start_s, (device).name limit 1
  ) as best on true;
  devices_fitting := v_fit.devices;
  devices_on_group := v_fit.on_group;
  groups_ahead := case when v_job.status = 'pending' and v_fit.devices > 0 and v_fit.keepers = 0
    then qgjob.groups_before(v_group, v_fit.list, v_fit.leave) else 0 end;
  -- A device that the organisation has already takes no more room.
  v_has_room := v_fit.keepers > 0 or v_fit.leave or qgjob.has_room(v_job.org_id);
  if v_job.status = 'pending' and groups_ahead = 0 and v_has_room
    and (v_fit.keepers > 0 or qgjob.is_worth_joining(v_group))
  then
    predicted_device := v_fit.name;
    predicted_start_s := v_fit.start_s + work_ahead_s
      / greatest(1, case when qgjob.is_wiped(v_group.target) then v_fit.devices else v_fit.keepers end);
  end if;
  select device.name, quarantine_reason as why into v_away
  from qgjob.device
  join qgjob.worker on worker.worker_id = device.worker_id and qgjob.worker_status(worker) in ('live', 'draining')
  where devices_fitting = 0 and target = v_group.target and labels @> v_group.selector
    and (quarantined_at is not null or qgjob.worker_status(worker) = 'draining')
    and qgjob.serves(device.org_ids, v_job.org_id)
  order by quarantined_at desc nulls first limit 1;

  if v_job.batch_id is not null or v_job.finished_at is not null then
    select batch.* into v_batch from qgjob.batch
    where batch_id = coalesce(v_job.batch_id, (
      select attempt.batch_id from qgjob.attempt where attempt.job_id = p_job_id order by number desc limit 1));
  end if;
  v_groups := case groups_ahead when 1 then '1 group comes' when 500 then '500 groups or more come'
    else groups_ahead || ' groups come' end;
  reason := case
    -- What a device held and had not started leaves no trace of it.
    when v_job.status = 'cancelled' and v_job.started_at is not null then 'It was cancelled while it ran.'
    when v_job.status = 'cancelled' and v_job.attempts > 0 then 'It was cancelled before it started again.'
    when v_job.status = 'cancelled' then 'It was cancelled before it started.'
    when v_batch.chosen = 'continued' then format('%s had its build installed and went on with it.', v_details.device)
    when v_batch.chosen = 'first' then format('%s was free, and no device served its group.', v_details.device)
    when v_batch.chosen = 'joined' then format(
      '%s joined its group: its share of the remaining work was worth an installation.', v_details.device)
    when v_batch.chosen = 'taken back' then format(
      '%s was idle and took it from a device that had not started it.', v_details.device)
    when v_away.why is not null then format(
      'Every device that it could run on is in quarantine. %s: %s', v_away.name, v_away.why)
    when v_away.name is not null then format(
      '%s could run it, but its worker drains and takes nothing more.', v_away.name)
    when devices_fitting = 0 then format('No live worker drives a device for target %s%s%s.%s', v_group.target,
      case when v_group.selector <> '{}' then ' with ' || v_group.selector::text else '' end,
      case when exists (
        select from qgjob.device
        where target = v_group.target and labels @> v_group.selector and not qgjob.serves(org_ids, v_job.org_id)
      ) then ' and serves ' || v_job.org_id else '' end,
      (select case labels when '{}' then ' Those that there are have no labels.'
        else format(' The nearest that there is has %s.', labels) end
      from qgjob.nearest_labels(v_group.target, v_group.selector, v_job.org_id) as labels where labels is not null))
    when not v_has_room then 'Its organisation already has all the devices that it may have.'
    when devices_on_group > 0 then format('%s on its group; %s%s.',
      case devices_on_group when 1 then '1 device is' else devices_on_group || ' devices are' end,
      case jobs_ahead when 0 then 'it is the next there' when 1 then '1 job comes before it'
        else jobs_ahead || ' jobs come before it' end,
      case when groups_ahead > 0 then format(', and %s before its group', v_groups) end)
    when groups_ahead > 0 and v_fit.busy then format(
      'Every device that fits is busy, and %s before its group.', v_groups)
    when groups_ahead > 0 then format('%s before its group.', v_groups)
    when v_fit.name is null then 'Every device that fits goes on with the build that it holds.'
    else 'Its group is among the next that a free device takes.' end;
  job_id := p_job_id;
  status := v_job.status;
  return next;
end $$;
