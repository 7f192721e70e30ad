-- The runs of a job; the jobs of a run are told by job_of_run.
create or replace view qgjob.run_of_job with (security_invoker = true) as
  select job_id, run_id, false as abandoned from qgjob.job where run_id is not null
  union all
  select job_id, run_id, abandoned from qgjob.run_job;
