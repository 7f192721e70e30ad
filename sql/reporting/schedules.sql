-- Every schedule: what it submits and when, and what came of it the last time.
create or replace view reporting.schedules with (security_invoker = true) as
  select schedule_id, org_id, name,
    case when not enabled then 'paused' when at is not null and next_at is null then 'done' else 'active' end as status,
    cron, time_zone, at, app_version_id, jobs, defaults, labels, next_at, last_at, last_run_id, last_error, created_at
  from qgjob.schedule;

comment on view reporting.schedules is
  'Every schedule: what it submits and when, and what came of it the last time.';
comment on column reporting.schedules.schedule_id is 'The number of the schedule.';
comment on column reporting.schedules.org_id is 'The organisation that it belongs to.';
comment on column reporting.schedules.name is 'Its name, unique in the organisation.';
comment on column reporting.schedules.status is 'active, paused, or done (its one time is over).';
comment on column reporting.schedules.cron is
  'When it submits: a cron expression of five fields; null where it has one time (at).';
comment on column reporting.schedules.time_zone is 'The time zone of the expression.';
comment on column reporting.schedules.at is 'The one time at which it submits; null where it has an expression (cron).';
comment on column reporting.schedules.app_version_id is 'The build that it tests; null is the newest at that time.';
comment on column reporting.schedules.jobs is 'The jobs that it submits.';
comment on column reporting.schedules.defaults is 'What all of these jobs have in common.';
comment on column reporting.schedules.labels is 'Labels of its runs.';
comment on column reporting.schedules.next_at is 'When it submits next; null until that was worked out, or for never.';
comment on column reporting.schedules.last_at is 'When it submitted, or tried to, the last time.';
comment on column reporting.schedules.last_run_id is 'The run that it submitted last.';
comment on column reporting.schedules.last_error is 'Why nothing was submitted the last time; null when all is well.';
comment on column reporting.schedules.created_at is 'When it was made.';
