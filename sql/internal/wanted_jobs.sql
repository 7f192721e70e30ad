-- The jobs that these runs wait for, each once, by the first of the ids that were set aside for its requests. p_each as in
-- accept_runs.
-- That of revision 0019 stays, with its create_or_join, for submissions that are under way during the migration.
create or replace function qgjob.wanted_jobs(
  p_runs qgjob.run_request[], p_requests qgjob.job_request[], p_job_ids bigint[], p_each boolean
) returns qgjob.wanted_job[] language plpgsql volatile as $$
begin
  return array(
    with usual as materialized (  -- read only where nothing is known of a test
      select org_id, target, qgjob.usual_test_s(org_id, target) as test_s
      from (select distinct org_id from unnest(p_runs)) as orgs, (select distinct target from unnest(p_requests)) as targets
    )
    select (job_id, group_id, test_path, priority, retries, timeout_s,
      dedupe, predicted_s, failed_before, org_id, case when cardinality(run_ids) = 1 then run_ids
        else array(select distinct run_id from unnest(run_ids) as run_id order by run_id) end)::qgjob.wanted_job
    from (
      select min(request.job_id) as job_id, job_group.group_id, job_group.org_id, request.test_path, request.dedupe,
        max(request.priority) as priority, max(request.retries) as retries, max(request.timeout_s) as timeout_s,
        coalesce(max(known.mean_s), (
          select test_s from usual where usual.org_id = job_group.org_id and usual.target = job_group.target
        )) as predicted_s,
        coalesce(bool_or(known.failed_last), false) as failed_before, array_agg(run.run_id) as run_ids
      from unnest(p_requests, p_job_ids) with ordinality as request (
          test_path, target, selector, reset, priority, retries, timeout_s, dedupe, job_id, ordinal)
      join unnest(p_runs) as run on run.number = case when p_each then request.ordinal else 1 end
      join qgjob.job_group on job_group.org_id = run.org_id and job_group.app_version_id = run.app_version_id
        and job_group.target = request.target and job_group.selector = request.selector
        and job_group.reset = request.reset and job_group.grouped_by = run.grouped_by
      left join qgjob.test_timing as known on known.org_id = run.org_id and known.target = request.target
        and known.platform = coalesce(request.selector ->> 'platform', '') and known.test_path = request.test_path
      group by job_group.group_id, request.test_path, request.dedupe,
        case when not request.dedupe then request.job_id end
      order by group_id, test_path  -- as create_or_join takes them
    ) as wanted
  );
end $$;
