-- Submit a run at certain times: by a cron expression of five fields in a time zone, or once, at a time.
--   p_app_version_id   null: the organisation's newest build at that time
-- Every API and worker process fires what is due, about once a second; each time fires once, however many there are. What
-- was missed because none was up is made up for once. What an expression that cannot be read means is told in last_error.
create or replace function qgjob.add_schedule(
  p_org_id text, p_name text, p_jobs jsonb, p_cron text default null, p_time_zone text default 'UTC',
  p_at timestamptz default null, p_app_version_id text default null, p_defaults jsonb default '{}',
  p_labels jsonb default '{}', p_enabled boolean default true
) returns setof qgjob.schedule_details language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
declare
  v_schedule qgjob.schedule;
begin
  v_schedule.org_id := p_org_id;
  v_schedule.name := p_name;
  v_schedule.cron := p_cron;
  v_schedule.time_zone := p_time_zone;
  v_schedule.at := p_at;
  v_schedule.app_version_id := p_app_version_id;
  v_schedule.jobs := p_jobs;
  v_schedule.defaults := p_defaults;
  v_schedule.labels := p_labels;
  v_schedule.enabled := p_enabled;
  perform qgjob.check_schedule(v_schedule);
  perform qgjob.require_org(p_org_id);
  perform qgjob.make_orgs(array[p_org_id]);
  insert into qgjob.schedule (org_id, name, cron, time_zone, at, app_version_id, jobs, defaults, labels, enabled, next_at,
    created_at)
  values (p_org_id, p_name, p_cron, p_time_zone, p_at, p_app_version_id, p_jobs, p_defaults, p_labels, p_enabled,
    qgjob.time_schedule(v_schedule), qgjob.now())
  on conflict on constraint schedule_name_is_unique do nothing
  returning schedule_id into v_schedule.schedule_id;
  if v_schedule.schedule_id is null then
    raise exception using errcode = 'QJ409', constraint = 'schedule_name_is_unique', column = 'name',
      message = format('%s has a schedule %s already.', p_org_id, p_name);
  end if;
  return query select * from qgjob.list_schedules(p_schedule_id => v_schedule.schedule_id);
end $$;
