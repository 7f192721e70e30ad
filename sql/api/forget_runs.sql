-- Forget what ended longer ago than its organisation keeps it (keep_days): runs with their jobs, attempts and logs, and
-- batches. Whole runs, the oldest first, of one organisation and about 2,000 jobs at a time. How many rows of runs and
-- batches that were: where it is not 0 there may be more. A job that several runs waited for goes with the last of them.
-- Builds, groups and what was learned of tests stay. Called by the API processes, one at a time does it.
create or replace function qgjob.forget_runs() returns integer language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_org_id text;
  v_until timestamptz;
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
  return qgjob.forget_ended(v_org_id, v_until);
end $$;
