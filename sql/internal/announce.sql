-- Tell those who wait for runs of these jobs that something changed. A hint: whoever misses it polls.
create or replace function qgjob.announce(p_job_ids bigint[]) returns void language plpgsql volatile
-- Or a plan of small tables reads all of an index that holds what is asked for, but not in its order.
set enable_indexonlyscan = off as $$
declare
  v_now timestamptz := qgjob.now();
begin
  perform pg_notify('qgjob_run', run_id::text) from qgjob.run
  where run_id = any (array(
      select distinct run_of_job.run_id from qgjob.run_of_job where run_of_job.job_id = any (p_job_ids)))
    and watched_until > v_now;
end $$;
