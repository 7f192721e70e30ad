-- Lock the unfinished jobs that this run waits for, in their order, and say which they are. Jobs before runs, as everywhere.
create or replace function qgjob.lock_unfinished(p_run_id bigint) returns bigint[] language plpgsql volatile as $$
begin
  return array(
    select job_id from qgjob.job
    where finished_at is null and job_id = any (array(
      select job_of_run.job_id from qgjob.job_of_run where job_of_run.run_id = p_run_id and not job_of_run.abandoned))
    order by job_id for no key update);
end $$;
