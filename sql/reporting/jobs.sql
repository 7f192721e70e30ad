-- Every job as users see it: what to run, how it went, where.
create or replace view reporting.jobs with (security_invoker = true) as
  select job.job_id, created_by.run_id, job.org_id, job_group.app_version_id, job.test_path, job_group.target,
    job_group.selector, job_group.reset, qgjob.priority_word(job.priority) as priority, job.status, job.failure_kind,
    job.flaky, job.message, job.attempts, job.retries, job.timeout_s, device.name as device, worker.name as worker,
    job.retry_of, job.cancel_requested_at is not null as cancel_requested, job.created_at, job.started_at,
    job.finished_at, extract(epoch from job.finished_at - job.started_at)::double precision as duration_s
  from qgjob.job
  join qgjob.job_group using (group_id)
  left join lateral (
    select min(run_id) as run_id from qgjob.run_job where run_job.job_id = job.job_id
  ) as created_by on true
  left join lateral (
    select batch_id from qgjob.attempt where attempt.job_id = job.job_id order by number desc limit 1
  ) as latest on true
  left join qgjob.batch on batch.batch_id = coalesce(job.batch_id, latest.batch_id)
  left join qgjob.device on device.device_id = batch.device_id
  left join qgjob.worker on worker.worker_id = batch.worker_id;
