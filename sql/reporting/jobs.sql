-- Every job as users see it: what to run, how it went, where.
create or replace view reporting.jobs with (security_invoker = true) as
  select job.job_id, coalesce(job.run_id, (
      -- + 0: PostgreSQL would, without statistics, walk through all runs in their order until it finds the job.
      select min(run_job.run_id + 0) from qgjob.run_job where run_job.job_id = job.job_id
    )) as run_id, job.org_id, job_group.app_version_id,
    job.test_path, job_group.target, job_group.selector, job_group.reset, qgjob.priority_word(job.priority) as priority,
    job.status, job.failure_kind, job.flaky, job.message, job.attempts, job.retries, job.timeout_s, device.name as device,
    worker.name as worker, job.retry_of, job.cancel_requested_at is not null as cancel_requested, job.created_at,
    job.started_at, job.finished_at, extract(epoch from job.finished_at - job.started_at)::double precision as duration_s
  from qgjob.job
  join qgjob.job_group using (group_id)
  left join lateral (
    select batch_id from qgjob.attempt where attempt.job_id = job.job_id order by number desc limit 1
  ) as latest on true
  left join qgjob.batch on batch.batch_id = coalesce(job.batch_id, latest.batch_id)
  left join qgjob.device on device.device_id = batch.device_id
  left join qgjob.worker on worker.worker_id = batch.worker_id;

comment on view reporting.jobs is
  'Every job as users see it: what to run, how it went, where.';
comment on column reporting.jobs.job_id is 'The number of the job.';
comment on column reporting.jobs.run_id is 'The run that created it; others may have joined it.';
comment on column reporting.jobs.org_id is 'The organisation that it belongs to.';
comment on column reporting.jobs.app_version_id is 'The build: the version of the app.';
comment on column reporting.jobs.test_path is 'The spec file, relative to its project.';
comment on column reporting.jobs.target is 'The kind of device: emulator, device or browserstack.';
comment on column reporting.jobs.selector is 'What else the device must have, by its labels; {} is any of the target.';
comment on column reporting.jobs.reset is 'What happens to the app between tests: reinstall, clear, restart or none.';
comment on column reporting.jobs.priority is 'low, normal, high or urgent, inside the organisation only.';
comment on column reporting.jobs.status is
  'pending (waits), queued (in the batch of a device), running, completed (passed), failed or cancelled.';
comment on column reporting.jobs.failure_kind is
  'Why it failed: test, timeout or infrastructure (a device or a worker was lost); else null.';
comment on column reporting.jobs.flaky is 'It passed after an attempt that had failed.';
comment on column reporting.jobs.message is 'What its last attempt said, or why it ended.';
comment on column reporting.jobs.attempts is 'How often it was executed, losses included.';
comment on column reporting.jobs.retries is 'How often a failed test is tried again.';
comment on column reporting.jobs.timeout_s is 'Seconds that an attempt may take.';
comment on column reporting.jobs.device is 'The device that runs it, or ran it last.';
comment on column reporting.jobs.worker is 'The worker that drove that device.';
comment on column reporting.jobs.retry_of is 'The ended job that this one repeats.';
comment on column reporting.jobs.cancel_requested is 'Somebody wants it stopped; its worker is told.';
comment on column reporting.jobs.created_at is 'When it was submitted.';
comment on column reporting.jobs.started_at is 'When its last attempt began; null while it waits.';
comment on column reporting.jobs.finished_at is 'When it ended for good.';
comment on column reporting.jobs.duration_s is 'Seconds that its last attempt took.';
