-- The trace contexts that a batch's jobs were submitted with; a job that several runs wait for belongs to the first one's.
create or replace function qgjob.list_traces(p_lease bigint)
returns table (job_id bigint, run_id bigint, traceparent text) language sql stable security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
  select job.job_id, run.run_id, run.traceparent
  from qgjob.job
  join qgjob.run on run.run_id = coalesce(job.run_id, (  -- + 0 as in reporting.jobs
    select min(run_job.run_id + 0) from qgjob.run_job where run_job.job_id = job.job_id))
  where job.batch_id = p_lease and qgjob.may_write(p_lease) and run.traceparent is not null
$$;
