-- Refuse a schedule that could never submit anything. Whether its cron expression can be read is found out by whoever
-- works out when it is due; see fire_schedule.
create or replace function qgjob.check_schedule(p_schedule qgjob.schedule) returns void language plpgsql volatile as $$
begin
  perform qgjob.require_name('org_id', p_schedule.org_id);
  perform qgjob.require_name('name', p_schedule.name);
  if p_schedule.app_version_id is not null then
    perform qgjob.require_name('app_version_id', p_schedule.app_version_id);
  end if;
  perform qgjob.read_jobs(p_schedule.jobs, p_schedule.defaults);
  -- With the one that submit_schedule adds.
  perform qgjob.check_labels(p_schedule.labels || jsonb_build_object('schedule', p_schedule.name), 'schedule''s run');
  if num_nonnulls(p_schedule.cron, p_schedule.at) <> 1 then
    raise exception using errcode = 'QJ422', constraint = 'schedule_has_one_time', column = 'cron',
      message = 'A schedule has either a cron expression or a time (at).';
  elsif length(p_schedule.cron) not between 1 and 200 then
    raise exception using errcode = 'QJ422', constraint = 'cron_is_readable', column = 'cron',
      message = 'A cron expression has five fields and at most 200 characters, such as "0 2 * * 1-5".';
  elsif p_schedule.time_zone is null or length(p_schedule.time_zone) not between 1 and 64 then
    raise exception using errcode = 'QJ422', constraint = 'time_zone_is_known', column = 'time_zone',
      message = 'A time zone has a name such as Europe/Berlin or UTC.';
  elsif p_schedule.enabled is null then
    raise exception using errcode = 'QJ422', constraint = 'enabled_is_known', column = 'enabled',
      message = 'A schedule is enabled or not: true or false.';
  end if;
end $$;
