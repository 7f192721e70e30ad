-- One step of forgetting what of an organisation ended before p_until; see forget_runs. How many runs and batches went.
create or replace function qgjob.forget_ended(p_org_id text, p_until timestamptz) returns integer
language plpgsql volatile
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  c_most constant integer := 2000;
  v_runs bigint[];
  v_mine bigint[];
  v_jobs bigint[];
  v_batches integer;
begin
  v_runs := array(
    select run_id
    from (
      select run_id, sum(total) over (order by finished_at, run_id) - total as before
      from (
        select run_id, total, finished_at from qgjob.run where org_id = p_org_id and finished_at < p_until
        order by finished_at limit c_most
      ) as old
    ) as old
    where before < c_most);
  v_mine := array(  -- whoever retries them locks them in this order, too
    select job_id from qgjob.job
    where job_id = any (array(select job_of_run.job_id from qgjob.job_of_run where job_of_run.run_id = any (v_runs)))
    order by job_id for update);
  v_jobs := array(
    select job_id
    from (select job_id, count(*) as runs from qgjob.job_of_run where run_id = any (v_runs) group by job_id) as mine
    where runs = (select count(*) from qgjob.run_of_job where run_of_job.job_id = mine.job_id));
  delete from qgjob.attempt where job_id = any (v_jobs);
  delete from qgjob.job where job_id = any (v_jobs);
  update qgjob.job set run_id = null where job_id = any (v_mine) and run_id = any (v_runs);  -- which other runs show
  delete from qgjob.run_job where run_id = any (v_runs);
  update qgjob.schedule set last_run_id = null where org_id = p_org_id and last_run_id = any (v_runs);
  delete from qgjob.run where run_id = any (v_runs);
  delete from qgjob.batch where batch_id in (
    select batch_id from qgjob.batch
    where org_id = p_org_id and ended_at < p_until
      and not exists (select from qgjob.attempt where attempt.batch_id = batch.batch_id)
    order by ended_at limit c_most);
  get diagnostics v_batches = row_count;
  return cardinality(v_runs) + v_batches;
end $$;
