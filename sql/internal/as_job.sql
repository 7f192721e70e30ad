-- A run of one job, told as that job.
create or replace function qgjob.as_job(p_run qgjob.submitted)
returns table (job_id bigint, run_id bigint, status text, deduplicated boolean) language sql stable as $$
  select job_id, p_run.run_id, status, p_run.deduplicated > 0 from qgjob.job where job_id = p_run.job_ids[1]
$$;
