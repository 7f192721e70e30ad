-- What the jobs of a run wait for, told once for each of its groups, those with the most jobs first: of the pending ones
-- what get_why says of the one that comes first, which is job_id; then those that devices hold and have not started.
create or replace function qgjob.list_waiting(
  p_run_id bigint, p_limit integer default 50, p_org_id text default null
) returns table (
  jobs integer, target text, selector jsonb, test_path text, job_id bigint, status text, reason text, jobs_ahead integer,
  work_ahead_s double precision, groups_ahead integer, devices_fitting integer, devices_on_group integer,
  predicted_device text, predicted_start_s double precision
) language plpgsql stable set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
begin
  perform qgjob.require_run(p_run_id, p_org_id);
  return query
  with mine as materialized (  -- by the run's jobs, not by the pending ones of everybody
    select * from qgjob.job_of_run where run_id = p_run_id and not abandoned and job_of_run.status in ('pending', 'queued')
  ), first as materialized (
    select distinct on (status, group_id) job_id, group_id, test_path, status,
      (count(*) over (partition by status, group_id))::integer as jobs
    from mine
    order by status, group_id, priority desc, failed_before desc, predicted_s desc, job_id
  ), told as materialized (
    select * from first order by status, jobs desc, job_id limit qgjob.page_limit(p_limit)
  )
  select told.jobs, job_group.target, job_group.selector, told.test_path, told.job_id, told.status, why.reason,
    why.jobs_ahead, why.work_ahead_s, why.groups_ahead, why.devices_fitting, why.devices_on_group, why.predicted_device,
    why.predicted_start_s
  from told
  join qgjob.job_group using (group_id)
  cross join lateral (
    select reason, jobs_ahead, work_ahead_s, groups_ahead, devices_fitting, devices_on_group, predicted_device,
      predicted_start_s
    from qgjob.explain_job(told.job_id) where told.status = 'pending'
    union all
    select 'A device has taken it, and starts it once it is done with others.', 0, 0, 0, 0, 0, null, null
    where told.status = 'queued'
  ) as why
  order by told.status, told.jobs desc, told.job_id;
end $$;
