-- Change a schedule; what p_changes does not name stays as it is: name, cron, time_zone, at, app_version_id, jobs,
-- defaults, labels, enabled. A cron expression takes the place of a time and the other way round. Pausing and resuming is
-- changing `enabled`; what was due meanwhile is not made up for.
create or replace function qgjob.change_schedule(p_schedule_id bigint, p_changes jsonb, p_org_id text default null)
returns setof qgjob.schedule_details language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_schedule qgjob.schedule := qgjob.find_schedule(p_schedule_id, p_org_id);
  v_field text;
begin
  if jsonb_typeof(p_changes) is distinct from 'object' then
    raise exception using errcode = 'QJ422', constraint = 'schedule_changes_are_an_object', column = 'changes',
      message = 'The changes of a schedule are an object.';
  end if;
  select min(field) into v_field from jsonb_object_keys(p_changes) as field
  where field not in ('name', 'cron', 'time_zone', 'at', 'app_version_id', 'jobs', 'defaults', 'labels', 'enabled');
  if v_field is not null then
    raise exception using errcode = 'QJ422', constraint = 'schedule_field_is_known', column = coalesce(nullif(v_field, ''), 'changes'),
      message = format('There is no field %s in a schedule that could be changed.', to_json(v_field));
  end if;
  if p_changes ->> 'cron' is not null and not p_changes ? 'at' then
    v_schedule.at := null;
  elsif p_changes ->> 'at' is not null and not p_changes ? 'cron' then
    v_schedule.cron := null;
  end if;
  v_schedule := qgjob.read_record(v_schedule, p_changes);
  perform qgjob.check_schedule(v_schedule);
  if p_changes ?| array['cron', 'time_zone', 'at', 'enabled'] then
    v_schedule.next_at := qgjob.time_schedule(v_schedule);
    v_schedule.last_error := null;
  end if;
  if exists (
    select from qgjob.schedule
    where org_id = v_schedule.org_id and name = v_schedule.name and schedule_id <> p_schedule_id
  ) then
    raise exception using errcode = 'QJ409', constraint = 'schedule_name_is_unique', column = 'name',
      message = format('%s has a schedule %s already.', v_schedule.org_id, v_schedule.name);
  end if;
  update qgjob.schedule set name = v_schedule.name, cron = v_schedule.cron, time_zone = v_schedule.time_zone,
    at = v_schedule.at, app_version_id = v_schedule.app_version_id, jobs = v_schedule.jobs,
    defaults = v_schedule.defaults, labels = v_schedule.labels, enabled = v_schedule.enabled,
    next_at = v_schedule.next_at, last_error = v_schedule.last_error
  where schedule_id = p_schedule_id;
  return query select * from qgjob.list_schedules(p_schedule_id => p_schedule_id);
end $$;
