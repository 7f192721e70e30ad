-- Every schedule: what it submits and when, and what came of it the last time.
create or replace view reporting.schedules with (security_invoker = true) as
  select schedule_id, org_id, name,
    case when not enabled then 'paused' when at is not null and next_at is null then 'done' else 'active' end as status,
    cron, time_zone, at, app_version_id, jobs, defaults, labels, next_at, last_at, last_run_id, last_error, created_at
  from qgjob.schedule;
