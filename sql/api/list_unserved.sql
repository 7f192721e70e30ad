-- The devices that jobs of this run wait for and no live worker drives: target and selector, how many jobs wait, and the
-- nearest_labels that there are. Devices in quarantine do not count.
drop function if exists qgjob.list_unserved(bigint, text);
create or replace function qgjob.list_unserved(p_run_id bigint, p_org_id text default null)
returns table (target text, selector jsonb, jobs integer, nearest jsonb) language plpgsql stable
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
  v_run qgjob.run := qgjob.require_run(p_run_id, p_org_id);
begin
  return query
  with mine as materialized (  -- by the run's jobs, not by the pending ones of everybody
    select group_id, status from qgjob.job_of_run where run_id = p_run_id and not abandoned
  )
  select waiting.target, waiting.selector, waiting.jobs,
    qgjob.nearest_labels(waiting.target, waiting.selector, v_run.org_id)
  from (
    select job_group.target, job_group.selector, count(*)::integer as jobs
    from mine join qgjob.job_group using (group_id)
    where mine.status = 'pending'
    group by job_group.target, job_group.selector
  ) as waiting
  where not exists (
    select from qgjob.live_devices() as device
    where device.target = waiting.target and device.labels @> waiting.selector
      and qgjob.serves(device.org_ids, v_run.org_id))
  order by waiting.target, waiting.selector;
end $$;
