-- The jobs of a run, as that run sees them; the runs of a job are told by run_of_job. `deduplicated`: another run created
-- it; `abandoned`: this run was cancelled, and another still waits for it.
-- Most are found by their numbers, which were taken for the run at once. offset 0: or plans of small tables read all jobs
-- for each run, or compare each with each.
create or replace view qgjob.job_of_run with (security_invoker = true) as
  select run.run_id, job.job_id, false as deduplicated, false as abandoned, job.group_id, job.test_path, job.priority,
    job.failed_before, job.predicted_s, job.status, job.version, job.attempts, job.failure_kind, job.flaky, job.message
  from qgjob.run, lateral (
    select * from qgjob.job where job.job_id between run.first_job_id and run.last_job_id offset 0
  ) as job
  where job.run_id = run.run_id
  union all
  select run_job.run_id, run_job.job_id, run_job.deduplicated, run_job.abandoned, job.group_id,
    job.test_path, job.priority, job.failed_before, job.predicted_s, job.status, job.version, job.attempts,
    job.failure_kind, job.flaky, job.message
  from qgjob.run_job, lateral (select * from qgjob.job where job.job_id = run_job.job_id offset 0) as job;
