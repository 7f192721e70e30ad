-- The grouping at work: unfinished jobs that can share one installation, and the devices on them now. It reads what is
-- pending, which has a head, and what live batches hold; never the jobs that have ended, which may be millions.
create or replace view reporting.job_groups with (security_invoker = true) as
  select job_group.group_id, live.org_id, job_group.app_version_id, job_group.target, job_group.selector,
    job_group.reset, qgjob.priority_word(unfinished.priority) as priority,
    unfinished.pending, unfinished.queued, unfinished.running, unfinished.devices,
    unfinished.oldest_at, job_group.grouped_by
  from (
    select group_id, org_id from qgjob.job_group where head_priority is not null
    union
    select group_id, org_id from qgjob.batch where ended_at is null
  ) as live
  join qgjob.job_group on job_group.group_id = live.group_id
  join lateral (
    select max(job.priority) as priority,
      (count(*) filter (where job.status = 'pending'))::integer as pending,
      (count(*) filter (where job.status = 'queued'))::integer as queued,
      (count(*) filter (where job.status = 'running'))::integer as running,
      (count(distinct job.batch_id))::integer as devices,
      min(job.created_at) as oldest_at
    from (
      select priority, status, batch_id, created_at from qgjob.job
      where job.group_id = job_group.group_id and status = 'pending'
      union all
      select job.priority, job.status, job.batch_id, job.created_at
      from qgjob.batch join qgjob.job using (batch_id)
      where batch.group_id = job_group.group_id and batch.ended_at is null
    ) as job
    having count(*) > 0
  ) as unfinished on true;

comment on view reporting.job_groups is
  'The grouping at work: unfinished jobs that can share one installation, and the devices on them now.';
comment on column reporting.job_groups.group_id is 'The number of the group.';
comment on column reporting.job_groups.org_id is 'The organisation that it belongs to.';
comment on column reporting.job_groups.app_version_id is 'The build: the version of the app.';
comment on column reporting.job_groups.target is 'The kind of device: emulator, device or browserstack.';
comment on column reporting.job_groups.selector is
  'What else the device must have, by its labels; {} is any of the target.';
comment on column reporting.job_groups.reset is
  'What happens to the app between tests: reinstall, clear, restart or none.';
comment on column reporting.job_groups.priority is 'The highest of its unfinished jobs: low, normal, high or urgent.';
comment on column reporting.job_groups.pending is 'Jobs that wait for a device.';
comment on column reporting.job_groups.queued is 'Jobs in the batch of a device that have not started.';
comment on column reporting.job_groups.running is 'Jobs that run now.';
comment on column reporting.job_groups.devices is 'Devices that hold some of its jobs now.';
comment on column reporting.job_groups.oldest_at is 'When the oldest of its unfinished jobs was submitted.';
comment on column reporting.job_groups.grouped_by is
  'Labels of the runs that keep these jobs apart, where the organisation groups by labels (group_by); else {}.';
