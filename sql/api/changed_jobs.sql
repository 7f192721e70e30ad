-- Those of the jobs whose seq is beyond the one given for them. `run_ids`: the runs that announce their next change.
create or replace function qgjob.changed_jobs(p_job_ids bigint[], p_after_seqs bigint[])
returns table (id bigint, seq bigint, ended boolean, run_ids bigint[], document jsonb) language sql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
  select job.job_id, job.version, job.status in ('completed', 'failed', 'cancelled'),
    array(select run_id from qgjob.run_of_job where run_of_job.job_id = job.job_id),
    to_jsonb(details) || jsonb_build_object('seq', job.version)
  from unnest(p_job_ids, p_after_seqs) as wanted (job_id, after_seq)
  join qgjob.job on job.job_id = wanted.job_id and job.version > wanted.after_seq
  cross join lateral (select * from reporting.jobs where jobs.job_id = wanted.job_id offset 0) as details
$$;
