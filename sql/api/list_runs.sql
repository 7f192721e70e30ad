-- Runs, newest first, paged like list_jobs; with labels, those that have all of them; with an idempotency key, the one run
-- that was submitted with it.
drop function if exists qgjob.list_runs(text, text, integer, bigint);
drop function if exists qgjob.list_runs(text, text, integer, bigint, text);
create or replace function qgjob.list_runs(
  p_org_id text default null, p_app_version_id text default null, p_limit integer default 50,
  p_cursor bigint default null, p_idempotency_key text default null, p_labels jsonb default null
) returns setof qgjob.run_details language plpgsql stable
-- Planned for what is asked for each time: a plan for every question reads all runs.
set plan_cache_mode = force_custom_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin
  return query
  select *
  from reporting.runs
  where (p_org_id is null or org_id between p_org_id and p_org_id)  -- as in list_jobs
    and (p_app_version_id is null or app_version_id = p_app_version_id)
    and (p_cursor is null or run_id < p_cursor)
    and (p_labels is null or labels @> p_labels)
    and (p_idempotency_key is null or run_id = (
      select run.run_id from qgjob.run where run.org_id = p_org_id and run.idempotency_key = p_idempotency_key))
  order by case when p_org_id is not null then org_id end, run_id desc
  limit qgjob.page_limit(p_limit);
end $$;
