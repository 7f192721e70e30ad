-- Forget what ended longer ago than its organisation keeps it (keep_days): runs with their jobs, attempts and logs, and
-- batches. Whole runs, the oldest first, of one organisation and about 2,000 jobs at a time. How many rows of runs and
-- batches that were: where it is not 0 there may be more. A job that several runs waited for goes with the last of them.
-- Builds, groups and what was learned of tests stay. Called by the API processes, one at a time does it.
create or replace function qgjob.forget_runs() returns integer language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  c_most constant integer := 2000;
  v_org_id text;
  v_until timestamptz;
  v_runs bigint[];
  v_jobs bigint[];
  v_batches integer;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('qgjob.forget_runs', 0)) then
    return 0;
  end if;
  select org_id, until into v_org_id, v_until
  from qgjob.org, lateral (select qgjob.now() - make_interval(days => keep_days) as until) as kept
  where keep_days is not null and (
    exists (select from qgjob.run where run.org_id = org.org_id and finished_at < until)
    or exists (
      select from qgjob.batch where batch.org_id = org.org_id and ended_at < until
        and not exists (select from qgjob.attempt where attempt.batch_id = batch.batch_id)))
  limit 1;
  if v_org_id is null then
    return 0;
  end if;

  v_runs := array(
    select run_id
    from (
      select run_id, sum(total) over (order by finished_at, run_id) - total as before
      from (
        select run_id, total, finished_at from qgjob.run where org_id = v_org_id and finished_at < v_until
        order by finished_at limit c_most
      ) as old
    ) as old
    where before < c_most);
  v_jobs := array(
    select job.job_id from qgjob.run_job as mine join qgjob.job using (job_id)
    where run_id = any (v_runs) and not exists (
      select from qgjob.run_job as other where other.job_id = mine.job_id and other.run_id <> all (v_runs))
    order by job.job_id for update of job);  -- whoever retries them locks them in this order, too
  delete from qgjob.attempt where job_id = any (v_jobs);
  delete from qgjob.job where job_id = any (v_jobs);
  delete from qgjob.run_job where run_id = any (v_runs);
  update qgjob.schedule set last_run_id = null where org_id = v_org_id and last_run_id = any (v_runs);
  delete from qgjob.run where run_id = any (v_runs);
  delete from qgjob.batch where batch_id in (
    select batch_id from qgjob.batch
    where org_id = v_org_id and ended_at < v_until
      and not exists (select from qgjob.attempt where attempt.batch_id = batch.batch_id)
    order by ended_at limit c_most);
  get diagnostics v_batches = row_count;
  return cardinality(v_runs) + v_batches;
end $$;
