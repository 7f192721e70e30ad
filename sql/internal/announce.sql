-- Tell those who wait for runs of these jobs that something changed. A hint: whoever misses it polls.
create or replace function qgjob.announce(p_job_ids bigint[]) returns void language plpgsql volatile as $$
declare
  v_now timestamptz := qgjob.now();
begin
  perform pg_notify('qgjob_run', watched.run_id::text)
  from (
    select distinct run.run_id
    from qgjob.run_job join qgjob.run using (run_id)
    where run_job.job_id = any (p_job_ids) and run.watched_until > v_now
  ) as watched;
end $$;
