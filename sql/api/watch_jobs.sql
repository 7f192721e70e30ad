-- Somebody waits for these jobs: the same as watch_runs, for all runs that wait for them. A job is announced as its runs.
create or replace function qgjob.watch_jobs(p_job_ids bigint[]) returns table (id bigint) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off as $$
declare
  v_watched bigint[] := array(select watched.id from qgjob.watch_runs(array(
    select distinct run_id from qgjob.run_of_job where job_id = any (p_job_ids))) as watched);
begin
  return query
  select wanted.job_id from unnest(p_job_ids) as wanted (job_id)
  where not exists (
    select from qgjob.run_of_job where run_of_job.job_id = wanted.job_id and run_of_job.run_id <> all (v_watched)
    offset 0);  -- or all jobs would be read, to be joined with these
end $$;
